"""A server for HTTP/2 over TLS that answers each request in the same way."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence
    from typing import Self

_TICK = 0.01  # seconds
_HEAD = [(":status", "200"), ("content-type", "text/event-stream")]


class H2Server:
    """Answers each request with pieces and pauses, and the end of the stream.

    Attributes:
        connections: The number of connections so far.
    """

    access_key = "ak-example-access"
    secret_key = "sk-example-secret"

    def __init__(self, steps: Sequence[bytes | float], tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        self._tls = tls
        self._steps = steps
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self.connections = 0
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}/api"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._listener.close()

    def _accept(self) -> None:
        while not self._stopped.is_set():
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=[raw], daemon=True).start()

    def _serve(self, raw: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False)
        connection = h2.connection.H2Connection(config)
        open_streams: dict[int, tuple[int, float]] = {}
        with raw, self._tls.wrap_socket(raw, server_side=True) as peer:
            connection.initiate_connection()
            peer.sendall(connection.data_to_send())
            peer.settimeout(_TICK)
            while not self._stopped.is_set():
                try:
                    data = peer.recv(65536)
                except TimeoutError:
                    data = None
                except OSError:
                    return
                if data == b"":
                    return
                for event in connection.receive_data(data) if data else ():
                    if isinstance(event, h2.events.StreamEnded):
                        connection.send_headers(event.stream_id, _HEAD)
                        open_streams[event.stream_id] = 0, 0.0
                    elif isinstance(event, h2.events.StreamReset):
                        open_streams.pop(event.stream_id, None)
                for stream_id in list(open_streams):
                    self._step(connection, stream_id, open_streams)
                peer.sendall(connection.data_to_send())

    def _step(
        self,
        connection: h2.connection.H2Connection,
        stream_id: int,
        open_streams: dict[int, tuple[int, float]],
    ) -> None:
        position, due = open_streams[stream_id]
        while position < len(self._steps) and time.monotonic() >= due:
            step = self._steps[position]
            position += 1
            if isinstance(step, bytes):
                connection.send_data(stream_id, step)
            else:
                due = time.monotonic() + step
        if position == len(self._steps) and time.monotonic() >= due:
            connection.end_stream(stream_id)
            del open_streams[stream_id]
        else:
            open_streams[stream_id] = position, due
