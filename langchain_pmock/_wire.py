"""The names of fields on the wire: their spelling, and those that are assumptions.

The other assumptions are where they are applied. They are what the service's page
leaves open:

- The shapes of requests are in `_request`: what a message, a tool, a choice among tools
  and a format look like inside of the documented fields.
- The shapes of answers are in `_response`: which fields a message or an event may have
  beside the documented ones.
- How an answer and a stream end, how long to wait, and which errors are temporary, is
  in `_gateway`.
- What codes and texts of errors mean is in `errors`.

`python -m langchain_pmock.check` asks the service whether the main ones hold.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache, lru_cache

from pydantic.alias_generators import to_camel, to_snake


@dataclass(frozen=True, kw_only=True)
class Wire:
    """Names of request fields that the service does not document.

    The defaults are this package's assumptions. `python -m langchain_pmock.check` asks
    the service whether those of tool calls hold, and prints the `Wire` to use if they
    do not. Answers are not affected: both camelCase and snake_case names are read.

    Attributes:
        tool_calls: The field of an assistant's message with its tool calls. Assumed to
            be in camelCase like the documented fields. OpenAI's name is `"tool_calls"`.
        tool_call_id: The field of a tool message with the id of the call. Assumed, for
            the same reason. OpenAI's name is `"tool_call_id"`.
        reasoning_content: The field of an assistant's message in which its reasoning
            is sent back; `None` sends none. Services with OpenAI's API refuse unknown
            fields, so the default is `None`.

    Raises:
        ValueError: If a name is not a string or is empty.
    """

    tool_calls: str = "toolCalls"
    tool_call_id: str = "toolCallId"
    reasoning_content: str | None = None

    def __post_init__(self) -> None:
        """Check the names."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if not (isinstance(value, str) and value):
                msg = (
                    f"Wire: {field.name}={value!r} is not valid: it must be a name "
                    "that is not empty."
                )
                raise ValueError(msg)


camel_case = cache(to_camel)
"""The name on the wire of a name in Python: `max_tokens` is `maxTokens`."""

_LONGEST_NAME = 100  # characters

# The service may send any number of names.
_to_snake = lru_cache(maxsize=1024)(to_snake)


def snake_case(name: str) -> str:
    """Convert a name on the wire to the name in Python: `traceId` to `trace_id`.

    A long one stays as it is: pydantic's conversion takes quadratic time, minutes for
    100,000 capital letters.
    """
    return _to_snake(name) if len(name) <= _LONGEST_NAME else name
