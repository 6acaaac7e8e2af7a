"""The results as a plot."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from benchmarks import _many, _results
from benchmarks._models import AIOHTTP, MISTRAL, OPENAI, PMOCK
from benchmarks._speed import FLOOR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

    from benchmarks._results import Results
    from benchmarks._timing import Cost

_STYLE: dict[str, dict[str, Any]] = {
    FLOOR: {"color": "#888888", "linestyle": "--"},
    PMOCK: {"color": "#0b6e4f", "linewidth": 2.4},
    AIOHTTP: {"color": "#4fb286", "linewidth": 2.0},
    MISTRAL: {"color": "#d9822b"},
    OPENAI: {"color": "#3b5b92"},
}
_INK = "#333333"


def svg(results: Results) -> str:
    """Draw how cost grows: along a stream, and with streams at once.

    Args:
        results: The results.

    Returns:
        An SVG picture.
    """
    # The same results give the same file.
    with mpl.rc_context(
        {"svg.hashsalt": "benchmarks", "font.size": 9, "text.color": _INK}
    ):
        figure = Figure(figsize=(9, 4.4), layout="constrained", facecolor="white")
        left, right = figure.subplots(1, 2)
        _panel(left, results.growth, "tokens a stream")
        left.set_title("stream: CPU µs a token", loc="left", fontweight="bold")
        _panel(right, results.at_once, f"streams of {_many.TOKENS} tokens at once")
        right.set_title("astream: CPU ms a stream", loc="left", fontweight="bold")
        lines = {line.get_label(): line for line in [*left.lines, *right.lines]}
        figure.legend(
            handles=[lines[name] for name in _STYLE],
            loc="outside upper center",
            ncols=len(_STYLE),
            frameon=False,
        )
        figure.supxlabel(
            f"{_results.machine()}\n{_results.versions()}",
            fontsize=6.5,
            color="#777777",
        )
        picture = io.StringIO()
        figure.savefig(picture, format="svg", metadata={"Date": None})
    return picture.getvalue()


def _panel(axes: Axes, costs: Mapping[str, Mapping[int, Cost]], what: str) -> None:
    for name, style in _STYLE.items():
        by_size = costs.get(name)
        if by_size is not None:
            least = [cost.least for cost in by_size.values()]
            axes.plot(
                list(by_size),
                least,
                label=name,
                marker="o",
                markersize=3.5,
                **style,
            )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(what)
    plain = FuncFormatter(lambda value, _: f"{value:,.10g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.grid(color="#e6e6e6", linewidth=0.7)
    axes.tick_params(which="both", colors=_INK, length=0)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
