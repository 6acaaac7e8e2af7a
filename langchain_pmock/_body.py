"""The body of a stream's response: read to its end, and closed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

import httpx

from langchain_pmock._transport import transport_errors

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Callable,
        Iterator,
    )
    from types import TracebackType

    from typing_extensions import Self

    from langchain_pmock._transport import Progress
    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

logger = logging.getLogger("langchain_pmock")

# Seconds that the end of a body is waited for once the answer is complete: after
# [DONE] nothing can come, after the finish reason the usage may.
_PATIENCE_AFTER_DONE = 0.5
_PATIENCE_AFTER_FINISH = 5.0
_TICK = 0.05  # seconds between two looks at the reads that are watched


def is_stream(response: httpx.Response) -> bool:
    """Tell an event stream, labelled or not, from a whole body sent in its place.

    Args:
        response: The response, its body unread.

    Returns:
        Whether to read it event by event.
    """
    content_type = response.headers.get("content-type", "").lower()
    return response.status_code == httpx.codes.OK and not (
        "json" in content_type or "html" in content_type
    )


def _is_held_by_httpx(response: httpx.Response) -> bool:
    """Tell whether only httpx can give the body: decoded, or read by a user's hook."""
    return "content-encoding" in response.headers or response.is_stream_consumed


class _Reading:
    """How far a body is read, and how long its end is waited for."""

    def __init__(
        self, response: httpx.Response, stream: Progress, auth: PmockAuth
    ) -> None:
        self._response = response
        self._stream = stream
        self._auth = auth
        self._patience = _PATIENCE_AFTER_FINISH
        self._is_whole = False


class Body(_Reading):
    """The body of a stream's response: read to its end, and closed.

    Attributes:
        pieces: The body, in the pieces in which it comes.
    """

    def __init__(
        self, response: httpx.Response, stream: Progress, auth: PmockAuth
    ) -> None:
        """Read nothing yet.

        Args:
            response: The response, its body unread.
            stream: How far its reading has come.
            auth: What signed the request.
        """
        super().__init__(response, stream, auth)
        # From as near to the socket as they can be had. Each layer of httpx above its
        # stream costs at every read: `iter_raw` some 3 % of a token, `iter_bytes` more,
        # also where there is nothing to decode.
        self.pieces: Iterator[bytes] = (
            response.iter_bytes()
            if _is_held_by_httpx(response)
            else iter(cast("httpx.SyncByteStream", response.stream))
        )

    def whole(self) -> bytes:
        """Read all of the body.

        Returns:
            The body.
        """
        self._is_whole = True
        with transport_errors(self._auth, self._stream):
            return self._response.read()

    def read(self) -> bytes | None:
        """Read the next piece, without waiting long for it if the answer is complete.

        The usage may still come, and the end of the body has to be read, or the
        connection cannot be used again. A service that leaves the body open is left.

        Returns:
            The piece, or `None` at the end.
        """
        with transport_errors(self._auth, self._stream):
            if self._is_whole:
                return None
            if not self._stream.complete:
                return next(self.pieces, None)
            if self._stream.done:
                with _watch.after(_PATIENCE_AFTER_DONE, _hang_up, self._response):
                    next(self.pieces, None)
                return None
            began = time.monotonic()
            with _watch.after(self._patience, _leave, self._response):
                data = next(self.pieces, None)
            self._patience -= time.monotonic() - began
            return data
        return None

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
        pool elsewhere.
        """
        if exc_type is not GeneratorExit:
            self._response.close()
            return
        _hang_up(self._response)
        if sys.is_finalizing():  # no thread starts any more
            self._response.close()
        else:
            threading.Thread(target=self._response.close, daemon=True).start()


class AsyncBody(_Reading):
    """Does as `Body`, for an async client's response; it is the caller's to close."""

    def __init__(
        self, response: httpx.Response, stream: Progress, auth: PmockAuth
    ) -> None:
        """Read nothing yet; the arguments are those of `Body`."""
        super().__init__(response, stream, auth)
        self.pieces: AsyncIterator[bytes] = (
            response.aiter_bytes()
            if _is_held_by_httpx(response)
            else aiter(cast("httpx.AsyncByteStream", response.stream))
        )

    async def whole(self) -> bytes:
        """Read all of the body."""
        self._is_whole = True
        with transport_errors(self._auth, self._stream):
            return await self._response.aread()

    async def read(self) -> bytes | None:
        """Read the next piece, as `Body.read` does."""
        with transport_errors(self._auth, self._stream):
            if self._is_whole:
                return None
            if not self._stream.complete:
                return await anext(self.pieces, None)
            done = self._stream.done
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


async def _in_time(awaitable: Awaitable[ResultT], seconds: float) -> ResultT:
    if sys.version_info < (3, 11):
        return await asyncio.wait_for(awaitable, seconds)
    async with asyncio.timeout(seconds):  # without a task of its own
        return await awaitable


class _Watch:
    """Does something where a read takes too long; one thread for all of them.

    It looks at its list a few times a second, and ends when that is empty.
    """

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        """Forget all; in a forked child there is no other thread."""
        self._lock = threading.Lock()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._is_running = False

    @contextlib.contextmanager
    def after(
        self,
        seconds: float,
        action: Callable[[httpx.Response], None],
        response: httpx.Response,
    ) -> Iterator[None]:
        key = object()
        with self._lock:
            self._due[key] = time.monotonic() + seconds, partial(action, response)
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, daemon=True).start()
        try:
            yield
        finally:
            self._due.pop(key, None)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                if not self._due:
                    self._is_running = False
                    return
            now = time.monotonic()
            for key, (due, action) in list(self._due.items()):
                # Whose read has ended in the meantime has taken itself off the list.
                if due <= now and self._due.pop(key, None) is not None:
                    action()


_watch = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.start_anew)


def _leave(response: httpx.Response) -> None:
    _say_left_open()
    _hang_up(response)


def _say_left_open() -> None:
    logger.warning(
        "The service left the stream open for %g s after the finish reason. It was "
        "ended without [DONE]; the token usage may be missing.",
        _PATIENCE_AFTER_FINISH,
    )


def _hang_up(response: httpx.Response) -> None:
    """End the connection, also under a read that waits for it in another thread."""
    connection = response.extensions.get("network_stream")
    if connection is None or response.http_version == "HTTP/2":
        return  # there the connection has other streams too
    with contextlib.suppress(AttributeError, OSError):  # there is none any more
        connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
