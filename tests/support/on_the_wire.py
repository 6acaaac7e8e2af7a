"""Requests to a `PmockServer`, as they are on the wire."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import BaseModel

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from langchain_pmock.testing import PmockServer
    from langchain_pmock.testing._http import Response
    from tests.support.calls import Server

EVENT_STREAM = {"Accept": "text/event-stream"}
JSON = {"Content-Type": "application/json"}
PMOCK_KEYS = ("ak-example", "sk-example")


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}."


def signed(server: Server, *, at: float | None = None) -> dict[str, str]:
    now = time.time() if at is None else at
    return {
        ACCESS_KEY_HEADER: server.access_key,
        ACCESS_TOKEN_HEADER: sign(server.access_key, server.secret_key, now),
    }


def body(**fields: Any) -> dict[str, Any]:
    hello = {"role": "user", "content": "Hello"}
    return {"model": "gpt-5.1", "messages": [hello], **fields}


@dataclass
class Served:
    """A server that the command line has started."""

    process: subprocess.Popen[str]
    exports: str
    access_key: str = "ak-test"
    secret_key: str = "sk-'test'"

    @property
    def url(self) -> str:
        return self.exports.split("PMOCK_BASE_URL=")[1].partition("\n")[0]


@contextmanager
def command_line(*options: str) -> Iterator[Served]:
    """Run `python -m langchain_pmock.testing`."""
    keys = ("--access-key", Served.access_key, "--secret-key", Served.secret_key)
    with subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "langchain_pmock.testing", *keys, *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Served(process, "".join(process.stdout.readline() for _ in range(5)))
        finally:
            process.terminate()


def respond(server: PmockServer, **fields: Any) -> Response:
    """Ask a server that is not started; for tests without sockets."""
    headers = {**signed(server), "content-type": "application/json", **EVENT_STREAM}
    headers = {name.lower(): value for name, value in headers.items()}
    return asyncio.run(server._respond(headers, json.dumps(body(**fields)).encode()))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def endpoint(server: Server) -> str:
    return f"{server.url}/ai/chat/completions"


def post(
    server: Server, *, timeout: Any = 5, at: float | None = None, **fields: Any
) -> httpx.Response:
    sent = signed(server, at=at) | (EVENT_STREAM if fields.get("stream") else {})
    headers = {name.encode(): value.encode() for name, value in sent.items()}
    return httpx.post(
        endpoint(server), json=body(**fields), headers=headers, timeout=timeout
    )


def open_stream(
    server: PmockServer, *, timeout: Any = 5, **fields: Any
) -> AbstractContextManager[httpx.Response]:
    return httpx.stream(
        "POST",
        endpoint(server),
        json=body(stream=True, **fields),
        headers=signed(server) | EVENT_STREAM,
        timeout=timeout,
    )


def raw_request(
    server: PmockServer,
    *,
    headers: dict[str, str] | None = None,
    **fields: Any,
) -> bytes:
    content = json.dumps(body(**fields)).encode()
    lines = [f"POST {httpx.URL(endpoint(server)).path} HTTP/1.1"]
    sent = {"Host": "x", **signed(server), **JSON, **EVENT_STREAM}
    sent |= {"Content-Length": str(len(content)), **(headers or {})}
    lines += [f"{name}: {value}" for name, value in sent.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def connect(server: PmockServer) -> socket.socket:
    url = httpx.URL(server.url)
    return socket.create_connection((url.host, url.port or 0), timeout=5)


def exchange(server: PmockServer, request: bytes) -> bytes:
    """Send bytes, and return all that comes until the connection ends."""
    received = b""
    with connect(server) as client:
        client.sendall(request)
        while data := client.recv(65536):
            received += data
    return received


def text_of(response: httpx.Response) -> str:
    text: str = response.json()["data"]["choices"][0]["message"]["content"]
    return text


def events_of(content: str) -> list[Any]:
    blocks = content.removesuffix("\n\n").split("\n\n")
    data = [block.removeprefix("data: ") for block in blocks]
    return [json.loads(item) if item != "[DONE]" else item for item in data]


def deltas_of(content: str) -> list[dict[str, Any]]:
    chunks = [e["data"] for e in events_of(content) if e != "[DONE]"]
    return [chunk["choices"][0]["delta"] for chunk in chunks]


def streamed_text(content: str) -> str:
    return "".join(delta.get("content", "") for delta in deltas_of(content))
