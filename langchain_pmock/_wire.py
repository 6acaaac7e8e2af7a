"""The names on the wire, and what the service's documentation leaves open of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How requests are written where the service's documentation leaves it open.

    Answers are read leniently, so nothing here concerns them. The defaults are this
    package's assumptions. `python -m langchain_pmock.check` asks the service whether
    they hold, and prints the `Wire` to use if they do not.

    Attributes:
        tool_calls: The field of an assistant's message that has its tool calls.
            Assumed: the documented fields are camelCase, so this one is too. OpenAI's
            name is `"tool_calls"`.
        tool_call_id: The field of a tool's message that names the call it answers.
            Assumed, for the same reason. OpenAI's name is `"tool_call_id"`.
        reasoning_content: The field of an assistant's message in which its reasoning
            is sent back; `None` sends none. Not documented. Services in OpenAI's shape
            refuse fields that they do not know, so the default is `None`.
    """

    tool_calls: str = "toolCalls"
    tool_call_id: str = "toolCallId"
    reasoning_content: str | None = None


@cache
def camel_case(name: str) -> str:
    """Write a name of ours as the wire has it.

    Args:
        name: The name in snake_case.

    Returns:
        The name in camelCase.
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


@lru_cache(maxsize=1024)  # The names are the service's: it may not know an end of them.
def snake_case(name: str) -> str:
    """Write a name of the service's as Python has it.

    Args:
        name: The name in camelCase.

    Returns:
        The name in snake_case.
    """
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
