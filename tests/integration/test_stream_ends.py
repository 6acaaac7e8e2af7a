"""Each way in which a stream ends, over TLS, HTTP/2 and every transport."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import trustme

from langchain_pmock import ChatPmock, PmockStreamInterruptedError
from langchain_pmock._gateway import answer as _answer
from tests.support.h2_server import H2Server
from tests.support.raw_server import RESET, STALL, Close, RawServer, stream
from tests.support.wire import DONE, HELLO, delta, event

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from tests.support.raw_server import Step

uvloop: Any
try:
    import uvloop
except ImportError:
    uvloop = None

FIRST, SECOND, FINISH = HELLO[:3]
CLOSE_NOTIFY = Close(notify=True)
SOON = 20.0  # seconds; less than any timeout

WAYS = ["stream", "astream", "astream-uvloop"]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """A server's context, whose authority the environment trusts."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_answer, "_AFTER_FINISH", 0.3)
    yield
    gc.collect()  # a warning about this test shall not appear in another one


def model_of(url: str, **fields: Any) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=url,
        access_key="ak-example",
        secret_key="sk-example",
        **{"max_retries": 0, "timeout": 30, **fields},
    )


def run(way: str, main: Coroutine[Any, Any, None]) -> None:
    if way != "astream-uvloop":
        asyncio.run(main)
        return
    if uvloop is None:
        main.close()
        pytest.skip("uvloop is not installed")
    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


def read(
    way: str,
    url: str,
    leave: Callable[[str], None] | None = None,
    *,
    http2: bool = False,
) -> str:
    """Read a stream to its end, or until `leave` raises."""
    model = model_of(url)
    texts: list[str] = []

    def take(text: str) -> None:
        texts.append(text)
        if leave is not None and text:
            leave(text)

    async def main() -> None:
        async with httpx2.AsyncClient(http2=True) as client:
            if http2:
                model.http_async_client = client
            async for chunk in model.astream("Hello"):
                take(chunk.text)

    if way != "stream":
        run(way, main())
        return "".join(texts)
    with httpx2.Client(http2=True) as client:
        if http2:
            model.http_client = client
        for chunk in model.stream("Hello"):
            take(chunk.text)
    return "".join(texts)


def wait_until(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("way", WAYS)
def test_whole(way: str, tls: ssl.SSLContext) -> None:
    with RawServer(stream(*HELLO), tls=tls) as server:
        assert read(way, server.url) == "Hello"
        assert read(way, server.url) == "Hello"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("last", [(FINISH, DONE), (DONE,), (FINISH,)])
def test_without_the_end_of_the_body(
    way: str, last: tuple[bytes, ...], tls: ssl.SSLContext
) -> None:
    steps: list[Step] = [*stream(FIRST, SECOND, *last)[:-1], STALL]
    began = time.monotonic()
    with RawServer(steps, tls=tls) as server:
        assert read(way, server.url) == "Hello"
        assert time.monotonic() - began < SOON
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", [Close(), CLOSE_NOTIFY, RESET], ids=repr)
def test_cut_off(way: str, end: Close, tls: ssl.SSLContext) -> None:
    with (
        RawServer([*stream(FIRST)[:-1], 0.2, end], tls=tls) as server,
        pytest.raises(PmockStreamInterruptedError, match="after 1 events"),
    ):
        read(way, server.url)
    # After the finish reason it does not matter.
    with RawServer([*stream(FIRST, FINISH)[:-1], 0.2, end], tls=tls) as server:
        assert read(way, server.url) == "Hel"


class LeftError(Exception):
    """Raised by the consumer."""


def leave(_: str) -> None:
    raise LeftError


LONG: list[Step] = [*stream(FIRST)[:-1], STALL]


@pytest.mark.parametrize("way", WAYS)
def test_left_by_an_exception(way: str, tls: ssl.SSLContext) -> None:
    with RawServer(LONG, tls=tls) as server:
        with pytest.raises(LeftError):
            read(way, server.url, leave)
        wait_until(lambda: server.open_connections == 0)


def test_left_by_break_it_closes_in_the_callers_thread(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    with RawServer(LONG, tls=tls) as server:
        for _ in model_of(server.url).stream("Hello"):
            monkeypatch.setattr(threading.Thread, "start", started.append)
            break
        monkeypatch.undo()
        assert started == []
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("way", WAYS[1:])
def test_an_async_stream_left_by_break(way: str, tls: ssl.SSLContext) -> None:
    async def main() -> None:
        model = model_of(server.url)
        async for _ in model.astream("Hello"):
            break
        until = time.monotonic() + SOON
        while server.open_connections:
            assert time.monotonic() < until
            await asyncio.sleep(0.005)

    with RawServer(LONG, tls=tls) as server:
        run(way, main())


def test_left_to_the_garbage_collector(tls: ssl.SSLContext) -> None:
    with RawServer(LONG, tls=tls) as server:
        chunks = model_of(server.url).stream("Hello")
        next(chunks)
        cycle: list[Any] = [chunks]
        cycle.append(cycle)
        del chunks, cycle
        gc.collect()
        wait_until(lambda: server.open_connections == 0)


@pytest.mark.parametrize("kind", ["stream", "astream"])
def test_left_at_interpreter_exit(kind: str, tls: ssl.SSLContext) -> None:
    code = {
        "stream": """
chunks = model.stream("Hello")
print(next(chunks).text, flush=True)
""",
        "astream": """
import asyncio
async def main():
    chunks = model.astream("Hello")
    print((await anext(chunks)).text, flush=True)
asyncio.run(main())
""",
    }[kind]
    with RawServer(LONG, tls=tls) as server:
        fields = f'model="gpt-5.1", base_url={server.url!r}'
        keys = 'access_key="ak-example", secret_key="sk-example"'
        script = f"""
from langchain_pmock import ChatPmock
model = ChatPmock({fields}, {keys})
{code}
"""
        done = subprocess.run(  # noqa: S603 - our own
            [sys.executable, "-W", "error", "-c", script],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            env=dict(os.environ),
        )
        wait_until(lambda: server.open_connections == 0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "Hel\n", "")


# --- HTTP/2 --------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize(
    "steps",
    [
        [*HELLO],
        [FIRST, SECOND, FINISH, DONE, STALL],
        [FIRST, SECOND, FINISH, STALL],
        [FIRST, SECOND, DONE, STALL],
    ],
    ids=["whole", "left open", "no [DONE]", "no finish reason"],
)
def test_http_2(
    way: str,
    steps: list[bytes | float],
    tls: ssl.SSLContext,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with H2Server(steps, tls) as server:
        began = time.monotonic()
        assert read(way, server.url, http2=True) == "Hello"
        assert time.monotonic() - began < SOON
    warned = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert bool(warned) == (steps[-2:] == [FINISH, STALL])


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_leaving_a_stream_over_http_2_leaves_the_others(
    way: str, tls: ssl.SSLContext
) -> None:
    steps: list[bytes | float] = [FIRST, 0.5, event(delta("lo")), FINISH, DONE]
    results: list[str] = []
    with H2Server(steps, tls) as server:
        client = httpx2.Client(http2=True)
        fields: dict[str, Any] = {"http_client": client, "timeout": 10}

        async def main() -> None:
            async with httpx2.AsyncClient(http2=True) as async_client:
                model = model_of(server.url, http_async_client=async_client)
                other = model.astream("Hello")
                first = (await anext(other)).text
                async for _ in model.astream("Hello"):
                    break
                rest = [chunk.text async for chunk in other]
                results.append(first + "".join(rest))

        if way == "astream":
            asyncio.run(main())
        else:
            model = model_of(server.url, **fields)
            other = model.stream("Hello")
            first = next(other).text
            for _ in model.stream("Hello"):
                break
            results.append(first + "".join(chunk.text for chunk in other))
        assert results == ["Hello"]
        assert server.connections == 1
        client.close()
