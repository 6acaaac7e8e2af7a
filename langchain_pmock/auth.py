"""Signing for the pmock gateway, for any httpx client.

A token is good for the minute that it was made in, so it is made anew for each
attempt and never stored. `sign` makes one, `PmockAuth` puts it on a request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from datetime import timezone
from email.utils import parsedate_to_datetime
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
_LARGEST_OFFSET = 86_400.0  # seconds; no endpoint gets a token for another day
_SHORTEST_SECRET = 4  # characters; shorter ones would be found in any text
_SHORTEST_HEADER = 8
# The values of these headers are no secrets.
_PUBLIC_HEADERS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}

# Seconds to add to this machine's clock to get the service's, by the service's origin
# and the access key: an endpoint cannot set the clock for another one.
_clock_offsets: dict[tuple[str, SecretStr], float] = {}


def sign(access_key: str, secret_key: str, timestamp: float) -> str:
    """Make the access token for one minute.

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
    minute = int(timestamp // _MINUTE) * _MINUTE
    digest = hmac.digest(
        secret_key.encode(), f"{access_key}:{minute}".encode(), hashlib.sha256
    )
    return base64.b64encode(digest).decode("ascii")


class PmockAuth(httpx.Auth):
    """Signs each request as it is sent; for any httpx client, sync and async.

    Leave `follow_redirects` off, as it is by default: httpx would send the signature to
    wherever a response redirects.

    On HTTP 401 the request is signed again and sent once more: the minute may have
    ended on the way, or this machine's clock may be off. The `Date` header of the
    response has the service's time. If the request is accepted by that clock, the
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
        """Store the credentials; nothing is signed yet.

        Args:
            access_key: The access key, sent as it is in a header.
            secret_key: The secret key. It is only used as the key of the HMAC.
        """
        self._access_key = _as_secret(access_key)
        self._secret_key = _as_secret(secret_key)

    def __repr__(self) -> str:
        """Show the class alone: both keys stay out of logs."""
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
        """Put the access key and a fresh token on a request.

        Args:
            request: The request. Its two headers are set in place, and the time of the
                signature is noted in its extensions.
            clock_offset: Seconds to add to this machine's clock; by default what an
                earlier refusal of the same origin taught.
        """
        now = time.time()
        access_key = self._access_key.get_secret_value()
        if clock_offset is None:
            clock_offset = self.clock_offset(request.url)
        token = sign(
            access_key, self._secret_key.get_secret_value(), now + clock_offset
        )
        request.headers.encoding = "utf-8"  # httpx would take the keys for ASCII
        request.headers[ACCESS_KEY_HEADER] = access_key
        request.headers[ACCESS_TOKEN_HEADER] = token
        request.extensions[SIGNED_AT] = now

    def clock_offset(self, url: httpx.URL | str) -> float:
        """Look up the offset of this machine's clock.

        Args:
            url: Any URL of the service.

        Returns:
            Seconds to add to this machine's clock to get the service's; 0 until a
            request was accepted with another offset.
        """
        return _clock_offsets.get((_origin(url), self._access_key), 0.0)

    def keep_clock_offset(self, url: httpx.URL | str, offset: float) -> None:
        """Use an offset from now on.

        Args:
            url: Any URL of the service.
            offset: Seconds to add to this machine's clock; 0 forgets the offset.
        """
        key = _origin(url), self._access_key
        if offset:
            _clock_offsets[key] = offset
        else:
            _clock_offsets.pop(key, None)

    def redact(self, payload: bytes, request: httpx.Request) -> bytes:
        """Replace the credentials in what a service or a proxy echoed.

        The time it takes is linear in the payload. Each of them is found as it is, and
        as JSON escapes it.

        Args:
            payload: Any bytes.
            request: The signed request; its token and the values of the user's own
                headers are replaced too.

        Returns:
            The payload with `***` in place of each key, token and header's value.
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
        for secret in dict.fromkeys(secrets):
            payload = payload.replace(secret.encode(), b"***")
            payload = payload.replace(json.dumps(secret)[1:-1].encode(), b"***")
        return payload


class Signature:
    """The signatures of one call: a second one if the first is refused.

    Attributes:
        clock_offset: Seconds to add to this machine's clock for the next signature;
            `None` for what is known of the service's clock.
    """

    def __init__(self, auth: PmockAuth) -> None:
        """Start before the first signature.

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
        """Look at the answer, and learn from it.

        Args:
            response: The response to the signed request.
            *codes: Its HTTP status, and the code of its envelope.

        Returns:
            Whether to sign and send the request once more, at once.
        """
        url = response.request.url
        if _UNAUTHORIZED not in codes:
            if self.clock_offset is not None:
                self._auth.keep_clock_offset(url, self.clock_offset)
            return False
        if self._is_second:
            # Whatever is wrong, it is not the clock.
            self._auth.keep_clock_offset(url, 0.0)
            return False
        self._is_second = True
        self.clock_offset = measure_clock(response, self._auth.clock_offset(url))
        return True


def measure_clock(response: httpx.Response, expected: float = 0.0) -> float:
    """Measure this machine's clock by the `Date` of the response to a signed request.

    The service made the date, in whole seconds, after the request was signed and before
    now. Only if that cannot be is the clock off: the network's delay alone does not
    tell.

    Args:
        response: The response.
        expected: The offset to return if the date does not contradict it.

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
    """Read the date of an HTTP header (RFC 9110), which is in UTC if it names no zone.

    Args:
        value: The header's value.

    Returns:
        Unix time in seconds; `None` if it is no date.
    """
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=timezone.utc)
        return date.timestamp()
    except (OverflowError, ValueError):
        return None


def _origin(url: httpx.URL | str) -> str:
    url = httpx.URL(url)
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


def _as_secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)
