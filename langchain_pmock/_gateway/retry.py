"""The retry policy of sync and async calls."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_pmock.auth import Signature, read_date
from langchain_pmock.errors import PmockError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

logger = logging.getLogger("langchain_pmock")

_FIRST_WAIT = 0.5  # seconds; doubles with each attempt
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0
_DOUBLINGS = 10  # enough for the longest wait, and no overflow
# RFC 9110 has whole seconds; some services send fractions.
_SECONDS = r"-?[0-9]+(\.[0-9]+)?"


def attempt(
    max_retries: int, auth: PmockAuth, func: Callable[..., ResultT], *args: Any
) -> ResultT:
    """Call a function, and retry it after temporary failures.

    Raises:
        PmockError: The error of the last attempt.
    """
    policy = _Policy(max_retries, auth)
    while True:
        try:
            return func(policy.signature, *args)
        except PmockError as error:
            wait = policy.wait_after(error)
            if wait is None:
                raise
        time.sleep(wait)


async def async_attempt(
    max_retries: int,
    auth: PmockAuth,
    func: Callable[..., Awaitable[ResultT]],
    *args: Any,
) -> ResultT:
    """Async version of `attempt`."""
    policy = _Policy(max_retries, auth)
    while True:
        try:
            return await func(policy.signature, *args)
        except PmockError as error:
            wait = policy.wait_after(error)
            if wait is None:
                raise
        await asyncio.sleep(wait)


class _Policy:
    """The retries of one call.

    Attributes:
        signature: Signs the next attempt.
    """

    def __init__(self, max_retries: int, auth: PmockAuth) -> None:
        self.signature = Signature(auth)
        self._auth = auth
        self._retries_left = max_retries
        self._failures = 0

    def wait_after(self, error: PmockError) -> float | None:
        """Return the seconds until the next attempt; `None` if there is none."""
        if error.response is not None and self.signature.needs_another(
            error.response, error.code, error.status_code
        ):
            return 0.0
        if not error.is_retryable or not self._retries_left:
            return None
        self._retries_left -= 1
        self._failures += 1
        self.signature = Signature(self._auth)
        wait = retry_after(error)
        if wait is None:
            longest = _FIRST_WAIT * 2 ** min(self._failures - 1, _DOUBLINGS)
            # Full jitter, so that concurrent callers do not retry simultaneously.
            wait = random.uniform(0, min(longest, _LONGEST_WAIT))  # noqa: S311 - no secret
        wait = min(wait, _LONGEST_RETRY_AFTER)
        logger.info(
            "Attempt %d failed, next in %.2f s: %s: %s",
            self._failures,
            wait,
            type(error).__name__,
            error,
        )
        return wait


def retry_after(error: PmockError) -> float | None:
    """Read an error's `Retry-After` header (RFC 9110): seconds, or a date.

    The result is in seconds from now, at least 0; `None` without a valid header.
    """
    if error.response is None:
        return None
    value = error.response.headers.get("retry-after", "").strip()
    if re.fullmatch(_SECONDS, value):
        return max(0.0, float(value))
    until = read_date(value)
    if until is None:
        return None
    # Relative to the service's clock, if known, because this machine's may be wrong.
    now = read_date(error.response.headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))
