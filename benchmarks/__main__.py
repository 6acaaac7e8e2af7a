"""Measure everything, and write the results down."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

from benchmarks import _plot, _results, _table
from benchmarks._server import serving


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ChatPmock next to the floor and to other packages.",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a little of everything: figures to ignore"
    )
    parser.add_argument("--rounds", type=int, help="how many rounds to count")
    parser.add_argument("--tokens", type=int, help="how many tokens a stream has")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent,
        help="the folder for results.md and results.svg",
    )
    options = parser.parse_args()
    plan = _results.QUICK if options.quick else _results.FULL
    if options.rounds is not None:
        plan = dataclasses.replace(plan, rounds=options.rounds)
    if options.tokens is not None:
        plan = dataclasses.replace(plan, tokens=options.tokens)
    with serving() as url:
        results = _results.measure(
            url, plan, lambda what: print(f"Measuring {what} ...", file=sys.stderr)
        )
    text = _table.markdown(results)
    options.output.joinpath("results.md").write_text(text, encoding="utf-8")
    options.output.joinpath("results.svg").write_text(
        _plot.svg(results), encoding="utf-8"
    )
    print(text)


if __name__ == "__main__":
    main()
