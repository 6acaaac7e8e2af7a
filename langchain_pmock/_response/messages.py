"""From pmock's answers to LangChain's messages. Pure functions: no HTTP here.

Answers are read leniently: each name is accepted in camelCase, as the service documents
it, and in snake_case; what may be missing or null may be missing or null. A field that
this module does not know is kept under its name in snake_case.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage
from langchain_core.messages.tool import invalid_tool_call, tool_call
from langchain_core.outputs import ChatGeneration, ChatResult

from langchain_pmock._json import UnreadableError
from langchain_pmock._wire import camel_case, snake_case

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.ai import UsageMetadata

PROVIDER = "pmock"

NO_CHOICES = "the answer has no choices"

# What has a place of its own in a message; all else is kept as it came.
_ANSWER_FIELDS = {"id", "model", "created", "object", "usage", "choices"}
_CHOICE_FIELDS = {"index", "message", "delta", "finish_reason"}
_MESSAGE_FIELDS = {"role", "content", "tool_calls"}

_INPUT_DETAILS = {
    "cached_tokens": "cache_read",
    "audio_tokens": "audio",
    "image_tokens": "image",
}
_OUTPUT_DETAILS = {"reasoning_tokens": "reasoning", "audio_tokens": "audio"}
# LangChain takes details for parts that do not overlap, and counts the remainder as
# text. Cached tokens are text too: to pass these on would be to count them twice.
_NO_DETAILS = {"text_tokens", "content_tokens"}


def chat_result(envelope: Mapping[str, Any]) -> ChatResult:
    """Make LangChain's result from a whole answer.

    Args:
        envelope: The envelope, known to be a success with `data`.

    Returns:
        A generation for each choice. Token usage is on the first message.

    Raises:
        UnreadableError: If there is no choice.
        AttributeError: As the other ones of `_json.UNREADABLE`, if something is not
            where it belongs.
    """
    generations = _generations(envelope["data"], get(envelope, "trace_id"))
    if not generations:
        raise UnreadableError(NO_CHOICES)
    return ChatResult(generations=generations)


def _generations(data: Mapping[str, Any], trace_id: str | None) -> list[ChatGeneration]:
    usage = usage_metadata(data.get("usage"))
    generations: list[ChatGeneration] = []
    for choice in data.get("choices") or ():
        message = choice["message"]
        calls = [parse_tool_call(call) for call in get(message, "tool_calls") or ()]
        generations.append(
            ChatGeneration(
                message=AIMessage(
                    content=message.get("content") or "",
                    additional_kwargs=message_extras(message),
                    tool_calls=[c for c in calls if c["type"] == "tool_call"],
                    invalid_tool_calls=[c for c in calls if c["type"] != "tool_call"],
                    usage_metadata=None if generations else usage,
                    response_metadata={
                        **answer_metadata(data, trace_id),
                        **choice_metadata(choice),
                    },
                    id=_message_id(data.get("id"), len(generations)),
                )
            )
        )
    return generations


def _message_id(id_: str | None, index: int) -> str | None:
    """Tell several answers apart: LangGraph keeps one message of each id."""
    return f"{id_}-{index}" if id_ and index else id_


def answer_metadata(data: Mapping[str, Any], trace_id: str | None) -> dict[str, Any]:
    """Collect what the answer says of itself.

    Args:
        data: The envelope's `data`, of an answer or of an event.
        trace_id: The envelope's `traceId`.

    Returns:
        Response metadata: `model_provider`, and what is there of `model_name`,
        `created`, `trace_id`, and of fields that this version does not know.
    """
    known = {
        "model_name": data.get("model"),
        "created": data.get("created"),
        "trace_id": trace_id,
    }
    return {
        "model_provider": PROVIDER,
        **_present(known),
        **_rest(data, _ANSWER_FIELDS),
    }


def choice_metadata(choice: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a choice says beside its message.

    Args:
        choice: A choice of an answer or of an event.

    Returns:
        Response metadata: what is there of `finish_reason`, `logprobs`, and of fields
        that this version does not know.
    """
    known = {"finish_reason": get(choice, "finish_reason")}
    return {**_present(known), **_rest(choice, _CHOICE_FIELDS)}


def message_extras(message: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what a message or a delta has beside its content and tool calls.

    Args:
        message: A choice's message or delta.

    Returns:
        Additional kwargs: what is there of `reasoning_content`, `refusal`, and of
        fields that this version does not know.
    """
    return _rest(message, _MESSAGE_FIELDS)


def usage_metadata(usage: Mapping[str, Any] | None) -> UsageMetadata | None:
    """Make LangChain's usage metadata.

    Args:
        usage: The answer's `usage`; any of its counts may be missing.

    Returns:
        Counts in tokens, or `None` where there is no usage.
    """
    if not usage:
        return None
    input_tokens = _count(get(usage, "prompt_tokens"))
    output_tokens = _count(get(usage, "completion_tokens"))
    metadata: dict[str, Any] = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": _count(get(usage, "total_tokens"))
        or input_tokens + output_tokens,
    }
    for name, field, names in (
        ("input_token_details", "prompt_tokens_details", _INPUT_DETAILS),
        ("output_token_details", "completion_tokens_details", _OUTPUT_DETAILS),
    ):
        details = _rest(get(usage, field) or {}, _NO_DETAILS)
        if details:
            # LangChain adds these up, so nothing but counts may be among them.
            metadata[name] = {
                names.get(k, k): v for k, v in details.items() if type(v) is int
            }
    return cast("UsageMetadata", metadata)


def _count(value: object) -> int:
    return int(value) if isinstance(value, (int, float, str)) else 0


def parse_tool_call(call: Mapping[str, Any]) -> ToolCall | InvalidToolCall:
    """Read one tool call of a whole answer.

    Args:
        call: An element of `toolCalls`.

    Returns:
        The call, or, if its arguments are no JSON object, an invalid call that has
        their text and the reason. A call without an id gets one.
    """
    function = call.get("function") or {}
    name, text = function.get("name"), arguments_text(function)
    id_ = call.get("id") or new_tool_call_id()
    if not name:
        return invalid_tool_call(
            name=name, args=text, id=id_, error="The call names no function."
        )
    try:
        # Models put bare newlines into strings: not strict about control characters.
        args = json.loads(text, strict=False) if text.strip() else {}
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
    """Give a call's arguments as JSON text, as the wire has them.

    Args:
        function: The `function` of a tool call or of its delta.

    Returns:
        The text; empty if there are none.
    """
    arguments = function.get("arguments")
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return json.dumps(arguments, ensure_ascii=False)


def new_tool_call_id() -> str:
    """Make an id for a tool call that came without one.

    Returns:
        An id that no other call has.
    """
    return f"call_{uuid.uuid4().hex}"


def get(mapping: Mapping[str, Any], name: str) -> Any:
    """Read a field by its name in camelCase or in snake_case.

    Args:
        mapping: A JSON object of the service.
        name: The field's name in snake_case.

    Returns:
        The value, or `None`.
    """
    value = mapping.get(camel_case(name))
    return mapping.get(name) if value is None else value


def _present(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None}


def _rest(mapping: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """Take the fields that are there and not known, under their snake_case names."""
    named = {snake_case(k): v for k, v in mapping.items() if v is not None}
    return {k: _snake_keys(v) for k, v in named.items() if k not in known}


def _snake_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {snake_case(k): _snake_keys(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_snake_keys(item) for item in value]
    return value
