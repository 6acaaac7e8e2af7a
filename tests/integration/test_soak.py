"""Thousands of calls, a third of which meet a fault: right answers or our errors.

Now and then the service's clock jumps, too.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from itertools import count, cycle
from typing import TYPE_CHECKING, Any

import httpx2
import httpx_aiohttp
import pytest

from langchain_pmock import errors
from langchain_pmock.testing import PmockServer
from tests.support.calls import WAYS, Outcome, model_of

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("fast_retries", "nothing_left")

CALLS_PER_CLOCK = 300
CLOCKS = (2 * 3600, -90, 0)
TIMEOUT = httpx2.Timeout(30, read=1.0)
FAULTS: list[dict[str, Any]] = [
    *({"status": status} for status in (400, 401, 429, 500)),
    *({"code": code} for code in (429, 500)),
    *({"cut_after": events} for events in (0, 1, 4)),
    *({"reset_after": events} for events in (0, 1, 4)),
    *({"stall": seconds} for seconds in (0.02, 30.0)),
    {"status": 503, "retry_after": 0},
    {"code": 500, "after": 3},
    *({"status": status, "body": b"<html>"} for status in (200, 502)),
    *({"body": body} for body in (b"", b'{"code": 200, \xff')),
    {"body": b"data: {no JSON\n\n", "content_type": "text/event-stream"},
    {"stall": 30.0, "after": 3},
]


class Tally:
    """Counts how the calls end."""

    def __init__(self, server: PmockServer) -> None:
        self.outcomes: Counter[str] = Counter()
        self._server = server
        self._random = random.Random(1)  # noqa: S311 - the same in each run
        self._calls = count(1)
        self._clocks = cycle(CLOCKS)

    def question(self, i: int) -> str:
        """Inject a fault for one in three of the next requests."""
        if next(self._calls) % CALLS_PER_CLOCK == 0:
            self._server.clock_offset = next(self._clocks)
        if self._random.random() < 1 / 3:
            self._server.fail(**self._random.choice(FAULTS))
        return f"call {i} of many, and each has a text of its own."

    def add(self, i: int, outcome: Outcome) -> None:
        expected = f"You said: call {i} of many, and each has a text of its own."
        if outcome.error is None:
            assert outcome.text == expected
        else:
            assert isinstance(outcome.error, errors.PmockError)
            assert expected.startswith(outcome.text)  # each piece once
        self.outcomes[type(outcome.error).__name__] += 1

    def check(self, calls: int) -> None:
        assert sum(self.outcomes.values()) == calls
        assert self.outcomes.most_common(1)[0][0] == "NoneType"
        assert set(self.outcomes) >= {
            "PmockInvalidRequestError",
            "PmockResponseError",
            "PmockStreamInterruptedError",
            "PmockTimeoutError",
        }


@pytest.mark.parametrize(
    ("make_client", "calls", "workers"),
    [
        (lambda: None, 1000, 100),
        (httpx_aiohttp.HttpxAiohttpClient, 1000, 100),
        (None, 500, 25),
    ],
    ids=["async", "aiohttp", "threads"],
)
def test_many_calls(
    make_client: Callable[[], Any] | None, calls: int, workers: int
) -> None:
    async def main() -> None:
        tasks = asyncio.all_tasks()
        client = make_client() if make_client else None
        model = model_of(
            server, timeout=TIMEOUT, max_retries=2, http_async_client=client
        )
        numbers = iter(range(calls))

        async def work() -> None:
            for i in numbers:
                question, outcome = tally.question(i), Outcome()
                if make_client:
                    await WAYS[2 + i % 2].in_loop(model, question, outcome)
                else:
                    outcome = await asyncio.to_thread(WAYS[i % 2], model, question)
                tally.add(i, outcome)

        await asyncio.gather(*(work() for _ in range(workers)))
        if client is not None:
            await client.aclose()
        assert asyncio.all_tasks() == tasks

    with PmockServer() as server:
        tally = Tally(server)
        asyncio.run(main())
        server.reset()
    tally.check(calls)
