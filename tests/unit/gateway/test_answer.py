"""One answer: bytes on the wire, and what the user sees of them."""

from __future__ import annotations

import asyncio
import gzip
import logging
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    BODY,
    STREAM,
    WAYS,
    Pieces,
    Service,
    Texts,
    client_of,
    read_stream,
    streams,
    whole,
)
from tests.support.wire import DONE, chunk_of, dump, envelope, event, events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.service import Way
    from tests.support.wire import Json

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


@pytest.mark.parametrize(("stream", "count"), CUT.items())
def test_cut_stream_is_an_error(stream: bytes, count: int) -> None:
    seen = f"it ended after {count} events"
    with pytest.raises(PmockStreamInterruptedError, match=seen) as caught:
        read_stream(stream)
    assert caught.value.status_code == 200
    assert caught.value.trace_id == "trace-1"  # of the parser
    assert caught.value.response is not None
    assert caught.value.response.content == b""


@pytest.mark.parametrize("before", [[], TEXT[:1], TEXT], ids=len)
@pytest.mark.parametrize("newlines", [b"\n\n", b"\n"])
def test_error_as_an_event(before: list[Json], newlines: bytes) -> None:
    body = events(*before, done=False) + event(ERROR) + DONE
    body = body.replace(b"\n\n", newlines)
    texts: list[Any] = []
    stream = client_of(Service(streams(body))).stream(BODY, Texts)
    with pytest.raises(PmockRateLimitError, match="slow down") as caught:
        texts.extend(stream)
    assert texts == TEXTS[: len(before)]
    assert (caught.value.code, caught.value.trace_id) == (429, "trace-2")


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


UNREADABLE = [
    (b"<html><h1>502 Bad  Gateway</h1></html>", "502 Bad Gateway"),
    (b"<p>\nThe data center is down.</p>", "The data center is down"),
    (b"upstream connect error", "upstream connect error"),
    (b"data: <html>oops</html>\n\n", "oops"),
    (b"data: {garbage}\n\n" + GOOD, "{garbage}"),
    (b"data: 5\n\n", "5"),
    (b'data: "text"\n\n', "text"),
    (b'data: ["list"]\n\n', "list"),
    (b'data: {"code": 200, "data": "text"}\n\n', "text"),
    (b'data: {"data": {"choices": []}}\n\n', "choices"),
    (event(envelope({"choices": "x"})), "its choices are no list"),
    (event({**ERROR, "code": 10001}), "slow down"),
    (b"event: x\n" + event({**ERROR, "code": 10001}), "slow down"),
    (b"event: x\n" + event(envelope({"choices": "x"})), "its choices are no list"),
]


@pytest.mark.parametrize("before", [b"", FIRST])
@pytest.mark.parametrize(("body", "shown"), UNREADABLE)
def test_unreadable_event_is_shown(body: bytes, shown: str, before: bytes) -> None:
    if before and not body.startswith((b"data", b"event")):
        body = event(body.replace(b"\n", b""))
    with pytest.raises(PmockError, match=shown) as caught:
        read_stream(before + body)
    assert type(caught.value) in (PmockResponseError, PmockError)
    assert caught.value.code in (None, 200, 10001)
    assert (type(caught.value) is PmockError) == (caught.value.code == 10001)
    assert caught.value.trace_id in ("trace-1", "trace-2")


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
@pytest.mark.parametrize("method", ["post", "stream"])
def test_no_success(value: object, method: str) -> None:
    way = next(way for way in WAYS if way.method == method)
    with pytest.raises(PmockError) as caught:
        way(Service(whole(value)))
    assert type(caught.value) in (PmockResponseError, PmockError)


@pytest.mark.parametrize("status", [201, 302, 500])
def test_no_success_with_another_status(way: Way, status: int) -> None:
    with pytest.raises(PmockError) as caught:
        way(Service(whole(envelope(chunk_of({"content": "a"})), status)))
    assert caught.value.status_code == status


def test_whole_answer_in_place_of_a_stream(streaming: Way) -> None:
    for content_type in ("application/json", "application/problem+JSON", "text/html"):
        headers = {"content-type": content_type}
        answer = whole(envelope(chunk_of({"content": "a"})), headers=headers)
        assert streaming(Service(answer)) == ["a", "end"]
    assert streaming(Service(whole(envelope({"choices": []})))) == ["end"]
    with pytest.raises(PmockResponseError):
        streaming(Service(whole(b"<html>")))


@pytest.mark.parametrize("content_type", ["", "text/plain", "x"])
def test_other_content_type(way: Way, content_type: str) -> None:
    made: Any = way.hello() if callable(way.hello) else None
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


# --- Defects of the parser -----------------------------------------------------------


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
@pytest.mark.parametrize("cls", [AttributeError, TypeError, KeyError, ValueError])
def test_defect_of_the_parser_propagates(
    way: Way, cls: type[Exception], place: str
) -> None:
    if place == "end" and not way.is_stream:
        return
    error, body = cls("defect"), Pieces(FIRST, DONE)
    answer = streams(body=body) if way.is_stream else way.hello
    with pytest.raises(cls) as caught:
        way(Service(answer), parser=lambda: Broken(place, error))
    assert caught.value is error
    assert body.closed or not way.is_stream


@pytest.mark.parametrize("place", ["event", "end"])
def test_unreadable_answer(way: Way, place: str) -> None:
    if place == "end" and not way.is_stream:
        return
    error = UnreadableError("its id is no text")
    cut = FIRST + b"data: [DONE]"  # without a blank line
    for answer in [way.hello, streams(cut)] if way.is_stream else [way.hello]:
        with pytest.raises(PmockResponseError, match="structure: its id is no text"):
            way(Service(answer), parser=lambda: Broken(place, error))


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
    made: Any = way.hello() if callable(way.hello) else None
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


@pytest.mark.parametrize("end", [b"", GOOD, DONE])
def test_finished_stream_is_closed(streaming: Way, end: bytes) -> None:
    body = Pieces(GOOD, end)
    streaming(Service(streams(body=body)))
    assert body.closed


async def test_stream_that_is_left_is_closed(streaming: Way) -> None:
    body = Pieces(FIRST, FIRST, FIRST)
    client = client_of(Service(streams(body=body)), streaming.library)
    chunks: Any = getattr(client, streaming.method)(BODY, Texts)
    if streaming.is_async:
        assert await anext(chunks) == "a"
        assert not body.closed
        await chunks.aclose()
    else:
        assert next(chunks) == "a"
        assert not body.closed
        chunks.close()
    assert body.closed


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("before", [(), (FIRST,)])
@pytest.mark.parametrize("way", [way for way in WAYS if way.is_async], ids=str)
async def test_cancelled_call_is_closed(
    way: Way, before: tuple[bytes, ...], times: int
) -> None:
    """Also if it is cancelled again while it closes."""

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

    async def read() -> None:
        client = client_of(Service(streams(body=body)), way.library)
        if way.is_stream:
            async for _ in client.astream(BODY, Texts):
                pass
        else:
            await client.apost(BODY, Texts().event)

    started, body = asyncio.Event(), Endless()
    task = asyncio.create_task(read())
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

    chunks = client_of(Service(streams(body=Body(FIRST)))).stream(BODY, Texts)
    next(chunks)
    inner = httpx2.Client(transport=httpx2.MockTransport(handle))
    assert STREAM(Service(), http_client=inner) == STREAM.texts
    assert done.wait(60)
    assert threading.current_thread() not in threads


def test_stream_of_the_parent_is_not_closed_in_a_forked_child(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = Pieces(FIRST, FIRST)
    chunks = client_of(Service(streams(body=body))).stream(BODY, Texts)
    next(chunks)
    with monkeypatch.context() as context:
        context.setattr("os.getpid", lambda: -1)
        chunks.close()
    assert not body.closed


# --- Bounds --------------------------------------------------------------------------


def limited(way: Way, *pieces: bytes, limit: int = 5_000) -> list[Any]:
    return way(Service(streams(*pieces)), max_response_bytes=limit)


def test_answer_is_read_up_to_a_limit(way: Way) -> None:
    whole = [dump(envelope(chunk_of({"content": "a"}))), *[b" " * 9] * 999]
    kinds = {
        "a stream": [FIRST] * 99,
        "an event": [b"data: ", *[b"x" * 9] * 999],
        "comments": [b": comment\n\n"] * 999,
        "a large read": [FIRST * 9_999],
    }
    for pieces in kinds.values() if way.is_stream else [whole]:
        with pytest.raises(PmockResponseError, match="max_response_bytes=5000") as e:
            limited(way, *pieces)
        assert e.value.response is not None
    complete = [FIRST, DONE] if way.is_stream else whole[:1]
    size = len(b"".join(complete))
    assert limited(way, *complete, limit=size)[0] == "a"
    with pytest.raises(PmockResponseError, match="max_response_bytes"):
        limited(way, *complete, limit=size - 1)


def test_limit_after_the_finish_reason_is_no_error(streaming: Way) -> None:
    body = [event(envelope(FINISH)), *[b": comment\n\n"] * 999]
    assert limited(streaming, FIRST, *body) == ["a", "end"]


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

    def __init__(self) -> None:
        self.now = 1_000.0

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
    "half an event": b"data: ",
}


@pytest.mark.parametrize("first", [[], [FIRST]])
@pytest.mark.parametrize("kind", KEEP_ALIVES)
def test_keep_alives_are_no_progress(
    streaming: Way, kind: str, first: list[bytes], clock: Clock
) -> None:
    ping = KEEP_ALIVES[kind]
    body = Timed(clock, *first, *[ping, 3.0] * 100)
    with pytest.raises(PmockTimeoutError, match=r"stream_chunk_timeout=10 s"):
        streaming(Service(streams(body=body)), stream_chunk_timeout=10.0)
    assert body.read == len(first) + 5
    exact = Timed(clock, *first, ping, 10.0, ping, DONE)
    if kind != "half an event":
        texts = streaming(Service(streams(body=exact)), stream_chunk_timeout=10.0)
        assert texts[-1] == "end"
    endless = Timed(clock, *[b": ping\n\n", 3.0] * 100, DONE)
    assert streaming(Service(streams(body=endless)), stream_chunk_timeout=None)


def test_chunks_are_progress(streaming: Way, clock: Clock) -> None:
    body = Timed(clock, *[6.0, b": ping\n\n", 6.0, FIRST] * 9, DONE)
    texts = streaming(Service(streams(body=body)), stream_chunk_timeout=10.0)
    assert texts == ["a"] * 9 + ["end"]


def test_time_of_the_consumer_does_not_count(clock: Clock) -> None:
    pings = [b": ping\n\n"] * 3
    service = Service(streams(FIRST, *pings, FIRST, *pings, DONE))
    for _ in client_of(service, stream_chunk_timeout=10.0).stream(BODY, Texts):
        clock.now += 100


def test_read_waits_no_longer_than_for_a_chunk(way: Way) -> None:
    limits = {3.0: 3.0, None: 5.0, 50.0: 5.0}
    for limit, read in limits.items():
        service = Service(way.hello)
        timeout = {"timeout": httpx2.Timeout(5)}
        way(service, stream_chunk_timeout=limit, call=timeout)
        [sent] = service.timeouts
        assert sent["read"] == (read if way.is_stream else 5)  # type: ignore[index]
    service = Service(way.hello)
    way(service, call={"timeout": httpx2.Timeout(5, read=None)})
    [sent] = service.timeouts
    assert sent["read"] == (600 if way.is_stream else None)  # type: ignore[index]


# --- The rest of a body --------------------------------------------------------------


def usage(number: int = 1) -> bytes:
    return event(envelope(chunk_of(None, usage={"totalTokens": number})))


LAST = event(envelope(chunk_of({"content": "answer"}, "stop")))


class Rest(Pieces):
    """A body that goes on after its answer; its socket can be shut down."""

    def __init__(self, *pieces: bytes | None) -> None:
        super().__init__()
        self.rest = pieces  # None: nothing more, until it is aborted
        self.read = 0
        self.aborted = threading.Event()
        self.is_aborted = False
        stream = SimpleNamespace(get_extra_info=lambda _: self)
        self.extensions: Json = {
            "network_stream": stream,
            "http_version": b"HTTP/1.1",
        }

    def shutdown(self, _how: int) -> None:
        self.is_aborted = True
        self.aborted.set()

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

    def ask(self, way: Way) -> None:
        began = time.monotonic()
        answer = streams(body=self, extensions=self.extensions)
        assert way(Service(answer)) == ["answer", "end"]
        assert self.closed
        self.aborted.set()  # the thread ends
        assert time.monotonic() - began < 50


@pytest.fixture
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_DONE", 0.01)
    monkeypatch.setattr(module, "_AFTER_FINISH", 0.05)


@pytest.mark.parametrize(
    ("pieces", "read"),
    [((), 1), ((usage(), usage(2)), 3), ((usage(), DONE, b"!", b"!"), 4)],
)
def test_rest_of_a_body_is_read(
    streaming: Way,
    pieces: tuple[bytes, ...],
    read: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rest = Rest(*pieces)
    rest.ask(streaming)
    assert rest.read == read
    assert not rest.is_aborted
    assert not caplog.records


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("pieces", [(None,), (usage(), None)])
def test_body_left_open_after_the_finish_reason(
    streaming: Way, pieces: tuple[bytes | None, ...], caplog: pytest.LogCaptureFixture
) -> None:
    rest = Rest(*pieces)
    rest.ask(streaming)
    assert rest.is_aborted != streaming.is_async
    [record] = caplog.records
    assert (record.name, record.levelno) == ("langchain_pmock", logging.WARNING)
    assert "left the stream open for 0.05 s" in record.message


@pytest.mark.usefixtures("_short_waits")
def test_body_left_open_after_done(
    streaming: Way, caplog: pytest.LogCaptureFixture
) -> None:
    rest = Rest(DONE, None)
    rest.ask(streaming)
    assert rest.is_aborted != streaming.is_async
    assert not caplog.records


@pytest.mark.parametrize("kind", KEEP_ALIVES)
def test_events_after_the_finish_reason_end_at_one_time(
    streaming: Way, kind: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    finish = event(envelope(FINISH))
    body = Timed(clock, FIRST, 99.0, finish, *[KEEP_ALIVES[kind], 1.0] * 999)
    assert streaming(Service(streams(body=body))) == ["a", "end"]
    assert body.read == 2 + 6  # 5 s
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("_short_waits")
@pytest.mark.parametrize("extensions", [None, {"http_version": b"HTTP/2"}])
@pytest.mark.parametrize("pieces", [(DONE, None), (None,)])
def test_connection_that_cannot_be_aborted(
    extensions: Json | None, pieces: tuple[bytes | None, ...]
) -> None:
    # It is shared with other streams, or there is no socket.
    rest = Rest(*pieces)
    rest.extensions = {**rest.extensions, **extensions} if extensions else {}
    rest.ask(STREAM)
    assert not rest.is_aborted
    assert rest.read == len([LAST, *pieces]) - 1


# --- Any bytes -----------------------------------------------------------------------


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"data: ", b"\n", b"\n\n", b"\r", b"[DONE]", b"\xef\xbb"]),
            st.sampled_from([FIRST, event(ERROR)]),
        ),
        max_size=15,
    )
)
def test_random_bytes_end_in_our_error_or_an_answer(pieces: list[bytes]) -> None:
    try:
        texts = read_stream(*pieces)
    except PmockError:
        return
    assert any(b"[DONE]" in piece for piece in pieces)
    assert texts[-1] == "end"
