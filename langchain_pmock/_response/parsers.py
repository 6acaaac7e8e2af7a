"""Parsers for structured output, whole and streamed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableGenerator
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
)
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel
from typing_extensions import override

from langchain_pmock._json import decode
from langchain_pmock._response.partial_json import PartialJson
from langchain_pmock.errors import PmockRefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.messages import BaseMessage
    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.runnables import Runnable, RunnableConfig

Schema = dict[str, Any] | type

_AROUND = " \n\r\t`"
_FENCE = re.compile(r"```(?:json)?")
_DECODER = json.JSONDecoder(strict=False)
_OFTEN = 65_536  # characters up to which there is a value for each piece
_SHARE = 64  # beyond that, there is one whenever the text has grown by 1/64


def from_text(schema: Schema | None) -> BaseOutputParser[Any]:
    """Create the parser for answers in the text of a message."""
    return AnswerParser(answer_class=_class_of(schema), other_tools=True)


def from_call(
    schema: Schema, name: str, *, other_tools: bool = False
) -> BaseOutputParser[Any]:
    """Create the parser for answers in the arguments of a tool call."""
    return AnswerParser(
        answer_class=_class_of(schema), tool=name, other_tools=other_tools
    )


def _class_of(schema: Schema | None) -> type | None:
    is_class = isinstance(schema, type) and is_basemodel_subclass(schema)
    return schema if is_class else None  # type: ignore[return-value]


def beside_raw(parser: BaseOutputParser[Any]) -> Runnable[Any, dict[str, Any]]:
    """Parse a dict's `raw` message, and add the result or the error to the dict."""

    def add(answers: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        raw = []
        for answer in answers:
            yield AddableDict(answer)
            raw.append(answer["raw"])
        try:
            yield AddableDict(parsed=parser.invoke(_merged(raw)), parsing_error=None)
        except Exception as error:  # noqa: BLE001 - part of the result
            yield AddableDict(parsed=None, parsing_error=error)

    async def aadd(
        answers: AsyncIterator[dict[str, Any]],
    ) -> AsyncIterator[dict[str, Any]]:
        raw = []
        async for answer in answers:
            yield AddableDict(answer)
            raw.append(answer["raw"])
        try:
            parsed = await parser.ainvoke(_merged(raw))
            yield AddableDict(parsed=parsed, parsing_error=None)
        except Exception as error:  # noqa: BLE001 - as above
            yield AddableDict(parsed=None, parsing_error=error)

    return RunnableGenerator(add, aadd)


def _merged(chunks: Sequence[Any]) -> Any:
    """Merge chunks in one addition, because each addition parses the tool calls."""
    return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]


class AnswerParser(BaseCumulativeTransformOutputParser[Any]):
    """Parses a structured answer in a message's text or in a tool call.

    A stream yields partial dicts, or one object of a pydantic class at its end.

    Attributes:
        answer_class: The pydantic class of the answer, of version 1 or 2; `None` for
            dicts.
        tool: The name of the tool whose arguments are the answer; `None` for text.
        other_tools: Whether the model may call other tools instead of answering.
    """

    answer_class: type | None = None
    tool: str | None = None
    other_tools: bool = False

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The type of the answers."""
        return self.answer_class or dict[str, Any]

    @property
    def _type(self) -> str:
        return "pmock_answer"

    @override
    def parse(self, text: str) -> Any:
        return self.parse_result([Generation(text=text)])

    @override
    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message = getattr(result[0], "message", None)
        if partial and not isinstance(message, AIMessage):
            return _Answer(self).add(result[0].text)
        if (
            partial
            and isinstance(message, AIMessageChunk)
            and message.chunk_position != "last"
        ):
            return _Answer(self).add(message)
        if not isinstance(message, AIMessage):
            message = AIMessage(result[0].text)
        _check_whole(message)
        called = [call["name"] for call in message.tool_calls]
        if self.other_tools and called and self.tool not in called:
            return None
        value = (
            _json_of(str(message.text))
            if self.tool is None
            else _arguments(message, self.tool)
        )
        return value if self.answer_class is None else _object(value, self.answer_class)

    # Without callbacks, LangChain's tracing of each value is skipped, because it costs
    # more than parsing.

    @override
    def transform(
        self,
        input: Iterator[str | BaseMessage],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> Iterator[Any]:
        if get_callback_manager_for_config(ensure_config(config)).handlers:
            return super().transform(input, config, **kwargs)
        return self._transform(input)

    @override
    def atransform(
        self,
        input: AsyncIterator[str | BaseMessage],
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        if get_async_callback_manager_for_config(ensure_config(config)).handlers:
            return super().atransform(input, config, **kwargs)
        return self._atransform(input)

    # LangChain's versions of these methods parse the whole text again for each piece.
    # If LangChain does not call them, `parse_result` returns the same values.

    @override
    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:
        answer = _Answer(self)
        for piece in input:
            if (value := answer.add(piece)) is not None:
                yield value
        if result := answer.whole():
            value = self.parse_result(result)
            if value is not None and value != answer.last:
                yield value

    @override
    async def _atransform(
        self, input: AsyncIterator[str | BaseMessage]
    ) -> AsyncIterator[Any]:
        answer = _Answer(self)
        async for piece in input:
            if (value := answer.add(piece)) is not None:
                yield value
        if result := answer.whole():
            value = await self.aparse_result(result)
            if value is not None and value != answer.last:
                yield value


class _Answer:
    """The received part of a streamed answer."""

    def __init__(self, parser: AnswerParser) -> None:
        self.last: Any = None  # the last partial value
        self._pieces: list[Any] = []
        self._parser = parser
        self._index: int | None = None  # of the tool call
        self._json = None if parser.tool is None else PartialJson()
        self._before: list[str] = []  # text in which no JSON was found yet
        self._searched = 0
        self._is_fenced = parser.tool is not None  # the text does not start with JSON
        self._is_opaque = parser.answer_class is not None  # no partial values
        self._length = self._next_length = 0

    def add(self, piece: str | BaseMessage) -> Any:
        """Add a piece; return the partial value if it changed, or else `None`."""
        self._pieces.append(piece)
        if self._is_opaque:
            return None
        text = self._text_of(piece)
        while True:
            try:
                return self._value(text)
            except ValueError:
                if self._is_fenced:
                    self._is_opaque = True
                    return None
            self._is_fenced, self._json, self._before = True, None, []
            text = "".join(map(self._text_of, self._pieces))

    def whole(self) -> list[Generation]:
        """Return the merged pieces; empty without pieces."""
        if not self._pieces:
            return []
        if isinstance(self._pieces[0], str):
            return [Generation(text="".join(self._pieces))]
        return [ChatGeneration(message=_merged(self._pieces))]

    def _text_of(self, piece: str | BaseMessage) -> str:
        if isinstance(piece, str):
            return piece
        if self._parser.tool is None:
            return piece.content if isinstance(piece.content, str) else str(piece.text)
        text = ""
        for call in getattr(piece, "tool_call_chunks", ()):
            if self._index is None and call["name"] == self._parser.tool:
                self._index = call["index"]
            if self._index == call["index"]:
                text += call["args"] or ""
        return text

    def _value(self, text: str) -> Any:
        self._length += len(text)
        is_due = self._length >= self._next_length
        if is_due and self._length > _OFTEN:
            self._next_length = self._length + self._length // _SHARE
        if self._json is None:
            self._before.append(text)
            start = self._start() if is_due else None
            if start is None:
                return None
            self._json, text = PartialJson(), self._before[0][start:]
        self._json.feed(text)
        value = self._json.grown() if is_due else None
        # Only the first value may be empty. In text, "[" may also begin a remark.
        is_early = not value and (self.last is not None or type(value) is list)
        if is_early or (self._parser.tool and type(value) is list):
            return None
        self.last = value
        return value

    def _start(self) -> int | None:
        """Return the start of the JSON; `None` if it is not certain yet.

        Raises:
            ValueError: If there is no JSON.
        """
        text, start = "".join(self._before).lstrip(), 0
        self._before = [text]
        if self._is_fenced:
            fence = text.find("```", self._searched)
            if fence < 0:
                self._searched = max(len(text) - 2, 0)
                return None
            self._searched, start = fence, fence + 3
            if "json".startswith(text[start:]):
                return None
            start += 4 * text.startswith("json", start)
        rest = text[start:].lstrip(_AROUND)
        if rest and rest[0] not in "{[":
            raise ValueError(rest)
        return len(text) - len(rest) if rest else None


_PROBLEMS = {
    "length": "cut off at the token limit: raise max_tokens",
    "content_filter": "stopped by the content filter",
}


def _check_whole(message: AIMessage) -> None:
    if refusal := message.additional_kwargs.get("refusal"):
        trace_id = message.response_metadata.get("trace_id")
        error = PmockRefusalError.of(str(refusal), trace_id=trace_id)
        error.raw_message = message
        raise error
    reason = str(message.response_metadata.get("finish_reason"))
    if problem := _PROBLEMS.get(reason):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        received = message.text or [call["args"] for call in calls]
        msg = f"The structured answer was {problem}. Received: {received}"
        raise OutputParserException(msg, llm_output=message.text)


def _json_of(text: str) -> object:
    """Parse the object or array at the start of a text or of its first code fence."""
    parts = [text]
    if fence := _FENCE.search(text):
        is_first = not text.lstrip(_AROUND).startswith(("{", "["))
        parts.insert(0 if is_first else 1, text[fence.end() :])
    for part in parts:
        body = part.strip(_AROUND)
        try:
            return decode(body[: _DECODER.raw_decode(body)[1]])
        except RecursionError:
            reason = "it is nested too deeply"
        except ValueError as error:
            reason = str(error)
    msg = f"The structured answer is not valid JSON: {reason}. Received: {text}"
    raise OutputParserException(msg, llm_output=text)


def _arguments(message: AIMessage, tool: str) -> dict[str, Any]:
    for call in message.tool_calls:
        if call["name"] == tool:
            return call["args"]
    if message.invalid_tool_calls:
        invalid = message.invalid_tool_calls[0]
        reason = invalid["error"] or "The arguments are not a JSON object."
        msg = f"The tool call is not valid: {reason} Arguments: {invalid['args']}"
    else:
        msg = f"The model did not call the tool. It answered: {message.text!r}"
    raise OutputParserException(msg, llm_output=message.text)


def _object(value: object, cls: Any) -> object:
    """Create an object of a pydantic class, of version 1 or 2."""
    try:
        if issubclass(cls, BaseModel):
            return cls.model_validate(value)
        return cls.parse_obj(value)
    except ValueError as error:
        msg = f"The structured answer does not match {cls.__name__}: {error}"
        raise OutputParserException(msg, llm_output=json.dumps(value)) from error
