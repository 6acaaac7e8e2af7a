"""Deadlines for blocking reads."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator

_TICK = 0.05  # seconds between two checks of the deadlines


def can_abort(response: httpx.Response) -> bool:
    """Check whether a response has a socket of its own, unlike with HTTP/2."""
    stream = response.extensions.get("network_stream")
    return stream is not None and response.http_version != "HTTP/2"


def abort(response: httpx.Response) -> None:
    """Abort the connection of a response, which also ends a blocking read.

    A connection shared with other responses is not aborted.
    """
    if can_abort(response):
        with contextlib.suppress(AttributeError, OSError):  # it is closed already
            stream = response.extensions["network_stream"]
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def read_within(
    seconds: float, source: Iterator[bytes], response: httpx.Response
) -> bytes | None:
    """Read the next bytes of a body; `None` at the deadline, in seconds from now.

    At the deadline the connection is aborted, if that is possible.
    """
    if not can_abort(response):
        return _read_in_thread(seconds, source)
    deadline = _Deadline(time.monotonic() + seconds, response)
    try:
        _watch.add(deadline)
    except RuntimeError:  # no thread can be started
        return None
    try:
        data = next(source, b"")
    except httpx.TransportError:
        if not deadline.has_passed:
            raise
        return None
    finally:
        _watch.remove(deadline)
    return None if deadline.has_passed else data


def _read_in_thread(seconds: float, source: Iterator[bytes]) -> bytes | None:
    """Read in another thread, which is abandoned at the deadline."""
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def read() -> None:
        try:
            results.put(next(source, b""))
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            results.put(error)

    try:
        threading.Thread(target=read, daemon=True).start()
        result = results.get(timeout=seconds)
    except (RuntimeError, queue.Empty):
        return None
    if isinstance(result, BaseException):
        raise result
    return result


@dataclass(eq=False)
class _Deadline:
    due: float
    response: httpx.Response
    has_passed: bool = False


class _Watch:
    """One thread that aborts the connections of all reads past their deadline.

    It checks them every 50 ms, and ends when there are none.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Initialize the state; also in a forked child, which has no other thread."""
        self._lock = threading.Lock()
        self._deadlines: set[_Deadline] = set()
        self._is_running = False

    def add(self, deadline: _Deadline) -> None:
        with self._lock:
            if not self._is_running:
                threading.Thread(target=self._run, daemon=True).start()
                self._is_running = True
            self._deadlines.add(deadline)

    def remove(self, deadline: _Deadline) -> None:
        with self._lock:
            self._deadlines.discard(deadline)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            with self._lock:
                if not self._deadlines:
                    self._is_running = False
                    return
                for deadline in self._deadlines:
                    if deadline.due <= now and not deadline.has_passed:
                        # With the lock held, the read has not returned yet.
                        deadline.has_passed = True
                        abort(deadline.response)


_watch = _Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_watch.reset)
