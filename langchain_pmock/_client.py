"""One request and its answer: signed, sent, tried again, taken out of its envelope.

What an answer means and when to try again do no I/O and are written once; the sync and
the async methods are a few lines around them.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
import threading
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, cast

import httpx

from langchain_pmock import errors
from langchain_pmock._envelope import read_envelope, transport_errors
from langchain_pmock._events import EventReader
from langchain_pmock._json import encode
from langchain_pmock._pools import shared_async_pools, shared_pools
from langchain_pmock._retry import async_attempt, attempt
from langchain_pmock._version import __version__
from langchain_pmock.auth import SIGNED_AT

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Generator,
        Iterator,
        Mapping,
    )

    from langchain_pmock._events import ChunkT, Parser
    from langchain_pmock.auth import PmockAuth

_STREAM_HEADERS = {
    "Accept": "text/event-stream",
    # A proxy that compresses is a proxy that holds events back.
    "Accept-Encoding": "identity",
}
_PATH = "/ai/chat/completions"
_PATIENCE = 0.5  # seconds to wait for the end of a body whose answer is complete


@dataclass(frozen=True)
class PmockClient:
    """A small signed HTTP client for the chat endpoint. It holds no connection itself.

    Attributes:
        auth: Signs each attempt.
        base_url: The service's URL, up to and without `/ai/chat/completions`.
        timeout: Seconds to connect, and between two reads.
        max_retries: How many times to try again.
        headers: More headers for each request.
        http_client: The client to use instead of the shared ones.
        http_async_client: The same for async calls.
    """

    auth: PmockAuth
    base_url: str
    timeout: httpx.Timeout
    max_retries: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    http_client: httpx.Client | None = None
    http_async_client: httpx.AsyncClient | None = None

    def post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a request and wait for the whole answer.

        Args:
            body: The request's body.

        Returns:
            The envelope of the answer.

        Raises:
            PmockError: If every attempt failed; the last one's error.
        """
        post = partial(self._signed_twice, self._post, encode(body))
        return attempt(self.max_retries, post)

    async def apost(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do as `post`, without blocking the event loop."""
        post = partial(self._asigned_twice, self._apost, encode(body))
        return await async_attempt(self.max_retries, post)

    def stream(
        self, body: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> Generator[ChunkT, None, None]:
        """Send a request and hand on the chunks of its answer as they come.

        It is tried again as long as nothing was handed on, and never after.

        Args:
            body: The request's body.
            make_parser: Makes the parser of one attempt's events.

        Yields:
            What the parser makes of the events.

        Raises:
            PmockError: If no attempt gave a chunk, or the stream broke later.
        """
        content = encode({**body, "stream": True})
        first: ChunkT
        chunks: Generator[ChunkT, None, None]
        begin = partial(self._signed_twice, self._begin, content, make_parser)
        first, chunks = attempt(self.max_retries, begin)
        with contextlib.closing(chunks):
            yield first
            yield from chunks

    async def astream(
        self, body: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncGenerator[ChunkT, None]:
        """Do as `stream`, without blocking the event loop."""
        content = encode({**body, "stream": True})
        first: ChunkT
        chunks: AsyncGenerator[ChunkT, None]
        begin = partial(self._asigned_twice, self._abegin, content, make_parser)
        first, chunks = await async_attempt(self.max_retries, begin)
        async with contextlib.aclosing(chunks):
            yield first
            async for chunk in chunks:
                yield chunk

    # One attempt. httpx signs once more on HTTP 401; the same on a 401 in an envelope.

    def _signed_twice(self, attempt: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        try:
            return attempt(*args)
        except errors.PmockAuthenticationError as error:
            if not self._worth_signing_again(error):
                raise
        return attempt(*args)

    async def _asigned_twice(
        self, attempt: Callable[..., Awaitable[Any]], *args: Any
    ) -> Any:  # noqa: ANN401
        try:
            return await attempt(*args)
        except errors.PmockAuthenticationError as error:
            if not self._worth_signing_again(error):
                raise
        return await attempt(*args)

    def _worth_signing_again(self, error: errors.PmockAuthenticationError) -> bool:
        """Tell whether a second signature may help, and learn the clock for it."""
        response = error.response
        if response is None or len(response.request.extensions[SIGNED_AT] or ()) > 1:
            return False
        self.auth.learn_clock(response)
        return True

    def _post(self, content: bytes) -> Mapping[str, Any]:
        with self._lend() as client, transport_errors():
            request = self._request(client, content, {})
            response = client.send(request, auth=self.auth, follow_redirects=False)
        return read_envelope(response.content, response, self.auth)

    async def _apost(self, content: bytes) -> Mapping[str, Any]:
        with await self._alend() as client, transport_errors():
            request = self._request(client, content, {})
            response = await client.send(
                request, auth=self.auth, follow_redirects=False
            )
        return read_envelope(response.content, response, self.auth)

    def _begin(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> tuple[ChunkT, Generator[ChunkT, None, None]]:
        chunks = self._chunks(content, make_parser())
        return next(chunks), chunks

    async def _abegin(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> tuple[ChunkT, AsyncGenerator[ChunkT, None]]:
        chunks = self._achunks(content, make_parser())
        return await chunks.__anext__(), chunks

    def _chunks(
        self, content: bytes, parser: Parser[ChunkT]
    ) -> Generator[ChunkT, None, None]:
        with self._lend() as client:
            with transport_errors():
                request = self._request(client, content, _STREAM_HEADERS)
                response = client.send(
                    request, auth=self.auth, follow_redirects=False, stream=True
                )
            with _closing(response):
                reader = EventReader(parser, response, self.auth)
                with transport_errors(reader.progress):
                    if not _is_stream(response):
                        yield from reader.whole(response.read())
                        return
                    body = _body(response)
                    for data in body:
                        yield from reader.feed(data)
                        if reader.done:
                            _drain(response, body)
                            return
                yield from reader.end()

    async def _achunks(
        self, content: bytes, parser: Parser[ChunkT]
    ) -> AsyncGenerator[ChunkT, None]:
        with await self._alend() as client:
            with transport_errors():
                request = self._request(client, content, _STREAM_HEADERS)
                response = await client.send(
                    request, auth=self.auth, follow_redirects=False, stream=True
                )
            async with contextlib.aclosing(response):
                reader = EventReader(parser, response, self.auth)
                with transport_errors(reader.progress):
                    if not _is_stream(response):
                        for chunk in reader.whole(await response.aread()):
                            yield chunk
                        return
                    body = _abody(response)
                    async for data in body:
                        for chunk in reader.feed(data):
                            yield chunk
                        if reader.done:
                            await _adrain(body)
                            return
                for chunk in reader.end():
                    yield chunk

    def _request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        content: bytes,
        headers: Mapping[str, str],
    ) -> httpx.Request:
        # By name in any case: the user's Accept is not to be sent beside ours.
        all_headers = httpx.Headers({"User-Agent": f"langchain-pmock/{__version__}"})
        all_headers.update(self.headers)
        all_headers.update({"Content-Type": "application/json", **headers})
        return client.build_request(
            "POST",
            _url(self.base_url),
            content=content,
            headers=all_headers,
            timeout=self.timeout,
        )

    def _lend(self) -> contextlib.AbstractContextManager[httpx.Client]:
        if self.http_client is not None:
            return contextlib.nullcontext(self.http_client)
        return shared_pools().lend()

    async def _alend(self) -> contextlib.AbstractContextManager[httpx.AsyncClient]:
        if self.http_async_client is not None:
            return contextlib.nullcontext(self.http_async_client)
        return (await shared_async_pools()).lend()


@lru_cache
def _url(base_url: str) -> httpx.URL:
    """Take the URL apart once: that costs httpx as much as the rest of a request."""
    return httpx.URL(base_url + _PATH)


def _is_stream(response: httpx.Response) -> bool:
    """Tell an event stream, labelled or not, from a whole body sent in its place."""
    content_type = response.headers.get("content-type", "").lower()
    return response.status_code == httpx.codes.OK and not (
        "json" in content_type or "html" in content_type
    )


def _is_held_by_httpx(response: httpx.Response) -> bool:
    """Tell whether only httpx can give the body: decoded, or read by a user's hook."""
    return "content-encoding" in response.headers or response.is_stream_consumed


def _body(response: httpx.Response) -> Iterator[bytes]:
    """Take the bytes from as near to the socket as they can be had.

    Each layer of httpx above its stream costs at every read: `iter_raw` some 3 % of a
    token, `iter_bytes` more, also where there is nothing to decode.
    """
    if _is_held_by_httpx(response):
        return response.iter_bytes()
    return iter(cast("httpx.SyncByteStream", response.stream))


def _abody(response: httpx.Response) -> AsyncIterator[bytes]:
    if _is_held_by_httpx(response):
        return response.aiter_bytes()
    return aiter(cast("httpx.AsyncByteStream", response.stream))


@contextlib.contextmanager
def _closing(response: httpx.Response) -> Iterator[None]:
    """Close a response at the end, or when its stream is left.

    What leaves a stream may be Python's garbage collector, at any moment: also while
    this thread holds the lock of httpcore's pool, for which closing would then wait
    without end. So the connection is hung up here, and taken out of the pool elsewhere.
    """
    try:
        yield
    except GeneratorExit:
        _hang_up(response)
        if sys.is_finalizing():  # no thread starts any more
            response.close()
        else:
            threading.Thread(target=response.close, daemon=True).start()
        raise
    except BaseException:
        response.close()
        raise
    response.close()


def _drain(response: httpx.Response, body: Iterator[bytes]) -> None:
    """Read the end of the body, without which the connection cannot be used again.

    The answer is complete already: a service that does not end its body is left.
    """
    watch = threading.Timer(_PATIENCE, _hang_up, [response])
    watch.daemon = True
    watch.start()
    with contextlib.suppress(httpx.HTTPError):
        next(body, None)
    watch.cancel()


async def _adrain(body: AsyncIterator[bytes]) -> None:
    with contextlib.suppress(httpx.HTTPError, asyncio.TimeoutError):
        await asyncio.wait_for(anext(body, None), _PATIENCE)


def _hang_up(response: httpx.Response) -> None:
    connection = response.extensions.get("network_stream")
    if connection is not None:
        with contextlib.suppress(OSError):
            connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
