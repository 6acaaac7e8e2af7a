"""From the events of a stream to LangChain's chunks: the hot path.

A streamed text token is one look at the event, one `AIMessageChunk`, one
`ChatGenerationChunk`. Whatever is rarer goes the longer way below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_pmock._json import UnreadableError
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
    from collections.abc import Mapping

    from langchain_core.messages import ToolCallChunk

_EVENT_FIELDS = (
    5  # id, model, created, object, choices: an event with no more than text
)
_CHOICE_FIELDS = 2  # index, delta


class ChunkParser:
    """Makes the chunks of one stream; one for each attempt.

    Its own state is what must come once in the merged message: the id, the metadata of
    the answer with the first chunk; the finish reason and the usage with the last.
    """

    def __init__(self) -> None:
        """Start before the first event."""
        self.finished = False
        self.trace_id: str | None = None
        self._id: str | None = None
        self._said: dict[str, Any] = {}  # metadata that a chunk already carried
        self._last: dict[str, Any] = {}  # the answer's metadata so far
        # Held back for the last chunk: merging would add up what each event repeats.
        self._late_metadata: dict[str, Any] = {}
        self._late_extras: dict[str, Any] = {}
        self._usage: Mapping[str, Any] | None = None
        # Handed on whole: LangChain's events know no pieces of a refusal.
        self._refusal = ""
        self._tool_calls = StreamedCalls()
        self._texts = _TextChunks()

    def event(self, envelope: Mapping[str, Any]) -> ChatGenerationChunk | None:
        """Take in one event.

        Args:
            envelope: The event's envelope, known to be a success with `data`.

        Returns:
            A chunk, or `None` if the event has nothing to hand on yet.

        Raises:
            UnreadableError: If the event has more than one choice.
        """
        data = envelope["data"]
        choices = data.get("choices")
        is_short = len(data) <= _EVENT_FIELDS and "usage" not in data
        if self._said and is_short and choices and len(choices) == 1:
            choice = choices[0]
            delta = choice.get("delta")
            is_plain = len(choice) == _CHOICE_FIELDS and choice.get("index") == 0
            if delta and len(delta) == 1 and is_plain:
                text = delta.get("content")
                if text and type(text) is str:
                    return self._texts.make(text, self._id)
                if calls := delta.get("toolCalls"):
                    return self._tool_call_chunk(calls)
        return self._any_event(envelope, data, choices or ())

    def end(self) -> ChatGenerationChunk:
        """Take in the end of the stream.

        Returns:
            The last chunk: finish reason, usage, and ids for tool calls without one.

        Raises:
            UnreadableError: If no event had a choice.
        """
        if not (self.finished or self._said or self._refusal or self._late_extras):
            raise UnreadableError(NO_CHOICES)
        refusal = {"refusal": self._refusal} if self._refusal else {}
        return ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                additional_kwargs={**self._late_extras, **refusal},
                id=self._id,
                response_metadata={
                    "model_provider": PROVIDER,
                    **self._new(self._last),
                    **self._late_metadata,
                },
                usage_metadata=usage_metadata(self._usage),
                tool_call_chunks=self._tool_calls.last_deltas(),
                chunk_position="last",
            )
        )

    def _any_event(
        self,
        envelope: Mapping[str, Any],
        data: Mapping[str, Any],
        choices: list[Mapping[str, Any]] | tuple[()],
    ) -> ChatGenerationChunk | None:
        if not self._id and (id_ := data.get("id")):
            self._id = _text_of(id_)
        self.trace_id = self.trace_id or get(envelope, "trace_id")
        self._last.update(answer_metadata(data, self.trace_id))
        # Some services count up in each event: only the last count is the whole.
        self._usage = data.get("usage") or self._usage
        if not choices:
            return None
        if len(choices) > 1 or choices[0].get("index"):
            msg = "the stream has several choices, though one was asked for"
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
        self._refusal += extras.pop("refusal", "")
        self._late_extras.update(extras)
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
                **self._new(self._last),
                **logprobs,
            },
        )

    def _tool_call_chunk(self, calls: list[Mapping[str, Any]]) -> ChatGenerationChunk:
        return _calls_chunk(
            self._tool_calls.deltas(calls),
            content="",
            id=self._id,
            response_metadata={"model_provider": PROVIDER},
        )

    def _new(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Take what no chunk carried yet: merging adds up what comes twice."""
        new = {k: v for k, v in metadata.items() if k not in self._said}
        self._said.update(new)
        return new


def _text_of(id_: object) -> str:
    """Read an id as LangChain's constructors do, which the fast way does not call."""
    if isinstance(id_, str):
        return id_
    if type(id_) not in (int, float):
        msg = "its id is no text"
        raise UnreadableError(msg)
    return str(id_)


def _take(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Take one field out, as a dict that is empty if there was none."""
    return {name: fields.pop(name)} if name in fields else {}


# What LangChain's constructors make of a text.
_CHUNK = ChatGenerationChunk(
    message=AIMessageChunk(
        content="", id=None, response_metadata={"model_provider": PROVIDER}
    )
)
_OF_CHUNK, _OF_MESSAGE = vars(_CHUNK), vars(_CHUNK.message)


class _TextChunks:
    """Makes the chunks of a stream's text: copies of one, with lists of their own.

    They are made as unpickling makes them: to construct and validate each anew would be
    a tenth of all that a token costs. Those of one stream share pydantic's record of
    which fields were set, a quarter of what a chunk takes up.
    """

    def __init__(self) -> None:
        self._set_in_chunk = set(_CHUNK.model_fields_set)
        self._set_in_message = set(_CHUNK.message.model_fields_set)

    def make(self, text: str, id_: str | None) -> ChatGenerationChunk:
        message = AIMessageChunk.__new__(AIMessageChunk)
        message.__setstate__(
            {
                "__dict__": {
                    **_OF_MESSAGE,
                    "content": text,
                    "id": id_,
                    "additional_kwargs": {},
                    "response_metadata": {"model_provider": PROVIDER},
                    "tool_calls": [],
                    "invalid_tool_calls": [],
                    "tool_call_chunks": [],
                },
                "__pydantic_extra__": {},
                "__pydantic_fields_set__": self._set_in_message,
                "__pydantic_private__": None,
            }
        )
        chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
        chunk.__setstate__(
            {
                # LangChain keeps the chunks of a stream to its end. Its constructor's
                # text is one that the garbage collector looks at; a plain one is not.
                "__dict__": {**_OF_CHUNK, "text": text, "message": message},
                "__pydantic_extra__": None,
                "__pydantic_fields_set__": self._set_in_chunk,
                "__pydantic_private__": None,
            }
        )
        return chunk


def _calls_chunk(calls: list[ToolCallChunk], **fields: Any) -> ChatGenerationChunk:
    """Make a chunk with deltas of tool calls.

    LangChain parses the arguments of each chunk that it makes. A piece from the middle
    is no JSON, so it drops a character and tries again, to the last one: minutes, for
    long arguments. Only a piece with which a call begins is given to be parsed.
    """
    begin = any(call["name"] for call in calls)
    message = AIMessageChunk(tool_call_chunks=calls if begin else [], **fields)
    message.tool_call_chunks = calls
    return ChatGenerationChunk(message=message)
