"""The pytest plugin: a `PmockServer` for each test, and tapes.

pytest loads it in each run of an environment that has this package. Therefore it is a
module of its own, outside the package, which it imports only for the fixture.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_pmock.testing import PmockServer

_LONGEST_NAME = 150  # characters; file systems allow about 255
_OTHER_THAN_SAFE = re.compile(r"[^\w.,=+\[\]-]", re.ASCII)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the settings."""
    parser.getgroup("pmock").addoption(
        "--pmock-record",
        choices=("none", "once", "all"),
        default="none",
        help="with the marker pmock_tape: replay tapes (none, the default), record the "
        "missing ones (once), or record all anew (all)",
    )
    for name in ("upstream", "upstream_model"):
        use = f"{name} of PmockServer when tapes are recorded; or PMOCK_{name.upper()}"
        parser.addini(f"pmock_{name}", f"{use} in the environment")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        "pmock_tape: the test's pmock_server replays the tape of this test, which "
        "--pmock-record=once records",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the marker alone start the server, before the test's other fixtures."""
    if isinstance(item, pytest.Function) and item.get_closest_marker("pmock_tape"):
        names = item.fixturenames
        names[:] = ["pmock_server", *(n for n in names if n != "pmock_server")]


@pytest.fixture
def pmock_server(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[PmockServer]:
    """Start a `PmockServer`, and set the environment variables for `ChatPmock`.

    Yields:
        The server. With the marker `pmock_tape` it answers from the tape of this test.
    """
    from langchain_pmock.testing import PmockServer  # noqa: PLC0415 - see above

    settings: dict[str, Any] = {}
    tape = tape_of(request.node)
    recorded = tape.with_suffix(".part")
    is_missing = False
    if marker := request.node.get_closest_marker("pmock_tape"):
        if marker.args or marker.kwargs:
            pytest.fail("the marker pmock_tape takes no arguments", pytrace=False)
        mode = request.config.getoption("--pmock-record")
        if mode == "all" or (mode == "once" and not tape.exists()):
            settings = {**_upstream(request.config), "record": recorded}
            tape.parent.mkdir(parents=True, exist_ok=True)
            recorded.unlink(missing_ok=True)
        elif tape.exists():
            settings = {"replay": tape}
        else:
            is_missing = True
    with PmockServer(**settings) as server:
        if is_missing:  # which is no mistake if the test makes no request
            message = (
                f"there is no tape {tape}: `pytest --pmock-record=once` records it"
            )
            server.fail(status=400, message=message, times=1000)
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server
    if "record" in settings and recorded.exists():
        recorded.replace(tape)


def tape_of(item: pytest.Item) -> Path:
    """Return the path of a test's tape, which is the same in each worker.

    Args:
        item: The test.

    Returns:
        `tapes/<module>/<class>.<test>[<parameters>].jsonl` beside the module. A name
        with other characters, or one that is too long, is changed and gets a digest.
    """
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    name = ".".join([*classes, item.name])
    safe = _OTHER_THAN_SAFE.sub("-", name)[:_LONGEST_NAME]
    if safe != name:
        safe += f"-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return item.path.parent / "tapes" / item.path.stem / f"{safe}.jsonl"


def _upstream(config: pytest.Config) -> dict[str, Any]:
    settings = {
        name: os.environ.get(f"PMOCK_{name.upper()}") or config.getini(f"pmock_{name}")
        for name in ("upstream", "upstream_model")
    }
    if not settings["upstream"]:
        message = (
            "recording needs an upstream: set pmock_upstream in the configuration of "
            "pytest, or PMOCK_UPSTREAM in the environment"
        )
        pytest.fail(message, pytrace=False)
    keys = os.environ.get("PMOCK_UPSTREAM_KEY", "").split()
    return {**settings, "upstream_key": tuple(keys) if len(keys) > 1 else "".join(keys)}
