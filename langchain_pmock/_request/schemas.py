"""Conversion of schemas of structured output to OpenAI's format."""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel

from langchain_pmock._request.tools import tool_to_wire
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_pmock._request.tools import ToolLike

Schema = dict[str, Any] | type

_LONGEST_NAME = 64  # characters, OpenAI's limit
_METHODS = ("json_schema", "function_calling", "json_mode")


def response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema to the request's response format.

    Raises:
        PmockInvalidRequestError: If it is none of these, or contradicts `strict`.
    """
    if isinstance(schema, dict):
        kind = schema.get("type")
        if kind in ("text", "json_object") and len(schema) == 1:
            return schema
        if kind == "json_schema" and isinstance(schema.get("json_schema"), dict):
            return _format(dict(schema["json_schema"]), strict=strict)
        if kind == "function" and isinstance(schema.get("function"), dict):
            schema = schema["function"]
    return _format(_named_schema(schema), strict=strict)


def named(schema: Schema) -> Schema:
    """Add a title to a JSON schema without one, which langchain-core requires."""
    if not isinstance(schema, dict):
        return schema
    schema = _rooted(schema)
    if not schema.keys() & {"title", "name", "function"}:
        return {"title": "answer", **schema}
    return schema


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference at the root, as recursive schemas have it."""
    name = str(schema.get("$ref")).removeprefix("#/$defs/")
    target = schema.get("$defs", {}).get(name)
    if target is None:
        return schema
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _named_schema(schema: Schema) -> dict[str, Any]:
    if isinstance(schema, dict) and isinstance(schema.get("schema"), dict):
        return dict(schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        # langchain-core would inline references, which is impossible for a recursive
        # schema. The API accepts $defs.
        json_schema = _rooted(schema.model_json_schema())
        description = json_schema.get("description")
        return {
            "name": _name(json_schema.pop("title", schema.__name__)),
            **({"description": description} if description else {}),
            "schema": json_schema,
        }
    try:
        function = convert_to_openai_function(named(schema))
    except Exception as error:
        msg = f"schema={reprlib.repr(schema)} is not valid: {error}"
        raise PmockInvalidRequestError(msg) from error
    function["schema"] = function.pop("parameters", {"type": "object"})
    return {**function, "name": _name(function["name"])}


def _name(title: str) -> str:
    """Replace characters that OpenAI does not allow in a name."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", title)[:_LONGEST_NAME]


def _format(json_schema: dict[str, Any], *, strict: bool | None) -> dict[str, Any]:
    own = json_schema.get("strict")
    if strict is not None and own is not None and own is not strict:
        msg = f"strict={strict} is not valid: the schema itself has strict={own}."
        raise PmockInvalidRequestError(msg)
    if strict is not None:
        json_schema["strict"] = strict
    if json_schema.get("strict"):
        json_schema["schema"] = _closed(json_schema.get("schema", {}))
    return {"type": "json_schema", "json_schema": json_schema}


def _closed(schema: Any) -> Any:
    """Convert a schema for strict mode: all properties required, no others allowed."""
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
        # Strict mode allows no other keyword beside a reference.
        closed["anyOf"] = [{"$ref": closed.pop("$ref")}]
    if isinstance(closed.get("properties"), dict):
        closed["additionalProperties"] = False
        closed["required"] = list(closed["properties"])
    return closed


def check_arguments(
    schema: Schema | None,
    *,
    method: str,
    strict: bool | None,
    tools: Iterable[ToolLike] | None,
) -> None:
    """Check the combination of arguments of `with_structured_output`."""
    if method not in _METHODS:
        msg = (
            f"method={method!r} is not valid: it must be one of {', '.join(_METHODS)}."
        )
        raise PmockInvalidRequestError(msg)
    if strict is not None and method == "json_mode":
        msg = f"strict={strict} is not valid with method='json_mode': it has no schema."
        raise PmockInvalidRequestError(msg)
    if tools and method == "json_mode":
        msg = f"tools are not valid with method={method!r}."
        raise PmockInvalidRequestError(msg)
    if schema is None and method != "json_mode":
        msg = f"schema=None is not valid with method={method!r}: it needs a schema."
        raise PmockInvalidRequestError(msg)


def answer_tool(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema from `tool_schema` to the tool to be called."""
    tool = tool_to_wire(schema, "schema", strict=strict)
    name = _name(tool["function"]["name"])
    return {**tool, "function": {**tool["function"], "name": name}}


def tool_schema(schema: Schema) -> Schema:
    """Rename a class such as `Answer[int]`, whose name is not valid for a tool."""
    if not (isinstance(schema, type) and issubclass(schema, BaseModel)):
        return schema
    title = schema.model_config.get("title") or schema.__name__
    if (name := _name(title)) == title:
        return schema
    fields = {"__doc__": schema.__doc__, "__module__": schema.__module__}
    make: Any = type(schema)
    renamed: type = make(name, (schema,), {**fields, "model_config": {"title": name}})
    return renamed
