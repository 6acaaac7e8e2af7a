"""Connections, shared by all models of the process: its only state.

httpx2's pool iterates over its connections for each request, so that the cost of a
request grows with the number of concurrent ones. Here each client handles a few
requests at a time, and another client is created when all are busy. The cost of a
request stays constant, and a single caller uses a single client.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import heapq
import os
import ssl
import threading
import time
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx2

from langchain_pmock.errors import PmockConnectionError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    Environment = tuple[str | None, ...]

Client = TypeVar("Client")

_AT_ONCE = 6  # concurrent requests of one client
_KEEP_ALIVE_CLIENTS = 20  # clients that keep idle connections, 120 in total
_KEEP_ALIVE_SECONDS = 30.0

# The environment variables that httpx2 reads when a client is created.
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
_VARIABLES = (*_CERTIFICATES, *_PROXIES, *map(str.lower, _PROXIES))


@dataclass(slots=True)
class Lease(Generic[Client]):
    """A client for one request; without pools, one of the user's.

    Attributes:
        is_retired: Whether the client may be unusable.
    """

    client: Client
    _pools: Pools[Client] | None = None
    _index: int = 0
    is_retired: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is a client of the user's; before it is released."""
        return self._pools is None

    def release(self) -> None:
        """Release the client."""
        pools, self._pools = self._pools, None
        if pools is not None:
            pools.release(self._index)

    def retire(self) -> None:
        """Give the client to no other request: it may have been left locked."""
        self.is_retired = True
        if self._pools is not None:
            self._pools.retire(self._index, self.client)


class Pools(Generic[Client]):
    """Clients of one kind, each with its own connection pool. Thread-safe."""

    def __init__(self, make: Callable[[int], Client]) -> None:
        """Initialize the pools without a client.

        `make` creates one that keeps up to so many idle connections.
        """
        self._make = make
        # Reentrant, because the garbage collector may close a stream at any moment.
        self._lock = threading.RLock()
        self._clients: dict[int, Client] = {}  # by index
        self._busy: list[int] = []  # number of requests, by index
        self._free: list[int] = []  # heap of the indexes with capacity
        self._idle: dict[int, float] = {}  # by index, since when

    # An interruption (Ctrl-C) may end each of these methods after any statement.

    def acquire(self) -> Lease[Client]:
        """Acquire a client for one request."""
        with self._lock:
            if not self._free:
                self._busy.append(0)
                heapq.heappush(self._free, len(self._busy) - 1)
            index = self._free[0]
            if (client := self._clients.get(index)) is None:
                client = self._make(_AT_ONCE if index < _KEEP_ALIVE_CLIENTS else 0)
                self._clients[index] = client
            self._idle.pop(index, None)
            self._busy[index] += 1
            if self._busy[index] >= _AT_ONCE:
                heapq.heappop(self._free)
            return Lease(client, self, index)

    def release(self, index: int) -> None:
        """Release a client."""
        with self._lock:
            is_full = self._busy[index] >= _AT_ONCE
            self._busy[index] -= 1
            if not self._busy[index]:
                self._idle[index] = time.monotonic()
            if is_full and index not in self._free:
                heapq.heappush(self._free, index)

    def retire(self, index: int, client: Client) -> None:
        """Remove a client; its other requests finish."""
        with self._lock:
            if self._clients.get(index) is client:
                del self._clients[index]

    def expired(self) -> list[Client]:
        """Remove the clients without a request for so long that they can be closed.

        httpx2 closes idle connections of a client with its next request, which may
        never come.
        """
        with self._lock:
            last = time.monotonic() - _KEEP_ALIVE_SECONDS
            found = []
            for index in [*self._idle]:  # in the order in which they became idle
                if self._idle[index] >= last:
                    break
                del self._idle[index]
                found.append(self._clients.pop(index, None))
            return [client for client in found if client is not None]

    @property
    def clients(self) -> list[Client]:
        """The clients that are not retired."""
        return list(self._clients.values())


class _Process:
    """The pools of the process: for sync calls, and for each event loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.contexts: dict[Environment, ssl.SSLContext] = {}
        self.pools: dict[Environment, Pools[httpx2.Client]] = {}
        self.by_loop: dict[asyncio.AbstractEventLoop, _OfLoop] = {}
        self.of_parent: list[object] = []

    def forget_parent(self) -> None:
        """Start without connections in a forked child; they belong to the parent.

        They are kept, because the parent's would be closed with them.
        """
        of_parent = [*self.of_parent, self.contexts, self.pools, self.by_loop]
        self.__init__()  # type: ignore[misc]
        self.of_parent = of_parent

    def context(self, environment: Environment) -> ssl.SSLContext:
        """Load the certificates, which takes tens of milliseconds, once."""
        key = environment[: len(_CERTIFICATES)]
        if key not in self.contexts:
            self.contexts[key] = httpx2.create_ssl_context()
        return self.contexts[key]


class _OfLoop:
    """The pools of one event loop, closed when the loop is shut down."""

    def __init__(self) -> None:
        self.pools: dict[Environment, Pools[httpx2.AsyncClient]] = {}
        self.keeper: AsyncGenerator[None, None] = self._close_with_loop()

    async def _close_with_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _process.lock:
                _process.by_loop.pop(asyncio.get_running_loop(), None)
            for pools in self.pools.values():
                for client in pools.clients:
                    await client.aclose()


_process = _Process()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_process.forget_parent)


def shared_pools() -> Pools[httpx2.Client]:
    """Return the pools that all threads share, closed when the process exits."""
    environment = tuple(map(os.environ.get, _VARIABLES))
    with _process.lock:
        if (pools := _process.pools.get(environment)) is None:
            pools = _pools(httpx2.Client, environment)
            _process.pools[environment] = pools
    for client in pools.expired():
        with contextlib.suppress(Exception):  # this call does not depend on it
            client.close()
    return pools


@atexit.register
def close_shared_pools() -> None:
    """Close the connections of sync calls at the exit; a later call opens others."""
    pools, _process.pools = _process.pools, {}
    for each in pools.values():
        for client in each.clients:
            client.close()


async def shared_async_pools() -> Pools[httpx2.AsyncClient]:
    """Return the pools of the running event loop, closed when it is shut down.

    `asyncio.run` does that. A loop that is run by hand needs `loop.shutdown_asyncgens`
    before `loop.close`.
    """
    loop = asyncio.get_running_loop()
    if (of_loop := _process.by_loop.get(loop)) is None:
        of_loop = _OfLoop()
        # The shutdown of a loop closes the asynchronous generators started in it. Only
        # then can its connections be closed.
        await anext(of_loop.keeper)
        with _process.lock:
            for closed in [loop for loop in _process.by_loop if loop.is_closed()]:
                del _process.by_loop[closed]
            _process.by_loop[loop] = of_loop
    environment = tuple(map(os.environ.get, _VARIABLES))
    if (pools := of_loop.pools.get(environment)) is None:
        pools = _pools(httpx2.AsyncClient, environment)
        of_loop.pools[environment] = pools
    if clients := pools.expired():  # though this call is cancelled
        closing = asyncio.gather(*(c.aclose() for c in clients), return_exceptions=True)
        await asyncio.shield(closing)
    return pools


def _pools(make: Any, environment: Environment) -> Any:
    """Create pools of a class of clients."""

    def make_client(keep_alive: int) -> Any:
        problem = ""
        try:
            return make(
                verify=_process.context(environment),
                limits=httpx2.Limits(
                    max_connections=None,
                    max_keepalive_connections=keep_alive,
                    keepalive_expiry=_KEEP_ALIVE_SECONDS,
                ),
                # No cookies, because models with other credentials share the clients.
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            )
        except (OSError, ssl.SSLError) as error:
            problem = (
                f"the certificates of SSL_CERT_FILE={os.environ.get('SSL_CERT_FILE')!r}"
                f" or SSL_CERT_DIR={os.environ.get('SSL_CERT_DIR')!r} cannot be loaded:"
                f" {error}"
            )
        except (ValueError, httpx2.InvalidURL, ImportError) as error:
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

    return Pools(make_client)
