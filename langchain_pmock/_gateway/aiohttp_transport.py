"""An httpx transport based on aiohttp, for the extra `aiohttp`.

It takes about half the CPU time of httpcore per request. Only public names of httpx and
aiohttp are used.
"""

from __future__ import annotations

import contextlib
import io
import urllib.request
from typing import TYPE_CHECKING

import aiohttp
import httpx
from typing_extensions import override

if TYPE_CHECKING:
    import asyncio
    import ssl
    from collections.abc import AsyncIterator, Iterator

_LARGEST_HEADER = 65_536  # bytes; aiohttp's default is 8,190, httpx's 100 kB in all
_READ_SIZE = 65_536  # bytes


class AiohttpTransport(httpx.AsyncBaseTransport):
    """Sends the requests of an `httpx.AsyncClient` over aiohttp.

    The number of connections is unlimited, cookies are not stored, and the proxies are
    those of the environment at construction.
    """

    def __init__(self, verify: ssl.SSLContext, keepalive_expiry: float) -> None:
        """Initialize the transport, without opening a connection."""
        self._verify = verify
        self._keepalive_expiry = keepalive_expiry
        self._proxies = {
            scheme: httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
            for scheme, proxy in urllib.request.getproxies().items()
            if scheme in ("http", "https", "all")
        }
        if {proxy.scheme for proxy in self._proxies.values()} - {"http", "https"}:
            msg = "aiohttp only supports http:// and https:// proxies"
            raise ValueError(msg)
        self._session: aiohttp.ClientSession | None = None

    @override
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=self._keepalive_expiry, ssl=self._verify
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=_LARGEST_HEADER,
                max_field_size=_LARGEST_HEADER,
            )
        timeout = request.extensions.get("timeout", {})
        with _translated():
            response = await self._session.request(
                request.method,
                str(request.url),
                headers=list(request.headers.multi_items()),
                data=io.BytesIO(request.content),  # not copied
                allow_redirects=False,
                proxy=self._proxy(request.url),
                timeout=aiohttp.ClientTimeout(
                    total=None,
                    # A proxy's answer to CONNECT has no other limit.
                    connect=timeout.get("connect"),
                    sock_read=timeout.get("read"),
                ),
            )
        _fail_with_connection(response)
        return httpx.Response(
            response.status,
            headers=response.raw_headers,
            stream=_Body(response),
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (response.reason or "").encode("latin-1", "replace"),
            },
        )

    @override
    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _proxy(self, url: httpx.URL) -> str | None:
        proxy = self._proxies.get(url.scheme) or self._proxies.get("all")
        if proxy is None or urllib.request.proxy_bypass(url.host):
            return None
        return str(proxy)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @override
    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for piece in self._response.content.iter_chunked(_READ_SIZE):
                yield piece

    @override
    async def aclose(self) -> None:
        connection = self._response.connection  # none once the body was read
        if connection is not None and connection.transport is not None:
            # Closing would wait for the peer's close_notify, possibly forever.
            connection.transport.abort()
        self._response.close()


def _fail_with_connection(response: aiohttp.ClientResponse) -> None:
    """Make reads of the body fail if the connection is closed.

    If the framing of a chunked body is invalid, aiohttp 3.14 closes the connection, but
    a waiting read would never return, even with a timeout.
    """
    connection = response.connection  # none if the body was received already
    protocol = None if connection is None else connection.protocol
    closed = None if protocol is None else protocol.closed
    if closed is None:
        return
    content = response.content

    def fail(_: object) -> None:
        if content.exception() is None and not content.is_eof():
            content.set_exception(aiohttp.ClientPayloadError("the connection was lost"))

    def stop() -> None:
        closed.remove_done_callback(fail)

    closed.add_done_callback(fail)
    content.on_eof(stop)
    # Once per connection, not per response.
    closed.remove_done_callback(_retrieve)
    closed.add_done_callback(_retrieve)


def _retrieve(closed: asyncio.Future[None]) -> None:
    """Retrieve the exception, because asyncio logs those that are not retrieved."""
    if not closed.cancelled():
        closed.exception()


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Convert aiohttp's exceptions to the corresponding ones of httpx."""
    try:
        yield
    except TimeoutError as error:
        is_connect = isinstance(error, aiohttp.ConnectionTimeoutError)
        cls = httpx.ConnectTimeout if is_connect else httpx.ReadTimeout
        raise cls(str(error)) from error
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error)) from error
    except aiohttp.InvalidURL as error:
        raise httpx.UnsupportedProtocol(str(error)) from error
    except (aiohttp.ClientError, aiohttp.http.HttpProcessingError) as error:
        msg = f"{error} ({type(error).__name__})"
        raise httpx.RemoteProtocolError(msg) from error
