"""An HTTP/1.1 server based on asyncio and h11, with one task per connection."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from http.client import responses
from typing import TYPE_CHECKING, Any

import h11
import httpx

from langchain_pmock.testing._wire import Abort, Pause

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain_pmock.testing._wire import Response

    Respond = Callable[["Request"], Awaitable[Response]]
    Refuse = Callable[[int, str], Response]

HOST = "127.0.0.1"
_BACKLOG = 2048  # connections
_LONGEST_HEAD = 65_536  # bytes
_LONGEST_BODY = 64 * 2**20  # bytes
_CHUNK = 65_536  # bytes
_LINGER = 2.0  # seconds for the client to read the refusal of its body


class Request:
    """A request, or the part that was read before it was refused."""

    def __init__(self, head: h11.Request) -> None:
        self.method = head.method.decode("latin-1")
        self.path = head.target.decode("latin-1").partition("?")[0]
        self.headers = httpx.Headers([*head.headers])
        self.body = bytearray()

    @property
    def is_too_long(self) -> bool:
        """Whether the body is larger than the limit."""
        announced = int(self.headers.get("content-length", 0))
        return max(announced, len(self.body)) > _LONGEST_BODY


class Running(threading.Thread):
    """The server's thread. Stopping it aborts all connections."""

    def __init__(self, port: int, respond: Respond, refuse: Refuse) -> None:
        self._listener = socket.create_server((HOST, port), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        super().__init__(name=f"PmockServer-{self.port}", daemon=True)
        self._respond, self._refuse = respond, refuse
        self._connections: set[asyncio.Task[None]] = set()
        self._ready = threading.Event()

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    def start(self) -> None:
        super().start()
        self._ready.wait()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self.join()

    def run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(
            self._connected, sock=self._listener, backlog=_BACKLOG
        )
        self._ready.set()
        await self._stopped.wait()
        server.close()
        await asyncio.sleep(0)  # connections just accepted start their tasks
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task: Any = asyncio.current_task()
        self._connections.add(task)
        # Otherwise there are delays of 40 ms between small writes.
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await _Connection(reader, writer).serve(self._respond, self._refuse)
            writer.close()
        except asyncio.CancelledError:  # the client disconnected, or the server stops
            writer.transport.abort()
        except OSError:
            if not writer.is_closing():
                writer.transport.abort()
        finally:
            self._connections.discard(task)


class _Connection:
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.SERVER, _LONGEST_HEAD)

    async def serve(self, respond: Respond, refuse: Refuse) -> None:
        """Answer requests until one side closes the connection."""
        while True:
            try:
                request = await self._receive()
            except h11.RemoteProtocolError as error:
                await self._send(refuse(error.error_status_hint, str(error)), "")
                break
            if request is None:
                return
            if request.is_too_long:
                message = f"the body is longer than {_LONGEST_BODY} bytes"
                await self._send(refuse(413, message), request.method)
                break
            leaving = asyncio.create_task(self._leave(asyncio.current_task()))
            try:
                await self._send(await respond(request), request.method)
            finally:
                leaving.cancel()
                await asyncio.wait([leaving])
            if self._http.our_state is not h11.DONE:
                return
            self._http.start_next_cycle()
        # If the server closed while the client sends, the client would lose the answer.
        self._writer.write_eof()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._discard(), _LINGER)

    async def _receive(self) -> Request | None:
        """Read the next request; None if there is none."""
        request = None
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    informal = h11.InformationalResponse(status_code=100, headers=[])
                    self._writer.write(self._http.send(informal) or b"")
                self._http.receive_data(await self._reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                request = Request(event)
            elif isinstance(event, h11.Data) and request is not None:
                request.body += event.data
            else:  # the end of the request, or of the connection
                return request
            if request is not None and request.is_too_long:
                return request

    async def _leave(self, connection: asyncio.Task[None] | None) -> None:
        """Cancel the connection's task if the client disconnects."""
        try:
            data = await self._reader.read(_CHUNK)
        except ConnectionError:
            data = b""
        if data:  # the next request; h11 keeps it
            self._http.receive_data(data)
        elif connection is not None:
            connection.cancel()

    async def _send(self, response: Response, method: str) -> None:
        headers = {**response.headers}
        if self._http.their_state in {h11.SEND_BODY, h11.ERROR}:
            headers["Connection"] = "close"
        if len(response.steps) == 1 and isinstance(response.steps[0], bytes):
            headers["Content-Length"] = str(len(response.steps[0]))
        head = h11.Response(
            status_code=response.status,
            headers=[*headers.items()],
            reason=responses.get(response.status, ""),
        )
        try:
            for step in response.steps:
                if isinstance(step, Pause):
                    await asyncio.sleep(step.seconds)
                elif isinstance(step, Abort):
                    self._abort(step)
                    raise ConnectionAbortedError
                else:
                    await self._write(step, head, method)
        except asyncio.CancelledError:
            if self._http.our_state is h11.SEND_RESPONSE:
                response.give_back()
            raise
        if response.live is not None:
            async with contextlib.aclosing(response.live) as live:
                async for data in live:
                    await self._write(data, head, method)
        await self._write(b"", head, method)
        self._writer.write(self._http.send(h11.EndOfMessage()) or b"")
        await self._writer.drain()

    async def _write(self, data: bytes, head: h11.Response, method: str) -> None:
        sent = b""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            sent = self._http.send(head) or b""
        if data and method != "HEAD":
            sent += self._http.send(h11.Data(data=data)) or b""
        self._writer.write(sent)
        await self._writer.drain()
        await asyncio.sleep(0)  # let other connections run

    def _abort(self, how: Abort) -> None:
        if not how.reset:
            self._writer.close()
            return
        # With a linger time of 0, closing discards unsent data and sends a reset.
        connection = self._writer.get_extra_info("socket")
        linger = struct.pack("ii", 1, 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self._writer.transport.abort()

    async def _discard(self) -> None:
        while await self._reader.read(_CHUNK):
            pass
