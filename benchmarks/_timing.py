"""CPU time of this process, in rounds in which every contestant has its turn."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    Case = Callable[[], float]

_AIOHTTP = "httpx_aiohttp"


@dataclass(frozen=True)
class Cost:
    """What something costs, over all rounds."""

    least: float
    median: float

    def __add__(self, other: Cost) -> Cost:
        """Add up two that were measured apart."""
        return Cost(self.least + other.least, self.median + other.median)

    def __mul__(self, factor: float) -> Cost:
        """Give the same in another unit."""
        return Cost(self.least * factor, self.median * factor)

    def __truediv__(self, other: Cost) -> Cost:
        """Give the ratio to another."""
        return Cost(self.least / other.least, self.median / other.median)


def in_turn(cases: Mapping[str, Case], rounds: int) -> dict[str, Cost]:
    """Measure all cases in each round, so that what disturbs one disturbs all.

    Args:
        cases: What to measure, by name. A case returns its own cost.
        rounds: How many rounds to count. One more goes before, to warm up.

    Returns:
        The costs by name.
    """
    costs: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            gc.collect()
            cost = case()
            if number:
                costs[name].append(cost)
    return {
        name: Cost(min(all_), statistics.median(all_)) for name, all_ in costs.items()
    }


def cpu(action: Callable[[], object], times: int = 1) -> float:
    """Measure CPU time.

    Args:
        action: What to do.
        times: How often.

    Returns:
        Seconds that this process computed, each time.
    """
    start = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - start) / times


class Loop:
    """An event loop of a contestant's own, which lasts for all rounds."""

    def __init__(self, *, aiohttp: bool = False) -> None:
        """Make the loop.

        Args:
            aiohttp: Whether `ChatPmock` may find the extra `aiohttp` installed.
        """
        self._loop = asyncio.new_event_loop()
        self._aiohttp = aiohttp

    def run(self, action: Callable[[], Awaitable[object]]) -> None:
        """Await something in the loop.

        Args:
            action: Gives what to await.
        """

        async def awaited() -> None:
            await action()

        with contextlib.nullcontext() if self._aiohttp else without_aiohttp():
            self._loop.run_until_complete(awaited())

    def cpu(self, action: Callable[[], Awaitable[object]], times: int = 1) -> float:
        """Do as the function `cpu`, for what is awaited."""

        async def repeated() -> None:
            nonlocal seconds
            start = time.process_time()
            for _ in range(times):
                await action()
            seconds = (time.process_time() - start) / times

        seconds = 0.0
        self.run(repeated)
        return seconds

    def close(self) -> None:
        """Shut the loop down, and with it `ChatPmock`'s connections in it."""
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@contextlib.contextmanager
def without_aiohttp() -> Iterator[None]:
    """Hide the extra `aiohttp`.

    Yields:
        Nothing.
    """
    hidden = sys.modules.pop(_AIOHTTP, None)
    sys.modules[_AIOHTTP] = None  # type: ignore[assignment] - Python's way to hide it
    try:
        yield
    finally:
        del sys.modules[_AIOHTTP]
        if hidden is not None:
            sys.modules[_AIOHTTP] = hidden
