"""Reading and decoding of response bodies, with size limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from langchain_pmock import errors
from langchain_pmock._gateway.envelope import readable, redacted, safe_copy
from langchain_pmock._gateway.exceptions import TransportErrors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_pmock.auth import PmockAuth

ACCEPT_ENCODING = "gzip, deflate"
"""The accepted encodings of whole answers.

zlib expands data by a factor of 1,032 at most. There is no such bound for Brotli and
Zstandard, so they are refused.
"""

_DECODED = ("", "identity", "gzip", "deflate")
_LARGEST_ERROR_BODY = 2**20  # bytes
_LONGEST_ENCODING = 200  # characters of its name
_NOTHING = httpx.ByteStream(b"")


def pieces(response: httpx.Response, auth: PmockAuth) -> Iterator[bytes]:
    """Read a body piece by piece; nothing of an error's in another encoding.

    Raises:
        PmockResponseError: If the body of a success is encoded in another way.
    """
    if not _is_decodable(response, auth):
        return iter(_NOTHING)
    # Each layer of httpx above the raw bytes takes about 3 % of the time of a token.
    return response.iter_raw() if _is_raw(response) else response.iter_bytes()


def async_pieces(response: httpx.Response, auth: PmockAuth) -> AsyncIterator[bytes]:
    """Async version of `pieces`."""
    if not _is_decodable(response, auth):
        return aiter(_NOTHING)
    return response.aiter_raw() if _is_raw(response) else response.aiter_bytes()


def _is_decodable(response: httpx.Response, auth: PmockAuth) -> bool:
    encoding = response.headers.get("content-encoding", "").lower()
    if encoding in _DECODED:
        return True
    if not response.is_success:
        return False  # the status is known, and decides
    shown = readable(redacted(encoding, response.request, auth), _LONGEST_ENCODING)
    msg = f"it is encoded with {shown!r}, and only {ACCEPT_ENCODING} is accepted"
    raise errors.PmockResponseError.of(
        msg,
        status_code=response.status_code,
        response=safe_copy(response, b"", auth),
    )


def _is_raw(response: httpx.Response) -> bool:
    # A hook of the user's client may have read the body already.
    encoding = response.headers.get("content-encoding")
    return not (encoding or response.is_stream_consumed)


class WholeBody:
    """A body that is read to its end, up to a limit.

    Only the first megabyte of an error's body is read.

    Attributes:
        interruption: The class of the error if the body is cut off.
    """

    interruption: type[errors.PmockError] = errors.PmockConnectionError

    def __init__(self, response: httpx.Response, auth: PmockAuth, limit: int) -> None:
        """Initialize the state before the first byte."""
        self._response = response
        self._auth = auth
        self._limit = limit
        self._body = bytearray()  # a list of small pieces would take 30 times the room

    @property
    def is_decided(self) -> bool:
        """Whether the status alone determines the outcome, as for an error."""
        return not self._response.is_success

    def read(self) -> bytes:
        """Read the body.

        Raises:
            PmockError: If it is larger than the limit, cut off, or cannot be decoded.
        """
        with TransportErrors(self._auth, self._response.request, self):
            for piece in pieces(self._response, self._auth):
                if not self._add(piece):
                    break
        return bytes(self._body)

    async def aread(self) -> bytes:
        """Async version of `read`."""
        with TransportErrors(self._auth, self._response.request, self):
            async for piece in async_pieces(self._response, self._auth):
                if not self._add(piece):
                    break
        return bytes(self._body)

    def _add(self, piece: bytes) -> bool:
        """Add decoded bytes, and return whether to read on."""
        self._body += piece
        if self.is_decided:
            return len(self._body) < _LARGEST_ERROR_BODY
        if len(self._body) > self._limit:
            self._body.clear()
            msg = f"it is larger than max_response_bytes={self._limit}"
            raise errors.PmockResponseError.of(msg, **self.error_context())
        return True

    def progress(self) -> str:
        """Describe how much was received."""
        return f"the answer was cut off after {len(self._body)} bytes"

    def error_context(self) -> dict[str, Any]:
        """Return the context of an error about this answer."""
        return {
            "status_code": self._response.status_code,
            "response": safe_copy(self._response, b"", self._auth),
        }
