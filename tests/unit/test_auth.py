from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

import httpx
import pytest
from pydantic import SecretStr

from langchain_pmock.auth import (
    ACCESS_KEY_HEADER,
    ACCESS_TOKEN_HEADER,
    PmockAuth,
    measure_clock,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Handler = Callable[[httpx.Request], httpx.Response]
    Send = Callable[[Handler, PmockAuth], httpx.Response]

URL = "https://gateway.invalid/ai/chat/completions"
SECRET_KEY = "sk-example"
NOW = 1768809934.0
DATE = formatdate(0, usegmt=True)


class Clock:
    """This machine's clock, held still."""

    now = NOW

    def __call__(self) -> float:
        return self.now


class Service:
    """Takes a token only in the minute it was made in, by a clock of its own."""

    def __init__(self, access_key: str, now: Callable[[], float]) -> None:
        self.access_key = access_key
        self.now = now
        self.date = True
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # One client sends the same request object twice, so keep what it held then.
        self.requests.append(
            httpx.Request(
                request.method,
                request.url,
                headers=request.headers,
                content=request.content,
            )
        )
        headers = {"Date": formatdate(self.now(), usegmt=True)} if self.date else {}
        expected = sign(self.access_key, SECRET_KEY, self.now())
        known = hmac.compare_digest(expected, request.headers[ACCESS_TOKEN_HEADER])
        return httpx.Response(200 if known else 401, headers=headers)


def send_sync(handler: Handler, auth: PmockAuth) -> httpx.Response:
    with httpx.Client(transport=httpx.MockTransport(handler), auth=auth) as client:
        return client.post(URL, json={"model": "gpt-5.1"})


def send_async(handler: Handler, auth: PmockAuth) -> httpx.Response:
    async def post() -> httpx.Response:
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, auth=auth) as client:
            return await client.post(URL, json={"model": "gpt-5.1"})

    return asyncio.run(post())


@pytest.fixture(params=[send_sync, send_async], ids=["sync", "async"])
def send(request: pytest.FixtureRequest) -> Send:
    chosen: Send = request.param
    return chosen


@pytest.fixture
def access_key(request: pytest.FixtureRequest) -> str:
    # What is learned of the clock is shared by access key, so each test has its own.
    return f"ak-{request.node.name}"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.mark.parametrize(
    ("access_key", "secret_key", "timestamp", "token"),
    [
        (
            "ak-example",
            "sk-example",
            1768809934,
            "SiPDz8a4ffruqG3CHXdVl8k0AvfeVKQOmgXyft0Iwgg=",
        ),
        (
            "ak-example",
            "sk-example",
            1768809900,
            "SiPDz8a4ffruqG3CHXdVl8k0AvfeVKQOmgXyft0Iwgg=",
        ),
        (
            "ak-example",
            "sk-example",
            1768809899,
            "/1ODnAUuL/w+SCPSjZEIKawGbt/5a6Vy/9B2cTUo5o0=",
        ),
        ("clé", "秘密", 0, "CkpgdDRG3E6i6fCCgvCdz3640E1jK0IHWcrxm9bYEQQ="),
    ],
    ids=["inside-the-minute", "its-first-second", "the-second-before", "utf-8"],
)
def test_signature_vectors(
    access_key: str, secret_key: str, timestamp: float, token: str
) -> None:
    assert sign(access_key, secret_key, timestamp) == token


def test_a_fraction_of_a_second_counts_for_the_minute_it_is_in() -> None:
    assert sign("ak", "sk", 119.999) == sign("ak", "sk", 60)
    assert sign("ak", "sk", 119.999) != sign("ak", "sk", 120)


def test_sign_is_the_documented_formula() -> None:
    mac = hmac.new(b"sk", b"ak:1768809900", hashlib.sha256).digest()
    assert sign("ak", "sk", NOW) == base64.b64encode(mac).decode()


def test_both_headers_are_on_the_request(
    send: Send, access_key: str, clock: Clock
) -> None:
    service = Service(access_key, clock)
    response = send(service, PmockAuth(access_key, SECRET_KEY))

    assert response.status_code == 200
    (request,) = service.requests
    assert request.headers[ACCESS_KEY_HEADER] == access_key
    assert request.headers[ACCESS_TOKEN_HEADER] == sign(access_key, SECRET_KEY, NOW)
    assert request.content == b'{"model":"gpt-5.1"}'


def test_keys_that_are_not_ascii_are_sent_as_utf_8(send: Send, clock: Clock) -> None:
    clock.now = 0
    seen: list[httpx.Headers] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200)

    send(handler, PmockAuth("clé", SecretStr("秘密")))

    raw = dict(seen[0].raw)
    assert raw[ACCESS_KEY_HEADER.encode()] == "clé".encode()
    assert raw[ACCESS_TOKEN_HEADER.encode()] == (
        b"CkpgdDRG3E6i6fCCgvCdz3640E1jK0IHWcrxm9bYEQQ="
    )


def test_secret_str_signs_like_str(access_key: str, clock: Clock) -> None:
    service = Service(access_key, clock)
    auth = PmockAuth(SecretStr(access_key), SecretStr(SECRET_KEY))
    assert send_sync(service, auth).status_code == 200


def test_each_request_of_one_client_has_a_fresh_token(
    access_key: str, clock: Clock
) -> None:
    service = Service(access_key, clock)
    with httpx.Client(
        transport=httpx.MockTransport(service), auth=PmockAuth(access_key, SECRET_KEY)
    ) as client:
        for _ in range(3):
            assert client.post(URL).status_code == 200
            clock.now += 60

    tokens = [request.headers[ACCESS_TOKEN_HEADER] for request in service.requests]
    assert len(set(tokens)) == len(tokens) == 3


def test_a_minute_that_ends_on_the_way_is_signed_again(
    send: Send, access_key: str, clock: Clock
) -> None:
    clock.now = 1768809959.9

    def arrives_late() -> float:
        clock.now = 1768809960.1
        return clock.now

    service = Service(access_key, arrives_late)
    auth = PmockAuth(access_key, SECRET_KEY)

    assert send(service, auth).status_code == 200
    first, second = service.requests
    assert first.headers[ACCESS_TOKEN_HEADER] != second.headers[ACCESS_TOKEN_HEADER]
    assert first.content == second.content == b'{"model":"gpt-5.1"}'
    # The clock was right all along; only the network was slow.
    assert auth.clock_offset(URL) == 0


@pytest.mark.parametrize("offset", [-86400, -61, 61, 3600])
def test_a_clock_that_is_off_is_learned_from_one_answer(
    send: Send, access_key: str, clock: Clock, offset: int
) -> None:
    service = Service(access_key, lambda: clock.now + offset)
    auth = PmockAuth(access_key, SECRET_KEY)

    assert send(service, auth).status_code == 200
    assert len(service.requests) == 2
    assert auth.clock_offset(URL) == pytest.approx(offset, abs=1)

    assert send(service, auth).status_code == 200
    assert len(service.requests) == 3


@pytest.mark.parametrize("ahead", [0.3, 0.7, 1.5])
def test_a_clock_that_is_a_little_ahead_is_learned_at_the_end_of_a_minute(
    send: Send, access_key: str, clock: Clock, ahead: float
) -> None:
    # Too little to be noticed at any other time.
    clock.now = 1768809960.1
    service = Service(access_key, lambda: clock.now - ahead)
    auth = PmockAuth(access_key, SECRET_KEY)

    assert send(service, auth).status_code == 200
    assert len(service.requests) == 2
    assert auth.clock_offset(URL) == pytest.approx(-ahead, abs=1)


def test_what_one_learned_all_with_its_access_key_use(
    access_key: str, clock: Clock
) -> None:
    service = Service(access_key, lambda: clock.now + 3600)
    send_sync(service, PmockAuth(access_key, SECRET_KEY))

    other = PmockAuth(access_key, SECRET_KEY)
    assert send_async(service, other).status_code == 200
    assert len(service.requests) == 3
    assert PmockAuth(f"{access_key}-2", SECRET_KEY).clock_offset(URL) == 0


def test_a_clock_that_was_set_right_is_unlearned(access_key: str, clock: Clock) -> None:
    service = Service(access_key, lambda: clock.now + 3600)
    auth = PmockAuth(access_key, SECRET_KEY)
    send_sync(service, auth)

    service.now = clock
    assert send_sync(service, auth).status_code == 200
    assert auth.clock_offset(URL) == 0


@pytest.mark.parametrize(
    "date",
    [
        None,
        "",
        "yesterday",
        "Thu, 99 Foo 2026 25:61:61",
        f"1 Jan {'9' * 20} 00:00:00 GMT",
    ],
)
def test_without_a_usable_date_nothing_is_learned(
    send: Send, access_key: str, date: str | None
) -> None:
    headers = {} if date is None else {"Date": date}
    auth = PmockAuth(access_key, SECRET_KEY)

    response = send(lambda _: httpx.Response(401, headers=headers), auth)
    assert response.status_code == 401
    assert auth.clock_offset(URL) == 0


@pytest.mark.parametrize("zone", ["GMT", "-0000", "+0000", ""])
def test_a_date_is_in_utc_whatever_this_machines_zone(
    zone: str, access_key: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(time, "tzset"):
        pytest.skip("this system's time zone cannot be set")
    date = formatdate(clock.now, usegmt=True).replace("GMT", zone)
    auth = PmockAuth(access_key, SECRET_KEY)
    with monkeypatch.context() as context:
        context.setenv("TZ", "JST-9")
        time.tzset()
        send_sync(lambda _: httpx.Response(401, headers={"Date": date}), auth)
    time.tzset()
    assert auth.clock_offset(URL) == 0


def test_what_was_not_signed_here_teaches_nothing(access_key: str) -> None:
    auth = PmockAuth(access_key, SECRET_KEY)
    request = httpx.Request("POST", URL)
    response = httpx.Response(401, headers={"Date": DATE}, request=request)
    assert measure_clock(response) == 0
    assert auth.clock_offset(URL) == 0


def test_a_wrong_secret_costs_two_requests(
    send: Send, access_key: str, clock: Clock
) -> None:
    service = Service(access_key, clock)
    response = send(service, PmockAuth(access_key, "sk-wrong"))

    assert response.status_code == 401
    assert len(service.requests) == 2


@pytest.mark.parametrize("status", [400, 402, 403, 404, 408, 429, 500, 503])
def test_other_errors_are_not_sent_again(
    send: Send, access_key: str, status: int
) -> None:
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(status, headers={"Date": DATE})

    auth = PmockAuth(access_key, SECRET_KEY)
    assert send(handler, auth).status_code == status
    assert len(requests) == 1
    assert auth.clock_offset(URL) == 0


def test_neither_key_is_shown(access_key: str) -> None:
    shown = repr(PmockAuth(access_key, SECRET_KEY))
    assert access_key not in shown
    assert SECRET_KEY not in shown
