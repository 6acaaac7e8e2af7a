"""Whether and when there is another attempt, and with which clock."""

import asyncio
import contextlib
import logging
import time
from email.utils import formatdate
from typing import Any

import httpx2
import pytest

from langchain_pmock import PmockAPIError, PmockAuthenticationError, sign
from langchain_pmock._gateway.retry import Retries, retry_after
from langchain_pmock._signature import Signer
from langchain_pmock.errors import PmockError
from tests.support.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    Way,
    client_of,
    fails,
    streams,
)
from tests.support.wire import chunk_of, envelope, event

NOW = 1768809934.0
IN_20_S = formatdate(NOW + 20, usegmt=True)
AN_HOUR_AGO = formatdate(NOW - 3600, usegmt=True)


def error_with(**headers: str) -> PmockError:
    named = [(n.replace("_", "-").encode(), v.encode()) for n, v in headers.items()]
    response: Any = httpx2.Response(429, headers=named)
    return PmockError("slow down", status_code=429, response=response)


# The header, the date of the answer, and the seconds to wait.
WAITS: list[tuple[str, str, float | None]] = [
    ("", "", None),
    ("7", "", 7),
    ("0.25", "", 0.25),
    ("0", "", 0),
    ("-5", "", 0),
    (" 7 ", "", 7),
    ("9" * 400, "", float("inf")),
    *((text, "", None) for text in ("nan", "soon", "7 s", "x7", "1_000", "1e3", "Thu")),
    *((text, "", None) for text in ("infinity", "\u0667", "Thu, 99 Foo 2026 25:61:61")),
    (formatdate(NOW - 20, usegmt=True), "", 0),
    (IN_20_S, AN_HOUR_AGO, 3620),  # by the clock of the service
    *((IN_20_S, d, 20) for d in ("yesterday", "", f"1 Jan {'9' * 20} 00:00:00")),
]


@pytest.mark.parametrize(("value", "date", "seconds"), WAITS)
def test_retry_after(
    value: str, date: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert retry_after(error_with(retry_after=value, date=date)) == seconds


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waits


@pytest.mark.parametrize("method", ["post", "apost"])
def test_waits_are_random_and_grow(method: str, waits: list[float]) -> None:
    rounds, longest = 150, [0.5, 1, 2, 4, 8, 8]
    service = Service(httpx2.ConnectError("refused"))
    client = client_of(service, max_retries=len(longest))
    for _ in range(rounds):
        with pytest.raises(PmockError):
            Way(method)(client)
    for place, most in enumerate(longest):
        of_place = waits[place :: len(longest)]
        assert len(of_place) == rounds
        assert max(of_place) <= most
        # Full jitter: all of the range, from the shortest on.
        assert min(of_place) < most * 0.1
        assert max(of_place) > most * 0.9


def test_many_retries_do_not_overflow() -> None:
    retries = Retries(5000, Signer("ak", "sk"))
    attempt: Any = None
    waits = [retries.wait_after(PmockAPIError("x"), attempt) for _ in range(5000)]
    assert max(waits) <= 8
    with pytest.raises(PmockAPIError):
        retries.wait_after(PmockAPIError("x"), attempt)


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("3", 3), ("60", 60), ("61", 60), ("9" * 400, 60)]
)
def test_service_may_ask_for_up_to_a_minute(
    way: Way, value: str, seconds: float, waits: list[float]
) -> None:
    service = Service(fails(429, headers={"retry-after": value}), way.hello)
    assert way(service, max_retries=1) == way.texts
    assert waits[0] == seconds


@pytest.mark.usefixtures("fast_retries")
def test_each_retry_is_logged(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    slow = fails(429, "slow", headers={"retry-after": "0"})
    with caplog.at_level(logging.INFO, logger="langchain_pmock"):
        assert way(Service(fails(503, "first"), slow, way.hello), max_retries=2)
    records = [
        (record.levelname, record.getMessage().partition(". Trace")[0])
        for record in caplog.records
        if record.name == "langchain_pmock"
    ]
    shown = "PmockAPIError: pmock failed to answer (503): first"
    slower = "PmockRateLimitError: pmock's rate limit was reached (429): slow"
    assert records == [
        ("INFO", f"Attempt 1 failed, next in 0.00 s: {shown}"),
        ("INFO", f"Attempt 2 failed, next in 0.00 s: {slower}"),
    ]


# --- A refused signature -------------------------------------------------------------

REFUSED = {"code": 401, "message": "bad signature", "traceId": "trace-1"}


def refusals(way: Way, date: str = "") -> dict[str, Any]:
    """The ways to refuse a signature."""
    headers = {"date": date}
    forms = {
        "status": fails(401, status=401, headers=headers),
        "status and another code": fails(400, status=401, headers=headers),
        "code": fails(401, headers=headers),
    }
    if way.is_stream:
        forms["event"] = streams(event(REFUSED), date=date)
    return forms


OTHER = fails(503)


@pytest.mark.parametrize(
    ("max_retries", "failures", "cls"),
    [
        (0, "r", None),
        (0, "rr", PmockError),
        (5, "rr", PmockError),
        (0, "ro", PmockAPIError),
        (1, "ror", None),
        (1, "rorr", PmockError),
        (1, "oro", PmockAPIError),
        (2, "ororr", PmockError),
    ],
)
def test_each_refused_attempt_is_signed_once_more(
    way: Way,
    max_retries: int,
    failures: str,
    cls: type[PmockError] | None,
    waits: list[float],
) -> None:
    for form, refusal in refusals(way).items():
        answers = [refusal if failure == "r" else OTHER for failure in failures]
        service = Service(*answers, way.hello)
        if cls is None:
            assert way(service, max_retries=max_retries) == way.texts
        else:
            with pytest.raises(cls) as caught:
                way(service, max_retries=max_retries)
            if failures.endswith("r") and form in {"status", "code"}:  # a wrong secret
                assert isinstance(caught.value, PmockAuthenticationError)
                assert "PMOCK_SECRET_KEY" in str(caught.value)
        assert len(service.requests) == len(failures) + (cls is None)
    # There is no wait after a refusal, nor after the last attempt.
    retried = failures.removesuffix("o") if cls else failures
    assert len([*filter(None, waits)]) == len(refusals(way)) * retried.count("o")


def test_refusal_after_the_first_chunk_is_an_error(streaming: Way) -> None:
    first = event(envelope(chunk_of({"content": "a"})))
    service = Service(streams(first, event(REFUSED)))
    with pytest.raises(PmockAuthenticationError):
        streaming(service, max_retries=5)
    assert len(service.requests) == 1


HOUR, DAY = 3600, 86_400
# A refusal by its date, as an offset from this machine's clock, another failure, or a
# right answer; and the offsets of the tokens that are sent.
CLOCKS: list[tuple[list[int | str], list[int]]] = [
    ([HOUR, "right", "right"], [0, HOUR, HOUR]),
    ([-HOUR, "right", "right"], [0, -HOUR, -HOUR]),
    ([DAY - 400, "right", "right"], [0, DAY - 400, DAY - 400]),
    ([2 * DAY, "right", "right"], [0, 0, 0]),  # no token for another day
    ([-400 * DAY, "right", "right"], [0, 0, 0]),
    # An offset that is refused, or followed by another error, is not kept.
    ([HOUR, "right", 2 * HOUR, 2 * HOUR, "right"], [0, HOUR, HOUR, 2 * HOUR, 0]),
    ([HOUR, "other", "right"], [0, HOUR, 0]),
]


@pytest.mark.usefixtures("waits")
@pytest.mark.parametrize(("answers", "offsets"), CLOCKS)
def test_offset_of_the_clock(
    way: Way,
    answers: list[int | str],
    offsets: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = NOW + 25.9  # where each second of an offset counts
    monkeypatch.setattr(time, "time", lambda: now)
    tokens = [sign(ACCESS_KEY, SECRET_KEY, now + offset) for offset in offsets]
    others = {"right": way.hello, "other": OTHER}
    for form in refusals(way):
        service = Service(
            *(
                others[answer]
                if isinstance(answer, str)
                else refusals(way, formatdate(now + answer, usegmt=True))[form]
                for answer in answers
            ),
            way.hello,
        )
        client = client_of(service, way.library, max_retries=1)
        while len(service.requests) < len(answers):
            with contextlib.suppress(PmockError):
                assert way(client) == way.texts
        assert service.tokens == tokens
        # It dies with its client, and is not used with other keys.
        way(service)
        assert service.tokens[-1] == sign(ACCESS_KEY, SECRET_KEY, now)
