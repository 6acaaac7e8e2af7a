"""One request and its answer, in four ways: whole or streamed, sync or async."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import (
    PmockAPIError,
    PmockConnectionError,
    PmockError,
    PmockInvalidRequestError,
    PmockNotFoundError,
    PmockRateLimitError,
    PmockResponseError,
    PmockTimeoutError,
    __version__,
)
from langchain_pmock._gateway import client as module
from langchain_pmock._gateway.pools import Pools
from tests.support.service import (
    ACCESS_KEY,
    BASE_URL,
    BODY,
    SECRET_KEY,
    Service,
    Texts,
    client_of,
    fails,
    streams,
    whole,
)
from tests.support.wire import chunk_of, dump, envelope, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_pmock._gateway.client import PmockClient
    from tests.support.service import Answer
    from tests.support.wire import Json

    Way = Callable[..., list[str]]

pytestmark = pytest.mark.usefixtures("fast_retries")

CHUNK = envelope(chunk_of({"content": "Hello"}))
STREAM = events(chunk_of({"content": "Hel"}), chunk_of({"content": "lo"}))


def text_of(answer: Any) -> list[str]:
    return [answer["data"]["choices"][0]["delta"]["content"]]


def post(client: PmockClient, body: Json = BODY) -> list[str]:
    return client.post(body, text_of)


def apost(client: PmockClient, body: Json = BODY) -> list[str]:
    return asyncio.run(client.apost(body, text_of))


def stream(client: PmockClient, body: Json = BODY) -> list[str]:
    return list(client.stream(body, Texts))


def astream(client: PmockClient, body: Json = BODY) -> list[str]:
    async def run() -> list[str]:
        return [chunk async for chunk in client.astream(body, Texts)]

    return asyncio.run(run())


@pytest.fixture(params=[post, apost, stream, astream])
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


def good(way: Way) -> Answer:
    """The answer that fits the way of asking."""
    return streams(STREAM) if way in (stream, astream) else whole(CHUNK)


def test_the_answer(way: Way) -> None:
    service = Service(good(way))
    assert "".join(way(client_of(service))).removesuffix("end") == "Hello"


def test_the_request(way: Way) -> None:
    service = Service(good(way))
    way(client_of(service, headers={"x-mine": "1", "accept": "x"}))
    (request,) = service.requests
    assert request.method == "POST"
    assert request.url == f"{BASE_URL}/ai/chat/completions"
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == f"langchain-pmock/{__version__}"
    assert headers["wuinai-access-key"] == ACCESS_KEY
    assert len(headers["wuinai-access-token"]) == 44
    assert headers["x-mine"] == "1"
    is_streamed = way in (stream, astream)
    if is_streamed:
        assert headers.get_list("accept") == ["text/event-stream"]
    assert headers["accept-encoding"] == (
        "identity" if is_streamed else "gzip, deflate"
    )
    body = {**BODY, "stream": True} if is_streamed else BODY
    assert json.loads(request.content) == body
    assert "你好".encode() in request.content
    assert b": " not in request.content


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes"])
def test_what_is_no_json_is_said_before_anything_is_sent(
    way: Way, value: object
) -> None:
    service = Service(good(way))
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        way(client_of(service), {**BODY, "user": value})
    assert not service.requests


FAULTS: dict[str, tuple[Answer, type[PmockError]]] = {
    "code": (fails(429), PmockRateLimitError),
    "status and code": (fails(429, status=429), PmockRateLimitError),
    "code 503": (fails(503), PmockAPIError),
    "status and code 404": (fails(404, status=404), PmockNotFoundError),
    "HTML and status": (whole(b"<h1>Bad Gateway</h1>", 502), PmockAPIError),
    "HTML": (
        whole(b"<h1>Hi</h1>", headers={"content-type": "text/html"}),
        PmockResponseError,
    ),
    "no JSON": (whole(b"{"), PmockResponseError),
    "refused": (httpx.ConnectError("refused"), PmockConnectionError),
    "slow to connect": (httpx.ConnectTimeout("slow"), PmockTimeoutError),
    "slow to answer": (httpx.ReadTimeout("slow"), PmockTimeoutError),
    "slow to send": (streams(httpx.ReadTimeout("slow")), PmockTimeoutError),
    "reset": (streams(httpx.ReadError("reset")), PmockConnectionError),
}


@pytest.mark.parametrize("case", FAULTS)
def test_errors_are_the_same_in_every_way(way: Way, case: str) -> None:
    answer, cls = FAULTS[case]
    service = Service(answer)
    with pytest.raises(cls):
        way(client_of(service))
    assert len(service.requests) == 1


FAILURES: list[Answer] = [
    httpx.ConnectError("refused"),
    fails(503),
    fails(429, status=429, headers={"retry-after": "0"}),
]


def test_retries(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1768809934, 2 * 1768809934, 60))
    monkeypatch.setattr("time.time", lambda: next(now))
    service = Service(*FAILURES, good(way))
    assert "".join(way(client_of(service, max_retries=3))).startswith("Hello")
    tokens = [request.headers["wuinai-access-token"] for request in service.requests]
    assert len(set(tokens)) == len(tokens) == 4
    assert len({request.content for request in service.requests}) == 1


def test_no_more_retries_than_asked_for(way: Way) -> None:
    service = Service(*FAILURES, good(way))
    with pytest.raises(PmockRateLimitError):
        way(client_of(service, max_retries=2))
    assert len(service.requests) == 3


def test_a_bad_request_is_not_tried_again(way: Way) -> None:
    service = Service(fails(400), good(way))
    with pytest.raises(PmockInvalidRequestError):
        way(client_of(service, max_retries=5))
    assert len(service.requests) == 1


def test_redirects_are_not_followed(way: Way) -> None:
    elsewhere = {"location": "https://elsewhere.invalid"}
    service = Service(whole(b"", 307, elsewhere), good(way))
    clients = {
        "http_client": httpx.Client(
            transport=httpx.MockTransport(service), follow_redirects=True
        ),
        "http_async_client": httpx.AsyncClient(
            transport=httpx.MockTransport(service), follow_redirects=True
        ),
    }
    with pytest.raises(PmockResponseError, match=r"redirected to https://elsewhere"):
        way(client_of(service, **clients))
    assert len(service.requests) == 1


def test_the_users_client_is_not_closed(way: Way) -> None:
    client = client_of(Service(good(way)))
    way(client)
    assert client.http_client is not None
    assert client.http_async_client is not None
    assert not client.http_client.is_closed
    assert not client.http_async_client.is_closed


def test_by_default_the_clients_are_shared(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(good(way))
    transport = httpx.MockTransport(service)
    pools = Pools(lambda _: httpx.Client(transport=transport))
    async_pools = Pools(lambda _: httpx.AsyncClient(transport=transport))

    async def shared_async_pools(_: str) -> Pools[httpx.AsyncClient]:
        return async_pools

    monkeypatch.setattr(module, "shared_pools", lambda: pools)
    monkeypatch.setattr(module, "shared_async_pools", shared_async_pools)
    client = client_of(service, http_client=None, http_async_client=None)
    way(client)
    way(client)
    assert len(service.requests) == 2
    assert len(pools.clients) + len(async_pools.clients) == 1
    assert {*pools._busy, *async_pools._busy} == {0}


@pytest.mark.parametrize(
    ("own", "given", "sent"),
    [
        (None, None, httpx.Timeout(600, connect=30)),  # httpx's 5 s are no choice
        (httpx.Timeout(7), None, httpx.Timeout(7)),
        (httpx.Timeout(7), httpx.Timeout(3), httpx.Timeout(3)),
        (httpx.Timeout(None), None, httpx.Timeout(None)),
    ],
)
def test_the_timeout_of_the_users_client(
    way: Way,
    own: httpx.Timeout | None,
    given: httpx.Timeout | None,
    sent: httpx.Timeout,
) -> None:
    service = Service(good(way))
    options: Any = {"transport": httpx.MockTransport(service)}
    if own is not None:
        options["timeout"] = own
    client = client_of(
        service,
        timeout=given,
        http_client=httpx.Client(**options),
        http_async_client=httpx.AsyncClient(**options),
    )
    way(client)
    expected = sent.as_dict()
    if way in (stream, astream):  # no longer than for a chunk
        expected["read"] = min(expected["read"] or 600, 600)
    assert service.timeouts == [expected]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_hook_that_raises_for_the_status(way: Way, retries: int) -> None:
    def hook(response: httpx.Response) -> None:
        response.raise_for_status()

    async def ahook(response: httpx.Response) -> None:
        response.raise_for_status()

    service = Service(lambda: httpx.Response(500), good(way))
    transport = httpx.MockTransport(service)
    hooks = {"response": [hook]}
    client = client_of(
        service,
        max_retries=retries,
        http_client=httpx.Client(transport=transport, event_hooks=hooks),
        http_async_client=httpx.AsyncClient(
            transport=transport, event_hooks={"response": [ahook]}
        ),
    )
    if retries:
        assert way(client) == way(client_of(Service(good(way))))
    else:
        with pytest.raises(PmockAPIError):
            way(client)


def test_repr_shows_neither_keys_nor_headers() -> None:
    client = client_of(Service(whole(dump({}))), headers={"authorization": "secret"})
    for secret in (ACCESS_KEY, SECRET_KEY, "secret"):
        assert secret not in repr(client)
