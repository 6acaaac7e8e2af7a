"""Many streams at once: whether each costs the same however many there are."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from benchmarks import _models
from benchmarks._models import AIOHTTP
from benchmarks._speed import FLOOR
from benchmarks._timing import Cost, Loop, in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import BaseChatModel

    from benchmarks._timing import Case

FLOOR_AIOHTTP = "floor, extra aiohttp"

TOKENS = 20
"""How many tokens each stream has."""

_MOST_ROUNDED = 1_000  # streams at once
_AT_LEAST = 5  # streams in a measurement: one alone is too short to be measured


def at_once(
    url: str, sizes: Sequence[int], rounds: int
) -> tuple[dict[str, dict[int, Cost]], dict[str, dict[int, int]]]:
    """Measure streams that are all under way at the same time.

    The floor is its two parts in one, in the same pools as `ChatPmock`'s.

    The server answers none of them before it has all requests, or waited in vain for
    another: langchain-mistralai sends no more than 100 at once, httpx's default.

    Args:
        url: The server's URL.
        sizes: How many streams to open at once.
        rounds: How many rounds to count.

    Returns:
        Milliseconds a stream, and how many streams the server saw at once, each by
        contestant and number of streams.

    Raises:
        RuntimeError: If a stream did not bring its whole answer.
    """
    path = f"together/{TOKENS}"
    floor = _models.Joined(http=_models.HttpInPools(url, path))
    models: dict[str, BaseChatModel] = {
        FLOOR: floor,
        FLOOR_AIOHTTP: floor,
        **{name: make(url, path) for name, make in _models.CONTESTANTS.items()},
    }
    loops = {name: Loop(aiohttp=name in {AIOHTTP, FLOOR_AIOHTTP}) for name in models}
    costs: dict[str, dict[int, Cost]] = {name: {} for name in models}
    seen: dict[str, dict[int, int]] = {name: {} for name in models}

    def case(name: str, size: int) -> Case:
        def measure() -> float:
            times = -(-_AT_LEAST // size)
            cost = loops[name].cpu(lambda: _together(models[name], size), times)
            seen[name][size] = httpx.get(f"{url}/most-at-once").json()
            return cost / size

        return measure

    for size in sizes:
        cases = {name: case(name, size) for name in models}
        # Above, a round takes minutes, for the sake of one mark in the plot.
        counted = rounds if size <= _MOST_ROUNDED else 0
        for name, cost in in_turn(cases, counted).items():
            costs[name][size] = cost * 1e3
    for loop in loops.values():
        loop.close()
    return costs, seen


async def _together(model: BaseChatModel, streams: int) -> None:
    counts = await asyncio.gather(*(_count(model) for _ in range(streams)))
    if set(counts) != {TOKENS}:
        msg = f"{type(model).__name__} lost tokens."
        raise RuntimeError(msg)


async def _count(model: BaseChatModel) -> int:
    return sum([bool(chunk.text) async for chunk in model.astream(_models.PROMPT)])
