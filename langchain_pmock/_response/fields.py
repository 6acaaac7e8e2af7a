"""Checked access to the fields of an answer, which may be any JSON.

The functions raise an `UnreadableError` if a field has another type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeVar

from langchain_pmock._json import UnreadableError
from langchain_pmock._wire import camel_case

Json = Mapping[str, Any]
T = TypeVar("T")

_KINDS = {
    str: "a string",
    list: "a list",
    dict: "an object",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}


def get(mapping: Json, name: str) -> Any:
    """Return a field by its snake_case name, or under its camelCase name."""
    return mapping.get(camel_case(name)) or mapping.get(name)


def read(mapping: Json, name: str, kind: type[T]) -> T:
    """Return a field of a type, empty if it is missing or null."""
    value = get(mapping, name)
    return kind() if value is None else checked(value, name, kind)


def objects_of(mapping: Json, name: str) -> list[dict[str, Any]]:
    """Return a list of objects, empty if it is missing or null."""
    items: list[Any] = read(mapping, name, list)
    for at, item in enumerate(items):
        if type(item) is not dict:
            checked(item, f"{name}[{at}]", dict)
    return items


def id_of(mapping: Json, name: str) -> str | None:
    """Return an id as a string; some services send numbers, or `"null"` for none."""
    value = get(mapping, name)
    if type(value) in (int, float):
        return str(value)
    return None if value is None or value in ("", "null") else checked(value, name, str)


def content_of(message: Json) -> str | list[str | dict[str, Any]]:
    """Return the content of a message or a delta: a string or a list of blocks."""
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    for at, block in enumerate(checked(content, "content", list)):
        name = f"content[{at}]"
        fields = {} if isinstance(block, str) else checked(block, name, dict)
        for field in ("type", "text", "id"):
            if fields.get(field) is not None:
                checked(fields[field], f"{name}.{field}", str)
        if fields.get("type") == "non_standard":  # of LangChain, which reads its value
            checked(fields.get("value"), f"{name}.value", dict)
    # A null is a missing field, which LangChain does not expect in a block.
    return [block if isinstance(block, str) else present(block) for block in content]


def present(mapping: Json) -> dict[str, Any]:
    """Return the fields that are not null."""
    return {name: value for name, value in mapping.items() if value is not None}


def as_text(value: object) -> str:
    """Return a value that should be a string; another one as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def checked(value: Any, name: str, kind: type) -> Any:
    """Return a value of the documented type."""
    if type(value) is kind:
        return value
    path = ".".join(map(camel_case, name.split(".")))
    msg = f"{path} is {_KINDS[type(value)]}, not {_KINDS[kind]}"
    raise UnreadableError(msg)
