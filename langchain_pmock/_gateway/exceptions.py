"""Conversion of the exceptions of httpx and its transports to this package's."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

import httpx

from langchain_pmock import errors
from langchain_pmock._gateway.envelope import failure, readable

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TypeGuard

    from langchain_pmock.auth import PmockAuth

    class Progress(Protocol):
        """The progress of reading a body."""

        @property
        def is_decided(self) -> bool:
            """Whether the outcome is known, so that errors can be ignored."""
            ...

        @property
        def interruption(self) -> type[errors.PmockError]:
            """The class of the error if the body is cut off."""
            ...

        def progress(self) -> str:
            """Describe how much was received."""
            ...

        def error_context(self) -> dict[str, Any]:
            """Return keyword arguments for an error about the response."""
            ...


_BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's name
_USERINFO = r"(?<=//)[^/@\s]+(?=@)"


class TransportErrors:
    """A context manager that converts transport errors to this package's errors.

    The cause of the new error is a copy of the transport's error, because the original
    holds the signed request and must not be changed.

    Raises:
        PmockTimeoutError: If no data was received in time.
        PmockStreamInterruptedError: If a stream was cut off.
        PmockConnectionError: If the service could not be reached, or an answer was cut
            off.
        PmockResponseError: If the body could not be decoded.
        PmockError: If a hook of the user's client raised `httpx.HTTPStatusError`.
    """

    __slots__ = ("_auth", "_progress", "_request")

    def __init__(
        self,
        auth: PmockAuth,
        request: httpx.Request,
        progress: Progress | None = None,
    ) -> None:
        """Initialize the context manager."""
        self._auth = auth
        self._request = request
        self._progress = progress

    def __enter__(self) -> None:
        """Enter the context."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Raise this package's error, unless the outcome is known already."""
        del traceback  # its frames hold the signature
        if error is None:
            return False
        cause: Exception | None = None
        if isinstance(error, httpx.HTTPStatusError):
            found = failure(_read_so_far(error.response), error.response, self._auth)
        elif not _is_of_transport(error):
            return False
        elif self._progress is not None and self._progress.is_decided:
            return True
        else:
            text = self._text(error)
            cause = _copy(error, text)
            found = self._translated(error, text)
        try:
            raise found from cause
        finally:
            # Python has set it to the transport's error.
            found.__context__ = cause
            del error

    def _translated(self, error: Exception, text: str) -> errors.PmockError:
        progress = self._progress
        cls = errors.PmockConnectionError if progress is None else progress.interruption
        if isinstance(error, httpx.TimeoutException):
            cls = errors.PmockTimeoutError
        elif isinstance(error, httpx.DecodingError):
            cls = errors.PmockResponseError
        name = type(error).__name__
        reason = f"{text} ({name})" if text else name
        if isinstance(error, httpx.PoolTimeout):
            reason += ": all connections of your own client were in use"
        if _BAD_CERTIFICATE in text:
            reason += (
                ": to trust a private CA, set SSL_CERT_FILE, or pass http_client and "
                "http_async_client"
            )
        if progress is None:
            return cls.of(reason)
        return cls.of(f"{progress.progress()}; {reason}", **progress.error_context())

    def _text(self, error: Exception) -> str:
        """Return the redacted text: a peer that is not an HTTP server may echo."""
        payload = str(error).encode("utf-8", "backslashreplace")
        text = self._auth.redact(payload, self._request).decode()
        return readable(re.sub(_USERINFO, "***", text))


def _is_of_transport(error: BaseException) -> TypeGuard[Exception]:
    # httpx-aiohttp, in a client of the user's, does not convert all errors.
    root = type(error).__module__.partition(".")[0]
    return isinstance(error, Exception) and (
        isinstance(error, httpx.RequestError) or root == "aiohttp"
    )


def _copy(error: Exception, text: str) -> Exception:
    """Copy an error without its request, traceback and chain."""
    for cls in type(error).__mro__:
        if cls.__module__ == "httpx" and issubclass(cls, httpx.RequestError):
            return cls(text)
    return httpx.TransportError(f"{type(error).__name__}: {text}")


def _read_so_far(response: httpx.Response) -> bytes:
    try:
        return response.content
    except httpx.ResponseNotRead:
        return b""
