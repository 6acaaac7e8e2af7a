"""Structured output: from a message to the object or the dict that it holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.outputs import ChatGeneration
from langchain_core.runnables import RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass

from langchain_pmock.errors import PmockRefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.outputs import Generation
    from langchain_core.runnables import Runnable
    from langchain_core.utils.pydantic import TBaseModel  # noqa: F401 - mypy's plugin

Schema = dict[str, Any] | type


def from_text(schema: Schema | None) -> BaseOutputParser[Any]:
    """Make the parser of an answer that is the text of a message.

    Args:
        schema: A pydantic class, of version 1 or 2, or any other schema.

    Returns:
        A parser that gives objects of the class, or else dicts.
    """
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return TextToModel(pydantic_object=schema)
    return TextToDict()


def from_call(
    schema: Schema, name: str, *, other_tools: bool = False
) -> BaseOutputParser[Any]:
    """Make the parser of an answer that is the arguments of a tool call.

    Args:
        schema: A pydantic class, of version 1 or 2, or any other schema.
        name: The tool's name.
        other_tools: Whether the model may call other tools instead.

    Returns:
        A parser that gives objects of the class, or else dicts.
    """
    among = name if other_tools else None
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return CallToModel(tools=[schema], first_tool_only=True, among=among)
    return CallToDict(key_name=name, first_tool_only=True, among=among)


def beside_raw(parser: BaseOutputParser[Any]) -> Runnable[Any, dict[str, Any]]:
    """Put beside a `raw` message what a parser makes of it, or why it cannot.

    Args:
        parser: What to read the message with.

    Returns:
        A runnable that adds `parsed` and `parsing_error`; one of them is `None`.
    """

    def add(answers: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        whole: Any = AddableDict()
        for answer in answers:
            yield AddableDict(answer)
            whole += AddableDict(answer)
        try:
            yield AddableDict(parsed=parser.invoke(whole["raw"]), parsing_error=None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is handed on
            yield AddableDict(parsed=None, parsing_error=error)

    async def aadd(
        answers: AsyncIterator[dict[str, Any]],
    ) -> AsyncIterator[dict[str, Any]]:
        whole: Any = AddableDict()
        async for answer in answers:
            yield AddableDict(answer)
            whole += AddableDict(answer)
        try:
            parsed = await parser.ainvoke(whole["raw"])
            yield AddableDict(parsed=parsed, parsing_error=None)
        except Exception as error:  # noqa: BLE001 - as above
            yield AddableDict(parsed=None, parsing_error=error)

    return RunnableGenerator(add, aadd)


class _ChecksMessage:
    """Looks at the message before it is parsed: a refusal or a cut answer is none."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message = getattr(result[0], "message", None)
        if not isinstance(message, AIMessage):
            return super().parse_result(result, partial=partial)  # type: ignore[misc]
        whole = not partial or getattr(message, "chunk_position", None) == "last"
        if whole:
            _check_whole(message)
        if whole and isinstance(self, _FromText):
            if message.tool_calls:
                return None  # the model chose to call one of the other tools
            _check_json(message.text)
        if whole and isinstance(message, AIMessageChunk):
            for call in message.tool_call_chunks:
                _check_json(call["args"] or "{}")
        try:
            parsed = super().parse_result(result, partial=not whole)  # type: ignore[misc]
        except OutputParserException:
            raise
        except ValueError as error:  # the schema's class, of pydantic 1 or 2
            raise OutputParserException(str(error), llm_output=message.text) from error
        if parsed is None and whole:
            raise OutputParserException(_no_call(message), llm_output=message.text)
        return parsed


class _FromText(_ChecksMessage):
    """Reads the answer from the message's text."""


class TextToDict(_FromText, JsonOutputParser):
    """Reads a dict from the message's text; streams partial ones."""


class TextToModel(_FromText, PydanticOutputParser[Any]):
    """Reads an object of a pydantic class from the message's text."""


class _FromCall(_ChecksMessage):
    """Reads the answer from the arguments of a tool call."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        message = getattr(result[0], "message", None)
        name = getattr(self, "among", None)
        if name and isinstance(message, AIMessage) and message.tool_calls:
            calls = [call for call in message.tool_calls if call["name"] == name]
            if not calls:
                return None  # the model chose to call one of the other tools
            message = message.model_copy(update={"tool_calls": calls})
            result = [ChatGeneration(message=message)]
        return super().parse_result(result, partial=partial)


class CallToDict(_FromCall, JsonOutputKeyToolsParser):
    """Reads a dict from the arguments of a tool call; streams partial ones."""

    among: str | None = None  # the answer's tool, if the model may call others instead


class CallToModel(_FromCall, PydanticToolsParser):
    """Reads an object of a pydantic class from the arguments of a tool call."""

    among: str | None = None  # as above


def _check_whole(message: AIMessage) -> None:
    if refusal := message.additional_kwargs.get("refusal"):
        trace_id = message.response_metadata.get("trace_id")
        error = PmockRefusalError.of(str(refusal), trace_id=trace_id)
        error.raw_message = message
        raise error
    if message.response_metadata.get("finish_reason") == "length":
        msg = (
            "The structured answer was cut at the token limit: raise max_tokens. "
            f"Received: {message.text or message.tool_calls}"
        )
        raise OutputParserException(msg, llm_output=message.text)


def _first_json(text: str) -> object:
    return json.JSONDecoder(strict=False).raw_decode(text.strip())[0]


def _check_json(text: str) -> None:
    """Refuse half an answer, which LangChain's parsers would complete."""
    try:
        parse_json_markdown(text, parser=_first_json)
    except ValueError as error:
        msg = f"The structured answer is not valid JSON: {error}. Received: {text}"
        raise OutputParserException(msg, llm_output=text) from error


def _no_call(message: AIMessage) -> str:
    if message.invalid_tool_calls:
        call = message.invalid_tool_calls[0]
        return f"The tool call is not valid: {call['error']} Arguments: {call['args']}"
    return f"The model did not call the tool. It said: {message.text!r}"
