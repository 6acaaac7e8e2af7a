"""The benchmarks still run: a little of everything, whatever the figures are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.bench

ROOT = Path(__file__).parents[2]
FIGURE = re.compile(r"-?\d[\d,]*(\.\d+)?(e-\d+)?( \(\d+\.\d+.\))?|stopped")
SYNC = ["floor", "ChatPmock", "langchain-mistralai", "langchain-openai"]


def run(*args: str | Path) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "benchmarks", *args],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def tables(text: str) -> list[list[list[str]]]:
    """Read the rows of each table."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[row for row in table.splitlines() if "---" not in row] for table in found]
    return [
        [[cell.strip() for cell in row[1:-1].split("|")] for row in table]
        for table in rows
    ]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "README.md", tree)
    tree.joinpath("benchmarks").mkdir()
    printed = run("--quick", "--output", tree)
    assert printed == tree.joinpath("benchmarks/results.md").read_text() + "\n"
    return tree


@pytest.fixture(scope="module")
def results(tree: Path) -> str:
    return tree.joinpath("benchmarks/results.md").read_text()


def test_the_overview_has_all_contestants(results: str) -> None:
    head, *rows = tables(results)[0]
    assert len(head) == 6
    figures = {name: cells for name, *cells in rows}
    assert set(figures) == {*SYNC, "ChatPmock, extra aiohttp"}
    assert figures["ChatPmock, extra aiohttp"].count("-") == 3
    assert all(FIGURE.fullmatch(cell) for name in SYNC for cell in figures[name])


def test_growth_is_shown_next_to_the_size_before(results: str) -> None:
    head, *rows = tables(results)[1]
    assert head[1:] == SYNC
    assert all(FIGURE.fullmatch(cell) for _, *cells in rows for cell in cells)
    plain, longer = (cells for name, *cells in rows if name.startswith("stream of"))
    assert "(" not in plain[0]
    assert re.search(r"\(\d+\.\d+.\)", longer[0])


def test_a_slow_stream_is_stopped(results: str) -> None:
    _, *rows = tables(results)[1]
    # langchain-core's parser takes seconds for this value; a look is shorter.
    (cells,) = (cells for title, *cells in rows if "typed stream: 16.6 KB" in title)
    assert cells[SYNC.index("floor")] == "stopped"


def test_each_budget_was_measured(results: str) -> None:
    _, *rows = tables(results)[2]
    assert len(rows) == 20
    for _, least, median, most, within in rows:
        assert all(FIGURE.match(cell) for cell in (least, median, most))
        assert within in {"yes", "**no**"}


def test_each_job_has_figures(results: str) -> None:
    jobs = tables(results)[3:]
    assert len(jobs) == 21
    for (title, *_), *rows in jobs:
        assert title
        assert "ChatPmock" in {name for name, *_ in rows}
        assert all(FIGURE.fullmatch(cell) for _, *cells in rows for cell in cells)


def test_the_machine_the_versions_and_the_floor_are_told(results: str) -> None:
    assert re.search(
        r"^Measured on .+, \d+ cores, .+Python 3\.\d+", results, re.MULTILINE
    )
    assert "langchain-openai " in results
    assert "The floor is " in results


def test_the_readme_gets_the_tables(tree: Path, results: str) -> None:
    readme = tree.joinpath("README.md").read_text()
    written = tables(readme.partition("<!-- Figures: begin -->")[2])[:2]
    assert written == tables(results)[:2]
    before, after = ROOT.joinpath("README.md").read_text(), readme
    outside = re.compile("<!-- Figures: begin -->.*<!-- Figures: end -->", re.DOTALL)
    assert outside.sub("", before) == outside.sub("", after)


def test_the_plot_is_a_picture(tree: Path) -> None:
    picture = ET.parse(tree / "benchmarks/results.svg").getroot()  # noqa: S314 - our own
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    ids = [element.get("id", "") for element in picture.iter()]
    assert sum(id_.startswith("axes_") for id_ in ids) == 3


def test_one_job_next_to_another_tree() -> None:
    ((head, *rows),) = tables(run("--quick", "--before", ROOT, "model_memory"))
    assert head[0] == "memory of one more model, KB"
    assert [name for name, _ in rows] == ["ChatPmock", "ChatPmock before"]
