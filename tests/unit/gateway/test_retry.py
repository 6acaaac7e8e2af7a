"""Whether and how long to wait before another attempt."""

from __future__ import annotations

import asyncio
import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import PmockAuth, errors
from langchain_pmock._gateway.retry import async_attempt, attempt, retry_after
from langchain_pmock.errors import (
    PmockAPIError,
    PmockAuthenticationError,
    PmockError,
    PmockRateLimitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Attempt = Callable[[], str]
    Run = Callable[[int, Attempt], str]

NOW = 1768809934.0
DATE = formatdate(NOW, usegmt=True)
IN_20_S = formatdate(NOW + 20, usegmt=True)


def error_with(headers: dict[str, str]) -> PmockRateLimitError:
    encoded = httpx.Headers(headers, encoding="utf-8")
    request = httpx.Request("POST", "https://gateway.invalid")
    response = httpx.Response(429, headers=encoded, request=request)
    return PmockRateLimitError("slow down", status_code=429, response=response)


AUTH = PmockAuth("ak-example", "sk-example")


def run_sync(max_retries: int, func: Attempt) -> str:
    return attempt(max_retries, AUTH, lambda _: func())


def run_async(max_retries: int, func: Attempt) -> str:
    async def async_func(_: object) -> str:
        return func()

    async def run() -> str:
        return await async_attempt(max_retries, AUTH, async_func)

    return asyncio.run(run())


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    request.getfixturevalue("fast_retries")
    chosen: Run = request.param
    return chosen


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "7"}, 7),
        ({"Retry-After": "0.25"}, 0.25),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": " 7 "}, 7),
        ({"retry-after": "9" * 400}, float("inf")),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "7 s"}, None),
        # Python would take these for numbers.
        ({"retry-after": "1_000"}, None),
        ({"retry-after": "1e3"}, None),
        ({"retry-after": "infinity"}, None),
        ({"retry-after": "\u0667"}, None),
        ({"retry-after": IN_20_S, "date": DATE}, 20),
        ({"retry-after": DATE, "date": IN_20_S}, 0),
        ({"retry-after": IN_20_S}, 20),
        ({"retry-after": IN_20_S, "date": "yesterday"}, 20),
        ({"retry-after": IN_20_S, "date": ""}, 20),
        ({"retry-after": IN_20_S, "date": f"1 Jan {'9' * 20} 00:00:00 GMT"}, 20),
        ({"retry-after": "Thu, 99 Foo 2026 25:61:61 GMT", "date": DATE}, None),
        ({"retry-after": "Thu", "date": DATE}, None),
        ({"retry-after": f"1 Jan {'9' * 20} 00:00:00 GMT"}, None),
    ],
)
def test_retry_after(
    headers: dict[str, str], seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert retry_after(error_with(headers)) == seconds


def test_a_date_counts_by_the_services_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW + 3600)
    assert retry_after(error_with({"retry-after": IN_20_S, "date": DATE})) == 20


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("this system's time zone cannot be set")
    with monkeypatch.context() as context:
        context.setenv("TZ", "JST-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
@pytest.mark.parametrize(
    "form", ["%a, %d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S -0000", "%c"]
)
def test_a_date_without_a_zone_is_in_utc(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = time.strftime(form, time.gmtime(NOW + 20))
    date = time.strftime(form, time.gmtime(NOW))
    monkeypatch.setattr(time, "time", lambda: NOW)
    assert retry_after(error_with({"retry-after": until})) == 20
    assert retry_after(error_with({"retry-after": IN_20_S, "date": date})) == 20


@given(value=st.text(), date=st.none() | st.text())
def test_any_retry_after_is_a_wait_or_none(value: str, date: str | None) -> None:
    headers = httpx.Headers({"retry-after": value}, encoding="utf-8")
    if date is not None:
        headers["date"] = date
    error = PmockError("text", response=httpx.Response(429, headers=headers))
    seconds = retry_after(error)
    assert seconds is None or seconds >= 0


def test_no_retry_after_without_a_response() -> None:
    assert retry_after(PmockError("no response")) is None


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited; it does not really wait."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waits


@pytest.mark.parametrize("run", [run_sync, run_async])
def test_waits_are_random_and_grow(run: Run, waits: list[float]) -> None:
    def fail() -> str:
        raise PmockAPIError("text")

    rounds, longest = 300, [0.5, 1, 2, 4, 8, 8]
    for _ in range(rounds):
        with pytest.raises(PmockAPIError):
            run(len(longest), fail)
    for place, most in enumerate(longest):
        of_place = waits[place :: len(longest)]
        assert len(of_place) == rounds
        assert max(of_place) <= most
        # Full jitter: all of the range, from the shortest on.
        assert min(of_place) < most * 0.1
        assert max(of_place) > most * 0.9


def test_many_retries_do_not_overflow(waits: list[float]) -> None:
    def fail() -> str:
        raise PmockAPIError("text")

    with pytest.raises(PmockAPIError):
        run_sync(5000, fail)
    assert len(waits) == 5000
    assert max(waits) <= 8


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("3", 3), ("60", 60), ("61", 60), ("9" * 400, 60)]
)
def test_the_service_may_ask_for_up_to_a_minute(
    value: str, seconds: float, waits: list[float]
) -> None:
    def fail() -> str:
        raise error_with({"retry-after": value})

    with pytest.raises(PmockRateLimitError):
        run_sync(1, fail)
    assert waits == [seconds]


RETRYABLE = {
    "PmockAPIError",
    "PmockConnectionError",
    "PmockRateLimitError",
    "PmockStreamInterruptedError",
    "PmockTimeoutError",
}


@pytest.mark.parametrize("name", errors.__all__)
def test_which_errors_are_tried_again(name: str, run: Run) -> None:
    attempts = 0

    def fail() -> str:
        nonlocal attempts
        attempts += 1
        msg = f"attempt {attempts}"
        raise getattr(errors, name)(msg)

    with pytest.raises(PmockError, match=f"attempt {3 if name in RETRYABLE else 1}"):
        run(2, fail)
    assert attempts == (3 if name in RETRYABLE else 1)


def refusal() -> PmockError:
    request = httpx.Request("POST", "https://gateway.invalid")
    response = httpx.Response(401, request=request)
    return PmockAuthenticationError("text", code=401, response=response)


@pytest.mark.parametrize("max_retries", [0, 1, 5])
def test_max_retries(max_retries: int, run: Run) -> None:
    attempts = 0

    def func() -> str:
        nonlocal attempts
        attempts += 1
        if attempts <= max_retries:
            raise PmockAPIError("text")
        return f"attempt {attempts}"

    assert run(max_retries, func) == f"attempt {max_retries + 1}"


@pytest.mark.parametrize(
    ("max_retries", "failures", "outcome"),
    [
        (0, ["refused"], "done"),
        (0, ["refused", "refused"], PmockAuthenticationError),
        (5, ["refused", "refused"], PmockAuthenticationError),
        (0, ["refused", "broken"], PmockAPIError),
        (1, ["refused", "broken", "refused"], "done"),
        (1, ["broken", "refused", "broken"], PmockAPIError),
    ],
)
def test_after_a_refusal_each_attempt_is_sent_once_more(
    max_retries: int,
    failures: list[str],
    outcome: str | type[PmockError],
    run: Run,
    waits: list[float],
) -> None:
    left = list(failures)

    def func() -> str:
        match left.pop(0) if left else "":
            case "refused":
                raise refusal()
            case "broken":
                raise PmockAPIError("text")
        return "done"

    if isinstance(outcome, str):
        assert run(max_retries, func) == outcome
    else:
        with pytest.raises(outcome):
            run(max_retries, func)
    assert left == []
    assert not any(waits)


def test_other_errors_are_not_tried_again(run: Run) -> None:
    def func() -> str:
        raise KeyError("once")

    with pytest.raises(KeyError, match="once"):
        run(5, func)


def test_each_retry_is_logged(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    failures = [PmockAPIError("first"), error_with({"retry-after": "0"})]

    def func() -> str:
        if failures:
            raise failures.pop(0)
        return "done"

    with caplog.at_level(logging.INFO, logger="langchain_pmock"):
        assert run(2, func) == "done"
    assert [
        (record.name, record.levelname, record.getMessage())
        for record in caplog.records
        if record.name == "langchain_pmock"
    ] == [
        (
            "langchain_pmock",
            "INFO",
            f"Attempt {number} failed, next in 0.00 s: {error}",
        )
        for number, error in enumerate(
            ["PmockAPIError: first", "PmockRateLimitError: slow down"], start=1
        )
    ]
