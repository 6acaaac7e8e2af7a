"""The results as Markdown."""

from __future__ import annotations

import math
import os
import platform
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _wire
from benchmarks._jobs import JOBS
from benchmarks._names import ASYNC, FLOOR, MISTRAL, PMOCK, SYNC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks._results import Results

    Costs = Mapping[str, Mapping[int, float]]
    Figure = tuple[str, str, int]  # job, contestant, size

_FLOOR_IS = (
    "The floor is LangChain and httpx2 joined with nothing of ours, written the plain "
    "way. ChatPmock lies under it where it does the same with less work: it copies a "
    "chunk that LangChain's constructor made once, where the floor calls the "
    "constructor for each, and parses a growing value once for each 1/64 of growth."
)
_REFERENCE = 15.2  # µs a token
_OVERVIEW = {"stream": 2000, "astream": 2000, "invoke": 1, "ainvoke": 1, "many": 1000}
_GROWTH = ("plain", "typed", "tools", "images", "history")
_BUDGETS: list[tuple[str, float, Figure, Figure | None]] = [
    ("stream / floor", 0.9, ("stream", PMOCK, 2_000), ("stream", FLOOR, 2_000)),
    ("astream / floor", 0.9, ("astream", PMOCK, 2_000), ("astream", FLOOR, 2_000)),
    ("tool call / floor", 1, ("tools", PMOCK, 4_150), ("tools", FLOOR, 4_150)),
    ("invoke / floor", 1, ("invoke", PMOCK, 1), ("invoke", FLOOR, 1)),
    ("ainvoke / floor", 1, ("ainvoke", PMOCK, 1), ("ainvoke", FLOOR, 1)),
    ("init, ms", 0.2, ("init", PMOCK, 1), None),
    ("import / floor", 0.03, ("imported_last", PMOCK, 1), ("imports", FLOOR, 1)),
    ("1,000 at once, ms each", 2, ("many", PMOCK, 1_000), None),
    ("1,000 at once / floor", 1.4, ("many", PMOCK, 1_000), ("many", FLOOR, 1_000)),
    ("typed / plain, 16.6 KB", 2, ("typed", PMOCK, 4_150), ("plain", PMOCK, 4_150)),
    ("typed, 16.6 / 1.7 KB", 14, ("typed", PMOCK, 4_150), ("typed", PMOCK, 415)),
    ("typed, 166 / 16.6 KB", 14, ("typed", PMOCK, 41_500), ("typed", PMOCK, 4_150)),
    ("4 MB image / mistralai", 0.7, ("images", PMOCK, 4), ("images", MISTRAL, 4)),
    ("16 MB image / mistralai", 0.7, ("images", PMOCK, 16), ("images", MISTRAL, 16)),
]
_FIGURES = re.compile(
    r"(?<=<!-- Figures: begin -->\n).*(?=<!-- Figures: end -->)", re.DOTALL
)


def markdown(results: Results) -> str:
    """Write everything down."""
    parts = [
        "# Results",
        (
            "CPU time of the client's process alone, the least of all rounds of one "
            "run. In brackets the ratio to the floor or, in the second table, to the "
            f"size before. {_FLOOR_IS} [README.md](README.md) tells how it is measured."
        ),
        tables(results)["docs/performance.md"],
        "![How cost grows](results.svg)",
        f"Measured on {machine()}; {versions()}.",
        "## Budgets",
        (
            "The most that ChatPmock may cost. Milliseconds are for a machine whose "
            f"floor is {_REFERENCE} µs a token; a slower one is allowed more."
        ),
        _table(["ChatPmock", "least", "at most", "within"], _budgets(results)),
        "## Each job",
        *(by_size(name, costs) for name, costs in results.items()),
    ]
    return "\n\n".join(parts) + "\n"


def tables(results: Results) -> dict[str, str]:
    """Write the tables that other pages have too, by the page."""
    rows = []
    for name in _GROWTH:
        before = dict.fromkeys(SYNC, math.nan)
        title = JOBS[name].title.partition(", ")[0]
        for size in results[name][PMOCK]:
            costs = {who: results[name][who][size] * 1e3 for who in SYNC}
            cells = [_cell(costs[who], before[who]) for who in SYNC]
            rows.append([f"{title}: {_label(name, size)}", *cells])
            before = costs
    growth = _table(["CPU ms a call", *SYNC], rows)
    overview = _overview(results, tuple(_OVERVIEW), ASYNC)
    small = _overview(results, ("stream", "invoke", "many"), SYNC)
    readmes = dict.fromkeys(("README.md", "README.zh-CN.md"), small)
    return {**readmes, "docs/performance.md": f"{overview}\n\n{growth}"}


def _overview(
    results: Results, names: Sequence[str], contestants: Sequence[str]
) -> str:
    titles = [f"{'1,000 ' * (name == 'many')}{JOBS[name].title}" for name in names]
    rows = [
        [who, *(_beside_floor(results[n], n, who, _OVERVIEW[n]) for n in names)]
        for who in contestants
    ]
    return _table(["CPU time", *titles], rows)


def with_tables(page: str, text: str) -> str:
    """Put tables between the marks of a page."""
    return _FIGURES.sub(lambda _: f"\n{text}\n\n", page)


def exceeded(results: Results) -> list[str]:
    """Return the budgets that are exceeded, of those whose jobs were measured."""
    return [title for title, *_, within in _budgets(results) if within != "yes"]


def by_size(name: str, costs: Costs) -> str:
    """Write a table of one job: a row for each contestant, a column for each size."""
    sizes = next(iter(costs.values()))
    rows = [
        [who, *(_beside_floor(costs, name, who, size) for size in sizes)]
        for who in costs
    ]
    return _table([JOBS[name].title, *(_label(name, size) for size in sizes)], rows)


def machine() -> str:
    """Describe the processor, the number of its cores, the system and Python."""
    cpuinfo = Path("/proc/cpuinfo")
    text = cpuinfo.read_text() if cpuinfo.exists() else ""
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    name = found[1] if found else platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name}, {os.cpu_count()} cores, {platform.system()}, {python}"


def versions() -> str:
    """List the packages that were measured."""
    ours = [f"langchain-{name}" for name in ("pmock", "core", "mistralai", "openai")]
    packages = [*ours, "httpx2", "httpx", "aiohttp", "pydantic"]
    return ", ".join(f"{name} {version(name)}" for name in packages)


def _budgets(results: Results) -> Iterator[list[str]]:
    def cost_of(figure: Figure) -> float:
        return _cost(results.get(figure[0], {}), *figure)

    for title, most, figure, over in _BUDGETS:
        cost, other = cost_of(figure), cost_of(over or ("stream", FLOOR, 2_000))
        if math.isnan(cost + other):
            continue  # only some jobs were measured
        here, allowed = most, f"{most:g}"
        if not over:  # slower machines are allowed more
            here *= other / _REFERENCE
            allowed += f" ({_number(here)} here)"
        elif math.isfinite(cost):
            cost /= other
        yield [title, _number(cost), allowed, "yes" if cost <= here else "**no**"]


def _cost(costs: Costs, name: str, who: str, size: int) -> float:
    """Find a cost in its job's unit; nan if it was not measured."""
    by_size = costs.get(who, {size: math.nan})
    size = size if size in by_size else max(by_size)  # a quick run leaves some out
    return JOBS[name].figure(by_size[size], size)


def _beside_floor(costs: Costs, name: str, who: str, size: int) -> str:
    floor = math.nan if who == FLOOR else _cost(costs, name, FLOOR, size)
    return _cell(_cost(costs, name, who, size), floor)


def _label(name: str, size: int) -> str:
    return JOBS[name].label.format(size=size, kb=size * _wire.PIECE / 1000)


def _cell(cost: float, other: float) -> str:
    ratio = cost / other
    has_ratio = math.isfinite(ratio) and math.isfinite(other)
    return f"{_number(cost)} ({ratio:.2f}×)" if has_ratio else _number(cost)


def _number(value: float) -> str:
    """Write three digits of a number, and all before the point."""
    if not math.isfinite(value):
        return "-" if math.isnan(value) else "stopped"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
