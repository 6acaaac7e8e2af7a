"""Estimates of the number of tokens of a prompt, without a tokenizer.

The service has no endpoint for counting, each vendor has its own tokenizer, and the
public ones require a download. The estimate is meant for trimming a conversation and
for choosing a limit, not for billing: the actual number is in `usage_metadata` of an
answer.

**Text.** A regular expression splits the text into pieces of one kind, as byte-pair
tokenizers do in their first step. Each kind has a number of tokens per piece and per
character, fitted to `o200k_base`, the public vocabulary of OpenAI's models. For the
twelve samples in the unit tests (prose in eight languages, Python, JSON, numbers,
emoji) the error is at most 12 %. The usual rule, a quarter of the characters, is
between 23 % too high (English) and 72 % too low (Chinese). Gemini and Claude have other
vocabularies, for which the error was not measured.

**Other content** counts as a constant or in proportion to its size; the sources are
given with the values.

The messages are counted as `to_wire` converts them. A message that cannot be sent is
estimated roughly, because `trim_messages` also counts histories that are not valid yet.

langchain-core's `count_tokens_approximately` is not used, because it has one ratio of
characters to tokens for every script, and counts a file's base64 as prose.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_pmock._request.messages import to_wire
from langchain_pmock._wire import Wire
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

    from langchain_pmock._request.content import Part
    from langchain_pmock._request.messages import WireMessage

_DEFAULT = Wire()

# The alternatives are tried in this order. A single space is part of the word after it;
# before a number it is a gap. Variation selectors and joiners are part of their emoji.
_PIECE = re.compile(
    r"""
    (?P<word>  # also each part of camelCase and of HTTPError
        [A-Z]?[a-z]+(?![a-z\u00c0-\u024f\u1e00-\u1eff])
        | [A-Z]+(?![A-Za-z\u00c0-\u024f\u1e00-\u1eff])
        | [A-Z]+(?=[A-Z][a-z]))
    | (?P<accented>[A-Za-z\u00c0-\u024f\u1e00-\u1eff]+)
    | (?P<digits>[0-9]{1,3})
    | (?P<cjk>[\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]+)
    | (?P<letters>[\u0250-\u1fff]+)  # Greek to Georgian, with their combining marks
    | (?P<punctuation>[!-/:-@\[-`{-~]+)
    | (?P<gap>\s*\n\s*|[^\S\n]{2,}|\s(?=[0-9]))
    | (?P<emoji>[\U00010000-\U0001ffff]+)
    | (?P<symbol>[^\s\u200d\ufe0f])
    """,
    re.VERBOSE,
)
# Tokens per piece, and per character of it.
_PRICES = {
    "word": (0.9, 0.03),
    "accented": (0.4, 0.35),
    "digits": (1.1, 0.0),
    "cjk": (0.0, 0.8),
    "letters": (0.0, 0.37),
    "punctuation": (0.95, 0.0),
    "gap": (0.8, 0.0),
    "emoji": (0.0, 2.0),
    "symbol": (1.0, 0.0),
}

# Overhead of a message: 3 tokens, and 1 for its role; 1 more with a name. From OpenAI's
# https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken
_MESSAGE = 4
_NAME = 1
# Overhead of a tool call or a tool's schema. Not documented; OpenAI's page above adds 7
# for each function and 12 after the last.
_FUNCTION = 8
# OpenAI's values for low detail, and for 1024 x 1024 pixels at high detail. An image of
# any size is 1,120 tokens for Gemini 3; for Claude 4.5 it is up to 1,600.
# https://platform.openai.com/docs/guides/images-vision#calculating-costs
# https://docs.cloud.google.com/gemini-enterprise-agent-platform/models/gemini/3-flash
# https://platform.claude.com/docs/en/build-with-claude/vision
_IMAGE_LOW = 85
_IMAGE = 765
# Audio: 32 tokens per second (Gemini) of MP3 at 128 kbit/s, so WAV counts too high.
# Files: 1,500 tokens per page of a PDF with 50 kB per page. Gemini 3 takes 560 per page
# (see its page above), Claude 1,500 and more for the text alone.
# https://ai.google.dev/gemini-api/docs/tokens
# https://platform.claude.com/docs/en/build-with-claude/pdf-support
_BYTES_PER_TOKEN = {"input_audio": 500, "file": 33}
# A file that is referred to, whose size is unknown: one page.
_REFERENCE = 1500
# A data URL has its media type before the data, within this number of characters.
_HEAD = 256


def count_text_tokens(text: str) -> int:
    """Estimate the number of tokens of a text."""
    total = 0.0
    for piece in _PIECE.finditer(text):
        per_piece, per_character = _PRICES[piece.lastgroup or "symbol"]
        total += per_piece + per_character * (piece.end() - piece.start())
    return math.ceil(total)


def count_message_tokens(
    messages: Sequence[BaseMessage],
    tools: Sequence[Any] | None = None,
    wire: Wire = _DEFAULT,
) -> int:
    """Estimate the number of tokens of messages and tools.

    The count of several messages is the sum of their counts.
    """
    counts = (_count_message(message, wire) for message in messages)
    return sum(counts) + sum(map(_count_tool, tools or ()))


def _count_message(message: BaseMessage, wire: Wire) -> int:
    try:
        written = to_wire([message], wire)
    except PmockInvalidRequestError:
        return _count_roughly(message)
    return sum(_count_wire(each, wire) for each in written)


def _count_wire(message: WireMessage, wire: Wire) -> int:
    content = message["content"]
    total = _MESSAGE
    if isinstance(content, str):
        total += count_text_tokens(content)
    else:
        total += sum(map(_count_part, content))
    if wire.reasoning_content in message:
        total += count_text_tokens(message[wire.reasoning_content])
    if "name" in message:
        total += _NAME + count_text_tokens(message["name"])
    for call in message.get(wire.tool_calls, ()):
        function = call["function"]
        text = f"{function['name']} {function['arguments']}"
        total += _FUNCTION + count_text_tokens(text)
    return total


def _count_part(part: Part) -> int:
    kind = part["type"]
    if kind == "text":
        return count_text_tokens(part["text"])
    if kind == "image_url":
        return _IMAGE_LOW if part[kind].get("detail") == "low" else _IMAGE
    data: str | None = part[kind].get("data") or part[kind].get("file_data")
    if data is None:
        return _REFERENCE
    # A data URL has a comma before the base64 data. Four characters are three bytes.
    size = (len(data) - data.find(",", 0, _HEAD) - 1) * 3 / 4
    return math.ceil(size / _BYTES_PER_TOKEN[kind])


def _count_roughly(message: BaseMessage) -> int:
    """Count a message that cannot be sent: its text, and a page per other block."""
    content: object = message.content
    total = _MESSAGE
    for block in content if isinstance(content, list) else [content]:
        text = block.get("text") if isinstance(block, dict) else block
        total += count_text_tokens(text) if isinstance(text, str) else _REFERENCE
    for field in ("tool_calls", "invalid_tool_calls"):
        if calls := getattr(message, field, None):
            with contextlib.suppress(RecursionError):
                total += count_text_tokens(repr(calls))
    return total


def _count_tool(tool: Any) -> int:
    # A dict is a schema already, perhaps one that LangChain does not support.
    schema = tool if isinstance(tool, dict) else convert_to_openai_tool(tool)
    return _FUNCTION + count_text_tokens(_to_json(schema))


def _to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=repr)
