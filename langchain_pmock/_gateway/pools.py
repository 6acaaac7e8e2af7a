"""Connection pools: made on first use, shared by every model of the process.

httpx's pool looks at each of its connections for each request, so that a thousand at
once cost far more than ten times what a hundred cost. Here each pool takes a few
requests at a time and the next pool is made when all are full: the cost of a request
stays the same however many are under way, and a single caller uses a single pool.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from functools import cache, partial
from typing import TYPE_CHECKING, Generic, TypeVar

import httpx
from typing_extensions import override

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable

Client = TypeVar("Client", httpx.Client, httpx.AsyncClient)

_AT_ONCE = 6  # requests that one pool takes at once
_KEEP_ALIVE_POOLS = 20  # how many pools keep idle connections: 120 in all
_KEEP_ALIVE_SECONDS = 30.0


class Loan(Generic[Client]):
    """A client for one request. As a context manager it is given back at the end.

    Attributes:
        client: The client.
    """

    __slots__ = ("_index", "_pools", "client")

    def __init__(
        self, client: Client, pools: Pools[Client] | None = None, index: int = 0
    ) -> None:
        """Lend a client.

        Args:
            client: The client.
            pools: Whose it is; `None` if it is nobody's.
            index: Which of theirs it is.
        """
        self.client: Client = client
        self._pools: Pools[Client] | None = pools
        self._index = index

    def give_back(self) -> None:
        """Give the client back."""
        if self._pools is not None:
            self._pools.take_back(self._index)

    def __enter__(self) -> Client:
        """Give the client."""
        return self.client

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self.give_back()


class Pools(Generic[Client]):
    """Clients of one kind, each with a pool of its own; the first with room is taken.

    Safe to use from several threads.
    """

    def __init__(
        self, make: Callable[[httpx.Limits], Client], at_once: int | None = _AT_ONCE
    ) -> None:
        """Start without a client.

        Args:
            make: Makes a client whose connections are limited so.
            at_once: How many requests a client takes at once; `None` for any number.
        """
        self._make: Callable[[httpx.Limits], Client] = make
        self._at_once = at_once
        # Reentrant: the garbage collector may end a stream while this thread holds it,
        # and where no thread can start, its client is given back in this one.
        self._lock = threading.RLock()
        self._busy: list[int] = []
        self._full = 0  # how many of the first have no room
        self.clients: list[Client] = []

    def lend(self) -> Loan[Client]:
        """Lend a client for one request.

        Returns:
            The first client with room for one more.
        """
        with self._lock:
            index = self._with_room()
            self._busy[index] += 1
            return Loan(self.clients[index], self, index)

    def take_back(self, index: int) -> None:
        """Take a client back; a loan does it.

        Args:
            index: Which of the clients it is.
        """
        with self._lock:
            self._busy[index] -= 1
            self._full = min(self._full, index)

    def _with_room(self) -> int:
        for index in range(self._full, len(self._busy)):
            if self._at_once is None or self._busy[index] < self._at_once:
                return index
            self._full = index + 1
        keep_alive = self._at_once if len(self.clients) < _KEEP_ALIVE_POOLS else 0
        self.clients.append(
            self._make(
                httpx.Limits(
                    max_connections=None,
                    max_keepalive_connections=keep_alive,
                    keepalive_expiry=_KEEP_ALIVE_SECONDS,
                )
            )
        )
        self._busy.append(0)
        return len(self.clients) - 1


@cache
def _ssl_context() -> ssl.SSLContext:
    """Load the certificate store once: it takes tens of milliseconds."""
    return httpx.create_ssl_context()


class NoCookies(httpx.Cookies):
    """Keeps no cookies: the clients are shared by models with other credentials."""

    @override
    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave them, and do not look at them either: that takes a while."""


class _SyncClient(httpx.Client):
    cookies = NoCookies()  # type: ignore[override]


class _AsyncClient(httpx.AsyncClient):
    cookies = NoCookies()  # type: ignore[override]


def _make_client(limits: httpx.Limits) -> httpx.Client:
    return _SyncClient(verify=_ssl_context(), limits=limits)


def _make_async_client(limits: httpx.Limits) -> httpx.AsyncClient:
    return _AsyncClient(verify=_ssl_context(), limits=limits)


def _new_async_pools() -> Pools[httpx.AsyncClient]:
    """Use aiohttp as the transport where the extra `aiohttp` is installed."""
    try:
        import httpx_aiohttp  # noqa: F401, PLC0415 - an extra, slow to load
    except ImportError:
        return Pools(_make_async_client)
    from langchain_pmock._gateway import aiohttp_transport  # noqa: PLC0415 - as above

    return Pools(
        partial(aiohttp_transport.make_client, verify=_ssl_context()), at_once=None
    )


class _Shared:
    """The process's pools: one for threads, one for each running event loop."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.pools: Pools[httpx.Client] | None = None
        self.by_loop: dict[
            asyncio.AbstractEventLoop,
            tuple[Pools[httpx.AsyncClient], AsyncGenerator[None, None]],
        ] = {}

    def close(self) -> None:
        for client in self.pools.clients if self.pools else ():
            client.close()


_shared = _Shared()


def shared_pools() -> Pools[httpx.Client]:
    """Give the pools that all threads share.

    Returns:
        The pools. They are closed when the process exits.
    """
    with _shared.lock:
        if _shared.pools is None:
            _shared.pools = Pools(_make_client)
        return _shared.pools


async def shared_async_pools() -> Pools[httpx.AsyncClient]:
    """Give the pools of the running event loop: connections cannot change loops.

    Returns:
        The pools. They are closed when the loop is shut down, as `asyncio.run` does;
        who runs a loop by hand calls `loop.shutdown_asyncgens` before `loop.close`.
    """
    loop = asyncio.get_running_loop()
    if (found := _shared.by_loop.get(loop)) is not None:
        return found[0]
    pools = _new_async_pools()
    keeper = _close_with_loop(pools)
    # The loop closes every asynchronous generator that was started on it and is not
    # done when it is shut down: the one moment at which connections can be closed.
    await keeper.__anext__()
    with _shared.lock:
        for closed in [loop for loop in _shared.by_loop if loop.is_closed()]:
            del _shared.by_loop[closed]
        _shared.by_loop[loop] = pools, keeper
    return pools


async def _close_with_loop(
    pools: Pools[httpx.AsyncClient],
) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        with _shared.lock:
            _shared.by_loop.pop(asyncio.get_running_loop(), None)
        for client in pools.clients:
            await client.aclose()


def _forget() -> None:
    """Start anew in a forked child: connections cannot be shared with the parent."""
    global _shared, _parents
    _parents, _shared = _shared, _Shared()


@atexit.register
def _close() -> None:
    _shared.close()


_parents: _Shared | None = None  # kept, so that a child does not hang up on its parent
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
