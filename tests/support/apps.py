"""Applications under uvicorn, in a thread."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from tests.support.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Serving:
    """An application, at its URL."""

    url: str
    server: uvicorn.Server
    thread: threading.Thread

    def terminate(self) -> None:
        """Do what uvicorn does on SIGTERM."""
        self.server.should_exit = True


@contextmanager
def serving(app: Any, limit: int | None = None) -> Iterator[Serving]:
    """Serve an application; `limit` is that of a shutdown in seconds."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=limit
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        served = Serving(url, server, thread)
        thread.start()
        wait_until(lambda: server.started)
        yield served
        served.terminate()
        thread.join()
