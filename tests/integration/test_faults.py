"""Bytes on the wire, and what the user sees: an error, or a retry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_pmock import errors
from tests.support.calls import WAYS, Ask, model_of
from tests.support.leaks import wait_until
from tests.support.raw_server import (
    CLOSE,
    RESET,
    STALL,
    RawServer,
    head,
    stream,
    unended,
    whole,
)
from tests.support.wire import DONE, HELLO, answer, envelope, event

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        error: The class of the error.
        shows: A part of the error's text.
        pieces: The texts before the error.
        in_streams: The class for streams, if it is another one.
        timeout: Seconds that a read may take.
    """

    name: str
    steps: list[Step]
    error: type[errors.PmockError] = RESPONSE
    shows: str = ""
    pieces: Sequence[str] = ()
    in_streams: type[errors.PmockError] | None = None
    timeout: float = 30.0

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
CONNECTIONS += [
    Case("silence", [STALL], TIMEOUT, timeout=0.2),
    Case("silence in the body", [IN_BODY, STALL], TIMEOUT, timeout=0.2),
]

# --- Streams -------------------------------------------------------------------------

HEL, LO, FINISH, _ = HELLO
NO_CHOICE = event(envelope({"choices": []}, **TRACED))


FIRST_EVENTS = [
    Case("code 429", stream(failure(429)), RATE_LIMIT, "Trace id: trace-1."),
    Case("no event", stream(), INTERRUPTED, "after 0 events"),
    Case("no choice", stream(NO_CHOICE, DONE), shows="Trace id: trace-1."),
]
# How a connection ends is in test_stream_ends.py.
MIDDLES = [
    Case(name, steps, error, shows, ["Hel"])
    for name, steps, error, shows in (
        ("code 503", stream(HEL, failure(503, "busy"), DONE), API, "(503): busy"),
        ("code 401", stream(HEL, failure(401)), errors.PmockAuthenticationError, ""),
        ("end", stream(HEL), INTERRUPTED, "Trace id: trace-1."),
        ("end in a character", stream(HEL, "data: é".encode()[:-1]), INTERRUPTED, ""),
        ("web page", stream(HEL, event(HTML), LO, FINISH, DONE), RESPONSE, ""),
        ("no delta", stream(HEL, event(envelope({"choices": [5]}))), RESPONSE, ""),
    )
]
# Long enough to receive the event.
MIDDLES += [Case("silence", [*unended(HEL), STALL], TIMEOUT, "", ["Hel"], timeout=1.0)]

CASES = [
    *in_each_way(WAYS, "answer", ANSWERS),
    *in_each_way(WAYS, "connection", CONNECTIONS),
    *in_each_way(STREAMS, "first event", FIRST_EVENTS),
    *in_each_way(STREAMS, "in mid-stream", MIDDLES),
]


@pytest.mark.parametrize(("ask", "case"), CASES)
def test_bytes_and_outcome(ask: Ask, case: Case) -> None:
    with RawServer(case.steps) as server:
        timeout = httpx2.Timeout(30, read=case.timeout)
        outcome = ask(model_of(server, max_retries=1, timeout=timeout))
        wait_until(lambda: len(server.requests) == 1 + case.is_retried)
    error = (ask.streams and case.in_streams) or case.error
    assert type(outcome.error) is error, outcome.error
    assert case.shows in str(outcome.error)
    assert outcome.pieces == list(case.pieces)


@pytest.mark.parametrize(
    ("ask", "case"),
    [
        each
        for each in CASES
        if each.values[1].is_retried and STALL not in each.values[1].steps
    ],
)
def test_retry_succeeds(ask: Ask, case: Case) -> None:
    hello = stream(*HELLO) if ask.streams else whole(answer("Hello"))
    with RawServer(case.steps, hello) as server:
        assert ask(model_of(server, max_retries=1)).text == "Hello"
    assert len(server.requests) == 2
