"""JSON text that is not complete yet."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

_HIGH = r"\\u[dD][89abAB][0-9a-fA-F]{2}"  # the first half of a surrogate pair
_LOW = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPES = re.compile(
    rf"(?P<cut>(?=\\)(?:{_HIGH})?(?:\\(?:u[0-9a-fA-F]{{0,3}})?)?\Z)"
    rf"|{_HIGH}{_LOW}|(?P<half>{_HIGH}|{_LOW})|\\.",
    re.DOTALL,
)
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_CONTROLS = {code: f"\\u{code:04x}" for code in range(32)}
_LONGEST_CUT = 11  # characters of an incomplete pair of escapes
_NUMBER = "+-.0123456789eE"


class WholeEscapes:
    r"""Moves incomplete escapes at the end of a piece of JSON text to the next one.

    Lone surrogates, such as `"\ud83d"`, cannot be encoded and become U+FFFD.
    """

    def __init__(self) -> None:
        self._cut = ""

    def feed(self, piece: str) -> str:
        """Add a piece; return the text that is complete."""
        if not self._cut and "\\" not in piece:
            return piece
        piece, self._cut = self._cut + piece, ""
        return _ESCAPES.sub(self._replace, piece)

    def end(self) -> str:
        """Return the rest after the last piece."""
        return self.feed(" ")[:-1]  # the space completes the escape

    def _replace(self, match: re.Match[str]) -> str:
        if match.lastgroup == "cut":
            self._cut = match[0]
            return ""
        return "\\ufffd" if match.lastgroup == "half" else match[0]


def parse_partial(text: str) -> Any:
    """Parse the beginning of JSON text; raise a `ValueError` if it is none.

    Strings are included before they are complete, numbers and keys after. Strings may
    have unescaped control characters, which models send.
    """
    if "\\" in text[-_LONGEST_CUT:]:  # pydantic 2.10 would leave out the whole string
        text = WholeEscapes().feed(text)
    try:
        value = _parse(text)
    except ValueError:
        text = WholeEscapes().feed(text)
        text = _STRINGS.sub(lambda string: string[0].translate(_CONTROLS), text)
        value = _parse(text)
    if text[-1:] in _NUMBER and type(_last_leaf(value)) in (int, float):
        value = _parse(text.rstrip(_NUMBER))
    return value


def _parse(text: str) -> Any:
    return from_json(text.encode(), allow_partial="trailing-strings")


def _last_leaf(value: Any) -> Any:
    while value and isinstance(value, (dict, list)):
        values = value.values() if isinstance(value, dict) else value
        value = next(reversed(values))
    return value
