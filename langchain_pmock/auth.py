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
"""The request extension that tells when a request was signed (Unix time, seconds)."""

_MINUTE = 60
_SHORTEST_SECRET = 4  # shorter ones would be found in any text

# Seconds to add to this machine's clock to get the service's, by access key. Every
# request that shares the credentials shares what was learned.
_clock_offsets: dict[str, float] = {}


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
    ended on the way, or this machine's clock may be off. The response's `Date` header
    tells the service's time; the offset is learned and used from then on by every
    `PmockAuth` with the same access key.

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
        """Keep the credentials; nothing is signed yet.

        Args:
            access_key: The access key, sent as it is in a header.
            secret_key: The secret key; it only ever goes into the HMAC.
        """
        self._access_key = _as_secret(access_key)
        self._secret_key = _as_secret(secret_key)

    def __repr__(self) -> str:
        """Show the class alone: both keys stay out of logs."""
        return f"{type(self).__name__}()"

    @property
    def clock_offset(self) -> float:
        """Seconds added to this machine's clock; 0 until a response told otherwise."""
        return _clock_offsets.get(self._access_key.get_secret_value(), 0.0)

    def auth_flow(
        self, request: httpx.Request
    ) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the request; on HTTP 401 learn the clock's offset and sign once more.

        Args:
            request: The request about to be sent.

        Yields:
            The signed request, at most twice.
        """
        self.sign_request(request)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self.learn_clock(response)
            self.sign_request(request)
            yield request

    def sign_request(self, request: httpx.Request) -> None:
        """Put the access key and a fresh token on a request.

        Args:
            request: The request. Its two headers are set in place, and the time of the
                signing is noted in its extensions.
        """
        now = time.time()
        access_key = self._access_key.get_secret_value()
        token = sign(
            access_key, self._secret_key.get_secret_value(), now + self.clock_offset
        )
        request.headers.encoding = "utf-8"  # httpx would take the keys for ASCII
        request.headers[ACCESS_KEY_HEADER] = access_key
        request.headers[ACCESS_TOKEN_HEADER] = token
        request.extensions[SIGNED_AT] = now

    def learn_clock(self, response: httpx.Response) -> None:
        """Learn how far this machine's clock is off from a refusal's `Date`.

        The service made the date, in whole seconds, after the request was signed and
        before now. Only if that cannot be is the clock off; the network's delay alone
        teaches nothing.

        Args:
            response: A response that refuses what was signed here.
        """
        signed_at = response.request.extensions.get(SIGNED_AT)
        date = read_date(response.headers.get("date", ""))
        if date is None or signed_at is None:
            return
        least, most = date - time.time(), date + 1 - signed_at
        if not least <= self.clock_offset <= most:
            is_right = least <= 0 <= most
            _clock_offsets[self._access_key.get_secret_value()] = (
                0.0 if is_right else (least + most) / 2
            )

    def redact(self, payload: bytes, request: httpx.Request) -> bytes:
        """Replace the credentials in what a service or a proxy echoed.

        The time it takes is linear in the payload. Each key and token is found as it
        is, and as JSON escapes it.

        Args:
            payload: Any bytes.
            request: The signed request; its token is replaced too.

        Returns:
            The payload with `***` in place of each key and token.
        """
        secrets = (
            self._access_key.get_secret_value(),
            self._secret_key.get_secret_value(),
            request.headers.get(ACCESS_TOKEN_HEADER, ""),
        )
        for secret in secrets:
            if len(secret) >= _SHORTEST_SECRET:
                payload = payload.replace(secret.encode(), b"***")
                payload = payload.replace(json.dumps(secret)[1:-1].encode(), b"***")
        return payload


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


def _as_secret(value: str | SecretStr) -> SecretStr:
    return value if isinstance(value, SecretStr) else SecretStr(value)
