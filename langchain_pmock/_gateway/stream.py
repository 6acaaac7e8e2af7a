"""The body of a stream's response: read to its end, and closed."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar, cast

import httpx

from langchain_pmock._gateway.deadline import hang_up, watch
from langchain_pmock._gateway.events import ChunkT, EventReader
from langchain_pmock._gateway.exceptions import TransportErrors, let_go
from langchain_pmock._gateway.pools import Client

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Iterator,
    )
    from types import TracebackType

    from typing_extensions import Self

    from langchain_pmock._gateway.events import Parser
    from langchain_pmock._gateway.pools import Loan
    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

logger = logging.getLogger("langchain_pmock")

# Seconds that the end of a body is waited for once the answer is complete: after
# [DONE] nothing can come, after the finish reason the usage may.
_PATIENCE_AFTER_DONE = 0.5
_PATIENCE_AFTER_FINISH = 5.0


def _is_stream(response: httpx.Response) -> bool:
    """Tell an event stream, labelled or not, from a whole body sent in its place."""
    content_type = response.headers.get("content-type", "").lower()
    return response.status_code == httpx.codes.OK and not (
        "json" in content_type or "html" in content_type
    )


def _is_held_by_httpx(response: httpx.Response) -> bool:
    """Tell whether only httpx can give the body: decoded, or read by a user's hook."""
    return "content-encoding" in response.headers or response.is_stream_consumed


class _Reading(Generic[ChunkT, Client]):
    """One attempt at a stream: the client, the response, how far it is read.

    Attributes:
        client: What to send the request with.
        reader: Makes the chunks, once a response is there.
        begun: What has come by the first chunk.
    """

    reader: EventReader[ChunkT]
    begun: Iterator[ChunkT]

    def __init__(self, loan: Loan[Client], auth: PmockAuth) -> None:
        """Begin before the request is sent.

        Args:
            loan: The client to send it with, given back at the end.
            auth: What signs the request.
        """
        self.client: Client = loan.client
        self._loan: Loan[Client] = loan
        self._auth = auth
        self._response: httpx.Response | None = None
        self._is_whole = False
        self._patience = _PATIENCE_AFTER_FINISH
        self._process = os.getpid()

    def _take(self, response: httpx.Response, parser: Parser[ChunkT]) -> None:
        self._response = response
        self.reader = EventReader(parser, response, self._auth)
        self._is_whole = not _is_stream(response)

    def _begins(self, chunks: Iterator[ChunkT]) -> bool:
        """Tell whether there are any chunks, and keep them if so."""
        for first in chunks:
            self.begun = chain((first,), chunks)
            return True
        return False

    def _chunks(self, data: bytes | None) -> Iterator[ChunkT]:
        return self.reader.end() if data is None else self.reader.feed(data)


class Body(_Reading[ChunkT, httpx.Client]):
    """One attempt at a stream: its body is read to its end, and closed.

    Attributes:
        pieces: The body, in the pieces in which it comes.
    """

    pieces: Iterator[bytes]

    def begin(self, response: httpx.Response, parser: Parser[ChunkT]) -> None:
        """Read up to the first chunk.

        Args:
            response: The response, its body unread.
            parser: Makes the chunks.

        Raises:
            PmockError: If none comes.
        """
        self._take(response, parser)
        # From as near to the socket as they can be had. Each layer of httpx above its
        # stream costs at every read: `iter_raw` some 3 % of a token, `iter_bytes` more,
        # also where there is nothing to decode.
        self.pieces = (
            response.iter_bytes()
            if _is_held_by_httpx(response)
            else iter(cast("httpx.SyncByteStream", response.stream))
        )
        begun = False
        if self._is_whole:
            with TransportErrors(self._auth, self.reader):
                body = response.read()
            begun = self._begins(self.reader.whole(body))
        while not begun:
            begun = self._begins(self._chunks(self.read()))

    def read(self) -> bytes | None:
        """Read the next piece, without waiting long for it if the answer is complete.

        The usage may still come, and the end of the body has to be read, or the
        connection cannot be used again. A service that leaves the body open is left.

        Returns:
            The piece, or `None` at the end.
        """
        response = cast("httpx.Response", self._response)
        with TransportErrors(self._auth, self.reader):
            if self._is_whole:
                return None
            if not self.reader.complete:
                return next(self.pieces, None)
            if self.reader.done:
                with watch.after(_PATIENCE_AFTER_DONE, hang_up, response):
                    next(self.pieces, None)
                return None
            began = time.monotonic()
            with watch.after(self._patience, _leave, response):
                data = next(self.pieces, None)
            self._patience -= time.monotonic() - began
            return data
        return None

    def close(self) -> None:
        """Close the response, and give the client back."""
        try:
            if self._response is not None:
                self._response.close()
                let_go(self._response)
        finally:
            self._loan.give_back()

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the response at the end, or when its stream is left.

        What leaves a stream may be Python's garbage collector, at any moment: also
        while this thread holds the lock of httpcore's pool, for which closing would
        then wait without end. So the connection is hung up here, and taken out of the
        pool elsewhere. In a forked child, all of it is the parent's.
        """
        if os.getpid() != self._process:
            return
        if exc_type is not GeneratorExit:
            self.close()
            return
        hang_up(cast("httpx.Response", self._response))
        if sys.is_finalizing():  # no thread starts any more
            self.close()
            return
        try:
            threading.Thread(target=self.close, daemon=True).start()
        except RuntimeError:  # there may be no more threads
            self._loan.give_back()
            raise


class AsyncBody(_Reading[ChunkT, httpx.AsyncClient]):
    """Does as `Body`, for an async client's response."""

    pieces: AsyncIterator[bytes]

    async def begin(self, response: httpx.Response, parser: Parser[ChunkT]) -> None:
        """Read up to the first chunk, as `Body.begin` does."""
        self._take(response, parser)
        self.pieces = (
            response.aiter_bytes()
            if _is_held_by_httpx(response)
            else aiter(cast("httpx.AsyncByteStream", response.stream))
        )
        begun = False
        if self._is_whole:
            with TransportErrors(self._auth, self.reader):
                body = await response.aread()
            begun = self._begins(self.reader.whole(body))
        while not begun:
            begun = self._begins(self._chunks(await self.read()))

    async def read(self) -> bytes | None:
        """Read the next piece, as `Body.read` does."""
        with TransportErrors(self._auth, self.reader):
            if self._is_whole:
                return None
            if not self.reader.complete:
                return await anext(self.pieces, None)
            done = self.reader.done
            began = time.monotonic()
            try:
                data = await _in_time(
                    anext(self.pieces, None),
                    _PATIENCE_AFTER_DONE if done else self._patience,
                )
            except asyncio.TimeoutError:
                if not done:
                    _say_left_open()
                return None
            self._patience -= time.monotonic() - began
            return None if done else data
        return None

    async def aclose(self) -> None:
        """Close the response, and give the client back."""
        try:
            if self._response is not None:
                await self._response.aclose()
                let_go(self._response)
        finally:
            self._loan.give_back()


async def _in_time(awaitable: Awaitable[ResultT], seconds: float) -> ResultT:
    if sys.version_info < (3, 11):
        return await asyncio.wait_for(awaitable, seconds)
    async with asyncio.timeout(seconds):  # without a task of its own
        return await awaitable


def _leave(response: httpx.Response) -> None:
    _say_left_open()
    hang_up(response)


def _say_left_open() -> None:
    logger.warning(
        "The service left the stream open for %g s after the finish reason. It was "
        "ended without [DONE]; the token usage may be missing.",
        _PATIENCE_AFTER_FINISH,
    )
