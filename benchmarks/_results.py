"""Everything that was measured in one run."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _many, _memory, _models, _speed, _startup

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._timing import Cost

_PACKAGES = (
    "langchain-pmock",
    "langchain-core",
    "langchain-mistralai",
    "langchain-openai",
    "httpx",
    "httpx-aiohttp",
    "pydantic",
)


@dataclass(frozen=True)
class Plan:
    """How much to measure."""

    rounds: int
    """How many rounds of everything to count."""

    tokens: int
    """How many tokens a stream has."""

    calls: int
    """How many calls to make in a round, of those that are not streamed."""

    lengths: tuple[int, ...]
    """The numbers of tokens a stream for which to show how cost grows."""

    at_once: tuple[int, ...]
    """The numbers of streams at once for which to show how cost grows."""

    few: int
    """The number of streams at once to compare with; one of `at_once`."""

    many: int
    """The number of streams at once to compare; one of `at_once`."""

    long: int
    """How many tokens the stream has whose memory is watched."""

    fresh: tuple[str, ...]
    """Whose import and first model to measure, in fresh processes."""

    starts: int
    """How many rounds of them to count."""


FULL = Plan(
    rounds=5,
    tokens=2_000,
    calls=100,
    lengths=(10, 100, 1_000, 10_000, 100_000),
    at_once=(1, 10, 50, 100, 500, 1_000, 2_000),
    few=50,
    many=1_000,
    long=1_000_000,
    fresh=(_startup.BASE, *_startup.NAMES),
    starts=3,
)
QUICK = Plan(
    rounds=0,
    tokens=50,
    calls=5,
    lengths=(10, 20),
    at_once=(5, 10),
    few=5,
    many=10,
    long=500,
    fresh=(_startup.BASE, _models.PMOCK),  # loading the others takes seconds
    starts=0,
)


@dataclass(frozen=True)
class Results:
    """What each contestant costs."""

    plan: Plan
    streams: dict[str, Cost]
    async_streams: dict[str, Cost]
    tool_calls: dict[str, Cost]
    invokes: dict[str, Cost]
    ainvokes: dict[str, Cost]
    first_inits: dict[str, Cost]
    further_inits: dict[str, Cost]
    new_url_inits: dict[str, Cost]
    imports: dict[str, Cost]
    at_once: dict[str, dict[int, Cost]]
    seen_at_once: dict[str, dict[int, int]]
    growth: dict[str, dict[int, Cost]]
    memory: _memory.Memory


def measure(url: str, plan: Plan, report: Callable[[str], None]) -> Results:
    """Measure everything.

    Args:
        url: The server's URL.
        plan: How much to measure.
        report: Is told what comes next.

    Returns:
        The results.
    """
    rounds = plan.rounds
    report("imports and first models, in fresh processes")
    imports, first_inits = _startup.imports_and_first_inits(plan.fresh, plan.starts)
    report("further models")
    further_inits = _startup.further_inits(rounds)
    new_url_inits = _startup.new_url_inits(rounds)
    report("stream")
    streams = _speed.streams(url, plan.tokens, rounds)
    report("astream")
    async_streams = _speed.async_streams(url, plan.tokens, rounds)
    report("tool calls")
    tool_calls = _speed.tool_calls(url, plan.tokens, rounds)
    report("invoke")
    invokes = _speed.invokes(url, plan.calls, rounds)
    report("ainvoke")
    ainvokes = _speed.ainvokes(url, plan.calls, rounds)
    report("streams of different lengths")
    growth = _speed.growth(url, plan.lengths, min(rounds, 1))
    report("many streams at once")
    at_once, seen_at_once = _many.at_once(url, plan.at_once, min(rounds, 2))
    report("memory")
    return Results(
        plan=plan,
        streams=streams,
        async_streams=async_streams,
        tool_calls=tool_calls,
        invokes=invokes,
        ainvokes=ainvokes,
        first_inits=first_inits,
        further_inits=further_inits,
        new_url_inits=new_url_inits,
        imports=imports,
        at_once=at_once,
        seen_at_once=seen_at_once,
        growth=growth,
        memory=_memory.memory(url, plan.tokens, plan.long),
    )


def machine() -> str:
    """Describe the machine.

    Returns:
        The processor, the number of its cores, the system and Python's version.
    """
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def versions() -> str:
    """List the versions of the packages that were measured.

    Returns:
        Names and versions.
    """
    return ", ".join(f"{name} {version(name)}" for name in _PACKAGES)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
