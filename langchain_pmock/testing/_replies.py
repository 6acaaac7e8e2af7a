"""What a server is told to answer: replies, their tool calls, and faults."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeGuard


_BODILESS = (204, 205, 304)  # no envelope and no page can go with these


@dataclass(frozen=True)
class ToolCall:
    """A tool call of a scripted reply.

    Args:
        name: The name of the tool.
        arguments: The arguments; or their JSON text, which is sent as it is and so need
            not be valid.
        id: The id of the call: `"auto"` makes one, `None` leaves it out.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = "auto"

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A scripted reply. What is left out is made up as the service would.

    Args:
        text: The content of the message.
        tool_calls: The tool calls of the message.
        reasoning: The reasoning, sent before the text.
        refusal: Why the model declines to answer.
        finish_reason: By default `"tool_calls"` with tool calls, else `"stop"`.
        usage: The `usage` object as it is to be sent. By default it is counted.
        logprobs: The `logprobs` object of the choice as it is to be sent. Of a stream
            it comes with the last chunk.
        chunks: What a stream is made of: pieces of the text, or deltas as they are to
            be sent. Without `text`, a plain answer has the pieces' text.
        raw: The bytes of a stream, each item written on its own, with nothing added.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, Any] | None = None
    logprobs: Mapping[str, Any] | None = None
    chunks: Sequence[str | Mapping[str, Any]] | None = None
    raw: Sequence[bytes] | None = None


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return _is_whole(value) and value >= 0


def _is_status(value: object) -> bool:
    return _is_whole(value) and value in range(200, 600) and value not in _BODILESS


def _is_seconds(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value < math.inf


def _is_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()


_COUNT = (_is_count, "a whole number, at least 0")
_CHECKS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "status": (_is_status, "200 to 599, and one with a body"),
    "code": (_is_whole, "a whole number"),
    "retry_after": (
        lambda value: _is_seconds(value) or _is_header(value),
        "seconds, at least 0, or text for a header",
    ),
    "stall": (_is_seconds, "seconds, at least 0"),
    "after": _COUNT,
    "cut_after": _COUNT,
    "reset_after": _COUNT,
    "body": (lambda value: isinstance(value, bytes), "bytes"),
    "content_type": (_is_header, "text for a header"),
}
"""What the fields of a fault must be, if they are given."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Something that goes wrong with one request.

    Args:
        status: The HTTP status, with an envelope of the same code.
        code: The code of the envelope. Without `status` it comes with HTTP 200; in a
            stream it is an event, which ends the stream.
        message: The message of the envelope.
        retry_after: The `Retry-After` header: seconds, or its text, such as an HTTP
            date.
        stall: Seconds to wait, before anything is sent.
        after: Events of a stream that come before `code`, `garbage` or `stall`: these
            come before [DONE] at the latest. With 0 the response has begun, but has no
            event.
        cut_after: Events after which a stream ends, cleanly as far as HTTP goes, and
            without [DONE]. A plain answer ends halfway.
        reset_after: Events after which the connection is reset, before [DONE] at the
            latest. With 0 it is reset before there is any response; else a plain answer
            comes halfway.
        garbage: Bytes that are no JSON; in a stream, an event that is none.
        html: A web page as proxies send it; HTTP 502 unless `status` says otherwise.
        body: These bytes as the whole response; HTTP 200 unless `status` says
            otherwise.
        content_type: The content type of `body`.
        byte_by_byte: Send the right answer, but each byte on its own.
    """

    status: int | None = None
    code: int | None = None
    message: str = "a fault made on purpose"
    retry_after: float | str | None = None
    stall: float = 0.0
    after: int | None = None
    cut_after: int | None = None
    reset_after: int | None = None
    garbage: bool = False
    html: bool = False
    body: bytes | None = None
    content_type: str = "application/json"
    byte_by_byte: bool = False

    def __post_init__(self) -> None:
        """Refuse a fault that cannot be made, or that nobody would notice."""
        message = ""
        if not (self.spoils or self.stall or self.byte_by_byte):
            message = (
                "a fault needs one of status, code, stall, cut_after, reset_after, "
                "garbage, html, body or byte_by_byte"
            )
        elif self.after is not None and not (
            self.stall or self.garbage or self.code is not None
        ):
            message = "after needs one of code, garbage and stall"
        for name, (is_right, what) in _CHECKS.items():
            value = getattr(self, name)
            if value is not None and not is_right(value):
                message = f"{name}={value!r} must be {what}"
        if message:
            raise ValueError(message)

    @property
    def spoils(self) -> bool:
        """Whether the right answer does not come through whole."""
        given = (self.status, self.code, self.cut_after, self.reset_after, self.body)
        return self.garbage or self.html or any(g is not None for g in given)
