"""Tool calls of a stream, told apart whatever way a service numbers them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.messages.tool import tool_call_chunk
from langchain_core.utils.json import parse_partial_json

from langchain_pmock._response.messages import arguments_text, new_tool_call_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_core.messages import ToolCallChunk


class _Call:
    """One tool call of a stream, as far as it has come."""

    __slots__ = ("arguments", "id", "is_named")

    def __init__(self) -> None:
        self.id: str | None = None
        self.is_named = False
        self.arguments: list[str] = []


class StreamedCalls:
    """Tells apart the tool calls of a stream.

    A call's deltas share an index, and its id and name come once. Services differ: some
    repeat id and name, some leave out the index, some give every call the index 0.
    """

    def __init__(self) -> None:
        """Start before the first."""
        self._calls: list[_Call] = []
        self._by_wire_index: dict[Any, int] = {}

    def deltas(self, calls: list[Mapping[str, Any]] | tuple[()]) -> list[ToolCallChunk]:
        """Take in the deltas of an event.

        Args:
            calls: The event's tool calls, as they are on the wire.

        Returns:
            LangChain's deltas: the index tells which call, id and name come once.
        """
        return [self._delta(call) for call in calls]

    def last_deltas(self) -> list[ToolCallChunk]:
        """Give what calls lack at the end of the stream.

        Returns:
            An id for each call without one, a seal for each that is cut short.
        """
        deltas = []
        for index, call in enumerate(self._calls):
            seal = _seal("".join(call.arguments)) or None
            if not call.id or seal:
                new_id = None if call.id else new_tool_call_id()
                deltas.append(
                    tool_call_chunk(index=index, id=new_id, name=None, args=seal)
                )
        return deltas

    def _delta(self, delta: Mapping[str, Any]) -> ToolCallChunk:
        function = delta.get("function") or {}
        id_, name = delta.get("id") or None, function.get("name") or None
        index = self._index(delta.get("index"), id_, name)
        call = self._calls[index]
        new_id = id_ if call.id is None else None
        new_name = None if call.is_named else name
        call.id = call.id or id_
        call.is_named = call.is_named or name is not None
        args = arguments_text(function)
        if args == "null" and not call.arguments:
            args = ""  # some models' way to give none
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
            ids = [call.id for call in self._calls]
            if other_id and id_ in ids:  # back to a call before this one
                index = self._by_wire_index[wire_index] = ids.index(id_)
                return index
        self._calls.append(_Call())
        self._by_wire_index[wire_index] = len(self._calls) - 1
        return len(self._calls) - 1


def _seal(arguments: str) -> str:
    """Find what keeps LangChain from completing arguments that are cut.

    It mends a merged message's arguments, `{"path": "/ho` to `{"path": "/ho"}`, and an
    agent would run the tool with half of them. A bracket that closes nothing cannot be
    mended: the call ends in `invalid_tool_calls`, as it does when it is not streamed.
    """
    try:
        json.loads(arguments or "{}", strict=False)
    except ValueError:
        ends = ["", *(end + bracket for end in ("", '"', '\\"') for bracket in "]}")]
        return next((end for end in ends if not _is_mended(arguments + end)), "")
    return ""


def _is_mended(arguments: str) -> bool:
    try:
        return isinstance(parse_partial_json(arguments), dict)
    except ValueError:
        return False
