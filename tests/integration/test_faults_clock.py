"""Signatures that are too old, clocks that are off, and how long to wait."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from email.utils import formatdate
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from langchain_pmock import ChatPmock, _signature, errors
from langchain_pmock.auth import ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing import PmockServer
from tests.support.raw_server import RESET, RawServer, stream, whole
from tests.support.wire import DONE, answer, delta, envelope, event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.conftest import MakeModel
    from tests.support.asking import Ask

HOURS = 3 * 3600
HELLO = "You said: Hello"
OFF = [pytest.param(HOURS, id="behind"), pytest.param(-HOURS, id="ahead")]


def raw_model(server: RawServer, **fields: Any) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=server.url,
        access_key="ak-example",
        secret_key="sk-example",
        **fields,
    )


def set_clock(monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]) -> None:
    monkeypatch.setattr(_signature, "time", SimpleNamespace(time=clock))


# --- Fresh signatures ----------------------------------------------------------------


@pytest.mark.usefixtures("fast_retries")
def test_each_attempt_has_a_new_signature(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each look at the clock is a minute after the last.
    clock = count(1768809900.0, 60.0)
    set_clock(monkeypatch, lambda: next(clock))
    busy, limited = whole(envelope(None, 503)), whole(b"", "429 Slow Down")
    with RawServer(busy, [RESET], limited, whole(answer("Hello"))) as server:
        assert ask(raw_model(server, max_retries=3)).text == "Hello"
    assert [request.headers[ACCESS_TOKEN_HEADER] for request in server.requests] == [
        sign("ak-example", "sk-example", 1768809900.0 + 60 * i) for i in range(4)
    ]


@pytest.mark.parametrize("how", ["status", "code"])
@pytest.mark.parametrize("max_retries", [0, 2])
def test_request_is_signed_again_after_401(
    server: PmockServer, make_model: MakeModel, ask: Ask, how: str, max_retries: int
) -> None:
    fault: dict[str, Any] = {how: 401}
    server.fail(**fault)
    outcome = ask(make_model(max_retries=max_retries))
    assert outcome.error is None
    assert outcome.text == HELLO
    assert len(server.requests) == 2


def test_401_between_other_failures(
    server: PmockServer,
    make_model: MakeModel,
    ask: Ask,
    fast_retries: None,  # noqa: ARG001 - for its effect
) -> None:
    for code in (500, 401, 503, 401):
        server.fail(status=code)
    assert ask(make_model(max_retries=2)).text == HELLO
    assert len(server.requests) == 5


def test_minute_ends_in_transit(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = iter([1768809959.9])
    set_clock(monkeypatch, lambda: next(signed, 1768809960.2))
    with PmockServer(clock=lambda: 1768809960.1) as server:
        model = ChatPmock(
            model="gpt-5.1",
            base_url=server.url,
            access_key=server.access_key,
            secret_key=server.secret_key,
            max_retries=0,
        )
        assert ask(model).text == HELLO
        assert [request.status for request in server.requests] == [401, 200]
        # The network's delay alone says nothing about the clock.
        assert ask(model).text == HELLO
        assert server.requests[-1].status == 200
        assert len(server.requests) == 3


# --- Clocks that are off -------------------------------------------------------------


@pytest.mark.parametrize("offset", OFF)
def test_clock_offset_is_kept_by_model(
    server: PmockServer, make_model: MakeModel, ask: Ask, offset: int
) -> None:
    server.clock_offset = offset
    model = make_model()
    assert ask(model).text == HELLO
    assert [request.status for request in server.requests] == [401, 200]
    # The model keeps it for its other calls, sync or async.
    assert ask(model, "Again").text == "You said: Again"
    assert model.invoke("Hello").text == HELLO
    assert asyncio.run(model.ainvoke("Hello")).text == HELLO
    assert [request.status for request in server.requests[2:]] == [200] * 3


def test_clock_offset_changes(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    model = make_model()
    for offset in (HOURS, -HOURS, 0):
        server.clock_offset = offset
        assert ask(model).text == HELLO
        assert ask(model).text == HELLO
    statuses = [request.status for request in server.requests]
    assert statuses == [401, 200, 200] * 3


@pytest.mark.parametrize("shape", ["whole", "first event"])
def test_clock_offset_from_401_in_http_200(
    ask: Ask, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, time.time)
    now = time.time() + HOURS
    dated = {"Date": formatdate(now, usegmt=True)}
    refused = whole(envelope(None, 401), headers=dated)
    right = whole(answer("Hello"))
    if shape == "first event" and ask.streams:
        refused = stream(event(envelope(None, 401)), headers=dated)
        right = stream(event(delta("Hello")), DONE)
    with RawServer(refused, right) as server:
        assert ask(raw_model(server, max_retries=0)).text == "Hello"
    tokens = [request.headers[ACCESS_TOKEN_HEADER] for request in server.requests]
    assert tokens[1] in {sign("ak-example", "sk-example", now + s) for s in (0, 2)}


@pytest.mark.usefixtures("fast_retries")
def test_wrong_secret_key(server: PmockServer, make_model: MakeModel, ask: Ask) -> None:
    outcome = ask(make_model(secret_key="sk-wrong", max_retries=5))
    assert type(outcome.error) is errors.PmockAuthenticationError
    assert len(server.requests) == 2
    assert "PMOCK_SECRET_KEY" in str(outcome.error)
    assert "signature" in str(outcome.error)
    assert "this machine's clock is " not in str(outcome.error).replace(
        "this machine's clock is right", ""
    )


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize("then", ["401 No", "200 OK"])
@pytest.mark.parametrize("first", ["401 No", "200 OK"])
def test_two_requests_for_any_shape_of_401(ask: Ask, first: str, then: str) -> None:
    refused = [whole(envelope(None, 401), status) for status in (first, then)]
    with RawServer(*refused, whole(answer("too late"))) as server:
        outcome = ask(raw_model(server, max_retries=5))
    assert type(outcome.error) is errors.PmockAuthenticationError
    assert len(server.requests) == 2


@pytest.mark.parametrize("offset", OFF)
def test_wrong_secret_key_and_clock(
    server: PmockServer, make_model: MakeModel, ask: Ask, offset: int
) -> None:
    server.clock_offset = offset
    outcome = ask(make_model(secret_key="sk-wrong"))
    assert type(outcome.error) is errors.PmockAuthenticationError
    assert len(server.requests) == 2
    where = "behind" if offset > 0 else "ahead of"
    # A date has no fractions of seconds.
    message = re.search(rf"clock is (\d+) s {where} the service's", str(outcome.error))
    assert message is not None
    assert abs(int(message[1]) - HOURS) <= 1


@pytest.mark.parametrize("date", ["", "yesterday", "Thu, 01 Jan 1970 25:00:00 GMT"])
def test_401_without_date(ask: Ask, date: str) -> None:
    with RawServer(whole(envelope(None, 401), "401 No", {"Date": date})) as server:
        outcome = ask(raw_model(server))
    assert type(outcome.error) is errors.PmockAuthenticationError
    assert len(server.requests) == 2


# --- Waiting -------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["status", "code"])
def test_retry_after_in_seconds(
    server: PmockServer, make_model: MakeModel, ask: Ask, by: str
) -> None:
    fault: dict[str, Any] = {by: 429}
    server.fail(**fault, retry_after=0.1)
    outcome = ask(make_model(max_retries=1))
    assert outcome.text == HELLO
    assert outcome.seconds >= 0.1


async def logged_wait(model: ChatPmock, caplog: pytest.LogCaptureFixture) -> str:
    """Tell what is logged of the wait for a retry, without waiting for it."""
    caplog.clear()
    caplog.set_level(logging.INFO, logger="langchain_pmock")
    task = asyncio.create_task(model.ainvoke("Hello"))
    deadline = time.monotonic() + 5
    while not caplog.records and time.monotonic() < deadline:  # noqa: ASYNC110 - a log wakes nobody
        await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (record,) = [r for r in caplog.records if r.name == "langchain_pmock"]
    assert record.levelno == logging.INFO
    return record.getMessage()


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        (7, "7.00 s"),
        (3600, "60.00 s"),
        ("-5", "0.00 s"),
        ("soon", "(20|21).00 s"),
        ("tomorrow", "60.00 s"),
        ("just now", "0.00 s"),
    ],
)
async def test_wait_of_retry_after(
    make_model: MakeModel,
    server: PmockServer,
    caplog: pytest.LogCaptureFixture,
    retry_after: float | str,
    seconds: str,
) -> None:
    seconds_from_now = {"soon": 20.5, "tomorrow": 86400, "just now": -20}
    if retry_after in seconds_from_now:
        # It counts by the service's clock, whatever ours says.
        server.clock_offset = HOURS
        until = time.time() + HOURS + seconds_from_now[str(retry_after)]
        retry_after = formatdate(until, usegmt=True)
    server.fail(status=503, retry_after=retry_after)
    message = await logged_wait(make_model(max_retries=1), caplog)
    assert re.search(f"next in {seconds}: PmockAPIError: ", message)


async def test_wait_without_retry_after(
    make_model: MakeModel, server: PmockServer, caplog: pytest.LogCaptureFixture
) -> None:
    waits = set()
    for _ in range(5):
        server.reset()
        server.fail(status=503, retry_after="soon")  # neither seconds nor a date
        message = await logged_wait(make_model(max_retries=1), caplog)
        waits.add(float(message.partition("next in ")[2].partition(" s")[0]))
    assert len(waits) > 1
    assert max(waits) <= 0.5


def test_retries_are_logged_without_secrets(
    server: PmockServer,
    make_model: MakeModel,
    ask: Ask,
    fast_retries: None,  # noqa: ARG001 - for its effect
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="langchain_pmock")
    server.fail(status=500)
    server.fail(status=429)
    assert ask(make_model(max_retries=2)).text == HELLO
    message = [r.getMessage() for r in caplog.records if r.name == "langchain_pmock"]
    assert len(message) == 2
    assert message[0].startswith("Attempt 1 failed, next in ")
    assert "PmockAPIError" in message[0]
    assert message[1].startswith("Attempt 2 failed, next in ")
    assert "PmockRateLimitError" in message[1]
    for request in server.requests:
        assert request.headers[ACCESS_TOKEN_HEADER] not in "".join(message)
    assert server.access_key not in "".join(message)
