"""Run a notebook, and write the outputs of its cells into it; `make notebook` uses it.

    python examples/_run_notebook.py examples/chat.ipynb

Nothing else in the file changes: no times, nothing of the machine. If the outputs are
the same as before, so is the file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient


def run(path: Path) -> None:
    """Run all cells in order; if one fails, the file stays as it is."""
    before = path.read_bytes()
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:
        # Editors and `jupyter execute` leave there when a cell ran.
        cell.metadata.pop("execution", None)
    NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=60,
        record_timing=False,
        coalesce_streams=True,  # Otherwise each printed token is an output.
        # It warns of a TCP port without encryption; this one is on loopback.
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    # The kernel added its version of Python.
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
    ran = sum(cell.cell_type == "code" for cell in notebook.cells)
    change = "as they were" if path.read_bytes() == before else "changed"
    print(f"Ran {ran} cells and wrote their outputs into {path}: {change}.")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
