"""Answers and streams, as `langchain_pmock._response` converts them."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessage, message_chunk_to_message

from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import chat_result
from tests.support.wire import choice_of, data_of, envelope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import AIMessageChunk
    from langchain_core.outputs import ChatResult

    from tests.support.wire import Json


def result_of(*choices: Json, trace_id: str | None = None, **fields: Any) -> ChatResult:
    """The result of a whole answer; `fields` are those of its data."""
    return chat_result(envelope(data_of(*choices, **fields), traceId=trace_id))


def message_of(message: Json, finish_reason: str = "stop", **fields: Any) -> AIMessage:
    """The message of a whole answer."""
    (generation,) = result_of(choice_of(message, finish_reason), **fields).generations
    return cast("AIMessage", generation.message)


def chunks_of(events: Iterable[Json], **fields: Any) -> list[AIMessageChunk]:
    """The chunks of a stream; `fields` are those of each envelope."""
    parser = ChunkParser()
    chunks = [parser.event(envelope(event, **fields)) for event in events]
    found = [*(chunk for chunk in chunks if chunk is not None), parser.end()]
    return [cast("AIMessageChunk", chunk.message) for chunk in found]


def streamed(*events: Json, **fields: Any) -> AIMessage:
    """The message of a stream."""
    merged = reduce(add, chunks_of(events, **fields))
    return cast("AIMessage", message_chunk_to_message(merged))


def fragment(arguments: object = None, name: str | None = None, **fields: Any) -> Json:
    """A fragment of a tool call; only what is given is in it."""
    function = {"name": name, "arguments": arguments}
    given = {key: value for key, value in function.items() if value is not None}
    return {**fields, "function": given}
