"""The benchmarks still run: a little of everything, whatever the figures are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = pytest.mark.bench

ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"-?\d[\d,]*(\.\d+)?")
CONTESTANTS = {
    "floor",
    "ChatPmock",
    "ChatPmock, extra aiohttp",
    "langchain-mistralai",
    "langchain-openai",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-m", "benchmarks", "--quick", "--output", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == folder.joinpath("results.md").read_text() + "\n"
    return folder


def tables(results: Path) -> list[list[list[str]]]:
    """Read the rows of each table, without its head."""
    text = results.joinpath("results.md").read_text()
    found = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    rows = [table.splitlines()[2:] for table in found]
    return [
        [[cell.strip() for cell in row[1:-1].split("|")] for row in table]
        for table in rows
    ]


def test_the_overview_has_all_contestants(results: Path) -> None:
    overview, *_ = tables(results)
    figures = {name: cells for name, *cells in overview}
    assert set(figures) == CONTESTANTS
    # All but the two columns of floor and extra that cannot be.
    assert all(NUMBER.match(cell) for cell in figures["ChatPmock"])
    for name, missing in {
        "floor": 2,
        "ChatPmock, extra aiohttp": 5,
        "langchain-mistralai": 2,
        "langchain-openai": 1,
    }.items():
        assert figures[name].count("-") == missing


def test_each_budget_was_measured(results: Path) -> None:
    _, budgets, *_ = tables(results)
    assert len(budgets) == 14
    for _, measured, most, within in budgets:
        assert NUMBER.match(measured)
        assert NUMBER.match(most)
        assert within in {"yes", "**no**"}


def test_every_figure_is_there(results: Path) -> None:
    *_, every, lengths, at_once = tables(results)
    assert len({title for title, *_ in every}) == 9
    for _, _, least, median, _ in every:
        assert float(least.replace(",", "")) > 0
        assert float(median.replace(",", "")) > 0
    assert {name for name, *_ in lengths} > CONTESTANTS - {"ChatPmock, extra aiohttp"}
    assert {name for name, *_ in at_once} == {*CONTESTANTS, "floor, extra aiohttp"}
    for _, *costs in [*lengths, *at_once]:
        assert all(float(cost.replace(",", "")) > 0 for cost in costs)


def test_all_streams_are_under_way_at_once(results: Path) -> None:
    text = results.joinpath("results.md").read_text()
    assert ", 10 (ChatPmock), 10 (ChatPmock, extra aiohttp)" in text


def test_the_machine_and_the_versions_are_told(results: Path) -> None:
    text = results.joinpath("results.md").read_text()
    assert re.search(r"^Measured on .+, \d+ cores, .+Python 3\.\d+", text, re.MULTILINE)
    assert "langchain-openai " in text


def test_the_plot_is_a_picture(results: Path) -> None:
    picture = ET.parse(results / "results.svg").getroot()  # noqa: S314 - our own
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    ids = [element.get("id", "") for element in picture.iter()]
    assert sum(id_.startswith("axes_") for id_ in ids) == 2
