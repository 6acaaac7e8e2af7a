"""What is measured, and what a contestant's process does for it."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
from langchain_core.messages import AIMessage, HumanMessage

from benchmarks import _contestants, _wire
from benchmarks._names import ASYNC, MODELS, PMOCK, SYNC

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    Case = Callable[[], float]
    """Does the work, and returns CPU seconds."""

MANY_TOKENS = 20
"""How many tokens each of many streams at once has."""

_PROMPT = "Tell me a story."
_US = 1e6
_LENGTHS = (10, 100, 2_000, 10_000, 100_000)
_GROWING = (415, 4_150)  # pieces
_PIECES = "{kb:.3g} KB in {size:,} pieces"


JOBS: dict[str, Job] = {}


@dataclass
class Job:
    """Something that is measured. It decorates the function that prepares the work."""

    title: str
    contestants: tuple[str, ...] = SYNC
    sizes: tuple[int, ...] = (1,)
    scale: float = 1e3
    """What makes the title's unit of the seconds, or bytes, that are measured."""

    label: str = "{size:,}"  # a size in words
    is_each: bool = False  # whether the unit is for each token, stream and the like
    is_fresh: bool = False  # whether it needs a new process each time
    rounds: int = 5

    def __call__(self, prepare: Callable[[Bench, int], Case]) -> None:
        """Register the job under the name of its function."""
        self.prepare = prepare
        JOBS[prepare.__name__] = self

    def figure(self, measured: float, size: int) -> float:
        """Return what was measured in the title's unit."""
        return measured * self.scale / (size if self.is_each else 1)


class StoppedError(Exception):
    """Raised if a stream takes too long."""


@dataclass
class Bench:
    """One contestant, in its own process."""

    name: str
    url: str
    enough: float  # CPU seconds that make a measurement
    imported: list[float]  # CPU seconds that the import of each module took
    limit: float  # seconds after which a stream is stopped
    loop: asyncio.AbstractEventLoop

    def model(self, path: str) -> Any:
        """Make a model that gets a certain answer."""
        return _contestants.make(self.name, self.url, path)

    def cpu(self, work: Callable[[], object]) -> float:
        """Measure CPU seconds."""
        start, times = time.process_time(), 0
        while True:
            work()
            times += 1
            if (spent := time.process_time() - start) >= self.enough:
                return spent / times

    def acpu(self, work: Callable[[], Coroutine[Any, Any, object]]) -> float:
        """Async version of `cpu`."""

        async def repeated() -> float:
            start, times = time.process_time(), 0
            while True:
                await work()
                times += 1
                if (spent := time.process_time() - start) >= self.enough:
                    return spent / times

        return self.loop.run_until_complete(repeated())

    def last(self, values: Iterator[Any]) -> Any:
        """Read a stream to its end."""
        start, value = time.perf_counter(), None
        for value in values:  # noqa: B007 - the last is returned
            if time.perf_counter() - start > self.limit:
                raise StoppedError
        return value

    def sent(self) -> int:
        """Ask the server for the number of bytes of the last request's body."""
        return int(httpx2.get(f"{self.url}/sent").text)


@Job("stream, µs a token", SYNC, _LENGTHS, _US, is_each=True)
def stream(bench: Bench, tokens: int) -> Case:
    model = bench.model(f"text/{tokens}")
    texts = [chunk.text for chunk in model.stream(_PROMPT) if chunk.text]
    _check(texts == _wire.pieces("text", tokens), "text")
    return lambda: bench.cpu(lambda: bench.last(model.stream(_PROMPT)))


@Job("async stream, µs a token", ASYNC, (2_000,), _US, is_each=True)
def astream(bench: Bench, tokens: int) -> Case:
    model = bench.model(f"text/{tokens}")

    async def work() -> None:
        async for _ in model.astream(_PROMPT):
            pass

    return lambda: bench.acpu(work)


@Job("stream of JSON as text, ms", sizes=(*_GROWING, 41_500), label=_PIECES, rounds=2)
def plain(bench: Bench, pieces: int) -> Case:
    model = bench.model(f"typed/{pieces}")
    return lambda: bench.cpu(lambda: bench.last(model.stream(_PROMPT)))


@Job("typed stream, ms", sizes=(*_GROWING, 41_500), label=_PIECES, rounds=2)
def typed(bench: Bench, pieces: int) -> Case:
    model = bench.model(f"typed/{pieces}")
    model = model.with_structured_output(_wire.SCHEMA, method="json_schema")
    expected = json.loads(_wire.document(pieces))

    def work() -> None:
        _check(bench.last(model.stream(_PROMPT)) == expected, "value")

    return lambda: bench.cpu(work)


@Job("tool call, µs a delta", sizes=_GROWING, scale=_US, label=_PIECES, is_each=True)
def tools(bench: Bench, pieces: int) -> Case:
    model = bench.model(f"tool/{pieces}")
    chunks = list(model.stream(_PROMPT))
    args = [call["args"] for chunk in chunks for call in chunk.tool_call_chunks]
    _check([arg for arg in args if arg] == _wire.pieces("tool", pieces), "arguments")
    return lambda: bench.cpu(lambda: bench.last(model.stream(_PROMPT)))


@Job("invoke, ms")
def invoke(bench: Bench, _: int) -> Case:
    model = bench.model("whole/0")
    return lambda: bench.cpu(lambda: model.invoke(_PROMPT))


@Job("ainvoke, ms", ASYNC)
def ainvoke(bench: Bench, _: int) -> Case:
    model = bench.model("whole/0")
    return lambda: bench.acpu(lambda: model.ainvoke(_PROMPT))


@Job("image in the request, ms", sizes=(4, 16), label="{size} MB of base64")
def images(bench: Bench, megabytes: int) -> Case:
    data = random.Random(0).randbytes(megabytes * 750_000)  # noqa: S311 - no secret
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    image = {"type": "image_url", "image_url": {"url": url}}
    return _sending(bench, bench.model("whole/0"), [HumanMessage([image])], len(url))


@Job("history, ms", sizes=(100, 2_000), label="{size:,} messages")
def history(bench: Bench, messages: int) -> Case:
    turn = [HumanMessage("What comes next?"), AIMessage("The next thing, I think.")]
    sent = [*turn * (messages // 2), HumanMessage(_PROMPT)]
    return _sending(bench, bench.model("whole/0"), sent, 40 * messages)


def _sending(bench: Bench, model: Any, messages: Any, at_least: int) -> Case:
    model.invoke(messages)
    _check(bench.sent() >= at_least, "request")
    return lambda: bench.cpu(lambda: model.invoke(messages))


_AT_ONCE = (1, 10, 50, 100, 500, 1_000, 2_000)


@Job("async streams at once, ms each", ASYNC, _AT_ONCE, is_each=True, rounds=2)
def many(bench: Bench, streams: int) -> Case:
    work = _together(bench, streams)
    bench.loop.run_until_complete(work())  # opens what is kept open
    return lambda: bench.acpu(work)


def _together(bench: Bench, streams: int) -> Callable[[], Coroutine[Any, Any, None]]:
    model = bench.model(f"together/{MANY_TOKENS}")

    async def count() -> int:
        return sum([bool(chunk.text) async for chunk in model.astream(_PROMPT)])

    async def work() -> None:
        counts = await asyncio.gather(*(count() for _ in range(streams)))
        _check(set(counts) == {MANY_TOKENS}, "streams")

    return work


@Job("import, ms", SYNC, rounds=3, is_fresh=True)
def imports(bench: Bench, _: int) -> Case:
    return lambda: sum(bench.imported)


@Job("import after langchain-core and httpx2, ms", (PMOCK,), rounds=3, is_fresh=True)
def imported_last(bench: Bench, _: int) -> Case:
    return lambda: bench.imported[-1]


@Job("init, ms", MODELS)
def init(bench: Bench, _: int) -> Case:
    return lambda: bench.cpu(lambda: bench.model("same/0"))


def _check(is_whole: bool, what: str) -> None:  # noqa: FBT001 - as assert
    if not is_whole:
        msg = f"The {what} did not arrive as it was sent."
        raise RuntimeError(msg)
