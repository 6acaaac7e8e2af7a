"""Signing for the pmock gateway, for any httpx client.

A token is valid for the minute in which it was created, so each attempt has a new one.
`sign` computes a token; `PmockAuth` adds it to requests.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ACCESS_KEY_HEADER", "ACCESS_TOKEN_HEADER", "PmockAuth", "sign"]

ACCESS_KEY_HEADER = "wuinai-access-key"
ACCESS_TOKEN_HEADER = "wuinai-access-token"  # noqa: S105 - the name of a header

SIGNED_AT = "pmock_signed_at"
"""The request extension with the time of the signature (Unix time, seconds)."""

_MINUTE = 60
_UNAUTHORIZED = 401
_LARGEST_OFFSET = 86_400.0  # seconds; no endpoint may obtain tokens for other days
_SHORTEST_SECRET = 4  # characters; shorter ones would match in any text
_SHORTEST_HEADER = 8
# Headers whose values are not secret.
_PUBLIC_HEADERS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}

# Seconds to add to this machine's clock to get the service's. By origin and access key,
# so that an endpoint cannot affect the requests to another one.
_clock_offsets: dict[tuple[str, SecretStr], float] = {}


def sign(access_key: str, secret_key: str, timestamp: float) -> str:
    """Compute the access token for one minute.

    The service documents it as
    `base64(HMAC-SHA256(key=secret key, message="<access key>:<minute>"))`, where
    `<minute>` is the Unix time in seconds rounded down to a multiple of 60.

    Args:
        access_key: The access key.
        secret_key: The secret key that belongs to it.
        timestamp: Unix time in seconds.

    Returns:
        The token: standard base64 alphabet, with padding.

    Example:
        ```python
        from langchain_pmock.auth import sign

        assert sign("ak-example", "sk-example", 1768809934) == (
            "SiPDz8a4ffruqG3CHXdVl8k0AvfeVKQOmgXyft0Iwgg="
        )
        ```
    """
    message = f"{access_key}:{_minute(timestamp)}"
    digest = hmac.digest(secret_key.encode(), message.encode(), hashlib.sha256)
    return base64.b64encode(digest).decode("ascii")


@lru_cache
def _token(access_key: SecretStr, secret_key: SecretStr, minute: int) -> str:
    """Compute the token of a minute once, because it takes 5 % of a call's time."""
    return sign(access_key.get_secret_value(), secret_key.get_secret_value(), minute)


def _minute(timestamp: float) -> int:
    return int(timestamp // _MINUTE) * _MINUTE


class PmockAuth(httpx.Auth):
    """Signs each request of an httpx client, sync or async.

    Leave `follow_redirects` off, which is the default: httpx would send the signature
    to the host that a response redirects to.

    On HTTP 401 the request is signed again and sent once more, because the minute may
    have ended in transit, or this machine's clock may be wrong. The `Date` header of
    the response has the service's time. If the second request is accepted, its clock
    offset, at most a day, is used from then on for the same origin and access key.

    Example:
        ```python
        import httpx
        from langchain_pmock import PmockAuth

        client = httpx.Client(auth=PmockAuth("ak-example", "sk-example"))
        ```
    """

    def __init__(
        self, access_key: str | SecretStr, secret_key: str | SecretStr
    ) -> None:
        """Store the credentials.

        Args:
            access_key: The access key, which is sent in a header.
            secret_key: The secret key, which is used only as the key of the HMAC.
        """
        self._access_key = _as_secret(access_key)
        self._secret_key = _as_secret(secret_key)

    def __repr__(self) -> str:
        """Return the class name, without the keys."""
        return f"{type(self).__name__}()"

    def auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the request; on HTTP 401 sign and send it once more.

        Args:
            request: The request about to be sent.

        Yields:
            The signed request, at most twice.
        """
        signature = Signature(self)
        signature.put_on(request)
        response = yield request
        if signature.needs_another(response, response.status_code):
            signature.put_on(request)
            response = yield request
            signature.needs_another(response, response.status_code)

    def sign_request(
        self, request: httpx.Request, *, clock_offset: float | None = None
    ) -> None:
        """Add the access key and a new token to a request.

        Args:
            request: The request. Its two headers are set in place, and the time of the
                signature is stored in its extensions.
            clock_offset: Seconds to add to this machine's clock; by default the offset
                stored for the origin.
        """
        now = time.time()
        if clock_offset is None:
            clock_offset = self.clock_offset(request.url)
        minute = _minute(now + clock_offset)
        request.headers.encoding = "utf-8"  # httpx assumes ASCII
        request.headers[ACCESS_KEY_HEADER] = self._access_key.get_secret_value()
        request.headers[ACCESS_TOKEN_HEADER] = _token(
            self._access_key, self._secret_key, minute
        )
        request.extensions[SIGNED_AT] = now

    def clock_offset(self, url: httpx.URL | str) -> float:
        """Look up the offset of this machine's clock.

        Args:
            url: Any URL of the service.

        Returns:
            Seconds to add to this machine's clock to get the service's; 0 if no offset
            is stored.
        """
        if not _clock_offsets:
            return 0.0
        return _clock_offsets.get((_origin(url), self._access_key), 0.0)

    def keep_clock_offset(self, url: httpx.URL | str, offset: float) -> None:
        """Store a clock offset.

        Args:
            url: Any URL of the service.
            offset: Seconds to add to this machine's clock; 0 removes the stored one.
        """
        key = _origin(url), self._access_key
        if offset:
            _clock_offsets[key] = offset
        else:
            _clock_offsets.pop(key, None)

    def redact(self, payload: bytes, request: httpx.Request) -> bytes:
        """Redact credentials that a service or a proxy echoed.

        Both their plain form and their JSON form are found, in linear time.

        Args:
            payload: Any bytes.
            request: The signed request; its token and the values of the user's own
                headers are redacted too.

        Returns:
            The payload with `***` in place of each key, token and header value.
        """
        secrets = [
            secret
            for secret in (
                self._access_key.get_secret_value(),
                self._secret_key.get_secret_value(),
                request.headers.get(ACCESS_TOKEN_HEADER, ""),
            )
            if len(secret) >= _SHORTEST_SECRET
        ]
        secrets += [
            value
            for name, value in request.headers.items()
            if name not in _PUBLIC_HEADERS and len(value) >= _SHORTEST_HEADER
        ]
        # One may be the beginning of another.
        for secret in sorted(set(secrets), key=len, reverse=True):
            payload = payload.replace(secret.encode(), b"***")
            payload = payload.replace(json.dumps(secret)[1:-1].encode(), b"***")
        return payload


class Signature:
    """The signatures of one attempt: a second one if the first is refused.

    Attributes:
        clock_offset: Seconds to add to this machine's clock for the next signature;
            `None` for the stored offset.
    """

    def __init__(self, auth: PmockAuth) -> None:
        """Initialize the state before the first signature.

        Args:
            auth: Signs the requests.
        """
        self.clock_offset: float | None = None
        self._auth = auth
        self._is_second = False

    def put_on(self, request: httpx.Request) -> None:
        """Sign a request.

        Args:
            request: The request, signed in place.
        """
        self._auth.sign_request(request, clock_offset=self.clock_offset)

    def needs_another(self, response: httpx.Response, *codes: int | None) -> bool:
        """Evaluate a response, and store or remove the clock offset.

        Args:
            response: The response to the signed request.
            *codes: Its HTTP status, and the code of its envelope.

        Returns:
            Whether to sign the request again and send it at once.
        """
        url = response.request.url
        if _UNAUTHORIZED not in codes:
            if self.clock_offset is not None:
                self._auth.keep_clock_offset(url, self.clock_offset)
            return False
        if self._is_second:
            # The clock is not the cause.
            self._auth.keep_clock_offset(url, 0.0)
            return False
        self._is_second = True
        self.clock_offset = measure_clock(response, self._auth.clock_offset(url))
        return True


def measure_clock(response: httpx.Response, expected: float = 0.0) -> float:
    """Measure the offset of this machine's clock from a response's `Date` header.

    The service wrote the date, in whole seconds, between the signing of the request and
    now. The clock is wrong only if the date lies outside this interval.

    Args:
        response: The response to a signed request.
        expected: The offset to return if the date is consistent with it.

    Returns:
        Seconds to add to this machine's clock to get the service's; 0 if there is no
        usable date, or if it is more than a day away.
    """
    signed_at = response.request.extensions.get(SIGNED_AT)
    date = read_date(response.headers.get("date", ""))
    if date is None or signed_at is None:
        return expected
    least, most = date - time.time(), date + 1 - signed_at
    for offset in (expected, 0.0):
        if least <= offset <= most:
            return offset
    measured = (least + most) / 2
    return measured if abs(measured) <= _LARGEST_OFFSET else 0.0


def read_date(value: str) -> float | None:
    """Parse the date of an HTTP header (RFC 9110), in UTC if it has no zone.

    Args:
        value: The header's value.

    Returns:
        Unix time in seconds; `None` if it is not a date.
    """
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (OverflowError, ValueError):
        return None


def _origin(url: httpx.URL | str) -> str:
    url = httpx.URL(url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _as_secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)
