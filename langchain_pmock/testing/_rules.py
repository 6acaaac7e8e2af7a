"""The rules for answers without script, tape or upstream.

1. With tools, call those that match the user's last message, or one that `toolChoice`
   forces.
2. With a `responseFormat`, fill the schema, or the keys quoted in the prompt.
3. Otherwise, repeat the user's message, or the results of tools.

Arguments and schemas are filled with the numbers, quoted phrases, names and enum
options in the text, and otherwise with the smallest valid values.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._body import FunctionTool, RefusedError
from langchain_pmock.testing._script import Reply, ToolCall

if TYPE_CHECKING:
    from langchain_pmock.testing._body import Body, Function

CJK = "぀-ヿ㐀-䶿一-鿿가-힯"  # scripts without spaces between words

_WORD = re.compile(rf"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|(?=([{CJK}]{{2}}))")
_COMMON = (  # words that do not tell the topic of a text
    r"all|and|any|are|call|can|for|from|get|give|has|hello|how|into|make|not|one|out"
    r"|please|result|run|set|tell|text|that|the|this|tool|use|user|value|was|what|when"
    r"|where|which|who|will|with|you|your|[a-z]{1,2}"
)
_QUOTED = r"(?<!\w)'([^'\n]+)'(?!\w)|\"([^\"\n]+)\""
_NUMBER = re.compile(r"(?<![A-Za-z_\d.-])-?\d{1,15}(?:\.\d+)?")
_NAME = rf"(?!(?i:{_COMMON})\b)[A-Z][\w'.-]*\w(?:,? [A-Z][\w'.-]*\w)*"
# Also a name within a sentence, or one at its beginning: "Anna is 31 years old."
_PHRASE = re.compile(
    rf"{_QUOTED}|(?<=[^.!?:\s] )({_NAME})|({_NAME})(?= (?:is\b|[{CJK}]))"
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
_LONGEST = 1000  # items of an array, and characters that pad a string


def reply_to(body: Body) -> Reply:
    """Answer a request by the rules of this module."""
    newest = [*takewhile(lambda m: m.role == "tool", reversed(body.messages))]
    results = newest[::-1]
    prompt = next((m.text for m in reversed(body.messages) if m.role == "user"), "")
    source = "\n".join([prompt, *(result.text for result in results)])
    reasoning = ""
    if body.model.endswith(("thinking", "thinking-all")):
        reasoning = f"The user said {len(prompt.split())} words. I follow my rules."
    if functions := _functions_to_call(body, prompt, after_results=bool(results)):
        calls = [
            ToolCall(f.name, _object(fill({**f.parameters, "type": "object"}, source)))
            for f in functions
        ]
        return Reply(tool_calls=calls, reasoning=reasoning)
    if (schema := _schema(body)) is not None:
        text = json.dumps(fill(schema, source), ensure_ascii=False)
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


def _functions_to_call(body: Body, text: str, *, after_results: bool) -> list[Function]:
    functions, choice = body.functions, body.tool_choice
    if isinstance(choice, FunctionTool):
        return [f for f in functions if f.name == choice.function.name][:1]
    if choice == "required" and after_results:
        # Agents that force a call in each turn bind the tool for the final answer last.
        return functions[-1:]
    if choice == "required":
        return (_about(functions, text) or functions)[:1]
    if choice == "none" or body.messages[-1].role != "user":
        return []
    chosen = _about(functions, text)
    return chosen if body.parallel_tool_calls else chosen[:1]


def _about(functions: list[Function], text: str) -> list[Function]:
    """Return the tools whose names, or else descriptions, share most words with it."""
    topics = {word for word in _words(text) if not re.fullmatch(_COMMON, word)}
    for part in ("name", "description"):
        shared = [len(_words(getattr(f, part)) & topics) for f in functions]
        if most := max(shared, default=0):
            return [f for f, n in zip(functions, shared, strict=True) if n == most]
    return []


def _words(text: str) -> set[str]:
    """Return the words of a text or name in lower case, without a plural's s."""
    found = [match[1] or match[0] for match in _WORD.finditer(text)]
    return {word.lower().removesuffix("s") for word in found}


# --- Filling schemas -----------------------------------------------------------------


def fill(schema: dict[str, Any], text: str) -> Any:
    """Create a value for a JSON schema, with values from a text where they fit.

    An object that requires itself is empty.

    Raises:
        RefusedError: If it is not a schema.
    """
    try:
        return _Filler(schema, text).fill(schema)
    except RecursionError:
        return {}
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as e:
        message = f"this JSON schema cannot be filled: {e}"
        raise RefusedError(message) from e


def _object(value: Any) -> dict[str, Any]:
    """Return an object, and an empty one for anything else, such as schema `true`."""
    return value if isinstance(value, dict) else {}


class _Filler:
    def __init__(self, root: dict[str, Any], text: str) -> None:
        self.root, self.text = root, text
        self.refs: list[str] = []  # in progress
        numbers = _NUMBER.findall(text)
        self.numbers = [float(n) if "." in n else int(n) for n in numbers]
        phrases = ["".join(groups) for groups in _PHRASE.findall(text)]
        self.phrases = list(dict.fromkeys(phrases))

    def fill(self, schema: Any) -> Any:
        """Create a value; raises RecursionError if the schema requires itself."""
        schema = _object(schema)
        if "$ref" in schema:
            return self.follow(schema["$ref"])
        if options := [schema["const"]] if "const" in schema else schema.get("enum"):
            return next(filter(self.mentions, options), options[0])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        branches = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(kind, list):
            branches = [{**schema, "type": each} for each in kind]
        if branches:
            return self.first_of(branches)
        if kind in {"boolean", "null"}:
            return True if kind == "boolean" else None
        make = {
            "object": self.required,
            "array": self.array,
            "integer": self.number,
            "number": self.number,
        }
        return make.get(kind, self.string)(schema)

    def follow(self, ref: str) -> Any:
        if ref in self.refs:
            raise RecursionError(ref)
        target: Any = {"#": self.root}
        for name in ref.split("/"):
            target = target[name.replace("~1", "/").replace("~0", "~")]
        self.refs.append(ref)
        try:
            return self.fill(target)
        finally:
            self.refs.pop()

    def mentions(self, option: object) -> bool:
        pattern = rf"(?<!\w){re.escape(str(option))}(?!\w)"
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def first_of(self, branches: list[Any]) -> Any:
        for branch in branches:
            with contextlib.suppress(RecursionError):
                return self.fill(branch)
        raise RecursionError

    def required(self, schema: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties", {})
        names = map(str, schema.get("required", []))
        return {name: self.fill(properties.get(name)) for name in names}

    def array(self, schema: dict[str, Any]) -> list[Any]:
        """Fill an array, with all strings or integers of the text."""
        made = [self.fill(item) for item in schema.get("prefixItems", [])]
        items = _object(schema.get("items"))
        in_text: Any = {"string": self.phrases, "integer": self.numbers}
        found = len(in_text.get(str(items.get("type")), ()))
        wanted = min(max(found, schema.get("minItems", 0)), _LONGEST)
        wanted = min(wanted, schema.get("maxItems", wanted)) - len(made)
        return [*made, *(self.fill(items) for _ in range(wanted))]

    def number(self, schema: dict[str, Any]) -> float:
        low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
        above = schema.get("exclusiveMinimum", -math.inf)
        below = schema.get("exclusiveMaximum", math.inf)
        bounds = [n for n in (low, high, above, below) if math.isfinite(n)]
        near = [bound + by for by in (0, 1, -1) for bound in bounds]
        whole = schema["type"] == "integer"
        for n in (*self.numbers, 0, *near, sum(bounds) / 2):
            if low <= n <= high and above < n < below and not (whole and n % 1):
                if n in self.numbers:
                    self.numbers.remove(n)
                return int(n) if whole else n
        return 0

    def string(self, schema: dict[str, Any]) -> str:
        if schema.get("format") in _SAMPLES:
            return _SAMPLES[schema["format"]]
        value = self.phrases.pop(0) if self.phrases else self.text.strip()
        value = value[: schema.get("maxLength")]
        return value.ljust(min(schema.get("minLength", 0), _LONGEST), ".")
