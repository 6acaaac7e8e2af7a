"""Every Python example of the documentation runs, against a local server."""

from __future__ import annotations

import inspect
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from langchain_pmock import ChatPmock, auth
from langchain_pmock.testing import PmockServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCSTRINGS = [ChatPmock, PmockServer, auth.sign, auth.PmockAuth]

_EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")


def examples(text: str) -> str:
    """Take the examples of a page together: each builds on those before it."""
    found = [inspect.cleandoc("\n" + code) for _, code in _EXAMPLE.findall(text)]
    return "\n\n".join(found)


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path) -> None:
    code = examples(page.read_text(encoding="utf-8"))
    exec(compile(code, page.name, "exec"), {"__name__": page.stem})  # noqa: S102


@pytest.mark.parametrize("documented", DOCSTRINGS, ids=lambda it: it.__name__)
def test_docstring(documented: type) -> None:
    code = examples(inspect.getdoc(documented) or "")
    assert code
    names = {"__name__": "docstring", "pytest": pytest, "ChatPmock": ChatPmock}
    exec(compile(code, documented.__name__, "exec"), names)  # noqa: S102


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    local = [link for link in links if not link.startswith("https://")]
    for link in local:
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text("utf-8"), re.MULTILINE)
            slugs = [
                re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings
            ]
            assert anchor in slugs, link
