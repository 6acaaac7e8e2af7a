"""A server of bytes that are ready; it runs in the process that measures nothing.

A request's path says what to answer: `/<dialect>/<kind>/<pieces>/...`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from typing import TYPE_CHECKING

from benchmarks import _wire
from benchmarks._worker import allow_many_connections

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = 0.25  # seconds between two of many requests at once
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_GONE = (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError)


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """Run the server, and yield its URL.

    Those who ask for streams at once wait until no other comes for a moment.
    """
    allow_many_connections()
    loop = asyncio.new_event_loop()
    starting = asyncio.start_server(_Server().answer, "127.0.0.1", 0, backlog=4096)
    server = loop.run_until_complete(starting)
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0.1))  # until all connections have ended


class _Server:
    def __init__(self) -> None:
        self._all_are_here = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0  # bytes of the last request's body

    async def answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(*_GONE):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET"):
                    writer.write(_wire.json_response(self._last))
                    continue
                if length := _LENGTH.search(head):
                    self._last = int(length[1])
                    await reader.readexactly(self._last)
                _, dialect, kind, pieces, _ = head.decode("latin-1").split("/", 4)
                if kind == "whole":
                    writer.write(_wire.whole(dialect))
                    continue
                if kind == "together":
                    await self._wait_for_others()
                    kind = "text"
                for data in _wire.stream(dialect, kind, int(pieces)):
                    writer.write(data)
                    await writer.drain()
        writer.close()

    async def _wait_for_others(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_QUIET, self._go_on)
        await self._all_are_here.wait()

    def _go_on(self) -> None:
        self._all_are_here.set()
        self._all_are_here = asyncio.Event()
