"""CPU time of this process, in rounds in which every contestant has its turn."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Callable,
        Coroutine,
        Iterator,
        Mapping,
        Sequence,
    )
    from types import ModuleType

    Case = Callable[[], float]

ResultT = TypeVar("ResultT")

_AIOHTTP = "httpx_aiohttp"


@dataclass(frozen=True)
class Cost:
    """What something costs, over all rounds."""

    least: float
    median: float

    @classmethod
    def of(cls, costs: Sequence[float]) -> Cost:
        """Sum up what was measured.

        Args:
            costs: The cost in each round.

        Returns:
            The cost over all rounds.
        """
        return cls(min(costs), statistics.median(costs))

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
        rounds: How many rounds to count. One more goes before, to warm up. With 0, that
            one counts: quick, and good for nothing but a look.

    Returns:
        The costs by name.
    """
    costs: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        for name, case in cases.items():
            if rounds:
                gc.collect()
            cost = case()
            if number or not rounds:
                costs[name].append(cost)
    return {name: Cost.of(all_) for name, all_ in costs.items()}


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

    def run(self, action: Callable[[], Coroutine[Any, Any, ResultT]]) -> ResultT:
        """Await something in the loop.

        Args:
            action: Gives what to await.

        Returns:
            What it returned.
        """
        with contextlib.nullcontext() if self._aiohttp else _without_aiohttp():
            return self._loop.run_until_complete(action())

    def cpu(self, action: Callable[[], Awaitable[object]], times: int = 1) -> float:
        """Do as the function `cpu`, for what is awaited."""

        async def repeated() -> float:
            start = time.process_time()
            for _ in range(times):
                await action()
            return (time.process_time() - start) / times

        return self.run(repeated)

    def close(self) -> None:
        """Shut the loop down, and with it `ChatPmock`'s connections in it."""
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@contextlib.contextmanager
def _without_aiohttp() -> Iterator[None]:
    """Hide the extra `aiohttp`, in Python's own way: with `None` for the module."""
    modules: dict[str, ModuleType | None] = cast("Any", sys.modules)
    module = modules.pop(_AIOHTTP, None)
    modules[_AIOHTTP] = None
    try:
        yield
    finally:
        del modules[_AIOHTTP]
        if module is not None:
            modules[_AIOHTTP] = module
