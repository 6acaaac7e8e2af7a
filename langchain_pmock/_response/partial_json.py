"""JSON text that is not complete yet."""

from __future__ import annotations

import re
from typing import Any

from pydantic_core import from_json

# In this order: an incomplete escape at the end, a surrogate pair, a lone surrogate.
_ESCAPES = re.compile(
    r"""
      (?P<cut>
        (?: \\u[dD][89abAB][0-9a-fA-F]{2}
            (?: \\ (?: u (?: [dD] (?: [c-fC-F] [0-9a-fA-F]? )? )? )? )?
          | \\ (?: u[0-9a-fA-F]{0,3} )?
        ) \Z
      )
    | (?P<pair> \\u[dD][89abAB][0-9a-fA-F]{2} \\u[dD][c-fC-F][0-9a-fA-F]{2} )
    | (?P<half> \\u[dD][89a-fA-F][0-9a-fA-F]{2} )
    | \\.
    """,
    re.DOTALL | re.VERBOSE,
)
_STRINGS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_CONTROLS = {chr(code): f"\\u{code:04x}" for code in range(32)}
_NUMBER = "+-.0123456789eE"


class WholeEscapes:
    r"""Moves incomplete escapes at the end of a piece of JSON text to the next one.

    Lone surrogates, such as `"\ud83d"`, cannot be encoded and become U+FFFD.
    """

    def __init__(self) -> None:
        """Initialize the state before the first piece."""
        self._cut = ""

    def feed(self, piece: str) -> str:
        """Add a piece; return the text that is complete."""
        if not self._cut and "\\" not in piece:
            return piece
        piece, self._cut = self._cut + piece, ""
        return _ESCAPES.sub(self._replace, piece)

    def end(self) -> str:
        """Return the rest after the last piece."""
        cut, self._cut = self._cut, ""
        # The space completes the escape.
        return _ESCAPES.sub(self._replace, f"{cut} ")[:-1]

    def _replace(self, match: re.Match[str]) -> str:
        if match.lastgroup == "cut":
            self._cut = match[0]
            return ""
        return "\\ufffd" if match.lastgroup == "half" else match[0]


def parse_partial(text: str) -> Any:
    """Parse the beginning of JSON text.

    Strings are included before they are complete, numbers and keys after. Strings may
    have unescaped control characters, which models send.

    Raises:
        ValueError: If it is not JSON, or is nested too deeply.
    """
    try:
        value = _parse(text)
    except ValueError:
        text = _STRINGS.sub(_without_controls, WholeEscapes().feed(text))
        value = _parse(text)
    if text[-1:] in _NUMBER and type(_last_leaf(value)) in (int, float):
        value = _parse(text.rstrip(_NUMBER))
    return value


def _without_controls(string: re.Match[str]) -> str:
    text = string[0]
    for control, escape in _CONTROLS.items():
        if control in text:
            text = text.replace(control, escape)
    return text


def _parse(text: str) -> Any:
    return from_json(text.encode(), allow_partial="trailing-strings")


def _last_leaf(value: Any) -> Any:
    while value and isinstance(value, (dict, list)):
        values = value.values() if isinstance(value, dict) else value
        value = next(reversed(values))
    return value
