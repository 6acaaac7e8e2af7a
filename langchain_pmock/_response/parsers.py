"""Parsers for structured output, whole and streamed."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableGenerator
from langchain_core.runnables.config import (
    ensure_config,
    get_callback_manager_for_config,
)
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.pydantic import is_basemodel_subclass
from typing_extensions import override

from langchain_pmock._json import decode
from langchain_pmock._response.partial_json import parse_partial
from langchain_pmock.errors import PmockRefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.runnables import Runnable, RunnableConfig

_AROUND = " \n\r\t`"
_FENCE = re.compile(r"```(?:json)?")
_DECODER = json.JSONDecoder(strict=False)
_SHARE = 64  # there is a value whenever the text has grown by 1/64,
_LONG = 100_000  # or by 1/32 at this number of characters
_REFUSALS = ("content_filter", "refusal")
_USUAL_REASONS = ("stop", "tool_calls", "function_call", "length")


def answer_parser(
    schema: object, tool: str | None = None, *, other_tools: bool = True
) -> BaseOutputParser[Any]:
    """Create the parser for answers in the text of a message or in a tool call."""
    cls = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    return AnswerParser(answer_class=cls, tool=tool, other_tools=other_tools)


def beside_raw(parser: BaseOutputParser[Any]) -> Runnable[Any, dict[str, Any]]:
    """Parse a dict's `raw` message, and add the result or the error to the dict."""

    def add(answers: Iterator[Any]) -> Iterator[AddableDict]:
        raw = []
        for answer in answers:
            yield AddableDict(answer)
            raw.append(answer["raw"])
        yield _outcome(*parser.batch([_merged(raw)], return_exceptions=True))

    async def aadd(answers: AsyncIterator[Any]) -> AsyncIterator[AddableDict]:
        raw = []
        async for answer in answers:
            yield AddableDict(answer)
            raw.append(answer["raw"])
        yield _outcome(*await parser.abatch([_merged(raw)], return_exceptions=True))

    return RunnableGenerator(add, aadd)


def _outcome(parsed: object) -> AddableDict:
    error = parsed if isinstance(parsed, Exception) else None
    return AddableDict(parsed=None if error else parsed, parsing_error=error)


def _merged(chunks: Sequence[Any]) -> Any:
    """Merge chunks in one addition, because each addition parses the tool calls."""
    if isinstance(chunks[0], str):
        return "".join(chunks)
    return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]


class AnswerParser(BaseTransformOutputParser[Any]):
    """Parses a structured answer in a message's text or in a tool call.

    A stream yields partial dicts, or one object of a pydantic class at its end.
    """

    answer_class: Any  # of pydantic, version 1 or 2; None for dicts
    tool: str | None  # whose arguments are the answer; None for text
    other_tools: bool  # whether the model may call these instead of answering

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        return self.answer_class or dict[str, Any]

    @override
    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message = getattr(result[0], "message", None)
        if not isinstance(message, AIMessage):
            message = AIMessage(result[0].text)
        _check_whole(message)
        called = [call["name"] for call in message.tool_calls]
        if self.other_tools and called and self.tool not in called:
            return None
        tool, cls = self.tool, self.answer_class
        value = _json_of(message) if tool is None else _arguments(message, tool)
        if cls is None:
            return value
        try:  # pydantic's version 1 has no `model_validate`
            return (getattr(cls, "model_validate", None) or cls.parse_obj)(value)
        except ValueError as error:
            what = f"The structured answer does not match {cls.__name__}: {error}"
            raise _failure(message, what, json.dumps(value)) from error

    @override
    def transform(
        self, input: Iterator[Any], config: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        stream = _Stream(self)
        parts = stream.parts(input)
        if traced := stream.traced(config):
            return traced.transform(map(_merged, parts), config, **kwargs)
        return (stream.value for _ in parts)

    @override
    def atransform(
        self, input: AsyncIterator[Any], config: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        stream = _Stream(self)
        parts = stream.aparts(input)
        if traced := stream.traced(config):
            merged = (_merged(part) async for part in parts)
            return traced.atransform(merged, config, **kwargs)
        return (stream.value async for _ in parts)


class _Traced(BaseTransformOutputParser[Any]):
    """Traces the values of a stream, which costs more than parsing them."""

    received: Any

    @override
    def parse(self, text: str) -> Any:
        return self.received.value


class _Stream:
    """The received part of a streamed answer; `value` is the last one that changed."""

    def __init__(self, parser: AnswerParser) -> None:
        self.value: Any = None
        self._parser = parser
        self._pieces: list[Any] = []
        self._start = 0  # of the pieces after the last value
        self._texts: list[str] = []
        self._names: dict[int | None, str] = {}  # of tool calls, by index
        self._index: int | None = None  # of the call that is the answer
        self._length = self._next_length = 0

    def traced(self, config: RunnableConfig | None) -> _Traced | None:
        if not get_callback_manager_for_config(ensure_config(config)).handlers:
            return None
        return _Traced(received=self, name=self._parser.get_name())

    def parts(self, pieces: Iterator[str | BaseMessage]) -> Iterator[list[Any]]:
        """Yield the pieces up to each new value."""
        for piece in chain(pieces, [None]):
            yield from self._part(piece)

    async def aparts(
        self, pieces: AsyncIterator[str | BaseMessage]
    ) -> AsyncIterator[list[Any]]:
        async for piece in pieces:
            for part in self._part(piece):
                yield part
        for part in self._part():
            yield part

    def _part(self, piece: str | BaseMessage | None = None) -> list[list[Any]]:
        """Parse what there is, or the whole answer without another piece."""
        before = self.value
        if piece is not None:
            self._pieces.append(piece)
            self._parse_partially(piece)
        elif self._pieces:
            whole = _merged(self._pieces)
            is_text = isinstance(whole, str)
            made = Generation(text=whole) if is_text else ChatGeneration(message=whole)
            self.value = self._parser.parse_result([made])
        if self.value is None or self.value == before:
            return []
        part = self._pieces[self._start :] or self._pieces[-1:]
        self._start = len(self._pieces)
        return [part]

    def _parse_partially(self, piece: str | BaseMessage) -> None:
        text = "" if self._parser.answer_class else self._text_of(piece)
        self._texts.append(text)
        self._length += len(text)
        if not text or self._length < self._next_length:
            return
        growth = self._length * (self._length + _LONG) // (_SHARE * _LONG)
        self._next_length = self._length + growth
        received = "".join(self._texts).lstrip()
        is_text = self._parser.tool is None
        for part in _json_parts(received) if is_text else [received]:
            if part.startswith(("{", "[") if is_text else "{"):
                with suppress(ValueError):
                    value = parse_partial(part)
                    # Only the first may be empty; "[" may also begin a remark.
                    if value or (self.value is None and value == {}):
                        self.value = value
                    break

    def _text_of(self, piece: str | BaseMessage) -> str:
        if isinstance(piece, str):
            return piece
        if self._parser.tool is None:
            return piece.content if isinstance(piece.content, str) else str(piece.text)
        text = ""
        for call in getattr(piece, "tool_call_chunks", ()):
            index = call["index"]
            if self._index is None and call["name"]:
                self._names[index] = self._names.get(index, "") + call["name"]
                if self._names[index] == self._parser.tool:
                    self._index = index
            if index == self._index:
                text += call["args"] or ""
        return text


def _check_whole(message: AIMessage) -> None:
    blocks: Any = message.content if isinstance(message.content, list) else ()
    places = [message.additional_kwargs, *blocks]  # OpenAI also has blocks of refusals
    refusals = (place.get("refusal") for place in places if isinstance(place, dict))
    refusal = next(filter(None, refusals), None)
    reason = message.response_metadata.get("finish_reason")
    if refusal or reason in _REFUSALS:
        trace_id = message.response_metadata.get("trace_id")
        why = str(refusal or f"the content filter stopped it ({reason})")
        error = PmockRefusalError.of(why, trace_id=trace_id)
        error.raw_message = message
        raise error
    if reason == "length":
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        received = message.text or [call["args"] for call in calls]
        what = "The structured answer was cut off at the token limit: raise max_tokens."
        raise _failure(message, f"{what} Received: {received}")


def _failure(message: AIMessage, what: str, output: str | None = None) -> Exception:
    """Create the error of an answer that cannot be parsed."""
    reason = message.response_metadata.get("finish_reason")
    if reason and reason not in _USUAL_REASONS:
        what += f" The finish reason was {reason!r}."
    return OutputParserException(what, llm_output=output or message.text)


def _json_parts(text: str) -> list[str]:
    """Return the text from where JSON may begin: its start, or the first code fence."""
    parts = [text]
    if fence := _FENCE.search(text):
        is_first = not text.lstrip(_AROUND).startswith(("{", "["))
        parts.insert(0 if is_first else 1, text[fence.end() :])
    return [part.lstrip(_AROUND) for part in parts]


def _json_of(message: AIMessage) -> object:
    text = str(message.text)
    for part in _json_parts(text):
        try:
            return decode(part[: _DECODER.raw_decode(part)[1]])
        except (RecursionError, ValueError) as error:
            reason = str(error)
    what = f"The structured answer is not valid JSON: {reason}. Received: {text}"
    raise _failure(message, what)


def _arguments(message: AIMessage, tool: str) -> dict[str, Any]:
    for call in message.tool_calls:
        if call["name"] == tool:
            return call["args"]
    if message.invalid_tool_calls:
        invalid = message.invalid_tool_calls[0]
        reason = invalid["error"] or "The arguments are not a JSON object."
        what = f"The tool call is not valid: {reason} Arguments: {invalid['args']}"
    else:
        what = f"The model did not call the tool. It answered: {message.text!r}"
    raise _failure(message, what)
