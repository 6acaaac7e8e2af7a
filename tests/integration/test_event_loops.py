"""One model in many event loops and threads, and what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from langchain_pmock import ChatPmock
from langchain_pmock.testing import PmockServer, Reply
from tests.support.raw_server import CLOSE, RESET, Close, RawServer, head
from tests.support.wire import answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from tests.integration.conftest import MakeModel

HELLO = "You said: Hello"
LONG = Reply(chunks=["word "] * 2000)

each_setting = pytest.mark.parametrize("max_retries", [0, 2])


leaves_nothing = pytest.mark.usefixtures("nothing_left")


def wait_until(condition: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait for something that happens in another thread; tell how long it took."""
    started = time.monotonic()
    while not condition():
        if time.monotonic() - started > seconds:
            pytest.fail("it never came")
        time.sleep(0.005)
    return time.monotonic() - started


def model_of(server: PmockServer, **fields: Any) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=server.url,
        access_key=server.access_key,
        secret_key=server.secret_key,
        **{"max_retries": 0, **fields},
    )


async def until(condition: Callable[[], bool]) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 5
        await asyncio.sleep(0.005)


async def text_of(model: ChatPmock) -> str:
    """Ask twice, in both ways."""
    message = await model.ainvoke("Hello")
    streamed = [chunk.text async for chunk in model.astream("Hello")]
    assert "".join(streamed) == message.text
    return message.text


# --- Loops, one after another and at once --------------------------------------------


@leaves_nothing
@each_setting
def test_many_loops_one_after_another(max_retries: int) -> None:
    with PmockServer() as server:
        model = model_of(server, max_retries=max_retries)
        for _ in range(5):
            assert asyncio.run(text_of(model)) == HELLO
            wait_until(lambda: server.open_connections == 0)
        assert len(server.requests) == 10


@leaves_nothing
def test_loops_that_are_run_by_hand() -> None:
    with PmockServer() as server:
        model = model_of(server)
        for _ in range(3):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(text_of(model)) == HELLO
            assert loop.run_until_complete(text_of(model)) == HELLO
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
            wait_until(lambda: server.open_connections == 0)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_loop_closed_without_shutdown_is_released() -> None:
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
@each_setting
def test_several_loops_at_once(max_retries: int) -> None:
    count = 4
    with PmockServer(delay=0.002) as server, ThreadPoolExecutor(count) as executor:
        model = model_of(server, max_retries=max_retries)
        barrier = threading.Barrier(count)

        def in_a_loop(_: int) -> list[str]:
            async def main() -> list[str]:
                barrier.wait()
                return await asyncio.gather(*(text_of(model) for _ in range(5)))

            return asyncio.run(main())

        answers = list(executor.map(in_a_loop, range(count)))
    assert answers == [[HELLO] * 5] * count


def test_a_loop_goes_on_after_another_has_ended(make_model: MakeModel) -> None:
    model = make_model()

    async def main() -> None:
        assert await text_of(model) == HELLO
        thread = threading.Thread(target=lambda: asyncio.run(text_of(model)))
        thread.start()
        await asyncio.to_thread(thread.join)
        assert await text_of(model) == HELLO

    asyncio.run(main())


@leaves_nothing
@each_setting
def test_threads_share_connections(max_retries: int) -> None:
    with PmockServer(delay=0.001) as server, ThreadPoolExecutor(8) as executor:
        model = model_of(server, max_retries=max_retries)

        def ask(i: int) -> str:
            if i % 2:
                return model.invoke("Hello").text
            return "".join(chunk.text for chunk in model.stream("Hello"))

        assert list(executor.map(ask, range(40))) == [HELLO] * 40
        assert server.open_connections <= 8


@each_setting
def test_batch_on_threads(model: ChatPmock, max_retries: int) -> None:
    model = model.model_copy(update={"max_retries": max_retries})
    messages = model.batch([f"number {i}" for i in range(30)])
    assert [m.text for m in messages] == [f"You said: number {i}" for i in range(30)]


async def test_abatch(model: ChatPmock) -> None:
    messages = await model.abatch([f"number {i}" for i in range(30)])
    assert [m.text for m in messages] == [f"You said: number {i}" for i in range(30)]


def test_sync_calls_inside_a_running_loop(model: ChatPmock) -> None:
    async def main() -> None:
        assert model.invoke("Hello").text == HELLO
        assert await text_of(model) == HELLO
        assert (await asyncio.to_thread(model.invoke, "Hello")).text == HELLO

    asyncio.run(main())


@each_setting
async def test_a_service_that_was_started_anew(
    server: PmockServer, make_model: MakeModel, max_retries: int
) -> None:
    # Idle connections from before are of no use any more.
    model = make_model(max_retries=max_retries)
    for _ in range(2):
        assert await text_of(model) == HELLO
        assert model.invoke("Hello").text == HELLO
        server._port = server._started.port
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)


@each_setting
@pytest.mark.parametrize("end", [RESET, CLOSE], ids=["reset", "closed"])
@leaves_nothing
def test_idle_connections_that_the_service_ends(end: Close, max_retries: int) -> None:
    body = json.dumps(answer("Hello")).encode()
    with RawServer([head(length=len(body)), 0.02, body, 0.02, end]) as server:
        model = ChatPmock(
            model="gpt-5.1",
            base_url=server.url,
            access_key="ak-example",
            secret_key="sk-example",
            max_retries=max_retries,
        )

        async def main() -> None:
            for _ in range(3):
                assert (await model.ainvoke("Hello")).text == "Hello"
                assert model.invoke("Hello").text == "Hello"
                while server.open_connections:  # noqa: ASYNC110 - no event here
                    await asyncio.sleep(0.005)

        asyncio.run(main())
    assert len(server.requests) == 6


# --- Leaving early -------------------------------------------------------------------


@leaves_nothing
def test_leaving_an_async_stream_closes_its_connection() -> None:
    async def main(server: PmockServer) -> None:
        tasks = asyncio.all_tasks()
        async for chunk in model_of(server).astream("Hello"):
            if chunk.text:
                break
        assert server.open_connections == 1
        await until(lambda: server.open_connections == 0)
        await until(lambda: asyncio.all_tasks() == tasks)

    with PmockServer(delay=0.01) as server:
        server.script(LONG)
        asyncio.run(main(server))


@leaves_nothing
@pytest.mark.parametrize("how", ["before", "between", "invoke"])
def test_cancelling_a_task_closes_its_connection(how: str) -> None:
    async def listen(model: ChatPmock, heard: asyncio.Event) -> None:
        if how == "invoke":
            await model.ainvoke("Hello")
        async for chunk in model.astream("Hello"):
            if chunk.text:
                heard.set()

    async def main(server: PmockServer) -> None:
        tasks = asyncio.all_tasks()
        heard = asyncio.Event()
        task = asyncio.create_task(listen(model_of(server), heard))
        if how == "between":
            await heard.wait()
        else:
            while not server.requests:  # noqa: ASYNC110 - a thread wakes nobody
                await asyncio.sleep(0.005)
        assert server.open_connections == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: server.open_connections == 0)
        await until(lambda: asyncio.all_tasks() == tasks)

    with PmockServer(delay=0.01) as server:
        server.script(LONG)
        if how != "between":
            server.fail(stall=60)
        asyncio.run(main(server))


def test_cancelling_the_wait_for_a_retry(make_model: MakeModel) -> None:
    async def main() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(model.ainvoke("Hello"), 0.2)

    with PmockServer() as server:
        server.fail(status=429, retry_after=60)
        model = model_of(server, max_retries=2)
        started = time.monotonic()
        asyncio.run(main())
    assert time.monotonic() - started < 5
    assert len(server.requests) == 1
    assert make_model().invoke("Hello").text == HELLO


@leaves_nothing
def test_streams_that_are_left_open_close_with_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        model = model_of(server)
        for _ in range(5):
            stream = model.astream("Hello")
            await anext(stream)
            streams.append(stream)

    with PmockServer(delay=0.01) as server:
        for _ in range(10):
            server.script(*[LONG] * 5)
            streams: list[Any] = []  # they outlive the loop
            asyncio.run(main())
            assert [r for r in caplog.records if r.name == "asyncio"] == []
        assert wait_until(lambda: server.open_connections == 0) < 1


@leaves_nothing
def test_leaving_a_stream_closes_its_connection() -> None:
    with PmockServer(delay=0.01) as server:
        server.script(LONG)
        threads = threading.active_count()
        for chunk in model_of(server).stream("Hello"):
            if chunk.text:
                break
        assert threading.active_count() == threads  # closed in this one
        assert wait_until(lambda: server.open_connections == 0) < 1


@leaves_nothing
def test_a_stream_may_be_collected_while_httpcores_pool_is_locked() -> None:
    # Python's collector runs whenever an object is made: under this lock too.
    locked = "_assign_requests_to_connections"

    def collect(frame: FrameType, *_: object) -> None:
        if frame.f_code.co_name == locked:
            streams.clear()

    def ask() -> None:
        sys.setprofile(collect)
        answers.append(model.invoke("Hello").text)

    with PmockServer(delay=0.01) as server:
        model = model_of(server)
        server.script(LONG, HELLO)
        streams = [model.stream("Hello")]
        next(streams[0])
        answers: list[str] = []
        asking = threading.Thread(target=ask, daemon=True)
        asking.start()
        asking.join(5)
        assert answers == [HELLO]
        assert streams == []
        wait_until(lambda: server.open_connections == 1)


@leaves_nothing
def test_an_error_in_the_callers_loop_closes_the_connection() -> None:
    def read(model: ChatPmock) -> None:
        for chunk in model.stream("Hello"):
            if chunk.text:
                raise KeyError

    with PmockServer(delay=0.01) as server:
        server.script(LONG)
        with pytest.raises(KeyError):
            read(model_of(server))
        assert wait_until(lambda: server.open_connections == 0) < 1


def test_a_stream_that_was_never_begun_opens_nothing(
    server: PmockServer, model: ChatPmock
) -> None:
    model.stream("Hello")
    model.astream("Hello")
    assert server.requests == []


async def test_a_stream_can_be_read_from_another_task(model: ChatPmock) -> None:
    chunks = model.astream("Hello")
    texts = [(await chunks.__anext__()).text]
    rest = await asyncio.create_task(_read(chunks))
    assert "".join(texts + rest) == HELLO


async def _read(chunks: Any) -> list[str]:
    return [chunk.text async for chunk in chunks]
