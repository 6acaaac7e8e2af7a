"""The sdist and the wheel, as somebody gets them who installs the package."""

from __future__ import annotations

import email
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).parents[2]


def run(command: Sequence[str | Path], cwd: Path = ROOT) -> str:
    """Run a command; where it fails, show all that it said."""
    done = subprocess.run(  # noqa: S603 - each command is written in this file
        command, cwd=cwd, capture_output=True, text=True, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # build makes the wheel from the sdist, so the sdist is shown to be complete.
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder])
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (wheel,) = dist.glob("langchain_pmock-*-py3-none-any.whl")
    return wheel


@pytest.fixture(scope="module")
def sdist(dist: Path) -> Path:
    (sdist,) = dist.glob("langchain_pmock-*.tar.gz")
    return sdist


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a new environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    uv = shutil.which("uv")
    if uv is None:
        pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python]
        run([*pip, "install", "--quiet", wheel])
        run([*pip, "check"])
    else:
        run([uv, "pip", "install", "--quiet", "--python", python, wheel])
        run([uv, "pip", "check", "--python", python])
    return python


def source_files() -> set[str]:
    package = ROOT / "langchain_pmock"
    return {
        path.relative_to(ROOT).as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    info = {name for name in names if ".dist-info/" in name}

    assert names - info == source_files()
    assert "langchain_pmock/py.typed" in names
    assert "langchain_pmock/testing/__init__.py" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in info)


def test_the_sdist_holds_the_package_and_its_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}

    assert source_files() <= names
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= names
    assert "tests/unit/test_auth.py" in names
    # make needs them.
    assert {"Makefile", ".ci/find-python"} <= names
    generated = (".venv", ".git/", "dist/", ".coverage", ".mypy_cache")
    assert not [name for name in names if name.startswith(generated)]
    assert not [name for name in names if "__pycache__" in name]


def test_the_long_description_renders(sdist: Path, wheel: Path) -> None:
    output = run([sys.executable, "-m", "twine", "check", "--strict", sdist, wheel])
    assert output.count("PASSED") == 2


def metadata_of(path: Path) -> Message:
    """Read the metadata of a wheel or of an sdist."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as archive:
            (name,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
            return email.message_from_bytes(archive.read(name))
    with tarfile.open(path) as archive:
        file = archive.extractfile(f"{path.name.removesuffix('.tar.gz')}/PKG-INFO")
        assert file is not None
        return email.message_from_bytes(file.read())


@pytest.mark.parametrize("which", ["wheel", "sdist"])
def test_the_long_description(which: str, request: pytest.FixtureRequest) -> None:
    metadata = metadata_of(request.getfixturevalue(which))
    payload = metadata.get_payload(decode=True)
    assert isinstance(payload, bytes)
    text = payload.decode()

    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# langchain-pmock\n")
    before_use, _, after = text.partition("\n## Use\n")
    assert "The LangChain chat model" in before_use
    assert "\n## Install\n\n```bash\npip install langchain-pmock\n" in before_use
    assert "\n## Performance\n" in after
    # Neither the repository's files nor its make are there.
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert links
    assert not [link for link in links if not link.startswith("https://")]
    assert "![" not in text
    assert "<img" not in text
    assert "<!--" not in text
    assert "make " not in re.sub(r"```python.*?```", "", text, flags=re.DOTALL)


def test_the_metadata(wheel: Path) -> None:
    metadata = metadata_of(wheel)

    assert metadata["Name"] == "langchain-pmock"
    assert metadata["Version"] == wheel.name.split("-")[1]
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert set(metadata.get_all("Provides-Extra", [])) == {"aiohttp", "testing"}
    runtime = [
        requirement
        for requirement in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in requirement
    ]
    names = {requirement.split("<")[0].split("!")[0] for requirement in runtime}
    assert {name.split(">")[0] for name in names} == {
        "httpx",
        "langchain-core",
        "pydantic",
        "typing-extensions",
    }


def test_the_project_urls(wheel: Path) -> None:
    urls = dict(
        url.split(", ") for url in metadata_of(wheel).get_all("Project-URL", [])
    )
    assert set(urls) == {"Homepage", "Documentation", "Source", "Changelog", "Issues"}
    assert all(url.startswith("https://") for url in urls.values())


CHANGES = """# Changelog

## [0.2.0] - 2026-12-01

### Added

- A [page](docs/page.md).

## 0.1.1 (unreleased)

## [0.1.0] - 2026-11-30

- All.

[0.2.0]: https://example.com/compare
"""


def test_release_notes(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    script = shutil.copy(ROOT / ".ci" / "release-notes", tmp_path / ".ci")
    (tmp_path / "CHANGELOG.md").write_text(CHANGES)
    assert run([script, "0.2.0"]).strip() == "### Added\n\n- A [page](docs/page.md)."
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


def test_it_imports_with_only_what_it_requires(installed: Path, tmp_path: Path) -> None:
    # What langchain-core and langsmith do when they are imported by Python 3.14.
    known = ["Core Pydantic V1 functionality", "'asyncio.iscoroutinefunction' is"]
    ignored = [word for text in known for word in ("-W", f"ignore:{text}")]
    command: list[str | Path] = [installed, "-I", "-W", "error", *ignored, "-c", IMPORT]
    output = run(command, cwd=tmp_path)
    file, *public = output.split()
    assert Path(file).is_relative_to(installed.parents[1])
    assert {"ChatPmock", "PmockAuth"} <= set(public)
