"""Measures jobs, in rounds in which every contestant has its turn."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._jobs import JOBS
from benchmarks._names import BEFORE, PMOCK
from benchmarks._server import serving
from benchmarks._worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from benchmarks._jobs import Job

    Case = Callable[[], float]

_SLOW = 4  # seconds; what takes longer is measured once
_ROOT = Path(__file__).parents[1]


Results = dict[str, dict[str, dict[int, float]]]
"""The least seconds by job, contestant and size; infinite if a stream was stopped."""


def measure(names: Sequence[str], *, is_quick: bool, before: Path | None) -> Results:
    """Measure jobs; the package of the tree `before` in the same rounds."""
    results: Results = {}
    who = {name: [*JOBS[name].contestants] for name in names}
    for contestants in who.values():
        if before and PMOCK in contestants:
            contestants.insert(contestants.index(PMOCK) + 1, BEFORE)
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(serving())

        def start(contestant: str) -> Worker:
            tree = before if before and contestant == BEFORE else _ROOT
            return Worker(contestant, url, tree, is_quick=is_quick)

        workers = {n: start(n) for n in set().union(*who.values())}
        for worker in workers.values():
            stack.callback(worker.close)

        def case(job: str, contestant: str, size: int) -> Case:
            if JOBS[job].is_fresh and not is_quick:
                return partial(_measure_once, partial(start, contestant), job)
            return partial(workers[contestant].measure, job, size)

        for name in names:
            print(f"Measuring {name} ...", file=sys.stderr)
            sizes, counted = _extent(JOBS[name], is_quick=is_quick)
            results[name] = {n: {} for n in who[name]}
            for size in sizes:
                cases = {n: case(name, n, size) for n in who[name]}
                for n, cost in _in_turn(cases, counted).items():
                    results[name][n][size] = cost
    return results


def _extent(job: Job, *, is_quick: bool) -> tuple[tuple[int, ...], int]:
    """Return the sizes and the number of rounds; the largest takes long for a look."""
    short = job.sizes[: max(1, min(2, len(job.sizes) - 1))]
    return (short, 0) if is_quick else (job.sizes, job.rounds)


def _measure_once(start: Callable[[], Worker], name: str) -> float:
    with contextlib.closing(start()) as worker:
        return worker.measure(name, 1)


def _in_turn(cases: Mapping[str, Case], rounds: int) -> dict[str, float]:
    """Measure all cases in each round, so that what disturbs one disturbs all.

    One round goes before, to warm up; it counts for what is slow, and if no others do.
    """
    costs = dict.fromkeys(cases, math.inf)
    left = dict(cases)
    for number in range(rounds + 1):
        for name, case in list(left.items()):
            start = time.monotonic()
            cost = case()
            is_slow = math.isinf(cost) or time.monotonic() - start > _SLOW
            if is_slow:
                del left[name]
            if number or not rounds or is_slow:
                costs[name] = min(costs[name], cost)
    return costs
