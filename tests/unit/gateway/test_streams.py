"""One streamed answer: where it ends, how it fails, when it is tried again."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import (
    PmockAPIError,
    PmockError,
    PmockRateLimitError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._response.chunks import ChunkParser
from tests.support.service import (
    BODY,
    Pieces,
    Service,
    Texts,
    client_of,
    read_stream,
    streams,
    whole,
)
from tests.support.wire import Json, chunk_of, dump, envelope, event, events
from tests.unit.gateway.test_client import CHUNK, astream, stream
from tests.unit.gateway.test_client import STREAM as HELLO
from tests.unit.gateway.test_sse import in_pieces

if TYPE_CHECKING:
    from tests.support.service import Answer
    from tests.unit.gateway.test_client import Way

TEXT = [chunk_of({"content": text}) for text in ("Hel", "lo ", "你好 👋🏽")]
FINISH = chunk_of({}, "stop", usage={"promptTokens": 3})
END = "end"
TEXTS = ["Hel", "lo ", "你好 👋🏽", END]
STREAM = events(*TEXT, FINISH)
COMPLETE = {
    "finish and [DONE]": STREAM,
    "finish alone": events(*TEXT, FINISH, done=False),
    "[DONE] alone": events(*TEXT),
    "no blank line after [DONE]": STREAM[:-1],
    "no blank line after the finish": events(*TEXT, FINISH, done=False)[:-1],
    # As the service's page shows it: to the standard that is one event.
    "no blank lines": STREAM.replace(b"\n\n", b"\n"),
    "no blank lines but the last": STREAM.replace(b"\n\n", b"\n") + b"\n",
    "empty data in place of blank lines": STREAM.replace(b"\n\n", b"\ndata:\n"),
    "CRLF": STREAM.replace(b"\n", b"\r\n"),
    "CR": STREAM.replace(b"\n", b"\r"),
    "a BOM": b"\xef\xbb\xbf" + STREAM,
    "comments": b": hi\n\n" + STREAM.replace(b"data: ", b": hi\ndata: "),
    "other fields": STREAM.replace(b"data: ", b"event: x\nid: 1\ndata: "),
    "events without data": b"event: ping\n\ndata\n\ndata:\n\n" + STREAM,
    "several data lines": STREAM.replace(b',"data":', b'\ndata: ,"data":'),
    "something after [DONE]": STREAM + b"data: {garbage}\n\n" + STREAM,
}


@pytest.mark.parametrize("case", COMPLETE)
def test_complete_streams_under_every_cut(case: str) -> None:
    stream = COMPLETE[case]
    assert read_stream(stream) == TEXTS
    assert read_stream(*(bytes([byte]) for byte in stream)) == TEXTS
    for place in range(0, len(stream), 7):
        assert read_stream(stream[:place], stream[place:]) == TEXTS


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    stream = events(chunk_of({"content": "a?b"})).replace(b"?", b"\xff")
    assert read_stream(stream) == ["a\ufffdb", END]


CUT = [
    events(*TEXT, done=False),
    events(*TEXT, done=False)[:-1],
    events(*TEXT, FINISH, done=False)[:-3],
    events(*TEXT)[:-4],
    b"data: {",
    b"data: [DONE",
    b"event: ping\n\n",
    b": a comment\n\n",
    b"\n\n",
    b"",
]


@pytest.mark.parametrize("stream", CUT)
def test_a_cut_stream_is_an_error_and_never_a_short_answer(stream: bytes) -> None:
    with pytest.raises(PmockStreamInterruptedError, match=r"ended after \d events"):
        read_stream(stream)


def test_a_cut_stream_says_how_much_had_come() -> None:
    with pytest.raises(PmockStreamInterruptedError, match="ended after 3 events") as e:
        read_stream(events(*TEXT, done=False))
    assert e.value.status_code == 200
    assert e.value.trace_id == "trace-1"
    assert "Trace id: trace-1." in str(e.value)
    assert e.value.response is not None
    assert e.value.response.status_code == 200
    assert e.value.is_retryable


ERROR = {"code": 429, "message": "slow down", "data": None, "traceId": "trace-1"}


@pytest.mark.parametrize("before", [[], TEXT[:1], TEXT], ids=len)
@pytest.mark.parametrize("newlines", [b"\n\n", b"\n"])
def test_an_error_as_an_event(before: list[Json], newlines: bytes) -> None:
    body = events(*before, done=False) + event(ERROR) + event(b"[DONE]")
    body = body.replace(b"\n\n", newlines)
    chunks: list[Any] = []
    stream = client_of(Service(streams(body))).stream(BODY, Texts)
    with pytest.raises(PmockRateLimitError, match="slow down") as caught:
        chunks.extend(stream)
    assert chunks == TEXTS[: len(before)]
    assert (caught.value.code, caught.value.trace_id) == (429, "trace-1")


# What some frameworks do to an error: the stream's content type, but no stream.
@pytest.mark.parametrize("step", [1, 10_000])
@pytest.mark.parametrize("padding", [0, 600])
@pytest.mark.parametrize("newline", [None, "\n", "\r\n"])
def test_an_error_in_place_of_a_stream(
    newline: str | None, padding: int, step: int
) -> None:
    error = {**ERROR, "message": "no data." + "x" * padding}
    body = dump(error)
    if newline:
        body = body.replace(b",", b"," + newline.encode())
    with pytest.raises(PmockRateLimitError, match="no data") as caught:
        read_stream(*(body[i : i + step] for i in range(0, len(body), step)))
    assert caught.value.trace_id == "trace-1"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"<html><h1>502 Bad  Gateway</h1></html>", "502 Bad Gateway"),
        (b"<p>\nThe data center is down.</p>", "The data center is down"),
        (b"upstream connect error", "upstream connect error"),
        (b"data: <html>oops</html>\n\n", "oops"),
        (b"data: 5\n\n", "5"),
        (b'data: "text"\n\n', "text"),
        (b'data: ["list"]\n\n', "list"),
        (b'data: {"code": 200, "data": "text"}\n\n', "text"),
        (b'data: {"data": {"choices": []}}\n\n', "choices"),
    ],
)
def test_what_is_no_envelope_is_shown(body: bytes, shown: str) -> None:
    with pytest.raises(PmockResponseError, match=shown):
        read_stream(body)


def test_an_event_that_cannot_be_read_says_why() -> None:
    with pytest.raises(PmockResponseError, match="its id is not a string"):
        read_stream(events(chunk_of({"content": "Hel"}, id=[])), parser=ChunkParser)


def test_garbage_in_the_middle() -> None:
    with pytest.raises(
        PmockResponseError, match="does not have the documented structure"
    ) as caught:
        read_stream(events(*TEXT, done=False) + b"data: {garbage}\n\n" + STREAM)
    assert caught.value.trace_id == "trace-1"  # of the events before


@pytest.mark.parametrize(
    "empty", [b'data: {"code": 200}\n\n', b'data: {"code": 200, "data": null}\n\n']
)
def test_an_event_without_data_says_nothing(empty: bytes) -> None:
    assert read_stream(empty + events(TEXT[0]) + empty) == ["Hel", END]
    assert read_stream(events(TEXT[0], done=False), empty, STREAM)[0] == "Hel"
    with pytest.raises(PmockStreamInterruptedError):
        read_stream(empty)


@pytest.mark.parametrize(
    "done", [b"data: [DONE] \n\n", b"data: [DONE]\t", b"data:[DONE]", b"data: [DONE]\n"]
)
def test_done_is_seen_however_it_is_written(done: bytes) -> None:
    assert read_stream(events(TEXT[0], done=False) + done) == ["Hel", END]


def test_events_of_another_type_are_ignored_unless_they_are_envelopes() -> None:
    ping = b"event: ping\ndata: {}\n\nevent: ping\ndata: now\n\n"
    assert read_stream(ping + events(TEXT[0], done=False), ping + STREAM)[0] == "Hel"
    failed = b"event: error\n" + event({**ERROR, "code": 503})
    with pytest.raises(PmockAPIError):
        read_stream(events(TEXT[0], done=False) + failed)


def test_an_error_of_the_service_that_no_http_status_stands_for() -> None:
    with pytest.raises(PmockError) as caught:
        read_stream(event({**ERROR, "code": 10001}))
    assert type(caught.value) is PmockError
    with pytest.raises(PmockAPIError):
        read_stream(event({**ERROR, "code": "503"}))


# --- Sync and async ------------------------------------------------------------------


FIRST = event(CHUNK)
ROLE = event(envelope(chunk_of({"role": "assistant"})))


@pytest.fixture(params=[stream, astream])
def streaming(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


pytestmark = pytest.mark.usefixtures("fast_retries")


BEFORE = {
    "nothing": streams(),
    "a role": streams(ROLE),
    "a comment": streams(b": keep-alive\n\n"),
    "reset": streams(httpx.ReadError("reset")),
    "a role, reset": streams(ROLE, httpx.ReadError("reset")),
    "an error": streams(event({"code": 503, "message": "no"})),
    "a role, an error": streams(ROLE, event({"code": 503, "message": "no"})),
}


@pytest.mark.parametrize("case", BEFORE)
def test_a_stream_is_tried_again_before_anything_came(
    streaming: Way, case: str
) -> None:
    service = Service(BEFORE[case], streams(HELLO))
    assert streaming(client_of(service, max_retries=1)) == ["Hel", "lo", "end"]
    assert len(service.requests) == 2


AFTER: dict[str, tuple[Answer, type[PmockError]]] = {
    "nothing": (streams(FIRST), PmockStreamInterruptedError),
    "reset": (streams(FIRST, httpx.ReadError("reset")), PmockStreamInterruptedError),
    "slow": (streams(FIRST, httpx.ReadTimeout("slow")), PmockTimeoutError),
    "an error": (streams(FIRST, event({"code": 503, "message": "no"})), PmockAPIError),
    "garbage": (streams(FIRST, b"data: {garbage}\n\n"), PmockResponseError),
}


@pytest.mark.parametrize("case", AFTER)
def test_a_stream_is_never_tried_again_after_that(streaming: Way, case: str) -> None:
    broken, cls = AFTER[case]
    service = Service(broken, streams(HELLO))
    with pytest.raises(cls):
        streaming(client_of(service, max_retries=5))
    assert len(service.requests) == 1


def test_a_broken_stream_tells_how_far_it_came(streaming: Way) -> None:
    service = Service(streams(FIRST, FIRST, httpx.ReadError("reset")))
    with pytest.raises(PmockStreamInterruptedError) as caught:
        streaming(client_of(service))
    assert "it ended after 2 events; reset (ReadError)" in str(caught.value)


@pytest.mark.parametrize("end", [HELLO, events(chunk_of({}, "stop"), done=False)])
def test_a_break_after_the_end_is_no_error(streaming: Way, end: bytes) -> None:
    service = Service(streams(FIRST, end, httpx.ReadError("reset")))
    assert streaming(client_of(service))[-1] == "end"


def test_a_whole_answer_in_place_of_a_stream(streaming: Way) -> None:
    service = Service(whole(CHUNK))
    assert streaming(client_of(service)) == ["Hello", "end"]
    empty = whole(envelope({"choices": []}))
    assert streaming(client_of(Service(empty))) == ["end"]
    with pytest.raises(PmockResponseError):
        streaming(client_of(Service(whole(b"<html>"))))


def test_a_stream_without_a_label(streaming: Way) -> None:
    pieces = Pieces(HELLO)
    service = Service(lambda: httpx.Response(200, stream=pieces))
    assert streaming(client_of(service)) == ["Hel", "lo", "end"]


def test_a_compressed_stream(streaming: Way) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    zipped = gzip.compress(HELLO)
    service = Service(
        lambda: httpx.Response(200, headers=headers, stream=Pieces(zipped)),
        lambda: httpx.Response(200, headers=headers, stream=Pieces(b"no gzip")),
    )
    client = client_of(service)
    assert streaming(client) == ["Hel", "lo", "end"]
    with pytest.raises(PmockResponseError, match="DecodingError"):
        streaming(client)


def test_a_body_that_the_users_client_has_read_already(streaming: Way) -> None:
    service = Service(streams(HELLO))

    async def aread(response: httpx.Response) -> None:
        await response.aread()

    def read(response: httpx.Response) -> None:
        response.read()

    transport = httpx.MockTransport(service)
    clients = {
        "http_client": httpx.Client(
            transport=transport, event_hooks={"response": [read]}
        ),
        "http_async_client": httpx.AsyncClient(
            transport=transport, event_hooks={"response": [aread]}
        ),
    }
    assert streaming(client_of(service, **clients)) == ["Hel", "lo", "end"]


@pytest.mark.parametrize("end", [b"", events()])
def test_a_finished_stream_is_closed(streaming: Way, end: bytes) -> None:
    body = Pieces(HELLO, end)
    streaming(client_of(Service(streams(body=body))))
    assert body.closed


def test_leaving_a_stream_closes_it() -> None:
    body = Pieces(FIRST, FIRST, FIRST)
    chunks = client_of(Service(streams(body=body))).stream(BODY, Texts)
    assert next(chunks) == "Hello"
    assert not body.closed
    chunks.close()
    assert body.closed


async def test_leaving_an_asynchronous_stream_closes_it() -> None:
    body = Pieces(FIRST, FIRST, FIRST)
    chunks = client_of(Service(streams(body=body))).astream(BODY, Texts)
    assert await anext(chunks) == "Hello"
    assert not body.closed
    await chunks.aclose()
    assert body.closed


async def test_cancelling_a_task_closes_its_stream() -> None:
    class Endless(Pieces):
        async def __aiter__(self) -> Any:
            yield FIRST
            started.set()
            await asyncio.Event().wait()

    async def read() -> None:
        async for _ in client.astream(BODY, Texts):
            pass

    started = asyncio.Event()
    body = Endless()
    client = client_of(Service(streams(body=body)))
    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.closed


# --- Any bytes, any JSON -------------------------------------------------------------


@pytest.mark.parametrize("body", [b"data: [DONE]\n\n", b"data: [DONE]\n"])
def test_an_end_without_an_answer_is_an_error(body: bytes) -> None:
    with pytest.raises(PmockResponseError, match="no choices"):
        read_stream(body, parser=ChunkParser)


@given(pieces=in_pieces(st.sampled_from([*COMPLETE.values()])))
def test_any_cut_of_a_stream_gives_the_same_chunks(pieces: list[bytes]) -> None:
    assert read_stream(*pieces) == TEXTS


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"data: ", b"\n", b"\n\n", b"\r", b"[DONE]", b"\xef\xbb"]),
            st.sampled_from([event(envelope(TEXT[0])), event(ERROR)]),
        ),
        max_size=15,
    )
)
def test_random_bytes_end_in_our_error_or_nothing(pieces: list[bytes]) -> None:
    try:
        chunks = read_stream(*pieces, parser=ChunkParser)
    except PmockError:
        return
    assert any(b"[DONE]" in piece for piece in pieces)
    assert chunks


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "stop", "200", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "function", "index"]), inner)
    ),
    max_leaves=5,
)


@st.composite
def _spoiled(draw: st.DrawFn) -> Json:
    """An envelope of the right outline, with any JSON in some place."""
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    delta: Json = {"content": "a", "toolCalls": [call], "reasoningContent": "b"}
    usage: Json = {"promptTokens": 1, "promptTokensDetails": {"cachedTokens": 1}}
    spoiled = envelope(chunk_of(delta, "stop", usage=usage), traceId="t")
    data = spoiled["data"]
    holders: list[Json] = [spoiled, data, data["choices"][0], delta, call, usage]
    for holder in holders:
        for key in holder:
            if draw(st.integers(0, 9)) == 0:
                holder[key] = draw(_json)
    return spoiled


@given(payloads=st.lists(_spoiled(), min_size=1, max_size=3))
def test_any_json_in_any_place_ends_in_our_error_or_in_an_answer(
    payloads: list[Json],
) -> None:
    body = b"".join(event(payload) for payload in payloads)
    for answer in (streams(body), whole(payloads[0])):
        try:
            chunks: list[Any] = list(
                client_of(Service(answer)).stream(BODY, ChunkParser)
            )
        except PmockError:
            continue
        assert chunks[-1].message.chunk_position == "last"
