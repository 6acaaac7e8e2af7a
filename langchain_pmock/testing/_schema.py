"""Fill a JSON schema with what a text says, or else with plain defaults."""

from __future__ import annotations

import math
import re
from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from langchain_pmock.testing._clues import Clues, Number

Schema = dict[str, Any]

# A string property of such a name wants all that was said, not a phrase of it.
_WHOLE_TEXT = {"content", "message", "prompt", "query", "question", "text"}

_FORMATS: dict[str, str] = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

# Tried in turn where a pattern is asked for and nothing in the text matches it.
_SAMPLES = (
    *("a", "abc", "A", "AB", "ABC", "Abc", "1", "12", "123", "1234", "12345", "1.5"),
    *("#336699", "+15550100", "555-0100", "ab-12", "AB-123", "a1", "en", "en-US"),
    *_FORMATS.values(),
)


class _EndlessError(Exception):
    """The schema asks for itself, or for a value that cannot be."""


_ENDLESS = object()


def fill(schema: Schema, clues: Clues) -> Any:
    """Make a value that fits a JSON schema, from the clues where they fit.

    Required properties come first. An optional one is left out, unless the text speaks
    of it or has a clue left for it.

    Args:
        schema: A JSON schema.
        clues: What the text offers; what is used is taken out.

    Returns:
        The value. An object that needs itself, without end, is empty.
    """
    try:
        return _Filler(schema, clues).fill(schema, "", ())
    except _EndlessError:
        return {}


class _Filler:
    def __init__(self, root: Schema, clues: Clues) -> None:
        self.root = root
        self.clues = clues

    def fill(self, schema: Any, key: str, seen: tuple[str, ...]) -> Any:
        if schema is False:
            raise _EndlessError
        schema, seen = self.resolve(schema if isinstance(schema, dict) else {}, seen)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.choose(schema["enum"])
        for combination in ("anyOf", "oneOf"):
            if combination in schema:
                return self.branch(schema, combination, key, seen)
        make: dict[str, Callable[[], Any]] = {
            "object": lambda: self.object(schema, seen),
            "array": lambda: self.array(schema, key, seen),
            "string": lambda: self.string(schema, key),
            "integer": lambda: self.number(schema, key, whole=True),
            "number": lambda: self.number(schema, key, whole=False),
            "boolean": lambda: schema.get("default", True),
            "null": lambda: None,
        }
        return make.get(_type_of(schema), make["string"])()

    def attempt(self, schema: Any, key: str, seen: tuple[str, ...]) -> Any:
        """Fill a schema where there is another way if it has no end."""
        try:
            return self.fill(schema, key, seen)
        except _EndlessError:
            return _ENDLESS

    def resolve(
        self, schema: Schema, seen: tuple[str, ...]
    ) -> tuple[Schema, tuple[str, ...]]:
        """Put what `$ref` and `allOf` stand for in their place."""
        if "$ref" in schema:
            ref = str(schema["$ref"])
            if ref in seen:
                raise _EndlessError
            target, seen = self.resolve(self.look_up(ref), (*seen, ref))
            schema = target | {k: v for k, v in schema.items() if k != "$ref"}
        if "allOf" in schema:
            merged = {k: v for k, v in schema.items() if k != "allOf"}
            for part in schema["allOf"]:
                resolved, seen = self.resolve(part, seen)
                merged = {
                    **resolved,
                    **merged,
                    "properties": resolved.get("properties", {})
                    | merged.get("properties", {}),
                    "required": [
                        *resolved.get("required", []),
                        *merged.get("required", []),
                    ],
                }
            schema = {k: v for k, v in merged.items() if v or k != "properties"}
        return schema, seen

    def look_up(self, ref: str) -> Schema:
        """Follow a JSON pointer from the root."""
        target: Any = self.root
        for step in ref.removeprefix("#").split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - the same step, unescaped
            target = target.get(step, {}) if isinstance(target, dict) else {}
        return target if isinstance(target, dict) else {}

    def choose(self, options: list[Any]) -> Any:
        """The option that the text mentions, or else the first."""
        for option in options:
            mention = rf"(?<!\w){re.escape(str(option))}(?!\w)"
            if re.search(mention, self.clues.text, re.IGNORECASE):
                return option
        return options[0]

    def branch(
        self, schema: Schema, combination: str, key: str, seen: tuple[str, ...]
    ) -> Any:
        """The first branch that is not null and does not lead back to itself."""
        rest = {k: v for k, v in schema.items() if k not in (combination, "default")}
        branches = schema[combination]
        for branch in sorted(branches, key=lambda b: b == {"type": "null"}):
            whole = {**rest, **branch} if isinstance(branch, dict) else branch
            made = self.attempt(whole, key, seen)
            if made is not _ENDLESS:
                return made
        raise _EndlessError

    def object(self, schema: Schema, seen: tuple[str, ...]) -> dict[str, Any]:
        properties: Schema = schema.get("properties", {})
        required = [key for key in schema.get("required", []) if key in properties]
        made = {key: self.fill(properties[key], key, seen) for key in required}
        for key in properties:
            if key not in made and self.has_clue(properties[key], key, seen):
                made[key] = self.attempt(properties[key], key, seen)
        values = schema.get("additionalProperties")
        if not properties and isinstance(values, dict):
            made["key"] = self.fill(values, "key", seen)
        made = {key: value for key, value in made.items() if value is not _ENDLESS}
        return {key: made[key] for key in properties if key in made} | made

    def has_clue(self, schema: Any, key: str, seen: tuple[str, ...]) -> bool:
        """Whether the text has something for an optional property."""
        try:
            schema, seen = self.resolve(
                schema if isinstance(schema, dict) else {}, seen
            )
        except _EndlessError:
            return False
        for combination in ("anyOf", "oneOf"):
            branches = schema.get(combination, [])
            if branches:
                return any(self.has_clue(branch, key, seen) for branch in branches)
        if "enum" in schema:
            return any(
                re.search(rf"\b{re.escape(str(o))}\b", self.clues.text, re.IGNORECASE)
                for o in schema["enum"]
            )
        kind = _type_of(schema)
        if kind in ("integer", "number"):
            return bool(self.clues.numbers)
        return kind == "string" and bool(self.clues.quoted or self.clues.phrases)

    def array(self, schema: Schema, key: str, seen: tuple[str, ...]) -> list[Any]:
        prefix = schema.get("prefixItems", [])
        items = schema.get("items", {})
        least = schema.get("minItems", 0)
        made = [self.fill(item, key, seen) for item in prefix]
        wanted = max(least, 0 if prefix else 1, self.count_clues(items))
        try:
            while len(made) < min(wanted, schema.get("maxItems", wanted)):
                made.append(self.fill(items, key, seen))
        except _EndlessError:
            if len(made) < least:
                raise
        if schema.get("uniqueItems"):
            return list({repr(item): item for item in made}.values())
        return made

    def count_clues(self, items: Any) -> int:
        """How many items of an array the text has something for."""
        kind = _type_of(items) if isinstance(items, dict) else ""
        if kind in ("integer", "number"):
            return len(self.clues.numbers)
        is_free = kind == "string" and not items.keys() & {"enum", "const", "format"}
        return len(self.clues.quoted or self.clues.phrases) if is_free else 0

    def number(self, schema: Schema, key: str, *, whole: bool) -> Number:
        step = schema.get("multipleOf") or (1 if whole else 0)
        low, high = _range_of(schema, whole=whole)

        def fits(number: Number) -> bool:
            is_step = not step or math.isclose(number / step, round(number / step))
            return low <= number <= high and is_step

        number = self.clues.take_number(self.clues.mentioned(key), fits)
        if number is None:
            number = schema.get("default")
        if number is None:
            number = next(filter(fits, _plain_numbers(low, high, step)), 0)
        return int(number) if whole else number

    def string(self, schema: Schema, key: str) -> str:
        clues = self.clues
        if schema.get("format") in _FORMATS:
            kind = str(schema["format"])
            return clues.first(kind) or _FORMATS[kind]
        if "pattern" in schema:
            texts = (clues.quoted, clues.phrases, clues.text.split(), _SAMPLES)
            for option in chain.from_iterable(texts):
                if _matches(str(schema["pattern"]), option):
                    return option
        value: str | None = clues.mentioned(key) or (
            clues.quoted.pop(0) if clues.quoted else None
        )
        if value is None and key.lower() not in _WHOLE_TEXT:
            value = clues.take_phrase()
        if value is None:
            value = str(schema.get("default") or clues.text.strip() or key or "text")
        longest = int(schema.get("maxLength", len(value)))
        return value[:longest].ljust(int(schema.get("minLength", 0)), ".")


def _type_of(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind is None and "properties" in schema:
        return "object"
    if kind is None and ("items" in schema or "prefixItems" in schema):
        return "array"
    return str(kind)


def _range_of(schema: Schema, *, whole: bool) -> tuple[float, float]:
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if "exclusiveMinimum" in schema:
        above = schema["exclusiveMinimum"]
        low = max(
            low, math.floor(above) + 1 if whole else math.nextafter(above, math.inf)
        )
    if "exclusiveMaximum" in schema:
        below = schema["exclusiveMaximum"]
        high = min(
            high, math.ceil(below) - 1 if whole else math.nextafter(below, -math.inf)
        )
    return (math.ceil(low) if whole and math.isfinite(low) else low), high


def _plain_numbers(low: float, high: float, step: float) -> Iterator[Number]:
    yield 0
    for bound, inward in ((low, math.ceil), (high, math.floor)):
        if math.isfinite(bound):
            yield inward(bound)
            if step:
                yield inward(bound / step) * step
    middle = (low + high) / 2
    if math.isfinite(middle):
        yield round(middle, 6)
        yield middle


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        # JSON schemas have the regular expressions of JavaScript.
        return False
