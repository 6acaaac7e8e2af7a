"""One request and its answer: signed, sent, tried again, taken out of its envelope.

What an answer means and when to try again do no I/O and are written once; the sync and
the async methods are a few lines around them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx

from langchain_pmock._gateway.envelope import read_answer
from langchain_pmock._gateway.exceptions import TransportErrors, let_go
from langchain_pmock._gateway.pools import Loan, shared_async_pools, shared_pools
from langchain_pmock._gateway.retry import async_attempt, attempt
from langchain_pmock._gateway.stream import AsyncBody, Body
from langchain_pmock._json import encode
from langchain_pmock._version import __version__

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        Callable,
        Generator,
        Mapping,
    )

    from langchain_pmock import errors
    from langchain_pmock._gateway.events import ChunkT, Parser
    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

# The service's own sample client waits 30 s to connect. It never gives up on a stream;
# here ten minutes without a byte are enough.
_DEFAULT = httpx.Timeout(600.0, connect=30.0)
_HTTPX = httpx.Timeout(5.0)  # httpx's own default: too short for a model

_STREAM_HEADERS = {
    "Accept": "text/event-stream",
    # A proxy that compresses is a proxy that holds events back.
    "Accept-Encoding": "identity",
}
_PATH = "/ai/chat/completions"
_UNAUTHORIZED = 401


@dataclass(frozen=True, eq=False)
class PmockClient:
    """A small signed HTTP client for the chat endpoint. It holds no connection itself.

    Attributes:
        auth: Signs each attempt.
        base_url: The service's URL, up to and without `/ai/chat/completions`.
        timeout: Seconds to connect, and between two reads; `None` for the default, or
            for that of the user's own client, if it has one of its own.
        max_retries: How many times to try again.
        stream_chunk_timeout: Seconds that a stream may go without a chunk; `None` for
            no limit.
        max_response_bytes: Largest decoded size of an answer, in bytes.
        async_transport: What async requests go over; aiohttp is an extra.
        headers: More headers for each request.
        http_client: The client to use instead of the shared ones.
        http_async_client: The same for async calls.
    """

    auth: PmockAuth
    base_url: str
    timeout: httpx.Timeout | None
    max_retries: int
    stream_chunk_timeout: float | None = 600.0
    max_response_bytes: int = 64 * 2**20
    async_transport: Literal["httpx", "aiohttp"] = "httpx"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    http_client: httpx.Client | None = None
    http_async_client: httpx.AsyncClient | None = None

    def post(
        self, request: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Send a request and wait for the whole answer.

        Args:
            request: The request's body.
            parse: Makes the result from the answer's envelope.

        Returns:
            The result.

        Raises:
            PmockError: If every attempt failed; the last one's error.
        """
        content = encode(request)
        result: ResultT = attempt(
            self.max_retries, self._worth_signing_again, self._post, content, parse
        )
        return result

    async def apost(
        self, request: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Do as `post`, without blocking the event loop."""
        content = encode(request)
        return await async_attempt(
            self.max_retries, self._worth_signing_again, self._apost, content, parse
        )

    def stream(
        self, request: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> Generator[ChunkT, None, None]:
        """Send a request and hand on the chunks of its answer as they come.

        It is tried again as long as nothing was handed on, and never after.

        Args:
            request: The request's body.
            make_parser: Makes the parser of one attempt's events.

        Yields:
            What the parser makes of the events.

        Raises:
            PmockError: If no attempt gave a chunk, or the stream broke later.
            ValueError: At once, if JSON has no form for something in the request.
        """
        content = encode({**request, "stream": True})
        return self._stream(content, make_parser)

    def _stream(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> Generator[ChunkT, None, None]:
        body = attempt(
            self.max_retries,
            self._worth_signing_again,
            self._begin,
            content,
            make_parser,
        )
        with body:
            yield from body.begun
            reader = body.reader
            if not reader.complete:
                with TransportErrors(self.auth, reader):
                    for data in body.pieces:
                        yield from reader.feed(data)
                        if reader.complete:
                            break
            while (more := body.read()) is not None:
                yield from reader.feed(more)
            yield from reader.end()

    def astream(
        self, request: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncGenerator[ChunkT, None]:
        """Do as `stream`, without blocking the event loop."""
        content = encode({**request, "stream": True})
        return self._astream(content, make_parser)

    async def _astream(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncGenerator[ChunkT, None]:
        """Do it all in one generator.

        A loop that shuts down closes all that were left, in no order, and one that
        closes another would find it closing already.
        """
        body = await async_attempt(
            self.max_retries,
            self._worth_signing_again,
            self._abegin,
            content,
            make_parser,
        )
        try:
            for chunk in body.begun:
                yield chunk
            reader = body.reader
            if not reader.complete:
                with TransportErrors(self.auth, reader):
                    async for data in body.pieces:
                        for chunk in reader.feed(data):
                            yield chunk
                        if reader.complete:
                            break
            while (more := await body.read()) is not None:
                for chunk in reader.feed(more):
                    yield chunk
            for chunk in reader.end():
                yield chunk
        finally:
            await body.aclose()

    def _worth_signing_again(self, error: errors.PmockError) -> bool:
        """Tell whether a second signature may help, and learn the clock for it."""
        if _UNAUTHORIZED not in (error.code, error.status_code):
            return False
        if error.response is not None:
            self.auth.learn_clock(error.response)
        return True

    def _post(
        self, content: bytes, parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        with self._lend() as client:
            response = self._send(client, content)
        return read_answer(response, self.auth, parse)

    async def _apost(
        self, content: bytes, parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        with await self._alend() as client:
            response = await self._asend(client, content)
        return read_answer(response, self.auth, parse)

    def _begin(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> Body[ChunkT]:
        """Begin a stream, and read up to its first chunk."""
        body: Body[ChunkT] = Body(self._lend(), self.auth)
        try:
            response = self._send(body.client, content, streamed=True)
            body.begin(response, make_parser())
        except BaseException:
            body.close()
            raise
        return body

    async def _abegin(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncBody[ChunkT]:
        body: AsyncBody[ChunkT] = AsyncBody(await self._alend(), self.auth)
        try:
            response = await self._asend(body.client, content, streamed=True)
            await body.begin(response, make_parser())
        except BaseException:
            await body.aclose()
            raise
        return body

    def _send(
        self, client: httpx.Client, content: bytes, *, streamed: bool = False
    ) -> httpx.Response:
        with TransportErrors(self.auth):
            response = client.send(
                self._request(client, content, streamed=streamed),
                auth=None,  # it is signed, and the client's own is not for it
                follow_redirects=False,
                stream=streamed,
            )
        if not streamed:
            let_go(response)
        return response

    async def _asend(
        self, client: httpx.AsyncClient, content: bytes, *, streamed: bool = False
    ) -> httpx.Response:
        with TransportErrors(self.auth):
            response = await client.send(
                self._request(client, content, streamed=streamed),
                auth=None,  # it is signed, and the client's own is not for it
                follow_redirects=False,
                stream=streamed,
            )
        if not streamed:
            let_go(response)
        return response

    def _request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        content: bytes,
        *,
        streamed: bool,
    ) -> httpx.Request:
        # By name in any case: the user's Accept is not to be sent beside ours.
        all_headers = httpx.Headers({"User-Agent": f"langchain-pmock/{__version__}"})
        all_headers.update(self.headers)
        all_headers["Content-Type"] = "application/json"
        if streamed:
            all_headers.update(_STREAM_HEADERS)
        request = client.build_request(
            "POST",
            _url(self.base_url),
            content=content,
            headers=all_headers,
            timeout=self.timeout or self._default_timeout(client),
        )
        self.auth.sign_request(request)
        return request

    def _default_timeout(
        self, client: httpx.Client | httpx.AsyncClient
    ) -> httpx.Timeout:
        is_own = client is self.http_client or client is self.http_async_client
        return client.timeout if is_own and client.timeout != _HTTPX else _DEFAULT

    def _lend(self) -> Loan[httpx.Client]:
        if self.http_client is not None:
            return Loan(self.http_client)
        return shared_pools().lend()

    async def _alend(self) -> Loan[httpx.AsyncClient]:
        if self.http_async_client is not None:
            return Loan(self.http_async_client)
        return (await shared_async_pools()).lend()


@lru_cache
def _url(base_url: str) -> httpx.URL:
    """Take the URL apart once: that costs httpx as much as the rest of a request."""
    return httpx.URL(base_url + _PATH)
