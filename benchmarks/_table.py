"""The results as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import _many, _results
from benchmarks._models import AIOHTTP, MISTRAL, OPENAI, PMOCK
from benchmarks._speed import FLOOR
from benchmarks._startup import BASE
from benchmarks._timing import Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from benchmarks._results import Results

_NONE = "-"
_KB = 1000
_NOISE_KB = 10  # what tracemalloc finds where nothing grows
_REFERENCE = 15.2  # µs a token


def markdown(results: Results) -> str:
    """Write the results down.

    Args:
        results: The results.

    Returns:
        Markdown.
    """
    plan = results.plan
    parts = [
        "# Results",
        (
            f"Least of {max(plan.rounds, 1)} rounds in one run. CPU time of the "
            f"client's process alone; {plan.tokens:,} tokens a stream, each an event "
            "in an HTTP chunk of its own. In brackets the ratio to the floor. "
            "[README.md](README.md) tells how it is measured."
        ),
        overview(results),
        "![How cost grows](results.svg)",
        f"Measured on {_results.machine()}; {_results.versions()}.",
        "## Budgets",
        (
            "The most that something may cost. Times are for a machine whose floor is "
            f"{_REFERENCE} µs a token; this one's is {_slowness(results):.2f} times "
            "that, and so is what it is allowed.\n\n"
            f"{_budgets(results)}\n\n"
            f"Until a stream ends, langchain-core keeps its chunks: "
            f"{results.memory.kept:,.0f} bytes a token for ChatPmock, "
            f"{results.memory.kept_by_floor:,.0f} for the floor."
        ),
        "## Every figure",
        _every(results),
        "## Streams of different lengths",
        f"µs a token.\n\n{_by_size(results.growth, 'tokens a stream')}",
        "## Many streams at once",
        (
            f"CPU ms a stream of {_many.TOKENS} tokens. Where {plan.many:,} were asked "
            f"for, the server saw at once: {_seen(results)}.\n\n"
            f"{_by_size(results.at_once, 'streams at once')}"
        ),
    ]
    return "\n\n".join(parts) + "\n"


def overview(results: Results) -> str:
    """Write the table for those in a hurry.

    Args:
        results: The results.

    Returns:
        A Markdown table: a row for each contestant.
    """
    many = results.plan.many
    columns: dict[str, Mapping[str, Cost]] = {
        "stream, µs a token": results.streams,
        "async, µs a token": results.async_streams,
        "tool call, µs a delta": results.tool_calls,
        "invoke, ms": results.invokes,
        "ainvoke, ms": results.ainvokes,
        "first init, ms": results.first_inits,
        "each further init, ms": results.further_inits,
        f"{many:,} streams at once, CPU ms each": {
            name: costs[many] for name, costs in results.at_once.items()
        },
    }
    rows = []
    for name in (FLOOR, PMOCK, AIOHTTP, MISTRAL, OPENAI):
        cells = [_cell(costs, name) for costs in columns.values()]
        if name == OPENAI:
            new = results.new_url_inits[name].least
            cells[-2] += f"; {_number(new)} for a new base URL"
        rows.append([name, *cells])
    return _table(["", *columns], rows)


def _budgets(results: Results) -> str:
    """Set what was measured against the most that it may be."""
    plan, memory = results.plan, results.memory
    imports = results.imports
    at_once, at_once_aiohttp = results.at_once[PMOCK], results.at_once[AIOHTTP]
    many = f"{plan.many:,} streams at once"
    fewer = f"{many} / {plan.few} at once"
    ratios: list[tuple[str, Mapping[str, Cost], float]] = [
        ("stream / floor", results.streams, 1.15),
        ("async stream / floor", results.async_streams, 1.15),
        ("tool call / floor", results.tool_calls, 1.5),
        ("invoke / floor", results.invokes, 1.15),
        ("ainvoke / floor", results.ainvokes, 1.15),
    ]
    rows = [
        *(
            (name, costs[PMOCK] / costs[FLOOR], "×", most)
            for name, costs, most in ratios
        ),
        ("first init", results.first_inits[PMOCK], " ms", 5),
        ("each further init", results.further_inits[PMOCK], " ms", 0.2),
        (
            "import / import of langchain-core's chat model, httpx and the parsers",
            imports[PMOCK] / imports[BASE],
            "×",
            1.05,
        ),
        (many, at_once[plan.many], " ms each", 2),
        (fewer, at_once[plan.many] / at_once[plan.few], "×", 1.5),
        (f"{many}, extra aiohttp", at_once_aiohttp[plan.many], " ms each", 1),
        (
            f"{fewer}, extra aiohttp",
            at_once_aiohttp[plan.many] / at_once_aiohttp[plan.few],
            "×",
            1.5,
        ),
        ("memory of one more ChatPmock", _once(memory.model / _KB), " KB", 20),
        (
            f"growth of the client's own memory over {memory.tokens:,} tokens",
            _once(memory.growth / _KB),
            " KB",
            _NOISE_KB,
        ),
    ]
    cells = []
    for name, cost, unit, most in rows:
        here = most * _slowness(results) if unit.startswith(" ms") else most
        allowed = f"{most:g}{unit}" + (
            f" ({_number(here)} here)" if here != most else ""
        )
        within = "yes" if cost.least <= here else "**no**"
        measured = f"{_number(cost.least)}, {_number(cost.median)}{unit}"
        cells.append([name, measured, allowed, within])
    return _table(["", "least, median", "at most", "within"], cells)


def _slowness(results: Results) -> float:
    """Compare this machine with the one that the budgets' times are for."""
    return results.streams[FLOOR].least / _REFERENCE


def _once(value: float) -> Cost:
    return Cost(value, value)


def _every(results: Results) -> str:
    measured: dict[str, Mapping[str, Cost]] = {
        "stream, µs a token": results.streams,
        "async stream, µs a token": results.async_streams,
        "tool call, µs a delta": results.tool_calls,
        "invoke, ms": results.invokes,
        "ainvoke, ms": results.ainvokes,
        "first init, ms": results.first_inits,
        "each further init, ms": results.further_inits,
        "init with a new base URL, ms": results.new_url_inits,
        "import, ms": results.imports,
    }
    rows = []
    for title, costs in measured.items():
        first = costs.get(FLOOR) or costs.get(BASE)
        for name, cost in costs.items():
            ratio = cost / first if first else None
            rows.append(
                [
                    title,
                    name,
                    _number(cost.least),
                    _number(cost.median),
                    _ratio(ratio) if ratio else _NONE,
                ]
            )
    return _table(["", "", "least", "median", "ratio of each to the floor's"], rows)


def _by_size(costs: Mapping[str, Mapping[int, Cost]], of: str) -> str:
    sizes = list(next(iter(costs.values())))
    rows = [
        [name, *(_number(by_size[size].least) for size in sizes)]
        for name, by_size in costs.items()
    ]
    return _table([of, *(f"{size:,}" for size in sizes)], rows)


def _seen(results: Results) -> str:
    many = results.plan.many
    counts = results.seen_at_once.items()
    return ", ".join(f"{by_size[many]:,} ({name})" for name, by_size in counts)


def _cell(costs: Mapping[str, Cost], name: str) -> str:
    if name not in costs:
        return _NONE
    text = _number(costs[name].least)
    if FLOOR in costs and name != FLOOR:
        text += f" ({costs[name].least / costs[FLOOR].least:.2f}×)"
    return text


def _ratio(ratio: Cost) -> str:
    return f"{ratio.least:.2f}×, {ratio.median:.2f}×"


def _number(value: float) -> str:
    """Write three digits of a number, and all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - digits


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
