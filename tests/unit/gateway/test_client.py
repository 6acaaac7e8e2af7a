"""One request, in four ways: whole or streamed, sync or async."""

import json
import time
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import httpx2
import pytest
from pydantic import SecretStr

from langchain_pmock import (
    PmockAPIError,
    PmockError,
    PmockInvalidRequestError,
    PmockResponseError,
    __version__,
)
from langchain_pmock._gateway import client as module
from langchain_pmock._gateway.client import PmockClient
from langchain_pmock._gateway.pools import Pools
from tests.support.service import (
    ACCESS_KEY,
    BASE_URL,
    BODY,
    POST,
    STREAM,
    Pieces,
    Service,
    Way,
    client_of,
    fails,
    streams,
    whole,
)
from tests.support.wire import chunk_of, envelope, event

pytestmark = pytest.mark.usefixtures("fast_retries")


def test_request(way: Way) -> None:
    service = Service(way.hello)
    # Headers of the user's client, and of the call.
    own = {"user-agent": "mine/1", "x-own": "2", "accept": "x/y"}
    clients = service.clients(way.library, headers=own, auth=("user", "password"))
    call = {"headers": {"X-Mine": "1", "Content-Type": "text/plain"}}
    assert way(service, call=call, **clients) == way.texts
    assert way(service) == way.texts
    for request in service.requests:
        assert request.method == "POST"
        assert request.url == f"{BASE_URL}/ai/chat/completions"
        headers = request.headers
        assert headers.get_list("content-type") == ["application/json"]
        assert headers["user-agent"] == f"langchain-pmock/{__version__}"
        assert headers["wuinai-access-key"] == ACCESS_KEY
        assert len(headers["wuinai-access-token"]) == 44
        assert "authorization" not in headers
        body = {**BODY, "stream": True} if way.is_stream else BODY
        assert json.loads(request.content) == body
        assert "你好".encode() in request.content
        assert b": " not in request.content
        encodings = "identity" if way.is_stream else "gzip, deflate"
        assert headers["accept-encoding"] == encodings
        if way.is_stream:
            assert headers.get_list("accept") == ["text/event-stream"]
    first, second = (request.headers for request in service.requests)
    assert (first["x-mine"], first["x-own"]) == ("1", "2")
    assert "x-own" not in second
    if not way.is_stream:
        assert (first["accept"], second["accept"]) == ("x/y", "*/*")
    for client in clients.values():
        assert not client.is_closed


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_body_that_is_no_json_is_refused_at_once(way: Way, value: object) -> None:
    service = Service(way.hello)
    with pytest.raises(PmockInvalidRequestError, match=r"body\.user=.* cannot be"):
        way(service, {**BODY, "user": value})
    if way.is_stream:  # before the first chunk is asked for
        with pytest.raises(PmockInvalidRequestError):
            way.send(client_of(service), {**BODY, "user": value})
    assert not service.requests


FAILURES: list[Any] = [
    httpx2.ConnectError("refused"),
    fails(503),
    fails(429, status=429, headers={"retry-after": "0"}),
]


def test_each_attempt_is_signed(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    now, keys = iter(range(1768809934, 2 * 1768809934, 60)), iter("abcdef")
    monkeypatch.setattr("time.time", lambda: next(now))
    service = Service(*FAILURES, way.hello)
    functions: dict[str, Any] = {
        "access_key": lambda: next(keys),
        "secret_key": lambda: SecretStr("s"),
    }
    assert way(service, max_retries=3, **functions) == way.texts
    assert len({*service.tokens}) == 4
    assert len({request.content for request in service.requests}) == 1
    sent = [request.headers["wuinai-access-key"] for request in service.requests]
    assert sent == [*"abcd"]


def test_redirect_is_not_followed(way: Way) -> None:
    elsewhere = {"location": "https://elsewhere.invalid"}
    service = Service(whole(b"", 307, elsewhere), way.hello)
    clients = service.clients(way.library, follow_redirects=True)
    with pytest.raises(PmockResponseError, match=r"to https://elsewhere.invalid\."):
        way(service, **clients)
    assert len(service.requests) == 1


DEFAULT = {"connect": 30.0, "read": 600.0, "write": 600.0, "pool": 30.0}


@pytest.mark.parametrize(
    ("own", "given", "sent"),
    [
        (None, None, DEFAULT),  # the 5 s of the library are no choice
        ({"timeout": 5}, None, DEFAULT),
        ({"timeout": 7}, None, dict.fromkeys(DEFAULT, 7)),
        ({"timeout": 7}, {"timeout": 3}, dict.fromkeys(DEFAULT, 3)),
        ({"timeout": None}, None, dict.fromkeys(DEFAULT)),
        (None, {"timeout": 3, "pool": 99}, {**dict.fromkeys(DEFAULT, 3), "pool": 99}),
    ],
)
def test_timeout(way: Way, own: Any, given: Any, sent: dict[str, float | None]) -> None:
    service = Service(way.hello)
    options = {} if own is None else {"timeout": way.library.Timeout(**own)}
    timeout = None if given is None else httpx2.Timeout(**given)
    clients = service.clients(way.library, **options)
    way(service, call={"timeout": timeout}, **clients)
    if way.is_stream:  # no longer than for a chunk
        sent = {**sent, "read": min(sent["read"] or 600, 600)}
    assert service.timeouts == [sent]


# --- Keys ----------------------------------------------------------------------------


def test_key_that_is_not_ascii_is_sent_as_utf8(way: Way) -> None:
    # A header of the client's is read first, and with it its encoding.
    service = Service(fails(401, "no clé-x", status=401))
    clients = service.clients(way.library, headers={"x-own": "1"}, cookies={"a": "b"})
    with pytest.raises(PmockError, match=r"no \*\*\*\."):
        way(service, access_key="clé-x", **clients)
    raw = dict(service.requests[0].headers.raw)
    assert raw[b"wuinai-access-key"] == "clé-x".encode()


@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_function_that_returns_no_key(way: Way, name: str) -> None:
    service = Service(way.hello)
    key: dict[str, Any] = {name: lambda: "sk\nleak"}
    with pytest.raises(PmockInvalidRequestError) as caught:
        way(service, max_retries=3, **key)
    assert str(caught.value) == (
        f"The result of the function {name} must be a string without control "
        "characters or line breaks."
    )
    assert caught.value.__context__ is None  # whose frames have the key
    error = ValueError("no vault")
    with pytest.raises(ValueError, match="no vault") as failed:
        way(service, max_retries=3, **{name: Mock(side_effect=error)})
    assert failed.value is error
    assert not service.requests


# --- Shared clients ------------------------------------------------------------------


class Shared:
    """Pools in place of those of the process."""

    def __init__(self, service: Any) -> None:
        transport = httpx2.MockTransport(service)
        self.pools = Pools(lambda _: httpx2.Client(transport=transport))
        self.async_pools = Pools(lambda _: httpx2.AsyncClient(transport=transport))

    async def shared_async_pools(self) -> Pools[httpx2.AsyncClient]:
        return self.async_pools

    def client(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> PmockClient:
        monkeypatch.setattr(module, "shared_pools", lambda: self.pools)
        monkeypatch.setattr(module, "shared_async_pools", self.shared_async_pools)
        return client_of(
            Service(), http_client=None, http_async_client=None, **settings
        )

    @property
    def busy(self) -> set[int]:
        return {*self.pools._busy, *self.async_pools._busy}


def test_transport_can_read_the_content_of_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    contents: list[bytes] = []

    class Transport(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            contents.append(request.content)
            return httpx2.Response(500)

    shared = Shared(Service())
    shared.pools = Pools(lambda _: httpx2.Client(transport=Transport()))
    client = shared.client(monkeypatch, max_retries=0)
    with pytest.raises(PmockAPIError):
        POST(client, {"model": "x"})
    assert contents == [b'{"model":"x"}']


OUTCOMES: dict[str, list[Any]] = {
    "an answer": [],
    "an error": [fails(400)],
    "a retry": [fails(503)],
    "a refusal": [httpx2.ConnectError("refused")],
    "an exception": [KeyError("x")],
    "a bad encoding": [streams(b"x", content_encoding="br")],
}


@pytest.mark.parametrize("case", OUTCOMES)
def test_shared_client_is_released(
    way: Way, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(*OUTCOMES[case], way.hello)
    shared = Shared(service)
    client = shared.client(monkeypatch, max_retries=1)
    for _ in range(3):
        try:
            assert way(client) == way.texts
        except (PmockError, KeyError):
            assert OUTCOMES[case]
    assert shared.busy == {0}
    assert len(shared.pools.clients) + len(shared.async_pools.clients) == 1
    accepted = "text/event-stream" if way.is_stream else "application/json"
    assert service.requests[0].headers["accept"] == accepted
    assert service.timeouts[0] == DEFAULT


def test_shared_client_is_released_if_there_is_no_key(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = Shared(Service(way.hello))
    client = shared.client(monkeypatch, access_key=lambda: "")
    with pytest.raises(PmockInvalidRequestError):
        way(client)
    assert shared.busy == {0}


class Interrupted(Pieces):
    def __init__(self, error: BaseException, *pieces: bytes) -> None:
        super().__init__(*pieces)
        self.error, self.at_close = error, False

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        if not self.at_close:
            raise self.error

    def close(self) -> None:
        super().close()
        if self.at_close:
            raise self.error


FIRST = event(envelope(chunk_of({"content": "a"})))
# What has come before the error.
PLACES: dict[str, list[bytes]] = {
    "send": [],
    "first": [FIRST[:-3]],
    "later": [FIRST],
    "after the finish": [FIRST, event(envelope(chunk_of({}, "stop")))],
    "close": [FIRST],
}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(), KeyError("x")])
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_client_is_retired(
    place: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock of its transport may be held for ever."""
    body = Interrupted(error, *PLACES[place])
    body.at_close = place == "close"

    def handle(request: httpx2.Request) -> httpx2.Response:
        if answers and place == "send":
            answers.clear()
            raise error
        answer = answers.pop() if answers else streams(FIRST, FIRST, FIRST)
        response: httpx2.Response = Service(answer)(request)
        return response

    answers: list[Any] = []
    shared = Shared(handle)
    client = shared.client(monkeypatch)
    other = STREAM.send(client)
    next(other)
    [first] = shared.pools.clients
    answers.append(streams(body=body))
    with pytest.raises(type(error)):  # noqa: PT012 - the place varies
        chunks = STREAM.send(client)
        next(chunks)
        if place == "close":
            chunks.close()
        next(chunks)
    is_retired = not isinstance(error, Exception)
    assert shared.pools.clients == ([] if is_retired else [first])
    # Other requests of the client go on, and new calls use another one.
    assert next(other) == "a"
    third = STREAM.send(client)
    assert next(third) == "a"
    [used] = shared.pools.clients
    assert (used is first) != is_retired
    other.close()
    third.close()
    assert not used.is_closed
    while shared.busy != {0}:  # it may be closed in another thread
        time.sleep(0.001)


def test_stream_that_is_left_retires_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared(Service(streams(FIRST, FIRST)))
    chunks = STREAM.send(shared.client(monkeypatch))
    next(chunks)
    chunks.close()
    thrown = STREAM.send(shared.client(monkeypatch))
    next(thrown)
    with pytest.raises(KeyboardInterrupt):  # in the consumer, and not in a read
        thrown.throw(KeyboardInterrupt())
    assert len(shared.pools.clients) == 1
    assert shared.busy == {0}
