"""The client: one request, signed and retried, and its answer or stream."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import httpx

from langchain_pmock._gateway.body import ACCEPT_ENCODING, WholeBody
from langchain_pmock._gateway.envelope import read_answer
from langchain_pmock._gateway.exceptions import TransportErrors
from langchain_pmock._gateway.pools import (
    Lease,
    reread_environment,
    shared_async_pools,
    shared_pools,
)
from langchain_pmock._gateway.retry import async_attempt, attempt
from langchain_pmock._gateway.stream import Stream, break_reference_cycle
from langchain_pmock._json import encode
from langchain_pmock._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from langchain_pmock._gateway.stream import ChunkT, Parser
    from langchain_pmock.auth import PmockAuth, Signature

ResultT = TypeVar("ResultT")

# The service's own sample client connects within 30 s, and has no limit on reads.
_DEFAULT_TIMEOUT = httpx.Timeout(600.0, connect=30.0)
_HTTPX = httpx.Timeout(5.0)  # httpx's own default: too short for a model

_PATH = "/ai/chat/completions"

_USER_AGENT = f"langchain-pmock/{__version__}"
_HEADERS = {"content-type": "application/json", "accept-encoding": ACCEPT_ENCODING}
_STREAM_HEADERS = {
    **_HEADERS,
    "accept": "text/event-stream",
    "accept-encoding": "identity",  # proxies that compress a stream delay its events
}


@dataclass(frozen=True, eq=False)
class PmockClient:
    """A client for the chat endpoint. It holds no connection itself.

    Attributes:
        auth: Signs each attempt.
        base_url: The service's URL, without `/ai/chat/completions`.
        timeout: Limits of each phase; `None` for that of the user's own client, unless
            it is httpx's default, or else for 30 s to connect and 600 s to read.
        max_retries: Maximum number of retries.
        stream_chunk_timeout: Maximum seconds without a chunk; `None` for no limit.
        max_response_bytes: Maximum decoded size of an answer, or of an event of a
            stream, in bytes.
        async_transport: HTTP library of async requests.
        headers: Additional headers for each request.
        http_client: The client to use instead of the shared ones.
        http_async_client: The same for async calls.
    """

    auth: PmockAuth
    base_url: str
    timeout: httpx.Timeout | None
    max_retries: int
    stream_chunk_timeout: float | None
    max_response_bytes: int
    async_transport: Literal["httpx", "aiohttp"]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    http_client: httpx.Client | None = None
    http_async_client: httpx.AsyncClient | None = None

    def post(
        self, request: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Send a request and wait for the whole answer.

        Raises:
            PmockError: The error of the last attempt.
        """
        content = encode(request)
        try:
            result: ResultT = attempt(
                self.max_retries, self.auth, self._post, content, parse
            )
        except BaseException as error:
            _clean_up_after(error)
            raise
        return result

    async def apost(
        self, request: Mapping[str, Any], parse: Callable[[Mapping[str, Any]], ResultT]
    ) -> ResultT:
        """Async version of `post`."""
        content = encode(request)
        try:
            return await async_attempt(
                self.max_retries, self.auth, self._apost, content, parse
            )
        except BaseException as error:
            _clean_up_after(error)
            raise

    def stream(
        self, request: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> Generator[ChunkT, None, None]:
        """Send a request and yield the chunks of its answer as they arrive.

        It is retried until the first chunk, and not after it.

        Raises:
            PmockError: The error of the last attempt, or of the stream. It is raised at
                the call if the request cannot be serialized.
        """
        content = encode({**request, "stream": True})
        return self._stream(content, make_parser)

    def _stream(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> Generator[ChunkT, None, None]:
        stream: Stream[ChunkT] | None = None
        try:
            stream = attempt(
                self.max_retries, self.auth, self._start, content, make_parser
            )
            yield from stream.chunks()
        except BaseException as error:
            _clean_up_after(error)
            raise
        finally:
            if stream is not None:
                stream.close()

    def astream(
        self, request: Mapping[str, Any], make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncGenerator[ChunkT, None]:
        """Async version of `stream`."""
        content = encode({**request, "stream": True})
        return self._astream(content, make_parser)

    async def _astream(
        self, content: bytes, make_parser: Callable[[], Parser[ChunkT]]
    ) -> AsyncGenerator[ChunkT, None]:
        stream: Stream[ChunkT] | None = None
        try:
            started: Stream[ChunkT] = await async_attempt(
                self.max_retries, self.auth, self._astart, content, make_parser
            )
            stream = started
            async for chunk in started.achunks():
                yield chunk
                del chunk  # or this frame would show it to an error's tracker
        except BaseException as error:
            _clean_up_after(error)
            raise
        finally:
            if stream is not None:
                await stream.aclose()

    def _post(
        self,
        signature: Signature,
        content: bytes,
        parse: Callable[[Mapping[str, Any]], ResultT],
    ) -> ResultT:
        with self._acquire() as client:
            request = self._request(client, signature, content, streamed=False)
            with TransportErrors(self.auth, request):
                response = client.send(
                    request, auth=None, follow_redirects=False, stream=True
                )
            try:
                limit = self.max_response_bytes
                payload = WholeBody(response, self.auth, limit).read()
            finally:
                response.close()
                break_reference_cycle(response)
        return self._result(signature, payload, response, parse)

    async def _apost(
        self,
        signature: Signature,
        content: bytes,
        parse: Callable[[Mapping[str, Any]], ResultT],
    ) -> ResultT:
        with await self._aacquire() as client:
            request = self._request(client, signature, content, streamed=False)
            with TransportErrors(self.auth, request):
                response = await client.send(
                    request, auth=None, follow_redirects=False, stream=True
                )
            try:
                limit = self.max_response_bytes
                payload = await WholeBody(response, self.auth, limit).aread()
            finally:
                await response.aclose()
                break_reference_cycle(response)
        return self._result(signature, payload, response, parse)

    def _result(
        self,
        signature: Signature,
        payload: bytes,
        response: httpx.Response,
        parse: Callable[[Mapping[str, Any]], ResultT],
    ) -> ResultT:
        result = read_answer(payload, response, self.auth, parse)
        signature.needs_another(response)
        return result

    def _start(
        self,
        signature: Signature,
        content: bytes,
        make_parser: Callable[[], Parser[ChunkT]],
    ) -> Stream[ChunkT]:
        """Start a stream, and read up to its first chunk."""
        lease = self._acquire()
        stream: Stream[ChunkT] | None = None
        try:
            request = self._request(lease.client, signature, content, streamed=True)
            with TransportErrors(self.auth, request):
                response = lease.client.send(
                    request, auth=None, follow_redirects=False, stream=True
                )
            stream = self._open(response, lease, make_parser())
            stream.start()
        except BaseException:
            lease.release() if stream is None else stream.close()
            raise
        signature.needs_another(response)
        return stream

    async def _astart(
        self,
        signature: Signature,
        content: bytes,
        make_parser: Callable[[], Parser[ChunkT]],
    ) -> Stream[ChunkT]:
        """Async version of `_start`."""
        lease = await self._aacquire()
        stream: Stream[ChunkT] | None = None
        try:
            request = self._request(lease.client, signature, content, streamed=True)
            with TransportErrors(self.auth, request):
                response = await lease.client.send(
                    request, auth=None, follow_redirects=False, stream=True
                )
            stream = self._open(response, lease, make_parser())
            await stream.astart()
        except BaseException:
            if stream is None:
                lease.release()
            else:
                await stream.aclose()
            raise
        signature.needs_another(response)
        return stream

    def _open(
        self, response: httpx.Response, lease: Lease[Any], parser: Parser[ChunkT]
    ) -> Stream[ChunkT]:
        return Stream(
            response,
            lease,
            self.auth,
            parser,
            chunk_timeout=self.stream_chunk_timeout,
            max_bytes=self.max_response_bytes,
        )

    def _request(
        self,
        client: httpx.Client | httpx.AsyncClient,
        signature: Signature,
        content: bytes,
        *,
        streamed: bool,
    ) -> httpx.Request:
        headers = {
            "user-agent": _USER_AGENT,
            **{name.lower(): value for name, value in self.headers.items()},
            **(_STREAM_HEADERS if streamed else _HEADERS),
        }
        is_own = client is self.http_client or client is self.http_async_client
        timeout = self.timeout
        if timeout is None:
            is_set = is_own and client.timeout != _HTTPX
            timeout = client.timeout if is_set else _DEFAULT_TIMEOUT
        if streamed:
            timeout = self._stream_timeout(timeout)
        make: Callable[..., httpx.Request] = client.build_request
        if not is_own:  # no headers to merge, which takes httpx 10 us
            headers.setdefault("accept", "application/json")
            make = httpx.Request
        request = make(
            "POST",
            _url(self.base_url),
            content=content,
            headers=headers,
            extensions={"timeout": timeout.as_dict()},
        )
        signature.put_on(request)
        return request

    def _stream_timeout(self, timeout: httpx.Timeout) -> httpx.Timeout:
        """Limit the read timeout to `stream_chunk_timeout`."""
        limit = self.stream_chunk_timeout
        if limit is None or (timeout.read is not None and timeout.read <= limit):
            return timeout
        return httpx.Timeout(**{**timeout.as_dict(), "read": limit})

    def _acquire(self) -> Lease[httpx.Client]:
        if self.http_client is not None:
            return Lease(self.http_client)
        return shared_pools().acquire()

    async def _aacquire(self) -> Lease[httpx.AsyncClient]:
        if self.http_async_client is not None:
            return Lease(self.http_async_client)
        return (await shared_async_pools(self.async_transport)).acquire()


@lru_cache
def _url(base_url: str) -> httpx.URL:
    # Parsing a URL takes httpx as long as building the rest of a request.
    return httpx.URL(base_url + _PATH)


def _clean_up_after(error: BaseException) -> None:
    """Clear the local variables in the traceback, and what is known of the environment.

    The variables hold the signed request and the response, and error trackers record
    them. The environment, such as the proxies, may be changed before the next call.
    """
    traceback.clear_frames(error.__traceback__)
    reread_environment()
