"""The notebook runs from top to bottom, and has the outputs that it produces."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from tests.support.processes import python

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "chat.ipynb"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Neither the user's settings of Jupyter nor the history.
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return Path(shutil.copy(NOTEBOOK, tmp_path))


def read(path: Path) -> nbformat.NotebookNode:
    text = path.read_text("utf-8")
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def execute(path: Path) -> str:
    """Run a notebook as `make notebook` does, and return what it prints."""
    done = python(EXAMPLES / "_run_notebook.py", path)
    assert not done.stderr
    return done.stdout


def outputs(path: Path) -> list[list[dict[str, Any]]]:
    return [cell.outputs for cell in read(path).cells if cell.cell_type == "code"]


def text_of(path: Path) -> str:
    """Return the file without its picture, which each zlib compresses differently."""
    text, pictures = re.subn(
        '"image/png": "[^"]+"', '"image/png": ""', path.read_text("utf-8")
    )
    assert pictures
    return text


def test_outputs_are_up_to_date(copy: Path) -> None:
    # Editors and `jupyter execute --inplace` leave this in the file.
    notebook = read(copy)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.metadata["execution"] = {"shell.execute_reply": "2024-01-01T00:00:00Z"}
            cell.execution_count += 7
            cell.outputs.append(nbformat.v4.new_output("stream", text="other"))  # type: ignore[no-untyped-call]
    notebook.metadata.language_info.version = "3.11.1"
    nbformat.write(notebook, copy)  # type: ignore[no-untyped-call]
    printed = execute(copy)
    assert re.fullmatch(r"Ran \d+ cells and .* outputs into .*: changed\.\n", printed)
    assert text_of(copy) == text_of(NOTEBOOK), (
        "run `make notebook` without keys in the environment, and look at what changed"
    )
    assert execute(copy).endswith(": as they were.\n")


def test_with_credentials_it_uses_the_service(
    server: PmockServer, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    assert execute(copy).endswith(": changed.\n")
    first, *_ = outputs(copy)
    assert first[0]["text"] == f"Service: {server.url}\n"
    assert {request.code for request in server.requests} == {200}
    for feature in ("stream", "responseFormat", "image_url"):
        assert any(f"'{feature}'" in str(request.body) for request in server.requests)


def test_outputs_have_all_kinds_and_nothing_of_the_machine() -> None:
    flat = [output for cell in outputs(NOTEBOOK) for output in cell]
    assert {"image/png", "text/markdown"} <= {
        k for o in flat for k in o.get("data", {})
    }
    texts = [output.get("text", "") for output in flat]
    assert any(re.search(r"^reasoning: \w.*\ntext: \w", text) for text in texts)
    assert "A PmockServer on this machine answers" in str(flat)
    machine = r"127\.0\.0\.1|localhost|[\\/](tmp|home|root|Users)\b"
    assert not re.search(machine, str(flat))
