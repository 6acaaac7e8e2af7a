"""Whether and how long to wait before another attempt."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from langchain_pmock.auth import read_date
from langchain_pmock.errors import PmockError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tenacity import AsyncRetrying, RetryCallState, Retrying

ResultT = TypeVar("ResultT")

logger = logging.getLogger("langchain_pmock")

_FIRST_WAIT = 0.5  # seconds; doubles with each attempt
_LONGEST_WAIT = 8.0
_LONGEST_RETRY_AFTER = 60.0
# The RFC has whole seconds; some services are more precise.
_SECONDS = r"-?[0-9]+(\.[0-9]+)?"


def attempt(
    max_retries: int,
    refused: Callable[[PmockError], bool],
    func: Callable[..., ResultT],
    *args: Any,
) -> ResultT:
    """Attempt something, and again while that may help.

    Args:
        max_retries: How many times to try again.
        refused: Whether an error is one after which to try at once, once more in the
            same attempt.
        func: What to attempt.
        *args: What to call it with.

    Returns:
        What it returned.

    Raises:
        PmockError: The last attempt's.
    """
    try:
        return func(*args)
    except PmockError as error:
        failed = [error]

    # Inside tenacity's loop even an attempt that succeeds costs a tenth more. So the
    # loop is only entered with a failure, which it is handed as its first attempt's.
    def one_attempt() -> ResultT:
        try:
            if failed:
                raise failed.pop()
            return func(*args)
        except PmockError as error:
            if not refused(error):
                raise
        return func(*args)

    return retrying(max_retries)(one_attempt)


async def async_attempt(
    max_retries: int,
    refused: Callable[[PmockError], bool],
    func: Callable[..., Awaitable[ResultT]],
    *args: Any,
) -> ResultT:
    """Do as `attempt`, for what is awaited."""
    try:
        return await func(*args)
    except PmockError as error:
        failed = [error]

    async def one_attempt() -> ResultT:
        try:
            if failed:
                raise failed.pop()
            return await func(*args)
        except PmockError as error:
            if not refused(error):
                raise
        return await func(*args)

    return await async_retrying(max_retries)(one_attempt)


def retrying(max_retries: int) -> Retrying:
    """Make the loop of attempts.

    Args:
        max_retries: How many times to try again.

    Returns:
        tenacity's loop: call it with what to attempt.
    """
    from tenacity import Retrying  # noqa: PLC0415 - slow to load, and seldom needed

    return Retrying(**_options(max_retries))


def async_retrying(max_retries: int) -> AsyncRetrying:
    """Do as `retrying`, for what is awaited."""
    from tenacity import AsyncRetrying  # noqa: PLC0415 - as above

    return AsyncRetrying(**_options(max_retries))


def _options(max_retries: int) -> dict[str, Any]:
    from tenacity import retry_if_exception, stop_after_attempt  # noqa: PLC0415 - as above

    return {
        "retry": retry_if_exception(_is_retryable),
        "stop": stop_after_attempt(max_retries + 1),
        "wait": wait,
        "before_sleep": _log,
        "reraise": True,
    }


def wait(retry_state: RetryCallState) -> float:
    """Decide how long to wait: as the service asks, else longer each time.

    Args:
        retry_state: tenacity's record of the failed attempt.

    Returns:
        Seconds: `Retry-After`, up to 60, or a random share of 0.5, 1, 2, 4, 8, 8 ...
    """
    # tenacity 8 passes it by this name.
    asked = retry_after(_error(retry_state))
    if asked is not None:
        return min(asked, _LONGEST_RETRY_AFTER)
    # More doublings would be no float some day.
    doublings = min(retry_state.attempt_number - 1, 10)
    longest = min(_FIRST_WAIT * 2**doublings, _LONGEST_WAIT)
    # Full jitter: callers who failed together do not come back together.
    return random.uniform(0, longest)  # noqa: S311 - no secret hangs on it


def retry_after(error: BaseException | None) -> float | None:
    """Read an error's `Retry-After` header (RFC 9110): seconds, or a date.

    Args:
        error: The error of a failed attempt.

    Returns:
        Seconds from now, at least 0; `None` if there is no such header, or it is
        neither.
    """
    response = error.response if isinstance(error, PmockError) else None
    if response is None:
        return None
    value = response.headers.get("retry-after", "").strip()
    if re.fullmatch(_SECONDS, value):
        return max(0.0, float(value))
    until = read_date(value)
    if until is None:
        return None
    # By the service's clock, where it tells it: ours may be off.
    now = read_date(response.headers.get("date", ""))
    return max(0.0, until - (time.time() if now is None else now))


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
