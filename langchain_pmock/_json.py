"""JSON with lone surrogates, which models sometimes write."""

from __future__ import annotations

import json
import math
import reprlib
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json, to_json

from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable


class UnreadableError(ValueError):
    """An answer does not have the documented structure; the text has the reason.

    It is raised by checks of `_response` alone: any other exception is a defect.
    """


def encode(value: object, place: str = "body", *, allow_nan: bool = False) -> bytes:
    """Serialize a value as JSON in UTF-8, or name the path to what has no form."""
    if problem := _problem(value, _DEEPEST, allow_nan=allow_nan):
        path, what = problem
        msg = f"{f'{place}{path}'[:_LONGEST_PATH]}{what}"
        raise PmockInvalidRequestError(msg)
    try:
        return to_json(value)
    except ValueError:  # lone surrogates
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return _whole_characters(text).encode()


_PLAIN = {str, int, bool, type(None)}
_DEEPEST = 200  # levels; `to_json` fails from 255
_LONGEST_PATH = 100  # characters in an error


def _problem(value: Any, levels: int, *, allow_nan: bool) -> tuple[str, str] | None:
    """Find the first part of a value for which JSON has no form: its path, and why.

    `to_json` would write sets, bytes, dates, objects with fields, and NaN.
    """
    items: Iterable[tuple[Any, Any]]
    if isinstance(value, dict):
        step, items = ".{}".format, value.items()
    elif isinstance(value, (list, tuple)):
        step, items = "[{}]".format, enumerate(value)
    elif isinstance(value, (str, int, type(None))) or (
        isinstance(value, float) and (allow_nan or math.isfinite(value))
    ):
        return None
    else:
        why = f"it has no form for this {type(value).__name__}"
        return "", f"={reprlib.repr(value)} cannot be written as JSON: {why}."
    if not levels:
        return "", "... cannot be written: it is nested too deeply."
    for key, item in items:
        if not isinstance(key, (str, int)):
            return "", f" cannot be written as JSON: its key {key!r} is no string."
        if type(item) not in _PLAIN and (
            problem := _problem(item, levels - 1, allow_nan=allow_nan)
        ):
            return step(key) + problem[0], problem[1]
    return None


def decode(payload: bytes | str) -> object:
    r"""Parse JSON leniently.

    Bytes that are not UTF-8, and lone surrogates such as `"\ud83d"`, become U+FFFD.
    Strings may contain unescaped control characters.
    """
    try:
        return from_json(payload)
    except (TypeError, ValueError):  # TypeError for unescaped surrogates
        pass
    if isinstance(payload, bytes):
        payload = payload.decode("utf-8", "replace")
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
