"""Streams that are cut, stalled or spoiled, and streams that only look so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as core

from langchain_pmock import errors
from langchain_pmock._gateway import answer as _body
from langchain_pmock.testing import Fault, Reply
from tests.support.odd import Odd, odd_model
from tests.support.raw_server import CLOSE, RESET, STALL, stream
from tests.support.wire import DONE, HELLO, delta, envelope, event

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.asking import Ask

pytestmark = pytest.mark.usefixtures("fast_retries")

PIECES = ["You", " said", ":", " Hello"]
EVENTS = len(PIECES) + 2  # one with the role before them, one with the reason after
HEL, LO, FINISH, _ = HELLO
# What the client has read before a reset, no reset takes away.
READ = 0.1


# --- Cut streams ---------------------------------------------------------------------


@pytest.mark.parametrize("events", range(EVENTS + 1))
def test_a_stream_that_ends_too_early(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask, events: int
) -> None:
    server.fail(cut_after=events)
    outcome = ask_stream(make_model(max_retries=2))
    if events <= 1:  # nothing was handed on
        assert outcome.error is None
        assert outcome.pieces == PIECES
        assert len(server.requests) == 2
    elif events < EVENTS:
        assert type(outcome.error) is errors.PmockStreamInterruptedError
        assert isinstance(outcome.error, errors.PmockConnectionError)
        assert isinstance(outcome.error, core.ModelConnectionError)
        assert f"after {events} events" in str(outcome.error)
        assert outcome.error.status_code == 200
        assert outcome.error.response is not None
        assert outcome.pieces == PIECES[: events - 1]
        assert len(server.requests) == 1
    else:  # a finish reason is as good as [DONE]
        assert outcome.error is None
        assert outcome.pieces == PIECES
        assert len(server.requests) == 1


BROKEN_OFF = (
    Odd("reset", [*stream(HEL, LO)[:-1], READ, RESET]),
    Odd("closed without the last chunk", [*stream(HEL, LO)[:-1], READ, CLOSE]),
    Odd("closed in a character", [*stream(HEL, LO, "data: é".encode()[:-1])]),
    Odd("ended in an event", stream(HEL, LO, FINISH[:-3])),
    Odd("ended", stream(HEL, LO)),
)


@pytest.mark.parametrize("odd", BROKEN_OFF, ids=str)
def test_a_stream_that_breaks_off(ask_stream: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        outcome = ask_stream(model)
    assert type(outcome.error) is errors.PmockStreamInterruptedError
    assert "after 2 events" in str(outcome.error)
    assert outcome.error.trace_id == "trace-1"
    assert outcome.error.status_code == 200
    assert outcome.error.response is not None
    assert outcome.pieces == ["Hel", "lo"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stream_that_stalls(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask, after: int
) -> None:
    server.fail(stall=60, after=after, times=9)
    outcome = ask_stream(make_model(max_retries=1, timeout=0.1))
    assert type(outcome.error) is errors.PmockTimeoutError
    assert f"after {after} events" in str(outcome.error)
    assert outcome.pieces == PIECES[: max(0, after - 1)]
    assert len(server.requests) == (1 if outcome.pieces else 2)


def test_a_cut_stream_is_an_error_of_invoke_too(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    # This way all of them stream inside.
    server.fail(cut_after=3)
    outcome = ask(make_model(max_retries=2, streaming=True))
    assert type(outcome.error) is errors.PmockStreamInterruptedError
    assert len(server.requests) == 1


def test_no_text_is_repeated_however_often_a_stream_fails(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask
) -> None:
    faults = (
        Fault(cut_after=1),
        Fault(status=500),
        Fault(reset_after=0),
        Fault(code=503),
        Fault(code=429, after=1),
        Fault(cut_after=0),
        Fault(html=True),
    )
    server.script(*faults)
    outcome = ask_stream(make_model(max_retries=len(faults)))
    assert outcome.error is None
    assert outcome.pieces == PIECES
    assert len(server.requests) == len(faults) + 1


# --- Spoiled streams -----------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 3])
def test_garbage_in_a_stream(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask, after: int
) -> None:
    server.fail(garbage=True, after=after)
    outcome = ask_stream(make_model(max_retries=2))
    assert type(outcome.error) is errors.PmockResponseError
    assert "this is no JSON" in str(outcome.error)
    assert outcome.error.status_code == 200
    assert outcome.pieces == PIECES[: max(0, after - 1)]
    assert len(server.requests) == 1


SPOILED = {
    "json null": "null",
    "json list": "[]",
    "web page": "<html></html>",
    "data list": envelope([]),
    "choice null": envelope({"choices": [None]}),
    "choices text": envelope({"choices": "lo"}),
    "delta text": envelope({"choices": [{"index": 0, "delta": "lo"}]}),
    "content number": envelope({"choices": [{"index": 0, "delta": {"content": 5}}]}),
    "tool calls text": envelope(
        {"choices": [{"index": 0, "delta": {"toolCalls": "lo"}}]}
    ),
    "another choice": envelope({"choices": [{"index": 1, "delta": {"content": "lo"}}]}),
}


@pytest.mark.parametrize("data", SPOILED.values(), ids=SPOILED)
def test_an_event_of_another_shape(ask_stream: Ask, data: str | dict[str, Any]) -> None:
    steps = stream(HEL, event(data), LO, FINISH, DONE)
    with odd_model(Odd("spoiled", steps)) as (model, server):
        outcome = ask_stream(model)
    assert type(outcome.error) is errors.PmockResponseError, outcome.error
    assert outcome.pieces == ["Hel"]
    assert len(server.requests) == 1


def test_a_stream_without_any_choice(ask_stream: Ask) -> None:
    steps = stream(event(envelope({"id": "1", "choices": []}, traceId="trace-1")), DONE)
    with odd_model(Odd("no choices", steps)) as (model, _):
        outcome = ask_stream(model)
    assert type(outcome.error) is errors.PmockResponseError
    assert "no choices" in str(outcome.error)
    assert outcome.error.trace_id == "trace-1"
    assert outcome.error.status_code == 200
    assert outcome.error.response is not None


# --- Streams that are odd and right --------------------------------------------------

TAIL = event(envelope({"choices": [], "usage": {"totalTokens": 3}}))
BOM = b"\xef\xbb\xbf"
SPLIT = event(delta("Hel")).replace(b',"', b',\ndata: "')
RIGHT = b"".join(HELLO)

COMPLETE = (
    Odd("finish reason without done", stream(HEL, LO, FINISH)),
    Odd("done without finish reason", stream(HEL, LO, DONE)),
    Odd("open after done", [*stream(*HELLO)[:-1], STALL]),
    Odd("reset after done", [*stream(*HELLO)[:-1], READ, RESET]),
    Odd("reset after finish reason", [*stream(HEL, LO, FINISH)[:-1], READ, RESET]),
    Odd("closed after finish reason", [*stream(HEL, LO, FINISH)[:-1], READ, CLOSE]),
    Odd("more after done", stream(*HELLO, event(delta("!")), b"data: {")),
    Odd("usage in an event of its own", stream(HEL, LO, FINISH, TAIL, DONE)),
    Odd("an event without a choice", stream(HEL, TAIL, LO, FINISH, DONE)),
    Odd("an event without data", stream(HEL, event(envelope(None)), *HELLO[1:])),
    Odd(
        "an event without a delta",
        stream(HEL, event(envelope({"choices": [{"delta": None}]})), *HELLO[1:]),
    ),
    Odd("comments", stream(b": hi\n\n", HEL, b":\n: keep-alive\n\n", *HELLO[1:])),
    Odd("events without data", stream(b"event: ping\n\nid: 7\n\n", *HELLO)),
    Odd("other fields", stream(b"retry: 10\nid: 1\nevent: message\n", *HELLO)),
    Odd("byte order mark", stream(BOM, *HELLO)),
    Odd("CRLF", stream(RIGHT.replace(b"\n", b"\r\n"))),
    Odd("CR", stream(RIGHT.replace(b"\n", b"\r"))),
    Odd("several data lines", stream(SPLIT, *HELLO[1:])),
    Odd("no space after the colon", stream(RIGHT.replace(b"data: ", b"data:"))),
    Odd("no blank line at the end", stream(RIGHT.rstrip(b"\n"), b"\n")),
    Odd("no blank lines at all", stream(RIGHT.replace(b"\n\n", b"\n"))),
    Odd("byte by byte", stream(*(RIGHT[i : i + 1] for i in range(len(RIGHT))))),
    Odd("all at once", stream(RIGHT)),
    Odd("plain text", stream(*HELLO, headers={"Content-Type": "text/plain"})),
)


@pytest.mark.parametrize("odd", COMPLETE, ids=str)
def test_a_stream_that_is_odd_but_right(ask_stream: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        outcome = ask_stream(model)
    assert outcome.error is None
    assert outcome.text == "Hello"
    assert len(server.requests) == 1
    assert outcome.seconds < 3


@pytest.mark.parametrize(("timeout", "patience"), [(0.2, 5), (5, 0.2)])
def test_the_finish_reason_is_enough_though_the_service_stalls(
    ask_stream: Ask,
    timeout: float,
    patience: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_body, "_AFTER_FINISH", patience)
    stalled = Odd("stalled", [*stream(HEL, LO, FINISH)[:-1], STALL])
    with odd_model(stalled, timeout=timeout) as (model, server):
        outcome = ask_stream(model)
    assert outcome.error is None
    assert outcome.text == "Hello"
    assert len(server.requests) == 1
    assert outcome.seconds < 3


def test_the_usage_may_come_a_while_after_the_finish_reason(ask_stream: Ask) -> None:
    late = Odd("late", stream(HEL, LO, FINISH, 1.0, TAIL, 0.2, DONE))
    with odd_model(late) as (model, _):
        outcome = ask_stream(model)
    assert outcome.error is None
    usage = [m.usage_metadata for m in outcome.messages if m.usage_metadata]
    assert [found["total_tokens"] for found in usage] == [3]


def test_a_character_may_come_in_two(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    text = "你好世界 👩\u200d👩\u200d👧 café"
    server.script(Reply(text=text))
    server.fail(byte_by_byte=True)
    assert ask(make_model()).text == text
