"""Calls that are cancelled at random moments, in each way: no connection is left."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from typing import TYPE_CHECKING, Any

import anyio
import fastapi
import httpx
import httpx2
import httpx_aiohttp
import pytest
from fastapi.responses import StreamingResponse
from langchain.agents import create_agent

from langchain_pmock._gateway import pools
from langchain_pmock.testing import PmockServer, Reply
from tests.support.apps import serving
from tests.support.calls import model_of
from tests.support.leaks import pool_entries, until, uvloop, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from langchain_pmock import ChatPmock

    Call = Callable[[], Coroutine[Any, Any, Any]]

pytestmark = pytest.mark.usefixtures("nothing_left")

ROUNDS = 8  # of each kind of call and each way to cancel it: 280 calls in a test
LAST_STEP = 60  # of the event loop; by then a call is in the middle of its answer
STEP = 0.0005  # seconds


async def steps(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- Ways to cancel: after some steps of the loop, and again after some more ---------


async def cancel(call: Call, *counts: int) -> None:
    task = asyncio.ensure_future(call())
    for count in counts:
        await steps(count)
        task.cancel()
    await asyncio.wait([task])


async def cancel_repeatedly(call: Call, first: int, second: int) -> None:
    await cancel(call, first, 1, 1, second)


async def cancel_scope(call: Call, first: int, _: int) -> None:
    with anyio.move_on_after(first * STEP):
        await call()


async def cancel_task_group(call: Call, first: int, _: int) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        await steps(first)
        group.cancel_scope.cancel()


async def time_out(call: Call, first: int, _: int) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(first * STEP):
            await call()


async def shut_down(call: Call, first: int, second: int) -> None:
    """Cancel a task that waits for the call, then the call itself, as servers do."""
    task = asyncio.ensure_future(call())
    waiter = asyncio.ensure_future(asyncio.wait_for(task, 60))
    await steps(first)
    waiter.cancel()
    await steps(second)
    task.cancel()
    await asyncio.wait([task, waiter])


WAYS = (
    lambda call, first, _: cancel(call, first),
    cancel,  # twice
    cancel_repeatedly,
    cancel_scope,
    cancel_task_group,
    time_out,
    shut_down,
)


# --- Kinds of calls ------------------------------------------------------------------


def calls_of(model: ChatPmock) -> list[Call]:
    agent = create_agent(model, [])
    question: Any = {"messages": [("human", "Hello")]}

    async def invoke() -> None:
        await model.ainvoke("Hello")

    async def batch() -> None:
        await model.abatch(["Hello", "Hello"])

    async def stream() -> None:
        async for _ in model.astream("Hello"):
            pass

    async def invoke_agent() -> None:
        await agent.ainvoke(question)

    async def events() -> None:
        async for _ in agent.astream_events(question, version="v2"):
            pass

    return [invoke, batch, stream, invoke_agent, events]


async def shared_clients() -> list[Any]:
    return (await pools.shared_async_pools()).clients


async def cancel_everything(
    server: PmockServer, client: Any, excused: str = "none"
) -> None:
    model = model_of(server, http_async_client=client)
    chosen = random.Random(20)  # noqa: S311 - the same in each run
    tasks = asyncio.all_tasks()
    for call in calls_of(model):
        await call()
        for way in WAYS:
            for _ in range(ROUNDS):
                await way(call, chosen.randrange(LAST_STEP), chosen.randrange(6))
    await until(lambda: asyncio.all_tasks() == tasks)
    clients = [client] if client else await shared_clients()
    if not isinstance(client, httpx_aiohttp.HttpxAiohttpClient):
        await until(lambda: all(excused in entry for entry in pool_entries(*clients)))
    if client:
        await client.aclose()
    await model_of(server).ainvoke("Hello")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "make_client",
    [lambda: None, httpx2.AsyncClient, httpx_aiohttp.HttpxAiohttpClient],
    ids=["shared", "httpx2", "aiohttp"],
)
def test_no_connection_is_left(loop: str, make_client: Callable[[], Any]) -> None:
    if loop == "uvloop" and uvloop is None:
        pytest.skip("uvloop is not installed")
    run = uvloop.run if loop == "uvloop" else asyncio.run
    with PmockServer(delay=0.0005, keep_requests=1) as server:
        run(cancel_everything(server, make_client()))
        wait_until(lambda: server.open_connections == 0)


def test_client_of_httpx_keeps_what_was_connecting() -> None:
    """A call that is cancelled while it connects leaves an entry, and no socket."""
    with PmockServer(delay=0.0005, keep_requests=1) as server:
        client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None))
        asyncio.run(cancel_everything(server, client, "NEW, Request Count: 0"))
        wait_until(lambda: server.open_connections == 0)


def test_wait_for_a_retry() -> None:
    async def main() -> None:
        call = asyncio.ensure_future(model.ainvoke("Hello"))
        await until(lambda: len(server.requests) == 1)
        await steps(LAST_STEP)
        call.cancel()
        await asyncio.wait([call])
        assert call.cancelled()

    with PmockServer() as server:
        server.fail(status=429, retry_after=60)
        model = model_of(server, max_retries=2)
        asyncio.run(main())
        wait_until(lambda: server.open_connections == 0)
    assert len(server.requests) == 1


def test_stream_closed_while_it_is_cancelled() -> None:
    """A consumer that closes its stream is cancelled again and again."""

    async def main() -> None:
        model = model_of(server)
        for i in range(40):
            stream: Any = model.astream("Hello")
            await anext(stream)
            await cancel(stream.aclose, i % 5, 1, 1, 1)
        clients = await shared_clients()
        await until(lambda: pool_entries(*clients) == [])

    with PmockServer(delay=0.01) as server:
        asyncio.run(main())
        wait_until(lambda: server.open_connections == 0)


# --- A service whose clients leave ---------------------------------------------------


@pytest.fixture
def upstream() -> Iterator[PmockServer]:
    with PmockServer(delay=0.01) as server:
        yield server


@pytest.fixture
def service(upstream: PmockServer) -> Iterator[str]:
    """A FastAPI application under uvicorn; the URL."""
    app = fastapi.FastAPI()
    model = model_of(upstream)

    @app.get("/whole")
    async def whole(request: fastapi.Request) -> str:
        """Answer, unless the client disconnects."""
        answer = ""

        async def watch(scope: anyio.CancelScope) -> None:
            while not await request.is_disconnected():  # noqa: ASYNC110 - as users do
                await anyio.sleep(0.01)
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(watch, group.cancel_scope)
            answer = (await model.ainvoke("Hello")).text
            group.cancel_scope.cancel()
        return answer

    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def texts() -> AsyncIterator[str]:
            async for chunk in model.astream("Hello"):
                yield chunk.text

        return StreamingResponse(texts(), media_type="text/plain")

    with serving(app) as served:
        yield served.url


@pytest.mark.parametrize("path", ["whole", "stream"])
def test_clients_of_a_service_leave(
    service: str, upstream: PmockServer, path: str
) -> None:
    if path == "whole":
        upstream.fail(stall=600, times=30)
    else:
        upstream.script(*[Reply(chunks=["word "] * 2000)] * 30)
    host, port = service.removeprefix("http://").split(":")
    leaving = []
    for _ in range(30):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        leaving.append(connection)
    wait_until(lambda: upstream.open_connections == 30)
    for connection in leaving:
        connection.close()
    wait_until(lambda: upstream.open_connections == 0)
