"""Run the examples in processes of their own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.processes import LIMIT, execute

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping

    from langchain_pmock.testing import PmockServer

EXAMPLES = Path(__file__).parents[2] / "examples"


def command(example: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / example), *map(str, arguments)]


def run(
    example: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    fails: bool = False,
) -> str:
    """Run an example; return its output or, if it fails as expected, its message."""
    done = execute(*command(example, *arguments), env=env, fails=fails)
    assert "Traceback" not in done.stderr
    if fails:
        assert done.returncode in {1, 2}
        return done.stderr
    assert not done.stderr
    return done.stdout


def wait_for(process: subprocess.Popen[str], happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not happens():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            pytest.fail(f"it ended too early: {process.communicate()}")
        time.sleep(0.02)


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


class Batch:
    """Files of prompts and answers, and a server that answers them."""

    def __init__(self, server: PmockServer, folder: Path) -> None:
        self.server = server
        self.prompts = folder / "prompts.jsonl"
        self.answers = folder / "answers.jsonl"

    def write_prompts(self, count: int) -> dict[str, str]:
        prompts = {f"q{number}": f"What is {number}?" for number in range(count)}
        lines = [json.dumps({"id": i, "prompt": text}) for i, text in prompts.items()]
        self.prompts.write_text("".join(f"{line}\n" for line in lines))
        return prompts

    def run(self, *options: object, fails: bool = False) -> str:
        paths = (self.prompts, self.answers)
        return run("batch.py", *paths, *options, env=self.server.env, fails=fails)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return read_lines(self.answers)

    @property
    def count(self) -> int:
        """The number of complete lines."""
        return self.answers.read_bytes().count(b"\n") if self.answers.exists() else 0
