"""The notebook: it runs from top to bottom, and shows what it really gives."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from nbclient import NotebookClient

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer

NOTEBOOK = Path(__file__).parents[2] / "examples" / "chat.ipynb"


@pytest.fixture(autouse=True)
def _jupyter_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own settings of Jupyter out, and history too."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))


def read() -> nbformat.NotebookNode:
    text = NOTEBOOK.read_text("utf-8")
    notebook: nbformat.NotebookNode = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


async def execute() -> nbformat.NotebookNode:
    notebook = read()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    await client.async_execute()
    return notebook


def outputs(notebook: nbformat.NotebookNode) -> list[tuple[str, list[dict[str, Any]]]]:
    """Give each cell's source and what came of it; of a picture, only its alt text."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in cells:
        for output in cell.outputs:
            if "image/png" in output.get("data", {}):
                # Not each zlib packs alike.
                assert output.data.pop("image/png")
    return [(cell.source, cell.outputs) for cell in cells]


async def test_its_outputs_are_those_that_it_gives() -> None:
    given = outputs(await execute())
    shown = outputs(read())
    assert shown == given, "run `jupyter execute --inplace examples/chat.ipynb` again"
    assert len(shown) > 10


async def test_with_credentials_it_asks_the_service(
    server: PmockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    notebook = await execute()
    (_, first), *_ = outputs(notebook)
    assert first[0]["text"] == "The live service answers.\n"
    assert {request.code for request in server.requests} == {200}
    assert any(request.body.get("stream") for request in server.requests)
    assert any(request.body.get("responseFormat") for request in server.requests)
    assert any("image_url" in str(request.body) for request in server.requests)


def test_it_shows_a_picture_and_a_table() -> None:
    kinds = {
        kind
        for cell in read().cells
        for output in cell.get("outputs", [])
        for kind in output.get("data", {})
    }
    assert {"image/png", "text/markdown"} <= kinds


def test_it_tells_nothing_of_the_machine_it_ran_on() -> None:
    text = str(outputs(read()))
    assert "A PmockServer on this machine answers" in text
    assert not re.search(r"127\.0\.0\.1|localhost|[\\/](tmp|home|root|Users)\b", text)
