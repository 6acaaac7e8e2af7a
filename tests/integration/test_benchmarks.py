"""The benchmarks still run: a little of everything, whatever the figures are."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from benchmarks._report import exceeded
from tests.support.processes import python

pytestmark = pytest.mark.bench

ROOT = Path(__file__).parents[2]
FIGURE = re.compile(r"-?\d[\d,]*(\.\d+)?(e-\d+)?( \(\d+\.\d+.\))?|stopped")
PAGES = ["README.md", "README.zh-CN.md", "docs/performance.md"]
BEGIN, END = "<!-- Figures: begin -->", "<!-- Figures: end -->"
SYNC = ["floor", "ChatPmock", "langchain-mistralai", "langchain-openai"]


def run(*args: str | Path) -> str:
    return python("-m", "benchmarks", "--quick", *args, cwd=ROOT).stdout


def tables(text: str) -> list[list[list[str]]]:
    """Read the rows of each table."""
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [[row for row in table.splitlines() if "---" not in row] for table in found]
    return [
        [[cell.strip() for cell in row[1:-1].split("|")] for row in table]
        for table in rows
    ]


def test_the_results_and_the_pages_with_tables(tmp_path: Path) -> None:
    tmp_path.joinpath("benchmarks").mkdir()
    for page in PAGES:
        tmp_path.joinpath(page).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(page).write_text(f"Before.\n\n{BEGIN}\nold\n{END}\nAfter.\n")
    printed = run("--output", tmp_path)
    text = tmp_path.joinpath("benchmarks/results.md").read_text()
    assert printed == text + "\n"
    overview, growth, budgets, *jobs = tables(text)
    figures = {name: cells for name, *cells in overview[1:]}
    assert set(figures) == {*SYNC, "ChatPmock, HttpxAiohttpClient"}
    assert figures["ChatPmock, HttpxAiohttpClient"].count("-") == 2
    assert all(FIGURE.fullmatch(cell) for name in SYNC for cell in figures[name])
    assert growth[0][1:] == SYNC
    cells = {name: cells for name, *cells in growth[1:]}
    assert all(FIGURE.fullmatch(cell) for row in cells.values() for cell in row)
    # langchain-core's parser takes seconds for this value; a look is shorter.
    assert cells["typed stream: 16.6 KB in 4,150 pieces"][0] == "stopped"
    assert len(budgets) == 15
    for _, least, most, within in budgets[1:]:
        assert all(map(FIGURE.match, (least, most)))
        assert within in {"yes", "**no**"}
    assert {head[0] for head, *_ in jobs} >= {"invoke, ms", "import, ms"}
    assert all("ChatPmock" in {name for name, *_ in rows} for _, *rows in jobs)
    measured = r"^Measured on .+, \d+ cores, .+Python 3\.\d+.+; .*langchain-openai "
    assert re.search(measured, text, re.MULTILINE)
    small, same, full = (tmp_path.joinpath(page).read_text() for page in PAGES)
    assert same == small
    assert tables(full) == [overview, growth]
    assert [[name for name, *_ in table[1:]] for table in tables(small)] == [SYNC]
    for page in (small, full):
        assert page.startswith(f"Before.\n\n{BEGIN}\n\n| CPU time |")
        assert page.endswith(f" |\n\n{END}\nAfter.\n")
    picture = tmp_path.joinpath("benchmarks/results.svg").read_text()
    assert picture.count('<g id="axes_') == 3


@pytest.mark.parametrize("page", PAGES)
def test_the_project_has_pages_with_marks(page: str) -> None:
    text = ROOT.joinpath(page).read_text()
    assert text.count(BEGIN) == text.count(END) == 1


def test_one_job_next_to_a_revision() -> None:
    ((head, *rows),) = tables(run("--before", "HEAD", "init"))
    assert head[0] == "init, ms"
    assert [name for name, _ in rows][:2] == ["ChatPmock", "ChatPmock before"]


@pytest.mark.parametrize(
    ("cost", "floor", "is_exceeded"),
    [(1.0, 1.0, False), (1.01, 1.0, True), (math.inf, math.inf, True)],
)
def test_exceeded_budgets(cost: float, floor: float, is_exceeded: bool) -> None:
    costs = {"floor": {1: floor}, "ChatPmock": {1: cost}}
    assert exceeded({"invoke": costs}) == ["invoke / floor"] * is_exceeded
    assert exceeded({"imports": costs}) == []  # the other job was not measured
