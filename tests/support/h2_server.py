"""A server for HTTP/2 over TLS that answers each request in the same way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events

from tests.support.raw_server import LocalServer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Iterator, Sequence

_TICK = 0.01  # seconds
_HEAD = [(":status", "200"), ("content-type", "text/event-stream")]


class H2Server(LocalServer):
    """Answers each request with pieces and pauses, and the end of the stream."""

    def __init__(self, steps: Sequence[bytes | float], tls: ssl.SSLContext) -> None:
        tls.set_alpn_protocols(["h2"])
        super().__init__(tls)
        self._steps = steps

    def serve(self, connection: socket.socket) -> None:
        config = h2.config.H2Configuration(client_side=False)
        http = h2.connection.H2Connection(config)
        answers: dict[int, Iterator[None]] = {}
        http.initiate_connection()
        connection.settimeout(_TICK)
        while not self.stopped.is_set():
            connection.sendall(http.data_to_send())
            try:
                data = connection.recv(65536)
            except TimeoutError:
                events = []
            else:
                if not data:
                    return
                events = http.receive_data(data)
            for event in events:
                if isinstance(event, h2.events.StreamEnded):
                    answers[event.stream_id] = self._answer(http, event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    answers.pop(event.stream_id, None)
            for stream_id, answer in list(answers.items()):
                if next(answer, "ended") == "ended":
                    del answers[stream_id]

    def _answer(
        self, http: h2.connection.H2Connection, stream_id: int
    ) -> Iterator[None]:
        """Send the steps; yield while waiting."""
        http.send_headers(stream_id, _HEAD)
        for step in self._steps:
            if isinstance(step, bytes):
                http.send_data(stream_id, step)
                continue
            due = time.monotonic() + step
            while time.monotonic() < due:
                yield
        http.end_stream(stream_id)
