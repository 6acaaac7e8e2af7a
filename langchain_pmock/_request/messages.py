"""Conversion of LangChain's messages to the request's messages."""

from __future__ import annotations

import re
import reprlib
from contextlib import suppress
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
from langchain_pmock._request.content import (
    Block,
    Part,
    block_type,
    content_part,
    optional,
    required,
    text_part,
    unwrap,
)
from langchain_pmock._wire import Wire
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

WireMessage = dict[str, Any]

_CLASSES = {HumanMessage: "user", AIMessage: "assistant", FunctionMessage: "function"}
_ROLES = {"human": "user", "ai": "assistant"}  # of a ChatMessage
# LangChain's standard types, then those of providers.
_REASONING = {"reasoning", "thinking", "reasoning_content", "redacted_thinking"}
_TOOL_CALLS = {"tool_call", "invalid_tool_call", "tool_call_chunk"}
_TOOL_CALLS |= {"tool_use", "function_call", "custom_tool_call"}
_NO_CONTENT = _REASONING | _TOOL_CALLS
# Calls and results of tools that a provider ran itself, and other blocks that only it
# can read: of LangChain, Anthropic, OpenAI, Google and Mistral. New types follow them.
# OpenAI's `computer_call` and `local_shell_call` are executed by the client and
# answered by tool messages, so they cannot be left out.
_PROVIDER_RUN = re.compile(
    r"server_tool_\w+|\w+_tool_(use|result)|mcp_\w+|tool_search_output"
    r"|(?!computer_|local_shell_)\w+_call(_output)?|program(_output)?"
    r"|executable_code|code_execution_result|function_call_signature"
    r"|container_upload|compaction|fallback|reference|item_reference|additional_tools"
)


def to_wire(
    messages: Sequence[BaseMessage],
    wire: Wire = Wire(),  # noqa: B008 - it is immutable
) -> list[WireMessage]:
    """Convert messages to the request's messages, including those of other providers.

    Tools that a provider ran itself are left out, and so is reasoning unless `wire`
    names a field for it. The arguments of a tool call are sent as the JSON text of an
    object; other arguments, such as those of a call that was cut off, are sent as
    `{"invalid": "<the text>"}`. Additional fields of a tool call are read from
    `additional_kwargs["tool_call_extras"]`, by the call's id.
    """
    if not messages:
        msg = "messages=[] is not valid: pmock needs at least one message."
        raise PmockInvalidRequestError(msg)
    written: list[WireMessage] = []
    for index, message in enumerate(messages):
        try:
            written += _message(message, wire)
        except PmockInvalidRequestError as error:
            msg = f"messages[{index}] ({type(message).__name__}): {error}"
            raise PmockInvalidRequestError(msg) from error
    return written


def _message(message: BaseMessage, wire: Wire) -> Iterable[WireMessage]:
    content: Any = message.content
    results: list[WireMessage] = []
    if isinstance(message, ToolMessage):
        content = _content(content, failed=message.status == "error")
        id_ = message.tool_call_id
        written = {"role": "tool", wire.tool_call_id: id_, "content": content}
    elif (role := _role(message)) == "assistant":
        written = _assistant(message, wire)
    else:
        if isinstance(content, list):  # Anthropic's have the results of tools
            results = [_result(block, wire) for block in content if _is_result(block)]
            content = [block for block in content if not _is_result(block)]
        if results and not content:
            return results
        written = {"role": role, "content": _content(content)}
    if message.name:
        written["name"] = message.name
    return [*results, written]


def _role(message: BaseMessage) -> Any:
    if isinstance(message, SystemMessage):
        # LangChain's marker for OpenAI's role "developer".
        return message.additional_kwargs.get("__openai_role__", "system")
    if isinstance(message, ChatMessage):
        return _ROLES.get(message.role, message.role)
    for kind, role in _CLASSES.items():
        if isinstance(message, kind):
            return role
    msg = f"messages of type {message.type!r} are not supported"
    raise PmockInvalidRequestError(msg)


def _is_result(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") == "tool_result"


def _result(block: Block, wire: Wire) -> WireMessage:
    id_ = required(block, "tool_use_id")
    return {"role": "tool", wire.tool_call_id: id_, "content": _result_content(block)}


def _result_content(block: Block) -> str | list[Part]:
    content = _content(block.get("content") or "", failed=bool(block.get("is_error")))
    if mark := block.get("cache_control"):  # only parts can have it
        *parts, last = _parts(content)
        content = [*parts, {**last, "cache_control": mark}]
    return content


def _content(content: Any, *, failed: bool = False) -> str | list[Part]:
    """Convert content; there is no field for a tool's failure, so the text has it."""
    if not isinstance(content, str):
        parts = _parts(content)
        return [text_part("Error:"), *parts] if failed else parts or ""
    # Not before "Error: ..." and "ValueError: ...".
    is_marked = not failed or re.match(r"(error|ERROR|\w*Error)\b", content)
    return content if is_marked else f"Error: {content}"


def _parts(content: Any, *, of_model: bool = False) -> list[Part]:
    """Convert blocks to parts, without those that are no content."""
    if isinstance(content, str):
        return [text_part(content)]
    if not isinstance(content, list):
        msg = f"content={reprlib.repr(content)} must be a string or a list of blocks"
        raise PmockInvalidRequestError(msg)
    parts: list[Part] = []
    for block in map(unwrap, content):
        kind = block_type(block)
        is_provider_run = of_model and _PROVIDER_RUN.fullmatch(kind)
        is_mark = "cachePoint" in block  # Bedrock's
        if kind == "tool_result":
            parts += _parts(_result_content(block))
        elif not (kind in _NO_CONTENT or is_provider_run or is_mark):
            parts.append(content_part(block))
    return parts


def _assistant(message: BaseMessage, wire: Wire) -> WireMessage:
    extras = message.additional_kwargs
    content: Any = message.content
    blocks: list[Block] = []
    if not isinstance(content, str):
        parts = _parts(content, of_model=True)
        # Some providers attach signatures to empty texts, which Anthropic refuses.
        content = [part for part in parts if part.get("text") != ""] or ""
        blocks = [*map(unwrap, message.content)]
    # The service documents no field for refusals, so they are sent as text.
    if isinstance(refusal := extras.get("refusal"), str) and refusal:
        parts = _parts(content) if content else []
        if text_part(refusal) not in parts:
            content = [*parts, text_part(refusal)] if parts else refusal
    written: WireMessage = {"role": "assistant", "content": content}
    if calls := _calls(message, [b for b in blocks if block_type(b) in _TOOL_CALLS]):
        written[wire.tool_calls] = calls
    if wire.reasoning_content:
        thoughts = [block for block in blocks if block_type(block) in _REASONING]
        text = "".join(map(_reasoning, thoughts)) or extras.get("reasoning_content")
        if isinstance(text, str) and text:
            written[wire.reasoning_content] = text
    return written


def _reasoning(block: Block) -> str:
    block = {**block, **_dict(block.get("reasoning_content"))}  # Bedrock's
    for name in ("summary", "thinking"):  # lists of OpenAI and Mistral
        if isinstance(parts := block.get(name), list):
            return "\n\n".join(optional(_dict(part), "text") for part in parts)
    names = ("reasoning", "thinking", "text")
    return next(filter(None, (optional(block, name) for name in names)), "")


def _calls(message: BaseMessage, blocks: Iterable[Block]) -> list[dict[str, Any]]:
    kwargs = message.additional_kwargs
    extras = _dict(kwargs.get("tool_call_extras"))
    parsed: list[Any] = getattr(message, "tool_calls", [])
    parsed = [*parsed, *getattr(message, "invalid_tool_calls", [])]
    # Messages of other providers may have calls in their content only.
    found = filter(_is_answerable, parsed or blocks)
    calls = [_call(call, extras) for call in found]
    if not calls and isinstance(raw := kwargs.get("tool_calls"), list):
        flat = ({**call, **_dict(call.get("function"))} for call in map(_dict, raw))
        calls = [_call(call, extras) for call in flat]
    return calls


def _is_answerable(call: Block) -> bool:
    """Whether the history may have a result for a call; else it need not be sent."""
    return call.get("type") != "invalid_tool_call" or bool(call.get("id"))


def _call(block: Block, extras: Mapping[str, Any]) -> dict[str, Any]:
    # In OpenAI's blocks `id` is the block's own.
    id_ = optional(block, "call_id") or optional(block, "id")
    fields = ("args", "input", "arguments", "partial_json")
    args: object = next((block[field] for field in fields if block.get(field)), {})
    function = {
        "name": optional(block, "name") or "unknown",
        "arguments": _arguments(args, f"args of the tool call {id_!r}"),
    }
    call = {"id": id_} if id_ else {}
    return {**_dict(extras.get(id_)), **call, "type": "function", "function": function}


def _arguments(args: object, place: str) -> str:
    """Serialize a call's arguments as the JSON text of an object."""
    # LangChain's parser accepts NaN and infinity in a model's arguments.
    if not isinstance(args, str):
        args = encode(args, place, allow_nan=True).decode()
    with suppress(TypeError, ValueError):  # TypeError for lone surrogates
        if isinstance(from_json(args, allow_inf_nan=False), dict):
            return args
    return encode({"invalid": args}, place).decode()


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
