"""The results as a plot."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks import _jobs, _names, _report, _wire

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from benchmarks._report import Costs
    from benchmarks._results import Results

_PLAIN = "ChatPmock, the same as plain text"
_STYLE: dict[str, dict[str, Any]] = {
    _names.FLOOR: {"color": "#888888", "linestyle": "--"},
    _names.PMOCK: {"color": "#0b6e4f", "linewidth": 2.4},
    _names.AIOHTTP: {"color": "#4fb286", "linewidth": 2.0},
    _names.MISTRAL: {"color": "#d9822b"},
    _names.OPENAI: {"color": "#3b5b92"},
    _PLAIN: {"color": "#0b6e4f", "linestyle": ":"},
}


def svg(results: Results) -> str:
    """Draw how cost grows: along a stream, with its value, and with streams at once."""
    # The same results give the same file.
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "font.size": 9}):
        figure = Figure(figsize=(12, 4.8), layout="constrained", facecolor="white")
        stream, typed, many = figure.subplots(1, 3)
        _panel(stream, "stream", results["stream"], "tokens a stream")
        costs = {**results["typed"], _PLAIN: results["plain"][_names.PMOCK]}
        _panel(typed, "typed", costs, f"pieces of {_wire.PIECE} bytes of JSON")
        of = f"streams of {_jobs.MANY_TOKENS} tokens at once"
        _panel(many, "many", results["many"], of)
        lines = {line.get_label(): line for axes in figure.axes for line in axes.lines}
        figure.legend(
            handles=list(lines.values()),
            loc="outside upper center",
            ncols=len(lines),
            frameon=False,
        )
        measured_on = f"{_report.machine()}; {_report.versions()}"
        figure.supxlabel(measured_on, fontsize=7, color="#777777")
        picture = io.StringIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _panel(axes: Axes, name: str, costs: Costs, sizes: str) -> None:
    job = _jobs.JOBS[name]
    for who, style in _STYLE.items():
        measured = {
            size: job.figure(cost, size)
            for size, cost in costs.get(who, {}).items()
            if math.isfinite(cost)
        }
        if measured:
            line = {"label": who, "marker": "o", "markersize": 3.5, **style}
            axes.plot(list(measured), list(measured.values()), **line)
    axes.set_title(f"CPU: {job.title}", loc="left", fontweight="bold")
    axes.set_xlabel(sizes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
