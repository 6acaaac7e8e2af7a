"""The service's JSON and events, for the tests without sockets and for those with them.

Written from the contract, and not from the package: what is answered is as the service
would write it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, AnyStr

from pydantic.alias_generators import to_snake

if TYPE_CHECKING:
    from collections.abc import Iterable

Json = dict[str, Any]


def dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def in_snake_case(value: object) -> Any:
    return json.loads(
        dump(value), object_hook=lambda d: {to_snake(k): v for k, v in d.items()}
    )


def envelope(
    data: object, code: object = 200, message: str = "success", **fields: Any
) -> Json:
    return {"code": code, "message": message, "data": data, **fields}


def data_of(*choices: Json, **fields: Any) -> Json:
    """The data of a whole answer."""
    return {
        "id": "chatcmpl-1",
        "model": "gpt-5.1",
        "created": 1768809934,
        "object": "chat.completion",
        "choices": list(choices),
        **fields,
    }


def choice_of(message: Json, finish_reason: str = "stop", **fields: Any) -> Json:
    message = {"role": "assistant", **message}
    return {"index": 0, "message": message, "finishReason": finish_reason, **fields}


def chunk_of(delta: Json | None, finish_reason: str = "", **fields: Any) -> Json:
    """The data of one event; without a choice if there is no delta."""
    choices = []
    if delta is not None:
        finish = {"finishReason": finish_reason} if finish_reason else {}
        choices = [{"index": 0, "delta": delta, **finish}]
    return {**data_of(), "choices": choices, "object": "chat.completion.chunk"} | fields


def answer(text: str) -> Json:
    """The envelope of a plain answer."""
    return envelope(data_of(choice_of({"content": text})), traceId="trace-1")


def delta(text: str | None = None, finish_reason: str = "") -> Json:
    """The envelope of one event."""
    content = {"content": text} if text else {}
    return envelope(chunk_of(content, finish_reason), traceId="trace-1")


def event(payload: object) -> bytes:
    """One server-sent event; bytes are its data as they stand."""
    data = payload if isinstance(payload, bytes) else dump(payload)
    return b"data: " + data + b"\n\n"


DONE = event(b"[DONE]")
HELLO = (event(delta("Hel")), event(delta("lo")), event(delta(None, "stop")), DONE)
"""A right stream of two texts: `Hel`, `lo`."""


def events(*chunks: Json, done: bool = True) -> bytes:
    """The body of a stream: each chunk in its envelope."""
    return b"".join(event(envelope(chunk)) for chunk in chunks) + DONE * done


def pieces_of(text: AnyStr, places: Iterable[int]) -> list[AnyStr]:
    """Cut a text or bytes at some places; the same place twice gives an empty piece."""
    ends: list[int] = [*sorted(place % (len(text) + 1) for place in places), len(text)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
