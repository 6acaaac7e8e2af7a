"""The client: one request, signed and retried, and its answer or stream."""

from __future__ import annotations

import asyncio
import time
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx2

from langchain_pmock import errors
from langchain_pmock._gateway.answer import ACCEPT_ENCODING, Answer
from langchain_pmock._gateway.attempt import Attempt
from langchain_pmock._gateway.pools import Lease, shared_async_pools, shared_pools
from langchain_pmock._gateway.retry import Retries
from langchain_pmock._json import encode
from langchain_pmock._signature import Signer
from langchain_pmock._version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    import httpx

    from langchain_pmock._gateway.answer import Parser
    from langchain_pmock._signature import Key, Signature

ItemT = TypeVar("ItemT")

# The service's own sample client connects within 30 s, and has no limit on reads.
_DEFAULT_TIMEOUT = httpx2.Timeout(600.0, connect=30.0, pool=30.0)
_LIBRARY_DEFAULT = httpx2.Timeout(5.0)  # too short for a model

_PATH = "/ai/chat/completions"

_HEADERS = {"content-type": "application/json", "accept-encoding": ACCEPT_ENCODING}
_STREAM_HEADERS = {
    **_HEADERS,
    "accept": "text/event-stream",
    "accept-encoding": "identity",  # proxies that compress a stream delay its events
}


@dataclass(repr=False)
class Call(Generic[ItemT]):
    """What the attempts of a call have in common."""

    body: InitVar[Mapping[str, Any]]
    make_parser: Callable[[], Parser[ItemT]]
    timeout: httpx2.Timeout | None = None
    headers: Mapping[str, str] | None = None

    def __post_init__(self, body: Mapping[str, Any]) -> None:
        """Serialize the body once."""
        self.is_stream = "stream" in body
        self.content = encode(body)


@dataclass(kw_only=True, eq=False, repr=False)
class PmockClient:
    """A client for the chat endpoint, one for each model, with the model's settings.

    It owns the credentials, the offset of the clock and the token of this minute. It
    holds no connection itself.
    """

    access_key: InitVar[Key]
    secret_key: InitVar[Key]
    base_url: InitVar[str]
    max_retries: int
    stream_chunk_timeout: float | None
    max_response_bytes: int
    http_client: httpx2.Client | httpx.Client | None = None
    http_async_client: httpx2.AsyncClient | httpx.AsyncClient | None = None

    def __post_init__(self, access_key: Key, secret_key: Key, base_url: str) -> None:
        """Create what all calls share."""
        self._signer = Signer(access_key, secret_key)
        # Parsing a URL takes httpx2 as long as building the rest of a request.
        self._url = httpx2.URL(base_url + _PATH)

    # The frames below may hold what was received, and with it an echoed key, which
    # error trackers would record. So an error's traceback begins here.

    def send(self, call: Call[ItemT]) -> Generator[ItemT, None, None]:
        """Send a request and yield the chunks of its answer; a whole one is one item.

        It is retried until the first chunk, and not after it.

        Raises:
            PmockError: The error of the last attempt, or of the stream.
        """
        answer: Answer[ItemT] | None = None
        try:
            answer = self._start(call)
            yield from answer.chunks()
        except errors.PmockError as error:
            raise error.with_traceback(None)  # noqa: B904 - it is the same error
        finally:
            if answer is not None:
                answer.close()

    async def asend(self, call: Call[ItemT]) -> AsyncGenerator[ItemT, None]:
        """Async version of `send`."""
        answer: Answer[ItemT] | None = None
        item: ItemT | None = None
        try:
            answer = await self._astart(call)
            for item in answer.first:
                yield item
            while not answer.ended:
                for item in answer.feed(await answer.aread()):
                    yield item
        except errors.PmockError as error:
            item = None
            raise error.with_traceback(None)  # noqa: B904 - as above
        finally:
            if answer is not None:
                await answer.aclose()

    def _start(self, call: Call[ItemT]) -> Answer[ItemT]:
        """Make attempts until an answer has started."""
        retries = Retries(self.max_retries, self._signer)
        while True:
            lease: Any = (
                shared_pools().acquire()
                if self.http_client is None
                else Lease(self.http_client)
            )
            answer = self._answer(call, lease, retries.offset)
            try:
                answer.start()
            except errors.PmockError as error:
                wait = retries.wait_after(error, answer.attempt)
            else:
                retries.succeed()
                return answer
            time.sleep(wait)

    async def _astart(self, call: Call[ItemT]) -> Answer[ItemT]:
        """Async version of `_start`."""
        retries = Retries(self.max_retries, self._signer)
        while True:
            lease: Any = (
                (await shared_async_pools()).acquire()
                if self.http_async_client is None
                else Lease(self.http_async_client)
            )
            answer = self._answer(call, lease, retries.offset)
            try:
                await answer.astart()
            except errors.PmockError as error:
                wait = retries.wait_after(error, answer.attempt)
            else:
                retries.succeed()
                return answer
            await asyncio.sleep(wait)

    def _answer(
        self, call: Call[ItemT], lease: Lease[Any], offset: float | None
    ) -> Answer[ItemT]:
        """Sign a request; its answer is what comes of it."""
        try:
            signature = self._signer.sign(offset)
            request = self._request(call, lease, signature)
            attempt = Attempt(request, signature)
        except BaseException:
            lease.release()
            raise
        return Answer(
            attempt,
            lease,
            call.make_parser(),
            is_stream=call.is_stream,
            chunk_timeout=self.stream_chunk_timeout,
            max_bytes=self.max_response_bytes,
        )

    def _request(self, call: Call[Any], lease: Lease[Any], signature: Signature) -> Any:
        headers: dict[Any, Any] = {
            "user-agent": f"langchain-pmock/{__version__}",
            **{name.lower(): value for name, value in (call.headers or {}).items()},
            **(_STREAM_HEADERS if call.is_stream else _HEADERS),
            **signature.headers,
        }
        extensions = {"timeout": self._limits(call, lease)}
        if lease.is_own:
            return lease.client.build_request(
                "POST",
                str(self._url),
                content=call.content,
                headers=headers,
                extensions=extensions,
            )
        # With `content`, httpx2 adds the first two headers itself, which takes 10 us.
        headers = {
            b"host": self._url.netloc,
            b"content-length": b"%d" % len(call.content),
            "accept": "application/json",
            **headers,
        }
        stream = httpx2.ByteStream(call.content)
        request = httpx2.Request(
            "POST", self._url, stream=stream, headers=headers, extensions=extensions
        )
        request.read()  # for whoever patches the transport and reads `content`
        return request

    def _limits(self, call: Call[Any], lease: Lease[Any]) -> dict[str, float | None]:
        """Return the limit of each phase; a read's is at most that without a chunk."""
        timeout = call.timeout
        if timeout is None:
            own = lease.client.timeout if lease.is_own else _LIBRARY_DEFAULT
            is_set = own.as_dict() != _LIBRARY_DEFAULT.as_dict()
            timeout = own if is_set else _DEFAULT_TIMEOUT
        limits = timeout.as_dict()
        if call.is_stream and self.stream_chunk_timeout is not None:
            read = limits["read"]
            limits["read"] = min(
                self.stream_chunk_timeout, read or self.stream_chunk_timeout
            )
        return limits
