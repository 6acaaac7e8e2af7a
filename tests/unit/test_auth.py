"""Signing the requests of clients of httpx2 and httpx."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from pydantic import SecretStr

from langchain_pmock.auth import (
    ACCESS_KEY_HEADER,
    ACCESS_TOKEN_HEADER,
    PmockAuth,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Callable

URL = "https://gateway.invalid/ai/chat/completions"
KEYS = ("ak-example", "sk-example")
NOW = 1768809934.0


class Clock:
    """This machine's clock, which stands still."""

    now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture(params=[httpx2, httpx], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["sync", "async"])
def service(request: pytest.FixtureRequest, library: Any, clock: Clock) -> Service:
    return Service(library, clock, is_async=request.param == "async")


class Service:
    """Accepts a token only in its minute, by a clock of its own."""

    def __init__(
        self, library: Any, now: Callable[[], float], *, is_async: bool
    ) -> None:
        self.library = library
        self.is_async = is_async
        self.now = now
        self.status = 401
        self.date: str | None = None
        self.requests: list[dict[str, bytes]] = []
        self.contents: list[bytes] = []

    def __call__(self, request: Any) -> Any:
        headers = {name.decode().lower(): value for name, value in request.headers.raw}
        self.requests.append(headers)
        self.contents.append(request.content)
        date = formatdate(self.now(), usegmt=True) if self.date is None else self.date
        is_valid = headers[ACCESS_TOKEN_HEADER].decode() == sign(*KEYS, self.now())
        return self.library.Response(
            200 if is_valid else self.status, headers={"date": date}
        )

    def send(self, auth: PmockAuth, url: str = URL) -> int:
        """Send a request; return the status."""
        options = {"transport": self.library.MockTransport(self), "auth": auth}

        async def post() -> int:
            async with self.library.AsyncClient(**options) as client:
                return int((await client.post(url, json={"a": 1})).status_code)

        if self.is_async:
            return asyncio.run(post())
        with self.library.Client(**options) as client:
            return int(client.post(url, json={"a": 1}).status_code)


@pytest.mark.parametrize(
    "keys", [KEYS, map(SecretStr, KEYS), [lambda: KEYS[0], lambda: SecretStr(KEYS[1])]]
)
def test_each_request_has_the_token_of_its_minute(
    service: Service, clock: Clock, keys: Any
) -> None:
    auth = PmockAuth(*tuple(keys) or KEYS)
    for _ in range(3):
        assert service.send(auth) == 200
        clock.now += 60
    assert len({headers[ACCESS_TOKEN_HEADER] for headers in service.requests}) == 3
    assert {headers[ACCESS_KEY_HEADER] for headers in service.requests} == {
        KEYS[0].encode()
    }
    assert {*service.contents} <= {b'{"a":1}', b'{"a": 1}'}


def test_keys_are_sent_as_utf8(service: Service, clock: Clock) -> None:
    clock.now = 0
    service.send(PmockAuth("clé", SecretStr("秘密")))
    [headers, _] = service.requests
    assert headers[ACCESS_KEY_HEADER] == "clé".encode()
    assert headers[ACCESS_TOKEN_HEADER] == (
        b"CkpgdDRG3E6i6fCCgvCdz3640E1jK0IHWcrxm9bYEQQ="
    )


def test_minute_that_ends_in_transit(service: Service, clock: Clock) -> None:
    clock.now = 1768809959.9

    def arrives_late() -> float:
        clock.now = max(clock.now, 1768809960.1)
        return clock.now

    service.now = arrives_late
    auth = PmockAuth(*KEYS)
    assert service.send(auth) == 200
    assert len(service.requests) == 2
    assert service.contents[0] == service.contents[1]
    assert service.send(auth) == 200  # by the same clock
    assert len(service.requests) == 3


@pytest.mark.parametrize("offset", [-86_399, -61, 61, 3600])
def test_offset_of_the_clock(service: Service, clock: Clock, offset: int) -> None:
    auth = PmockAuth(*KEYS)
    other = URL.replace("https", "http")
    service.now = lambda: clock.now + offset
    assert [service.send(auth) for _ in range(2)] == [200, 200]
    assert len(service.requests) == 3
    # It is not used for another origin, nor by another object.
    assert service.send(auth, other) == 200
    assert service.send(PmockAuth(*KEYS)) == 200
    assert len(service.requests) == 7
    # It is dropped when the clock is right.
    service.now = clock
    assert [service.send(auth) for _ in range(2)] == [200, 200]
    assert len(service.requests) == 10


def test_offset_that_is_refused_is_not_kept(service: Service, clock: Clock) -> None:
    service.date = formatdate(clock.now + 3600, usegmt=True)
    service.now = lambda: clock.now + 7200
    auth = PmockAuth(*KEYS)
    assert [service.send(auth) for _ in range(2)] == [401, 401]
    tokens = [headers[ACCESS_TOKEN_HEADER] for headers in service.requests]
    assert tokens == [sign(*KEYS, NOW + t).encode() for t in (0, 3600)] * 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_other_error_is_not_sent_again(service: Service, status: int) -> None:
    service.status = status
    assert service.send(PmockAuth(KEYS[0], "sk-wrong")) == status
    assert len(service.requests) == 1


def test_repr_has_no_key() -> None:
    assert repr(PmockAuth(*KEYS)) == "PmockAuth()"
