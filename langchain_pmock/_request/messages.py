"""Conversion of LangChain's messages to the request's messages."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic_core import from_json

from langchain_pmock._json import encode
from langchain_pmock._request.content import content_part, required, unwrap
from langchain_pmock._wire import Wire
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_pmock._request.content import Content, Part

WireMessage = dict[str, Any]

_DEFAULT = Wire()

# Matches the start of "Error: ..." and "ValueError: ...".
_ERROR = r"(error|ERROR|\w*Error)\b"

_ROLES = {"human": "user", "ai": "assistant"}
# LangChain's standard types, then those of providers.
_REASONING = ("reasoning", "thinking", "reasoning_content", "redacted_thinking")
_TOOL_CALLS = (
    "tool_call",
    "invalid_tool_call",
    "tool_call_chunk",
    "tool_use",
    "function_call",
    "custom_tool_call",
)
# Calls and results of tools that a provider ran itself, and other blocks that only it
# can read: of LangChain, Anthropic, OpenAI and Google. New types follow these patterns.
# OpenAI's `computer_call` and `local_shell_call` are executed by the client and
# answered by tool messages, so they cannot be left out.
_PROVIDER_RUN = re.compile(
    r"server_tool_\w+|\w+_tool_(use|result)|mcp_\w+|tool_search_output"
    r"|(?!computer_|local_shell_)\w+_call(_output)?|program(_output)?"
    r"|executable_code|code_execution_result|function_call_signature"
    r"|container_upload|compaction|fallback"
)


def to_wire(
    messages: Sequence[BaseMessage], wire: Wire = _DEFAULT
) -> list[WireMessage]:
    """Convert messages to the request's messages, including those of other providers.

    Tools that a provider ran itself are left out, and so is reasoning unless `wire`
    names a field for it. The arguments of a tool call are sent as the JSON text of an
    object; other arguments, such as those of a call that was cut off, are sent as
    `{"invalid": "<the text>"}`. Additional fields of a tool call are read from
    `additional_kwargs["tool_call_extras"]`, by the call's id.

    Raises:
        PmockInvalidRequestError: If there are no messages, or one cannot be sent. The
            text has the message's index and the reason.
    """
    if not messages:
        msg = "messages=[] is not valid: pmock needs at least one message."
        raise PmockInvalidRequestError(msg)
    written: list[WireMessage] = []
    for index, message in enumerate(messages):
        try:
            written.extend(_message(message, wire))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            msg = f"messages[{index}] ({type(message).__name__}): {error}"
            raise PmockInvalidRequestError(msg) from error
    return written


def _message(message: BaseMessage, wire: Wire) -> Iterable[WireMessage]:
    if isinstance(message, AIMessage):
        return [_assistant(message, wire)]
    if isinstance(message, ToolMessage):
        failed = message.status == "error"
        result = _tool(message.tool_call_id, message.content, wire, failed=failed)
        return [_named(message, result)]
    if isinstance(message, HumanMessage):
        return _user(message, wire)
    if isinstance(message, SystemMessage):
        # LangChain's marker for OpenAI's role "developer".
        role = message.additional_kwargs.get("__openai_role__", "system")
    elif isinstance(message, ChatMessage):
        role = _ROLES.get(message.role, message.role)
    elif isinstance(message, FunctionMessage):
        role = "function"
    else:
        msg = f"messages of type {message.type!r} are not supported"
        raise PmockInvalidRequestError(msg)
    return [_named(message, {"role": role, "content": _content(message.content)})]


def _user(message: HumanMessage, wire: Wire) -> Iterable[WireMessage]:
    """Convert a user's message; Anthropic's contain the results of tools."""
    if isinstance(message.content, str):
        return [_named(message, {"role": "user", "content": message.content})]
    written: list[WireMessage] = []
    rest: list[str | dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            written.append(_tool_result(block, wire))
        else:
            rest.append(block)
    if rest or not written:
        written.append(_named(message, {"role": "user", "content": _content(rest)}))
    return written


def _tool_result(block: Mapping[str, Any], wire: Wire) -> WireMessage:
    result = _tool(
        required(block, "tool_use_id"),
        block.get("content") or "",
        wire,
        failed=bool(block.get("is_error")),
    )
    if mark := block.get("cache_control"):  # only parts can have it
        *parts, last = _parts(result["content"])
        result["content"] = [*parts, {**last, "cache_control": mark}]
    return result


def _tool(id_: str, content: Content, wire: Wire, *, failed: bool) -> WireMessage:
    """Convert a tool's result; there is no field for failures, so the text has it."""
    written = _content(content)
    if failed and isinstance(written, str):
        says_so = re.match(_ERROR, written)
        written = written if says_so else f"Error: {written}"
    elif failed:
        written = [_text("Error:"), *written]
    return {"role": "tool", wire.tool_call_id: id_, "content": written}


def _assistant(message: AIMessage, wire: Wire) -> WireMessage:
    extras = message.additional_kwargs
    content, reasoning, blocks = _sort(message.content)
    # The service documents no field for refusals, so they are sent as text.
    refusal = extras.get("refusal")
    if isinstance(refusal, str) and refusal:
        if not content:
            content = refusal
        elif _text(refusal) not in (parts := _parts(content)):
            content = [*parts, _text(refusal)]
    written: WireMessage = {"role": "assistant", "content": content}
    if calls := _calls(message, blocks):
        written[wire.tool_calls] = calls
    reasoning = reasoning or extras.get("reasoning_content") or ""
    if wire.reasoning_content and isinstance(reasoning, str) and reasoning:
        written[wire.reasoning_content] = reasoning
    return _named(message, written)


def _sort(
    content: Content,
) -> tuple[str | list[Part], str, list[Mapping[str, Any]]]:
    """Split an assistant's blocks into content, reasoning and tool calls."""
    if isinstance(content, str):
        return content, "", []
    parts: list[Part] = []
    reasoning: list[str] = []
    calls: list[Mapping[str, Any]] = []
    for block in map(unwrap, content):
        if isinstance(block, str):
            parts.append(_text(block))
            continue
        kind = str(block.get("type"))
        if kind in _REASONING:
            reasoning.append(_reasoning(block))
        elif kind in _TOOL_CALLS:
            calls.append(block)
        elif kind == "refusal":
            parts.append(_text(required(block, "refusal")))
        elif not _PROVIDER_RUN.fullmatch(kind):
            parts.append(content_part(block))
    # Some providers attach signatures to empty texts, which Anthropic refuses.
    parts = [part for part in parts if part.get("text") != ""]
    return parts or "", "".join(reasoning), calls


def _reasoning(block: Mapping[str, Any]) -> str:
    inner = block.get("reasoning_content")  # Bedrock's
    if isinstance(inner, dict):
        return str(inner.get("text") or "")
    text = block.get("reasoning") or block.get("thinking")
    if text is None:  # OpenAI's summaries
        return "\n\n".join(part.get("text", "") for part in block.get("summary") or ())
    return str(text)


def _calls(
    message: AIMessage, blocks: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    calls: list[tuple[Any, Any, Any]] = [
        (call["id"], call["name"], call["args"]) for call in message.tool_calls
    ]
    # The history may have a result for an invalid call, even if it has no name.
    calls += [
        (call["id"], call["name"] or "unknown", call["args"])
        for call in message.invalid_tool_calls
    ]
    # Messages of other providers may have calls in their content only.
    ids = {id_ for id_, _, _ in calls}
    calls += [call for call in map(_block_call, blocks) if call[0] not in ids]
    extras = message.additional_kwargs.get("tool_call_extras") or {}
    return [{**extras.get(call[0], {}), **_call(*call)} for call in calls]


def _block_call(block: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    # In OpenAI's blocks `id` is the block's own.
    id_ = block.get("call_id") or block.get("id")
    fields = ("args", "input", "arguments", "partial_json")
    args = next((block[field] for field in fields if block.get(field)), None)
    return id_, block.get("name"), args


def _call(id_: object, name: object, args: object) -> dict[str, Any]:
    if not (isinstance(id_, str) and id_ and isinstance(name, str) and name):
        msg = f"a tool call needs an id and a name, got id={id_!r} and name={name!r}"
        raise PmockInvalidRequestError(msg)
    arguments = _arguments(args or {}, f"args of the tool call {id_!r}")
    return {
        "id": id_,
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    }


def _arguments(args: object, place: str) -> str:
    """Serialize a call's arguments as the JSON text of an object."""
    if isinstance(args, str):  # of an invalid call
        text, is_object = args, _is_object(args)
    else:
        try:
            text, is_object = encode(args, place).decode(), isinstance(args, dict)
        except PmockInvalidRequestError:
            # LangChain's parser accepts NaN and infinity in a model's arguments.
            with contextlib.suppress(TypeError, ValueError, RecursionError):
                return encode({"invalid": json.dumps(args)}, place).decode()
            raise
    return text if is_object else encode({"invalid": text}, place).decode()


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text, allow_inf_nan=False), dict)
    except (TypeError, ValueError):
        return False


def _content(content: Content) -> str | list[Part]:
    if isinstance(content, str):
        return content
    return [content_part(block) for block in content] or ""


def _parts(content: str | list[Part]) -> list[Part]:
    return [_text(content)] if isinstance(content, str) else content


def _text(text: str) -> Part:
    return {"type": "text", "text": text}


def _named(message: BaseMessage, written: WireMessage) -> WireMessage:
    return {**written, "name": message.name} if message.name else written
