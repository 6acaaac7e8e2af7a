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
    PmockConnectionError,
    PmockError,
    PmockRateLimitError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._gateway import stream as module
from langchain_pmock.auth import ACCESS_TOKEN_HEADER
from tests.support.service import (
    ACCESS_KEY,
    BODY,
    SECRET_KEY,
    Pieces,
    Service,
    Texts,
    client_of,
    streams,
    whole,
)
from tests.support.wire import Json, chunk_of, envelope, event, events
from tests.unit.gateway.test_client import apost, astream, good, post, stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.unit.gateway.test_client import Way

EVERY_WAY = [post, apost, stream, astream]
every_way = pytest.mark.parametrize("way", EVERY_WAY)
each_stream = pytest.mark.parametrize("way", [stream, astream])

# --- Errors of transports ------------------------------------------------------------


@every_way
@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (httpx.ConnectError("refused"), PmockConnectionError),
        (httpx.RemoteProtocolError("bye"), PmockConnectionError),
        (httpx.ConnectTimeout("slow"), PmockTimeoutError),
        (httpx.PoolTimeout("slow"), PmockTimeoutError),
        (httpx.DecodingError("gzip"), PmockResponseError),
        (httpx.UnsupportedProtocol("x"), PmockConnectionError),
        (httpx.ConnectError(""), PmockConnectionError),
    ],
)
def test_errors_before_the_answer(
    way: Way, error: httpx.RequestError, cls: type[PmockError]
) -> None:
    with pytest.raises(cls) as caught:
        way(client_of(Service(error)))
    assert type(caught.value) is cls
    assert type(error).__name__ in str(caught.value)
    cause = caught.value.__cause__
    assert type(cause) is type(error)
    assert str(cause) == str(error)
    assert caught.value.__context__ is cause


@each_stream
@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (httpx.ReadError("reset"), PmockStreamInterruptedError),
        (httpx.ReadTimeout("slow"), PmockTimeoutError),
        (httpx.DecodingError("gzip"), PmockResponseError),
    ],
)
def test_errors_in_a_stream(
    way: Way, error: httpx.RequestError, cls: type[PmockError]
) -> None:
    service = Service(streams(event(envelope(chunk_of({"content": "a"}))), error))
    with pytest.raises(cls, match="it ended after 1 events") as caught:
        way(client_of(service))
    assert caught.value.trace_id == "trace-1"
    assert caught.value.status_code == 200
    assert "Trace id: trace-1." in str(caught.value)


@pytest.mark.parametrize("way", [post, apost])
def test_errors_in_a_whole_answer(way: Way) -> None:
    service = Service(streams(b'{"code": 200', httpx.ReadError("reset")))
    with pytest.raises(PmockConnectionError, match="cut off after 12 bytes") as caught:
        way(client_of(service))
    assert caught.value.status_code == 200


@each_stream
def test_a_whole_answer_in_place_of_a_stream(way: Way) -> None:
    answer = whole(envelope(chunk_of({"content": "a"}, "stop")))
    assert way(client_of(Service(answer))) == ["a", "end"]


@each_stream
def test_a_whole_answer_in_place_of_a_stream_is_cut(way: Way) -> None:
    headers = {"content-type": "application/json"}
    body = Pieces(b'{"code": 200', httpx.ReadError("reset"))
    service = Service(lambda: httpx.Response(200, headers=headers, stream=body))
    error = PmockStreamInterruptedError
    with pytest.raises(error, match="cut off after 12 bytes") as caught:
        way(client_of(service))
    assert caught.value.status_code == 200


@each_stream
def test_a_whole_answer_in_place_of_a_stream_is_limited(way: Way) -> None:
    answer = whole(envelope(chunk_of({"content": "a" * 5_000}, "stop")))
    with pytest.raises(PmockResponseError, match="max_response_bytes=5000") as caught:
        way(client_of(Service(answer), max_response_bytes=5_000))
    assert caught.value.response is not None
    assert SECRET_KEY not in repr(vars(caught.value))


@every_way
def test_the_status_of_an_error_counts_though_its_body_is_cut(way: Way) -> None:
    def answer() -> httpx.Response:
        cut = streams(b'{"code": 402, "mess', httpx.ReadError("reset"))
        assert not isinstance(cut, Exception)
        response = cut()
        response.status_code = 402
        return response

    with pytest.raises(PmockError) as caught:
        way(client_of(Service(answer), max_retries=3))
    assert type(caught.value).__name__ == "PmockPaymentRequiredError"


class Tokens(list[str]):
    """Keeps tokens out of the variables of the test."""

    __repr__ = object.__repr__


@every_way
def test_no_secret_in_what_a_transport_quotes(way: Way) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        tokens.append(request.headers[ACCESS_TOKEN_HEADER])
        cause = ValueError(f"illegal header line: b'{tokens[-1]} {ACCESS_KEY}'")
        text = f"{cause} via http://user:password@proxy"
        raise httpx.RemoteProtocolError(text, request=request) from cause

    tokens = Tokens()
    transport = httpx.MockTransport(answer)
    client = client_of(
        Service(),
        http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )
    with pytest.raises(PmockConnectionError) as caught:
        way(client)
    lines = traceback.TracebackException.from_exception(
        caught.value, capture_locals=True
    )
    text = "".join(lines.format())
    assert "illegal header line: b'*** ***' via http://***@proxy" in text
    assert tokens[-1] not in text


@every_way
def test_the_callers_own_exception_is_left_as_it_is(way: Way) -> None:
    mine, other = KeyError("mine"), RuntimeError("other")
    mine.__cause__, other.__context__ = other, mine  # a cycle
    try:
        raise mine
    except KeyError:
        before = mine.__traceback__
        with pytest.raises(PmockConnectionError) as caught:
            way(client_of(Service(httpx.ConnectError(ACCESS_KEY))))
    assert mine.__traceback__ is before is not None
    assert mine.args == ("mine",)
    assert ACCESS_KEY not in str(caught.value)
    assert ACCESS_KEY not in repr(caught.value.__cause__)


@every_way
def test_an_exception_that_cannot_be_changed(way: Way) -> None:
    class FrozenError(httpx.ConnectError):
        @property
        def args(self) -> tuple[str]:  # type: ignore[override]
            return ("refused",)

    with pytest.raises(PmockConnectionError) as caught:
        way(client_of(Service(FrozenError("refused"))))
    assert type(caught.value.__cause__) is httpx.ConnectError


def test_a_hook_of_the_users_may_raise_for_the_status() -> None:
    def hook(response: httpx.Response) -> None:
        response.read()
        response.raise_for_status()

    service = Service(whole({"message": "slow"}, 429))
    http_client = httpx.Client(
        transport=httpx.MockTransport(service), event_hooks={"response": [hook]}
    )
    with pytest.raises(PmockRateLimitError, match="slow") as caught:
        post(client_of(service, http_client=http_client))
    assert caught.value.__context__ is None


@every_way
def test_other_exceptions_pass(way: Way) -> None:
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        way(client_of(Service(error)))
    assert caught.value is error


# --- Bounds --------------------------------------------------------------------------


@pytest.mark.parametrize("way", [post, apost])
def test_an_answer_is_read_up_to_a_limit(way: Way) -> None:
    piece = b" " * 1000
    with pytest.raises(PmockResponseError, match="max_response_bytes=5000"):
        way(client_of(Service(streams(*[piece] * 6)), max_response_bytes=5_000))
    body = whole(envelope(chunk_of({"content": "Hello"})))
    assert way(client_of(Service(body), max_response_bytes=5_000)) == ["Hello"]


@each_stream
def test_an_event_is_read_up_to_a_limit(way: Way) -> None:
    piece = b"x" * 1000
    with pytest.raises(PmockResponseError, match="max_response_bytes=5000"):
        way(
            client_of(
                Service(streams(b"data: ", *[piece] * 9)), max_response_bytes=5_000
            )
        )
    # There is no limit on the stream itself.
    many = events(*[chunk_of({"content": "a"})] * 100)
    assert len(way(client_of(Service(streams(many)), max_response_bytes=5_000))) == 101


@every_way
def test_the_body_of_an_error_is_read_up_to_a_megabyte(way: Way) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        yield b'{"code": 503, "message": "'
        while True:
            read += 100_000
            yield b"x" * 100_000

    class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return endless()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in endless():
                yield piece

    with pytest.raises(PmockError) as caught:
        way(client_of(Service(lambda: httpx.Response(503, stream=Endless()))))
    assert type(caught.value).__name__ == "PmockAPIError"
    assert read < 2_000_000


@every_way
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_an_encoding_without_a_bound_is_refused(way: Way, encoding: str) -> None:
    service = Service(whole(b"{}", headers={"content-encoding": encoding}))
    with pytest.raises(PmockResponseError, match="only gzip, deflate is accepted"):
        way(client_of(service))


# --- The time without a chunk --------------------------------------------------------

ROLE = event(envelope(chunk_of({"role": "assistant"})))
KEEP_ALIVES = {
    "comments": b": ping\n\n",
    "events without data": event({"code": 200}),
    "chunks without choices": event(envelope(chunk_of(None))),
    "other events": b"event: ping\ndata: {}\n\n",
    "half an event": b"data: ",
}


class Slow(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of pieces, with seconds to wait between them."""

    def __init__(self, *pieces: bytes | float) -> None:
        self.pieces: tuple[bytes | float, ...] = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                time.sleep(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.sleep(piece)


def answers(body: httpx.SyncByteStream) -> Service:
    return Service(lambda: httpx.Response(200, stream=body))


@each_stream
@pytest.mark.parametrize("first", [[], [event(envelope(chunk_of({"content": "a"})))]])
@pytest.mark.parametrize("kind", KEEP_ALIVES)
def test_keep_alives_are_no_progress(way: Way, kind: str, first: list[bytes]) -> None:
    pings: list[bytes | float] = [0.02, KEEP_ALIVES[kind]]
    body = Slow(*first, *pings * 500)
    client = client_of(answers(body), stream_chunk_timeout=0.2)
    began = time.monotonic()
    with pytest.raises(PmockTimeoutError, match=r"stream_chunk_timeout=0\.2 s"):
        way(client)
    assert time.monotonic() - began < 5


@each_stream
def test_slow_chunks_are_progress(way: Way) -> None:
    chunk = event(envelope(chunk_of({"content": "a"})))
    pieces: list[bytes | float] = [0.05, b": ping\n\n", 0.05, chunk]
    body = Slow(*pieces * 4, event(b"[DONE]"))
    client = client_of(answers(body), stream_chunk_timeout=0.3)
    assert "".join(way(client)) == "aaaaend"


@each_stream
def test_without_a_limit_keep_alives_may_go_on(way: Way) -> None:
    pings: list[bytes | float] = [0.01, b": ping\n\n"]
    body = Slow(*pings * 30, events(chunk_of({"content": "a"})))
    assert way(client_of(answers(body), stream_chunk_timeout=None)) == ["a", "end"]


def test_the_time_of_the_consumer_does_not_count() -> None:
    chunk = event(envelope(chunk_of({"content": "a"})))
    body = Slow(chunk, b": ping\n\n", chunk, b": ping\n\n", event(b"[DONE]"))
    client = client_of(answers(body), stream_chunk_timeout=0.05)
    for _ in client.stream(BODY, Texts):
        time.sleep(0.1)


@each_stream
def test_bytes_are_waited_for_no_longer_than_a_chunk(way: Way) -> None:
    service = Service(good(way))
    way(client_of(service, stream_chunk_timeout=3.0))
    way(client_of(service, stream_chunk_timeout=None))
    way(client_of(service, stream_chunk_timeout=50.0))
    reads = [timeout["read"] for timeout in service.timeouts]  # type: ignore[index]
    assert reads == [3.0, 5, 5]


# --- The rest of a body --------------------------------------------------------------


def finish(**fields: Any) -> bytes:
    return event(envelope(chunk_of({"content": "answer"}, "stop", **fields)))


def usage(number: int = 1) -> bytes:
    return event(envelope(chunk_of(None, usage={"totalTokens": number})))


DONE = event(b"[DONE]")
LONG = 5.0
PINGS = (b": ping\n\n", 0.02) * 200


class Connection:
    """Stands for httpx's connection: its socket can be shut down."""

    def __init__(self) -> None:
        self.aborted = threading.Event()

    def get_extra_info(self, name: str) -> Connection:
        assert name == "socket"
        return self

    def shutdown(self, _how: int) -> None:
        self.aborted.set()


class Rest(Slow):
    """A body that goes on after its answer."""

    def __init__(
        self, *pieces: bytes | float, http_version: bytes = b"HTTP/1.1"
    ) -> None:
        super().__init__(finish(), *pieces)
        self.connection = Connection()
        self.is_closed = False
        self.read = 0
        self.extensions: Json = {
            "network_stream": self.connection,
            "http_version": http_version,
        }

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                self.read += 1
                yield piece
            elif self.connection.aborted.wait(piece):
                return

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in super().__aiter__():
            self.read += 1
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True

    def ask(self, way: Way) -> float:
        """Read the answer; return how long that took."""
        began = time.monotonic()
        service = Service(
            lambda: httpx.Response(200, stream=self, extensions=self.extensions)
        )
        assert way(client_of(service)) == ["answer", "end"]
        assert self.is_closed
        return time.monotonic() - began


@pytest.fixture
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_DONE", 0.02)
    monkeypatch.setattr(module, "_AFTER_FINISH", 0.1)


@each_stream
def test_what_comes_after_the_finish_reason_is_read(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    for pieces, read in (
        ((usage(), 0.01, usage(2)), 3),
        ((usage(), 0.01, DONE, b"!"), 4),
        ((), 1),
    ):
        rest = Rest(*pieces)
        rest.ask(way)
        assert rest.read == read
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
@each_stream
@pytest.mark.parametrize(
    "pieces",
    [(LONG,), (usage(), LONG), PINGS, (b": ping\n\n", 0.0) * 200_000],
    ids=["nothing", "usage", "pings", "flood"],
)
def test_a_stream_left_open_after_the_finish_reason_is_ended(
    way: Way, pieces: tuple[bytes | float, ...], caplog: pytest.LogCaptureFixture
) -> None:
    rest = Rest(*pieces)
    assert rest.ask(way) < LONG / 2
    if pieces[-1] == LONG:  # or else it may end between two pings
        assert rest.connection.aborted.is_set() == (way is stream)
    [record] = caplog.records
    assert record.name == "langchain_pmock"
    assert record.levelno == logging.WARNING
    assert "left the stream open for 0.1 s" in record.message


@pytest.mark.usefixtures("_short_patience")
@each_stream
def test_a_body_left_open_after_done_is_left_without_a_warning(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    rest = Rest(DONE, LONG)
    assert rest.ask(way) < LONG / 2
    assert rest.connection.aborted.is_set() == (way is stream)
    assert not caplog.records


@pytest.mark.usefixtures("_short_patience")
@pytest.mark.parametrize("extensions", [{}, {"http_version": b"HTTP/2"}])
def test_a_connection_that_cannot_be_aborted(extensions: Json) -> None:
    # It is shared with other streams, or nothing is known of it.
    for pieces in ((DONE, LONG), (LONG,), PINGS):
        rest = Rest(*pieces)
        rest.extensions = {**extensions}
        if extensions:
            rest.extensions["network_stream"] = rest.connection
        assert rest.ask(stream) < LONG / 2
        assert not rest.connection.aborted.is_set()


def test_one_thread_watches_all_reads() -> None:
    before = threading.active_count()
    rests = [Rest(usage(), 0.1, DONE, 0.1, b"") for _ in range(20)]
    threads = [threading.Thread(target=rest.ask, args=[stream]) for rest in rests]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, threading.active_count() - before)
        time.sleep(0.005)
    assert most <= len(threads) + 1
    assert not any(rest.connection.aborted.is_set() for rest in rests)


def test_the_answer_is_complete_though_no_thread_can_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    # The one thread may be running still, for an earlier test.
    time.sleep(0.2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        for pieces in ((DONE, LONG), (LONG,)):
            assert Rest(*pieces).ask(stream) < LONG / 2
    monkeypatch.setattr(module, "_AFTER_FINISH", 0.1)
    rest = Rest(LONG)
    rest.ask(stream)
    assert rest.connection.aborted.is_set()
