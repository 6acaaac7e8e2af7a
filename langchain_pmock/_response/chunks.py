"""Conversion of the events of a stream to LangChain's chunks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk, merge_content
from langchain_core.outputs import ChatGenerationChunk

from langchain_pmock._json import UnreadableError
from langchain_pmock._response.fields import Json, checked, content_of, objects_of, read
from langchain_pmock._response.messages import (
    NO_CHOICES,
    PROVIDER,
    answer_metadata,
    choice_metadata,
    message_extras,
    unknown_fields,
    usage_metadata,
)
from langchain_pmock._response.tool_calls import LONG, StreamedCalls, is_json

if TYPE_CHECKING:
    from langchain_core.messages import ToolCallChunk

_Make = Callable[[str], ChatGenerationChunk]  # from a text

_EVENT_FIELDS = 5  # of an event with only text: id, model, created, object, choices
_CHOICE_FIELDS = 2  # index, delta


class ChunkParser:
    """Converts the events of one attempt at a stream to chunks.

    LangChain merges the chunks by adding up their fields, which must not change their
    type. Therefore only the first chunk has the metadata of the answer, and only the
    last one the finish reason, the usage and all unknown fields.

    Attributes:
        finished: Whether an event had the finish reason.
        trace_id: The service's id of the request, once an event had it.
    """

    def __init__(self) -> None:
        self.finished = False
        self.trace_id: str | None = None
        self._metadata: dict[str, Any] = {}  # of the answer
        self._emitted: dict[str, Any] = {}
        # For the last chunk, because each event may repeat them.
        self._late_metadata: dict[str, Any] = {}
        self._late_extras: defaultdict[str, list[Any]] = defaultdict(list)
        self._usage: object = None
        self._blocks: list[Any] = []
        self._tool_calls = StreamedCalls()
        self._make_text = text_chunks()
        self._make_piece = text_chunks()

    def event(self, envelope: Json) -> ChatGenerationChunk | None:
        """Convert an event."""
        data = envelope["data"]
        choices = data.get("choices")
        # A fast path for text tokens and pieces of tool calls.
        is_short = len(data) <= _EVENT_FIELDS and "usage" not in data
        if self._emitted and is_short and type(choices) is list and len(choices) == 1:
            choice = choices[0]
            is_plain = type(choice) is dict and len(choice) == _CHOICE_FIELDS
            if is_plain and choice.get("index") == 0:
                delta = choice.get("delta")
                if type(delta) is dict and len(delta) == 1:
                    text = delta.get("content")
                    if text and type(text) is str:
                        return self._make_text(text)
                    if calls := objects_of(delta, "tool_calls"):
                        return self._calls_chunk(self._tool_calls.deltas(calls))
        return self._any_event(envelope)

    def end(self) -> ChatGenerationChunk:
        """Create the last chunk, with finish reason, usage and unknown fields."""
        if not (self.finished or self._emitted or self._late_extras):
            raise UnreadableError(NO_CHOICES)
        calls = self._tool_calls.last_deltas()
        extras = {n: _joined(n, parts) for n, parts in self._late_extras.items()}
        if call_extras := self._tool_calls.extras():
            extras["tool_call_extras"] = call_extras
        message = AIMessageChunk(
            content="",
            additional_kwargs=extras,
            response_metadata={
                **self._late_metadata,
                **self._new(self._metadata),
                "model_provider": PROVIDER,
            },
            usage_metadata=usage_metadata(self._usage),
            tool_call_chunks=calls,
            chunk_position="last",
        )
        reason = {k: v for k, v in self._late_metadata.items() if k == "finish_reason"}
        return ChatGenerationChunk(message=message, generation_info=reason or None)

    def _any_event(self, envelope: Json) -> ChatGenerationChunk | None:
        data = envelope["data"]
        metadata = answer_metadata(envelope)
        self.trace_id = self.trace_id or metadata.get("trace_id")
        self._metadata.update(metadata)
        self._late_metadata.update(unknown_fields(data))
        # Some services send cumulative usage in each event: the last one counts.
        self._usage = data.get("usage") or self._usage
        choices = objects_of(data, "choices")
        if not choices:
            return None
        choice = choices[0]
        if len(choices) > 1 or choice.get("index"):
            msg = "the stream has several choices, but one was requested"
            raise UnreadableError(msg)
        delta = read(choice, "delta", dict) or read(choice, "message", dict)
        late = choice_metadata(choice)
        self.finished = self.finished or "finish_reason" in late
        logprobs = _take(late, "logprobs")
        self._late_metadata.update(late)
        content = self._content(delta)
        extras = message_extras(delta)
        reasoning = _take(extras, "reasoning_content")
        for name, value in extras.items():
            self._late_extras[name].append(value)
        calls = self._tool_calls.deltas(objects_of(delta, "tool_calls"))
        if not (content or reasoning or calls or logprobs):
            return None
        for tokens in read(logprobs, "logprobs", dict).values():
            _check_tokens(tokens)
        new = {"model_provider": PROVIDER, **self._new(self._metadata), **logprobs}
        return self._calls_chunk(
            calls, content, additional_kwargs=reasoning, response_metadata=new
        )

    def _calls_chunk(
        self, calls: list[ToolCallChunk], content: Any = "", **fields: Any
    ) -> ChatGenerationChunk:
        """Create a chunk with deltas of tool calls.

        LangChain parses the arguments of each chunk that is constructed, and tries each
        prefix of text that is not JSON, which takes minutes for long arguments. So only
        the first piece of a call is parsed, if it is short or complete.
        """
        names = [call["name"] for call in calls]
        if fields or any(names):
            texts = [call["args"] or "" for call in calls]
            is_short = all(len(text) < LONG or is_json(text) for text in texts)
            fields.setdefault("response_metadata", {"model_provider": PROVIDER})
            fields["tool_call_chunks"] = calls if is_short and any(names) else []
            message: Any = AIMessageChunk(content=content, **fields)
            chunk = ChatGenerationChunk(message=message)
        else:
            chunk = self._make_piece("")
            message = chunk.message
        message.tool_call_chunks = calls
        return chunk

    def _content(self, delta: Json) -> str | list[str | dict[str, Any]]:
        """Return the content of a delta, once LangChain can merge its blocks."""
        content = content_of(delta)
        if isinstance(content, list):
            # Blocks with the same index are merged, field by field.
            indexed: Any = [b for b in content if isinstance(b, dict) and "index" in b]
            try:
                self._blocks = cast("list[Any]", merge_content(self._blocks, indexed))
            except (AttributeError, TypeError) as error:
                msg = f"content has blocks that cannot be merged: {error}"
                raise UnreadableError(msg) from error
        return content

    def _new(self, metadata: Json) -> dict[str, Any]:
        """Return the metadata that no chunk had yet."""
        new = {k: v for k, v in metadata.items() if k not in self._emitted}
        self._emitted.update(new)
        return new


def _take(fields: dict[str, Any], name: str) -> dict[str, Any]:
    """Remove a field and return it as a dict, empty without the field."""
    return {name: fields.pop(name)} if name in fields else {}


def _joined(name: str, parts: list[Any]) -> Any:
    """Join the pieces of a value; one that each event repeats is whole."""
    if name != "refusal" and all(part == parts[0] for part in parts):
        return parts[0]
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    if all(isinstance(part, list) for part in parts):
        return [*chain.from_iterable(parts)]
    if all(isinstance(part, dict) for part in parts):
        fields = defaultdict(list)
        for field, value in chain.from_iterable(part.items() for part in parts):
            fields[field].append(value)
        return {field: _joined(field, values) for field, values in fields.items()}
    return parts[-1]


def _check_tokens(tokens: object) -> None:
    """Check that LangChain can merge the `logprobs` of tokens."""
    for token in checked([] if tokens is None else tokens, "logprobs", list):
        if "index" in checked(token, "logprobs", dict):
            msg = "logprobs has tokens with an index"
            raise UnreadableError(msg)


def text_chunks() -> _Make:
    """Return a function that creates the text chunks of one stream."""
    template = _template()
    return _restoring(*template) if template else _construct


def _construct(text: str) -> ChatGenerationChunk:
    metadata = {"model_provider": PROVIDER}
    message = AIMessageChunk(content=text, response_metadata=metadata)
    return ChatGenerationChunk(message=message)


@cache
def _template() -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return the states of a chunk and its message, if in this version they suffice."""
    states, expected = _states(_construct("")), _construct("a")
    try:
        for fields in (state["__dict__"] for state in states):
            for name, value in fields.items():
                if isinstance(value, (dict, list, set)):
                    fields[name] = None  # each chunk needs its own
        made = _restoring(*states)("a")
    except (AttributeError, LookupError, TypeError):
        return None
    return states if _states(made) == _states(expected) else None


def _states(chunk: ChatGenerationChunk) -> tuple[Any, Any]:
    return chunk.__getstate__(), chunk.message.__getstate__()


def _restoring(*states: dict[str, Any]) -> _Make:
    """Return a function that creates the chunks of a stream by restoring their state.

    Constructing and validating each one would take a tenth of the time of a token. The
    chunks of a stream share pydantic's sets of the fields that were set, a quarter of
    their memory. Written for langchain-core 1.6 to 1.8; `_template` checks it.
    """
    of_chunk, of_message = (
        {**state, "__pydantic_fields_set__": {*state["__pydantic_fields_set__"]}}
        for state in states
    )

    def restore(text: str) -> ChatGenerationChunk:
        state = of_message.copy()
        state["__dict__"] = fields = state["__dict__"].copy()
        state["__pydantic_extra__"] = {}
        fields["content"] = text
        fields["additional_kwargs"] = {}
        fields["response_metadata"] = {"model_provider": PROVIDER}
        fields["tool_calls"] = []
        fields["invalid_tool_calls"] = []
        fields["tool_call_chunks"] = []
        message = AIMessageChunk.__new__(AIMessageChunk)
        message.__setstate__(state)
        state = of_chunk.copy()
        state["__dict__"] = fields = state["__dict__"].copy()
        # LangChain keeps the chunks until the stream ends. A plain `str` is not tracked
        # by the garbage collector, unlike the constructor's text.
        fields["text"] = text
        fields["message"] = message
        chunk = ChatGenerationChunk.__new__(ChatGenerationChunk)
        chunk.__setstate__(state)
        return chunk

    return restore
