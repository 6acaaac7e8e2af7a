"""Servers that deviate from the contract: a right one, and a front that changes things.

A deviation is a function of a request and of the next in line, which asks the right
server. It may change the request, change the answer, or answer by itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx

from langchain_pmock.testing import PmockServer
from tests.support import wire
from tests.support.raw_server import CLOSE, RawServer, head

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.raw_server import RawRequest, Step
    from tests.support.wire import Json

EVENT_STREAM = "text/event-stream"


@dataclass(frozen=True)
class Request:
    """A request; its body is JSON."""

    target: str
    headers: dict[str, str]
    body: Json


@dataclass(frozen=True)
class Response:
    """A response; `length` may be larger than the content, which is then cut off."""

    content: bytes
    status: int = 200
    headers: dict[str, str] = field(
        default_factory=lambda: {"Content-Type": "application/json"}
    )
    length: int | None = None

    @property
    def is_stream(self) -> bool:
        return self.headers.get("Content-Type") == EVENT_STREAM


Ask = Callable[[Request], Response]
Deviation = Callable[[Request, Ask], Response]


@dataclass(frozen=True)
class Deviating:
    """Where it listens, and the keys that it accepts."""

    url: str
    access_key: str
    secret_key: str
    requests: list[RawRequest]


@contextmanager
def deviating(
    deviate: Deviation, *, access_key: str | None = None, secret_key: str | None = None
) -> Iterator[Deviating]:
    """Start a server that deviates, with made-up keys by default."""
    right = PmockServer(access_key=access_key, secret_key=secret_key)
    with right, httpx.Client(trust_env=False) as client:

        def ask(request: Request) -> Response:
            answered = client.post(
                right.url.removesuffix("/api") + request.target,
                json=request.body,
                headers={
                    name.encode(): value.encode("latin-1")
                    for name, value in request.headers.items()
                    if name == "accept" or name.startswith("wuinai-")
                },
            )
            names = ("Content-Type", "Date")
            headers = {name: answered.headers[name] for name in names}
            return Response(answered.content, answered.status_code, headers)

        def answer(raw: RawRequest) -> list[Step]:
            request = Request(raw.target, raw.headers, json.loads(raw.body))
            response = deviate(request, ask)
            length = response.length or len(response.content)
            first = head(f"{response.status} -", response.headers, length=length)
            steps: list[Step] = [first + response.content]
            return [*steps, CLOSE] if response.length else steps

        with RawServer(answer) as server:
            yield Deviating(
                server.url, right.access_key, right.secret_key, server.requests
            )


def envelope(code: object, message: str = "-", status: int = 200) -> Response:
    """An envelope without data."""
    body = wire.envelope(None, code, message, traceId="trace-1")
    return Response(wire.dump(body), status)


def edited(response: Response, change: Callable[[Json], Any]) -> Response:
    """Change each envelope of an answer or a stream, in place or for a new one."""

    def change_text(text: str) -> str:
        if text == "[DONE]":
            return text
        parsed = json.loads(text)
        changed = change(parsed)
        return json.dumps(parsed if changed is None else changed)

    text = response.content.decode()
    if response.is_stream:
        events = text.removesuffix("\n\n").split("\n\n")
        data = [change_text(event.removeprefix("data: ")) for event in events]
        text = "".join(f"data: {each}\n\n" for each in data)
    else:
        text = change_text(text)
    return replace(response, content=text.encode())


def edit(change: Callable[[Json], Any]) -> Deviation:
    """A server whose envelopes are changed; see `edited`."""
    return lambda request, ask: edited(ask(request), change)


def without(*names: str) -> Deviation:
    """A server that ignores some fields of requests."""

    def ignore(request: Request, ask: Ask) -> Response:
        body = {k: v for k, v in request.body.items() if k not in names}
        return ask(replace(request, body=body))

    return ignore


def snake_case_messages(*, strict: bool) -> Deviation:
    """A server that knows `tool_calls` and `tool_call_id` alone.

    If it is not strict, it ignores the names in camelCase.
    """

    def want_snake_case(request: Request, ask: Ask) -> Response:
        messages = []
        for message in request.body["messages"]:
            for name in ("toolCalls", "toolCallId"):
                if name in message and strict:
                    return envelope(400, f"unknown field: {name}", 400)
            seen = {k: v for k, v in message.items() if not k.startswith("toolCall")}
            for snake, camel in (
                ("tool_calls", "toolCalls"),
                ("tool_call_id", "toolCallId"),
            ):
                if snake in seen:
                    seen[camel] = seen.pop(snake)
            if seen["role"] != "tool" or "toolCallId" in seen:
                messages.append(seen)
        return ask(replace(request, body={**request.body, "messages": messages}))

    return want_snake_case
