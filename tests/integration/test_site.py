"""The documentation site: built strictly, and shown in a browser."""

from __future__ import annotations

import re
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from starlette.staticfiles import StaticFiles

import langchain_pmock
from langchain_pmock import testing
from tests.support.apps import serving
from tests.support.processes import python

pytest.importorskip("mkdocs", reason="needs the group docs")
sync_api = pytest.importorskip("playwright.sync_api", reason="needs the group docs")

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Request

ROOT = Path(__file__).parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
NOT_COPIED = shutil.ignore_patterns(".*", "build", "dist", "tests", "__pycache__")


def build(source: Path, target: Path, *, fails: bool = False) -> str:
    """Build the site; return the warnings."""
    command = ("-m", "mkdocs", "build", "--site-dir", target)
    env = {"NO_MKDOCS_2_WARNING": "1"}
    return python(*command, cwd=source, env=env, fails=fails).stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    build(ROOT, target)
    return target


@pytest.fixture(scope="module")
def url(site: Path) -> Iterator[str]:
    with serving(StaticFiles(directory=site, html=True)) as served:
        yield f"{served.url}/"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")
    with sync_api.sync_playwright() as playwright:
        # The sandbox needs a kernel feature that containers often lack.
        chromium = playwright.chromium.launch(
            executable_path=path, chromium_sandbox=False
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browser.new_page() as page:
        yield page


@pytest.mark.parametrize("width", [1280, 400])
def test_pages_in_a_browser(site: Path, url: str, page: Page, width: int) -> None:
    problems: list[str] = []

    def on_request(request: Request) -> None:
        if not request.url.startswith((url, "data:")):
            problems.append(f"loads {request.url}")

    page.set_viewport_size({"width": width, "height": 900})
    page.on("request", on_request)
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    pages = sorted(site.rglob("index.html"))
    assert len(pages) > 20
    for file in pages:
        page.goto(f"{url}{file.parent.relative_to(site).as_posix()}/")
        assert page.locator("article h1").count() == 1, file
        # No page is wider than the window, and each picture is loaded.
        assert page.evaluate("document.documentElement.scrollWidth") <= width, file
        for picture in page.locator("article img").all():
            assert picture.evaluate("image => image.naturalWidth") > 0, file
    assert problems == []


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("with_structured_output", "docs/reference/chat_models/"),
        ("rate limit", "docs/production/"),
    ],
)
def test_search(query: str, first: str, url: str, page: Page) -> None:
    page.goto(f"{url}?q={query}")
    found = page.locator(".md-search-result__link")
    found.first.wait_for(state="attached")
    assert first in (found.first.get_attribute("href") or "")


def test_navigation_and_notebook(url: str, page: Page) -> None:
    page.goto(f"{url}examples/chat/")
    assert "I love programming." in page.locator("article").inner_text()
    assert page.locator(".md-footer__link--next").count() == 1
    source = page.locator(".md-header .md-source").get_attribute("href") or ""
    assert f'"{source}"' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_llms_txt_is_at_the_root(site: Path) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (site / "llms.txt").read_text("utf-8"))
    assert "docs/production.md" in links
    assert not [link for link in links if not (site / link).is_file()]


def test_each_public_name_has_its_reference(site: Path) -> None:
    *_, packed = (site / "objects.inv").read_bytes().split(b"\n", 4)
    names = {line.split()[0] for line in zlib.decompress(packed).decode().splitlines()}
    public = {f"langchain_pmock.{name}" for name in langchain_pmock.__all__}
    public |= {f"langchain_pmock.testing.{name}" for name in testing.__all__}
    assert public - names == {"langchain_pmock.__version__"}


def test_mistakes_fail_the_build(tmp_path: Path) -> None:
    copy = shutil.copytree(ROOT, tmp_path / "copy", ignore=NOT_COPIED)
    mistakes = {
        "no-such-page.md": "[there](no-such-page.md)",
        "no-such-heading": "[there](faults.md#no-such-heading)",
        "no_such_name": "[there][langchain_pmock.no_such_name]",
    }
    with (copy / "docs" / "scale.md").open("a", encoding="utf-8") as file:
        file.write("\n" + "\n\n".join(mistakes.values()))
    warnings = build(copy, tmp_path / "site", fails=True)
    assert not [mistake for mistake in mistakes if mistake not in warnings]
