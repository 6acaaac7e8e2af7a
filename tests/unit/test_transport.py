"""What httpx and the connections under it do, and what is made of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
import types
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import (
    PmockAuth,
    PmockConnectionError,
    PmockError,
    PmockRateLimitError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._gateway import stream as module
from langchain_pmock._gateway.deadline import Watch, hang_up
from langchain_pmock._gateway.exceptions import TransportErrors
from langchain_pmock._gateway.pools import Loan, Pools
from langchain_pmock._gateway.stream import AsyncBody, Body
from langchain_pmock.auth import ACCESS_TOKEN_HEADER
from tests.unit.service import ACCESS_KEY, BASE_URL, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping


AUTH = PmockAuth(ACCESS_KEY, SECRET_KEY)


class Stream:
    """How far the reading of a stream has come."""

    def __init__(self, *, complete: bool = False) -> None:
        self.complete = complete
        self.done = False

    def progress(self) -> str:
        return "it ended after 3 events"

    def known(self) -> dict[str, Any]:
        return {"status_code": 200, "trace_id": "trace-1"}


@pytest.mark.parametrize(
    ("error", "has_begun", "cls"),
    [
        (httpx.ConnectError("refused"), False, PmockConnectionError),
        (httpx.ConnectError("refused"), True, PmockStreamInterruptedError),
        (httpx.RemoteProtocolError("bye"), False, PmockConnectionError),
        (httpx.ReadError("reset"), True, PmockStreamInterruptedError),
        (httpx.ConnectTimeout("slow"), False, PmockTimeoutError),
        (httpx.ReadTimeout("slow"), True, PmockTimeoutError),
        (httpx.PoolTimeout("slow"), False, PmockTimeoutError),
        (httpx.DecodingError("gzip"), False, PmockResponseError),
        (httpx.DecodingError("gzip"), True, PmockResponseError),
        (httpx.UnsupportedProtocol("x"), False, PmockConnectionError),
    ],
)
def test_transport_errors(
    error: httpx.RequestError,
    has_begun: bool,
    cls: type[PmockError],
) -> None:
    error.request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(error.request)
    assert ACCESS_TOKEN_HEADER in error.request.headers
    ours = TransportErrors(AUTH, Stream() if has_begun else None)
    with pytest.raises(PmockError) as caught, ours:
        raise error
    assert type(caught.value) is cls
    assert f"{error} ({type(error).__name__})" in str(caught.value)
    assert ("it ended after 3 events" in str(caught.value)) == has_begun
    assert caught.value.trace_id == ("trace-1" if has_begun else None)
    assert caught.value.status_code == (200 if has_begun else None)
    assert ("Trace id: trace-1." in str(caught.value)) == has_begun
    cause = caught.value.__cause__
    assert isinstance(cause, type(error))
    assert str(cause) == str(error)
    assert caught.value.__context__ is cause


def test_no_secret_in_what_a_transport_quotes() -> None:
    request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(request)
    token = request.headers[ACCESS_TOKEN_HEADER]
    cause = ValueError(f"illegal header line: b'{token} {ACCESS_KEY}'")
    error = httpx.RemoteProtocolError(str(cause), request=request)
    with pytest.raises(PmockConnectionError) as caught, TransportErrors(AUTH):
        raise error from cause
    text = "".join(traceback.format_exception(caught.value))
    assert "illegal header line: b'*** ***'" in text
    assert token not in text
    assert ACCESS_KEY not in text


def test_a_hook_of_the_users_may_raise_for_the_status() -> None:
    request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(request)
    response = httpx.Response(429, json={"message": "slow"}, request=request)
    with pytest.raises(PmockRateLimitError) as caught, TransportErrors(AUTH):
        response.raise_for_status()
    assert "slow" in str(caught.value)
    assert caught.value.__context__ is None


def test_the_callers_own_exception_is_left_as_it_is() -> None:
    mine, other = KeyError("mine"), RuntimeError("other")
    mine.__cause__, other.__context__ = other, mine  # a cycle

    def ask() -> None:
        with TransportErrors(AUTH):
            raise httpx.ConnectError(ACCESS_KEY)

    try:
        raise mine
    except KeyError:
        before = mine.__traceback__
        with pytest.raises(PmockConnectionError) as caught:
            ask()
    assert mine.__traceback__ is before is not None
    assert mine.args == ("mine",)
    assert ACCESS_KEY not in str(caught.value)
    assert ACCESS_KEY not in repr(caught.value.__cause__)


def test_an_exception_that_cannot_be_changed() -> None:
    class FrozenError(httpx.ConnectError):
        @property
        def args(self) -> tuple[str]:  # type: ignore[override]
            return ("refused",)

    with pytest.raises(PmockConnectionError) as caught, TransportErrors(AUTH):
        raise FrozenError("refused")
    assert type(caught.value.__cause__) is httpx.ConnectError


def test_transport_errors_without_a_request() -> None:
    with pytest.raises(PmockConnectionError), TransportErrors(AUTH):
        raise httpx.ConnectError("")


def test_a_broken_end_of_a_complete_answer_is_no_error() -> None:
    with TransportErrors(AUTH, Stream(complete=True)):
        raise httpx.ReadError("reset")


@pytest.mark.parametrize(
    "ours", [TransportErrors(AUTH), TransportErrors(AUTH, Stream(complete=True))]
)
def test_other_errors_pass(ours: TransportErrors) -> None:
    with pytest.raises(KeyError), ours:
        raise KeyError


# --- The rest of a body --------------------------------------------------------------


class Connection:
    """Stands for httpx's connection: its socket can be shut down."""

    def __init__(self) -> None:
        self.hung_up = threading.Event()

    def get_extra_info(self, name: str) -> Connection:
        assert name == "socket"
        return self

    def shutdown(self, _how: int) -> None:
        self.hung_up.set()


def event(data: str) -> bytes:
    return b'data: {"code": 200, "data": {"is": "%s"}}\n\n' % data.encode()


DONE = b"data: [DONE]\n\n"


class Parser:
    """Takes each event for the one with the finish reason."""

    finished = False
    trace_id = None

    def event(self, envelope: Mapping[str, Any]) -> str:
        self.finished = True
        return str(envelope["data"]["is"])

    def end(self) -> str:
        return "end"


class Rest(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that goes on after its answer: pieces to give, seconds to wait before."""

    def __init__(
        self, *pieces: bytes | float, http_version: bytes = b"HTTP/1.1"
    ) -> None:
        self.pieces = (event("answer"), *pieces)
        self.connection = Connection()
        self.is_closed = False
        self.response = httpx.Response(
            200,
            stream=self,
            extensions={
                "network_stream": self.connection,
                "http_version": http_version,
            },
            request=httpx.Request("POST", BASE_URL),
        )

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            elif self.connection.hung_up.wait(piece):
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True

    def read(self) -> list[bytes]:
        """Read what comes after the answer."""
        read = []
        with httpx.Client() as client, Body[str](Loan(client), AUTH) as body:
            body.begin(self.response, Parser())
            assert list(body.begun) == ["answer"]
            while (piece := body.read()) is not None:
                read.append(piece)
                list(body.reader.feed(piece))
        assert self.is_closed
        return read

    def aread(self) -> list[bytes]:
        """Read what comes after the answer, asynchronously."""

        async def read_async() -> list[bytes]:
            read = []
            async with httpx.AsyncClient() as client:
                body: AsyncBody[str] = AsyncBody(Loan(client), AUTH)
                await body.begin(self.response, Parser())
                assert list(body.begun) == ["answer"]
                while (piece := await body.read()) is not None:
                    read.append(piece)
                    list(body.reader.feed(piece))
                await body.aclose()
            assert self.is_closed
            return read

        return asyncio.run(read_async())


READS = [Rest.read, Rest.aread]
LONG = 5.0


@pytest.fixture
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_AFTER_DONE", 0.02)
    monkeypatch.setattr(module, "_PATIENCE_AFTER_FINISH", 0.1)


@pytest.mark.parametrize("read", READS)
def test_what_comes_after_the_finish_reason_is_read(
    read: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    usage, more = event("usage"), event("more")
    assert read(Rest(usage, 0.01, more)) == [usage, more]
    assert read(Rest(usage, 0.01, DONE, b"!")) == [usage, DONE]
    assert read(Rest()) == []
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "pieces",
    [(LONG,), (event("usage"), LONG), (b": ping\n\n", 0.02) * 200],
    ids=["nothing", "usage", "pings"],
)
def test_a_stream_left_open_after_the_finish_reason_is_ended(
    read: Any,
    pieces: tuple[bytes | float, ...],
    caplog: pytest.LogCaptureFixture,
) -> None:
    rest = Rest(*pieces)
    began = time.monotonic()
    assert len(read(rest)) <= 10
    assert time.monotonic() - began < LONG / 2
    assert rest.connection.hung_up.is_set() == (read is Rest.read)
    [record] = caplog.records
    assert record.name == "langchain_pmock"
    assert record.levelno == logging.WARNING
    assert "left the stream open for 0.1 s" in record.message


@pytest.mark.usefixtures("_short_patience")
@pytest.mark.parametrize("read", READS)
def test_a_body_left_open_after_done_is_left_without_a_word(
    read: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rest = Rest(DONE, LONG)
    assert read(rest) == [DONE]
    assert rest.connection.hung_up.is_set() == (read is Rest.read)
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
def test_a_connection_with_other_streams_is_not_hung_up() -> None:
    rest = Rest(DONE, 0.1, http_version=b"HTTP/2")
    assert rest.read() == [DONE]
    assert not rest.connection.hung_up.is_set()


def test_one_thread_watches_all_reads() -> None:
    before = threading.active_count()
    rests = [Rest(event("usage"), 0.05, DONE) for _ in range(20)]
    threads = [threading.Thread(target=rest.read) for rest in rests]
    for thread in threads:
        thread.start()
    most = threading.active_count() - before
    for thread in threads:
        thread.join()
    assert most <= len(threads) + 1
    until = time.monotonic() + LONG
    while threading.active_count() > before:  # it ends when there is none left
        assert time.monotonic() < until
        time.sleep(0.01)
    assert Rest(event("usage"), 0.01, DONE).read() == [event("usage"), DONE]


def test_a_client_is_given_back_where_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    def leave(pools: Pools[httpx.Client], rest: Rest) -> None:
        with Body[str](pools.lend(), AUTH) as body:
            body.begin(rest.response, Parser())
            assert pools._busy == [1]
            raise GeneratorExit

    rest = Rest(LONG)
    pools = Pools(lambda limits: httpx.Client(limits=limits))
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        leave(pools, rest)
    assert rest.connection.hung_up.is_set()
    assert pools._busy == [0]


def test_no_frame_keeps_the_traceback_of_a_transport() -> None:
    for ours in (TransportErrors(AUTH), TransportErrors(AUTH, Stream())):
        with pytest.raises(PmockError) as caught, ours:
            raise httpx.ReadError("reset")
        frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
        [exit_] = [frame for frame in frames if frame.f_code.co_name == "__exit__"]
        kept = exit_.f_locals.values()
        assert not any(isinstance(value, types.TracebackType) for value in kept)


def test_reads_are_watched_again_once_a_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    watch, rest = Watch(), Rest()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with (
            pytest.raises(RuntimeError, match="can't start"),
            watch.after(0, hang_up, rest.response),
        ):
            pass
    with watch.after(0, hang_up, rest.response):
        assert rest.connection.hung_up.wait(LONG)
