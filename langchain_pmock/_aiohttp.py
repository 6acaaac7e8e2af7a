"""aiohttp as the transport of async calls: the extra `aiohttp`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
from aiohttp import ClientPayloadError
from httpx_aiohttp import HttpxAiohttpClient

if TYPE_CHECKING:
    import asyncio
    import ssl
    from http.cookiejar import CookieJar


def make_client(
    limits: httpx.Limits, *, verify: ssl.SSLContext, cookies: CookieJar
) -> httpx.AsyncClient:
    """Make a client that takes any number of requests at once.

    Args:
        limits: The limits of its connections, but for their number.
        verify: The certificates to trust.
        cookies: Where cookies go.

    Returns:
        The client.
    """
    return HttpxAiohttpClient(
        verify=verify,
        limits=httpx.Limits(
            max_connections=0,  # aiohttp's word for no limit
            keepalive_expiry=limits.keepalive_expiry,
        ),
        cookies=cookies,
        event_hooks={"response": [fail_with_connection]},
    )


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
