"""Reads that take too long, and the way to end them: hang up under them."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

_TICK = 0.05  # seconds between two looks at the reads that are watched


def hang_up(response: httpx.Response) -> None:
    """End the connection, also under a read that waits for it in another thread.

    Args:
        response: The response whose connection it is. One that it shares with others,
            as HTTP/2 has them, is left.
    """
    connection = response.extensions.get("network_stream")
    if connection is None or response.http_version == "HTTP/2":
        return
    with contextlib.suppress(AttributeError, OSError):  # there is none any more
        connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class Watch:
    """Does something where a read takes too long; one thread for all of them.

    It looks at its list a few times a second, and ends when that is empty.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.start_anew()

    def start_anew(self) -> None:
        """Forget all; in a forked child there is no other thread."""
        self._lock = threading.Lock()
        self._due: dict[object, tuple[float, Callable[[], None]]] = {}
        self._is_running = False

    @contextlib.contextmanager
    def after(
        self,
        seconds: float,
        action: Callable[[httpx.Response], None],
        response: httpx.Response,
    ) -> Iterator[None]:
        """Act if what is done in this context takes too long.

        Args:
            seconds: How long it may take.
            action: What to do then, in another thread.
            response: What to do it with.

        Yields:
            Nothing.
        """
        key = object()
        with self._lock:
            if not self._is_running:
                threading.Thread(target=self._run, daemon=True).start()
                self._is_running = True  # if there may be one more thread
            self._due[key] = time.monotonic() + seconds, partial(action, response)
        try:
            yield
        finally:
            self._due.pop(key, None)

    def _run(self) -> None:
        while True:
            time.sleep(_TICK)
            with self._lock:
                if not self._due:
                    self._is_running = False
                    return
            now = time.monotonic()
            for key, (due, action) in list(self._due.items()):
                # Whose read has ended in the meantime has taken itself off the list.
                if due <= now and self._due.pop(key, None) is not None:
                    action()


watch = Watch()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=watch.start_anew)
