"""What httpx and the transports under it raise, as this package's errors."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from langchain_pmock import errors
from langchain_pmock._gateway.envelope import failure, hidden

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from langchain_pmock.auth import PmockAuth

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


_NOTHING = httpx.ByteStream(b"")


class TransportErrors:
    """A context in which what httpx raises becomes this package's errors.

    A class, since it is entered for each read: what contextlib makes of a generator
    takes three times as long.

    Raises:
        PmockTimeoutError: If nothing came in time.
        PmockStreamInterruptedError: If a stream broke.
        PmockConnectionError: If the service could not be reached.
        PmockResponseError: If the body could not be decoded.
        PmockError: If a hook of the user's client raised for the status.
    """

    __slots__ = ("_auth", "_stream")

    def __init__(self, auth: PmockAuth, stream: Progress | None = None) -> None:
        """Begin.

        Args:
            auth: What signed the request; it knows what must not be shown.
            stream: The stream that is read, once it has begun. If its answer is
                complete, what happens after it is no error.
        """
        self._auth = auth
        self._stream = stream

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Raise the error that it is here, unless the answer is complete."""
        del traceback  # its frames have the signature, and this one's may be kept
        if error is None:
            return False
        cause: Exception | None = None
        if isinstance(error, httpx.HTTPStatusError):
            found = failure(_read_so_far(error.response), error.response, self._auth)
        elif not isinstance(error, _transport_exceptions()):
            return False
        elif self._stream is not None and self._stream.complete:
            return True
        else:
            cause = _safe_cause(error, self._auth)
            found = _ours(error, self._stream, self._auth)
        try:
            raise found from cause
        finally:
            # Python sets it to the transport's error, whose frames and request have
            # the signature. Nor may a variable of this frame keep that error.
            found.__context__ = cause
            del error


def let_go(response: httpx.Response) -> None:
    """Have memory freed at once for a response that is closed, and for its request.

    httpx ties each response to its stream and back: all of it, and images that were
    sent, would wait for Python's garbage collector.

    Args:
        response: The response.
    """
    response.stream = _NOTHING


def _ours(
    error: Exception, stream: Progress | None, auth: PmockAuth
) -> errors.PmockError:
    cls: type[errors.PmockError] = errors.PmockConnectionError
    origin = _origin(error)
    if isinstance(origin, (httpx.TimeoutException, asyncio.TimeoutError)):
        cls = errors.PmockTimeoutError
    elif isinstance(error, httpx.DecodingError):
        cls = errors.PmockResponseError
    elif stream is not None:
        cls = errors.PmockStreamInterruptedError
    name = type(origin).__name__
    said = f"{text} ({name})" if (text := _text(origin, auth)) else f"{name}()"
    if stream is None:
        return cls.of(said)
    return cls.of(f"{stream.progress()}; {said}", **stream.known())


def _safe_cause(error: Exception, auth: PmockAuth) -> Exception:
    """Copy an error without its request, its traceback, its chain and any secret.

    The error itself is the transport's or the caller's, and is left as it is.
    """
    for cls in type(error).__mro__:
        if cls.__module__ == "httpx" and issubclass(cls, httpx.RequestError):
            return cls(_text(error, auth))
    return httpx.TransportError(f"{type(error).__name__}: {_text(error, auth)}")


def _text(error: BaseException, auth: PmockAuth) -> str:
    """Give an error's text without secrets; the peer may have echoed the request."""
    request: httpx.Request | None = None
    if isinstance(error, httpx.RequestError):
        with contextlib.suppress(RuntimeError):  # there is no request
            request = error.request
    return hidden(str(error), auth, request)


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


def _read_so_far(response: httpx.Response) -> bytes:
    try:
        return response.content
    except httpx.ResponseNotRead:  # httpx has closed it already
        return b""
