"""Blocking reads that must end."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def abort(response: Any) -> None:
    """Abort the connection of a response, which also ends a blocking read.

    A connection that is shared with other responses, as in HTTP/2, is not aborted.
    """
    stream = response.extensions.get("network_stream")
    if stream is not None and response.http_version != "HTTP/2":
        with contextlib.suppress(AttributeError, OSError):  # it is closed already
            stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


def read_within(seconds: float, source: Iterator[bytes], response: Any) -> bytes | None:
    """Read the next bytes of a body; `None` after some seconds.

    It reads in another thread, which ends when the connection is aborted.
    """
    results: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()

    def read() -> None:
        try:
            results.put(next(source, b""))
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread
            results.put(error)

    try:
        threading.Thread(target=read, daemon=True).start()
        result = results.get(timeout=seconds)
    except (RuntimeError, queue.Empty):  # no thread can be started, or no data came
        abort(response)
        return None
    if isinstance(result, BaseException):
        raise result
    return result
