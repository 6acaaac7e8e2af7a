"""Assembly of the tool calls of a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import tool_call_chunk

from langchain_pmock._json import decode
from langchain_pmock._response.fields import Json, as_text, checked, id_of, read
from langchain_pmock._response.messages import call_extras, new_tool_call_id
from langchain_pmock._response.partial_json import WholeEscapes

if TYPE_CHECKING:
    from langchain_core.messages import ToolCallChunk

# A bracket, or a string up to its end or that of the text.
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*("|\\?\Z)|[{}\[\]]', re.DOTALL)
LONG = 1_000  # characters of arguments


@dataclass(slots=True)
class _Call:
    """The received part of a streamed tool call."""

    number: int
    id: str | None = None
    name: str = ""
    arguments: list[str] = field(default_factory=list)
    escapes: WholeEscapes = field(default_factory=WholeEscapes)
    extras: dict[str, Any] = field(default_factory=dict)


class StreamedCalls:
    """Assigns the fragments of a stream to tool calls.

    The fragments of a call share an index, and its id and name are sent once. Services
    differ: some repeat id and name, send a name in pieces, make up an id for each
    fragment, leave out the index, or use index 0 for every call.
    """

    def __init__(self) -> None:
        self._calls: list[_Call] = []
        self._by_index: dict[int | str, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None

    def deltas(self, fragments: list[dict[str, Any]]) -> list[ToolCallChunk]:
        """Convert the fragments of an event to LangChain's deltas, one for each call.

        LangChain merges deltas by index, across chunks only, and concatenates names: so
        the index is the number of the call, and each delta has what is new.
        """
        if len(fragments) == 1:
            return [self._delta(fragments[0])]
        deltas: dict[int | None, Any] = {}
        for fragment in fragments:
            delta = self._delta(fragment)
            first = deltas.setdefault(delta["index"], delta)
            if first is not delta:
                first["id"] = first["id"] or delta["id"]
                first["name"] = (first["name"] or "") + (delta["name"] or "") or None
                first["args"] += delta["args"]
        return [*deltas.values()]

    def last_deltas(self) -> list[ToolCallChunk]:
        """Return deltas for the last chunk: missing ids, and endings of cut calls."""
        deltas = []
        for call in self._calls:
            new_id = None if call.id else new_tool_call_id()
            call.id = call.id or new_id
            rest = call.escapes.end()
            rest += _seal("".join(call.arguments) + rest)
            if new_id or rest:
                args = rest or None
                deltas.append(tool_call_chunk(index=call.number, id=new_id, args=args))
        return deltas

    def extras(self) -> dict[str, dict[str, Any]]:
        """Return the unknown fields of the calls by call id, after `last_deltas`."""
        return {call.id: call.extras for call in self._calls if call.id and call.extras}

    def _delta(self, fragment: Json) -> ToolCallChunk:
        function = fragment.get("function")
        if type(function) is not dict:
            function = read(fragment, "function", dict)
        text = function.get("arguments")
        if type(text) is not str:
            text = as_text(text)
        id_ = id_of(fragment, "id") if "id" in fragment else None
        name = read(function, "name", str) if "name" in function else ""
        call = self._call(fragment.get("index"), id_, name, text)
        new_id = new_name = None
        if id_ and call.id is None:
            new_id = call.id = id_
            self._by_id.setdefault(id_, call)
        # The same name again is a repetition: no service is likely to cut `go_go_` so.
        if name and name != call.name:
            new_name = name
            call.name += name
        if extras := call_extras(fragment):
            call.extras.update(extras)
        args = call.escapes.feed(text)
        if args == "null" and not call.arguments:
            args = ""  # sent by some models for a call without arguments
        if args:
            call.arguments.append(args)
        return tool_call_chunk(index=call.number, id=new_id, name=new_name, args=args)

    def _call(self, wire_index: object, id_: str | None, name: str, text: str) -> _Call:
        """Find the call of a fragment, or begin one."""
        index = wire_index if type(wire_index) is int else _index_of(wire_index)
        call = before = self._last if index is None else self._by_index.get(index)
        if before and id_ and before.id and id_ != before.id:
            # A fragment of a call with an index may have a made-up id, but no name.
            is_same = index is not None and not name
            call = self._by_id.get(id_, before if is_same else None)
        elif before and name and before.name and not (id_ and before.id):
            is_next = index is None and before.id is None and name != before.name
            starts = text.lstrip().startswith("{")
            if is_next or (starts and is_json("".join(before.arguments))):
                call = None
        if call is None:
            call = _Call(len(self._calls))
            self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        self._last = call
        return call


def _index_of(index: Any) -> int | str | None:
    """Return the index of a fragment; its type may differ from one to the next."""
    if index is None:
        return None
    if type(index) is float and index.is_integer():
        return int(index)
    text: str = checked(index, "toolCalls.index", str)
    return int(text) if text.isdecimal() else text


def is_json(text: str) -> bool:
    try:
        decode(text)
    except ValueError:
        return False
    return True


def _seal(arguments: str) -> str:
    """Return an ending that keeps LangChain from completing arguments that are cut off.

    LangChain completes those of a merged message, `{"path": "/ho` to `{"path": "/ho"}`,
    and an agent would run the tool with incomplete arguments. An unmatched bracket
    prevents this: the call becomes one of `invalid_tool_calls`, as without streaming.
    LangChain also tries each prefix of a text that is not JSON, which takes quadratic
    time without such a bracket.
    """
    is_object = arguments.lstrip().startswith("{")
    if is_json(arguments or "{}") or not (is_object or len(arguments) >= LONG):
        return ""
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
