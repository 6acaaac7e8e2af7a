"""Pools: created at first use, shared, closed with their event loop."""

import asyncio
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from langchain_pmock import PmockConnectionError
from langchain_pmock._gateway import pools as module
from langchain_pmock._gateway.pools import (
    Lease,
    Pools,
    close_shared_pools,
    shared_async_pools,
    shared_pools,
)


def pools_of() -> tuple[Pools[int], list[int]]:
    """Pools whose clients are numbers, and the connections that each may keep."""
    keeps: list[int] = []

    def make(keep_alive: int) -> int:
        keeps.append(keep_alive)
        return len(keeps)

    return Pools(make), keeps


def test_single_caller_uses_a_single_client() -> None:
    pools, keeps = pools_of()
    assert keeps == []
    for _ in range(5):
        lease = pools.acquire()
        assert lease.client == 1
        lease.release()
        lease.release()  # once more changes nothing
    assert pools.clients == [1]
    assert [pools.acquire().client for _ in range(7)] == [1] * 6 + [2]


def test_client_takes_six_requests_at_once() -> None:
    pools, _ = pools_of()
    leases = [pools.acquire() for _ in range(14)]
    assert [lease.client for lease in leases] == [1] * 6 + [2] * 6 + [3] * 2
    for index in (7, 3):
        leases[index].release()
    # The first with capacity is taken.
    assert [pools.acquire().client for _ in range(3)] == [1, 2, 3]


def test_threads_wait_for_the_client_that_one_creates() -> None:
    clients = iter(range(1, 3))

    def make(_: int) -> int:
        time.sleep(0.05)  # the other thread comes
        return next(clients)

    pools = Pools(make)
    with ThreadPoolExecutor() as threads:
        threads.map(lambda _: pools.acquire(), range(2))
    assert pools.clients == [1]


def test_first_clients_keep_their_connections() -> None:
    pools, keeps = pools_of()
    for _ in range(6 * 22):
        pools.acquire()
    assert keeps == [6] * 20 + [0] * 2


@pytest.mark.parametrize("busy", [1, 6])
def test_retired_client_is_given_to_no_other(busy: int) -> None:
    pools, _ = pools_of()
    leases = [pools.acquire() for _ in range(busy)]
    leases[0].retire()
    assert [lease.is_retired for lease in leases] == [True] + [False] * (busy - 1)
    assert pools.clients == []
    for lease in leases:
        lease.release()
    assert pools.acquire().client == 2
    leases[0].retire()  # twice changes nothing
    assert pools.clients == [2]


def test_client_of_the_user_is_leased_without_pools() -> None:
    lease = Lease("client")
    lease.retire()
    lease.release()
    assert (lease.client, lease.is_retired) == ("client", True)


# --- Of the process ------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _no_pools(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in module._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    close_shared_pools()
    yield
    close_shared_pools()


def test_sync_pools_are_closed_at_the_exit() -> None:
    pools = shared_pools()
    assert shared_pools() is pools
    assert pools.clients == []
    client = pools.acquire().client
    assert isinstance(client, httpx2.Client)
    close_shared_pools()
    assert client.is_closed
    close_shared_pools()
    assert shared_pools() is not pools


async def test_clients_that_stay_idle_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for pools in (shared_pools(), await shared_async_pools()):
        leases: list[Lease[Any]] = [pools.acquire() for _ in range(13)]
        for lease in leases[:12]:
            lease.release()
    shared_pools()
    await shared_async_pools()
    assert len(pools.clients) == 3
    monkeypatch.setattr(module, "_KEEP_ALIVE_SECONDS", -1.0)
    for pools in (shared_pools(), await shared_async_pools()):
        assert len(pools.clients) == 1
        assert not pools.acquire().client.is_closed
    assert [lease.client.is_closed for lease in leases] == [True] * 12 + [False]


def test_settings_of_a_client(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[dict[str, Any]] = []

    class Client:
        def __init__(self, **given: Any) -> None:
            options.append(given)

        def close(self) -> None:
            pass

    monkeypatch.setattr(httpx2, "Client", Client)
    for _ in range(7):
        shared_pools().acquire()
    first, second = options
    limits = first["limits"]
    assert (limits.max_connections, limits.keepalive_expiry) == (None, 30)
    assert limits.max_keepalive_connections == 6
    assert first["verify"] is second["verify"]  # certificates are loaded once
    assert isinstance(first["verify"], ssl.SSLContext)


def test_cookies_are_not_kept() -> None:
    client = shared_pools().acquire().client
    request = httpx2.Request("GET", "https://gateway.invalid")
    headers = {"set-cookie": "a=b"}
    response = httpx2.Response(200, headers=headers, request=request)
    client.cookies.extract_cookies(response)
    assert len(client.cookies.jar) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SSL_CERT_DIR", "."),
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("no_proxy", "x"),
    ],
)
def test_environment_is_that_of_the_call(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pools() -> tuple[Any, Any]:
        before = await shared_async_pools()
        monkeypatch.setenv(name, value)
        changed = await shared_async_pools()
        assert changed.acquire().client is not before.acquire().client
        monkeypatch.delenv(name)
        assert await shared_async_pools() is before
        return before, changed

    before, changed = asyncio.run(pools())
    assert before is not changed
    sync = shared_pools()
    monkeypatch.setenv(name, value)
    assert shared_pools() is not sync
    monkeypatch.delenv(name)
    assert shared_pools() is sync


def test_certificates_are_loaded_once() -> None:
    process, no_proxies = module._Process(), (None,) * 8
    context = process.context((None, None, *no_proxies))
    assert (
        process.context((None, None, "http://127.0.0.1:9", *no_proxies[1:])) is context
    )
    assert process.context((None, ".", *no_proxies)) is not context


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
def test_environment_that_cannot_be_used(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    async def acquire() -> None:
        (await shared_async_pools()).acquire()

    for call in (
        lambda: shared_pools().acquire(),
        lambda: asyncio.run(acquire()),
    ):
        with pytest.raises(PmockConnectionError, match=name) as caught:
            call()
        assert "password" not in str(caught.value)
        assert not caught.value.is_retryable
        assert caught.value.__context__ is None


def test_other_exception_of_a_client_propagates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def client(**_: Any) -> None:
        raise ImportError("h2")

    monkeypatch.setattr(httpx2, "Client", client)
    with pytest.raises(ImportError, match="h2"):
        shared_pools().acquire()


def test_each_event_loop_has_its_own_pools() -> None:
    before = dict(module._process.by_loop)

    async def use() -> tuple[Pools[httpx2.AsyncClient], httpx2.AsyncClient]:
        pools = await shared_async_pools()
        assert await shared_async_pools() is pools
        client = pools.acquire().client
        assert not client.is_closed
        return pools, client

    first, first_client = asyncio.run(use())
    second, second_client = asyncio.run(use())
    assert first is not second
    # asyncio.run shuts the loop down, and the connections with it.
    assert first_client.is_closed
    assert second_client.is_closed
    assert module._process.by_loop.keys() <= before.keys()
