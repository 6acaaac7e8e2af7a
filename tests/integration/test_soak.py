"""Thousands of calls, a third of which meet a fault: right answers or our errors.

Now and then the service's clock jumps, too.
"""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import HumanMessage

from langchain_pmock import ChatPmock, errors
from langchain_pmock._gateway import pools as _pools
from langchain_pmock.testing import PmockServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("fast_retries")

AT_ONCE = 100
TIME_LIMIT = 120.0  # seconds; a call that never ends is a failure, not a wait
CALLS_PER_CLOCK = 300
CLOCKS = (2 * 3600, -90, 0)
FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429},
    {"status": 500},
    {"status": 503, "retry_after": 0},
    {"status": 401},
    {"status": 400},
    {"code": 429},
    {"code": 500},
    {"code": 500, "after": 3},
    {"html": True},
    {"html": True, "status": 200},
    {"body": b""},
    {"garbage": True},
    {"garbage": True, "after": 2},
    {"cut_after": 0},
    {"cut_after": 1},
    {"cut_after": 4},
    {"reset_after": 0},
    {"reset_after": 1},
    {"reset_after": 4},
    {"stall": 0.02},
    {"stall": 30.0},
    {"stall": 30.0, "after": 3},
    {"byte_by_byte": True},
)


def text_for(i: int) -> str:
    return f"You said: call {i} of many, and each has a text of its own."


class Tally:
    """What has become of the calls."""

    def __init__(self, server: PmockServer, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._server = server
        self._random = random.Random(seed)  # noqa: S311 - the same in each run
        self._calls = count(1)
        self._clocks = cycle(CLOCKS)

    def spoil(self) -> None:
        """Let one in three of the next requests fail, and the clock jump at times."""
        if next(self._calls) % CALLS_PER_CLOCK == 0:
            self._server.clock_offset = next(self._clocks)
        if self._random.random() < 1 / 3:
            self._server.fail(**self._random.choice(FAULTS))

    def right(self, i: int, text: str) -> None:
        assert text == text_for(i)
        self.outcomes["right"] += 1

    def wrong(self, i: int, pieces: list[str], error: errors.PmockError) -> None:
        # What came before the error is the beginning of the text, each piece once.
        assert text_for(i).startswith("".join(pieces))
        assert "".join(pieces) != text_for(i)
        self.outcomes[type(error).__name__] += 1

    def check(self, calls: int) -> None:
        assert sum(self.outcomes.values()) == calls
        # The retries save most of what is spoiled.
        assert self.outcomes["right"] > 0.7 * calls
        # A jump of the clock costs another signature, and seldom a call.
        assert self.outcomes["PmockAuthenticationError"] < 0.1 * calls
        assert set(self.outcomes) >= {
            "PmockInvalidRequestError",
            "PmockResponseError",
            "PmockStreamInterruptedError",
            "PmockTimeoutError",
        }


def model_of(server: PmockServer, **fields: Any) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=server.url,
        access_key=server.access_key,
        secret_key=server.secret_key,
        timeout=1.0,
        max_retries=2,
        **fields,
    )


def question(i: int) -> list[HumanMessage]:
    return [HumanMessage(text_for(i).removeprefix("You said: "))]


async def ask_async(model: ChatPmock, i: int, tally: Tally) -> None:
    pieces: list[str] = []
    try:
        if i % 2:
            pieces.append((await model.ainvoke(question(i))).text)
        else:
            async for chunk in model.astream(question(i)):
                pieces.append(chunk.text)  # noqa: PERF401 - it may break off
    except errors.PmockError as error:
        tally.wrong(i, pieces, error)
    else:
        tally.right(i, "".join(pieces))


def ask(model: ChatPmock, i: int, tally: Tally) -> None:
    pieces: list[str] = []
    try:
        if i % 2:
            pieces.append(model.invoke(question(i)).text)
        else:
            for chunk in model.stream(question(i)):
                pieces.append(chunk.text)  # noqa: PERF401 - it may break off
    except errors.PmockError as error:
        tally.wrong(i, pieces, error)
    else:
        tally.right(i, "".join(pieces))


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def _nothing_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Check that descriptors and threads are back to where they began."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count descriptors")
    shared = _pools._Shared()
    monkeypatch.setattr(_pools, "_shared", shared)
    asyncio.run(asyncio.sleep(0))
    gc.collect()
    before = descriptors(), threading.active_count()
    yield
    shared.close()
    assert shared.by_loop == {}
    gc.collect()
    deadline = time.monotonic() + 5
    while (descriptors(), threading.active_count()) != before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # It would complain of errors and tasks that nobody looked at.
    assert [record for record in caplog.records if record.name == "asyncio"] == []


@pytest.mark.parametrize(("transport", "calls"), [("httpx", 2000), ("aiohttp", 1000)])
def test_many_async_calls(transport: str, calls: int) -> None:
    async def main(server: PmockServer, tally: Tally) -> None:
        tasks = asyncio.all_tasks()
        model = model_of(server, async_transport=transport)
        numbers = iter(range(calls))

        async def work() -> None:
            for i in numbers:
                tally.spoil()
                await ask_async(model, i, tally)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        assert asyncio.all_tasks() == tasks

    with PmockServer() as server:
        tally = Tally(server, seed=1)
        asyncio.run(asyncio.wait_for(main(server, tally), TIME_LIMIT))
        server.reset()
    tally.check(calls)


def test_many_calls_on_threads() -> None:
    calls = 500
    # A server that stops ends the calls that an executor would wait for.
    with ThreadPoolExecutor(25) as executor, PmockServer() as server:
        tally = Tally(server, seed=2)
        model = model_of(server)

        def work(i: int) -> None:
            tally.spoil()
            ask(model, i, tally)

        list(executor.map(work, range(calls), timeout=TIME_LIMIT))
        server.reset()
    tally.check(calls)
