"""The notebook: it runs from top to bottom, and shows what it really gives."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "chat.ipynb"


@pytest.fixture(autouse=True)
def _jupyter_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own settings of Jupyter out, and history too."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copy(NOTEBOOK, tmp_path))


def read(path: Path) -> nbformat.NotebookNode:
    text = path.read_text("utf-8")
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def execute(path: Path) -> str:
    """Run a notebook as `make notebook` does, and return what it prints."""
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, str(EXAMPLES / "_run_notebook.py"), str(path)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    """Give what came of each cell of code."""
    return [cell.outputs for cell in read(path).cells if cell.cell_type == "code"]


def text_of(path: Path) -> str:
    """Give all that is in the file, but for a picture: not each zlib packs alike."""
    text, pictures = re.subn(
        '"image/png": "[^"]+"', '"image/png": ""', path.read_text("utf-8")
    )
    assert pictures
    return text


def test_its_outputs_are_those_that_it_gives(copy: Path) -> None:
    told = execute(copy)
    assert text_of(copy) == text_of(NOTEBOOK), (
        "run `make notebook` without keys in the environment, and look at what changed"
    )
    assert re.fullmatch(
        rf"Ran \d+ cells and wrote their outputs into {copy}: as they were\.\n", told
    )
    assert len(outputs(copy)) > 10


def test_running_it_takes_away_what_editors_leave_in_it(copy: Path) -> None:
    """As `jupyter execute --inplace` does."""
    notebook = read(copy)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["execution"] = {"shell.execute_reply": "2024-01-01T00:00:00Z"}
            cell.execution_count += 7
            for word in ("You", " said"):
                cell.outputs.append(nbformat.v4.new_output("stream", text=word))  # type: ignore[no-untyped-call]
    notebook.metadata.language_info.version = "3.11.1"
    nbformat.write(notebook, copy)  # type: ignore[no-untyped-call]
    execute(copy)
    assert text_of(copy) == text_of(NOTEBOOK)


def test_with_credentials_it_asks_the_service(
    server: PmockServer, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    assert execute(copy).endswith(": changed.\n")
    first, *_ = outputs(copy)
    assert first[0]["text"] == f"Service: {server.url}\n"
    assert {request.code for request in server.requests} == {200}
    assert any(request.body.get("stream") for request in server.requests)
    assert any(request.body.get("responseFormat") for request in server.requests)
    assert any("image_url" in str(request.body) for request in server.requests)


def test_it_shows_a_picture_and_a_table() -> None:
    kinds = {
        kind
        for cell in read(NOTEBOOK).cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert {"image/png", "text/markdown"} <= kinds


def test_it_shows_reasoning() -> None:
    texts = [output.get("text", "") for cell in outputs(NOTEBOOK) for output in cell]
    assert any(re.search(r"^reasoning: \w.*\ntext: \w", text) for text in texts)


def test_it_tells_nothing_of_the_machine_it_ran_on() -> None:
    text = str(outputs(NOTEBOOK))
    assert "A PmockServer on this machine answers" in text
    assert not re.search(r"127\.0\.0\.1|localhost|[\\/](tmp|home|root|Users)\b", text)
