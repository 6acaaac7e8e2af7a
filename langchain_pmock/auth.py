"""Signing for the pmock gateway, for HTTP clients of your own.

A token is valid for the minute in which it was created, so each request has a new one.
`sign` computes a token; `PmockAuth` adds it to the requests of a client of httpx2 or
httpx. This module imports both libraries; `ChatPmock` does not use it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from langchain_pmock._signature import (
    ACCESS_KEY_HEADER,
    ACCESS_TOKEN_HEADER,
    Key,
    Signer,
    sign,
)

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ACCESS_KEY_HEADER", "ACCESS_TOKEN_HEADER", "PmockAuth", "sign"]

_UNAUTHORIZED = 401


class PmockAuth(httpx2.Auth, httpx.Auth):  # type: ignore[misc]  # twins of two libraries
    """Signs each request of a client of httpx2 or httpx, sync or async.

    Leave `follow_redirects` off, which is the default: the client would send the
    signature to the host that a response redirects to.

    On HTTP 401 the request is signed again and sent once more, because the minute may
    have ended in transit, or this machine's clock may be wrong. The `Date` header of
    the response has the service's time. If the second request is accepted, its clock
    offset, at most a day, is used from then on for the same origin.

    Example:
        ```python
        import httpx2
        from langchain_pmock import PmockAuth

        client = httpx2.Client(auth=PmockAuth("ak-example", "sk-example"))
        ```
    """

    def __init__(self, access_key: Key, secret_key: Key) -> None:
        """Store the credentials.

        Args:
            access_key: The access key, which is sent in a header; or a function without
                arguments that returns it, called for each request.
            secret_key: The secret key, which is used only as the key of the HMAC; or a
                function that returns it.
        """
        self._signer = Signer(access_key, secret_key)
        # By origin, so that one endpoint cannot affect the requests to another.
        self._offsets: dict[str, float] = {}

    def __repr__(self) -> str:
        """Return the class name, without the keys."""
        return f"{type(self).__name__}()"

    def auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Sign the request; on HTTP 401 sign and send it once more.

        Args:
            request: The request about to be sent.

        Yields:
            The signed request, at most twice.
        """
        origin = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
        signature = self._signer.sign(self._offsets.get(origin, 0.0))
        request.headers.encoding = "utf-8"  # both libraries assume ASCII
        request.headers.update(signature.headers)
        response = yield request
        if response.status_code != _UNAUTHORIZED:
            return
        offset = signature.measured_offset(response.headers.get("date", ""))
        request.headers.update(self._signer.sign(offset).headers)
        response = yield request
        # If it is refused again, the clock is not the cause.
        is_refused = response.status_code == _UNAUTHORIZED
        self._offsets[origin] = 0.0 if is_refused else offset
