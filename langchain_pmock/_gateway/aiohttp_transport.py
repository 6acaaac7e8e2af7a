"""aiohttp as the transport of async calls: the extra `aiohttp`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from aiohttp import ClientPayloadError, ClientSession, DummyCookieJar, TCPConnector
from httpx_aiohttp import AiohttpTransport
from typing_extensions import override

from langchain_pmock._gateway.pools import NoCookies

if TYPE_CHECKING:
    import asyncio
    import ssl


def make_client(limits: httpx.Limits, *, verify: ssl.SSLContext) -> httpx.AsyncClient:
    """Make a client that takes any number of requests at once.

    Args:
        limits: The limits of its connections, but for their number.
        verify: The certificates to trust.

    Returns:
        The client.
    """
    hooks = {"response": [fail_with_connection]}
    return _Client(verify=verify, limits=limits, event_hooks=hooks)


class _Transport(AiohttpTransport):
    """Any number of connections, and no cookies: aiohttp would keep them itself."""

    @override
    def get_client(self) -> ClientSession:
        connector = TCPConnector(
            limit=0,  # none
            keepalive_timeout=self.limits.keepalive_expiry,
            ssl=self.ssl_context,
        )
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar())


class _Client(httpx.AsyncClient):
    """Has aiohttp's transport, for the environment's proxies too.

    httpx has no public way to replace both, and no other way than httpx-aiohttp's own.
    """

    cookies = NoCookies()  # type: ignore[override]

    def _init_transport(self, **options: Any) -> _Transport:  # type: ignore[override]
        return _Transport(**options)

    def _init_proxy_transport(  # type: ignore[override]
        self, proxy: httpx.Proxy, **options: Any
    ) -> _Transport:
        return _Transport(proxy=proxy, **options)


async def fail_with_connection(response: httpx.Response) -> None:
    """Let a body fail if its connection ends.

    If the chunks of a body are framed wrongly, aiohttp hangs up but does not tell who
    waits for the body: they would wait without end, whatever the timeout.
    """
    # There is no public way from httpx's response to aiohttp's.
    stream = getattr(response.stream, "_stream", None)
    answer = getattr(stream, "_aiohttp_response", None)
    connection = getattr(answer, "connection", None)  # none if all has come already
    closed = getattr(getattr(connection, "protocol", None), "closed", None)
    if answer is None or closed is None:
        return
    content = answer.content

    def fail(_: object) -> None:
        if content.exception() is None and not content.is_eof():
            content.set_exception(ClientPayloadError("the connection was lost"))

    closed.add_done_callback(fail)
    content.on_eof(lambda: closed.remove_done_callback(fail))
    # Once for each connection, however many responses it brings.
    closed.remove_done_callback(_look_at)
    closed.add_done_callback(_look_at)


def _look_at(closed: asyncio.Future[None]) -> None:
    """Look at how a connection ended: asyncio complains of errors nobody looks at."""
    if not closed.cancelled():
        closed.exception()
