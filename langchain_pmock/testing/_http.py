"""Responses as steps, and the HTTP server that sends them."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import struct
import threading
from concurrent.futures import Future
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

from aiohttp import web
from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from aiohttp.typedefs import Handler

    Respond = Callable[[Mapping[str, str], bytes], Awaitable["Response"]]

HOST = "127.0.0.1"
SUCCESS = 200
EVENT_STREAM = "text/event-stream"
_BACKLOG = 2048  # connections
_LONGEST_BODY = 64 * 2**20  # bytes
_LINGER = 2.0  # seconds for the client to read the refusal of its body
_RESET = struct.pack("ii", 1, 0)  # closing discards unsent data and sends a reset


# Bytes, a pause in seconds, or an early end of the connection.
Step = bytes | float | Literal["close", "reset"]


@dataclass
class Response:
    """The response to one request; its status is sent with the first bytes."""

    steps: list[Step]
    live: AsyncIterator[bytes] | None = None  # sent after the steps
    status: int = SUCCESS
    code: int | None = None  # of the envelope
    type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0  # seconds between two steps with bytes
    restore: Callable[[], None] = lambda: None  # if the client leaves before the start
    resources: AsyncExitStack = field(default_factory=AsyncExitStack)  # closed with it

    @property
    def content(self) -> bytes:
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def envelope(code: int, message: str, trace_id: str, data: Any = None) -> Response:
    """Make a response with an HTTP status and an envelope of the same code."""
    fields = {"code": code, "message": message, "data": data, "traceId": trace_id}
    return Response([to_json(fields)], status=code, code=code)


def chunk_envelope(chunk: Any) -> bytes:
    """Serialize the envelope of a chunk, which has no trace id."""
    return to_json({"code": SUCCESS, "data": chunk, "message": "success"})


def event(data: bytes, newline: str = "\n") -> bytes:
    return b"data: " + data + 2 * newline.encode()


def make_id(prefix: str, *parts: object) -> str:
    """Return an id that looks random but is the same in each run."""
    digest = hashlib.sha256(":".join(map(str, (prefix, *parts))).encode())
    return prefix + digest.hexdigest()[:24]


class Running:
    """A server in a thread of its own."""

    def __init__(self, port: int, path: str, respond: Respond) -> None:
        self._path, self._respond = path, respond
        self._ready: Future[web.Server] = Future()
        self._stopped = asyncio.Event()
        self._listener = socket.create_server((HOST, port), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        name = f"PmockServer-{self.port}"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self.server = self._ready.result()

    def stop(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: its thread died
            self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            if self._ready.done():
                raise
            self._listener.close()
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        app = web.Application(client_max_size=_LONGEST_BODY, middlewares=[_enveloped])
        app.router.add_post(self._path, self._handle)
        runner = web.AppRunner(
            app,
            handler_cancellation=True,  # when the client disconnects
            access_log=None,
            auto_decompress=False,
            lingering_time=_LINGER,
        )
        await runner.setup()
        site = web.SockSite(runner, self._listener, backlog=_BACKLOG)
        await site.start()
        server = cast("web.Server", runner.server)
        self._ready.set_result(server)
        await self._stopped.wait()
        # asyncio leaks a connection that it accepts just before its server is closed.
        for _ in range(4):
            await asyncio.sleep(0)
        await site.stop()
        for connection in server.connections:
            if connection.transport is not None:
                connection.transport.abort()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if (length := request.content_length or 0) > _LONGEST_BODY:
            raise web.HTTPRequestEntityTooLarge(_LONGEST_BODY, length)
        response = await self._respond(request.headers, await request.read())
        async with response.resources:
            return await _send(request, response)


@web.middleware
async def _enveloped(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put aiohttp's refusals into envelopes: 404, 405 and 413."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        trace_id = make_id("", request.method, request.rel_url)
        return await _send(request, envelope(error.status, error.reason, trace_id))


async def _send(request: web.BaseRequest, response: Response) -> web.StreamResponse:
    headers = {"Content-Type": response.type, **response.headers}
    match response:
        case Response(steps=[bytes(body)], live=None):
            return web.Response(body=body, status=response.status, headers=headers)
    sent = web.StreamResponse(status=response.status, headers=headers)
    try:
        for step in response.steps:
            if isinstance(step, bytes):
                await asyncio.sleep(response.delay if sent.prepared else 0)
                await sent.prepare(request)
                await sent.write(step)
            elif isinstance(step, str):
                _end(request, step)
            else:
                await asyncio.sleep(step)
        if response.live is not None:
            async for data in response.live:
                await sent.prepare(request)
                await sent.write(data)
    except asyncio.CancelledError:
        if not sent.prepared:
            response.restore()
        raise
    except ConnectionError:
        pass  # The client disconnected.
    return sent


def _end(request: web.BaseRequest, how: Literal["close", "reset"]) -> None:
    if (transport := request.transport) is not None:
        if how == "reset":
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.close()
