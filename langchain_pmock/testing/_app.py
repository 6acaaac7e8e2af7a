"""HTTP in, HTTP out: the application around the service."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from langchain_pmock.testing._wire import HangUp, Pause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from langchain_pmock.testing._service import Service
    from langchain_pmock.testing._wire import Answer, Step

BASE_PATH = "/api"
_CHAT_PATH = BASE_PATH + "/ai/chat/completions"


def make_app(service: Service) -> Starlette:
    """Make the application.

    Args:
        service: What answers the requests.

    Returns:
        The ASGI application. It expects the connection's transport in the scope's
        state, to be able to break it off.
    """

    async def chat(request: Request) -> Response:
        answer = service.respond(request.headers, await request.body())
        return await _respond(request, answer)

    async def refuse(request: Request, error: Exception) -> Response:
        problem = cast("HTTPException", error)
        answer = service.refuse(problem.status_code, problem.detail)
        return _begin(answer, answer.steps, request.state.transport)

    async def forget(_request: Request, _error: Exception) -> Response:
        # Nobody is there to read it.
        return Response()

    return Starlette(
        routes=[Route(_CHAT_PATH, chat, methods=["POST"])],
        exception_handlers={HTTPException: refuse, ClientDisconnect: forget},
    )


async def _respond(request: Request, answer: Answer) -> Response:
    transport: asyncio.Transport = request.state.transport
    for position, step in enumerate(answer.steps):
        if isinstance(step, bytes):
            return _begin(answer, answer.steps[position:], transport)
        if isinstance(step, HangUp):
            _hang_up(transport, step)
        if await _leaves(request, step.seconds if isinstance(step, Pause) else None):
            answer.give_back()
            return Response()
    return _begin(answer, [], transport)


def _begin(answer: Answer, steps: list[Step], transport: asyncio.Transport) -> Response:
    if len(steps) == 1 and isinstance(steps[0], bytes):
        return Response(steps[0], answer.status, answer.headers)
    return StreamingResponse(_play(steps, transport), answer.status, answer.headers)


async def _play(
    steps: list[Step], transport: asyncio.Transport
) -> AsyncIterator[bytes]:
    for step in steps:
        if isinstance(step, bytes):
            yield step
            # The other connections have their turn, and this one may be gone.
            await asyncio.sleep(0)
        elif isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
        else:
            _hang_up(transport, step)
            # Until the framework sees it and cancels: returning would end the response.
            await asyncio.Event().wait()


async def _leaves(request: Request, seconds: float | None) -> bool:
    """Wait some seconds, or without end, for the client to leave."""
    try:
        # After the body, nothing else can come from a client.
        await asyncio.wait_for(request.receive(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def _hang_up(transport: asyncio.Transport, how: HangUp) -> None:
    if not how.reset:
        transport.close()
        return
    # To linger for zero seconds is to drop what is unsent and to send a reset.
    linger = struct.pack("ii", 1, 0)
    transport.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, linger
    )
    transport.abort()
