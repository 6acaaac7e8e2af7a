"""Incremental parsing of JSON text."""

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
_MARKS = re.compile(r'\\.|["{}\[\],\x00-\x1f]', re.DOTALL)
_NUMBER = "+-.0123456789eE"
_LONGEST_NUMBER = 1_000  # characters
_CLOSING = {dict: "}", list: "]"}
_DEEPEST = 200  # the limit of pydantic's parser


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


class PartialJson:
    """Incremental parser of a JSON object or array.

    Only the text after the last comma or bracket is parsed again. Numbers and keys are
    included once they are complete. Values share their complete parts, which do not
    change any more.

    Attributes:
        whole: The value, once it is complete.
    """

    def __init__(self) -> None:
        """Initialize the state before the first piece."""
        self.whole: Any = None
        self._escapes = WholeEscapes()
        self._keys: list[str | None] = []  # of each open container in its parent
        self._open: list[dict[str, Any] | list[Any]] = []
        self._tail: list[str] = []  # text after the last comma or bracket
        self._in_string = False
        self._last: Any = None  # the value of the tail
        self._has_grown = False

    def feed(self, piece: str) -> None:
        """Add a piece; text after the value is ignored.

        Raises:
            ValueError: If the text is not JSON, or is nested too deeply.
        """
        piece = self._escapes.feed(piece)
        start = 0
        for match in _MARKS.finditer(piece):
            mark = match[0]
            if self.whole is not None:
                return
            if mark == '"':
                self._in_string = not self._in_string
                continue
            if mark[0] == "\\" or (mark < " ") != self._in_string:
                continue
            self._tail.append(piece[start : match.start()])
            start = match.end()
            if self._in_string:  # models send unescaped newlines
                self._tail.append(f"\\u{ord(mark):04x}")
            elif mark in "{[":
                self._enter(mark)
            else:
                self._finish(mark)
        self._tail.append(piece[start:])

    def grown(self) -> Any:
        """Return the partial value if it changed since the last call, or else `None`.

        Raises:
            ValueError: If the text is not JSON.
        """
        if self.whole is None and self._open:
            self._parse_tail(is_complete=False)
        if not self._has_grown:
            return None
        self._has_grown = False
        if self.whole is not None:
            return self.whole
        value = _with(self._open[-1], self._last)
        for key, parent in zip(self._keys[:0:-1], self._open[-2::-1], strict=True):
            value = _with(parent, [value] if key is None else {key: value})
        return value

    def _enter(self, bracket: str) -> None:
        tail, key = self._text(), None
        if self._open and isinstance(self._open[-1], dict):
            [key] = from_json(f"{{{tail}0}}".encode())
        elif tail.strip():
            raise ValueError(tail)
        if len(self._open) == _DEEPEST:
            msg = "it is nested too deeply"
            raise ValueError(msg)
        self._keys.append(key)
        self._open.append({} if bracket == "{" else [])
        self._reset_tail()
        self._has_grown = True

    def _finish(self, mark: str) -> None:
        """Add the text before a comma or closing bracket to the container."""
        if not self._open:
            raise ValueError(mark)
        self._parse_tail(is_complete=True)
        container = self._open[-1]
        _add(container, self._last)
        if mark != ",":
            if mark != _CLOSING[type(container)]:
                raise ValueError(mark)
            self._open.pop()
            key = self._keys.pop()
            if not self._open:
                self.whole = container
                return
            _add(self._open[-1], [container] if key is None else {key: container})
        self._reset_tail()

    def _parse_tail(self, *, is_complete: bool) -> None:
        container, text = self._open[-1], self._text()
        if not (is_complete or self._in_string):
            end = text[-_LONGEST_NUMBER:].rstrip(_NUMBER)  # it may be incomplete
            if not end and len(text) > _LONGEST_NUMBER:
                raise ValueError(text)
            text = text[:-_LONGEST_NUMBER] + end
        if not text or text.isspace():
            return
        opening = "{" if isinstance(container, dict) else "["
        closing = _CLOSING[type(container)] if is_complete else ""
        value = from_json(
            f"{opening}{text}{closing}".encode(),
            allow_partial=False if is_complete else "trailing-strings",
        )
        self._has_grown |= value != self._last
        self._last = value

    def _text(self) -> str:
        self._tail = ["".join(self._tail)]
        return self._tail[0]

    def _reset_tail(self) -> None:
        self._tail = []
        self._last = type(self._open[-1])()


def _add(container: Any, values: Any) -> None:
    if isinstance(container, dict):
        container.update(values)
    else:
        container.extend(values)


def _with(container: Any, values: Any) -> Any:
    """Return a copy of a container with more values."""
    copy = container.copy()
    _add(copy, values)
    return copy
