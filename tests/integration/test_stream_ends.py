"""How streams end: completely, cut off, or left by their consumer."""

from __future__ import annotations

import asyncio
import gc
import threading
import zlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_pmock import PmockStreamInterruptedError
from langchain_pmock._gateway import answer as _answer
from langchain_pmock.testing import PmockServer, Reply
from tests.support.calls import Ask, model_of
from tests.support.h2_server import H2Server
from tests.support.leaks import until, uvloop, wait_until
from tests.support.raw_server import (
    CLOSE,
    RECEIVED,
    RESET,
    STALL,
    Close,
    RawServer,
    stream,
    unended,
)
from tests.support.wire import DONE, HELLO

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from langchain_core.messages import AIMessage

    from langchain_pmock import ChatPmock
    from tests.support.raw_server import Step

FIRST, SECOND, FINISH = HELLO[:3]
CLOSE_NOTIFY = Close(notify=True)
LONG = Reply(chunks=["word "] * 2000)

SYNC, ASYNC = Ask("stream"), Ask("astream")
UVLOOP = [Ask("astream", uvloop.run)] if uvloop else []
each_way = pytest.mark.parametrize("ask", [SYNC, ASYNC, *UVLOOP], ids=str)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_answer, "_AFTER_FINISH", 0.3)
    yield
    gc.collect()  # so that a warning about this test is raised in this one


# --- The service ends the stream -----------------------------------------------------


COMPLETE: dict[str, list[Step]] = {
    "whole": stream(*HELLO),
    "left open": [*unended(*HELLO), STALL],
    "left open without finish reason": [*unended(FIRST, SECOND, DONE), STALL],
    "left open without [DONE]": [*unended(FIRST, SECOND, FINISH), STALL],
    "closed": [*unended(FIRST, SECOND, FINISH), CLOSE],
    "closed by TLS": [*unended(FIRST, SECOND, FINISH), CLOSE_NOTIFY],
    "reset": [*unended(FIRST + SECOND + FINISH), RECEIVED, RESET],
}


@each_way
@pytest.mark.parametrize("steps", COMPLETE.values(), ids=COMPLETE)
def test_complete(ask: Ask, steps: list[Step], tls: ssl.SSLContext) -> None:
    with RawServer(steps, tls=tls) as server:
        outcome = ask(model_of(server), on_message=lambda _: server.received.set())
        assert (outcome.error, outcome.text, server.pauses) == (None, "Hello", 0)
        if steps != COMPLETE["whole"]:
            wait_until(lambda: server.open_connections == 0)


@each_way
@pytest.mark.parametrize("end", [CLOSE, CLOSE_NOTIFY, RESET], ids=repr)
def test_cut_off(ask: Ask, end: Close, tls: ssl.SSLContext) -> None:
    with RawServer([*unended(FIRST), RECEIVED, end], tls=tls) as server:
        model = model_of(server)
        error = ask(model, on_message=lambda _: server.received.set()).error
    assert isinstance(error, PmockStreamInterruptedError)
    assert "after 1 events" in str(error)


# --- The consumer leaves the stream --------------------------------------------------

OPEN = [*unended(FIRST), STALL]


class LeftError(Exception):
    """Raised by the consumer."""


@each_way
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_left_by_an_exception_at_the_first_text(
    ask: Ask, encoding: str, tls: ssl.SSLContext
) -> None:
    def leave(message: AIMessage) -> None:
        if message.text:
            raise LeftError

    first = FIRST
    if encoding == "gzip":
        packer = zlib.compressobj(wbits=31)
        first = packer.compress(FIRST) + packer.flush(zlib.Z_SYNC_FLUSH)
    steps = stream(first, STALL, headers={"Content-Encoding": encoding})
    with RawServer(steps, tls=tls) as server:
        outcome = ask(model_of(server), on_message=leave)
        assert isinstance(outcome.error, LeftError)
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.usefixtures("nothing_left")
def test_left_by_break_is_closed_in_the_same_thread(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    with RawServer(OPEN, tls=tls) as server:
        for _ in model_of(server).stream("Hello"):
            monkeypatch.setattr(threading.Thread, "start", started.append)
            break
        monkeypatch.undo()
        assert started == []
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("ask", [ASYNC, *UVLOOP], ids=str)
def test_async_stream_left_by_break(ask: Ask, tls: ssl.SSLContext) -> None:
    async def main() -> None:
        tasks = asyncio.all_tasks()
        async for _ in model_of(server).astream("Hello"):
            break
        await until(lambda: server.open_connections == 0)
        await until(lambda: asyncio.all_tasks() == tasks)

    with RawServer(OPEN, tls=tls) as server:
        ask.run(main())


@pytest.mark.usefixtures("nothing_left")
def test_streams_left_open_close_with_the_loop() -> None:
    async def main() -> None:
        for _ in range(5):
            stream = model_of(server).astream("Hello")
            await anext(stream)
            streams.append(stream)

    with PmockServer(delay=0.01) as server:
        for _ in range(10):
            server.script(*[LONG] * 5)
            streams: list[Any] = []  # they outlive the loop
            asyncio.run(main())
        wait_until(lambda: server.open_connections == 0)


def test_left_to_the_garbage_collector(tls: ssl.SSLContext) -> None:
    with RawServer(OPEN, tls=tls) as server:
        chunks = model_of(server).stream("Hello")
        next(chunks)
        cycle: list[Any] = [chunks]
        cycle.append(cycle)
        del chunks, cycle
        gc.collect()
        wait_until(lambda: server.open_connections == 0)


async def test_stream_is_read_in_another_task(server: PmockServer) -> None:
    async def read() -> list[str]:
        return [chunk.text async for chunk in chunks]

    model_of(server).astream("Hello")
    model_of(server).stream("Hello")
    assert server.requests == []
    chunks = model_of(server).astream("Hello")
    first = (await anext(chunks)).text
    rest = await asyncio.create_task(read())
    assert "".join([first, *rest]) == "You said: Hello"


# --- HTTP/2 --------------------------------------------------------------------------


@pytest.mark.parametrize("last", [DONE, FINISH], ids=["[DONE]", "finish reason"])
@pytest.mark.parametrize("ask", [SYNC, ASYNC], ids=str)
def test_leaving_one_stream_of_http2(
    ask: Ask, last: bytes, tls: ssl.SSLContext
) -> None:
    """The others on the same connection go on, and end though they are left open."""

    def read(model: ChatPmock) -> str:
        other = model.stream("Hello")
        text, threads = str(next(other).text), threading.active_count()
        for _ in model.stream("Hello"):
            break
        server.goes_on.set()
        text += "".join(chunk.text for chunk in other)
        # Nothing waits for the end of the stream after [DONE].
        assert last != DONE or threading.active_count() == threads
        return text

    async def aread(model: ChatPmock) -> str:
        other = model.astream("Hello")
        text = str((await anext(other)).text)
        async for _ in model.astream("Hello"):
            break
        server.goes_on.set()
        text += "".join([chunk.text async for chunk in other])
        await async_client.aclose()
        return text

    async_client = httpx2.AsyncClient(http2=True)
    with (
        H2Server(FIRST, [SECOND, last], tls) as server,
        httpx2.Client(http2=True) as client,
    ):
        clients = {"http_client": client, "http_async_client": async_client}
        model = model_of(server, timeout=30, **clients)
        text = read(model) if ask == SYNC else asyncio.run(aread(model))
    assert text == "Hello"
    assert server.connections == 1
