"""Assembly of the tool calls of a stream."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import tool_call_chunk

from langchain_pmock._json import decode
from langchain_pmock._response.messages import (
    arguments_text,
    call_extras,
    call_id,
    new_tool_call_id,
)
from langchain_pmock._response.partial_json import WholeEscapes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import ToolCallChunk

# A bracket, or a string up to its end or that of the text.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)|[{}\[\]]', re.DOTALL)
_LONG = 1_000  # characters


class _Call:
    """The received part of a streamed tool call."""

    __slots__ = ("arguments", "escapes", "extras", "id", "is_named")

    def __init__(self) -> None:
        self.id: str | None = None
        self.is_named = False
        self.arguments: list[str] = []
        self.escapes = WholeEscapes()
        self.extras: dict[str, Any] = {}


class StreamedCalls:
    """Assigns the deltas of a stream to tool calls.

    The deltas of a call share an index, and its id and name are sent once. Services
    differ: some repeat id and name, leave out the index, or use index 0 for every call.
    """

    def __init__(self) -> None:
        """Initialize the state before the first delta."""
        self._calls: list[_Call] = []
        self._by_wire_index: dict[Any, int] = {}
        self._by_id: dict[str, int] = {}

    def deltas(self, calls: list[Mapping[str, Any]] | tuple[()]) -> list[ToolCallChunk]:
        """Convert an event's tool calls to LangChain's deltas.

        Their index is the number of the call, and only the first delta of a call has
        its id and name.
        """
        return [self._delta(call) for call in calls]

    def last_deltas(self) -> list[ToolCallChunk]:
        """Return deltas for the last chunk: missing ids, and endings of cut calls."""
        deltas = []
        for index, call in enumerate(self._calls):
            new_id = None if call.id else new_tool_call_id()
            call.id = call.id or new_id
            rest = call.escapes.end()
            rest += _seal("".join(call.arguments) + rest)
            if new_id or rest:
                deltas.append(
                    tool_call_chunk(
                        index=index, id=new_id, name=None, args=rest or None
                    )
                )
        return deltas

    def extras(self) -> dict[str, dict[str, Any]]:
        """Return the unknown fields of the calls by call id, after `last_deltas`."""
        return {call.id: call.extras for call in self._calls if call.id and call.extras}

    def _delta(self, delta: Mapping[str, Any]) -> ToolCallChunk:
        function = delta.get("function") or {}
        id_, name = call_id(delta), function.get("name") or None
        index = self._index(delta.get("index"), id_, name)
        call = self._calls[index]
        new_id = id_ if call.id is None else None
        new_name = None if call.is_named else name
        call.id = call.id or id_
        if call.id is not None:
            self._by_id.setdefault(call.id, index)
        call.is_named = call.is_named or name is not None
        call.extras.update(call_extras(delta))
        args = call.escapes.feed(arguments_text(function))
        if args == "null" and not call.arguments:
            args = ""  # sent by some models for a call without arguments
        call.arguments.append(args)
        return tool_call_chunk(index=index, id=new_id, name=new_name, args=args)

    def _index(self, wire_index: Any, id_: str | None, name: str | None) -> int:
        index = self._by_wire_index.get(wire_index)
        if index is not None:
            known = self._calls[index]
            other_id = id_ is not None and known.id is not None and id_ != known.id
            unnumbered = wire_index is None and id_ is None and name is not None
            if not other_id and not (unnumbered and known.is_named):
                return index
            if other_id and id_ in self._by_id:  # continues an earlier call
                index = self._by_wire_index[wire_index] = self._by_id[id_]
                return index
        self._calls.append(_Call())
        self._by_wire_index[wire_index] = len(self._calls) - 1
        return len(self._calls) - 1


def _seal(arguments: str) -> str:
    """Return an ending that keeps LangChain from completing arguments that are cut off.

    LangChain completes those of a merged message, `{"path": "/ho` to `{"path": "/ho"}`,
    and an agent would run the tool with incomplete arguments. An unmatched bracket
    prevents this: the call becomes one of `invalid_tool_calls`, as without streaming.
    LangChain also tries each prefix of a text that is not JSON, which takes quadratic
    time without such a bracket.
    """
    try:
        decode(arguments or "{}")
    except ValueError:
        pass
    else:
        return ""
    if not arguments.lstrip().startswith("{") and len(arguments) < _LONG:
        return ""  # not an object, so LangChain does not complete it
    quote = ""
    expected: list[str] = []
    for match in _BRACKETS.finditer(arguments):
        mark = match[0]
        if mark in "{[":
            expected.append("}" if mark == "{" else "]")
        elif mark in "}]":
            if not expected or expected.pop() != mark:
                return ""  # has an unmatched bracket
        elif match[1] != '"':  # the text ends within a string
            quote = match[1] + '"'  # match[1] is the backslash of a cut escape
    return quote + ("]" if expected and expected[-1] == "}" else "}")
