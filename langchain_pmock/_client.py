"""One request and its answer: signed, sent, tried again, taken out of its envelope.

What an answer means and when to try again do no I/O and are written once; the sync and
the async methods are a few lines around them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from langchain_pmock import errors
from langchain_pmock._envelope import read_answer
from langchain_pmock._events import EventReader
from langchain_pmock._json import encode
from langchain_pmock._pools import shared_async_pools, shared_pools
from langchain_pmock._retry import async_attempt, attempt
from langchain_pmock._transport import (
    async_body_of,
    async_rest_of,
    body_of,
    closing,
    is_stream,
    rest_of,
    transport_errors,
)
from langchain_pmock._version import __version__
from langchain_pmock.auth import SIGNED_AT

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Awaitable,
        Callable,
        Generator,
        Mapping,
    )

    from langchain_pmock._events import ChunkT, Parser
    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

_STREAM_HEADERS = {
    "Accept": "text/event-stream",
    # A proxy that compresses is a proxy that holds events back.
    "Accept-Encoding": "identity",
}
_PATH = "/ai/chat/completions"


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

    def post(
        self, body: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Send a request and wait for the whole answer.

        Args:
            body: The request's body.
            parse: Makes the result from the answer's envelope.

        Returns:
            The result.

        Raises:
            PmockError: If every attempt failed; the last one's error.
        """
        post = partial(self._signed_twice, self._post, encode(body), parse)
        result: ResultT = attempt(self.max_retries, post)
        return result

    async def apost(
        self, body: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Do as `post`, without blocking the event loop."""
        post = partial(self._asigned_twice, self._apost, encode(body), parse)
        result: ResultT = await async_attempt(self.max_retries, post)
        return result

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

    def _signed_twice(self, send: Callable[..., ResultT], *args: Any) -> ResultT:
        try:
            return send(*args)
        except errors.PmockAuthenticationError as error:
            if not self._worth_signing_again(error):
                raise
        return send(*args)

    async def _asigned_twice(
        self, send: Callable[..., Awaitable[ResultT]], *args: Any
    ) -> ResultT:
        try:
            return await send(*args)
        except errors.PmockAuthenticationError as error:
            if not self._worth_signing_again(error):
                raise
        return await send(*args)

    def _worth_signing_again(self, error: errors.PmockAuthenticationError) -> bool:
        """Tell whether a second signature may help, and learn the clock for it."""
        response = error.response
        if response is None or len(response.request.extensions[SIGNED_AT] or ()) > 1:
            return False
        self.auth.learn_clock(response)
        return True

    def _post(
        self, content: bytes, parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        with self._lend() as client, transport_errors():
            request = self._request(client, content, {})
            response = client.send(request, auth=self.auth, follow_redirects=False)
        return read_answer(response, self.auth, parse)

    async def _apost(
        self, content: bytes, parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        with await self._alend() as client, transport_errors():
            request = self._request(client, content, {})
            response = await client.send(
                request, auth=self.auth, follow_redirects=False
            )
        return read_answer(response, self.auth, parse)

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
            with closing(response):
                reader = EventReader(parser, response, self.auth)
                with transport_errors(reader):
                    if not is_stream(response):
                        yield from reader.whole(response.read())
                        return
                    body = body_of(response)
                    for data in body:
                        yield from reader.feed(data)
                        if reader.complete:
                            for more in rest_of(body, response, reader):
                                yield from reader.feed(more)
                            break
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
                with transport_errors(reader):
                    if not is_stream(response):
                        for chunk in reader.whole(await response.aread()):
                            yield chunk
                        return
                    body = async_body_of(response)
                    async for data in body:
                        for chunk in reader.feed(data):
                            yield chunk
                        if reader.complete:
                            break
                    if reader.complete:
                        async with contextlib.aclosing(
                            async_rest_of(body, reader)
                        ) as rest:
                            async for more in rest:
                                for chunk in reader.feed(more):
                                    yield chunk
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
