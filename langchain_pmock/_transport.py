"""What httpx and the connections under it do: their errors, and a streamed body's end.

Whatever can be done for sync and async alike is written once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol, cast

import httpx

from langchain_pmock import errors

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Callable,
        Iterator,
        Mapping,
    )

logger = logging.getLogger("langchain_pmock")

# Seconds that the end of a body is waited for once the answer is complete: after
# [DONE] nothing can come, after the finish reason the usage may.
_PATIENCE_AFTER_DONE = 0.5
_PATIENCE_AFTER_FINISH = 5.0


class Progress(Protocol):
    """How far the reading of a stream has come."""

    @property
    def complete(self) -> bool:
        """Whether the finish reason or [DONE] has come."""
        ...

    @property
    def done(self) -> bool:
        """Whether [DONE] has come."""
        ...

    def progress(self) -> str:
        """Say how much had come."""
        ...

    def known(self) -> Mapping[str, Any]:
        """Give what an error can tell of the response."""
        ...


@contextlib.contextmanager
def transport_errors(stream: Progress | None = None) -> Iterator[None]:
    """Turn what httpx raises into this package's errors.

    Args:
        stream: The stream that is read, once it has begun. If its answer is complete,
            what happens after it is no error.

    Yields:
        Nothing.

    Raises:
        PmockTimeoutError: If nothing came in time.
        PmockStreamInterruptedError: If a stream broke.
        PmockConnectionError: If the service could not be reached.
        PmockResponseError: If the body could not be decoded.
    """
    try:
        yield
    except _transport_exceptions() as error:
        _forget_signature(error)
        if stream is not None and stream.complete:
            return
        cls: type[errors.PmockError] = errors.PmockConnectionError
        origin = _origin(error)
        if isinstance(origin, (httpx.TimeoutException, asyncio.TimeoutError)):
            cls = errors.PmockTimeoutError
        elif isinstance(error, httpx.DecodingError):
            cls = errors.PmockResponseError
        elif stream is not None:
            cls = errors.PmockStreamInterruptedError
        said = f"{origin} ({type(origin).__name__})" if str(origin) else repr(origin)
        known: Mapping[str, Any] = {}
        if stream is not None:
            said = f"{stream.progress()}; {said}"
            known = stream.known()
        text = errors.describe(cls, said, code=None, trace_id=known.get("trace_id"))
        raise cls(text, **known) from error


def _transport_exceptions() -> tuple[type[Exception], ...]:
    """List what transports raise: httpx-aiohttp lets some of aiohttp's own through."""
    aiohttp = sys.modules.get("aiohttp")
    return (httpx.RequestError, *([aiohttp.ClientError] if aiohttp else []))


def _origin(error: Exception) -> BaseException:
    """Find what happened: httpx-aiohttp takes a lost connection for a timeout."""
    cause = error.__cause__
    if cause is not None and type(cause).__module__.startswith("aiohttp."):
        return cause
    return error


def _forget_signature(error: Exception) -> None:
    """Take the headers out of what a transport's error keeps of the request."""
    with contextlib.suppress(RuntimeError):  # there is no request
        if isinstance(error, httpx.RequestError):
            error.request.headers = httpx.Headers()
    if hasattr(error, "request_info"):  # aiohttp's
        error.request_info = error.request_info._replace(headers={})
        error.args = (error.request_info, *error.args[1:])
    # The transport's frames have the headers among their variables, which services
    # that collect errors collect too.
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


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


def body_of(response: httpx.Response) -> Iterator[bytes]:
    """Take the bytes from as near to the socket as they can be had.

    Each layer of httpx above its stream costs at every read: `iter_raw` some 3 % of a
    token, `iter_bytes` more, also where there is nothing to decode.

    Args:
        response: The response, its body unread.

    Returns:
        The body, in the pieces in which it comes.
    """
    if _is_held_by_httpx(response):
        return response.iter_bytes()
    return iter(cast("httpx.SyncByteStream", response.stream))


def async_body_of(response: httpx.Response) -> AsyncIterator[bytes]:
    """Do as `body_of`, for an async client's response."""
    if _is_held_by_httpx(response):
        return response.aiter_bytes()
    return aiter(cast("httpx.AsyncByteStream", response.stream))


def _is_held_by_httpx(response: httpx.Response) -> bool:
    """Tell whether only httpx can give the body: decoded, or read by a user's hook."""
    return "content-encoding" in response.headers or response.is_stream_consumed


def rest_of(
    body: Iterator[bytes], response: httpx.Response, stream: Progress
) -> Iterator[bytes]:
    """Take what still comes after a complete answer, without waiting long for it.

    The usage may, and the end of the body has to be read, or the connection cannot be
    used again. A service that leaves the body open is left.

    Args:
        body: The body, as far as it is read.
        response: The response.
        stream: How far its reading has come; the pieces are to be fed to it.

    Yields:
        More pieces, up to [DONE].
    """
    left = _PATIENCE_AFTER_FINISH
    while not stream.done:
        began = time.monotonic()
        with _after(left, _leave, response):
            data = next(body, None)
        if data is None:
            return
        left -= time.monotonic() - began
        yield data
    with _after(_PATIENCE_AFTER_DONE, _hang_up, response):
        next(body, None)


async def async_rest_of(
    body: AsyncIterator[bytes], stream: Progress
) -> AsyncGenerator[bytes, None]:
    """Do as `rest_of`, for an async client's response."""
    left = _PATIENCE_AFTER_FINISH
    while not stream.done:
        began = time.monotonic()
        try:
            data = await asyncio.wait_for(anext(body, None), left)
        except asyncio.TimeoutError:
            _say_left_open()
            return
        if data is None:
            return
        left -= time.monotonic() - began
        yield data
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(anext(body, None), _PATIENCE_AFTER_DONE)


@contextlib.contextmanager
def closing(response: httpx.Response) -> Iterator[None]:
    """Close a response at the end, or when its stream is left.

    What leaves a stream may be Python's garbage collector, at any moment: also while
    this thread holds the lock of httpcore's pool, for which closing would then wait
    without end. So the connection is hung up here, and taken out of the pool elsewhere.

    Args:
        response: The response, its body unread.

    Yields:
        Nothing.
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


@contextlib.contextmanager
def _after(
    seconds: float, action: Callable[[httpx.Response], None], response: httpx.Response
) -> Iterator[None]:
    """Let something be done, in another thread, if the block takes too long."""
    watch = threading.Timer(seconds, action, [response])
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


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
    with contextlib.suppress(OSError):
        connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
