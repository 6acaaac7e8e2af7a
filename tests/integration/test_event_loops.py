"""One model in many event loops and threads."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from langchain_pmock.testing import PmockServer
from tests.support.calls import model_of
from tests.support.leaks import until, wait_until
from tests.support.raw_server import CLOSE, RECEIVED, RESET, Close, RawServer, whole
from tests.support.wire import answer

if TYPE_CHECKING:
    from langchain_pmock import ChatPmock

HELLO = "You said: Hello"

leaves_nothing = pytest.mark.usefixtures("nothing_left")


async def text_of(model: ChatPmock) -> str:
    """Ask twice, whole and streamed."""
    message = await model.ainvoke("Hello")
    streamed = [chunk.text async for chunk in model.astream("Hello")]
    assert "".join(streamed) == message.text
    return message.text


@leaves_nothing
def test_loops_in_sequence() -> None:
    with PmockServer() as server:
        model = model_of(server)
        for _ in range(5):
            assert asyncio.run(text_of(model)) == HELLO
            wait_until(lambda: server.open_connections == 0)
        assert len(server.requests) == 10


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_closed_without_shutdown_is_freed() -> None:
    with PmockServer() as server:
        model = model_of(server)
        loops = []
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(text_of(model)) == HELLO
            loop.close()
            loops.append(weakref.ref(loop))
        del loop
        assert asyncio.run(text_of(model)) == HELLO
        gc.collect()
        assert [loop for loop in loops if loop() is not None] == []
        wait_until(lambda: server.open_connections == 0)


@leaves_nothing
def test_concurrent_loops() -> None:
    count = 4
    with PmockServer(delay=0.002) as server, ThreadPoolExecutor(count) as executor:
        model = model_of(server)
        barrier = threading.Barrier(count)

        def in_a_loop(_: int) -> list[str]:
            async def main() -> list[str]:
                barrier.wait()
                return await asyncio.gather(*(text_of(model) for _ in range(5)))

            return asyncio.run(main())

        answers = list(executor.map(in_a_loop, range(count)))
    assert answers == [[HELLO] * 5] * count


def test_loop_goes_on_after_another_ends(model: ChatPmock) -> None:
    async def main() -> None:
        assert await text_of(model) == HELLO
        await asyncio.to_thread(asyncio.run, text_of(model))
        assert await text_of(model) == HELLO
        # Sync calls have other connections.
        assert model.invoke("Hello").text == HELLO

    asyncio.run(main())


@leaves_nothing
def test_threads_share_connections() -> None:
    with PmockServer(delay=0.001) as server, ThreadPoolExecutor(8) as executor:
        model = model_of(server)

        def ask(i: int) -> str:
            if i % 2:
                return model.invoke("Hello").text
            return "".join(chunk.text for chunk in model.stream("Hello"))

        assert list(executor.map(ask, range(40))) == [HELLO] * 40
        assert server.open_connections <= 8


# --- Idle connections that are of no use any more ------------------------------------


@leaves_nothing
@pytest.mark.parametrize("end", [RESET, CLOSE], ids=["reset", "closed"])
def test_service_ends_idle_connections(end: Close) -> None:
    with RawServer([*whole(answer("Hello")), RECEIVED, end]) as server:
        model = model_of(server)

        async def main() -> None:
            for i in range(6):
                answered = await model.ainvoke("") if i % 2 else model.invoke("")
                assert answered.text == "Hello"
                server.received.set()
                await until(lambda: server.open_connections == 0)

        asyncio.run(main())
    assert len(server.requests) == 6
