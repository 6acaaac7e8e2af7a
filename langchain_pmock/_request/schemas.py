"""Conversion of schemas of structured output to OpenAI's format."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, get_origin

from pydantic import BaseModel, TypeAdapter

from langchain_pmock._request.tools import convert, tool_to_wire
from langchain_pmock.errors import PmockInvalidRequestError

Schema = dict[str, Any] | type

_LONGEST_NAME = 64  # characters, OpenAI's limit
_METHODS = ("json_schema", "function_calling", "json_mode")


def response_format(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema to the request's response format."""
    if isinstance(schema, dict):
        kind: Any = schema.get("type")
        if kind in ("text", "json_object") and len(schema) == 1:
            return schema
        if kind in ("json_schema", "function") and isinstance(schema.get(kind), dict):
            schema = schema[kind]
    json_schema = _named_schema(schema)
    if strict is not None:
        if (own := json_schema.setdefault("strict", strict)) not in (None, strict):
            msg = f"strict={strict} is not valid: the schema itself has strict={own}."
            raise PmockInvalidRequestError(msg)
        json_schema["strict"] = strict
    if json_schema.get("strict"):
        json_schema["schema"] = _closed(json_schema.get("schema", {}))
    return {"type": "json_schema", "json_schema": json_schema}


def named(schema: Schema | None) -> Schema | None:
    """Add a title to a JSON schema without one, which langchain-core requires."""
    is_builtin = isinstance(schema, type) and schema.__module__ == "builtins"
    if is_builtin or get_origin(schema) is not None:
        shown = getattr(schema, "__name__", schema) if is_builtin else schema
        msg = (
            f"schema={shown} is not valid: the answer must be an object. Wrap it in a "
            f"class: class Answer(BaseModel): value: {shown}"
        )
        raise PmockInvalidRequestError(msg)
    if isinstance(schema, type) and dataclasses.is_dataclass(schema):
        schema = TypeAdapter(schema).json_schema()
    if not isinstance(schema, dict):
        return schema
    schema = _rooted(schema)
    has_name = schema.keys() & {"title", "name", "function", "toolSpec"}
    return schema if has_name else {"title": "answer", **schema}


def _rooted(schema: dict[str, Any]) -> dict[str, Any]:
    """Resolve a reference at the root, as recursive schemas have it."""
    place, _, name = str(schema.get("$ref")).removeprefix("#/").partition("/")
    if place not in ("$defs", "definitions") or name not in schema.get(place, {}):
        return schema
    target = schema[place][name]
    return {**target, **{k: v for k, v in schema.items() if k != "$ref"}}


def _named_schema(schema: Schema) -> dict[str, Any]:
    """Convert a schema to OpenAI's `json_schema`."""
    if isinstance(schema, dict) and isinstance(schema.get("schema"), dict):
        return dict(schema)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        # langchain-core would inline references, which is impossible for a recursive
        # schema. The API accepts $defs.
        schema = {"title": schema.__name__, **schema.model_json_schema()}
    body: Any = named(schema)
    if isinstance(body, dict) and "title" in body and "name" not in body:
        # langchain-core would drop one without properties, such as a union.
        body = {**body}
        title, text = body.pop("title"), body.get("description")
        function = {"name": title, **({"description": text} if text else {})}
    else:
        function = convert(body, "schema", strict=None)
        body = function.pop("parameters", None)
    body = body or {"type": "object"}
    return {**function, "name": _name(function["name"]), "schema": body}


def _name(title: str) -> str:
    """Replace characters that OpenAI does not allow in a name."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", title)[:_LONGEST_NAME]


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
    schema: object, *, method: str, strict: object, tools: object
) -> None:
    """Check the combination of arguments of `with_structured_output`."""
    is_json_mode = method == "json_mode"
    if method not in _METHODS:
        msg = f"method={method!r} is not valid: it must be one of {', '.join(_METHODS)}"
    elif is_json_mode and (strict is not None or tools):
        msg = "strict and tools are not valid with method='json_mode'"
    elif schema is None and not is_json_mode:
        msg = f"schema=None is not valid with method={method!r}"
    else:
        return
    raise PmockInvalidRequestError(msg + ".")


def answer_tool(schema: Schema, *, strict: bool | None) -> dict[str, Any]:
    """Convert a schema to the tool to be called; `A[B]` gets a valid name."""
    if isinstance(schema, dict):
        function = response_format(schema, strict=strict)["json_schema"]
        function["parameters"] = function.pop("schema")
        tool = {"type": "function", "function": function}
        if mark := schema.get("cache_control"):
            tool["cache_control"] = mark
    else:
        tool = tool_to_wire(schema, "schema", strict=strict)
        tool["function"]["name"] = _name(tool["function"]["name"])
    return tool
