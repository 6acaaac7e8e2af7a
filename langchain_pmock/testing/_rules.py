"""The rules by which a server answers when it has no script.

1. With tools bound, it calls those that the last message is about, if that is the
   user's, or one that `toolChoice` forces.
2. With a `responseFormat`, it fills the schema; or the keys that the prompt quotes.
3. Otherwise it says what it was told, and after tool results, what they say.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING

from langchain_pmock.testing._body import NamedToolChoice, SchemaFormat
from langchain_pmock.testing._clues import Clues, quoted, words
from langchain_pmock.testing._messages import (
    AssistantMessage,
    ToolMessage,
    UserMessage,
)
from langchain_pmock.testing._replies import Reply, ToolCall
from langchain_pmock.testing._schema import fill

if TYPE_CHECKING:
    from langchain_pmock.testing._body import Body, Function
    from langchain_pmock.testing._messages import AnyMessage

# Words that many tools and messages share: they do not tell what a message is about.
_COMMON = words(
    "a about all an and any are call can for from function get give has have her his "
    "how input integer into its list make not number one our out output result return "
    "run set string tell text that the their them then there this tool use used user "
    "using value was what when where which will with you your"
)
_KINDS = {"image_url": "image", "input_audio": "audio clip", "file": "file"}


def reply_to(body: Body) -> Reply:
    """Answer a request by the rules of this module.

    Args:
        body: The request.

    Returns:
        The answer, not yet cut by `stop` and `maxTokens`.
    """
    results = _results(body.messages)
    said = _last_user_text(body.messages)
    # What the tools say is newer than what the user said.
    heard = "\n".join([*(result.text for result in results), said])
    functions = _functions_to_call(body, said, after_results=bool(results))
    calls = [ToolCall(f.name, fill(f.parameters, Clues(heard))) for f in functions]
    reasoning = ""
    if body.model.endswith(("thinking", "thinking-all")):
        reasoning = f"The user said {len(said.split())} words. I follow my rules."
    if calls:
        text = ""
    elif isinstance(body.response_format, SchemaFormat):
        filled = fill(body.response_format.json_schema.schema_, Clues(heard))
        text = json.dumps(filled, ensure_ascii=False)
    elif body.response_format.type == "json_object":
        text = _json_object(body.messages, heard)
    elif results:
        text = "\n".join(_result_text(body.messages, result) for result in results)
    else:
        text = f"You said: {said}{_attachments(body.messages[-1])}"
    return Reply(text=text, tool_calls=calls, reasoning=reasoning)


def _results(messages: list[AnyMessage]) -> list[ToolMessage]:
    """The tool results that end the conversation, if any."""
    results: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        results.insert(0, message)
    return results


def _last_user_text(messages: list[AnyMessage]) -> str:
    texts = (m.text for m in reversed(messages) if isinstance(m, UserMessage))
    return next(texts, "")


def _functions_to_call(body: Body, said: str, *, after_results: bool) -> list[Function]:
    functions = body.functions
    if isinstance(body.tool_choice, NamedToolChoice):
        name = body.tool_choice.function.name
        return [f for f in functions if f.name == name][:1]
    forced = body.tool_choice == "required"
    if body.tool_choice == "none" or not functions or (after_results and not forced):
        return []
    if after_results:
        # An agent that forces a call in every turn binds the tool for its final answer
        # last; to call the same tools again would never end.
        called = _called_since_user(body.messages)
        fresh = [function for function in functions if function.name not in called]
        return (fresh or functions)[-1:]
    asked = isinstance(body.messages[-1], UserMessage)
    chosen = _about(functions, said) if asked or forced else []
    if forced and not chosen:
        chosen = functions
        return chosen[:1]
    return chosen if body.parallel_tool_calls else chosen[:1]


def _called_since_user(messages: list[AnyMessage]) -> set[str]:
    called: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, UserMessage):
            break
        if isinstance(message, AssistantMessage):
            called |= {call.function.name for call in message.tool_calls}
    return called


def _about(functions: list[Function], said: str) -> list[Function]:
    """The tools that a text is about.

    Those that it names in full; else each that shares a word with it by its name, but
    none whose shared words another one has too; else the one whose description shares
    the most words with it.
    """
    named = [f for f in functions if re.search(rf"(?<!\w){f.name}(?!\w)", said)]
    if named:
        return named
    spoken = words(said) - _COMMON
    shared = [(f, words(f.name) & spoken) for f in functions]
    by_name = [
        f
        for i, (f, mine) in enumerate(shared)
        if mine
        and not any(
            mine < other or (mine == other and j < i)
            for j, (_, other) in enumerate(shared)
        )
    ]
    if by_name:
        return by_name
    described = max(functions, key=lambda f: len(words(f.description) & spoken))
    return [described] if words(described.description) & spoken else []


def _json_object(messages: list[AnyMessage], heard: str) -> str:
    prompt = "\n".join(
        message.text
        for message in messages
        if not isinstance(message, (AssistantMessage, ToolMessage))
    )
    keys: list[str] = []
    if re.search(r"\b(?:keys?|fields?|propert(?:y|ies))\b", prompt, re.IGNORECASE):
        keys = [key for key in quoted(prompt) if re.fullmatch(r"[\w-]+", key)]
    clues = Clues(heard)
    clues.quoted = [phrase for phrase in clues.quoted if phrase not in keys]
    keys = keys or ["answer"]
    schema = {
        "type": "object",
        "properties": {key: {"type": "string"} for key in keys},
        "required": keys,
    }
    return json.dumps(fill(schema, clues), ensure_ascii=False)


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
