"""Conversion of whole answers to LangChain's messages.

Names are read in camelCase, as documented, and in snake_case. Any field may be missing
or null. Unknown fields are kept under their names in snake_case.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_pmock._json import UnreadableError, decode
from langchain_pmock._wire import camel_case, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.ai import UsageMetadata

PROVIDER = "pmock"

NO_CHOICES = "the answer has no choices"


def _spellings(*names: str) -> set[str]:
    return {*names, *map(camel_case, names)}


# Fields that are converted; all others are kept.
_ANSWER_FIELDS = _spellings("id", "model", "created", "object", "usage", "choices")
_CHOICE_FIELDS = _spellings("index", "message", "delta", "finish_reason")
_MESSAGE_FIELDS = _spellings(
    "role", "content", "tool_calls", "reasoning", "reasoning_content"
)
_CALL_FIELDS = {"id", "index", "type", "function"}
_NO_IDS = (None, "", "null")

# Anthropic's counts, which some services send beside the other counts.
_CACHE_DETAILS = {
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_creation",
    "cache_creation_tokens": "cache_creation",
    "cache_write_tokens": "cache_creation",
}
_INPUT_DETAILS = {
    **_CACHE_DETAILS,
    "cached_tokens": "cache_read",
    "audio_tokens": "audio",
    "image_tokens": "image",
}
_OUTPUT_DETAILS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio"}
# LangChain expects details that do not overlap, and counts the rest as text. Cached
# tokens are text too, so these would be counted twice.
_NO_DETAILS = {"text_tokens", "content_tokens"}
_MOST_TOKENS = 2**53  # the largest integer that all JSON libraries read exactly


def chat_result(envelope: Mapping[str, Any]) -> ChatResult:
    """Convert the envelope of a whole answer to LangChain's result.

    Raises:
        UnreadableError: If there are no choices.
        AttributeError: Or another exception of `_json.UNREADABLE`, if a field has the
            wrong type.
    """
    data, trace_id = envelope["data"], get(envelope, "trace_id")
    metadata = answer_metadata(data, trace_id)
    usage = usage_metadata(data.get("usage"))
    generations: list[ChatGeneration] = []
    for choice in data.get("choices") or ():
        message = choice["message"]
        wire_calls = get(message, "tool_calls") or ()
        calls = [parse_tool_call(call) for call in wire_calls]
        extras = {
            call["id"]: extra
            for call, wire_call in zip(calls, wire_calls, strict=True)
            if (extra := call_extras(wire_call))
        }
        generations.append(
            ChatGeneration(
                message=AIMessage(
                    content=message.get("content") or "",
                    additional_kwargs={
                        **message_extras(message),
                        **({"tool_call_extras": extras} if extras else {}),
                    },
                    tool_calls=[c for c in calls if c["type"] == "tool_call"],
                    invalid_tool_calls=[c for c in calls if c["type"] != "tool_call"],
                    # Once, because callbacks add up the usage of all messages.
                    usage_metadata=None if generations else usage,
                    response_metadata={**metadata, **choice_metadata(choice)},
                    id=_message_id(metadata.get("id"), len(generations)),
                )
            )
        )
    if not generations:
        raise UnreadableError(NO_CHOICES)
    return ChatResult(generations=generations, llm_output=_llm_output(metadata, usage))


def _message_id(id_: str | None, index: int) -> str | None:
    """Make the ids of several answers unique: LangGraph keeps one message per id."""
    return f"{id_}-{index}" if id_ and index else id_


def _llm_output(
    metadata: Mapping[str, Any], usage: UsageMetadata | None
) -> dict[str, Any]:
    """Return the `llm_output` that callback handlers read, with OpenAI's names."""
    output = {name: metadata[name] for name in ("model_name", "id") if name in metadata}
    if usage:
        output["token_usage"] = {
            "prompt_tokens": usage["input_tokens"],
            "completion_tokens": usage["output_tokens"],
            "total_tokens": usage["total_tokens"],
        }
    return output


def combined_llm_output(outputs: Iterable[Mapping[str, Any] | None]) -> dict[str, Any]:
    """Combine several `llm_output`s: the first names and the sum of the usage."""
    combined: dict[str, Any] = {}
    usage: Counter[str] = Counter()
    for output in outputs:
        combined = {**(output or {}), **combined}
        usage.update((output or {}).get("token_usage", {}))
    return {**combined, "token_usage": dict(usage)} if usage else combined


def answer_metadata(data: Mapping[str, Any], trace_id: str | None) -> dict[str, Any]:
    """Collect the response metadata of an answer or an event.

    It has `model_provider`, `id`, `model_name`, `created` and `trace_id`, if present,
    and unknown fields.
    """
    known = {
        "id": _id_text(data.get("id")),
        "model_name": data.get("model"),
        "created": data.get("created"),
        "trace_id": trace_id,
    }
    return {
        "model_provider": PROVIDER,
        **_present(known),
        **_rest(data, _ANSWER_FIELDS),
    }


def _id_text(id_: object) -> str | None:
    if id_ is None or isinstance(id_, str):
        return id_ or None
    if type(id_) not in (int, float):
        msg = "its id is not a string"
        raise UnreadableError(msg)
    return str(id_)


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the response metadata of a choice: `finish_reason` and unknown fields."""
    known = {"finish_reason": get(choice, "finish_reason")}
    return {**_present(known), **_rest(choice, _CHOICE_FIELDS)}


def message_extras(message: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the additional kwargs of a message or a delta.

    vLLM, Ollama and OpenRouter send `reasoning_content` as `reasoning`.
    """
    reasoning = get(message, "reasoning_content") or message.get("reasoning")
    known = {"reasoning_content": reasoning or None}
    return {**_present(known), **_rest(message, _MESSAGE_FIELDS)}


def call_id(call: Mapping[str, Any]) -> str | None:
    """Return the id of a tool call; some services send `""` or `"null"` for none."""
    id_: str | None = call.get("id")
    return None if id_ in _NO_IDS else id_


def call_extras(call: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the unknown fields of a tool call, which must be sent back unchanged.

    An example is Gemini's thought signatures:
    https://ai.google.dev/gemini-api/docs/thought-signatures
    """
    return {k: v for k, v in call.items() if k not in _CALL_FIELDS and v is not None}


def usage_metadata(usage: object) -> UsageMetadata | None:
    """Convert the usage to LangChain's; invalid counts are left out."""
    if not usage or not isinstance(usage, dict):
        return None
    input_tokens = _count(get(usage, "prompt_tokens")) or 0
    output_tokens = _count(get(usage, "completion_tokens")) or 0
    metadata: dict[str, Any] = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": _count(get(usage, "total_tokens"))
        or input_tokens + output_tokens,
    }
    cache = {k: v for k, v in usage.items() if snake_case(k) in _CACHE_DETAILS}
    inputs = _details(get(usage, "prompt_tokens_details"), _INPUT_DETAILS, cache)
    outputs = _details(get(usage, "completion_tokens_details"), _OUTPUT_DETAILS)
    if inputs:
        metadata["input_token_details"] = inputs
    if outputs:
        metadata["output_token_details"] = outputs
    return cast("UsageMetadata", metadata)


def _details(
    details: object, names: Mapping[str, str], more: Mapping[str, object] | None = None
) -> dict[str, int]:
    counts: dict[str, int] = {}
    given = details if isinstance(details, dict) else {}
    for field, value in (*given.items(), *(more or {}).items()):
        name, count = snake_case(field), _count(value)
        if count is not None and name not in _NO_DETAILS:
            name = names.get(name, name)
            # The same count may be sent under two names.
            counts[name] = max(count, counts.get(name, 0))
    return counts


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        count = int(value)
    except (OverflowError, ValueError):
        return None
    return count if 0 <= count < _MOST_TOKENS else None


def parse_tool_call(call: Mapping[str, Any]) -> ToolCall | InvalidToolCall:
    """Convert a tool call of a whole answer.

    If its arguments are not a JSON object, the result is an invalid call with the text
    and the reason. A call without an id gets one.
    """
    function = call.get("function") or {}
    name, text = function.get("name"), arguments_text(function)
    id_ = call_id(call) or new_tool_call_id()
    if not name:
        return invalid_tool_call(
            name=name, args=text, id=id_, error="The call names no function."
        )
    try:
        args = decode(text) if text.strip() else {}
    except ValueError as error:
        reason = f"The arguments are not valid JSON: {error}"
        return invalid_tool_call(name=name, args=text, id=id_, error=reason)
    if args is None:
        args = {}
    if not isinstance(args, dict):
        reason = f"The arguments are a JSON {type(args).__name__}, not an object."
        return invalid_tool_call(name=name, args=text, id=id_, error=reason)
    return tool_call(name=name, args=args, id=id_)


def arguments_text(function: Mapping[str, Any]) -> str:
    """Return a call's arguments as JSON text; some services send an object."""
    arguments = function.get("arguments")
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def new_tool_call_id() -> str:
    """Create a unique id for a tool call without one."""
    return f"call_{uuid.uuid4().hex}"


def get(mapping: Mapping[str, Any], name: str) -> Any:
    """Return a field by its snake_case name, or under its camelCase name."""
    value = mapping.get(camel_case(name))
    return mapping.get(name) if value is None else value


def _present(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}


def _rest(mapping: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Collect the unknown fields, under their snake_case names."""
    return {
        snake_case(key): _snake_keys(value)
        for key, value in mapping.items()
        if value is not None and key not in known
    }


def _snake_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {snake_case(k): _snake_keys(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_snake_keys(item) for item in value]
    return value
