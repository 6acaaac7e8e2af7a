"""JSON with lone surrogates, which models sometimes write."""

from __future__ import annotations

import json
import math
import reprlib
from typing import Any

from pydantic_core import from_json, to_json

from langchain_pmock.errors import PmockInvalidRequestError


class UnreadableError(ValueError):
    """An answer does not have the documented structure; the text has the reason.

    It is raised by checks of `_response` alone: any other exception is a defect.
    """


def encode(value: object, place: str = "body") -> bytes:
    """Serialize a value as JSON in UTF-8.

    Raises:
        PmockInvalidRequestError: If a part of it cannot be serialized. The text has the
            path, such as `body.tools[0].function.name`, and the value.
    """
    try:
        written = to_json(value)
        if _is_plain(value):
            return written
    except (TypeError, ValueError):
        pass  # lone surrogates, more than 255 levels, or not serializable
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
    """Whether a value has only JSON's own types.

    `to_json` also serializes sets, bytes, dates, objects with fields, and NaN.
    """
    found = [value]
    for item in found:
        if type(item) is dict:
            "".join(item)  # raises TypeError unless all keys are strings
            item = item.values()  # noqa: PLW2901 - the keys are checked
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
    """Find the first value that cannot be serialized: its path and its repr."""
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
            except _UNWRITABLE:
                path, value = path + step, item
                break
        else:
            break
    return path, reprlib.repr(value)


def decode(payload: bytes | str) -> object:
    r"""Parse JSON leniently.

    Bytes that are not UTF-8, and lone surrogates such as `"\ud83d"`, become U+FFFD.
    Strings may contain unescaped control characters.

    Raises:
        ValueError: If it is not JSON, or is nested too deeply.
    """
    if isinstance(payload, bytes):
        payload = payload.decode("utf-8", "replace")
    try:
        return from_json(payload)
    except (TypeError, ValueError):  # TypeError for unescaped surrogates
        pass
    try:
        value = json.loads(payload, strict=False)
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        msg = "it is nested too deeply"
        raise ValueError(msg) from error
    return from_json(_whole_characters(text))


def _whole_characters(text: str) -> str:
    """Join surrogate pairs, and replace lone surrogates."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
