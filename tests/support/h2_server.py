"""A server for HTTP/2 over TLS."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

from tests.support.raw_server import LocalServer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Sequence

_TICK = 0.01  # seconds
_HEAD = [(":status", "200"), ("content-type", "text/event-stream")]


class H2Server(LocalServer):
    """Answers each request with one piece, then with others; it ends no stream.

    Attributes:
        goes_on: Set by a test: the other pieces are sent, on all streams.
    """

    def __init__(
        self, first: bytes, rest: Sequence[bytes], tls: ssl.SSLContext
    ) -> None:
        tls.set_alpn_protocols(["h2"])
        super().__init__(tls)
        self._first, self._rest = first, b"".join(rest)
        self.goes_on = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False)
        http = h2.connection.H2Connection(config)
        http.initiate_connection()
        connection.settimeout(_TICK)
        streams: list[int] = []
        while not self.stopped.is_set():
            connection.sendall(http.data_to_send())
            data = None
            with suppress(TimeoutError):
                data = connection.recv(65536)
            if data == b"":
                return
            for event in http.receive_data(data or b""):
                if isinstance(event, h2.events.StreamEnded):
                    streams.append(event.stream_id)
                    http.send_headers(event.stream_id, _HEAD)
                    http.send_data(event.stream_id, self._first)
                elif isinstance(event, h2.events.StreamReset):
                    streams.remove(event.stream_id)
            while self.goes_on.is_set() and streams:
                http.send_data(streams.pop(), self._rest)
