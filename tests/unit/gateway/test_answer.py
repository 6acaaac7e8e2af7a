"""One answer: bytes on the wire, and what the user sees of them."""

import asyncio
import gzip
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest.mock import Mock

import httpx
import httpx2
import pytest

from langchain_pmock import (
    PmockAPIError,
    PmockConnectionError,
    PmockError,
    PmockPaymentRequiredError,
    PmockRateLimitError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._gateway import answer as module
from langchain_pmock._json import UnreadableError
from tests.support.service import (
    POST,
    STREAM,
    WAYS,
    Pieces,
    Service,
    Texts,
    Way,
    client_of,
    collected,
    read_stream,
    streams,
    whole,
)
from tests.support.wire import DONE, Json, chunk_of, dump, envelope, event, events

TEXT = [chunk_of({"content": text}) for text in ("Hel", "lo ", "你好 👋🏽")]
FINISH = chunk_of({}, "stop", usage={"promptTokens": 3})
TEXTS = ["Hel", "lo ", "你好 👋🏽", "end"]
GOOD = events(*TEXT, FINISH)
FIRST = event(envelope(chunk_of({"content": "a"})))
ROLE = event(envelope(chunk_of({"role": "assistant"})))
ERROR = {"code": 429, "message": "slow down", "data": None, "traceId": "trace-2"}
RESET = httpx2.ReadError("reset")

# --- The end of a stream -------------------------------------------------------------

COMPLETE = {
    "finish and [DONE]": GOOD,
    "finish alone": events(*TEXT, FINISH, done=False),
    "[DONE] alone": events(*TEXT),
    "no blank line after [DONE]": GOOD[:-1],
    "no line after [DONE]": GOOD[:-2],
    "spaces after [DONE]": GOOD[:-2] + b" \t",
    "no blank line after the finish": events(*TEXT, FINISH, done=False)[:-1],
    # As the service's page shows it: to the standard that is one event.
    "no blank lines": GOOD.replace(b"\n\n", b"\n"),
    "no blank lines but the last": GOOD.replace(b"\n\n", b"\n") + b"\n",
    "empty data in place of blank lines": GOOD.replace(b"\n\n", b"\ndata:\n"),
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "CR": GOOD.replace(b"\n", b"\r"),
    "a BOM": b"\xef\xbb\xbf" + GOOD,
    "comments": b": hi\n\n" + GOOD.replace(b"data: ", b": hi\ndata: "),
    "other fields": GOOD.replace(b"data: ", b"event: x\nid: 1\ndata: "),
    "events without data": b"event: ping\n\ndata\n\ndata:\n\n" + GOOD,
    "envelopes without data": b'data: {"code": 200}\n\n' + GOOD,
    "envelopes with null": b'data: {"code": 200, "data": null}\n\n' + GOOD,
    "other events": b"event: ping\ndata: {}\n\nevent: ping\ndata: now\n\n" + GOOD,
    "several data lines": GOOD.replace(b',"data":', b'\ndata: ,"data":'),
    "something after [DONE]": GOOD + b"data: {garbage}\n\n" + GOOD,
}


@pytest.mark.parametrize("case", COMPLETE)
def test_complete_stream_under_every_cut(case: str) -> None:
    stream = COMPLETE[case]
    assert read_stream(stream) == TEXTS
    assert read_stream(*(bytes([byte]) for byte in stream)) == TEXTS
    for place in range(0, len(stream), 7):
        assert read_stream(stream[:place], stream[place:]) == TEXTS


def test_invalid_utf8_becomes_replacement_characters() -> None:
    stream = events(chunk_of({"content": "a?b"})).replace(b"?", b"\xff")
    assert read_stream(stream) == ["a\ufffdb", "end"]


CUT = {
    events(*TEXT, done=False): 3,
    events(*TEXT, done=False)[:-1]: 2,
    events(*TEXT, FINISH, done=False)[:-3]: 3,
    events(*TEXT)[:-4]: 3,
    b"data: {": 0,
    b"data: [DONE": 0,
    b"data": 0,
    b"event: ping\n\n": 0,
    b": a comment\n\n": 0,
    b'data: {"code": 200}\n\n': 1,
    b"\n\n": 0,
    b"": 0,
}
VENDORS = {"error": {"code": "502", "message": "exploded"}}
NO_CHOICES = event(envelope({"choices": "x"}))
OTHER_CODE = event({**ERROR, "code": 10001})
# Pages in place of an event, and events; the class of the error, and what it shows.
UNREADABLE = [
    (b"<html><h1>502 Bad  Gateway</h1></html>", PmockResponseError, "502 Bad Gateway"),
    (b"<p>\nThe data center is down.</p>", PmockResponseError, "The data center is"),
    (b"upstream connect error", PmockResponseError, "upstream connect error"),
    (b"data: <html>oops</html>\n\n", PmockResponseError, "oops"),
    (b"data: {garbage}\n\n" + GOOD, PmockResponseError, "{garbage}"),
    (b"data: 5\n\n", PmockResponseError, "5"),
    (b'data: "text"\n\n', PmockResponseError, "text"),
    (b'data: ["list"]\n\n', PmockResponseError, "list"),
    (b'data: {"code": 200, "data": "text"}\n\n', PmockResponseError, "text"),
    (b'data: {"data": {"choices": []}}\n\n', PmockResponseError, "choices"),
    (NO_CHOICES, PmockResponseError, "its choices are no list"),
    (b"event: x\n" + NO_CHOICES, PmockResponseError, "its choices are no list"),
    (OTHER_CODE, PmockError, "slow down"),
    (b"event: x\n" + OTHER_CODE, PmockError, "slow down"),
    # A vendor's error, passed on in an envelope or without one.
    (event(envelope({"choices": [], **VENDORS})) + DONE, PmockAPIError, "exploded"),
    (event(envelope({**chunk_of({}, "stop"), **VENDORS})), PmockAPIError, "exploded"),
    (b"event: error\n" + event(VENDORS) + DONE, PmockAPIError, "exploded"),
    (b"event: error\n" + event({"error": "boom"}) + DONE, PmockError, "boom"),
    (b"event: error\ndata: boom\n\n" + DONE, PmockResponseError, "boom"),
    (event(ERROR) + DONE, PmockRateLimitError, "slow down"),
]
FAILING = [
    *((s, PmockStreamInterruptedError, f"after {n} events") for s, n in CUT.items()),
    *UNREADABLE,
    *(
        (events(*TEXT[:n], done=False) + body, cls, shown)
        for body, cls, shown in UNREADABLE
        if body[:5] in (b"data:", b"event")
        for n in (1, 3)
    ),
    # Without blank lines, all of a stream is one event.
    (
        (events(*TEXT, done=False) + event(ERROR)).replace(b"\n\n", b"\n"),
        *UNREADABLE[-1][1:],
    ),
]


@pytest.mark.parametrize(("stream", "cls", "shown"), FAILING)
def test_stream_that_fails(stream: bytes, cls: type[PmockError], shown: str) -> None:
    texts: list[Any] = []
    with pytest.raises(PmockError, match=shown) as caught:
        texts.extend(STREAM.send(client_of(Service(streams(stream)))))
    error = caught.value
    assert type(error) is cls
    assert error.status_code == 200
    # Of the error, or else of the events before it.
    assert error.trace_id == ("trace-2" if b"trace-2" in stream else "trace-1")
    assert texts == TEXTS[: len(texts)]
    if cls is not PmockStreamInterruptedError:
        assert len(texts) == stream.partition(GOOD)[0].count(b"content")
    elif error.response is not None:
        assert error.response.content == b""


# What some frameworks do to an error: the stream's content type, but no stream.
@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize("padding", [0, 60_000])
@pytest.mark.parametrize("newline", [b"", b"\n", b"\r\n"])
def test_error_in_place_of_a_stream(newline: bytes, padding: int, step: int) -> None:
    error = {"message": "no data." + "x" * padding, "code": 429, "traceId": "trace-2"}
    body = dump(error).replace(b",", b"," + newline)
    step = max(step, padding // 10)
    with pytest.raises(PmockRateLimitError, match="no data") as caught:
        read_stream(*(body[i : i + step] for i in range(0, len(body), step)))
    assert caught.value.trace_id == "trace-2"


# --- A whole answer ------------------------------------------------------------------


@pytest.mark.parametrize("code", [200, "200", 200.0], ids=repr)
def test_success(way: Way, code: object) -> None:
    answer = {**envelope(chunk_of({"content": "a"})), "code": code}
    assert way(Service(whole(answer)))[0] == "a"


NO_SUCCESS: list[Any] = [
    *(None, 5, [], "200", {}, {"code": 200}, {"data": {}}, {"code": 200, "data": None}),
    *({"code": code, "data": {}} for code in (201, [200], True, None)),
    {"code": 200, "data": []},
    {"code": 200, "data": "x"},
]


@pytest.mark.parametrize("value", NO_SUCCESS)
def test_no_success(value: object) -> None:
    for way in (POST, STREAM):
        with pytest.raises(PmockError) as caught:
            way(Service(whole(value)))
        assert type(caught.value) in (PmockResponseError, PmockError)


@pytest.mark.parametrize("status", [201, 302, 500])
def test_no_success_with_another_status(way: Way, status: int) -> None:
    with pytest.raises(PmockError) as caught:
        way(Service(whole(envelope(chunk_of({"content": "a"})), status)))
    assert caught.value.status_code == status
    for body in (event(ERROR), event(ERROR)[:-2]):
        with pytest.raises(PmockRateLimitError, match="slow down"):
            way(Service(whole(body, status)))


@pytest.mark.parametrize(
    "kind", ["application/json", "application/problem+JSON", "text/html"]
)
def test_whole_answer_in_place_of_a_stream(streaming: Way, kind: str) -> None:
    answer = envelope(chunk_of({"content": "a"}))
    headers = {"content-type": kind}
    assert streaming(Service(whole(answer, headers=headers))) == ["a", "end"]
    empty = envelope({"choices": []})
    assert streaming(Service(whole(empty, headers=headers))) == ["end"]
    assert streaming(Service(whole(GOOD, headers=headers))) == TEXTS
    with pytest.raises(PmockResponseError):
        streaming(Service(whole(b"<html>", headers=headers)))


@pytest.mark.parametrize("content_type", ["", "text/plain", "x"])
def test_other_content_type(way: Way, content_type: str) -> None:
    made: Any = way.hello()  # type: ignore[operator]
    made.headers["content-type"] = content_type
    assert way(Service(lambda: made)) == way.texts


@pytest.mark.parametrize("is_stream", [False, True])
def test_body_is_cut(way: Way, is_stream: bool) -> None:
    kind = "event-stream" if is_stream else "json"
    cut = streams(b'{"code": 200', RESET, content_type=f"x/{kind}")
    cls, seen = PmockConnectionError, "the answer was cut off after 12 bytes"
    if way.is_stream:
        cls = PmockStreamInterruptedError
        seen = "it ended after 0 events" if is_stream else seen
    with pytest.raises(PmockConnectionError, match=f"{seen}; reset") as caught:
        way(Service(cut))
    assert type(caught.value) is cls
    assert caught.value.status_code == 200


def test_status_counts_though_the_body_is_cut(way: Way) -> None:
    cut = streams(b'{"code": 402, "mess', RESET, status=402)
    with pytest.raises(PmockPaymentRequiredError):
        way(Service(cut), max_retries=3)


# --- Exceptions of the parser --------------------------------------------------------


class Broken(Texts):
    """A parser that raises an error, in `event` or in `end`."""

    def __init__(self, place: str, error: Exception) -> None:
        super().__init__()
        self.place, self.error = place, error

    def event(self, envelope: Any) -> str | None:
        if self.place == "event":
            raise self.error
        return super().event(envelope)

    def end(self) -> str:
        if self.place == "end":
            raise self.error
        return super().end()


@pytest.mark.parametrize("place", ["event", "end"])
@pytest.mark.parametrize("cls", [AttributeError, KeyError, ValueError, UnreadableError])
def test_exception_of_the_parser(way: Way, cls: type[Exception], place: str) -> None:
    if place == "end" and not way.is_stream:
        return
    error = cls("its id is no text")
    body, cut = Pieces(FIRST, DONE), FIRST + b"data: [DONE]"  # without a blank line
    for answer in [streams(body=body), streams(cut)] if way.is_stream else [way.hello]:
        with pytest.raises(Exception, match="its id is no text") as caught:
            way(Service(answer), parser=lambda: Broken(place, error))
        if cls is UnreadableError:  # of the answer; others are defects of ours
            assert type(caught.value) is PmockResponseError
            assert "structure: its id is no text" in str(caught.value)
        else:
            assert caught.value is error
    assert body.closed or not way.is_stream


# --- Retries and failures of a stream ------------------------------------------------

BEFORE = {
    "nothing": streams(),
    "a role": streams(ROLE),
    "a comment": streams(b": keep-alive\n\n"),
    "reset": streams(RESET),
    "a role, reset": streams(ROLE, RESET),
    "an error": streams(event({"code": 503, "message": "no"})),
    "a role, an error": streams(ROLE, event({"code": 503, "message": "no"})),
}


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("case", BEFORE)
def test_stream_is_retried_before_its_first_chunk(streaming: Way, case: str) -> None:
    service = Service(BEFORE[case], streaming.hello)
    assert streaming(service, max_retries=1) == streaming.texts
    assert len(service.requests) == 2


AFTER = [
    ((), PmockStreamInterruptedError, "it ended after 1 events"),
    ((RESET,), PmockStreamInterruptedError, "after 1 events; reset .ReadError"),
    ((httpx2.ReadTimeout("slow"),), PmockTimeoutError, "1 events; slow .ReadTimeout"),
    ((httpx2.DecodingError("zip"),), PmockResponseError, "zip .DecodingError"),
    ((event({"code": 503, "message": "no"}),), PmockAPIError, "no"),
    ((b"data: {garbage}\n\n",), PmockResponseError, "garbage"),
]


@pytest.mark.parametrize(("pieces", "cls", "shown"), AFTER)
def test_stream_is_not_retried_after_its_first_chunk(
    streaming: Way, pieces: tuple[Any, ...], cls: type[PmockError], shown: str
) -> None:
    body = Pieces(FIRST, *pieces)
    service = Service(streams(body=body), streaming.hello)
    with pytest.raises(cls, match=shown) as caught:
        streaming(service, max_retries=5)
    assert len(service.requests) == 1
    assert caught.value.trace_id == "trace-1"
    assert "Trace id: trace-1." in str(caught.value)
    assert body.closed


@pytest.mark.parametrize("end", [DONE, event(envelope(FINISH)), GOOD])
def test_break_after_the_end_is_no_error(streaming: Way, end: bytes) -> None:
    assert streaming(Service(streams(FIRST, end, RESET)))[-1] == "end"


# --- Encodings -----------------------------------------------------------------------


def test_compressed_answer(way: Way) -> None:
    made: Any = way.hello()  # type: ignore[operator]
    zipped = gzip.compress(b"".join(made.stream.pieces))
    for content_type in ("", "text/event-stream"):
        headers: Any = {"content_encoding": "gzip", "content_type": content_type}
        assert way(Service(streams(zipped, **headers))) == way.texts
        with pytest.raises(PmockResponseError, match="DecodingError"):
            way(Service(streams(b"no gzip", **headers)))


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
def test_encoding_without_a_bound_is_refused(way: Way, encoding: str) -> None:
    body = Pieces(b"{}")
    answer = streams(body=body, content_encoding=encoding)
    with pytest.raises(PmockResponseError, match="only gzip, deflate is accepted"):
        way(Service(answer))
    assert not body.is_read
    assert body.closed
    with pytest.raises(PmockPaymentRequiredError):  # the status is enough
        way(Service(streams(b"\x00", status=402, content_encoding=encoding)))


def test_body_that_a_hook_has_read(way: Way) -> None:
    async def aread(response: Any) -> None:
        await response.aread()

    service = Service(way.hello)
    clients = service.clients(
        way.library,
        event_hooks={"response": [aread if way.is_async else lambda r: r.read()]},
    )
    assert way(service, **clients) == way.texts


# --- Closing -------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 2])  # again while it closes
@pytest.mark.parametrize("before", [(), (FIRST,)])
@pytest.mark.parametrize("way", [way for way in WAYS if way.is_async], ids=str)
async def test_cancelled_call_is_closed(
    way: Way, before: tuple[bytes, ...], times: int
) -> None:
    class Endless(Pieces):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in before:
                yield piece
            started.set()
            await asyncio.Event().wait()

        async def aclose(self) -> None:
            if way.library is httpx:  # which does not shield it
                await asyncio.sleep(0)
            self.closed = True

    started, body = asyncio.Event(), Endless()
    chunks = way.send(client_of(Service(streams(body=body)), way.library))
    task = asyncio.create_task(collected(chunks))
    await started.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(9):  # a task of its own may close it
        await asyncio.sleep(0)
    assert body.closed


def test_stream_is_closed_in_another_thread_inside_a_transport() -> None:
    """The garbage collector may close it there, while a lock is held."""
    threads: list[threading.Thread] = []
    done = threading.Event()

    class Body(Pieces):
        def close(self) -> None:
            threads.append(threading.current_thread())
            done.set()

    def handle(request: httpx2.Request) -> httpx2.Response:
        chunks.close()
        response: httpx2.Response = Service(STREAM.hello)(request)
        return response

    chunks = STREAM.send(client_of(Service(streams(body=Body(FIRST)))))
    next(chunks)
    inner = httpx2.Client(transport=httpx2.MockTransport(handle))
    assert STREAM(Service(), http_client=inner) == STREAM.texts
    assert done.wait(60)
    assert threading.current_thread() not in threads


def test_stream_of_the_parent_is_not_closed_in_a_forked_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = Pieces(FIRST, FIRST)
    chunks = STREAM.send(client_of(Service(streams(body=body))))
    next(chunks)
    with monkeypatch.context() as context:
        context.setattr("os.getpid", lambda: -1)
        chunks.close()
    assert not body.closed


# --- Bounds --------------------------------------------------------------------------


HELLO = dump(envelope(chunk_of({"content": "a"})))
COMMENTS = [b": comment\n\n"] * 999
TOO_LARGE = {
    "whole": [HELLO, *[b" " * 9] * 999],
    "events": [FIRST] * 99,
    "one event": [b"data: ", *[b"x" * 9] * 999],
    "comments": COMMENTS,
    "one read": [FIRST * 9_999],
}


def test_answer_is_read_up_to_a_limit(way: Way) -> None:
    def limited(limit: int, *pieces: bytes) -> list[Any]:
        return way(Service(streams(*pieces)), max_response_bytes=limit)

    for kind, pieces in TOO_LARGE.items():
        if (kind == "whole") != way.is_stream:
            with pytest.raises(PmockResponseError, match="max_response_bytes=5000"):
                limited(5000, *pieces)
    complete = [FIRST, DONE] if way.is_stream else [HELLO]
    size = len(b"".join(complete))
    assert limited(size, *complete)[0] == "a"
    with pytest.raises(PmockResponseError, match="max_response_bytes"):
        limited(size - 1, *complete)
    if way.is_stream:  # after the finish reason it is no error
        finish = event(envelope(FINISH))
        assert limited(5000, FIRST, finish, *COMMENTS) == ["a", "end"]


def test_body_of_an_error_is_read_up_to_a_megabyte(way: Way) -> None:
    read = 0

    class Endless(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            nonlocal read
            yield b'{"code": 503, "message": "'
            while True:
                read += 100_000
                yield b"x" * 100_000

    with pytest.raises(PmockAPIError):
        way(Service(streams(body=Endless(), status=503)))
    assert 1_000_000 < read < 2_000_000
    with pytest.raises(PmockAPIError, match=r"x{200}"):
        way(Service(whole(b"x" * 2_000_000, 503)))


# --- Time ----------------------------------------------------------------------------


class Clock:
    """Takes the place of the module `time` in `answer.py`."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


class Timed(Pieces):
    """A body of pieces, with seconds of the clock between them."""

    def __init__(self, clock: Clock, *pieces: Any) -> None:
        super().__init__()
        self.clock, self.timed = clock, pieces
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.timed:
            if isinstance(piece, bytes):
                self.read += 1
                yield piece
            else:
                self.clock.now += piece


KEEP_ALIVES = {
    "comments": b": ping\n\n",
    "events without data": event({"code": 200}),
    "chunks without choices": event(envelope(chunk_of(None))),
    "chunks without text": ROLE,
    "other events": b"event: ping\ndata: {}\n\n",
    "half a line": b":",
}
END = b"\n\n" + DONE  # also of half a line
# Keep-alives, chunks, and the seconds between them; the chunks that are yielded within
# the limit of 10 s, if no error is raised; and the number of reads.
TIMES: dict[str, tuple[Callable[[bytes], list[Any]], list[str] | None, int]] = {
    "no first chunk": (lambda ping: [ping, 3.0] * 100, None, 5),
    "no second chunk": (lambda ping: [FIRST, *[ping, 3.0] * 100], None, 6),
    "just in time": (lambda ping: [ping, 10.0, ping, END], ["end"], 3),
    "chunks between": (
        lambda ping: [*[6.0, ping, 6.0, b"\n\n" + FIRST] * 9, END],
        ["a"] * 9 + ["end"],
        19,
    ),
    # All that comes after the finish reason is read for 5 s.
    "after the finish": (
        lambda ping: [FIRST, 99.0, event(envelope(FINISH)), *[ping, 1.0] * 999],
        ["a", "end"],
        8,
    ),
}


@pytest.mark.parametrize("kind", KEEP_ALIVES)
@pytest.mark.parametrize("case", TIMES)
def test_keep_alives_are_no_progress(
    streaming: Way, case: str, kind: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    pieces, texts, reads = TIMES[case]
    body = Timed(clock, *pieces(KEEP_ALIVES[kind]))
    service = Service(streams(body=body))
    if texts is None:
        with pytest.raises(PmockTimeoutError, match=r"stream_chunk_timeout=10 s"):
            streaming(service, stream_chunk_timeout=10.0)
    else:
        assert streaming(service, stream_chunk_timeout=10.0) == texts
    assert body.read == reads
    assert len(caplog.records) == (case == "after the finish")


def test_time_without_a_limit_and_of_the_consumer(clock: Clock) -> None:
    endless = Timed(clock, *[b": ping\n\n", 3.0] * 100, DONE)
    assert STREAM(Service(streams(body=endless)), stream_chunk_timeout=None) == ["end"]
    pings = [b": ping\n\n"] * 3
    service = Service(streams(FIRST, *pings, FIRST, *pings, DONE))
    for _ in STREAM.send(client_of(service, stream_chunk_timeout=10.0)):
        clock.now += 100


@pytest.mark.parametrize(
    ("limit", "given", "read"),
    [(3.0, 5, 3), (None, 5, 5), (50.0, 5, 5), (600.0, None, 600)],
)
def test_read_waits_no_longer_than_for_a_chunk(
    way: Way, limit: float | None, given: float | None, read: float
) -> None:
    service, timeout = Service(way.hello), httpx2.Timeout(5, read=given)
    way(service, stream_chunk_timeout=limit, call={"timeout": timeout})
    [sent] = service.timeouts
    assert sent["read"] == (read if way.is_stream else given)  # type: ignore[index]


# --- The rest of a body --------------------------------------------------------------


USAGE = event(envelope(chunk_of(None, usage={"totalTokens": 1})))
LAST = event(envelope(chunk_of({"content": "answer"}, "stop")))


class Rest(Pieces):
    """A body that goes on after its answer; its socket can be shut down."""

    def __init__(self, *pieces: bytes | None) -> None:
        super().__init__()
        self.rest = pieces  # None: nothing more, until it is aborted
        self.socket: object = self
        self.read = 0
        self.aborted = threading.Event()
        self.is_aborted = False

    def get_extra_info(self, _: str) -> object:  # of the network stream
        return self.socket

    def shutdown(self, _how: int) -> None:
        self.is_aborted = True
        self.aborted.set()
        raise OSError  # it is closed

    def __iter__(self) -> Iterator[bytes]:
        for piece in (LAST, *self.rest):
            if piece is None:
                self.aborted.wait(60)
                return
            self.read += 1
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in (LAST, *self.rest):
            if piece is None:
                await asyncio.sleep(60)
            else:
                self.read += 1
                yield piece


@pytest.mark.parametrize("connection", ["HTTP/1.1", "HTTP/2", "no stream", "closed"])
@pytest.mark.parametrize(
    ("pieces", "read"),
    [
        ((), 1),
        ((USAGE, USAGE), 3),
        ((USAGE, DONE, b"!", b"!"), 4),
        ((DONE, None), 2),
        ((None,), 1),
        ((USAGE, None), 2),
    ],
)
def test_rest_of_a_body_is_read_for_a_while(  # noqa: PLR0913, PLR0917 - fixtures
    streaming: Way,
    pieces: tuple[bytes | None, ...],
    read: int,
    connection: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rest, stays_open = Rest(*pieces), None in pieces
    extensions: Json = {"http_version": connection.encode(), "network_stream": rest}
    if DONE in pieces:
        monkeypatch.setattr(module, "_AFTER_DONE", 0.01 if stays_open else 30.0)
    elif stays_open:  # the usage is read in time on a busy machine too
        monkeypatch.setattr(module, "_AFTER_FINISH", 0.3)
    if connection == "no stream":
        extensions = {}
    elif connection == "closed":
        rest.socket = None
    elif connection == "HTTP/2" and b"!" in pieces and not streaming.is_async:
        read -= 1  # nothing after [DONE], for a read could not be aborted
    began = time.monotonic()
    answer = streams(body=rest, extensions=extensions)
    assert streaming(Service(answer)) == ["answer", "end"]
    assert rest.closed
    aborts = stays_open and connection == "HTTP/1.1" and not streaming.is_async
    assert rest.is_aborted == aborts
    rest.aborted.set()  # the thread ends
    assert time.monotonic() - began < 50
    assert rest.read == read
    shown = [record.message for record in caplog.records]
    assert shown == [LEFT_OPEN] * (stays_open and DONE not in pieces)
    assert {record.name for record in caplog.records} <= {"langchain_pmock"}
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}


def test_reason_with_each_chunk_is_not_the_end(
    streaming: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Rest):
        def __iter__(self) -> Iterator[bytes]:
            for _ in range(5):
                time.sleep(0.1)
                yield LAST

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for _ in range(5):
                await asyncio.sleep(0.1)
                yield LAST

    monkeypatch.setattr(module, "_AFTER_FINISH", 0.35)
    answer = streams(body=Slow(), extensions={"http_version": b"HTTP/1.1"})
    assert streaming(Service(answer)) == [*["answer"] * 5, "end"]


def test_stream_ends_though_no_thread_can_be_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = Mock(side_effect=RuntimeError)
    monkeypatch.setattr(threading.Thread, "start", start)
    rest = Rest(USAGE, DONE)
    answer = streams(body=rest, extensions={"network_stream": rest})
    assert STREAM(Service(answer)) == ["answer", "end"]
    assert rest.is_aborted


LEFT_OPEN = (
    "The service left the stream open for 0.3 s after the finish reason. It was ended "
    "without [DONE]; the token usage may be missing."
)
