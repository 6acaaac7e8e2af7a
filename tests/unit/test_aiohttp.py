"""What is different where aiohttp is the transport: errors, lost connections."""

from __future__ import annotations

import asyncio
import gc
import ssl
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import httpx
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from langchain_pmock import (
    PmockConnectionError,
    PmockError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._gateway.aiohttp_transport import fail_with_connection, make_client
from langchain_pmock._gateway.exceptions import TransportErrors
from tests.unit.test_transport import AUTH, Stream

if TYPE_CHECKING:
    from collections.abc import Callable


TOKEN = "do-not-show"


@pytest.mark.parametrize("stream", [None, Stream()])
@pytest.mark.parametrize(
    ("cause", "by_progress"),
    [
        (
            aiohttp.ServerDisconnectedError(),
            [PmockConnectionError, PmockStreamInterruptedError],
        ),
        (
            aiohttp.ClientPayloadError("lost"),
            [PmockConnectionError, PmockStreamInterruptedError],
        ),
        (aiohttp.SocketTimeoutError("slow"), [PmockTimeoutError, PmockTimeoutError]),
    ],
)
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_its_errors_are_ours(
    cause: Exception,
    by_progress: list[type[PmockError]],
    stream: Stream | None,
    is_wrapped: bool,
) -> None:
    error = cause
    if is_wrapped:  # as httpx-aiohttp does, for which all of these are timeouts
        error = httpx.ReadTimeout("timeout")
        error.__cause__ = cause
    ours = TransportErrors(AUTH, stream)
    with pytest.raises(PmockError) as caught, ours:
        raise error
    assert type(caught.value) is by_progress[stream is not None]
    assert type(cause).__name__ in str(caught.value)
    assert isinstance(caught.value.__cause__, httpx.TransportError)


def test_its_errors_do_not_keep_the_signature() -> None:
    headers = CIMultiDictProxy(CIMultiDict({"wuinai-access-token": TOKEN}))
    info = aiohttp.RequestInfo(URL("https://x.invalid"), "POST", headers)
    error = aiohttp.ClientResponseError(info, (), message="bad")
    with pytest.raises(PmockConnectionError) as caught, TransportErrors(AUTH):
        raise error
    cause = caught.value.__cause__
    assert TOKEN not in repr(cause) + str(vars(cause)) + str(caught.value)
    assert "bad" in str(cause)
    assert TOKEN in str(error.request_info)  # it is left as it is


class Content:
    """Stands for the body of aiohttp's response."""

    def __init__(self) -> None:
        self.ended = False
        self.error: Exception | None = None
        self.at_the_end: Callable[[], None] = lambda: None

    def exception(self) -> Exception | None:
        return self.error

    def set_exception(self, error: Exception) -> None:
        self.error = error

    def is_eof(self) -> bool:
        return self.ended

    def on_eof(self, callback: Callable[[], None]) -> None:
        self.at_the_end = callback


def response_of(
    content: Content, closed: asyncio.Future[None] | None
) -> httpx.Response:
    connection = SimpleNamespace(protocol=SimpleNamespace(closed=closed))
    answer = SimpleNamespace(connection=closed and connection, content=content)
    stream = SimpleNamespace(_stream=SimpleNamespace(_aiohttp_response=answer))
    return cast("httpx.Response", SimpleNamespace(stream=stream))


@pytest.mark.parametrize("how", ["error", "no error", "cancelled"])
@pytest.mark.parametrize("state", ["waiting", "whole", "failed", "at its end"])
async def test_a_body_fails_with_its_connection(state: str, how: str) -> None:
    content, failed = Content(), aiohttp.ClientPayloadError("before")
    closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    await fail_with_connection(response_of(content, closed))
    content.ended = state == "whole"
    content.error = failed if state == "failed" else None
    if state == "at its end":
        content.at_the_end()
    if how == "cancelled":
        closed.cancel()
    elif how == "error":
        closed.set_exception(ConnectionResetError("reset"))
    else:
        closed.set_result(None)
    await asyncio.sleep(0)
    if state == "waiting":
        assert isinstance(content.error, aiohttp.ClientPayloadError)
        assert "the connection was lost" in str(content.error)
    else:
        assert content.error is (failed if state == "failed" else None)


@pytest.mark.parametrize("how", ["error", "cancelled"])
async def test_asyncio_has_nothing_to_complain_of(how: str) -> None:
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    closed: asyncio.Future[None] = loop.create_future()
    for _ in range(2):
        await fail_with_connection(response_of(Content(), closed))
    if how == "cancelled":
        closed.cancel()
    else:
        closed.set_exception(ConnectionResetError("reset"))
    await asyncio.sleep(0)
    del closed
    gc.collect()
    assert complaints == []


async def test_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:8080")
    monkeypatch.setenv("NO_PROXY", "direct.invalid")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client = make_client(httpx.Limits(keepalive_expiry=7), verify=context)
    assert client.event_hooks == {"request": [], "response": [fail_with_connection]}
    for host, proxy in (("direct", None), ("gateway", "http://proxy.invalid:8080")):
        url = httpx.URL(f"https://{host}.invalid")
        transport: Any = client._transport_for_url(url)
        assert transport.ssl_context is context
        assert proxy == (transport.proxy and str(transport.proxy.url))
        session = transport.get_client()
        assert session.connector.limit == 0
        assert session.connector._keepalive_timeout == 7
        assert isinstance(session.cookie_jar, aiohttp.DummyCookieJar)
        await session.close()
    await client.aclose()


async def test_a_body_that_has_come_already_is_left() -> None:
    content = Content()
    await fail_with_connection(response_of(content, None))
    nothing: Any = httpx.Response(200)
    await fail_with_connection(nothing)
    assert content.error is None
