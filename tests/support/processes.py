"""Commands in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LIMIT = 300.0  # seconds; more than a test takes on a busy machine


def execute(
    *command: object,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    fails: bool | None = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command, and check whether it fails, unless `fails` is None."""
    done = subprocess.run(  # noqa: S603 - our own commands
        [*map(str, command)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=LIMIT,
        check=False,
    )
    assert fails in {None, done.returncode != 0}, done.stdout + done.stderr
    return done


python = partial(execute, sys.executable)
