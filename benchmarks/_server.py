"""A server of bytes that are ready, in a process of its own.

A request's path says what to answer: `/<dialect>/<kind>/<tokens>/...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _wire

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = 0.25  # seconds without a request after which no other is waited for
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_BACKLOG = 4096


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the server in a process of its own.

    Yields:
        Its URL.
    """
    allow_many_connections()
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks._server"],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,  # It ends with us, whatever way we end.
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"  # type: ignore[union-attr]
        finally:
            process.terminate()


def allow_many_connections() -> None:
    """Let this process have as many open files as the system allows it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class _Gate:
    """Holds answers back until no more requests come: then all are under way."""

    def __init__(self) -> None:
        self.most_at_once = 0
        self._opened = asyncio.Event()
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def passed(self) -> None:
        self._waiting += 1
        self.most_at_once = max(self.most_at_once, self._waiting)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET, self._open)
        await self._opened.wait()

    def _open(self) -> None:
        self._opened.set()
        self._opened = asyncio.Event()
        self._waiting = 0


async def _serve() -> None:
    gate = _Gate()

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(_wire.json_response(gate.most_at_once))
                    gate.most_at_once = 0
                    continue
                if length := _LENGTH.search(head):
                    await reader.readexactly(int(length[1]))
                _, dialect, kind, tokens, _ = head.decode("latin-1").split("/", 4)
                if kind == "whole":
                    writer.write(_wire.whole(dialect))
                    continue
                if kind == "together":
                    await gate.passed()
                    kind = "text"
                for data in _wire.stream(dialect, kind, int(tokens)):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=_BACKLOG)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    allow_many_connections()
    asyncio.run(_serve())
