"""The documentation: its examples run, on a local server, and its links resolve."""

from __future__ import annotations

import inspect
import logging
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import nbformat
import pytest

from langchain_pmock import ChatPmock, auth
from langchain_pmock._request.params import ModelName
from langchain_pmock.testing import PmockServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOK = ROOT / "examples" / "chat.ipynb"
LINKED = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/*.md")),
    *sorted(ROOT.glob("benchmarks/*.md")),
    NOTEBOOK,
]
DOCSTRINGS = [ChatPmock, PmockServer, auth.sign, auth.PmockAuth]

_EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")
_TEST = re.compile(r"^(?:async )?def test_", re.MULTILINE)


def examples(text: str) -> list[str]:
    return [inspect.cleandoc("\n" + code) for _, code in _EXAMPLE.findall(text)]


def example_tests(page: Path) -> list[str]:
    return [code for code in examples(page.read_text("utf-8")) if _TEST.search(code)]


@pytest.fixture(autouse=True)
def local_service(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with PmockServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Take back what the examples do to the loggers of the whole process."""
    touched = [logging.getLogger(name) for name in (None, "httpx", "langchain_pmock")]
    before = [(logger.level, list(logger.handlers)) for logger in touched]
    yield
    for logger, (level, handlers) in zip(touched, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path) -> None:
    # Each example builds on those before it.
    code = "\n\n".join(examples(page.read_text("utf-8")))
    exec(compile(code, page.name, "exec"), {"__name__": page.stem})  # noqa: S102 - our own


@pytest.mark.parametrize(
    "page", [page for page in PAGES if example_tests(page)], ids=lambda page: page.name
)
def test_tests_of_a_page(page: Path, tmp_path: Path) -> None:
    # Such an example stands alone: it is somebody's first test.
    count = 0
    for number, code in enumerate(example_tests(page)):
        (tmp_path / f"test_example_{number}.py").write_text(code, "utf-8")
        count += len(_TEST.findall(code))
    done = subprocess.run(  # noqa: S603 - written in this file
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


def test_there_is_a_page_with_tests() -> None:
    assert example_tests(ROOT / "docs" / "testing.md")


@pytest.mark.parametrize("documented", DOCSTRINGS, ids=lambda it: it.__name__)
def test_docstring(documented: type) -> None:
    code = "\n\n".join(examples(inspect.getdoc(documented) or ""))
    assert code
    names = {"__name__": "docstring", "pytest": pytest, "ChatPmock": ChatPmock}
    exec(compile(code, documented.__name__, "exec"), names)  # noqa: S102 - our own


def prose(page: Path) -> str:
    """Read a page without its code, which has comments that look like headings."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        text = "\n\n".join(cell.source for cell in cells)
    return _FENCED.sub("", text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    if page.suffix == ".ipynb":  # Jupyter keeps capitals
        return {heading.replace(" ", "-") for heading in headings}
    kept = [re.sub(r"[^\w -]", "", heading) for heading in headings]
    return {heading.lower().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", LINKED, ids=lambda it: str(it.relative_to(ROOT)))
def test_links(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_names_the_models() -> None:
    text = README.read_text("utf-8")
    assert not [name for name in get_args(ModelName) if f"`{name}`" not in text]
