"""A server of bytes that are ready; it runs in the process that measures nothing.

A request's path says what to answer: `/<dialect>/<kind>/<pieces>/...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from benchmarks import _wire
from benchmarks._worker import allow_many_connections

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


@contextlib.contextmanager
def serving(quiet: float) -> Iterator[str]:
    """Run the server; gives its URL.

    Args:
        quiet: Seconds without a request after which no other is waited for.
    """
    allow_many_connections()
    started: SimpleQueue[tuple[str, Callable[[], object]]] = SimpleQueue()
    thread = threading.Thread(
        target=lambda: asyncio.run(_serve(_Gate(quiet), started)), daemon=True
    )
    thread.start()
    url, stop = started.get()
    yield url
    stop()
    thread.join()


class _Gate:
    """Holds answers back until no more requests come: then all are under way."""

    def __init__(self, quiet: float) -> None:
        self._quiet = quiet
        self.most_at_once = 0
        self._opened = asyncio.Event()
        self._waiting = 0
        self._timer: asyncio.TimerHandle | None = None

    async def passed(self) -> None:
        self._waiting += 1
        self.most_at_once = max(self.most_at_once, self._waiting)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._quiet, self._open)
        await self._opened.wait()

    def _open(self) -> None:
        self._opened.set()
        self._opened = asyncio.Event()
        self._waiting = 0


async def _serve(
    gate: _Gate, started: SimpleQueue[tuple[str, Callable[[], object]]]
) -> None:
    last = 0

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal last
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    seen = {"at_once": gate.most_at_once, "bytes": last}
                    writer.write(_wire.json_response(seen))
                    gate.most_at_once = 0
                    continue
                if length := _LENGTH.search(head):
                    last = int(length[1])
                    await reader.readexactly(last)
                _, dialect, kind, pieces, _ = head.decode("latin-1").split("/", 4)
                if kind == "whole":
                    writer.write(_wire.whole(dialect))
                    continue
                if kind == "together":
                    await gate.passed()
                    kind = "text"
                for data in _wire.stream(dialect, kind, int(pieces)):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=4096)
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    started.put((url, lambda: loop.call_soon_threadsafe(stopped.set)))
    await stopped.wait()
