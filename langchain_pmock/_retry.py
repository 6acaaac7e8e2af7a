"""Whether and how long to wait before another attempt."""

from __future__ import annotations

import logging
import random
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from langchain_pmock.errors import PmockError

if TYPE_CHECKING:
    from tenacity import RetryCallState

logger = logging.getLogger("langchain_pmock")

_FIRST_WAIT = 0.5  # seconds; doubles with each attempt
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0


def retry_options(max_retries: int) -> dict[str, Any]:
    """Make tenacity's options, for its sync and its async loop alike.

    Args:
        max_retries: How many times to try again.

    Returns:
        Keyword arguments of `tenacity.Retrying` and `tenacity.AsyncRetrying`.
    """
    # Not at import: tenacity takes long to load, and nothing is sent yet.
    from tenacity import retry_if_exception, stop_after_attempt

    return {
        "retry": retry_if_exception(_is_retryable),
        "stop": stop_after_attempt(max_retries + 1),
        "wait": wait,
        "before_sleep": _log,
        "reraise": True,
    }


def wait(state: RetryCallState) -> float:
    """Decide how long to wait: as the service asks, else longer each time.

    Args:
        state: tenacity's record of the failed attempt.

    Returns:
        Seconds: `Retry-After`, up to 60, or a random share of 0.5, 1, 2, 4, 8, 8 ...
    """
    asked = retry_after(_error(state))
    if asked is not None:
        return min(asked, _LONGEST_RETRY_AFTER)
    longest = min(_FIRST_WAIT * 2 ** (state.attempt_number - 1), _LONGEST_WAIT)
    # Full jitter: callers who failed together do not come back together.
    return random.uniform(0, longest)  # noqa: S311 - no secret hangs on it


def retry_after(error: BaseException | None) -> float | None:
    """Read an error's `Retry-After` header (RFC 9110).

    Args:
        error: The error of a failed attempt.

    Returns:
        Seconds from now, at least 0; `None` if there is no such header.
    """
    response = getattr(error, "response", None)
    value = response.headers.get("retry-after") if response is not None else None
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value).timestamp()
        # By the service's clock, where it tells it: ours may be off.
        now = parsedate_to_datetime(response.headers["date"]).timestamp()
    except KeyError:
        now = time.time()
    except ValueError:
        return None
    return max(0.0, until - now)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, PmockError) and error.is_retryable


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None


def _log(state: RetryCallState) -> None:
    error = _error(state)
    logger.info(
        "Attempt %d failed, next in %.2f s: %s: %s",
        state.attempt_number,
        state.next_action.sleep if state.next_action is not None else 0,
        type(error).__name__,
        error,
    )
