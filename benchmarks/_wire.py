"""The same answers in three dialects, as the bytes of an HTTP response.

Each piece of an answer is an event of its own in an HTTP chunk of its own, as services
send them.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE = 4  # characters of JSON in a piece
SCHEMA = {
    "title": "Offer",
    "description": "What a shop has.",
    "type": "object",
    "properties": {"items": {"type": "array"}, "note": {"type": "string"}},
}

_TOKENS = [f" tok{number}" for number in range(90)]
_BATCH = 900  # events that are written at once
_STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
_USAGE = {"prompt_tokens": 5, "completion_tokens": 9, "total_tokens": 14}
_HEAD = {"id": "chatcmpl-1", "created": 1768809934, "model": "gpt-5.1"}


def pieces(kind: str, count: int) -> list[str]:
    """Return the pieces of an answer: tokens for `"text"`, else those of `document`."""
    if kind == "text":
        return [_TOKENS[number % len(_TOKENS)] for number in range(count)]
    text = document(count)
    return [text[start : start + PIECE] for start in range(0, len(text), PIECE)]


@lru_cache
def document(count: int) -> str:
    """Return a JSON object of so many pieces, at least 20, like structured output."""
    length = count * PIECE
    items: list[object] = []
    text = '{"items":['
    while len(text) < length - 100:
        number = len(items)
        tags = ["new", "on sale"][: number % 3]
        item = {"name": f"Item {number}", "price": number / 4, "tags": tags}
        items.append(item)
        text += _json(item) + ","
    unpadded = len(_json({"items": items, "note": ""}))
    return _json({"items": items, "note": "n" * (length - unpadded)})


def stream(dialect: str, kind: str, count: int) -> Iterator[bytes]:
    """Yield the response of a streamed answer, in large parts."""
    batch = [_STREAM, _chunk(_event(dialect, {"role": "assistant", "content": ""}))]
    for number, piece in enumerate(pieces(kind, count)):
        batch.append(_delta(dialect, kind, piece, is_first=not number))
        if len(batch) >= _BATCH:
            yield b"".join(batch)
            batch.clear()
    reason = "tool_calls" if kind == "tool" else "stop"
    last = _event(dialect, {}, finish_reason=reason, usage=_USAGE)
    yield b"".join([*batch, _chunk(last), _chunk("[DONE]"), b"0\r\n\r\n"])


@lru_cache
def whole(dialect: str) -> bytes:
    """Return the response of an answer that is not streamed."""
    message = {"role": "assistant", "content": "Hello! How can I help you today?"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    answer = _envelope(dialect, "chat.completion", choice, usage=_USAGE)
    return json_response(answer)


def json_response(value: object) -> bytes:
    """Return a response with a JSON value as its body."""
    body = _json(value).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return f"{head}{len(body)}\r\n\r\n".encode() + body


# Encoded once for each piece that differs: documents have more of them than text.
@lru_cache(maxsize=100_000)
def _delta(dialect: str, kind: str, piece: str, *, is_first: bool) -> bytes:
    if kind != "tool":
        return _chunk(_event(dialect, {"content": piece}))
    call: dict[str, Any] = {"index": 0, "function": {"arguments": piece}}
    if is_first:
        call["type"] = "function"
        call["function"]["name"] = "write"
    if is_first or dialect == "mistral":  # langchain-mistralai makes up others
        call["id"] = "call_1"
    return _chunk(_event(dialect, {"tool_calls": [call]}))


def _event(
    dialect: str,
    delta: dict[str, Any],
    finish_reason: str | None = None,
    **more: object,
) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": delta}
    if finish_reason or dialect != "pmock":  # pmock leaves out what there is not
        choice["finish_reason"] = finish_reason
    return _envelope(dialect, "chat.completion.chunk", choice, **more)


def _envelope(
    dialect: str, kind: str, choice: dict[str, Any], **more: object
) -> dict[str, Any]:
    data = {**_HEAD, "object": kind, "choices": [choice], **more}
    if dialect != "pmock":
        return data
    text = re.sub(r'(?<=")\w+_\w+(?=":)', lambda name: to_camel(name[0]), _json(data))
    return {"code": 200, "data": json.loads(text), "message": "success"}


def _chunk(data: object) -> bytes:
    event = f"data: {data if isinstance(data, str) else _json(data)}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
