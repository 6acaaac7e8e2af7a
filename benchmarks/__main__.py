"""The command line: measure everything and write it down, or measure some jobs."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import _jobs, _plot, _report, _results

_ROOT = Path(__file__).parents[1]


def main() -> int:
    """Run the command line; the exit status is 1 if a budget is exceeded."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure ChatPmock next to the floor and to other packages.",
    )
    add = parser.add_argument
    names = ", ".join(_jobs.JOBS)
    add("jobs", metavar="JOB", nargs="*", help=f"only this of {names}")
    add("--quick", action="store_true", help="a look at each: figures to ignore")
    add("--before", metavar="REV", help="also measure the package of a git revision")
    add("--output", type=Path, default=_ROOT, help="the tree that gets the results")
    options = parser.parse_args()
    if unknown := set(options.jobs) - set(_jobs.JOBS):
        parser.error(f"there is no job {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory() as folder:
        before = _check_out(options.before, Path(folder)) if options.before else None
        results = _results.measure(
            options.jobs or list(_jobs.JOBS),
            is_quick=options.quick,
            before=before,
        )
    if options.jobs:
        for name, costs in results.items():
            print(_report.by_size(name, costs), end="\n\n")
    else:
        text = _report.markdown(results)
        folder = options.output / "benchmarks"
        folder.joinpath("results.md").write_text(text, encoding="utf-8")
        folder.joinpath("results.svg").write_text(_plot.svg(results), encoding="utf-8")
        for name, tables in _report.tables(results).items():
            page = options.output / name
            old = page.read_text(encoding="utf-8")
            page.write_text(_report.with_tables(old, tables), encoding="utf-8")
        print(text)
    exceeded = [] if options.quick else _report.exceeded(results)
    if exceeded:
        print(f"Over budget: {', '.join(exceeded)}", file=sys.stderr)
    return int(bool(exceeded))


def _check_out(revision: str, folder: Path) -> Path:
    """Write the package as it was in a revision into a folder."""
    archive = folder / "package.tar"
    command = ["git", "archive", "-o", str(archive), revision, "langchain_pmock"]
    subprocess.run(command, cwd=_ROOT, check=True)  # noqa: S603 - our own command
    shutil.unpack_archive(archive, folder, filter="data")
    return folder


if __name__ == "__main__":
    sys.exit(main())
