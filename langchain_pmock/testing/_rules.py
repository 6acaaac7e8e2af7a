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
import operator
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._body import (
    FunctionTool,
    RefusedError,
)
from langchain_pmock.testing._script import Reply, ToolCall

if TYPE_CHECKING:
    from langchain_pmock.testing._body import Body, Function, Message

CJK = "぀-ヿ㐀-䶿一-鿿가-힯"  # scripts without spaces between words

_WORD = re.compile(rf"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|(?=([{CJK}]{{2}}))")
_COMMON = (  # words that do not tell the topic of a text
    r"about|all|and|any|are|call|can|for|from|function|get|give|has|hello|her|his|how"
    r"|input|into|its|list|make|not|number|one|our|out|output|please|result|run|set|she"
    r"|string|tell|text|that|the|their|this|tool|use|user|using|value|was|what|when"
    r"|where|which|who|why|will|with|yes|you|your|[a-z]{1,2}"
)
_QUOTED = rf"(?<![^\W{CJK}])'([^'\n]+)'(?![^\W{CJK}])|\"([^\"\n]+)\""
_NUMBER = re.compile(r"(?<![A-Za-z_\d.-])-?\d{1,15}(?:\.\d+)?(?![A-Za-z_\d]|[.-]\d)")
_NAME = rf"(?!(?i:{_COMMON})(?![\w'.-]))[A-Z][\w'.-]*\w(?:,? [A-Z][\w'.-]*\w)*"
# Also a name within a sentence, or one at its beginning: "Anna is 31 years old."
_PHRASE = re.compile(
    rf"{_QUOTED}|(?<=[^.!?:\s] )({_NAME})|({_NAME})(?= (?:is|was|has|lives)\b)"
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
_FITS = {
    "minimum": operator.ge,
    "exclusiveMinimum": operator.gt,
    "maximum": operator.le,
    "exclusiveMaximum": operator.lt,
}
_LONGEST = 1000  # items of an array, and characters that pad a string
_KINDS = {"image_url": "image", "input_audio": "audio clip", "file": "file"}


def reply_to(body: Body) -> Reply:
    """Answer a request by the rules of this module."""
    results: list[Message] = []
    for message in body.messages:
        results = [*results, message] if message.role == "tool" else []
    users = (m.text for m in reversed(body.messages) if m.role == "user")
    prompt = next(users, "")
    # The results of tools are newer than the user's message.
    source = "\n".join([*(result.text for result in results), prompt])
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
        text = f"You said: {prompt}{_attachments(body.messages[-1])}"
    return Reply(text=text, reasoning=reasoning)


def _schema(body: Body) -> dict[str, Any] | None:
    """Return the schema of the answer; for `json_object` with the quoted keys."""
    if body.response_format.type == "json_schema":
        return body.response_format.json_schema.schema_
    if body.response_format.type == "text":
        return None
    prompts = "\n".join(m.text for m in body.messages if m.role != "tool")
    quoted = ["".join(groups) for groups in re.findall(_QUOTED, prompts)]
    keys = [key for key in quoted if re.fullmatch(r"[\w-]+", key)]
    return {"type": "object", "required": keys or ["answer"]}


def _functions_to_call(body: Body, text: str, *, after_results: bool) -> list[Function]:
    functions, choice = body.functions, body.tool_choice
    if isinstance(choice, FunctionTool):
        return [f for f in functions if f.name == choice.function.name][:1]
    if after_results:
        # Agents that force a call in each turn bind the tool for the final answer last.
        return functions[-1:] if choice == "required" else []
    if choice == "none" or not functions:
        return []
    if choice == "required":
        return (_about(functions, text) or functions)[:1]
    asked = body.messages[-1].role == "user"
    chosen = _about(functions, text) if asked else []
    return chosen if body.parallel_tool_calls else chosen[:1]


def _about(functions: list[Function], text: str) -> list[Function]:
    """Return the tools whose names, or else descriptions, share most words with it."""
    topics = {word for word in words(text) if not re.fullmatch(_COMMON, word)}
    for part in ("name", "description"):
        shared = [len(words(getattr(f, part)) & topics) for f in functions]
        if most := max(shared):
            return [f for f, n in zip(functions, shared, strict=True) if n == most]
    return []


def words(text: str) -> set[str]:
    """Return the words of a text or name in lower case, without a plural's s."""
    found = [match[1] or match[0] for match in _WORD.finditer(text)]
    return {word.lower().removesuffix("s") for word in found}


def _attachments(message: Message) -> str:
    counts = Counter(_KINDS[b.type] for b in message.blocks if b.type in _KINDS)
    listed = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()]
    return f" (with {' and '.join(listed)})" if listed else ""


# --- Filling schemas -----------------------------------------------------------------


def fill(schema: dict[str, Any], text: str) -> Any:
    """Create a value for a JSON schema, with values from a text where they fit.

    An object that requires itself is empty.

    Raises:
        RefusedError: If it is not a schema.
    """
    try:
        return _Filler(schema, text).fill(schema, "")
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
        numbers = _NUMBER.findall(re.sub(_QUOTED, " ", text))
        self.numbers = [float(n) if "." in n else int(n) for n in numbers]
        self.phrases = ["".join(groups) for groups in _PHRASE.findall(text)]

    def fill(self, schema: Any, key: str) -> Any:
        """Create a value; raises RecursionError if the schema requires itself."""
        schema = _object(schema)
        if "$ref" in schema:
            return self.follow(str(schema["$ref"]), key)
        if options := [schema["const"]] if "const" in schema else schema.get("enum"):
            return next(filter(self.mentions, options), options[0])
        kind = schema.get("type", "object" if "properties" in schema else "string")
        branches = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(kind, list):
            branches = [{**schema, "type": each} for each in kind]
        if branches:
            return self.first_of(branches, key)
        if kind in {"boolean", "null"}:
            return True if kind == "boolean" else None
        make = {
            "object": self.fields,
            "array": self.array,
            "integer": self.number,
            "number": self.number,
        }
        return make.get(kind, self.string)(schema, key)

    def fields(self, schema: dict[str, Any], _: str) -> dict[str, Any]:
        """Fill the required properties, and those that the text names."""
        properties = schema.get("properties", {})
        required = map(str, schema.get("required", []))
        made = {k: self.fill(properties.get(k), k) for k in required}
        for key in [k for k in properties if k not in made]:
            if words(key) & words(self.text):
                with contextlib.suppress(RecursionError):
                    made[key] = self.fill(properties[key], key)
        return made

    def follow(self, ref: str, key: str) -> Any:
        if ref in self.refs:
            raise RecursionError(ref)
        base, *steps = ref.split("/")
        target: Any = self.root if base == "#" else {}
        for step in steps:
            name = step.replace("~1", "/").replace("~0", "~")
            target = _object(target).get(name)
        self.refs.append(ref)
        try:
            return self.fill(target, key)
        finally:
            self.refs.pop()

    def first_of(self, branches: list[Any], key: str) -> Any:
        """Return the first branch that can be filled; null is tried last."""
        for branch in sorted(branches, key=lambda b: _object(b).get("type") == "null"):
            with contextlib.suppress(RecursionError):
                return self.fill(branch, key)
        raise RecursionError(key)

    def mentions(self, option: object) -> bool:
        pattern = rf"(?<!\w){re.escape(str(option))}(?!\w)"
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def array(self, schema: dict[str, Any], key: str) -> list[Any]:
        """Fill an array, with all strings or integers of the text."""
        made = [self.fill(item, key) for item in schema.get("prefixItems", [])]
        items = schema.get("items", {})
        in_text = {"string": len(self.phrases), "integer": len(self.numbers)}
        found = in_text.get(str(_object(items).get("type")), 0)
        wanted = max(schema.get("minItems", 0), found, 0 if made else 1)
        wanted = min(wanted, schema.get("maxItems", wanted), _LONGEST)
        with contextlib.suppress(RecursionError):
            while len(made) < wanted:
                made.append(self.fill(items, key))
        return made

    def number(self, schema: dict[str, Any], _: str) -> float:
        limits = [(_FITS[k], v) for k, v in schema.items() if k in _FITS]
        bounds = [bound for _, bound in limits]
        near = (bound + by for by in (0, 1, -1) for bound in bounds)
        whole = schema["type"] == "integer"
        for n in (*self.numbers, 0, *near, sum(bounds) / 2):
            if not (whole and n % 1) and all(fits(n, v) for fits, v in limits):
                if n in self.numbers:
                    self.numbers.remove(n)
                return int(n) if whole else n
        return 0

    def string(self, schema: dict[str, Any], key: str) -> str:
        if schema.get("format") in _SAMPLES:
            return _SAMPLES[schema["format"]]
        text = self.text.lower()  # "My destination is Kyoto."
        named = [p for p in self.phrases if f"{key} is {p}".lower() in text]
        value = (named or self.phrases or [self.text])[0]
        self.phrases = [phrase for phrase in self.phrases if phrase != value]
        value = (value.strip() or key)[: schema.get("maxLength")]
        return value.ljust(min(schema.get("minLength", 0), _LONGEST), ".")
