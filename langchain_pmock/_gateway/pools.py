"""Connection pools, created on first use and shared by all models of the process.

httpx's pool iterates over its connections for each request, so that the cost of a
request grows with the number of concurrent ones. Here each pool handles a few requests
at a time, and another pool is created when all are busy. The cost of a request stays
constant, and a single caller uses a single pool.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import ssl
import threading
from functools import cache, lru_cache, partial
from http.cookiejar import CookieJar
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import httpx
from typing_extensions import override

from langchain_pmock.errors import PmockConnectionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)
Transport = Literal["httpx", "aiohttp"]

_AT_ONCE = 6  # concurrent requests of one pool
_KEEP_ALIVE_POOLS = 20  # pools that keep idle connections, 120 in total
_KEEP_ALIVE_SECONDS = 30.0

# The environment variables that httpx reads when a client is created.
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", *_PROXIES, *map(str.lower, _PROXIES))


class Lease(Generic[Client]):
    """A client for one request, released at the end of a `with` block.

    Attributes:
        client: The client.
    """

    __slots__ = ("_index", "_pools", "client")

    def __init__(
        self, client: Client, pools: Pools[Client] | None = None, index: int = 0
    ) -> None:
        """Initialize the lease."""
        self.client: Client = client
        self._pools: Pools[Client] | None = pools
        self._index = index

    def release(self) -> None:
        """Release the client."""
        if self._pools is not None:
            self._pools.release(self._index)

    def __enter__(self) -> Client:
        """Return the client."""
        return self.client

    def __exit__(self, *_: object) -> None:
        """Release the client."""
        self.release()


class Pools(Generic[Client]):
    """Clients of one kind, each with its own connection pool. Thread-safe."""

    def __init__(
        self, make: Callable[[httpx.Limits], Client], at_once: int | None = _AT_ONCE
    ) -> None:
        """Initialize the pools without a client.

        Each client takes `at_once` concurrent requests, or any number if it is `None`.
        """
        self._make: Callable[[httpx.Limits], Client] = make
        self._at_once = at_once
        # Reentrant, because the garbage collector may close a stream at any moment.
        self._lock = threading.RLock()
        self._busy: list[int] = []
        self._full = 0  # number of leading clients without capacity
        self.clients: list[Client] = []

    def acquire(self) -> Lease[Client]:
        """Acquire a client for one request."""
        with self._lock:
            index = self._with_room()
            self._busy[index] += 1
            return Lease(self.clients[index], self, index)

    def release(self, index: int) -> None:
        """Release a client."""
        with self._lock:
            self._busy[index] -= 1
            self._full = min(self._full, index)

    def _with_room(self) -> int:
        for index in range(self._full, len(self._busy)):
            if self._at_once is None or self._busy[index] < self._at_once:
                return index
            self._full = index + 1
        keep_alive = self._at_once if len(self.clients) < _KEEP_ALIVE_POOLS else 0
        limits = httpx.Limits(
            max_connections=None,
            max_keepalive_connections=keep_alive,
            keepalive_expiry=_KEEP_ALIVE_SECONDS,
        )
        self.clients.append(self._make(limits))
        self._busy.append(0)
        return len(self.clients) - 1


class _NoCookies(CookieJar):
    """Stores no cookies, because models with other credentials share the clients."""

    @override
    def extract_cookies(self, response: Any, request: Any) -> None:
        pass


@cache
def _ssl_context(environment: tuple[str | None, ...]) -> ssl.SSLContext:
    """Load the certificates, which takes tens of milliseconds."""
    del environment
    return httpx.create_ssl_context()


def _make_client(
    limits: httpx.Limits, *, environment: tuple[str | None, ...]
) -> httpx.Client:
    verify = _ssl_context(environment)
    return httpx.Client(verify=verify, limits=limits, cookies=_NoCookies())


def _make_async_client(
    limits: httpx.Limits, *, environment: tuple[str | None, ...], transport: Transport
) -> httpx.AsyncClient:
    verify = _ssl_context(environment)
    if transport == "httpx":
        return httpx.AsyncClient(verify=verify, limits=limits, cookies=_NoCookies())
    from langchain_pmock._gateway.aiohttp_transport import (  # noqa: PLC0415 - an extra
        AiohttpTransport,
    )

    return httpx.AsyncClient(
        transport=AiohttpTransport(verify, _KEEP_ALIVE_SECONDS), cookies=_NoCookies()
    )


class _Shared:
    """The pools of the process, for sync calls and for each event loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pools: dict[tuple[str | None, ...], Pools[httpx.Client]] = {}
        self.by_loop: dict[asyncio.AbstractEventLoop, _OfLoop] = {}

    def close(self) -> None:
        # Another exit handler may use a model later.
        pools, self.pools = self.pools, {}
        for each in pools.values():
            for client in each.clients:
                client.close()


class _OfLoop:
    """The pools of one event loop, closed when the loop is shut down."""

    def __init__(self) -> None:
        self.pools: dict[
            tuple[Transport, tuple[str | None, ...]], Pools[httpx.AsyncClient]
        ] = {}
        self.keeper: AsyncGenerator[None, None] = self._close_with_loop()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _shared.lock:
                _shared.by_loop.pop(asyncio.get_running_loop(), None)
            for pools in self.pools.values():
                for client in pools.clients:
                    await client.aclose()


_shared = _Shared()


@lru_cache(maxsize=1)
def _environment() -> tuple[str | None, ...]:
    """Return the variables that clients depend on, as they were last read."""
    return tuple(map(os.environ.get, _VARIABLES))


def reread_environment() -> None:
    """Read the environment variables again at the next request.

    To read them for each one would take 2 % of a call. A notebook may set them after a
    call that failed, or before it creates another model.
    """
    _environment.cache_clear()


def shared_pools() -> Pools[httpx.Client]:
    """Return the pools that all threads share, closed when the process exits."""
    environment = _environment()
    with _shared.lock:
        if (pools := _shared.pools.get(environment)) is None:
            make = partial(_make_client, environment=environment)
            pools = _shared.pools[environment] = Pools(_configured(make))
        return pools


async def shared_async_pools(
    transport: Transport = "httpx",
) -> Pools[httpx.AsyncClient]:
    """Return the pools of the running event loop, closed when it is shut down.

    `asyncio.run` does that. A loop that is run by hand needs `loop.shutdown_asyncgens`
    before `loop.close`.
    """
    loop = asyncio.get_running_loop()
    if (of_loop := _shared.by_loop.get(loop)) is None:
        of_loop = _OfLoop()
        # The shutdown of a loop closes the asynchronous generators started in it. Only
        # then can its connections be closed.
        await anext(of_loop.keeper)
        with _shared.lock:
            for closed in [loop for loop in _shared.by_loop if loop.is_closed()]:
                del _shared.by_loop[closed]
            _shared.by_loop[loop] = of_loop
    key = transport, _environment()
    if (pools := of_loop.pools.get(key)) is None:
        make = partial(_make_async_client, transport=transport, environment=key[1])
        at_once = None if transport == "aiohttp" else _AT_ONCE
        pools = of_loop.pools[key] = Pools(_configured(make), at_once)
    return pools


def _configured(
    make: Callable[[httpx.Limits], Client],
) -> Callable[[httpx.Limits], Client]:
    """Raise this package's error for invalid environment variables."""

    def make_client(limits: httpx.Limits) -> Client:
        problem = ""
        try:
            return make(limits)
        except (OSError, ssl.SSLError) as error:
            problem = (
                f"the certificates of SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')!r}"
                f" or SSL_CERT_DIR={os.environ.get('SSL_CERT_DIR')!r} cannot be loaded:"
                f" {error}"
            )
        except (ValueError, httpx.InvalidURL, ImportError) as error:
            if not any(map(os.environ.get, _VARIABLES[2:])):
                raise
            # The URL is not shown, because it may have a password.
            problem = (
                "HTTPS_PROXY, HTTP_PROXY or ALL_PROXY cannot be used "
                f"({type(error).__name__})"
            )
        found = PmockConnectionError.of(problem)
        found.is_retryable = False
        raise found

    return make_client


def _reset_after_fork() -> None:
    """Start without connections in a forked child; they belong to the parent."""
    global _shared, _parents
    _parents, _shared = _shared, _Shared()


@atexit.register
def _close() -> None:
    _shared.close()


_parents: _Shared | None = None  # keeps a child from closing its parent's
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)
