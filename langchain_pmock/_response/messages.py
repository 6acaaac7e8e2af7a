"""Conversion of whole answers to LangChain's messages.

Names are read in camelCase, as documented, and in snake_case. Any field may be missing
or null. Unknown fields are kept under their names in snake_case.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_pmock._json import UnreadableError, decode
from langchain_pmock._response.fields import (
    Json,
    as_text,
    checked,
    content_of,
    get,
    id_of,
    objects_of,
    present,
    read,
)
from langchain_pmock._wire import camel_case, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.ai import UsageMetadata

PROVIDER = "pmock"

NO_CHOICES = "the answer has no choices"


def _both_spellings(names: str) -> set[str]:
    return {spell(name) for name in names.split() for spell in (str, camel_case)}


# Fields that are not kept as unknown ones. LangChain reads the last two.
_METADATA = "id model_name created trace_id finish_reason logprobs "
_METADATA += "model_provider output_version "
_ANSWER_FIELDS = _both_spellings(_METADATA + "model object usage choices")
_CHOICE_FIELDS = _both_spellings(_METADATA + "index message delta")
_MESSAGE_FIELDS = _both_spellings(
    "role content refusal reasoning reasoning_content tool_calls tool_call_extras"
)
_CALL_FIELDS = {"id", "index", "type", "function"}

# LangChain's names of details of the usage; services differ. They must not overlap, and
# LangChain counts the rest as text. Cached tokens are text too, so counts of text are
# left out: they would count twice.
_ALIASES = {
    "prompt_tokens_details": "input_token_details",
    "input_tokens_details": "input_token_details",
    "completion_tokens_details": "output_token_details",
    "output_tokens_details": "output_token_details",
    "cached_tokens": "cache_read",
    "cache_read_input_tokens": "cache_read",  # Anthropic
    "prompt_cache_hit_tokens": "cache_read",  # DeepSeek
    "cache_creation_input_tokens": "cache_creation",  # Anthropic
    "cache_creation_tokens": "cache_creation",
    "cache_write_tokens": "cache_creation",
    "reasoning_tokens": "reasoning",
    "audio_tokens": "audio",
    "image_tokens": "image",
    "text_tokens": None,
    "content_tokens": None,
}
_MOST_TOKENS = 2**53  # the largest integer that all JSON libraries read exactly


def chat_result(envelope: Json) -> ChatResult:
    """Convert the envelope of a whole answer to LangChain's result."""
    data = envelope["data"]
    metadata = {**answer_metadata(envelope), **unknown_fields(data)}
    usage = usage_metadata(data.get("usage"))
    generations: list[ChatGeneration] = []
    for choice in objects_of(data, "choices"):
        message = checked(choice.get("message"), "message", dict)
        late = choice_metadata(choice)
        kept = message_extras(message)
        name = as_text(kept.pop("name", None)) or None
        sent = objects_of(message, "tool_calls")
        calls: list[Any] = [(_tool_call(call), call_extras(call)) for call in sent]
        if extras := {call["id"]: extra for call, extra in calls if extra}:
            kept["tool_call_extras"] = extras
        # LangChain sets the ids of messages: LangGraph keeps one message per id, and
        # some services repeat theirs.
        answer = AIMessage(
            content=content_of(message),
            name=name,
            additional_kwargs=kept,
            tool_calls=[c for c, _ in calls if c["type"] == "tool_call"],
            invalid_tool_calls=[c for c, _ in calls if c["type"] != "tool_call"],
            # Once, because callbacks add up the usage of all messages.
            usage_metadata=None if generations else usage,
            response_metadata={**metadata, **late},
        )
        generations.append(ChatGeneration(message=answer, generation_info=late))
    if not generations:
        raise UnreadableError(NO_CHOICES)
    output = {k: v for k, v in metadata.items() if k in {"model_name", "id"}}
    if usage:  # with OpenAI's names, which callback handlers read
        output["token_usage"] = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }
    return ChatResult(generations=generations, llm_output=output)


class WholeParser:
    """Converts the envelope of a whole answer to LangChain's result."""

    finished = True
    trace_id: str | None = None
    event = staticmethod(chat_result)

    def end(self) -> None:
        """Return nothing: there is one result."""


def combined_llm_output(outputs: Iterable[Json | None]) -> dict[str, Any]:
    """Combine several `llm_output`s: the first names and the sum of the usage."""
    combined: dict[str, Any] = {}
    usage: dict[str, int] = {}
    for output in filter(None, outputs):
        combined = {**output, **combined}
        for name, count in (output.get("token_usage") or {}).items():
            usage[name] = usage.get(name, 0) + count
    return {**combined, "token_usage": usage} if usage else combined


def answer_metadata(envelope: Json) -> dict[str, Any]:
    """Collect the documented metadata of an answer or an event."""
    data = envelope["data"]
    found = {
        "id": id_of(data, "id"),
        "model_name": read(data, "model", str) or None,
        "created": data.get("created"),
        "trace_id": id_of(envelope, "trace_id"),
    }
    return {"model_provider": PROVIDER, **present(found)}


def unknown_fields(data: Json) -> dict[str, Any]:
    """Collect the unknown fields of an answer or an event."""
    return _rest(data, _ANSWER_FIELDS)


def choice_metadata(choice: Json) -> dict[str, Any]:
    """Collect the response metadata of a choice, with its unknown fields."""
    reason = as_text(get(choice, "finish_reason"))
    found = {
        "finish_reason": None if reason in ("", "null") else reason,
        "logprobs": _snake_keys(choice.get("logprobs")),
    }
    return {**present(found), **_rest(choice, _CHOICE_FIELDS)}


def message_extras(message: Json) -> dict[str, Any]:
    """Collect the additional kwargs of a message or a delta.

    vLLM, Ollama and OpenRouter send `reasoning_content` as `reasoning`.
    """
    reasoning = get(message, "reasoning_content") or message.get("reasoning")
    found = {
        "reasoning_content": as_text(reasoning) or None,
        "refusal": as_text(message.get("refusal")) or None,
    }
    return {**present(found), **_rest(message, _MESSAGE_FIELDS)}


def call_extras(call: Json) -> dict[str, Any]:
    """Collect the unknown fields of a tool call, which must be sent back unchanged.

    An example is Gemini's thought signatures:
    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    return {k: v for k, v in call.items() if k not in _CALL_FIELDS and v is not None}


def usage_metadata(usage: object) -> UsageMetadata | None:
    """Convert the usage to LangChain's; invalid counts are left out."""
    if not usage or not isinstance(usage, dict):
        return None
    counts: dict[str, int] = {}
    details: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for field, value in usage.items():
        name = _alias(field)
        if name in ("cache_read", "cache_creation"):  # beside the other counts
            _add_count(details["input_token_details"], name, value)
        elif name not in ("input_token_details", "output_token_details"):
            _add_count(counts, name, value)
        elif isinstance(value, dict):
            for detail, count in value.items():
                _add_count(details[name], _alias(detail), count)
    inputs = counts.get("prompt_tokens", counts.get("input_tokens", 0))
    outputs = counts.get("completion_tokens", counts.get("output_tokens", 0))
    metadata: dict[str, Any] = {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "total_tokens": counts.get("total_tokens", inputs + outputs),
        **{name: found for name, found in details.items() if found},
    }
    return cast("UsageMetadata", metadata)


def _alias(field: str) -> str | None:
    name = snake_case(field)
    return _ALIASES.get(name, name)


def _add_count(counts: dict[str, int], name: str | None, value: Any) -> None:
    """Add a count; of two of the same name, as some services send, the larger one."""
    if name is None or type(value) not in (int, float, str):
        return
    try:
        count = int(value)
    except (OverflowError, ValueError):
        return
    if 0 <= count < _MOST_TOKENS:
        counts[name] = max(count, counts.get(name, 0))


def _tool_call(call: Json) -> ToolCall | InvalidToolCall:
    """Convert a tool call; one without a name or a JSON object is invalid."""
    function = read(call, "function", dict)
    name = read(function, "name", str) or None
    text = as_text(function.get("arguments"))
    id_ = id_of(call, "id") or new_tool_call_id()
    try:
        args: Any = decode(text) if text.strip() else {}
    except ValueError as error:
        reason = f"The arguments are not valid JSON: {error}"
    else:
        args = {} if args is None else args
        reason = f"The arguments are a JSON {type(args).__name__}, not an object."
        if name and isinstance(args, dict):
            return tool_call(name=name, args=args, id=id_)
    if not name:
        reason = "The call names no function."
    return invalid_tool_call(name=name, args=text, id=id_, error=reason)


def new_tool_call_id() -> str:
    """Create a unique id for a tool call without one."""
    return f"call_{uuid.uuid4().hex}"


def _rest(mapping: Json, names: set[str]) -> dict[str, Any]:
    """Collect the other fields, under their snake_case names."""
    return {
        name: _snake_keys(value)
        for key, value in mapping.items()
        if key not in names
        and value is not None
        and (name := snake_case(key)) not in names  # in another spelling, as `TraceId`
    }


def _snake_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {snake_case(k): _snake_keys(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_snake_keys(item) for item in value]
    return value
