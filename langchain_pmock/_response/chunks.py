"""Conversion of the events of a stream to LangChain's chunks.

Text tokens and pieces of tool calls have a fast path in `ChunkParser.event`.
"""

from __future__ import annotations

from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_pmock._json import UnreadableError, decode
from langchain_pmock._response.messages import (
    NO_CHOICES,
    PROVIDER,
    answer_metadata,
    choice_metadata,
    get,
    message_extras,
    usage_metadata,
)
from langchain_pmock._response.tool_calls import StreamedCalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from langchain_core.messages import ToolCallChunk

_EVENT_FIELDS = 5  # of an event with only text: id, model, created, object, choices
_CHOICE_FIELDS = 2  # index, delta
_LONG = 1_000  # characters of arguments


class ChunkParser:
    """Converts the events of one attempt at a stream to chunks.

    LangChain merges the chunks by adding up their fields. Therefore only the first
    chunk has the metadata of the answer, and only the last one the finish reason and
    the usage.

    Attributes:
        finished: Whether an event had the finish reason.
        trace_id: The service's id of the request, once an event had it.
    """

    def __init__(self) -> None:
        """Initialize the state before the first event."""
        self.finished = False
        self.trace_id: str | None = None
        self._id: str | None = None
        self._metadata: dict[str, Any] = {}  # of the answer
        self._emitted: dict[str, Any] = {}
        # For the last chunk, because each event may repeat them.
        self._late_metadata: dict[str, Any] = {}
        self._late_extras: dict[str, list[Any]] = {}
        self._usage: object = None
        self._tool_calls = StreamedCalls()
        self._make_text = text_chunks()
        self._make_piece = text_chunks()

    def event(self, envelope: Mapping[str, Any]) -> ChatGenerationChunk | None:
        """Convert an event.

        Raises:
            UnreadableError: If the event has more than one choice.
        """
        data = envelope["data"]
        choices = data.get("choices")
        is_short = len(data) <= _EVENT_FIELDS and "usage" not in data
        if self._emitted and is_short and choices and len(choices) == 1:
            choice = choices[0]
            delta = choice.get("delta")
            is_plain = len(choice) == _CHOICE_FIELDS and choice.get("index") == 0
            if delta and len(delta) == 1 and is_plain:
                text = delta.get("content")
                if text and type(text) is str:
                    return self._make_text(text, self._id)
                if calls := delta.get("toolCalls"):
                    return self._tool_call_chunk(calls)
        return self._any_event(envelope, data, choices or ())

    def end(self) -> ChatGenerationChunk:
        """Create the last chunk, with finish reason, usage and unknown fields.

        Raises:
            UnreadableError: If no event had a choice.
        """
        if not (self.finished or self._emitted or self._late_extras):
            raise UnreadableError(NO_CHOICES)
        calls = self._tool_calls.last_deltas()
        extras = {n: _joined(n, parts) for n, parts in self._late_extras.items()}
        if call_extras := self._tool_calls.extras():
            extras["tool_call_extras"] = call_extras
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                additional_kwargs=extras,
                id=self._id,
                response_metadata={
                    "model_provider": PROVIDER,
                    **self._new(self._metadata),
                    **self._late_metadata,
                },
                usage_metadata=usage_metadata(self._usage),
                tool_call_chunks=calls,
                chunk_position="last",
            )
        )

    def _any_event(
        self,
        envelope: Mapping[str, Any],
        data: Mapping[str, Any],
        choices: list[Mapping[str, Any]] | tuple[()],
    ) -> ChatGenerationChunk | None:
        self.trace_id = self.trace_id or get(envelope, "trace_id")
        metadata = answer_metadata(data, self.trace_id)
        self._id = self._id or metadata.get("id")
        self._metadata.update(metadata)
        # Some services send cumulative usage in each event: the last one counts.
        self._usage = data.get("usage") or self._usage
        if not choices:
            return None
        if len(choices) > 1 or choices[0].get("index"):
            msg = "the stream has several choices, but one was requested"
            raise UnreadableError(msg)
        choice = choices[0]
        delta = choice.get("delta") or choice.get("message") or {}
        metadata = choice_metadata(choice)
        self.finished = self.finished or "finish_reason" in metadata
        logprobs = _take(metadata, "logprobs")
        self._late_metadata.update(metadata)
        content = delta.get("content") or ""
        extras = message_extras(delta)
        reasoning = _take(extras, "reasoning_content")
        for name, value in extras.items():
            self._late_extras.setdefault(name, []).append(value)
        calls = self._tool_calls.deltas(get(delta, "tool_calls") or ())
        if not (content or reasoning or calls or logprobs):
            return None
        return _calls_chunk(
            calls,
            content=content,
            additional_kwargs=reasoning,
            id=self._id,
            response_metadata={
                "model_provider": PROVIDER,
                **self._new(self._metadata),
                **logprobs,
            },
        )

    def _tool_call_chunk(self, calls: list[Mapping[str, Any]]) -> ChatGenerationChunk:
        deltas = self._tool_calls.deltas(calls)
        if any(delta["name"] for delta in deltas):
            metadata = {"model_provider": PROVIDER}
            return _calls_chunk(
                deltas, content="", id=self._id, response_metadata=metadata
            )
        chunk = self._make_piece("", self._id)
        cast("AIMessageChunk", chunk.message).tool_call_chunks = deltas
        return chunk

    def _new(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata that no chunk had yet."""
        new = {k: v for k, v in metadata.items() if k not in self._emitted}
        self._emitted.update(new)
        return new


def _take(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Remove a field and return it as a dict, empty without the field."""
    return {name: fields.pop(name)} if name in fields else {}


def _joined(name: str, parts: list[Any]) -> Any:
    """Join the pieces of a text or list; a value that each event repeats is one."""
    if name != "refusal" and all(part == parts[0] for part in parts):
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    if all(isinstance(part, list) for part in parts):
        return [*chain.from_iterable(parts)]
    return parts[-1]


def text_chunks() -> Callable[[str, str | None], ChatGenerationChunk]:
    """Return a function that creates the text chunks of one stream."""
    fields_set = _fields_set()
    return _TextChunks(*map(set, fields_set)).make if fields_set else _construct


@cache
def _fields_set() -> tuple[set[str], set[str]] | None:
    """Return the fields set in a chunk and its message; `None` if restoring fails."""
    made = _construct("a", "1")
    fields_set = made.model_fields_set, made.message.model_fields_set
    try:
        restored = _TextChunks(*fields_set).make("a", "1")
    except (AttributeError, LookupError, TypeError):
        return None
    is_equal = (
        restored.__getstate__() == made.__getstate__()
        and restored.message.__getstate__() == made.message.__getstate__()
    )
    return fields_set if is_equal else None


def _construct(text: str, id_: str | None) -> ChatGenerationChunk:
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=text, id=id_, response_metadata={"model_provider": PROVIDER}
        )
    )


class _TextChunks:
    """Creates the text chunks of a stream by restoring their state, as unpickling does.

    Constructing and validating each one would take a tenth of the time of a token. The
    chunks of a stream share pydantic's set of the fields that were set, a quarter of
    their memory. Written for langchain-core 1.6 to 1.8; `_fields_set` checks it.
    """

    def __init__(self, set_in_chunk: set[str], set_in_message: set[str]) -> None:
        self._set_in_chunk = set_in_chunk
        self._set_in_message = set_in_message

    def make(self, text: str, id_: str | None) -> ChatGenerationChunk:
        message = AIMessageChunk.__new__(AIMessageChunk)
        message.__setstate__(
            {
                "__dict__": {
                    "content": text,
                    "additional_kwargs": {},
                    "response_metadata": {"model_provider": PROVIDER},
                    "type": "AIMessageChunk",
                    "name": None,
                    "id": id_,
                    "tool_calls": [],
                    "invalid_tool_calls": [],
                    "usage_metadata": None,
                    "tool_call_chunks": [],
                    "chunk_position": None,
                },
                "__pydantic_extra__": {},
                "__pydantic_fields_set__": self._set_in_message,
                "__pydantic_private__": None,
            }
        )
        chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
        chunk.__setstate__(
            {
                # LangChain keeps the chunks until the stream ends. A plain `str` is not
                # tracked by the garbage collector, unlike the constructor's text.
                "__dict__": {
                    "text": text,
                    "generation_info": None,
                    "type": "ChatGenerationChunk",
                    "message": message,
                },
                "__pydantic_extra__": None,
                "__pydantic_fields_set__": self._set_in_chunk,
                "__pydantic_private__": None,
            }
        )
        return chunk


def _calls_chunk(calls: list[ToolCallChunk], **fields: Any) -> ChatGenerationChunk:
    """Create a chunk with deltas of tool calls.

    LangChain parses the arguments of each chunk that is constructed, and tries each
    prefix of text that is not JSON, which takes minutes for long arguments. So only the
    first piece of a call is parsed, if it is short or complete.
    """
    is_parsed = any(call["name"] for call in calls) and all(
        _is_soon_parsed(call["args"] or "") for call in calls
    )
    message = AIMessageChunk(tool_call_chunks=calls if is_parsed else [], **fields)
    message.tool_call_chunks = calls
    return ChatGenerationChunk(message=message)


def _is_soon_parsed(arguments: str) -> bool:
    if len(arguments) < _LONG:
        return True
    try:
        decode(arguments)
    except ValueError:
        return False
    return True
