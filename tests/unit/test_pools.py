"""Pools: made on first use, lent with room to spare, closed with their event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import httpx
import pytest

from langchain_pmock._gateway import pools as _pools
from langchain_pmock._gateway.pools import Pools, shared_async_pools, shared_pools
from tests.unit.service import Service, says


@pytest.fixture(autouse=True)
def _new_pools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_pools, "_shared", _pools._Shared())


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
        with pools.lend() as client:
            assert client is pools.clients[0]
    assert len(made) == 1


def test_a_full_client_is_left_for_the_next() -> None:
    pools, made = pools_of(2)
    with contextlib.ExitStack() as stack:
        lent = [stack.enter_context(pools.lend()) for _ in range(5)]
        first, second, third = pools.clients
        assert lent == [first, first, second, second, third]
    # What was given back is taken first.
    with pools.lend() as client:
        assert client is first
    assert len(made) == 3


def test_a_client_is_given_back_after_an_error() -> None:
    pools, _ = pools_of(1)
    with pytest.raises(KeyError), pools.lend():
        raise KeyError
    with pools.lend() as client:
        assert [client] == pools.clients


def test_without_a_limit_one_client_takes_all() -> None:
    pools, _ = pools_of(None)
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(pools.lend())
    assert len(pools.clients) == 1


def test_the_first_pools_keep_their_connections() -> None:
    pools, made = pools_of(3)
    with contextlib.ExitStack() as stack:
        for _ in range(3 * 22):
            stack.enter_context(pools.lend())
    assert [limits.max_keepalive_connections for limits in made] == [3] * 20 + [0] * 2
    assert {limits.max_connections for limits in made} == {None}
    assert {limits.keepalive_expiry for limits in made} == {30}


def test_all_threads_share_the_pools() -> None:
    pools = shared_pools()
    assert shared_pools() is pools
    assert pools.clients == []
    with pools.lend() as client:
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
    limits = httpx.Limits()
    for _ in range(3):
        _pools._make_client(limits).close()
    assert len(loaded) == 1


@pytest.mark.parametrize("aiohttp", [False, True])
def test_no_cookies_are_kept(aiohttp: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    # Models with different credentials share a client.
    client: Any = _pools._make_client(httpx.Limits())
    if not aiohttp:
        monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)

    async def check() -> None:
        request = httpx.Request("POST", "https://gateway.invalid")
        with _pools._new_async_pools().lend() as async_client:
            for one in (client, async_client):
                one.cookies.extract_cookies(
                    httpx.Response(200, headers={"set-cookie": "a=b"}, request=request)
                )
                assert not one.cookies
            await async_client.aclose()

    asyncio.run(check())
    client.close()


def test_each_event_loop_has_its_own_pools() -> None:
    async def use() -> tuple[Pools[httpx.AsyncClient], httpx.AsyncClient]:
        pools = await shared_async_pools()
        assert await shared_async_pools() is pools
        with pools.lend() as client:
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
        with (await shared_async_pools()).lend() as client:
            return client

    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(use())
    assert not client.is_closed
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert client.is_closed
    loop.close()
    assert _pools._shared.by_loop == {}


def test_loops_that_are_gone_are_forgotten() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    keeper: Any = None
    _pools._shared.by_loop[loop] = (Pools(_pools._make_async_client), keeper)

    async def use() -> None:
        await shared_async_pools()
        assert loop not in _pools._shared.by_loop

    asyncio.run(use())


def test_a_forked_child_starts_anew() -> None:
    pools = shared_pools()
    with pools.lend() as client:
        pass
    _pools._forget()
    assert shared_pools() is not pools
    # The parent's connections are neither used nor closed.
    _pools._close()
    assert not client.is_closed
    client.close()


@pytest.mark.parametrize("installed", [False, True])
def test_aiohttp_is_used_where_it_is_installed(
    installed: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if installed:
        pytest.importorskip("httpx_aiohttp")
    else:
        monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
    pools = _pools._new_async_pools()
    with contextlib.ExitStack() as stack:
        for _ in range(2 * _pools._AT_ONCE):
            stack.enter_context(pools.lend())
    bases = {base for client in pools.clients for base in type(client._transport).mro()}
    assert ("AiohttpTransport" in {base.__name__ for base in bases}) == installed
    # aiohttp's pool is fast at any size; each of httpx's takes a few requests at once.
    assert len(pools.clients) == (1 if installed else 2)
