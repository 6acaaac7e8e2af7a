"""What httpx and the connections under it do, and what is made of it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import traceback
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
from langchain_pmock import _body as module
from langchain_pmock._body import AsyncBody, Body
from langchain_pmock._transport import transport_errors
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from tests.unit.service import ACCESS_KEY, BASE_URL, SECRET_KEY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


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
    stream = Stream() if has_begun else None
    with pytest.raises(PmockError) as caught, transport_errors(AUTH, stream):
        raise error
    assert type(caught.value) is cls
    assert f"{error} ({type(error).__name__})" in str(caught.value)
    assert ("it ended after 3 events" in str(caught.value)) == has_begun
    assert caught.value.trace_id == ("trace-1" if has_begun else None)
    assert caught.value.status_code == (200 if has_begun else None)
    assert ("Trace id: trace-1." in str(caught.value)) == has_begun
    assert caught.value.__cause__ is error
    assert ACCESS_TOKEN_HEADER not in error.request.headers
    assert ACCESS_KEY_HEADER not in error.request.headers


def test_no_secret_in_what_a_transport_quotes() -> None:
    request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(request)
    token = request.headers[ACCESS_TOKEN_HEADER]
    cause = ValueError(f"illegal header line: b'{token} {ACCESS_KEY}'")
    error = httpx.RemoteProtocolError(str(cause), request=request)
    with pytest.raises(PmockConnectionError) as caught, transport_errors(AUTH):
        raise error from cause
    text = "".join(traceback.format_exception(caught.value))
    assert "illegal header line: b'*** ***'" in text
    assert token not in text
    assert ACCESS_KEY not in text


def test_a_hook_of_the_users_may_raise_for_the_status() -> None:
    request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(request)
    response = httpx.Response(429, json={"message": "slow"}, request=request)
    with pytest.raises(PmockRateLimitError) as caught, transport_errors(AUTH):
        response.raise_for_status()
    assert "slow" in str(caught.value)
    assert caught.value.__suppress_context__
    assert ACCESS_TOKEN_HEADER not in request.headers


def test_transport_errors_without_a_request() -> None:
    with pytest.raises(PmockConnectionError), transport_errors(AUTH):
        raise httpx.ConnectError("")


def test_a_broken_end_of_a_complete_answer_is_no_error() -> None:
    with transport_errors(AUTH, Stream(complete=True)):
        raise httpx.ReadError("reset")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), transport_errors(AUTH):
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


class Rest(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that goes on after its answer: pieces to give, seconds to wait before."""

    def __init__(
        self, *pieces: bytes | float, http_version: bytes = b"HTTP/1.1"
    ) -> None:
        self.pieces = pieces
        self.stream = Stream(complete=True)
        self.connection = Connection()
        self.response = httpx.Response(
            200,
            stream=self,
            extensions={
                "network_stream": self.connection,
                "http_version": http_version,
            },
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

    def read(self) -> list[bytes]:
        read = []
        with Body(self.response, self.stream, AUTH) as body:
            while (piece := body.read()) is not None:
                read.append(piece)
                self.stream.done = piece == b"[DONE]"
        return read

    def aread(self) -> list[bytes]:
        async def read_async() -> list[bytes]:
            read = []
            body = AsyncBody(self.response, self.stream, AUTH)
            while (piece := await body.read()) is not None:
                read.append(piece)
                self.stream.done = piece == b"[DONE]"
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
    assert read(Rest(b"usage", 0.01, b"more")) == [b"usage", b"more"]
    assert read(Rest(b"usage", 0.01, b"[DONE]", b"!")) == [b"usage", b"[DONE]"]
    assert read(Rest()) == []
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize(
    "pieces", [(LONG,), (b"usage", LONG), (b"ping", 0.02) * 200], ids=str
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
    rest = Rest(b"[DONE]", LONG)
    assert read(rest) == [b"[DONE]"]
    assert rest.connection.hung_up.is_set() == (read is Rest.read)
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
def test_a_connection_with_other_streams_is_not_hung_up() -> None:
    rest = Rest(b"[DONE]", 0.1, http_version=b"HTTP/2")
    assert rest.read() == [b"[DONE]"]
    assert not rest.connection.hung_up.is_set()


def test_one_thread_watches_all_reads() -> None:
    before = threading.active_count()
    rests = [Rest(b"usage", 0.05, b"[DONE]") for _ in range(20)]
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
    assert Rest(b"usage", 0.01, b"[DONE]").read() == [b"usage", b"[DONE]"]
