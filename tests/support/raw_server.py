"""A server that writes the given bytes, which may be no HTTP, and closes or waits."""

from __future__ import annotations

import socket
import socketserver
import ssl
import struct
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

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
        self.connections = 0
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._tls = tls

    @property
    def open_connections(self) -> int:
        return len(self._open)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=[0.002]).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        with self.lock:
            self.stopped.set()
            for connection in self._open:
                with suppress(OSError):  # past TLS, as threads are reading
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()  # waits for the threads

    def finish_request(self, request: Any, client_address: object) -> None:
        del client_address
        try:
            if self._tls is not None:
                request = self._tls.wrap_socket(request, server_side=True)
            with self.lock:
                self.connections += 1
                self._open.add(request)
            if not self.stopped.is_set():
                self.serve(request)
        except OSError:
            pass  # the client has closed the connection
        finally:
            request.close()
            with self.lock:
                self._open.discard(request)

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
        with connection.makefile("rb") as reader:
            while (request := _read(reader)) is not None:
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

    def _leaves(self, connection: socket.socket, seconds: float) -> bool:
        """Wait some seconds, or until the client leaves."""
        connection.settimeout(seconds)
        try:
            return not connection.recv(1)
        except TimeoutError:
            self.pauses += 1
            return False
        finally:
            connection.settimeout(None)


def _read(reader: BinaryIO) -> RawRequest | None:
    if not (line := reader.readline()):
        return None
    headers = {name.lower(): value for name, value in parse_headers(reader).items()}
    body = reader.read(int(headers.get("content-length", 0)))
    return RawRequest(line.split()[1].decode(), headers, body)


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


def unended(*pieces: bytes | float) -> list[Step]:
    """A stream without its end."""
    return stream(*pieces)[:-1]


def _chunk(piece: bytes | float) -> Step:
    if isinstance(piece, float):
        return piece
    return b"%x\r\n%s\r\n" % (len(piece), piece)
