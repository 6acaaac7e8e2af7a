"""From LangChain's messages to the wire's. Pure functions: no HTTP here."""

from __future__ import annotations

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

from langchain_pmock._request.content import content_part, required, unwrap

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from langchain_pmock._request.content import Part

WireMessage = dict[str, Any]

# How the text of a failure begins: "Error: ...", "ValueError: ...".
_ERROR = r"(error|ERROR|\w*Error)\b"

_ROLES = {"human": "user", "ai": "assistant"}
# LangChain's names for a block first, then those of other providers' own blocks.
_REASONING = ("reasoning", "thinking", "reasoning_content")
_TOOL_CALLS = (
    "tool_call",
    "invalid_tool_call",
    "tool_call_chunk",
    "tool_use",
    "function_call",
)


def to_wire(messages: Sequence[BaseMessage]) -> list[WireMessage]:
    """Write messages as the wire has them.

    Args:
        messages: The conversation; at least one message.

    Returns:
        The request's `messages`.

    Raises:
        ValueError: If there is no message, or one that cannot be sent. The text names
            the message by its place and says why.
    """
    if not messages:
        msg = "messages=[] is not valid: pmock needs at least one message."
        raise ValueError(msg)
    wire: list[WireMessage] = []
    for message in messages:
        try:
            wire.extend(_message(message))
        except (TypeError, ValueError) as error:  # noqa: PERF203 - it tells which message
            place = f"messages[{messages.index(message)}] ({type(message).__name__})"
            msg = f"{place}: {error}"
            raise ValueError(msg) from error
    return wire


def _message(message: BaseMessage) -> Iterable[WireMessage]:
    if isinstance(message, AIMessage):
        return [_assistant(message)]
    if isinstance(message, ToolMessage):
        return [_tool(message)]
    if isinstance(message, HumanMessage):
        return _user(message)
    if isinstance(message, SystemMessage):
        # LangChain's mark for the role that OpenAI's newer models have for it.
        role = message.additional_kwargs.get("__openai_role__", "system")
    elif isinstance(message, ChatMessage):
        role = _ROLES.get(message.role, message.role)
    elif isinstance(message, FunctionMessage):
        role = "function"
    else:
        msg = f"a message of type {message.type!r} has no role on the wire"
        raise ValueError(msg)  # noqa: TRY004 - its value, to the caller
    return [_named(message, {"role": role, "content": _content(message.content)})]


def _user(message: HumanMessage) -> Iterable[WireMessage]:
    """Write a user's message; Anthropic puts the results of tools into it."""
    if isinstance(message.content, str):
        return [_named(message, {"role": "user", "content": message.content})]
    wire: list[WireMessage] = []
    rest: list[str | dict[str, Any]] = []
    for block in message.content:
        if isinstance(block, dict) and block.get("type") == "tool_result":
            wire.append(_tool_result(block))
        else:
            rest.append(block)
    if rest or not wire:
        wire.append(_named(message, {"role": "user", "content": _content(rest)}))
    return wire


def _tool_result(block: Mapping[str, Any]) -> WireMessage:
    content = block.get("content") or ""
    if mark := block.get("cache_control"):  # it has a place on a part alone
        parts = [content] if isinstance(content, str) else list(content)
        last = parts[-1]
        if isinstance(last, str):
            last = {"type": "text", "text": last}
        content = [*parts[:-1], {**last, "cache_control": mark}]
    return {
        "role": "tool",
        "toolCallId": required(block, "tool_use_id"),
        "content": _result(content, failed=block.get("is_error")),
    }


def _tool(message: ToolMessage) -> WireMessage:
    wire = {
        "role": "tool",
        "toolCallId": message.tool_call_id,
        "content": _result(message.content, failed=message.status == "error"),
    }
    return _named(message, wire)


def _result(
    content: str | list[str | dict[str, Any]], *, failed: bool | None
) -> str | list[dict[str, Any]]:
    """Write a tool's result. The wire has no field for a failure: the text says it."""
    written = _content(content)
    if not failed:
        return written
    if isinstance(written, str):
        said = re.match(_ERROR, written)
        return written if said else f"Error: {written}"
    return [{"type": "text", "text": "Error:"}, *written]


def _assistant(message: AIMessage) -> WireMessage:
    content, reasoning, refusals, blocks = _sort(message.content)
    calls = [
        _call(call["id"], call["name"], call["args"]) for call in message.tool_calls
    ]
    # An invalid call may have no name, but its result may follow and needs the call.
    calls += [
        _call(call["id"], call["name"] or "unknown", call["args"])
        for call in message.invalid_tool_calls
    ]
    # What stands in the content alone, such as another provider's calls.
    ids = {call["id"] for call in calls}
    calls.extend(_block_call(block) for block in blocks if _call_id(block) not in ids)
    extras = message.additional_kwargs
    reasoning = reasoning or extras.get("reasoning_content") or ""
    refusal = "".join(refusals) or extras.get("refusal") or ""
    wire: WireMessage = {"role": "assistant", "content": content}
    if calls:
        wire["toolCalls"] = calls
    if isinstance(reasoning, str) and reasoning:
        wire["reasoningContent"] = reasoning
    if refusal:
        wire["refusal"] = refusal
    return _named(message, wire)


def _sort(
    content: str | list[str | dict[str, Any]],
) -> tuple[str | list[Part], str, list[str], list[Mapping[str, Any]]]:
    """Sort an assistant's blocks: content, reasoning, refusals, tool calls."""
    if isinstance(content, str):
        return content, "", [], []
    parts, reasoning, refusals, calls = [], [], [], []
    for block in map(unwrap, content):
        kind = block.get("type") if isinstance(block, dict) else None
        if isinstance(block, str):
            parts.append(content_part(block))
        elif kind in _REASONING:
            reasoning.append(_reasoning(block))
        elif kind == "refusal":
            refusals.append(required(block, "refusal"))
        elif kind in _TOOL_CALLS:
            calls.append(block)
        else:
            parts.append(content_part(block))
    return parts or "", "".join(reasoning), refusals, calls


def _reasoning(block: Mapping[str, Any]) -> str:
    inner = block.get("reasoning_content")  # Bedrock's
    if isinstance(inner, dict):
        return str(inner.get("text") or "")
    text = block.get("reasoning") or block.get("thinking")
    if text is None:  # OpenAI's summaries
        return "\n\n".join(part.get("text", "") for part in block.get("summary") or ())
    return str(text)


def _call_id(block: Mapping[str, Any]) -> str | None:
    # OpenAI's own blocks have an id of the block beside that of the call.
    return block.get("call_id") or block.get("id")


def _block_call(block: Mapping[str, Any]) -> dict[str, Any]:
    args = block.get("args", block.get("input", block.get("arguments")))
    return _call(_call_id(block), block.get("name"), args)


def _call(id_: str | None, name: str | None, args: object) -> dict[str, Any]:
    if not id_ or not name:
        msg = f"a tool call needs an id and a name, got id={id_!r} and name={name!r}"
        raise ValueError(msg)
    if not isinstance(args, str):
        args = json.dumps(args or {}, ensure_ascii=False)
    return {
        "id": id_,
        "type": "function",
        "function": {"name": name, "arguments": args},
    }


def _content(
    content: str | list[str | dict[str, Any]],
) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [content_part(block) for block in content] or ""


def _named(message: BaseMessage, wire: WireMessage) -> WireMessage:
    return {**wire, "name": message.name} if message.name else wire
