"""Many streams at once: whether each costs the same however many there are."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from benchmarks import _models
from benchmarks._models import AIOHTTP
from benchmarks._server import allow_many_connections
from benchmarks._speed import FLOOR
from benchmarks._timing import Cost, Loop, in_turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from langchain_core.language_models import BaseChatModel

    from benchmarks._timing import Case

FLOOR_AIOHTTP = "floor, extra aiohttp"

TOKENS = 20
"""How many tokens each stream has."""

_PATH = f"together/{TOKENS}"
_MOST_ROUNDED = 1_000  # streams at once
_AT_LEAST = 5  # streams in a measurement: one alone is too short to be measured


def at_once(
    url: str, sizes: Sequence[int], rounds: int
) -> tuple[dict[str, dict[int, Cost]], dict[str, dict[int, int]]]:
    """Measure streams that are all under way at the same time.

    The floor is its two parts in one, in the same pools as `ChatPmock`'s. Each
    contestant has a process of its own: Python's garbage collector looks at all that
    lives in one, also at what the others have loaded. As many streams go before, so
    that the connections that are kept are there.

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
    names = (FLOOR, FLOOR_AIOHTTP, *_models.CONTESTANTS)
    costs: dict[str, dict[int, Cost]] = {name: {} for name in names}
    seen: dict[str, dict[int, int]] = {name: {} for name in names}
    with contextlib.ExitStack() as stack:
        workers = {name: stack.enter_context(_worker(name, url)) for name in names}

        def case(name: str, size: int) -> Case:
            def measure() -> float:
                cost = _ask(workers[name], size)
                seen[name][size] = httpx.get(f"{url}/most-at-once").json()
                return cost

            return measure

        for size in sizes:
            cases = {name: case(name, size) for name in names}
            # Above, a round takes minutes, for the sake of one mark in the plot.
            counted = rounds if size <= _MOST_ROUNDED else 0
            for name, cost in in_turn(cases, counted).items():
                costs[name][size] = cost * 1e3
    return costs, seen


@contextlib.contextmanager
def _worker(name: str, url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-W", "ignore", "-m", "benchmarks._many", name, url],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


def _ask(worker: subprocess.Popen[str], size: int) -> float:
    print(size, file=worker.stdin, flush=True)
    cost = worker.stdout.readline()  # type: ignore[union-attr]
    if not cost:
        msg = f"The process of {worker.args!r} ended."
        raise RuntimeError(msg)
    return float(cost)


def _work(name: str, url: str) -> None:
    """Measure what is asked for on the standard input, number by number."""
    allow_many_connections()
    model: BaseChatModel = (
        _models.CONTESTANTS[name](url, _PATH)
        if name in _models.CONTESTANTS
        else _models.Joined(http=_models.HttpInPools(url, _PATH))
    )
    loop = Loop(aiohttp=name in {AIOHTTP, FLOOR_AIOHTTP})
    for line in sys.stdin:
        size = int(line)
        loop.run(partial(_together, model, size))  # opens what is kept open
        gc.collect()
        cost = loop.cpu(partial(_together, model, size), -(-_AT_LEAST // size))
        print(cost / size, flush=True)
    loop.close()


async def _together(model: BaseChatModel, streams: int) -> None:
    counts = await asyncio.gather(*(_count(model) for _ in range(streams)))
    if set(counts) != {TOKENS}:
        msg = f"{type(model).__name__} lost tokens."
        raise RuntimeError(msg)


async def _count(model: BaseChatModel) -> int:
    return sum([bool(chunk.text) async for chunk in model.astream(_models.PROMPT)])


if __name__ == "__main__":
    _work(*sys.argv[1:])
