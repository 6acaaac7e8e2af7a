"""The signature of a request, and the service's clock that it depends on."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

from langchain_pmock.errors import PmockInvalidRequestError

ACCESS_KEY_HEADER = "wuinai-access-key"
ACCESS_TOKEN_HEADER = "wuinai-access-token"  # noqa: S105 - the name of a header

Key = str | SecretStr | Callable[[], str | SecretStr]
"""A key, or a function that returns it and is called for each request."""

_MINUTE = 60
_LARGEST_OFFSET = 86_400.0  # seconds; no endpoint may obtain tokens for other days


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


def _minute(timestamp: float) -> int:
    return int(timestamp // _MINUTE) * _MINUTE


@dataclass(slots=True, repr=False)
class Signature:
    """What one request is signed with.

    Attributes:
        secrets: The access key, the secret key and the token, which no text may have.
        signed_at: This machine's Unix time of the signature, in seconds.
        offset: Seconds that were added to it, to get the service's time.
    """

    secrets: tuple[str, str, str]
    signed_at: float
    offset: float

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The two headers of a signed request, in UTF-8: httpx2 encodes as ASCII."""
        access_key, _, token = self.secrets
        return {
            ACCESS_KEY_HEADER.encode(): access_key.encode(),
            ACCESS_TOKEN_HEADER.encode(): token.encode(),
        }

    def measured_offset(self, date: str) -> float:
        """Measure the offset of this machine's clock from a response's `Date` header.

        The service wrote the date, in whole seconds, between the signing of the request
        and now. The offset changes only if the date lies outside this interval, and
        is 0 if it is more than a day away.
        """
        written_at = read_date(date)
        if written_at is None:
            return self.offset
        least, most = written_at - time.time(), written_at + 1 - self.signed_at
        for offset in (self.offset, 0.0):
            if least <= offset <= most:
                return offset
        measured = (least + most) / 2
        return measured if abs(measured) <= _LARGEST_OFFSET else 0.0


class Signer:
    """Signs with one pair of keys.

    It owns what depends on them: the offset of the clock, and the token of this minute,
    which is computed once because that takes 5 % of a call's time.

    Attributes:
        offset: Seconds to add to this machine's clock to get the service's.
    """

    def __init__(self, access_key: Key, secret_key: Key) -> None:
        """Store the keys, or the functions that return them."""
        self.offset = 0.0
        self._access_key = access_key
        self._secret_key = secret_key
        self._last: tuple[str, str, int, str] | None = None

    def sign(self, offset: float | None = None) -> Signature:
        """Create the signature of a request that is sent now."""
        now = time.time()
        offset = self.offset if offset is None else offset
        access_key = read_key(self._access_key, "access_key")
        secret_key = read_key(self._secret_key, "secret_key")
        wanted = access_key, secret_key, _minute(now + offset)
        last = self._last
        if last is None or last[:3] != wanted:
            self._last = last = *wanted, sign(*wanted)
        return Signature((access_key, secret_key, last[3]), now, offset)


def check_key(value: object, name: str) -> SecretStr:
    """Check and strip a key; an error does not have it."""
    key = value.get_secret_value() if isinstance(value, SecretStr) else value
    key = key.strip() if isinstance(key, str) else key
    if not (isinstance(key, str) and key and key.isprintable()):
        msg = f"{name} must be a string without control characters or line breaks"
        raise ValueError(msg + (", and not empty." if key in ("", None) else "."))
    return SecretStr(key)


def read_key(key: Key, name: str) -> str:
    """Return a key as text, which a function may have to be called for."""
    if isinstance(key, SecretStr):
        return key.get_secret_value()
    if isinstance(key, str):
        return key
    result = key()
    try:
        return check_key(
            result, f"The result of the function {name}"
        ).get_secret_value()
    except ValueError as error:
        problem = PmockInvalidRequestError(str(error))
    raise problem


def read_date(value: str) -> float | None:
    """Parse the date of an HTTP header (RFC 9110): Unix time, `None` if it is none."""
    try:
        date = parsedate_to_datetime(value)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return date.timestamp()
    except (OverflowError, ValueError):
        return None
