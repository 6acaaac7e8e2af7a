"""Signing the requests of clients of httpx2 and httpx."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

import httpx
import httpx2
import pytest
from pydantic import SecretStr

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, PmockAuth, sign

URL = "https://gateway.invalid/ai/chat/completions"
KEYS = ("ak-example", "sk-example")
NOW = 1768809934.0


class Service:
    """Accepts a token only in its minute, by a clock of its own."""

    def __init__(self, library: Any, *, is_async: bool) -> None:
        self.library, self.is_async = library, is_async
        self.now = NOW  # this machine's time
        self.offset = 0.0  # of the service's clock
        self.transit = 0.0  # seconds that a request takes
        self.date: float | None = None
        self.status = 401
        self.requests: list[tuple[dict[str, bytes], bytes]] = []

    def __call__(self, request: Any) -> Any:
        headers = {name.decode().lower(): value for name, value in request.headers.raw}
        self.requests.append((headers, request.content))
        self.now += self.transit
        now = self.now + self.offset
        status = 200 if self.tokens[-1] == sign(*KEYS, now) else self.status
        date = formatdate(now if self.date is None else self.date, usegmt=True)
        return self.library.Response(status, headers={"date": date})

    @property
    def tokens(self) -> list[str]:
        return [headers[ACCESS_TOKEN_HEADER].decode() for headers, _ in self.requests]

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


@pytest.fixture(params=[httpx2, httpx], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["sync", "async"])
def service(
    request: pytest.FixtureRequest, library: Any, monkeypatch: pytest.MonkeyPatch
) -> Service:
    service = Service(library, is_async=request.param == "async")
    monkeypatch.setattr(time, "time", lambda: service.now)
    return service


@pytest.mark.parametrize(
    "keys", [KEYS, [SecretStr(key) for key in KEYS], [lambda: KEYS[0], lambda: KEYS[1]]]
)
def test_each_request_has_the_token_of_its_minute(service: Service, keys: Any) -> None:
    auth = PmockAuth(*keys)
    for _ in range(3):
        assert service.send(auth) == 200
        service.now += 60
    assert len({*service.tokens}) == 3
    for headers, content in service.requests:
        assert headers[ACCESS_KEY_HEADER] == KEYS[0].encode()
        assert content in (b'{"a":1}', b'{"a": 1}')
    assert repr(auth) == "PmockAuth()"


def test_keys_are_sent_as_utf8(service: Service) -> None:
    service.now = 0
    service.send(PmockAuth("clé", SecretStr("秘密")))
    assert service.requests[0][0][ACCESS_KEY_HEADER] == "clé".encode()
    assert service.tokens[0] == "CkpgdDRG3E6i6fCCgvCdz3640E1jK0IHWcrxm9bYEQQ="


def test_minute_that_ends_in_transit(service: Service) -> None:
    service.now, service.transit = 1768809959.9, 0.2
    auth = PmockAuth(*KEYS)
    assert service.send(auth) == 200
    (_, first), (_, second) = service.requests
    assert first == second
    assert service.send(auth) == 200  # by the same clock
    assert len(service.requests) == 3


@pytest.mark.parametrize("offset", [-86_399, -61, 61, 3600])
def test_offset_of_the_clock(service: Service, offset: int) -> None:
    auth = PmockAuth(*KEYS)
    service.offset = offset
    assert [service.send(auth) for _ in range(2)] == [200, 200]
    assert len(service.requests) == 3
    # It is not used for another origin, nor by another object.
    assert service.send(auth, URL.replace("https", "http")) == 200
    assert service.send(PmockAuth(*KEYS)) == 200
    assert len(service.requests) == 7
    # It is dropped when the clock is right.
    service.offset = 0
    assert [service.send(auth) for _ in range(2)] == [200, 200]
    assert len(service.requests) == 10


def test_offset_that_is_refused_is_not_kept(service: Service) -> None:
    service.date, service.offset = NOW + 3600, 7200
    auth = PmockAuth(*KEYS)
    assert [service.send(auth) for _ in range(2)] == [401, 401]
    assert service.tokens == [sign(*KEYS, NOW + t) for t in (0, 3600)] * 2


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
def test_other_error_is_not_sent_again(service: Service, status: int) -> None:
    service.status = status
    assert service.send(PmockAuth(KEYS[0], "sk-wrong")) == status
    assert len(service.requests) == 1
