"""The names that the service's documentation leaves open."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Wire"]


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
