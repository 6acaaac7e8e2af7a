"""Structured output: schemas for the wire, and parsers for what comes back."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.function_calling import convert_to_openai_function
from langchain_core.utils.json import parse_json_markdown
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel

from langchain_pmock._tools import tools_to_wire
from langchain_pmock.errors import PmockRefusalError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from langchain_core.output_parsers import BaseOutputParser
    from langchain_core.outputs import Generation
    from langchain_core.runnables import Runnable
    from langchain_core.utils.pydantic import TBaseModel  # noqa: F401 - mypy's plugin

    from langchain_pmock._tools import ToolLike

Schema = dict[str, Any] | type

_LONGEST_NAME = 64  # characters, on OpenAI's wire
_METHODS = ("json_schema", "function_calling", "json_mode")


def is_model(schema: object) -> bool:
    """Tell whether a schema is a pydantic class, of version 1 or 2.

    Args:
        schema: The schema.

    Returns:
        Whether answers become objects of it.
    """
    return isinstance(schema, type) and is_basemodel_subclass(schema)


def response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Write a schema as `responseFormat` has it.

    Args:
        schema: A pydantic class, a TypedDict, a JSON schema, an OpenAI function or
            tool, or a response format that is written already.
        strict: Whether the model must keep to it; `None` leaves that to the service.

    Returns:
        The response format, in OpenAI's shape.

    Raises:
        ValueError: If it is none of these, or already says otherwise of `strict`.
    """
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind in {"text", "json_object"} and len(schema) == 1:
            return schema
        if kind == "json_schema" and isinstance(schema.get("json_schema"), dict):
            return _format(dict(schema["json_schema"]), strict=strict)
        if kind == "function" and isinstance(schema.get("function"), dict):
            schema = schema["function"]
    return _format(_named_schema(schema), strict=strict)


def named(schema: Schema) -> Schema:
    """Give a JSON schema a root with a title: langchain-core wants a name for each.

    Args:
        schema: Any schema.

    Returns:
        The schema, or a copy of it with such a root.
    """
    if not isinstance(schema, dict):
        return schema
    schema = _rooted(schema)
    if not schema.keys() & {"title", "name", "function"}:
        return {"title": "answer", **schema}
    return schema


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Put in its place what the root of a recursive schema refers to."""
    name = str(schema.get("$ref")).removeprefix("#/$defs/")
    target = schema.get("$defs", {}).get(name)
    if target is None:
        return schema
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _named_schema(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, dict) and isinstance(schema.get("schema"), dict):
        return dict(schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        # Not by way of langchain-core, which writes references out: a recursive schema
        # has no such form, and the wire knows $defs.
        json_schema = _rooted(schema.model_json_schema())
        description = json_schema.get("description")
        return {
            "name": _name(json_schema.pop("title", schema.__name__)),
            **({"description": description} if description else {}),
            "schema": json_schema,
        }
    function = convert_to_openai_function(named(schema))
    function["schema"] = function.pop("parameters", {"type": "object"})
    return {**function, "name": _name(function["name"])}


def _name(title: str) -> str:
    """Keep to the letters that a name may have on OpenAI's wire."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", title)[:_LONGEST_NAME]


def _format(json_schema: dict[str, Any], *, strict: bool | None) -> dict[str, Any]:
    said = json_schema.get("strict")
    if strict is not None and said is not None and said is not strict:
        msg = f"strict={strict} is not valid: the schema itself says strict={said}."
        raise ValueError(msg)
    if strict is not None:
        json_schema["strict"] = strict
    if json_schema.get("strict"):
        json_schema["schema"] = _closed(json_schema.get("schema", {}))
    return {"type": "json_schema", "json_schema": json_schema}


def _closed(schema: Any) -> Any:
    """Close each object, as strict mode demands: all of its fields, and no others."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: {name: _closed(sub) for name, sub in value.items()}
        if key in {"properties", "$defs", "definitions"}
        else _closed(value)
        for key, value in schema.items()
        if key != "default"
    }
    if "$ref" in closed and len(closed) > 1:
        # Strict mode takes no other keyword beside a reference.
        closed["anyOf"] = [{"$ref": closed.pop("$ref")}]
    if isinstance(closed.get("properties"), dict):
        closed["additionalProperties"] = False
        closed["required"] = list(closed["properties"])
    return closed


@dataclass(frozen=True)
class Plan:
    """How to get a structured answer.

    Attributes:
        bind: What to bind to the model.
        parser: What to read the answer with.
    """

    bind: dict[str, Any]
    parser: BaseOutputParser[Any]


def plan(
    schema: Schema | None,
    *,
    method: str,
    strict: bool | None,
    tools: Iterable[ToolLike] | None,
) -> Plan:
    """Decide how to get an answer of a schema.

    Args:
        schema: The schema; may be `None` for `"json_mode"`.
        method: `"json_schema"`, `"function_calling"` or `"json_mode"`.
        strict: Whether the model must keep to the schema.
        tools: Tools that the model may call before it answers.

    Returns:
        The plan.

    Raises:
        ValueError: If these do not fit each other.
    """
    if method not in _METHODS:
        msg = f"method={method!r} is not valid: it can be one of {', '.join(_METHODS)}."
        raise ValueError(msg)
    if strict is not None and method == "json_mode":
        msg = f"strict={strict} is not valid with method='json_mode': it has no schema."
        raise ValueError(msg)
    if tools and method != "json_schema":
        msg = f"tools are not valid with method={method!r}, only with 'json_schema'."
        raise ValueError(msg)
    if schema is None:
        if method == "json_mode":
            return Plan({"response_format": {"type": "json_object"}}, TextToDict())
        msg = f"schema=None is not valid with method={method!r}: it needs a schema."
        raise ValueError(msg)
    schema = named(schema)
    if method == "function_calling":
        bind, parser = _by_call(schema, strict=strict)
    else:
        bind, parser = _by_text(schema, method=method, strict=strict)
    if tools:
        bind["tools"] = tools_to_wire(tools, strict=strict)
    said = {"method": method, **({} if strict is None else {"strict": strict})}
    # LangSmith shows it beside the answer; langchain-core takes it out again.
    bind["ls_structured_output_format"] = {"kwargs": said, "schema": schema}
    return Plan(bind, parser)


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


def _by_text(
    schema: Schema, *, method: str, strict: bool | None
) -> tuple[dict[str, Any], BaseOutputParser[Any]]:
    written = (
        {"type": "json_object"}
        if method == "json_mode"
        else response_format(schema, strict=strict)
    )
    bind = {"response_format": written}
    if is_model(schema):
        model = cast("type[BaseModel]", schema)
        return bind, TextToModel(pydantic_object=model)
    return bind, TextToDict()


def _by_call(
    schema: Schema, *, strict: bool | None
) -> tuple[dict[str, Any], BaseOutputParser[Any]]:
    schema = _with_plain_name(schema)
    (tool,) = tools_to_wire([schema], strict=strict)
    name = _name(tool["function"]["name"])
    tool = {**tool, "function": {**tool["function"], "name": name}}
    bind: dict[str, Any] = {
        "tools": [tool],
        "tool_choice": {"type": "function", "function": {"name": name}},
        "parallel_tool_calls": False,  # one answer was asked for
    }
    if is_model(schema):
        model = cast("type[BaseModel]", schema)
        return bind, CallToModel(tools=[model], first_tool_only=True)
    return bind, CallToDict(key_name=name, first_tool_only=True)


def _with_plain_name(schema: Schema) -> Schema:
    """Let a class such as `Answer[int]` have a name that a tool may have.

    LangChain's parser finds the class by the name of the tool that was called.
    """
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return schema
    title = schema.model_config.get("title") or schema.__name__
    if (name := _name(title)) == title:
        return schema
    fields = {"__doc__": schema.__doc__, "__module__": schema.__module__}
    make: Any = type(schema)
    renamed: type = make(name, (schema,), {**fields, "model_config": {"title": name}})
    return renamed


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


class CallToDict(_ChecksMessage, JsonOutputKeyToolsParser):
    """Reads a dict from the arguments of a tool call; streams partial ones."""


class CallToModel(_ChecksMessage, PydanticToolsParser):
    """Reads an object of a pydantic class from the arguments of a tool call."""


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
