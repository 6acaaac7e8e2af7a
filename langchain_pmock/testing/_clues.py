"""What a text offers as arguments: numbers, quoted phrases, names, other phrases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# The characters of Chinese, Japanese and Korean, where no space ends a word.
CJK = "぀-ヿ㐀-䶿一-鿿가-힯"

_QUOTED = re.compile(
    rf"""(?<![^\W{CJK}])'([^'\n]+)'(?![^\W{CJK}])"""
    r"""|"([^"\n]+)"|“([^”\n]+)”|「([^」\n]+)」|`([^`\n]+)`"""
)
# Only ASCII letters make it part of a word: Chinese has no space around a number.
_NUMBER = re.compile(r"(?<![A-Za-z_\d.])-?\d+(?:\.\d+)?(?![A-Za-z_\d]|\.\d)")
_CAPITALISED = r"[A-Z][\w'.-]*\w(?:,? [A-Z][\w'.-]*\w)*"
_PLACE = re.compile(
    rf"\b(?:in|for|of|at|to|from|near|about|named|called) ({_CAPITALISED})"
)
_NAME = re.compile(rf"(?<=[^.!?:\s] )({_CAPITALISED})")
_TOPIC = re.compile(
    r"\b(?:in|for|of|at|to|from|near|about|named|called) (?:the |an? )?"
    r"([^\s,.;:!?()]+(?: [^\s,.;:!?()]+)?)"
)
_URL = re.compile(r"https?://[^\s'\"<>)]*[^\s'\"<>).,;!?]")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_FORMATS = {
    "email": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*\w"),
    "uri": _URL,
    "url": _URL,
    "date": _DATE,
    "date-time": re.compile(r"\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})"),
}
_CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LETTERS = re.compile(r"[^\W\d_]+")
_CJK_RUN = re.compile(rf"[{CJK}]+")

# "of", "to" and "a" tell nothing.
_SHORTEST_WORD = 3

Number = int | float


def words(text: str) -> set[str]:
    """The words of a text or of a name, split at case and underscores, in lower case.

    A plural counts as its singular. Chinese, Japanese and Korean text gives each pair
    of characters.
    """
    spaced = _CASE_CHANGE.sub(" ", _CJK_RUN.sub(" ", text))
    found = {word.lower() for word in _LETTERS.findall(spaced)}
    pairs = {
        run[i : i + 2] for run in _CJK_RUN.findall(text) for i in range(len(run) - 1)
    }
    return {w.removesuffix("s") for w in found if len(w) >= _SHORTEST_WORD} | pairs


def quoted(text: str) -> list[str]:
    """The phrases in quotation marks, without the marks."""
    return ["".join(groups) for groups in _QUOTED.findall(text)]


class Clues:
    """The phrases and numbers of a text; each is taken once.

    Args:
        text: The text, usually the last message of the user.
    """

    def __init__(self, text: str) -> None:
        """Look through the text once."""
        self.text = text
        self.quoted: list[str] = quoted(text)
        unquoted = _QUOTED.sub(" ", text)
        self.numbers: list[Number] = [
            _number(n) for n in _NUMBER.findall(_DATE.sub(" ", unquoted))
        ]
        named = [*_PLACE.findall(unquoted), *_NAME.findall(unquoted)]
        topics = [t for t in _TOPIC.findall(unquoted) if not _NUMBER.fullmatch(t)]
        self.phrases: list[str] = [*dict.fromkeys(named)] or [*dict.fromkeys(topics)]

    def take_number(
        self, mentioned: str | None, fits: Callable[[Number], bool]
    ) -> Number | None:
        """The number that is mentioned or else the next one, if it fits.

        Args:
            mentioned: What the text says of the property, if it is named in it.
            fits: Whether the schema allows a number.
        """
        if mentioned and _NUMBER.fullmatch(mentioned) and fits(_number(mentioned)):
            return _number(mentioned)
        for index, number in enumerate(self.numbers):
            if fits(number):
                return self.numbers.pop(index)
        return None

    def take_phrase(self) -> str | None:
        """The next quoted phrase, name or topic, if there is one left."""
        for phrases in (self.quoted, self.phrases):
            if phrases:
                return phrases.pop(0)
        return None

    def mentioned(self, key: str) -> str | None:
        """What the text says right after a property's name: "name: Anna", "age 30".

        Args:
            key: The name of the property.
        """
        parts = _LETTERS.findall(_CASE_CHANGE.sub(" ", key)) or [key]
        name = r"[\s_-]?".join(map(re.escape, parts))
        # A name of one letter is a word of the language too: "a 3-day trip".
        follows = r"|\s+is\s+|\s+(?=[\d'\"])" if len(key) > 1 else ""
        match = re.search(
            rf"(?i:\b{name}\b)(?:\s*[=:]\s*{follows})"
            rf"(?:{_QUOTED.pattern}|({_CAPITALISED}|-?[\w.@-]*\w))",
            self.text,
        )
        if match is None:
            return None
        value = next(group for group in match.groups() if group)
        for phrases in (self.quoted, self.phrases):
            if value in phrases:
                phrases.remove(value)
        if _NUMBER.fullmatch(value) and _number(value) in self.numbers:
            self.numbers.remove(_number(value))
        return value

    def first(self, kind: str) -> str | None:
        """The first phrase of a format of JSON schema, if the text has one.

        Args:
            kind: The name of the format.
        """
        match = _FORMATS[kind].search(self.text) if kind in _FORMATS else None
        return match[0] if match else None


def _number(text: str) -> Number:
    return float(text) if "." in text else int(text)
