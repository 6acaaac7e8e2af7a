"""Thousands of calls, a third of which meet a fault: right answers or our errors.

Now and then the service's clock jumps, too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import httpx2
import httpx_aiohttp
import pytest

from langchain_pmock import errors
from langchain_pmock.testing import PmockServer
from tests.support.calls import model_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_pmock import ChatPmock

pytestmark = pytest.mark.usefixtures("fast_retries", "nothing_left")

CONCURRENT = 100
CALLS_PER_CLOCK = 300
CLOCKS = (2 * 3600, -90, 0)
TIMEOUT = httpx2.Timeout(30, read=1.0)
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


class Tally:
    """Counts how the calls end."""

    def __init__(self, server: PmockServer, seed: int) -> None:
        self.outcomes: Counter[str] = Counter()
        self._server = server
        self._random = random.Random(seed)  # noqa: S311 - the same in each run
        self._calls = count(1)
        self._clocks = cycle(CLOCKS)

    def question(self, i: int) -> str:
        """Inject a fault for one in three of the next requests."""
        if next(self._calls) % CALLS_PER_CLOCK == 0:
            self._server.clock_offset = next(self._clocks)
        if self._random.random() < 1 / 3:
            self._server.fail(**self._random.choice(FAULTS))
        return f"call {i} of many, and each has a text of its own."

    def add(self, i: int, pieces: list[str], error: Exception | None) -> None:
        expected = f"You said: call {i} of many, and each has a text of its own."
        text = "".join(pieces)
        # Before an error come the first pieces of the text, each once.
        assert text == expected if error is None else expected.startswith(text)
        self.outcomes["answer" if error is None else type(error).__name__] += 1

    def check(self, calls: int) -> None:
        assert sum(self.outcomes.values()) == calls
        assert self.outcomes.most_common(1)[0][0] == "answer"
        assert set(self.outcomes) >= {
            "PmockInvalidRequestError",
            "PmockResponseError",
            "PmockStreamInterruptedError",
            "PmockTimeoutError",
        }


async def ask_async(model: ChatPmock, i: int, tally: Tally) -> None:
    pieces: list[str] = []
    error = None
    question = tally.question(i)
    try:
        if i % 2:
            pieces.append((await model.ainvoke(question)).text)
        else:
            async for chunk in model.astream(question):
                pieces.append(chunk.text)  # noqa: PERF401 - it may fail
    except errors.PmockError as found:
        error = found
    tally.add(i, pieces, error)


def ask(model: ChatPmock, i: int, tally: Tally) -> None:
    pieces: list[str] = []
    error = None
    question = tally.question(i)
    try:
        if i % 2:
            pieces.append(model.invoke(question).text)
        else:
            pieces.extend(chunk.text for chunk in model.stream(question))
    except errors.PmockError as found:
        error = found
    tally.add(i, pieces, error)


@pytest.mark.parametrize(
    ("make_client", "calls"),
    [(lambda: None, 1000), (httpx_aiohttp.HttpxAiohttpClient, 1000)],
    ids=["shared", "aiohttp"],
)
def test_many_async_calls(make_client: Callable[[], Any], calls: int) -> None:
    async def main() -> None:
        tasks = asyncio.all_tasks()
        client = make_client()
        model = model_of(
            server, timeout=TIMEOUT, max_retries=2, http_async_client=client
        )
        numbers = iter(range(calls))

        async def work() -> None:
            for i in numbers:
                await ask_async(model, i, tally)

        await asyncio.gather(*(work() for _ in range(CONCURRENT)))
        if client is not None:
            await client.aclose()
        assert asyncio.all_tasks() == tasks

    with PmockServer() as server:
        tally = Tally(server, seed=1)
        asyncio.run(main())
        server.reset()
    tally.check(calls)


def test_many_calls_on_threads() -> None:
    calls = 500
    with ThreadPoolExecutor(25) as executor, PmockServer() as server:
        tally = Tally(server, seed=2)
        model = model_of(server, timeout=TIMEOUT, max_retries=2)
        list(executor.map(lambda i: ask(model, i, tally), range(calls)))
        server.reset()
    tally.check(calls)
