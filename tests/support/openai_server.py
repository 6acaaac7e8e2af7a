"""An OpenAI-compatible server, as strict as OpenAI's own and as odd as others.

It accepts snake_case names only, and streams as vLLM and llama.cpp do: nulls, comments,
the usage in a chunk of its own, and line separators of Unicode unescaped. It ignores a
tool choice by name, as llama.cpp does. Its answers come from the rules of
`PmockServer`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic.alias_generators import to_camel

from langchain_pmock.testing._body import Body, Message, validate
from langchain_pmock.testing._completion import Completion, choices
from langchain_pmock.testing._http import Response, Running
from langchain_pmock.testing._rules import reply_to
from tests.support.wire import in_snake_case

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from typing import Self

Json = dict[str, Any]

KEY = "sk-example"

_FIELDS = {*Body.model_fields, "stream_options"}
_MESSAGE_FIELDS = {*Message.model_fields} - {"reasoning_content"}
_EXTRA = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
_USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}


class OpenAIServer:
    """Answers `POST /v1/chat/completions`.

    Attributes:
        requests: The bodies so far.
        delay: Seconds between two events, and before an answer that is not streamed.
    """

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self.delay = 0.0

    def __enter__(self) -> Self:
        self._running = Running(0, "/v1/chat/completions", self._respond)
        self.url = f"http://127.0.0.1:{self._running.port}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._running.stop()

    async def _respond(self, headers: Mapping[str, str], content: bytes) -> Response:
        response = await self._answer(headers, json.loads(content))
        response.headers |= {"X-Request-Id": "req-1"}
        return response

    async def _answer(self, headers: Mapping[str, str], body: Json) -> Response:
        key = headers.get("Authorization")
        if key not in {None, f"Bearer {KEY}"}:
            return self._error(401, f"wrong key: {key}")
        self.requests.append(body)
        try:
            completion = _by_the_rules(body)
        except ValueError as error:
            return self._error(400, str(error))
        if body.get("stream"):
            live = _pieces(self._events(body, completion))
            return Response([], live, type="text/event-stream; charset=utf-8")
        await asyncio.sleep(self.delay)
        return Response([json.dumps(_as_openai(completion.whole(), body)).encode()])

    def _error(self, status: int, message: str) -> Response:
        error = {"message": message, "type": "invalid_request_error", "code": None}
        return Response([json.dumps({"error": error}).encode()], status=status)

    def _events(self, body: Json, completion: Completion) -> Iterator[bytes | float]:
        yield b": welcome\n\n"
        for made in completion.chunks():
            chunk = _as_openai(made, body)
            usage = chunk.pop("usage", None)
            yield _event({**chunk, "usage": None})
            yield self.delay
            if usage and (body.get("stream_options") or {}).get("include_usage"):
                yield _event({**chunk, "choices": [], "usage": usage})
        yield b"data: [DONE]\r\n\r\n"


async def _pieces(pieces: Iterator[bytes | float]) -> AsyncIterator[bytes]:
    for piece in pieces:
        if isinstance(piece, bytes):
            yield piece
        else:
            await asyncio.sleep(piece)


def _event(data: Json) -> bytes:
    return b"data:" + json.dumps(data, ensure_ascii=False).encode() + b"\r\n\r\n"


def _by_the_rules(body: Json) -> Completion:
    """Answer a request; raises ValueError for fields that are not accepted."""
    unknown = body.keys() - _FIELDS
    unknown = unknown.union(*(m.keys() - _MESSAGE_FIELDS for m in body["messages"]))
    if unknown:
        problem = f"unknown fields: {sorted(unknown)}"
        raise ValueError(problem)
    renamed = {to_camel(k): v for k, v in body.items() if k != "stream_options"}
    renamed["messages"] = [
        {to_camel(k): v for k, v in message.items()} for message in body["messages"]
    ]
    if isinstance(body.get("tool_choice"), dict):
        del renamed["toolChoice"]
    valid = validate(renamed)
    reply = reply_to(valid)
    calls = [
        replace(call, id=f"call_openai_{index}", extra=_EXTRA)
        for index, call in enumerate(reply.tool_calls)
    ]
    made = choices(replace(reply, tool_calls=calls, usage=_USAGE), valid)
    return Completion(valid, made, json.dumps(body["messages"]), 1768809934)


def _as_openai(made: Json, body: Json) -> Json:
    """Convert pmock's names, and add the nulls of other servers."""
    data: Json = in_snake_case(made)
    data |= {"model": f"{body['model']}.gguf", "system_fingerprint": None}
    for choice in data["choices"]:
        for name in ("logprobs", "finish_reason"):
            choice.setdefault(name, None)
        message = choice.get("message", choice.get("delta"))
        message.setdefault("refusal", None)
        # Both names are in use.
        if "gpt" in body["model"] and "reasoning_content" in message:
            message["reasoning"] = message.pop("reasoning_content")
    return data
