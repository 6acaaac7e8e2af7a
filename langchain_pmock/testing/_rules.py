"""The rules for answers without script, tape or upstream.

1. With tools, call those whose names (or else descriptions) share a word with the
   user's last message, or one that `toolChoice` forces.
2. With a `responseFormat`, fill the schema, or the keys quoted in the prompt.
3. Otherwise, repeat the user's message, or the results of tools.

Arguments and schemas are filled with the numbers, quoted phrases, names and enum
options in the text, and otherwise with the smallest valid values.
"""

from __future__ import annotations

import json
import math
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat, takewhile
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._body import FunctionTool, RefusedError
from langchain_pmock.testing._script import Reply, ToolCall

if TYPE_CHECKING:
    from langchain_pmock.testing._body import Body, Function

# A word, also within camelCase; in Chinese, each pair of characters.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|(?=([一-鿿]{2}))")
_COMMON = (  # words that do not tell the topic of a text
    r"all|and|any|are|call|can|for|from|get|give|has|hello|how|into|make|not|one|out"
    r"|please|result|run|set|tell|text|that|the|this|tool|use|user|value|was|what|when"
    r"|where|which|who|will|with|you|your|[a-z]{1,2}"
)
_NUMBER = re.compile(r"(?<![A-Za-z_\d.-])-?[0-9]{1,15}(?:\.[0-9]+)?")
_NAME = rf"(?!(?i:{_COMMON})\b)[A-Z][\w'.-]*\w(?:,? [A-Z][\w'.-]*\w)*"
# What is quoted; a name within a sentence, or at its beginning: "Anna is 31 years old."
_PHRASE = re.compile(
    rf"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\""
    rf"|(?<=[^.!?:\s] )({_NAME})|({_NAME})(?= (?:is\b|[一-鿿]))"
)
_SAMPLES = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
_NOT_A_SCHEMA = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_LONGEST = 1000  # items of an array, and characters that pad a string


def reply_to(body: Body) -> Reply:
    results = [*takewhile(lambda m: m.role == "tool", body.messages[::-1])][::-1]
    prompt = next((m.text for m in reversed(body.messages) if m.role == "user"), "")
    source = "\n".join([prompt, *(result.text for result in results)])
    reasoning = ""
    if body.model.endswith(("thinking", "thinking-all")):
        reasoning = f"The user said {len(prompt.split())} words. I follow my rules."
    if functions := _functions_to_call(body, prompt):
        schemas = [(f.name, {**f.parameters, "type": "object"}) for f in functions]
        calls = [ToolCall(name, fill(schema, source)) for name, schema in schemas]
        return Reply(tool_calls=calls, reasoning=reasoning)
    if (schema := _schema(body)) is not None:
        text = fill(schema, source)
    elif results:
        names = {c.id: c.function.name for m in body.messages for c in m.tool_calls}
        text = "\n".join(f"{names[r.tool_call_id]} says: {r.text}" for r in results)
    else:
        text = f"You said: {prompt}"
    return Reply(text=text, reasoning=reasoning)


def _schema(body: Body) -> dict[str, Any] | None:
    """Return the schema of the answer; for `json_object` with the quoted keys."""
    if body.response_format.type == "json_schema":
        return body.response_format.json_schema.schema_
    if body.response_format.type == "text":
        return None
    prompts = "\n".join(m.text for m in body.messages if m.role != "tool")
    keys = re.findall(r"['\"]([\w-]+)['\"]", prompts)
    return {"type": "object", "required": keys or ["answer"]}


def _functions_to_call(body: Body, prompt: str) -> list[Function]:
    functions, choice, last = body.functions, body.tool_choice, body.messages[-1].role
    if isinstance(choice, FunctionTool):
        return [f for f in functions if f.name == choice.function.name][:1]
    if choice == "required" and last == "tool":
        # Agents that force a call in each turn bind the tool for the final answer last.
        return functions[-1:]
    if choice == "none" or (choice == "auto" and last != "user"):
        return []
    topics = _topics(prompt)
    chosen = [f for f in functions if topics & _topics(f.name)]
    chosen = chosen or [f for f in functions if topics & _topics(f.description)]
    if choice == "required":
        return (chosen or functions)[:1]
    return chosen if body.parallel_tool_calls else chosen[:1]


def _topics(text: str) -> set[str]:
    """Return the words of a text or name that tell its topic, in lower case."""
    words = {(match[1] or match[0]).lower() for match in _WORD.finditer(text)}
    return {word for word in words if not re.fullmatch(_COMMON, word)}


# --- Filling schemas -----------------------------------------------------------------


def fill(schema: dict[str, Any], text: str) -> str:
    """Create JSON for a schema, with values from a text where they fit."""
    phrases = dict.fromkeys("".join(groups) for groups in _PHRASE.findall(text))
    numbers = [float(n) if "." in n else int(n) for n in _NUMBER.findall(text)]
    try:
        value = _Filler(schema, text, [*phrases], numbers).fill(schema)
    except (*_NOT_A_SCHEMA, RecursionError) as e:  # or one that requires itself
        message = f"this JSON schema cannot be filled: {e}"
        raise RefusedError(message) from e
    return json.dumps(value, ensure_ascii=False)


@dataclass
class _Filler:
    root: dict[str, Any]
    text: str
    phrases: list[str]
    numbers: list[float]
    refs: tuple[str, ...] = ()  # in progress

    def fill(self, schema: Any) -> Any:  # noqa: C901, PLR0911 - a case for each kind
        match schema:
            case {"$ref": ref}:
                return self.follow(ref)
            case {"const": value}:
                return value
            case {"enum": options}:
                return next(filter(self.mentions, options), options[0])
            case {"anyOf": branches} | {"oneOf": branches}:
                return self.first_of(branches)
            case {"type": [*kinds]}:
                return self.first_of([{**schema, "type": kind} for kind in kinds])
            case {"type": "null"}:
                return None
            case {"type": "boolean"}:
                return True
            case {"type": "integer" | "number"}:
                return self.number(schema)
            case {"type": "array"}:
                return self.array(schema)
            case {"type": "object"} | {"properties": _}:
                properties = schema.get("properties", {})
                names = map(str, schema.get("required", []))
                return {name: self.fill(properties.get(name)) for name in names}
            case {"format": name} if name in _SAMPLES:
                return _SAMPLES[name]
        return self.string(schema if isinstance(schema, dict) else {})

    def mentions(self, option: object) -> bool:
        pattern = rf"(?<!\w){re.escape(str(option))}(?!\w)"
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def follow(self, ref: str) -> Any:
        if ref in self.refs:
            raise RecursionError(ref)
        target: Any = {"#": self.root}
        for name in ref.split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        return replace(self, refs=(*self.refs, ref)).fill(target)

    def first_of(self, branches: list[Any]) -> Any:
        for branch in branches:
            with suppress(RecursionError):
                return self.fill(branch)
        raise RecursionError

    def array(self, schema: dict[str, Any]) -> list[Any]:
        """Fill an array, with all strings or integers of the text."""
        items = schema.get("items")
        kind = items.get("type") if isinstance(items, dict) else None
        in_text: Any = {"string": self.phrases, "integer": self.numbers}
        found = len(in_text.get(str(kind), ()))
        wanted = min(max(found, schema.get("minItems", 0)), _LONGEST)
        wanted = min(wanted, schema.get("maxItems", wanted))
        schemas = chain(schema.get("prefixItems", ()), repeat(items))
        return [self.fill(each) for each in islice(schemas, wanted)]

    def number(self, schema: dict[str, Any]) -> float:
        """Return a valid number in the text, or else the one nearest to 0."""
        step = 1 if schema["type"] == "integer" else 0.001
        above = schema.get("exclusiveMinimum", -math.inf)
        below = schema.get("exclusiveMaximum", math.inf)
        low: float = max(schema.get("minimum", -math.inf), above + step)
        high: float = min(schema.get("maximum", math.inf), below - step)
        for n in self.numbers:
            if low <= n <= high and (step < 1 or n % 1 == 0):
                self.numbers.remove(n)
                return n if step < 1 else int(n)
        value = max(low, min(0, high))
        rounded = math.floor(value) if value < 0 else math.ceil(value)
        return value if step < 1 else rounded

    def string(self, schema: dict[str, Any]) -> str:
        value = self.phrases.pop(0) if self.phrases else self.text.strip()
        value = value[: schema.get("maxLength")]
        return value.ljust(min(schema.get("minLength", 0), _LONGEST), ".")
