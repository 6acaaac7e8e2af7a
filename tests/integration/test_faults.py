"""Bytes on the wire, and what the user sees: an answer, or an error and a retry."""

from __future__ import annotations

import asyncio
import re
import socket
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
EVENTS = {"Content-Type": "text/event-stream"}
GZIP = {"Content-Encoding": "gzip"}
TRACED = {"traceId": "trace-1"}
OTHER = whole(envelope(None, 10013), "503 Busy")


def data(value: object) -> list[Step]:
    return whole(envelope(value, **TRACED))


def failure(code: int, message: str = "no") -> bytes:
    return event(envelope(None, code, message, **TRACED))


ANSWERS = [
    Case("whole answer", whole(answer("Hello")), None, pieces=["Hello"]),
    Case("status 429", whole(b"", "429 Slow"), RATE_LIMIT),
    Case("status 404", whole(b"", "404 No"), errors.PmockNotFoundError),
    Case("code 429", whole(envelope(None, 429)), RATE_LIMIT),
    Case("other code", whole(envelope(None, 10013)), errors.PmockError, "(10013)"),
    Case("other code with a status", OTHER, API, "(10013)"),
    Case("web page, 200", whole(HTML, headers=WEB_PAGE), shows="Bad Gateway"),
    Case("web page, 502", whole(HTML, "502 Bad", WEB_PAGE), API, "Bad Gateway"),
    Case("web page as events", whole(HTML, headers=EVENTS), shows="Bad Gateway"),
    Case("text", whole(b"upstream is down"), shows="upstream is down"),
    Case("no content", [head("204 No Content", length=0)], shows="204"),
    Case("empty", whole(b"")),
    Case("half of JSON", whole(b'{"code": 200, "data"'), shows="200"),
    Case("deeply nested JSON", whole(b"[" * 100_000)),
    Case("JSON list", whole(b"[1, 2]"), shows="[1, 2]"),
    Case("JSON null", whole(b"null"), shows="null"),
    Case("no code", whole({"data": {"choices": []}}), shows="choices"),
    Case("code is a word", whole(envelope(None, "E1")), shows="E1"),
    Case("data null", data(None), shows="Trace id: trace-1."),
    Case("data list", data([]), shows="Trace id: trace-1."),
    Case("no choices", data({"id": "1"}), shows="no choices"),
    Case("choices empty", data({"choices": []}), shows="no choices"),
    Case("choices null", data({"choices": None}), shows="no choices"),
    Case("choice null", data({"choices": [None]})),
    Case("choices object", data({"choices": {"a": 1}})),
    Case("message text", data({"choices": [{"message": "x"}]})),
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
USAGE = event(envelope({"choices": [], "usage": {"totalTokens": 3}}))
RIGHT = b"".join(HELLO)
NO_CHOICE = event(envelope({"choices": []}, **TRACED))


def unended(*pieces: bytes) -> list[Step]:
    return stream(*pieces)[:-1]


def choice(**fields: Any) -> Any:
    return envelope({"choices": [{"index": 0, **fields}]})


FIRST_EVENTS = [
    Case("code 429", stream(failure(429)), RATE_LIMIT, "Trace id: trace-1."),
    Case("code 403", stream(failure(403)), errors.PmockPermissionDeniedError),
    Case("no event", stream(), INTERRUPTED, "after 0 events"),
    Case("comments only", stream(b": hi\n\n"), INTERRUPTED),
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
        ("end in an event", stream(HEL, LO[:-3]), INTERRUPTED, "after 1 events"),
        ("end in a character", stream(HEL, "data: é".encode()[:-1]), INTERRUPTED, ""),
        *(
            (name, stream(HEL, event(value), LO, FINISH, DONE), RESPONSE, "")
            for name, value in {
                "no JSON": b"{'a': 1}",
                "JSON null": b"null",
                "JSON list": b"[]",
                "web page": HTML,
                "data list": envelope([]),
                "choice null": envelope({"choices": [None]}),
                "choices text": envelope({"choices": "lo"}),
                "delta text": choice(delta="lo"),
                "content number": choice(delta={"content": 5}),
                "tool calls text": choice(delta={"toolCalls": "lo"}),
                "another choice": choice(index=1, delta={"content": "lo"}),
            }.items()
        ),
    )
]
COMPLETE = [
    Case(name, steps, None, pieces=["Hel", "lo"])
    for name, steps in {
        "finish reason without [DONE]": stream(HEL, LO, FINISH),
        "[DONE] without finish reason": stream(HEL, LO, DONE),
        "open after [DONE]": [*unended(*HELLO), STALL],
        "reset after [DONE]": [*unended(RIGHT), RECEIVED, RESET],
        "reset after the finish reason": [*unended(HEL + LO + FINISH), RECEIVED, RESET],
        "closed after the finish reason": [*unended(HEL, LO, FINISH), CLOSE],
        "events after [DONE]": stream(*HELLO, event(delta("!")), b"data: {"),
        "usage in an event of its own": stream(HEL, LO, FINISH, USAGE, DONE),
        "event without a choice": stream(HEL, USAGE, LO, FINISH, DONE),
        "event without data": stream(HEL, event(envelope(None)), LO, FINISH, DONE),
        "event without a delta": stream(HEL, event(choice(delta=None)), *HELLO[1:]),
        "comments": stream(b": hi\n\n", HEL, b":\n: keep-alive\n\n", *HELLO[1:]),
        "CRLF": stream(RIGHT.replace(b"\n", b"\r\n")),
        "no blank lines": stream(RIGHT.replace(b"\n\n", b"\n")),
        "byte by byte": stream(*(RIGHT[i : i + 1] for i in range(len(RIGHT)))),
        "at once": stream(RIGHT),
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


@pytest.mark.parametrize(("timeout", "patience"), [(0.3, 60.0), (60.0, 0.3)])
def test_silence_after_the_finish_reason(
    ask_stream: Ask, timeout: float, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_answer, "_AFTER_FINISH", patience)
    limits = httpx2.Timeout(30, read=timeout)
    with RawServer([*unended(HEL + LO + FINISH), STALL]) as server:
        outcome = ask_stream(model_of(server, timeout=limits))
        wait_until(lambda: server.open_connections == 0)
    assert outcome.error is None
    assert outcome.text == "Hello"


def test_usage_comes_after_the_finish_reason(ask_stream: Ask) -> None:
    late = stream(HEL, LO, FINISH, 1.0, USAGE, 0.2, DONE)
    with RawServer(late) as server:
        outcome = ask_stream(model_of(server))
    assert outcome.error is None
    usage = [m.usage_metadata for m in outcome.messages if m.usage_metadata]
    assert [each["total_tokens"] for each in usage] == [3]


# --- No connection -------------------------------------------------------------------


def test_no_listener(ask: Ask) -> None:
    with RawServer() as server:
        model = model_of(server)
    error = ask(model).error
    assert type(error) is CONNECTION
    assert isinstance(error, core.ModelConnectionError)
    assert (error.code, error.status_code, error.response) == (None, None, None)
    assert "Check the network" in str(error)


def test_unknown_host(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fail(host: str, *_args: object, **_kwargs: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with RawServer() as server:
        model = model_of(server, base_url="https://gateway.invalid", max_retries=1)
        error = ask(model).error
    assert type(error) is CONNECTION
    assert "service not known" in str(error)
    assert len(asked) == 2


def test_no_tls(server: PmockServer, make_model: MakeModel, ask: Ask) -> None:
    url = server.url.replace("http://", "https://")
    error = ask(make_model(base_url=url)).error
    assert type(error) is CONNECTION
    assert "SSL" in str(error)
    assert server.requests == []


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


def test_last_error_is_raised(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.script(Fault(status=503), Fault(reset_after=0), Fault(code=404))
    error = ask(make_model(max_retries=5)).error
    assert type(error) is errors.PmockNotFoundError
    assert len(server.requests) == 3


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


@pytest.mark.parametrize(
    ("offset", "hint"), [(HOURS, "behind"), (-HOURS, "ahead of"), (0, None)]
)
def test_wrong_secret_key(
    server: PmockServer, make_model: MakeModel, ask: Ask, offset: int, hint: str | None
) -> None:
    server.clock_offset = offset
    error = ask(make_model(secret_key="sk-wrong", max_retries=5)).error
    assert type(error) is errors.PmockAuthenticationError
    assert "PMOCK_SECRET_KEY" in str(error)
    assert len(server.requests) == 2
    found = re.search(r"clock is (\d+) s (behind|ahead of) the service's", str(error))
    if hint is None:
        assert found is None
    else:
        # A date has no fractions of seconds.
        assert found is not None
        assert abs(int(found[1]) - HOURS) <= 30
        assert found[2] == hint
