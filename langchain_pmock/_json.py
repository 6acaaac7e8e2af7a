"""JSON as models write it, which may have halves of surrogate pairs in it."""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any

from pydantic_core import from_json, to_json

from langchain_pmock.errors import PmockInvalidRequestError

UNREADABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
)
"""Exceptions of code that reads an answer with another structure than documented."""


class UnreadableError(ValueError):
    """Raised if an answer does not have the documented structure; its text says how."""


def encode(value: object, place: str = "body") -> bytes:
    """Write JSON in UTF-8.

    Args:
        value: What is to be sent: dicts, lists, tuples, strings, bools, `None` and
            finite numbers. JSON has a form for nothing else.
        place: What the value is, for the error.

    Returns:
        The JSON text's bytes, with U+FFFD in place of lone surrogates.

    Raises:
        PmockInvalidRequestError: If JSON has no form for something in it. The text
            names the place, such as `body.tools[0].function.name`, and the value.
    """
    try:
        written = to_json(value)
        if _is_plain(value):
            return written
    except (TypeError, ValueError):
        pass  # lone surrogates, more than 255 levels, or what is refused below
    try:
        text = _dumps(value)
    except _UNWRITABLE as error:
        path, found = _find_unwritable(value)
        is_deep = isinstance(error, RecursionError)
        why = "it is nested too deeply" if is_deep else str(error)
        msg = f"{place}{path}={found} cannot be written as JSON: {why}."
        raise PmockInvalidRequestError(msg) from None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _whole_characters(text).encode()


_dumps = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":")
).encode
_UNWRITABLE = (TypeError, ValueError, RecursionError)
_SCALARS = {str, int, bool, type(None)}
_LONGEST_PATH = 10  # keys and indexes in an error


def _is_plain(value: Any) -> bool:
    """Whether a value has only types that `to_json` and the standard library share.

    `to_json` also writes sets, bytes, dates, objects with fields, and NaN.
    """
    found = [value]
    for item in found:
        if type(item) is dict:
            "".join(item)  # a TypeError unless all keys are strings
            item = item.values()  # noqa: PLW2901 - its values are what is checked
        for inner in item:
            kind = type(inner)
            if kind is dict or kind is list:
                found.append(inner)
            elif kind not in _SCALARS and (
                kind is not float or not math.isfinite(inner)
            ):
                return False
    return True


def _find_unwritable(value: Any) -> tuple[str, str]:
    """Find the first value that has no form in JSON: its path, and how it looks."""
    path = ""
    for _ in range(_LONGEST_PATH):
        if isinstance(value, dict):
            inner = ((f".{key}", item) for key, item in value.items())
        elif isinstance(value, (list, tuple)):
            inner = ((f"[{index}]", item) for index, item in enumerate(value))
        else:
            break
        for step, item in inner:
            try:
                _dumps(item)
            except _UNWRITABLE:  # noqa: PERF203 - it tells which one
                path, value = path + step, item
                break
        else:
            break
    return path, reprlib.repr(value)


def decode(payload: bytes | str) -> object:
    r"""Read JSON leniently.

    Bytes that are not UTF-8, and halves of surrogate pairs such as `"\ud83d"`, become
    U+FFFD. Control characters may be in strings unescaped.

    Args:
        payload: The JSON text.

    Returns:
        The value.

    Raises:
        ValueError: If it is not JSON, or is nested too deeply.
    """
    if isinstance(payload, bytes):
        payload = payload.decode("utf-8", "replace")
    try:
        return from_json(payload)
    except (TypeError, ValueError):  # the former for halves that are not escaped
        pass
    try:
        value = json.loads(payload, strict=False)
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ValueError(msg) from error
    return from_json(_whole_characters(text))


def _whole_characters(text: str) -> str:
    """Join halves that belong together, and replace those that stand alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
