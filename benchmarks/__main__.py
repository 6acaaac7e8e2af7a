"""The command line: measure everything and write it down, or measure some jobs."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import _jobs, _plot, _report, _results

_ROOT = Path(__file__).parents[1]


def main() -> None:
    """Run the command line."""
    jobs = "\n".join(f"  {name:15} {job.title}" for name, job in _jobs.JOBS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ChatPmock next to the floor and to other packages.",
        epilog=f"jobs:\n{jobs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "jobs",
        metavar="JOB",
        nargs="*",
        help="what to measure; without, everything, and the results are written down",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a look at each: figures to ignore"
    )
    parser.add_argument("--rounds", type=int, help="at most so many rounds")
    parser.add_argument(
        "--before",
        metavar="TREE",
        type=Path,
        help="another source tree, whose package is measured side by side",
    )
    parser.add_argument(
        "--output",
        metavar="TREE",
        type=Path,
        default=_ROOT,
        help="the tree whose README.md and benchmarks/ get the results",
    )
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(_jobs.JOBS):
        parser.error(f"there is no job {', '.join(sorted(unknown))}")
    results = _results.measure(
        options.jobs or list(_jobs.JOBS),
        is_quick=options.quick,
        rounds=options.rounds,
        before=options.before and options.before.resolve(),
    )
    if options.jobs:
        for name, costs in results.items():
            print(_report.by_size(name, costs), end="\n\n")
        return
    text = _report.markdown(results)
    folder = options.output / "benchmarks"
    folder.joinpath("results.md").write_text(text, encoding="utf-8")
    folder.joinpath("results.svg").write_text(_plot.svg(results), encoding="utf-8")
    readme = options.output / "README.md"
    old = readme.read_text(encoding="utf-8")
    readme.write_text(_report.with_tables(old, results), encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
