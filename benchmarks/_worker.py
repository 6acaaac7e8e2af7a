"""A process for each contestant.

Python's garbage collector walks through everything in a process, also through what the
packages of the others have loaded.
"""

from __future__ import annotations

import asyncio
import compileall
import gc
import importlib
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from benchmarks import _names

_ENOUGH = 0.2  # CPU seconds that make a measurement
_LIMIT, _QUICK_LIMIT = 20, 0.5  # seconds after which a stream is stopped


class Worker:
    """Measures one contestant in a process of its own."""

    def __init__(self, name: str, url: str, tree: Path, *, is_quick: bool) -> None:
        """Start the process; the tree is where to find the package."""
        self._name = name
        module = ["-m", "benchmarks._worker", name, url, str(tree)]
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-W", "ignore", *module, *["quick"] * is_quick],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,  # It ends with us, whatever way we end.
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        with self._process as process:
            process.terminate()

    def measure(self, job: str, size: int) -> float:
        """Do a job once more; infinite if it took too long."""
        print(job, size, file=self._process.stdin, flush=True)
        line = cast("Any", self._process.stdout).readline().strip()
        if not line:  # The process has written why to stderr.
            msg = f"The process of {self._name} ended in {job} {size}."
            raise RuntimeError(msg)
        return float(line)


def allow_many_connections() -> None:
    """Let this process have as many open files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _import(name: str, tree: str) -> list[float]:
    sys.path.insert(0, tree)
    # As pip does; a Python that may not write bytecode would compile at each import.
    compileall.compile_dir(Path(tree, "langchain_pmock"), quiet=2)
    # langsmith imports it if it is there, and with it httpx and aiohttp, which come
    # neither with langchain-core nor with the package.
    sys.modules["httpx_aiohttp"] = None  # type: ignore[assignment]
    spent = []
    for module in _names.MODULES[name]:
        start = time.process_time()
        importlib.import_module(module)
        spent.append(time.process_time() - start)
    del sys.modules["httpx_aiohttp"]
    return spent


def _work(name: str, url: str, tree: str, *quick: str) -> None:
    """Read jobs and sizes from stdin, and write what each took to stdout."""
    imported = _import(name, tree)
    from benchmarks import _jobs  # noqa: PLC0415 - it imports what is measured

    allow_many_connections()
    enough, limit = (0, _QUICK_LIMIT) if quick else (_ENOUGH, _LIMIT)
    loop = asyncio.new_event_loop()
    bench = _jobs.Bench(name, url, enough, imported, limit, loop)
    prepared = None
    for line in sys.stdin:
        job, size = line.split()
        try:
            if prepared != line:
                case = _jobs.JOBS[job].prepare(bench, int(size))
                prepared = line
            gc.collect()
            print(case(), flush=True)
        except _jobs.StoppedError:
            print(math.inf, flush=True)


if __name__ == "__main__":
    _work(*sys.argv[1:])
