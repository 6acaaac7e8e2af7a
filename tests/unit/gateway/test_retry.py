"""Whether and when there is another attempt, and with which clock."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from langchain_pmock import PmockAPIError, PmockAuthenticationError, errors, sign
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

if TYPE_CHECKING:
    from tests.support.service import Answer

NOW = 1768809934.0
DATE = formatdate(NOW, usegmt=True)
IN_20_S = formatdate(NOW + 20, usegmt=True)


def error_with(**headers: str) -> PmockError:
    pairs = [
        (name.replace("_", "-"), value.encode()) for name, value in headers.items()
    ]
    response: Any = httpx2.Response(
        429, headers=[(name.encode(), value) for name, value in pairs]
    )
    return PmockError("slow down", status_code=429, response=response)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [NOW]
    monkeypatch.setattr(time, "time", lambda: now[-1])
    return now


WAITS: dict[str, float | None] = {
    "": None,
    "7": 7,
    "0.25": 0.25,
    "0": 0,
    "-5": 0,
    " 7 ": 7,
    "9" * 400: float("inf"),
    **dict.fromkeys(["nan", "soon", "7 s", "x7", "1_000", "1e3", "infinity", "\u0667"]),
    IN_20_S: 20,
    formatdate(NOW - 20, usegmt=True): 0,
    "Thu, 99 Foo 2026 25:61:61 GMT": None,
    "Thu": None,
}


@pytest.mark.parametrize(("value", "seconds"), WAITS.items())
@pytest.mark.usefixtures("now")
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(error_with(retry_after=value)) == seconds


@pytest.mark.parametrize("date", [DATE, "yesterday", "", f"1 Jan {'9' * 20} 00:00:00"])
def test_retry_after_is_by_the_clock_of_the_service(
    date: str, now: list[float]
) -> None:
    if date == DATE:
        now.append(NOW + 3600)  # otherwise, this machine's counts
    assert retry_after(error_with(retry_after=IN_20_S, date=date)) == 20


def test_no_retry_after_without_a_response() -> None:
    assert retry_after(PmockError("no response")) is None
    assert retry_after(error_with()) is None


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
    waits = [retries.wait_after(PmockAPIError("x"), attempt) for _ in range(5001)]
    assert waits.pop() is None
    assert max(wait or 0 for wait in waits) <= 8


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("3", 3), ("60", 60), ("61", 60), ("9" * 400, 60)]
)
def test_service_may_ask_for_up_to_a_minute(
    way: Way, value: str, seconds: float, waits: list[float]
) -> None:
    service = Service(fails(429, headers={"retry-after": value}), way.hello)
    assert way(service, max_retries=1) == way.texts
    assert waits[0] == seconds


RETRYABLE = {
    "PmockAPIError",
    "PmockConnectionError",
    "PmockRateLimitError",
    "PmockStreamInterruptedError",
    "PmockTimeoutError",
}


@pytest.mark.parametrize("name", errors.__all__)
def test_which_errors_are_retried(name: str) -> None:
    attempt: Any = None
    error = getattr(errors, name)("x")
    retries = Retries(2, Signer("ak", "sk"))
    waits = [retries.wait_after(error, attempt) for _ in range(3)]
    assert [wait is not None for wait in waits] == (
        [True, True, False] if name in RETRYABLE else [False] * 3
    )
    error.is_retryable = False
    assert Retries(2, Signer("ak", "sk")).wait_after(error, attempt) is None


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


def refusals(way: Way, date: str = "") -> dict[str, Answer]:
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
    ("max_retries", "failures", "outcome"),
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
    outcome: type[PmockError] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits: list[float] = []

    def uniform(*_: float) -> float:
        waits.append(0.0)
        return 0.0

    monkeypatch.setattr("random.uniform", uniform)
    for refusal in refusals(way).values():
        answers = [refusal if failure == "r" else OTHER for failure in failures]
        service = Service(*answers, way.hello)
        if outcome is None:
            assert way(service, max_retries=max_retries) == way.texts
        else:
            with pytest.raises(outcome):
                way(service, max_retries=max_retries)
        assert len(service.requests) == len(failures) + (outcome is None)
    # There is no wait after a refusal.
    retried = failures.removesuffix("o") if outcome is PmockAPIError else failures
    assert len(waits) == retried.count("o") * len(refusals(way))


def test_wrong_secret_costs_two_requests(way: Way) -> None:
    forms = refusals(way)
    for first in forms.values():
        for second in ("status", "code"):
            service = Service(first, forms[second])
            with pytest.raises(PmockAuthenticationError, match="PMOCK_SECRET_KEY"):
                way(service, max_retries=5)
            assert len(service.requests) == 2


def test_refusal_after_the_first_chunk_is_an_error(streaming: Way) -> None:
    first = event(envelope(chunk_of({"content": "a"})))
    service = Service(streams(first, event(REFUSED)))
    with pytest.raises(PmockAuthenticationError):
        streaming(service, max_retries=5)
    assert len(service.requests) == 1


def tokens_at(*offsets: float) -> list[str]:
    return [sign(ACCESS_KEY, SECRET_KEY, NOW + offset) for offset in offsets]


@pytest.mark.usefixtures("now")
@pytest.mark.parametrize("offset", [3600, -3600, 86_000, 2 * 86_400, -400 * 86_400])
def test_offset_of_the_clock(way: Way, offset: int) -> None:
    used = offset if abs(offset) < 86_400 else 0  # no token for another day
    for refusal in refusals(way, date=formatdate(NOW + offset, usegmt=True)).values():
        service = Service(refusal, way.hello)
        client = client_of(service, way.library)
        assert way(client) == way(client) == way.texts
        assert service.tokens == tokens_at(0, used, used)
        # It dies with its client, and is not used with other keys.
        way(service)
        assert service.tokens[3:] == tokens_at(0)


def test_offset_that_is_refused_is_not_kept(way: Way, now: list[float]) -> None:
    end = 25.9  # where each second of an offset counts
    now.append(NOW + end)
    hour, two = end + 3600, end + 7200
    late, later = (formatdate(NOW + offset, usegmt=True) for offset in (hour, two))
    first, second = (refusals(way, date=date)["code"] for date in (late, later))
    service = Service(first, way.hello, second, second, way.hello)
    client = client_of(service, way.library)
    assert way(client) == way.texts
    with pytest.raises(PmockAuthenticationError):
        way(client)
    assert way(client) == way.texts
    assert service.tokens == tokens_at(end, hour, hour, two, end)


@pytest.mark.usefixtures("now", "fast_retries")
def test_offset_is_not_kept_after_another_error(way: Way) -> None:
    refusal = refusals(way, date=formatdate(NOW + 3600, usegmt=True))["code"]
    service = Service(refusal, OTHER, way.hello)
    assert way(service, max_retries=1) == way.texts
    assert service.tokens == tokens_at(0, 3600, 0)
