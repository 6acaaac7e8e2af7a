"""The retry policy of sync and async calls."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import TYPE_CHECKING

from langchain_pmock._signature import read_date

if TYPE_CHECKING:
    from langchain_pmock._gateway.attempt import Attempt
    from langchain_pmock._signature import Signer
    from langchain_pmock.errors import PmockError

logger = logging.getLogger("langchain_pmock")

_UNAUTHORIZED = 401
_FIRST_WAIT = 0.5  # seconds; doubles with each attempt
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0
_DOUBLINGS = 10  # enough for the longest wait, and no overflow
# RFC 9110 has whole seconds; some services send fractions.
_SECONDS = r"-?[0-9]+(\.[0-9]+)?"


class Retries:
    """The attempts of one call: when there is another one, and with which clock.

    Attributes:
        offset: The offset of the clock for the next signature; `None` for the signer's.
    """

    def __init__(self, max_retries: int, signer: Signer) -> None:
        """Initialize the state before the first attempt."""
        self.offset: float | None = None
        self._left = max_retries
        self._failures = 0
        self._signer = signer

    def succeed(self) -> None:
        """Keep the offset of the clock, if the service accepted it."""
        if self.offset is not None:
            self._signer.offset = self.offset

    def wait_after(self, error: PmockError, attempt: Attempt) -> float:
        """Return the seconds until the next attempt, or raise the error."""
        if _UNAUTHORIZED in (error.code, error.status_code) and error.response:
            # Once more at once: the minute may have ended, or the clock is wrong.
            if self.offset is None:
                date = error.response.headers.get("date", "")
                self.offset = attempt.signature.measured_offset(date)
                return 0.0
            self._signer.offset = 0.0  # the clock is not the cause
            raise error
        if not error.is_retryable or not self._left:
            raise error
        self._left -= 1
        self._failures += 1
        self.offset = None
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
    # Relative to the service's clock, if it is given: this machine's may be wrong.
    now = read_date(error.response.headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))
