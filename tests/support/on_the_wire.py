"""Requests to a `PmockServer`, as they are on the wire."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import ChatPmock
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from langchain_pmock.testing import PmockServer
    from langchain_pmock.testing._http import Response

EVENT_STREAM = {"Accept": "text/event-stream"}
JSON = {"Content-Type": "application/json"}


def signed(server: PmockServer, *, at: float | None = None) -> dict[str, str]:
    now = time.time() if at is None else at
    return {
        ACCESS_KEY_HEADER: server.access_key,
        ACCESS_TOKEN_HEADER: sign(server.access_key, server.secret_key, now),
    }


def body(**fields: Any) -> dict[str, Any]:
    hello = {"role": "user", "content": "Hello"}
    return {"model": "gpt-5.1", "messages": [hello], **fields}


def respond(server: PmockServer, **fields: Any) -> Response:
    """Ask a server that is not started; for tests without sockets."""
    headers = {**signed(server), "content-type": "application/json", **EVENT_STREAM}
    headers = {name.lower(): value for name, value in headers.items()}
    return asyncio.run(server._respond(headers, json.dumps(body(**fields)).encode()))


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def model_of(server: PmockServer, **fields: Any) -> ChatPmock:
    ours = {
        "model": "gpt-5.1",
        "base_url": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "max_retries": 0,
    }
    return ChatPmock(**{**ours, **fields})


def endpoint(server: PmockServer) -> str:
    return f"{server.url}/ai/chat/completions"


def post(
    server: PmockServer, *, timeout: float = 5, at: float | None = None, **fields: Any
) -> httpx.Response:
    sent = signed(server, at=at) | (EVENT_STREAM if fields.get("stream") else {})
    headers = {name.encode(): value.encode() for name, value in sent.items()}
    return httpx.post(
        endpoint(server), json=body(**fields), headers=headers, timeout=timeout
    )


def open_stream(
    server: PmockServer, *, timeout: float = 5, **fields: Any
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
    close: bool = False,
    at: float | None = None,
    **fields: Any,
) -> bytes:
    content = json.dumps(body(**fields)).encode()
    lines = [f"POST {httpx.URL(endpoint(server)).path} HTTP/1.1"]
    sent = {"Host": "x", **signed(server, at=at), **JSON, **EVENT_STREAM}
    sent |= {"Content-Length": str(len(content)), **(headers or {})}
    sent |= {"Connection": "close"} if close else {}
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


def read_until(error: type[Exception], response: httpx.Response) -> str:
    received = ""
    try:
        for piece in response.iter_text():
            received += piece
    except error:
        return received
    pytest.fail(f"no {error.__name__}, but the end of the stream")


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


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
