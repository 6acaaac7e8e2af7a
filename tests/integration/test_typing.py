"""What users write checks under mypy strict and pyright, and what is wrong does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
USER_CODE = "tests/typing/user_code.py"


def check(*command: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy() -> None:
    # In strict mode an ignore without an error is an error itself.
    check("mypy", "--strict", USER_CODE)


def test_pyright() -> None:
    check("pyright", "--pythonpath", sys.executable, USER_CODE)
