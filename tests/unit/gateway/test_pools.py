"""Pools: made on first use, shared up to a limit, closed with their event loop."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import PmockConnectionError
from langchain_pmock._gateway import pools as _pools
from langchain_pmock._gateway.pools import (
    Pools,
    Transport,
    reread_environment,
    shared_async_pools,
    shared_pools,
)
from tests.support.service import Service, says

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _new_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_pools, "_shared", _pools._Shared())
    yield
    reread_environment()


def pools_of(at_once: int | None) -> tuple[Pools[httpx.Client], list[httpx.Limits]]:
    made: list[httpx.Limits] = []

    def make(limits: httpx.Limits) -> httpx.Client:
        made.append(limits)
        return httpx.Client(transport=httpx.MockTransport(Service(says())))

    return Pools(make, at_once), made


def test_one_caller_uses_one_client() -> None:
    pools, made = pools_of(2)
    assert made == []
    for _ in range(5):
        with pools.acquire() as client:
            assert client is pools.clients[0]
    assert len(made) == 1


def test_a_full_client_is_left_for_the_next() -> None:
    pools, made = pools_of(2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(pools.acquire()) for _ in range(5)]
        first, second, third = pools.clients
        assert clients == [first, first, second, second, third]
    # The first with room is taken.
    with pools.acquire() as client:
        assert client is first
    assert len(made) == 3


def test_a_client_is_released_after_an_error() -> None:
    pools, _ = pools_of(1)
    with pytest.raises(KeyError), pools.acquire():
        raise KeyError
    with pools.acquire() as client:
        assert [client] == pools.clients


def test_without_a_limit_one_client_takes_all() -> None:
    pools, _ = pools_of(None)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(pools.acquire())
    assert len(pools.clients) == 1


def test_the_first_pools_keep_their_connections() -> None:
    pools, made = pools_of(3)
    with contextlib.ExitStack() as stack:
        for _ in range(3 * 22):
            stack.enter_context(pools.acquire())
    assert [limits.max_keepalive_connections for limits in made] == [3] * 20 + [0] * 2
    assert {limits.max_connections for limits in made} == {None}
    assert {limits.keepalive_expiry for limits in made} == {30}


def test_all_threads_share_the_pools() -> None:
    pools = shared_pools()
    assert shared_pools() is pools
    assert pools.clients == []
    with pools.acquire() as client:
        assert isinstance(client, httpx.Client)
    _pools._close()
    assert client.is_closed


def test_nothing_to_close() -> None:
    _pools._close()


def test_the_certificates_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    create = httpx.create_ssl_context

    def create_ssl_context() -> Any:
        loaded.append(1)
        return create()

    monkeypatch.setattr(httpx, "create_ssl_context", create_ssl_context)
    _pools._ssl_context.cache_clear()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(shared_pools().acquire())
    assert len(shared_pools().clients) > 1
    assert len(loaded) == 1


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_DIR", "."), ("HTTPS_PROXY", "http://127.0.0.1:9")]
)
def test_a_new_environment_has_new_pools(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name, raising=False)
    reread_environment()
    before = shared_pools()
    monkeypatch.setenv(name, value)
    assert shared_pools() is before
    reread_environment()
    assert shared_pools() is not before
    monkeypatch.delenv(name)
    reread_environment()
    assert shared_pools() is before


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_FILE", "/nowhere.pem"),
        ("SSL_CERT_FILE", __file__),
        ("HTTPS_PROXY", "nothing://user:password@x"),
        ("ALL_PROXY", "socks5://user:password@127.0.0.1:1"),
        ("HTTP_PROXY", "http://user:password@[::1"),
    ],
)
@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_an_environment_that_cannot_be_used(
    transport: Transport, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    async def use() -> None:
        (await shared_async_pools(transport)).acquire()

    for call in (lambda: shared_pools().acquire(), lambda: asyncio.run(use())):
        reread_environment()
        with pytest.raises(PmockConnectionError, match=name) as caught:
            call()
        assert "password" not in str(caught.value)
        assert not caught.value.is_retryable


def test_each_event_loop_has_its_own_pools() -> None:
    async def use() -> tuple[Pools[httpx.AsyncClient], httpx.AsyncClient]:
        pools = await shared_async_pools()
        assert await shared_async_pools() is pools
        with pools.acquire() as client:
            assert not client.is_closed
        return pools, client

    first, first_client = asyncio.run(use())
    second, second_client = asyncio.run(use())
    assert first is not second
    # asyncio.run shuts the loop down, and the connections with it.
    assert first_client.is_closed
    assert second_client.is_closed
    assert _pools._shared.by_loop == {}


def test_a_loop_that_is_run_by_hand() -> None:
    async def use() -> httpx.AsyncClient:
        with (await shared_async_pools()).acquire() as client:
            return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(use())
    assert not client.is_closed
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert client.is_closed
    loop.close()
    assert _pools._shared.by_loop == {}


def test_a_forked_child_starts_anew() -> None:
    pools = shared_pools()
    with pools.acquire() as client:
        pass
    _pools._reset_after_fork()
    assert shared_pools() is not pools
    # The parent's connections are neither used nor closed.
    _pools._close()
    assert not client.is_closed
    client.close()


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
async def test_how_many_requests_a_client_takes(transport: Transport) -> None:
    pools = await shared_async_pools(transport)
    with contextlib.ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(pools.acquire())
    # aiohttp's pool is fast at any size; each of httpx's takes a few requests at once.
    assert len(pools.clients) == (1 if transport == "aiohttp" else 2)
