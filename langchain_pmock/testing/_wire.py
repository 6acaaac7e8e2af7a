"""The bytes of an answer and the order in which they go out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SUCCESS = 200


@dataclass(frozen=True)
class Pause:
    """Wait for some seconds."""

    seconds: float


@dataclass(frozen=True)
class HangUp:
    """Close the connection, with a reset if asked."""

    reset: bool


Step = bytes | Pause | HangUp


@dataclass
class Answer:
    """All that is to be sent for one request.

    Args:
        steps: Bytes to write, each on its own, and what happens between them. What
            comes before the first bytes comes before the status too.
        status: The HTTP status.
        code: The code of the envelope, if there is one.
        headers: The response's headers.
        give_back: To be called if the client leaves before the first bytes.
    """

    steps: list[Step]
    status: int = SUCCESS
    code: int | None = None
    headers: dict[str, str] = field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    give_back: Callable[[], None] = lambda: None


def envelope(code: int, message: str, data: Any, trace_id: str) -> bytes:
    """An answer that is not streamed, or an error.

    Args:
        code: 200, or the code of the error.
        message: What the service says.
        data: The completion, or None with an error.
        trace_id: The id of the request.
    """
    return _to_json(
        {"code": code, "message": message, "data": data, "traceId": trace_id}
    )


def chunk_envelope(chunk: Any) -> bytes:
    """One chunk of a stream in its envelope, which has no trace id."""
    return _to_json({"code": SUCCESS, "data": chunk, "message": "success"})


def event(data: bytes, newline: str) -> bytes:
    """One server-sent event.

    Args:
        data: The data, in one line.
        newline: What ends a line.
    """
    return b"data: " + data + 2 * newline.encode()


def _to_json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
