"""The same answers in the three dialects, as the bytes of an HTTP response.

Every token is an event of its own in an HTTP chunk of its own, as services send them.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

DIALECTS = ("pmock", "openai", "mistral")

ANSWER = "Hello! How can I help you today?"
TOOL = "write"
BEFORE, AFTER = '{"text": "', '"}'  # around the tokens in a tool call's arguments

_DIFFERENT = 90  # tokens, over and over
_BLOCK = 10 * _DIFFERENT  # tokens that are encoded at once
_HEAD = {"id": "chatcmpl-1", "created": 1768809934, "model": "gpt-5.1"}
_STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def token(number: int) -> str:
    """Give one token of the answers.

    Args:
        number: Its place in the answer.

    Returns:
        Some characters, as long as a token usually is.
    """
    return f" tok{number % _DIFFERENT}"


def stream(dialect: str, kind: str, tokens: int) -> Iterator[bytes]:
    """Give a streamed answer.

    Args:
        dialect: One of `DIALECTS`.
        kind: `"text"`, or `"tool"` for one tool call with the tokens in its arguments.
        tokens: How many tokens it has.

    Yields:
        The bytes of the response, in large pieces.
    """
    yield _STREAM + b"Transfer-Encoding: chunked\r\n\r\n" + _first(dialect, kind)
    whole, rest = divmod(tokens, _BLOCK)
    for _ in range(whole):
        yield _block(dialect, kind, _BLOCK)
    yield _block(dialect, kind, rest) + _last(dialect, kind, tokens)


@lru_cache
def whole(dialect: str) -> bytes:
    """Give an answer that is not streamed.

    Args:
        dialect: One of `DIALECTS`.

    Returns:
        The bytes of the response.
    """
    message = {"role": "assistant", "content": ANSWER}
    choice = {"index": 0, "message": message, _finish(dialect): "stop"}
    answer = {
        **_HEAD,
        "object": "chat.completion",
        "choices": [choice],
        "usage": _usage(dialect, 9),
    }
    return json_response(_envelope(dialect, answer))


def json_response(value: object) -> bytes:
    """Give a response with a JSON value as its body.

    Args:
        value: The value.

    Returns:
        The bytes of the response.
    """
    body = _json(value)
    return _JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


def deltas(kind: str, tokens: int) -> list[str]:
    """Give what each chunk of a streamed answer says, for a model without a server.

    Args:
        kind: `"text"` or `"tool"`.
        tokens: How many tokens it has.

    Returns:
        The content of each chunk, or a piece of the tool call's arguments.
    """
    said = [token(number) for number in range(tokens)]
    return said if kind == "text" else [BEFORE, *said, AFTER]


def _first(dialect: str, kind: str) -> bytes:
    delta: dict[str, Any] = {"role": "assistant", "content": ""}
    if kind == "tool":
        function = {"name": TOOL, "arguments": BEFORE}
        call = {"index": 0, "id": "call_1", "type": "function", "function": function}
        delta = {"role": "assistant", _calls(dialect): [call]}
    return _event(dialect, {"index": 0, "delta": delta, **_unfinished(dialect)})


@lru_cache
def _block(dialect: str, kind: str, tokens: int) -> bytes:
    return b"".join(
        _event(
            dialect,
            {
                "index": 0,
                "delta": _delta(dialect, kind, token(number)),
                **_unfinished(dialect),
            },
        )
        for number in range(tokens)
    )


def _last(dialect: str, kind: str, tokens: int) -> bytes:
    end = b""
    if kind == "tool":
        delta = _delta(dialect, kind, AFTER)
        end = _event(dialect, {"index": 0, "delta": delta, **_unfinished(dialect)})
    reason = "stop" if kind == "text" else "tool_calls"
    choice = {"index": 0, "delta": {}, _finish(dialect): reason}
    end += _event(dialect, choice, usage=_usage(dialect, tokens))
    return end + _chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


def _delta(dialect: str, kind: str, text: str) -> dict[str, Any]:
    if kind == "text":
        return {"content": text}
    return {_calls(dialect): [{"index": 0, "function": {"arguments": text}}]}


def _event(dialect: str, choice: dict[str, Any], **more: object) -> bytes:
    data = {**_HEAD, "object": "chat.completion.chunk", "choices": [choice], **more}
    return _chunk(b"data: %s\n\n" % _json(_envelope(dialect, data)))


def _envelope(dialect: str, data: dict[str, Any]) -> dict[str, Any]:
    if dialect == "pmock":
        return {"code": 200, "data": data, "message": "success"}
    return data


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _calls(dialect: str) -> str:
    return "toolCalls" if dialect == "pmock" else "tool_calls"


def _finish(dialect: str) -> str:
    return "finishReason" if dialect == "pmock" else "finish_reason"


def _unfinished(dialect: str) -> dict[str, None]:
    """Only pmock leaves out what there is not yet."""
    return {} if dialect == "pmock" else {_finish(dialect): None}


def _usage(dialect: str, tokens: int) -> dict[str, int]:
    if dialect == "pmock":
        return {
            "promptTokens": 5,
            "completionTokens": tokens,
            "totalTokens": tokens + 5,
        }
    return {
        "prompt_tokens": 5,
        "completion_tokens": tokens,
        "total_tokens": tokens + 5,
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
