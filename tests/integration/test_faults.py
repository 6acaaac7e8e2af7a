"""Bytes on the wire, and what the user sees: an answer, or an error and a retry."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from langchain_core import exceptions as core

from langchain_pmock import _signature, errors
from langchain_pmock._gateway import answer as _answer
from langchain_pmock.testing import Fault, PmockServer
from tests.support.calls import WAYS, Ask, model_of
from tests.support.leaks import wait_until
from tests.support.raw_server import (
    CLOSE,
    RECEIVED,
    RESET,
    STALL,
    RawServer,
    head,
    stream,
    unended,
    whole,
)
from tests.support.wire import DONE, HELLO, answer, delta, envelope, event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.conftest import MakeModel
    from tests.support.raw_server import Step

pytestmark = pytest.mark.usefixtures("fast_retries")

API, CONNECTION = errors.PmockAPIError, errors.PmockConnectionError
RATE_LIMIT, TIMEOUT = errors.PmockRateLimitError, errors.PmockTimeoutError
RESPONSE, INTERRUPTED = errors.PmockResponseError, errors.PmockStreamInterruptedError
RETRIED = (API, CONNECTION, INTERRUPTED, RATE_LIMIT, TIMEOUT)

STREAMS = tuple(way for way in WAYS if way.streams)


@dataclass(frozen=True)
class Case:
    """Bytes, and their outcome.

    Attributes:
        error: The class of the error; `None` for an answer.
        shows: A part of the error's text.
        pieces: The texts before the error, or of the answer.
        in_streams: The class for streams, if it is another one.
    """

    name: str
    steps: list[Step]
    error: type[errors.PmockError] | None = RESPONSE
    shows: str = ""
    pieces: Sequence[str] = ()
    in_streams: type[errors.PmockError] | None = None

    @property
    def is_retried(self) -> bool:
        return self.error in RETRIED and not self.pieces


def in_each_way(ways: Sequence[Ask], kind: str, cases: Sequence[Case]) -> list[Any]:
    return [
        pytest.param(way, case, id=f"{kind}: {case.name}-{way}")
        for case in cases
        for way in ways
    ]


# --- Answers -------------------------------------------------------------------------

HTML = b"<html><head><title>x</title></head><body>Bad Gateway</body></html>"
WEB_PAGE = {"Content-Type": "text/html; charset=utf-8"}
GZIP = {"Content-Encoding": "gzip"}
TRACED = {"traceId": "trace-1"}


def failure(code: int, message: str = "no") -> bytes:
    return event(envelope(None, code, message, **TRACED))


# What else a body may have in place of an answer is in tests/unit: test_attempt.py and
# test_answer.py in gateway, test_messages.py and test_chunks.py in response.
ANSWERS = [
    Case("whole answer", whole(answer("Hello")), None, pieces=["Hello"]),
    Case("status 429", whole(b"", "429 Slow"), RATE_LIMIT),
    Case("code 429", whole(envelope(None, 429)), RATE_LIMIT),
    Case("web page, 200", whole(HTML, headers=WEB_PAGE), shows="Bad Gateway"),
    Case("web page, 502", whole(HTML, "502 Bad", WEB_PAGE), API, "Bad Gateway"),
    Case("no content", [head("204 No Content", length=0)], shows="204"),
    Case("empty", whole(b"")),
    Case("half of JSON", whole(b'{"code": 200, "data"'), shows="200"),
    Case("no choices", whole(envelope({}, **TRACED)), shows="Trace id: trace-1."),
    Case("broken gzip", whole(b"not gzip", headers=GZIP)),
    Case("broken gzip in chunks", stream(b"not gzip", headers=GZIP)),
    Case("unknown encoding", whole(b"\xff", headers={"Content-Encoding": "rot13"})),
]

# --- Connections ---------------------------------------------------------------------

IN_HEAD = b"HTTP/1.1 200 OK\r\nContent-Ty"
IN_BODY = head(length=100) + b'{"code": 200,'
LONG_HEADER = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000

BROKEN: list[tuple[str, list[Step], type[errors.PmockError] | None]] = [
    ("reset at once", [RESET], None),
    ("closed at once", [CLOSE], None),
    ("reset in the head", [IN_HEAD, RESET], None),
    ("closed in the head", [IN_HEAD, CLOSE], None),
    ("closed in the body", [IN_BODY, CLOSE], INTERRUPTED),
    ("no HTTP", [b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE], None),
    ("endless header", [LONG_HEADER, CLOSE], None),
    ("invalid chunk", [head(), b"zz\r\nabc\r\n", CLOSE], INTERRUPTED),
]
CONNECTIONS = [
    Case(name, steps, CONNECTION, "Error", in_streams=in_streams)
    for name, steps, in_streams in BROKEN
]

# --- Streams -------------------------------------------------------------------------

HEL, LO, FINISH, _ = HELLO
RIGHT = b"".join(HELLO)
NO_CHOICE = event(envelope({"choices": []}, **TRACED))


FIRST_EVENTS = [
    Case("code 429", stream(failure(429)), RATE_LIMIT, "Trace id: trace-1."),
    Case("no event", stream(), INTERRUPTED, "after 0 events"),
    Case("no choice", stream(NO_CHOICE, DONE), shows="Trace id: trace-1."),
]
MIDDLES = [
    Case(name, steps, error, shows, ["Hel"])
    for name, steps, error, shows in (
        ("code 503", stream(HEL, failure(503, "busy"), DONE), API, "(503): busy"),
        ("code 401", stream(HEL, failure(401)), errors.PmockAuthenticationError, ""),
        ("reset", [*unended(HEL), RECEIVED, RESET], INTERRUPTED, "after 1 events"),
        ("no last chunk", [*unended(HEL), CLOSE], INTERRUPTED, "after 1 events"),
        ("end", stream(HEL), INTERRUPTED, "Trace id: trace-1."),
        ("end in a character", stream(HEL, "data: é".encode()[:-1]), INTERRUPTED, ""),
        ("web page", stream(HEL, event(HTML), LO, FINISH, DONE), RESPONSE, ""),
        ("no delta", stream(HEL, event(envelope({"choices": [5]}))), RESPONSE, ""),
    )
]
# How a connection ends is in test_stream_ends.py.
COMPLETE = [
    Case(name, steps, None, pieces=["Hel", "lo"])
    for name, steps in {
        "finish reason without [DONE]": stream(HEL, LO, FINISH),
        "events after [DONE]": stream(*HELLO, event(delta("!")), b"data: {"),
        "comments": stream(b": hi\n\n", HEL, b":\n: keep-alive\n\n", *HELLO[1:]),
        "no blank lines": stream(RIGHT.replace(b"\n\n", b"\n")),
        "byte by byte": stream(*(RIGHT[i : i + 1] for i in range(len(RIGHT)))),
        "plain text": stream(*HELLO, headers={"Content-Type": "text/plain"}),
    }.items()
]

CASES = [
    *in_each_way(WAYS, "answer", ANSWERS),
    *in_each_way(WAYS, "connection", CONNECTIONS),
    *in_each_way(STREAMS, "first event", FIRST_EVENTS),
    *in_each_way(STREAMS, "in mid-stream", MIDDLES),
    *in_each_way(STREAMS, "complete", COMPLETE),
]


@pytest.mark.parametrize(("ask", "case"), CASES)
def test_bytes_and_outcome(ask: Ask, case: Case) -> None:
    with RawServer(case.steps) as server:
        model = model_of(server, max_retries=1)
        outcome = ask(model, on_message=lambda _: server.received.set())
    error = (ask.streams and case.in_streams) or case.error
    if error is None:
        assert outcome.error is None
    else:
        assert type(outcome.error) is error, outcome.error
        assert case.shows in str(outcome.error)
    assert outcome.pieces == list(case.pieces)
    assert len(server.requests) == 1 + case.is_retried


@pytest.mark.parametrize(
    ("ask", "case"), [each for each in CASES if each.values[1].is_retried]
)
def test_retry_succeeds(ask: Ask, case: Case) -> None:
    hello = stream(*HELLO) if ask.streams else whole(answer("Hello"))
    with RawServer(case.steps, hello) as server:
        assert ask(model_of(server, max_retries=1)).text == "Hello"
    assert len(server.requests) == 2


# --- Silence -------------------------------------------------------------------------

SILENCE = [Case("at once", [STALL]), Case("in the body", [IN_BODY, STALL])]
IN_STREAM = [Case("after an event", [*unended(HEL), STALL], pieces=["Hel"])]


@pytest.mark.parametrize(
    ("ask", "case"),
    [*in_each_way(WAYS, "whole", SILENCE), *in_each_way(STREAMS, "stream", IN_STREAM)],
)
def test_silence(ask: Ask, case: Case) -> None:
    with RawServer(case.steps) as server:
        # Long enough to receive an event that was sent.
        timeout = httpx2.Timeout(30, read=1.0 if case.pieces else 0.2)
        error = ask(model_of(server, max_retries=1, timeout=timeout)).error
        assert type(error) is TIMEOUT
        assert isinstance(error, core.ModelTimeoutError)
        wait_until(lambda: len(server.requests) == (1 if case.pieces else 2))


def test_silence_after_the_finish_reason(
    ask_stream: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_answer, "_AFTER_FINISH", STALL)
    with RawServer([*unended(HEL + LO + FINISH), STALL]) as server:
        outcome = ask_stream(model_of(server, timeout=httpx2.Timeout(30, read=0.3)))
        wait_until(lambda: server.open_connections == 0)
    assert (outcome.error, outcome.text, server.pauses) == (None, "Hello", 0)


# --- Retries -------------------------------------------------------------------------

PIECES = ["You", " said", ":", " Hello"]


def test_failures_repeat_no_text(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask
) -> None:
    faults = (
        Fault(cut_after=1),
        Fault(status=500),
        Fault(reset_after=0),
        Fault(code=429, after=1),
        Fault(cut_after=0),
        Fault(html=True),
    )
    server.script(*faults)
    assert ask_stream(make_model(max_retries=len(faults))).pieces == PIECES
    assert len(server.requests) == len(faults) + 1


def test_cut_stream_is_an_error_of_invoke(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.fail(cut_after=3)
    error = ask(make_model(max_retries=2, streaming=True)).error
    assert type(error) is INTERRUPTED
    assert len(server.requests) == 1


# --- Clocks --------------------------------------------------------------------------

HOURS = 3 * 3600


def test_minute_ends_in_transit(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([1768809959.9])
    clock = SimpleNamespace(time=lambda: next(now, 1768809960.2))
    monkeypatch.setattr(_signature, "time", clock)
    with PmockServer(clock=lambda: 1768809960.1) as server:
        model = model_of(server)
        assert ask(model).text == ask(model).text == "".join(PIECES)
    # The delay of the network is no offset of the clock.
    assert [request.status for request in server.requests] == [401, 200, 200]


def test_clock_offset_is_kept_by_the_model(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    model = make_model()
    for offset in (HOURS, -HOURS, 0):
        server.clock_offset = offset
        assert ask(model).text == "".join(PIECES)
        assert model.invoke("Hello").text == "".join(PIECES)
        assert asyncio.run(model.ainvoke("Hello")).text == "".join(PIECES)
    statuses = [request.status for request in server.requests]
    assert statuses == [401, 200, 200, 200] * 3
