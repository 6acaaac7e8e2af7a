"""The rules for answers without script, tape or upstream.

1. With tools, call those that match the user's last message, or one that `toolChoice`
   forces.
2. With a `responseFormat`, fill the schema, or the keys quoted in the prompt.
3. Otherwise, repeat the user's message, or the results of tools.

Arguments and schemas are filled with the numbers, quoted phrases and names in the text,
in their order, or else with defaults.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._body import (
    AssistantMessage,
    NamedToolChoice,
    RefusedError,
    SchemaFormat,
    ToolMessage,
    UserMessage,
)
from langchain_pmock.testing._script import Reply, ToolCall

if TYPE_CHECKING:
    from langchain_pmock.testing._body import AnyMessage, Body, Function

CJK = "぀-ヿ㐀-䶿一-鿿가-힯"  # scripts without spaces between words

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PAIR = re.compile(rf"(?=([{CJK}]{{2}}))")
_COMMON = re.compile(  # words that say nothing about the topic of a text
    r"about|all|and|any|are|call|can|for|from|function|get|give|has|have|hello|her|his"
    r"|how|input|integer|into|it|its|list|make|my|not|number|of|one|our|out|output"
    r"|please|result|return|run|set|she|string|tell|text|that|the|their|them|then"
    r"|there|they|this|tool|use|used|user|using|value|was|we|what|when|where|which"
    r"|who|why|will|with|yes|you|your|[a-z]{1,2}"
)
_QUOTED = re.compile(rf"(?<![^\W{CJK}])'([^'\n]+)'(?![^\W{CJK}])|\"([^\"\n]+)\"")
_NUMBER = re.compile(r"(?<![A-Za-z_\d.-])-?\d{1,15}(?:\.\d+)?(?![A-Za-z_\d]|[.-]\d)")
_NAME = r"[A-Z][\w'.-]*\w(?:,? [A-Z][\w'.-]*\w)*"
_AFTER = r"\b(?:in|for|of|at|to|from|near|about|named|called) "
_NAMES = re.compile(
    rf"{_AFTER}({_NAME})|(?<=[^.!?:\s] )({_NAME})|({_NAME})(?= (?:is|was|has|lives)\b)"
)
_TOPIC = re.compile(rf"{_AFTER}(?:the |an? )?([^\W\d][\w-]*)")
_SAMPLES = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "user@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
# Strings with these names are filled with the whole text, not with a phrase of it.
_WHOLE_TEXT = {"content", "message", "prompt", "query", "question", "text"}
_LONGEST = 1000  # items of an array, and characters that pad a string
_KINDS = {"image_url": "image", "input_audio": "audio clip", "file": "file"}


def reply_to(body: Body) -> Reply:
    """Answer a request by the rules of this module."""
    results = _results(body.messages)
    users = (m.text for m in reversed(body.messages) if isinstance(m, UserMessage))
    said = next(users, "")
    # The results of tools are newer than the user's message.
    heard = "\n".join([*(result.text for result in results), said])
    functions = _functions_to_call(body, said, after_results=bool(results))
    calls = [ToolCall(f.name, _arguments(f, heard)) for f in functions]
    reasoning = ""
    if body.model.endswith(("thinking", "thinking-all")):
        reasoning = f"The user said {len(said.split())} words. I follow my rules."
    if calls:
        text = ""
    elif isinstance(body.response_format, SchemaFormat):
        text = _dump(fill(body.response_format.json_schema.schema_, heard))
    elif body.response_format.type == "json_object":
        text = _json_object(body.messages, heard)
    elif results:
        text = "\n".join(_result_text(body.messages, result) for result in results)
    else:
        text = f"You said: {said}{_attachments(body.messages[-1])}"
    return Reply(text=text, tool_calls=calls, reasoning=reasoning)


def _results(messages: list[AnyMessage]) -> list[ToolMessage]:
    """Return the tool results at the end of the conversation."""
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.insert(0, message)
    return results


def _functions_to_call(body: Body, said: str, *, after_results: bool) -> list[Function]:
    functions = body.functions
    if isinstance(body.tool_choice, NamedToolChoice):
        name = body.tool_choice.function.name
        return [f for f in functions if f.name == name][:1]
    forced = body.tool_choice == "required"
    if body.tool_choice == "none" or not functions or (after_results and not forced):
        return []
    if after_results:
        # Agents that force a call in each turn bind the tool for the final answer last.
        # Calling the same tools again would never end.
        called: set[str] = set()
        for message in body.messages:
            if isinstance(message, UserMessage):
                called = set()
            elif isinstance(message, AssistantMessage):
                called |= {call.function.name for call in message.tool_calls}
        return ([f for f in functions if f.name not in called] or functions)[-1:]
    asked = forced or isinstance(body.messages[-1], UserMessage)
    chosen = _about(functions, said) if asked else []
    if forced:
        return (chosen or functions)[:1]
    return chosen if body.parallel_tool_calls else chosen[:1]


def _about(functions: list[Function], said: str) -> list[Function]:
    """Return the tools that match a text.

    These are the tools that it names; or else those whose names share the most words
    with it; or else the one whose description does.
    """
    if named := [f for f in functions if re.search(rf"(?<!\w){f.name}(?!\w)", said)]:
        return named
    spoken = {word for word in words(said) if not _COMMON.fullmatch(word)}
    shared = [len(words(function.name) & spoken) for function in functions]
    if most := max(shared):
        return [f for f, count in zip(functions, shared, strict=True) if count == most]
    described = max(functions, key=lambda f: len(words(f.description) & spoken))
    return [described] if words(described.description) & spoken else []


def words(text: str) -> set[str]:
    """Return the words of a text or name in lower case, without a plural's s."""
    found = [*_WORD.findall(text), *_PAIR.findall(text)]
    return {word.lower().removesuffix("s") for word in found}


def _arguments(function: Function, heard: str) -> dict[str, Any]:
    made = fill({"type": "object", **function.parameters}, heard)
    return made if isinstance(made, dict) else {}


def _json_object(messages: list[AnyMessage], heard: str) -> str:
    prompt = "\n".join(
        message.text
        for message in messages
        if not isinstance(message, (AssistantMessage, ToolMessage))
    )
    keys: list[str] = []
    if re.search(r"\b(?:keys?|fields?|propert(?:y|ies))\b", prompt, re.IGNORECASE):
        keys = [key for key in _quoted(prompt) if re.fullmatch(r"[\w-]+", key)]
    for key in keys:
        heard = re.sub(rf"(['\"]){key}\1", " ", heard)
    properties = {key: {"type": "string"} for key in keys or ["answer"]}
    schema = {"type": "object", "properties": properties, "required": [*properties]}
    return _dump(fill(schema, heard))


def _result_text(messages: list[AnyMessage], result: ToolMessage) -> str:
    names = {
        call.id: call.function.name
        for message in messages
        if isinstance(message, AssistantMessage)
        for call in message.tool_calls
    }
    name = names[result.tool_call_id]
    return f"{name} says: {result.text}{_attachments(result)}"


def _attachments(message: AnyMessage) -> str:
    counts = Counter(_KINDS[b.type] for b in message.blocks if b.type in _KINDS)
    told = [f"{n} {kind}{'s' if n > 1 else ''}" for kind, n in counts.items()]
    return f" (with {' and '.join(told)})" if told else ""


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _quoted(text: str) -> list[str]:
    return ["".join(groups) for groups in _QUOTED.findall(text)]


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
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ) as error:
        message = f"this JSON schema cannot be filled: {error}"
        raise RefusedError(message) from error


class _Filler:
    def __init__(self, root: dict[str, Any], text: str) -> None:
        self.root, self.text = root, text
        self.refs: list[str] = []  # in progress
        plain = _QUOTED.sub(" ", text)
        self.numbers = [_number(n) for n in _NUMBER.findall(plain)]
        names = ["".join(groups) for groups in _NAMES.findall(plain)]
        names = [n for n in names if not _COMMON.fullmatch(n.split()[0].lower())]
        self.phrases = _quoted(text) or names or _TOPIC.findall(plain)

    def fill(self, schema: Any, key: str) -> Any:  # noqa: PLR0911 - one for each kind
        """Create a value; raises RecursionError if the schema requires itself."""
        schema = schema if isinstance(schema, dict) else {}
        if "$ref" in schema:
            return self.follow(str(schema["$ref"]), schema, key)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return next(filter(self.mentions, schema["enum"]), schema["enum"][0])
        if branches := schema.get("anyOf", schema.get("oneOf")):
            return self.first_of(schema, branches, key)
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((k for k in kind if k != "null"), "null")
        if kind == "object" or "properties" in schema:
            return self.fields(schema)
        if kind == "array":
            return self.array(schema, key)
        if kind in {"integer", "number"}:
            return self.number(schema, key, whole=kind == "integer")
        if kind in {"boolean", "null"}:
            return schema.get("default", True) if kind == "boolean" else None
        return self.string(schema, key)

    def follow(self, ref: str, schema: dict[str, Any], key: str) -> Any:
        if ref in self.refs:
            raise RecursionError(ref)
        target: Any = self.root
        for step in ref.removeprefix("#").split("/")[1:]:
            target = target.get(step, {})
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        self.refs.append(ref)
        try:
            return self.fill({**target, **rest}, key)
        finally:
            self.refs.pop()

    def first_of(self, schema: dict[str, Any], branches: list[Any], key: str) -> Any:
        """Return the first branch that can be filled; null is tried last."""
        limits = {k: v for k, v in schema.items() if k not in {"anyOf", "oneOf"}}
        branches = [branch for branch in branches if isinstance(branch, dict)]
        for branch in sorted(branches, key=lambda branch: branch == {"type": "null"}):
            with contextlib.suppress(RecursionError):
                return self.fill({**limits, **branch}, key)
        raise RecursionError(key)

    def fields(self, schema: dict[str, Any]) -> dict[str, Any]:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        made = {key: self.fill(properties.get(key), key) for key in required}
        for key in [key for key in properties if key not in made]:
            if self.speaks_of(key, properties[key]):
                with contextlib.suppress(RecursionError):
                    made[key] = self.fill(properties[key], key)
        return {key: made[key] for key in {**properties, **made} if key in made}

    def speaks_of(self, key: str, schema: Any) -> bool:
        """Whether the text names an optional property or one of its options."""
        options = schema.get("enum", []) if isinstance(schema, dict) else []
        return bool(words(key) & words(self.text)) or any(map(self.mentions, options))

    def mentions(self, option: object) -> bool:
        pattern = rf"(?<!\w){re.escape(str(option))}(?!\w)"
        return re.search(pattern, self.text, re.IGNORECASE) is not None

    def array(self, schema: dict[str, Any], key: str) -> list[Any]:
        made = [self.fill(item, key) for item in schema.get("prefixItems", [])]
        items, least = schema.get("items"), schema.get("minItems", 0)
        kind = items.get("type") if isinstance(items, dict) else None
        clues = {"string": self.phrases, "integer": self.numbers}.get(str(kind), [])
        wanted = min(max(least, len(clues), 0 if made else 1), _LONGEST)
        with contextlib.suppress(RecursionError):
            while len(made) < min(wanted, schema.get("maxItems", wanted)):
                made.append(self.fill(items, key))
        if len(made) < min(least, _LONGEST):
            raise RecursionError(key)
        return made

    def number(self, schema: dict[str, Any], key: str, *, whole: bool) -> float:
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        low = schema.get("minimum", -math.inf if above is None else above)
        high = schema.get("maximum", math.inf if below is None else below)
        said = self.after(key)
        told = [_number(said)] if said and _NUMBER.fullmatch(said) else []
        step = schema.get("multipleOf", 1 if whole else None)
        bounds = [bound for bound in (low, high) if math.isfinite(bound)]
        near = [bound + by for bound in bounds for by in (0, 1, -1)]
        near += [bound - bound % step + step for bound in bounds if step]
        default = [schema["default"]] if schema.get("default") is not None else []
        for number in (*told, *self.numbers, *default, 0, *near, (low + high) / 2):
            in_step = not step or number % step == 0
            if low <= number <= high and number not in {above, below} and in_step:
                if number in self.numbers:
                    self.numbers.remove(number)
                return int(number) if whole else number
        return 0

    def string(self, schema: dict[str, Any], key: str) -> str:
        if schema.get("format") in _SAMPLES:
            return _SAMPLES[schema["format"]]
        if "pattern" in schema:
            samples = (*_SAMPLES.values(), "A", "12345")
            options = (*self.phrases, *self.text.split(), *samples)
            fitting = (o for o in options if _matches(schema["pattern"], o))
            return next(fitting, self.text)
        value = self.after(key)
        takes_all = key.lower() in _WHOLE_TEXT and not _QUOTED.search(self.text)
        if not value and self.phrases and not takes_all:
            value = self.phrases.pop(0)
        value = value or str(schema.get("default") or self.text.strip() or key)
        value = value[: schema.get("maxLength")]
        return value.ljust(min(schema.get("minLength", 0), _LONGEST), ".")

    def after(self, key: str) -> str | None:
        """Find the value after a name: "name: Anna", "age is 30", "age 30"."""
        name = r"[\s_-]?".join(map(re.escape, _WORD.findall(key))) or re.escape(key)
        # A name of one letter may be a word, as in "a 3-day trip".
        verb = r"|\s+is\s+|\s+(?=[\d'\"])" if len(key) > 1 else ""
        value = rf"{_QUOTED.pattern}|({_NAME}|-?[\w.@-]*\w)"
        pattern = rf"(?i:\b{name}\b)(?:\s*[=:]\s*{verb})(?:{value})"
        match = re.search(pattern, self.text)
        found = next(filter(None, match.groups()), None) if match else None
        self.phrases = [phrase for phrase in self.phrases if phrase != found]
        return found


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)


def _matches(pattern: str, text: str) -> bool:
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return False  # valid in JavaScript only
