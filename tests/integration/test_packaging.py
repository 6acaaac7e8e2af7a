"""The sdist and the wheel, as a user installs them."""

from __future__ import annotations

import email
import re
import shutil
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import execute

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]


def run(command: Sequence[str | Path], cwd: Path = ROOT) -> str:
    done = execute(*command, cwd=cwd)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # build makes the wheel from the sdist, which shows that the sdist is complete.
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder])
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("langchain_pmock-*-py3-none-any.whl")
    return wheel


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        return email.message_from_bytes(archive.read(name))


def source_files() -> set[str]:
    return {"langchain_pmock_pytest.py"} | {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "langchain_pmock").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_wheel_has_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if ".dist-info/" in name}
    assert names - info == source_files()
    assert "langchain_pmock/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in info)


def test_sdist_has_the_tests_and_what_make_needs(dist: Path) -> None:
    (sdist,) = dist.glob("langchain_pmock-*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert source_files() <= names
    assert {"pyproject.toml", "README.md", "README.zh-CN.md", "LICENSE"} <= names
    assert {"CHANGELOG.md", "Makefile", ".ci/find-python", ".ci/each"} <= names
    assert "tests/unit/test_auth.py" in names
    generated = (".venv", ".git/", "dist/", ".coverage", ".mypy_cache")
    assert not [name for name in names if name.startswith(generated)]
    assert not [name for name in names if "__pycache__" in name]


def test_description(dist: Path, metadata: Message) -> None:
    output = run([sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir()])
    assert output.count("PASSED") == 2
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# langchain-pmock\n")
    assert "not on PyPI yet" not in text
    assert "<!--" not in text
    # PyPI has none of the repository's files.
    links = dict(re.findall(r"\[([^\]]*)\]\(([^)]*)\)", text))
    assert not [link for link in links.values() if not link.startswith("https://")]
    source = project_urls(metadata)["Source"]
    version = metadata["Version"]
    assert links["changelog"] == f"{source}/blob/v{version}/CHANGELOG.md"
    raw = source.replace("//github.com", "//raw.githubusercontent.com")
    assert links["How cost grows"] == f"{raw}/v{version}/benchmarks/results.svg"


def project_urls(metadata: Message) -> dict[str, str]:
    return dict(url.split(", ") for url in metadata.get_all("Project-URL", []))


def test_metadata(wheel: Path, metadata: Message) -> None:
    assert metadata["Name"] == "langchain-pmock"
    assert metadata["Version"] == wheel.name.split("-")[1]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata.get_all("Provides-Extra", []) == ["testing"]
    required = metadata.get_all("Requires-Dist", [])
    names = {re.split("[<>!=]", name)[0] for name in required if "extra ==" not in name}
    core = {"langchain-core", "pydantic", "typing-extensions"}
    assert names == {"httpx", "httpx2", *core}
    urls = project_urls(metadata)
    assert set(urls) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    for name in ("Changelog", "Issues"):
        assert urls[name].startswith(urls["Source"])


CHANGES = """# Changelog

## 0.2.0 - 2026-12-01

- A [page](docs/page.md) and a [site](https://example.com).

## 0.1.1 (unreleased)

## 0.1.0 - 2026-11-30

- All.
"""


def test_release_notes(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "release-notes", tmp_path / ".ci")
    (tmp_path / "CHANGELOG.md").write_text(CHANGES)
    (tmp_path / "pyproject.toml").write_text('Source = "https://host/it"\n')
    page = "https://host/it/blob/v0.2.0/docs/page.md"
    notes = f"- A [page]({page}) and a [site](https://example.com)."
    assert run([script, "0.2.0"]).strip() == notes
    assert run([script, "0.1.0"]).strip() == "- All."
    for version in ("0.1.1", "0.3.0", "0.1"):
        with pytest.raises(AssertionError, match="has no section of this form"):
            run([script, version])


IMPORT = """
import langchain_pmock
print(langchain_pmock.__file__, *langchain_pmock.__all__)
for name in langchain_pmock.__all__:
    getattr(langchain_pmock, name)
"""


def test_installed_wheel_imports(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
    to: list[str | Path] = []
    if uv := shutil.which("uv"):
        pip, to = [uv, "pip"], ["--python", python]
    run([*pip, "install", "--quiet", *to, wheel])
    run([*pip, "check", *to])
    # What langchain-core and langsmith do when Python 3.14 imports them.
    allowed = ["Core Pydantic V1 functionality", "'asyncio.iscoroutinefunction' is"]
    ignored = [word for text in allowed for word in ("-W", f"ignore:{text}")]
    command: list[str | Path] = [python, "-I", "-W", "error", *ignored, "-c", IMPORT]
    file, *public = run(command, cwd=tmp_path).split()
    assert Path(file).is_relative_to(tmp_path / "venv")
    assert {"ChatPmock", "PmockAuth"} <= set(public)
