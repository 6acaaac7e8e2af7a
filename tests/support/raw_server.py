"""A server that writes the given bytes, which may be no HTTP, and closes or waits."""

from __future__ import annotations

import select
import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from tests.support.wire import dump

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


@dataclass(frozen=True)
class Close:
    """Close the connection: with a reset, or with the end of TLS (close_notify)."""

    reset: bool = False
    notify: bool = False


Step = bytes | float | Close | Literal["received"]
"""Bytes to write, seconds or an event to wait for, or the end of the connection."""

CLOSE = Close()
RESET = Close(reset=True)
STALL = 60.0
# Waits for `RawServer.received`: a reset takes away what the client has not read.
RECEIVED: Literal["received"] = "received"


@dataclass
class RawRequest:
    """A received request."""

    target: str
    headers: dict[str, str]
    body: bytes
    at: float = field(default_factory=time.time)


Answer = Sequence[Step] | Callable[[RawRequest], Sequence[Step]]


class LocalServer(socketserver.ThreadingTCPServer):
    """A server on this machine with a thread for each connection.

    Attributes:
        connections: The number of connections so far.
        open_connections: The number of connections that clients keep open.
    """

    access_key = "ak-example-access"
    secret_key = "sk-example-secret"
    request_queue_size = 128

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.port = self.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/api"
        self.connections = self.open_connections = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self._tls = tls

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=[0.002]).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopped.set()
        self.shutdown()
        self.server_close()  # waits for the threads

    def finish_request(self, request: Any, client_address: object) -> None:
        del client_address
        with self.lock:
            self.connections += 1
            self.open_connections += 1
        try:
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            self.serve(request)
        except OSError:
            pass  # the client has closed the connection
        finally:
            request.close()
            with self.lock:
                self.open_connections -= 1

    def serve(self, connection: socket.socket) -> None:
        raise NotImplementedError


class RawServer(LocalServer):
    """Answers each request with the next list of steps; the last one repeatedly.

    Attributes:
        requests: The requests so far.
        pauses: The number of pauses that have passed while the client waited.
        received: Set by a test when the client has received an answer.
    """

    def __init__(self, *answers: Answer, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.answers = list(answers)
        self.requests: list[RawRequest] = []
        self.pauses = 0
        self.received = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        while (request := self._read(connection)) is not None:
            self.received.clear()
            with self.lock:
                self.requests.append(request)
                is_last = len(self.answers) == 1
                answer = self.answers[0] if is_last else self.answers.pop(0)
            for step in answer(request) if callable(answer) else answer:
                if isinstance(step, Close):
                    _close(connection, step)
                    return
                if isinstance(step, bytes):
                    connection.sendall(step)
                elif step == RECEIVED:
                    self.received.wait(STALL)
                elif self._leaves(connection, step):
                    return

    def _read(self, connection: socket.socket) -> RawRequest | None:
        data = b""
        while b"\r\n\r\n" not in data:
            if not (piece := self._receive(connection)):
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        while len(body) < int(headers.get("content-length", 0)):
            if not (piece := self._receive(connection)):
                return None
            body += piece
        return RawRequest(first.split()[1], headers, body)

    def _receive(self, connection: socket.socket) -> bytes:
        while not self.stopped.is_set():
            if _is_readable(connection):
                return connection.recv(65536)
        return b""

    def _leaves(self, connection: socket.socket, seconds: float) -> bool:
        """Wait some seconds, or until the client leaves."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.stopped.is_set():
            if _is_readable(connection):
                return not connection.recv(1)
        self.pauses += not self.stopped.is_set()
        return self.stopped.is_set()


def _is_readable(connection: socket.socket) -> bool:
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    readable, _, _ = select.select([connection], [], [], 0.005)
    return bool(readable)


def _close(connection: socket.socket, how: Close) -> None:
    if how.notify and isinstance(connection, ssl.SSLSocket):
        connection = connection.unwrap()
    if how.reset:
        # Lingering for zero seconds drops what is unsent and sends a reset.
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    else:
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()


def head(
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
    *,
    length: int | None = None,
) -> bytes:
    """The head of a response: by default JSON, chunked without a length."""
    framing = (
        {"Transfer-Encoding": "chunked"}
        if length is None
        else {"Content-Length": str(length)}
    )
    all_headers = {"Content-Type": "application/json", **framing, **(headers or {})}
    lines = [f"HTTP/1.1 {status}", *(f"{k}: {v}" for k, v in all_headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(
    body: bytes | Mapping[str, Any],
    status: str = "200 OK",
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """A whole response."""
    content = body if isinstance(body, bytes) else dump(body)
    return [head(status, headers, length=len(content)) + content]


def stream(
    *pieces: bytes | float, headers: Mapping[str, str] | None = None
) -> list[Step]:
    """A whole stream, each piece a chunk of HTTP."""
    event_stream = {"Content-Type": "text/event-stream", **(headers or {})}
    return [head(headers=event_stream), *map(_chunk, pieces), b"0\r\n\r\n"]


def _chunk(piece: bytes | float) -> Step:
    if isinstance(piece, float):
        return piece
    return b"%x\r\n%s\r\n" % (len(piece), piece)
