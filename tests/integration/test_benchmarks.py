"""The benchmarks still run: a little of everything, whatever the figures are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks._report import exceeded
from benchmarks._results import Cost

pytestmark = pytest.mark.bench

ROOT = Path(__file__).parents[2]
FIGURE = re.compile(r"-?\d[\d,]*(\.\d+)?(e-\d+)?( \(\d+\.\d+.\))?|stopped")
PAGES = ["README.md", "docs/performance.md"]
BEGIN, END = "<!-- Figures: begin -->", "<!-- Figures: end -->"
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
    tree.joinpath("benchmarks").mkdir()
    for page in PAGES:
        tree.joinpath(page).parent.mkdir(exist_ok=True)
        tree.joinpath(page).write_text(f"Before.\n\n{BEGIN}\nold\n{END}\nAfter.\n")
    printed = run("--quick", "--output", tree)
    assert printed == tree.joinpath("benchmarks/results.md").read_text() + "\n"
    return tree


def test_the_tables_of_the_results(tree: Path) -> None:
    text = tree.joinpath("benchmarks/results.md").read_text()
    overview, growth, budgets, *jobs = tables(text)
    figures = {name: cells for name, *cells in overview[1:]}
    assert set(figures) == {*SYNC, "ChatPmock, HttpxAiohttpClient"}
    assert figures["ChatPmock, HttpxAiohttpClient"].count("-") == 2
    assert all(FIGURE.fullmatch(cell) for name in SYNC for cell in figures[name])
    assert growth[0][1:] == SYNC
    assert len(overview) - 1 + len(growth) - 1 >= 13  # 23 in a whole run
    cells = {name: cells for name, *cells in growth[1:]}
    assert all(FIGURE.fullmatch(cell) for row in cells.values() for cell in row)
    # langchain-core's parser takes seconds for this value; a look is shorter.
    assert cells["typed stream: 16.6 KB in 4,150 pieces"][0] == "stopped"
    assert len(budgets) == 16
    for _, least, median, most, within in budgets[1:]:
        assert all(FIGURE.match(cell) for cell in (least, median, most))
        assert within in {"yes", "**no**"}
    assert {head[0] for head, *_ in jobs} >= {"invoke, ms", "import, ms"}
    assert all("ChatPmock" in {name for name, *_ in rows} for _, *rows in jobs)
    measured = r"^Measured on .+, \d+ cores, .+Python 3\.\d+.+; .*langchain-openai "
    assert re.search(measured, text, re.MULTILINE)


def test_the_pages_get_tables(tree: Path) -> None:
    text = tree.joinpath("benchmarks/results.md").read_text()
    small, full = (tree.joinpath(page).read_text() for page in PAGES)
    assert tables(full) == tables(text)[:2]
    (table,) = tables(small)
    assert [name for name, *_ in table[1:]] == SYNC
    for page in (small, full):
        assert page.startswith(f"Before.\n\n{BEGIN}\n\n| CPU time |")
        assert page.endswith(f" |\n\n{END}\nAfter.\n")


@pytest.mark.parametrize("page", PAGES)
def test_the_project_has_pages_with_marks(page: str) -> None:
    text = ROOT.joinpath(page).read_text()
    assert text.count(BEGIN) == text.count(END) == 1


def test_the_plot_is_a_picture(tree: Path) -> None:
    picture = ET.parse(tree / "benchmarks/results.svg").getroot()  # noqa: S314 - our own
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    ids = [element.get("id", "") for element in picture.iter()]
    assert sum(id_.startswith("axes_") for id_ in ids) == 3


def test_one_job_next_to_a_revision() -> None:
    ((head, *rows),) = tables(run("--quick", "--before", "HEAD", "init"))
    assert head[0] == "each further init, ms"
    assert [name for name, _ in rows][:2] == ["ChatPmock", "ChatPmock before"]


def test_exceeded_budgets() -> None:
    costs: dict[str, dict[int, Cost | None]] = {
        "floor": {1: Cost(1.0, 1.0)},
        "ChatPmock": {1: Cost(1.01, 1.0)},
    }
    assert exceeded({"invoke": costs}) == ["invoke / floor"]
    assert exceeded({"imports": costs}) == []
