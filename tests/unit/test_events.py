"""From the bytes of a stream to chunks: where an answer ends, and how one fails."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import (
    PmockAPIError,
    PmockAuth,
    PmockError,
    PmockRateLimitError,
    PmockResponseError,
    PmockStreamInterruptedError,
)
from langchain_pmock._gateway.events import EventReader
from tests.unit.service import (
    ACCESS_KEY,
    BASE_URL,
    SECRET_KEY,
    Json,
    chunk_of,
    dump,
    envelope,
    event,
    events,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_pmock._gateway.events import Parser

TEXT = [chunk_of({"content": text}) for text in ("Hel", "lo ", "你好 👋🏽")]
FINISH = chunk_of({}, "stop", usage={"promptTokens": 3})
END = "end"


class Texts:
    """A parser that hands on the text of each delta."""

    def __init__(self) -> None:
        self.finished = False
        self.trace_id = "trace-1"

    def event(self, envelope: Mapping[str, Any]) -> str | None:
        for choice in envelope["data"]["choices"]:
            self.finished = self.finished or "finishReason" in choice
            text: str | None = choice["delta"].get("content")
            return text
        return None

    def end(self) -> str:
        return END


def reader_of(parser: Parser[Any] | None = None) -> EventReader[Any]:
    request = httpx.Request("POST", BASE_URL)
    response = httpx.Response(200, request=request)
    return EventReader(parser or Texts(), response, PmockAuth(ACCESS_KEY, SECRET_KEY))


def read(*pieces: bytes, parser: Parser[Any] | None = None) -> list[Any]:
    reader = reader_of(parser)
    chunks = []
    for piece in pieces:
        chunks += list(reader.feed(piece))
        if reader.done:
            return chunks
    return [*chunks, *reader.end()]


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
    assert read(stream) == TEXTS
    assert read(*(bytes([byte]) for byte in stream)) == TEXTS
    for place in range(0, len(stream), 7):
        assert read(stream[:place], stream[place:]) == TEXTS


def test_bytes_that_are_no_utf8_become_replacement_characters() -> None:
    stream = events(chunk_of({"content": "a?b"})).replace(b"?", b"\xff")
    assert read(stream) == ["a\ufffdb", END]


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
        read(stream)


def test_a_cut_stream_says_how_much_had_come() -> None:
    with pytest.raises(PmockStreamInterruptedError, match="ended after 3 events") as e:
        read(events(*TEXT, done=False))
    assert e.value.status_code == 200
    assert e.value.trace_id == "trace-1"
    assert "Trace id: trace-1." in str(e.value)
    assert e.value.response is not None
    assert e.value.response.status_code == 200
    assert e.value.is_retryable


def test_progress() -> None:
    reader = reader_of()
    assert reader.progress() == "it ended after 0 events"
    list(reader.feed(events(*TEXT, done=False)))
    assert reader.progress() == "it ended after 3 events"
    assert not reader.complete
    list(reader.feed(events(FINISH, done=False)))
    assert reader.complete
    assert not reader.done
    reader = reader_of()
    list(reader.feed(events(TEXT[0])))
    assert reader.complete
    assert reader.done


ERROR = {"code": 429, "message": "slow down", "data": None, "traceId": "trace-1"}


@pytest.mark.parametrize("before", [[], TEXT[:1], TEXT], ids=len)
@pytest.mark.parametrize("newlines", [b"\n\n", b"\n"])
def test_an_error_as_an_event(before: list[Json], newlines: bytes) -> None:
    reader = reader_of()
    body = events(*before, done=False) + event(ERROR) + event(b"[DONE]")
    body = body.replace(b"\n\n", newlines)
    chunks: list[Any] = []
    with pytest.raises(PmockRateLimitError, match="slow down") as caught:
        chunks.extend(chain(reader.feed(body), reader.end()))
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
        read(*(body[i : i + step] for i in range(0, len(body), step)))
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
        read(body)


def test_garbage_in_the_middle() -> None:
    with pytest.raises(
        PmockResponseError, match="not of the documented shape"
    ) as caught:
        read(events(*TEXT, done=False) + b"data: {garbage}\n\n" + STREAM)
    assert caught.value.trace_id == "trace-1"  # of the events before


@pytest.mark.parametrize(
    "empty", [b'data: {"code": 200}\n\n', b'data: {"code": 200, "data": null}\n\n']
)
def test_an_event_without_data_says_nothing(empty: bytes) -> None:
    assert read(empty + events(TEXT[0]) + empty) == ["Hel", END]
    assert read(events(TEXT[0], done=False), empty, STREAM)[0] == "Hel"
    with pytest.raises(PmockStreamInterruptedError):
        read(empty)


@pytest.mark.parametrize(
    "done", [b"data: [DONE] \n\n", b"data: [DONE]\t", b"data:[DONE]", b"data: [DONE]\n"]
)
def test_done_is_seen_however_it_is_written(done: bytes) -> None:
    assert read(events(TEXT[0], done=False) + done) == ["Hel", END]


def test_a_whole_answer_in_place_of_a_stream() -> None:
    body = dump(envelope(TEXT[0]))
    assert list(reader_of().whole(body)) == ["Hel", END]
    assert list(reader_of().whole(dump(envelope({"choices": []})))) == [END]
    with pytest.raises(PmockRateLimitError):
        list(reader_of().whole(dump(ERROR)))
    with pytest.raises(PmockResponseError):
        list(reader_of().whole(b"<html>"))


def test_an_error_of_the_service_that_no_http_status_stands_for() -> None:
    with pytest.raises(PmockError) as caught:
        read(event({**ERROR, "code": 10001}))
    assert type(caught.value) is PmockError
    with pytest.raises(PmockAPIError):
        read(event({**ERROR, "code": "503"}))
