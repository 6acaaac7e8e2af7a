"""A request that is refused for its signature is signed and sent once more."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import pytest

from langchain_pmock import PmockAuth, PmockAuthenticationError, sign
from tests.support.service import (
    BASE_URL,
    SECRET_KEY,
    Service,
    client_of,
    fails,
    streams,
)
from tests.support.wire import event
from tests.unit.gateway.test_client import CHUNK, apost, astream, good, post, stream

if TYPE_CHECKING:
    from tests.support.service import Answer
    from tests.unit.gateway.test_client import Way

NOW = 1768809934.0
REFUSED = {"code": 401, "message": "bad signature", "traceId": "trace-1"}


@pytest.fixture(params=[post, apost, stream, astream])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
def auth(request: pytest.FixtureRequest) -> PmockAuth:
    # What is learned of the clock is shared by access key, so each test has its own.
    return PmockAuth(f"ak-{request.node.name}", SECRET_KEY)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(time, "time", lambda: NOW)
    return NOW


def refusals(way: Way, date: str = "") -> dict[str, Answer]:
    """The ways to refuse a signature."""
    headers = {"date": date}
    forms = {
        "as an HTTP status": fails(401, status=401, headers=headers),
        "as an envelope": fails(401, headers=headers),
    }
    if way in (stream, astream):
        forms["as an event"] = streams(event(REFUSED))
    return forms


FORMS = ["as an HTTP status", "as an envelope", "as an event"]


@pytest.mark.parametrize("form", FORMS)
def test_it_is_signed_and_sent_once_more(way: Way, form: str, auth: PmockAuth) -> None:
    refused = refusals(way).get(form)
    if refused is None:
        return
    service = Service(refused, good(way))
    assert "".join(way(client_of(service, auth=auth))).startswith("Hello")
    assert len(service.requests) == 2


@pytest.mark.parametrize("max_retries", [0, 5])
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_secret_costs_two_requests(
    way: Way, form: str, max_retries: int, auth: PmockAuth
) -> None:
    refused = refusals(way).get(form)
    if refused is None:
        return
    service = Service(refused)
    with pytest.raises(PmockAuthenticationError, match="PMOCK_SECRET_KEY"):
        way(client_of(service, auth=auth, max_retries=max_retries))
    assert len(service.requests) == 2


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_a_wrong_secret_costs_two_requests_however_it_is_refused(
    way: Way, first: str, second: str, auth: PmockAuth
) -> None:
    forms = refusals(way)
    if first not in forms or second not in forms:
        return
    service = Service(forms[first], forms[second])
    with pytest.raises(PmockAuthenticationError, match="PMOCK_SECRET_KEY"):
        way(client_of(service, auth=auth, max_retries=5))
    assert len(service.requests) == 2


def test_a_status_of_401_counts_whatever_the_envelope_says(
    way: Way, auth: PmockAuth
) -> None:
    service = Service(fails(400, status=401), good(way))
    assert "".join(way(client_of(service, auth=auth))).startswith("Hello")
    assert len(service.requests) == 2


@pytest.mark.parametrize("form", FORMS[:2])
@pytest.mark.parametrize("offset", [3600, -3600])
def test_the_clock_is_learned_from_the_refusal(
    way: Way, form: str, offset: int, auth: PmockAuth, now: float
) -> None:
    date = formatdate(now + offset, usegmt=True)
    service = Service(refusals(way, date=date)[form], good(way))
    client = client_of(service, auth=auth)
    way(client)
    way(client)
    tokens = [request.headers["wuinai-access-token"] for request in service.requests]
    access_key = service.requests[0].headers["wuinai-access-key"]
    wrong, right = (sign(access_key, SECRET_KEY, now + o) for o in (0, offset))
    assert tokens == [wrong, right, right]


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_clock_that_is_refused_too_is_not_learned(
    way: Way, form: str, auth: PmockAuth, now: float
) -> None:
    date = formatdate(now + 3600, usegmt=True)
    with pytest.raises(PmockAuthenticationError):
        way(client_of(Service(refusals(way, date=date)[form]), auth=auth))
    assert auth.clock_offset(BASE_URL) == 0
    # What was learned before is forgotten once it is refused.
    auth.keep_clock_offset(BASE_URL, 500.0)
    with pytest.raises(PmockAuthenticationError):
        way(client_of(Service(refusals(way, date=date)[form]), auth=auth))
    assert auth.clock_offset(BASE_URL) == 0


def test_the_clock_of_one_origin_is_not_that_of_another(
    way: Way, auth: PmockAuth, now: float
) -> None:
    date = formatdate(now + 3600, usegmt=True)
    service = Service(refusals(way, date=date)["as an envelope"], good(way))
    way(client_of(service, auth=auth))
    assert auth.clock_offset(BASE_URL) == pytest.approx(3600, abs=1)
    assert auth.clock_offset("https://elsewhere.invalid/api") == 0
    assert auth.clock_offset(BASE_URL.replace("https", "http")) == 0


@pytest.mark.parametrize("days", [-400, -2, 2, 400])
def test_no_token_is_made_for_another_day(
    way: Way, days: int, auth: PmockAuth, now: float
) -> None:
    date = formatdate(now + days * 86400, usegmt=True)
    service = Service(refusals(way, date=date)["as an envelope"], good(way))
    way(client_of(service, auth=auth))
    tokens = {request.headers["wuinai-access-token"] for request in service.requests}
    access_key = service.requests[0].headers["wuinai-access-key"]
    assert tokens == {sign(access_key, SECRET_KEY, now)}
    assert auth.clock_offset(BASE_URL) == 0


def test_the_hint_at_the_clock(way: Way, auth: PmockAuth, now: float) -> None:
    date = formatdate(now + 3600, usegmt=True)
    service = Service(refusals(way, date=date)["as an envelope"])
    with pytest.raises(PmockAuthenticationError, match="clock is 3600 s behind"):
        way(client_of(service, auth=auth))


def test_a_refusal_in_the_middle_of_a_stream_is_an_error(auth: PmockAuth) -> None:
    for streaming in (stream, astream):
        service = Service(streams(event(CHUNK), event(REFUSED)))
        with pytest.raises(PmockAuthenticationError):
            streaming(client_of(service, auth=auth))
        assert len(service.requests) == 1
