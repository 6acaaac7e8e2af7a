"""Responses, as the bytes to write and the pauses between them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

SUCCESS = 200
EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Abort:
    """Close the connection, with or without a reset."""

    reset: bool


Step = bytes | Pause | Abort


@dataclass
class Response:
    """The response to one request.

    `steps` are written one by one. The status is sent with the first bytes, so a pause
    or abort before these precedes it.
    """

    steps: list[Step]
    live: AsyncGenerator[bytes, None] | None = None  # sent after the steps
    status: int = SUCCESS
    code: int | None = None  # of the envelope
    headers: dict[str, str] = field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    # Called if the client disconnects before the first bytes.
    give_back: Callable[[], None] = lambda: None

    @property
    def content(self) -> bytes:
        """The bytes of the steps."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def envelope(code: int, message: str, data: Any, trace_id: str) -> bytes:
    """Serialize an envelope of a whole answer or an error."""
    return dump({"code": code, "message": message, "data": data, "traceId": trace_id})


def chunk_envelope(chunk: Any) -> bytes:
    """Serialize the envelope of a chunk, which has no trace id."""
    return dump({"code": SUCCESS, "data": chunk, "message": "success"})


def event(data: bytes, newline: str) -> bytes:
    """Format a server-sent event."""
    return b"data: " + data + 2 * newline.encode()


def dump(value: Any) -> bytes:
    """Serialize JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
