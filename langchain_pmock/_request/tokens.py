"""Estimates of the number of tokens of a prompt, without a tokenizer.

They are for trimming a conversation, not for billing. Chinese, Japanese and Korean are
counted by the character, the rest by length. `count_tokens_approximately` of
langchain-core has one ratio for every script (Chinese: 72 % too low), and counts the
base64 of a file as text.

For the samples in the unit tests, compared to `o200k_base`, the vocabulary of OpenAI's
models, the error is at most 14 % for Chinese, Japanese and Korean, 27 % for prose in
other languages and for Python, and more for JSON (35 % too low), emoji (36 %) and
columns of numbers (58 %).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from langchain_pmock._json import encode
from langchain_pmock._request.messages import to_wire
from langchain_pmock._request.tools import tools_to_wire
from langchain_pmock._wire import Wire
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.messages import BaseMessage

_CJK = r"[\u2e80-\ua4cf\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff]"
_TOKENS_PER_CJK = 0.8
_CHARACTERS_PER_TOKEN = 4

_MESSAGE = 4  # platform.openai.com: 3 for each message, and 1 for its role
# Low detail, and 1024 x 1024 pixels at high detail, for OpenAI's models; 1,120 for
# Gemini 3, up to 1,600 for Claude 4.5.
_IMAGE_LOW, _IMAGE = 85, 765
# A second of MP3 (16 kB) is 32 tokens for Gemini, a page of a PDF (50 kB) 1,500 for
# Claude.
_BASE64_PER_AUDIO_TOKEN, _BASE64_PER_TOKEN = 667, 44
_REFERENCE = 1500  # a file of unknown size: one page


def count_text_tokens(text: str) -> int:
    """Estimate the number of tokens of a text."""
    rest = len(re.sub(_CJK, "", text))
    cjk = len(text) - rest
    return math.ceil(cjk * _TOKENS_PER_CJK + rest / _CHARACTERS_PER_TOKEN)


def count_message_tokens(
    messages: Sequence[BaseMessage],
    tools: Sequence[Any] | None = None,
    wire: Wire = Wire(),  # noqa: B008 - it is immutable
) -> int:
    """Estimate the number of tokens of messages and tools.

    The count of several messages is the sum of their counts. Of a message that cannot
    be sent, the text counts: `trim_messages` also counts histories that are not valid.
    """
    total = _count_value(tools_to_wire(tools)) if tools else 0
    for message in messages:
        try:
            total += sum(map(_count_message, to_wire([message], wire)))
        except PmockInvalidRequestError:
            total += _MESSAGE + count_text_tokens(message.text)
    return total


def _count_message(message: dict[str, Any]) -> int:
    total = _MESSAGE
    for name, value in message.items():
        if name == "content" and isinstance(value, list):
            total += sum(map(_count_part, value))
        elif name != "role":
            total += _count_value(value)
    return total


def _count_part(part: dict[str, Any]) -> int:
    kind = part["type"]
    if kind == "text":
        return count_text_tokens(part["text"])
    if kind == "image_url":
        return _IMAGE_LOW if part[kind].get("detail") == "low" else _IMAGE
    data = part[kind].get("data") or part[kind].get("file_data")
    if not (data and isinstance(data, str)):
        return _REFERENCE
    per_token = _BASE64_PER_AUDIO_TOKEN if kind == "input_audio" else _BASE64_PER_TOKEN
    return math.ceil(len(data) / per_token)


def _count_value(value: Any) -> int:
    text = value if isinstance(value, str) else encode(value, "tools").decode()
    return count_text_tokens(text)
