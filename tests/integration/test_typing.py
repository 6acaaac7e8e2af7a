"""What users write checks under mypy strict and pyright, and what is wrong does not."""

import sys
from pathlib import Path

from tests.support.processes import python

ROOT = Path(__file__).parents[2]
USER_CODE = "tests/typing/user_code.py"


def test_mypy() -> None:
    # In strict mode an ignore without an error is an error itself.
    python("-m", "mypy", "--strict", USER_CODE, cwd=ROOT)


def test_pyright() -> None:
    python("-m", "pyright", "--pythonpath", sys.executable, USER_CODE, cwd=ROOT)
