"""Streams, tool calls and single answers: what each costs, and how it grows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import _models, _wire
from benchmarks._models import AIOHTTP, OPENAI, PMOCK
from benchmarks._timing import Cost, Loop, cpu, in_turn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from langchain_core.language_models import BaseChatModel

    from benchmarks._timing import Case

FLOOR = "floor"
MADE_BEFORE = "floor, chunks made before"
JOINED = "floor, joined"
CORE = "langchain-core alone"
CORE_MADE = "langchain-core alone, chunks made before"
HTTP = "httpx alone"

_AT_LEAST = 1_000  # tokens in a measurement: less is too short to be measured

# The extra `aiohttp` only makes a difference to async calls.
_SYNC = {n: make for n, make in _models.CONTESTANTS.items() if n != _models.AIOHTTP}


def streams(url: str, tokens: int, rounds: int) -> dict[str, Cost]:
    """Measure streams of text.

    Args:
        url: The server's URL.
        tokens: How many tokens a stream has.
        rounds: How many rounds to count.

    Returns:
        Microseconds a token, by contestant.
    """
    path = f"text/{tokens}"
    deltas = _wire.deltas("text", tokens)
    http = _models.HttpAlone(url, path)
    core = _models.CoreAlone(deltas=deltas)
    joined = _models.Joined(deltas=deltas, http=http)
    made_before = _models.CoreOverMade(deltas=deltas)
    times = -(-_AT_LEAST // tokens)

    def core_made() -> float:
        made_before.make()
        return cpu(lambda: _drain(made_before.stream(_models.PROMPT)))

    cases: dict[str, Case] = {
        CORE: _streaming(core, times),
        CORE_MADE: core_made,
        HTTP: lambda: cpu(lambda: _drain(http.events()), times),
        JOINED: _streaming(joined, times),
    }
    for name, make in _SYNC.items():
        model = make(url, path)
        _check_text(model, deltas)
        cases[name] = _streaming(model, times)
    return _with_floor(_per_token(in_turn(cases, rounds), tokens))


def async_streams(url: str, tokens: int, rounds: int) -> dict[str, Cost]:
    """Do as `streams`, with `astream`."""
    path = f"text/{tokens}"
    deltas = _wire.deltas("text", tokens)
    http = _models.HttpAlone(url, path)
    core = _models.CoreAlone(deltas=deltas)
    joined = _models.Joined(deltas=deltas, http=http)
    loop, aiohttp = Loop(), Loop(aiohttp=True)

    made_before = _models.CoreOverMade(deltas=deltas)

    def core_made() -> float:
        made_before.make()
        return loop.cpu(lambda: _adrain(made_before.astream(_models.PROMPT)))

    cases: dict[str, Case] = {
        CORE: _astreaming(core, loop),
        CORE_MADE: core_made,
        HTTP: lambda: loop.cpu(lambda: _adrain(http.aevents())),
        JOINED: _astreaming(joined, loop),
    }
    for name, make in _models.CONTESTANTS.items():
        own_loop = aiohttp if name == AIOHTTP else loop
        cases[name] = _astreaming(make(url, path), own_loop)
    costs = in_turn(cases, rounds)
    loop.run(http.async_client.aclose)
    loop.close()
    aiohttp.close()
    return _with_floor(_per_token(costs, tokens))


def tool_calls(url: str, tokens: int, rounds: int) -> dict[str, Cost]:
    """Measure the stream of one tool call.

    langchain-mistralai is left out: it drops each delta that names no function.

    Args:
        url: The server's URL.
        tokens: How many deltas bring the arguments.
        rounds: How many rounds to count.

    Returns:
        Microseconds a delta, by contestant.
    """
    path = f"tool/{tokens}"
    deltas = _wire.deltas("tool", tokens)
    http = _models.HttpAlone(url, path)
    core = _models.CoreAlone(deltas=deltas, is_tool_call=True)
    joined = _models.Joined(deltas=deltas, is_tool_call=True, http=http)
    cases: dict[str, Case] = {
        CORE: _streaming(core),
        HTTP: lambda: cpu(lambda: _drain(http.events())),
        JOINED: _streaming(joined),
    }
    for name in (PMOCK, OPENAI):
        model = _SYNC[name](url, path)
        _check_tool_call(model, deltas)
        cases[name] = _streaming(model)
    return _with_floor(_per_token(in_turn(cases, rounds), len(deltas)))


def invokes(url: str, times: int, rounds: int) -> dict[str, Cost]:
    """Measure answers that are not streamed.

    The floor's two parts are also measured in turn, as here they are in every call:
    after each wait for the network the processor's caches are cold for either.

    Args:
        url: The server's URL.
        times: How many calls to make in a round.
        rounds: How many rounds to count.

    Returns:
        Milliseconds a call, by contestant.
    """
    http = _models.HttpAlone(url, "whole/0")
    core = _models.CoreAlone()

    def both() -> None:
        core.invoke(_models.PROMPT)
        http.post()

    cases: dict[str, Case] = {
        CORE: _invoking(core, times),
        HTTP: lambda: cpu(http.post, times),
        FLOOR: lambda: cpu(both, times),
    }
    for name, make in _SYNC.items():
        cases[name] = _invoking(make(url, "whole/0"), times)
    return _in_ms(in_turn(cases, rounds))


def ainvokes(url: str, times: int, rounds: int) -> dict[str, Cost]:
    """Do as `invokes`, with `ainvoke`."""
    http = _models.HttpAlone(url, "whole/0")
    core = _models.CoreAlone()
    loop, aiohttp = Loop(), Loop(aiohttp=True)

    async def both() -> None:
        await core.ainvoke(_models.PROMPT)
        await http.apost()

    cases: dict[str, Case] = {
        CORE: _ainvoking(core, loop, times),
        HTTP: lambda: loop.cpu(http.apost, times),
        FLOOR: lambda: loop.cpu(both, times),
    }
    for name, make in _models.CONTESTANTS.items():
        own_loop = aiohttp if name == AIOHTTP else loop
        cases[name] = _ainvoking(make(url, "whole/0"), own_loop, times)
    costs = in_turn(cases, rounds)
    loop.run(http.async_client.aclose)
    loop.close()
    aiohttp.close()
    return _in_ms(costs)


def growth(url: str, sizes: Sequence[int], rounds: int) -> dict[str, dict[int, Cost]]:
    """Measure streams of different lengths.

    Args:
        url: The server's URL.
        sizes: How many tokens a stream has.
        rounds: How many rounds to count.

    Returns:
        Microseconds a token, by contestant and number of tokens.
    """
    grown: dict[str, dict[int, Cost]] = {}
    for tokens in sizes:
        for name, cost in streams(url, tokens, rounds).items():
            grown.setdefault(name, {})[tokens] = cost
    return grown


def _streaming(model: BaseChatModel, times: int = 1) -> Case:
    return lambda: cpu(lambda: _drain(model.stream(_models.PROMPT)), times)


def _astreaming(model: BaseChatModel, loop: Loop) -> Case:
    return lambda: loop.cpu(lambda: _adrain(model.astream(_models.PROMPT)))


def _invoking(model: BaseChatModel, times: int) -> Case:
    return lambda: cpu(lambda: model.invoke(_models.PROMPT), times)


def _ainvoking(model: BaseChatModel, loop: Loop, times: int) -> Case:
    return lambda: loop.cpu(lambda: model.ainvoke(_models.PROMPT), times)


def _drain(chunks: Iterator[Any]) -> None:
    for _ in chunks:
        pass


async def _adrain(chunks: AsyncIterator[Any]) -> None:
    async for _ in chunks:
        pass


def _check_text(model: BaseChatModel, deltas: list[str]) -> None:
    """Make sure that what is measured is the whole answer."""
    said = [chunk.text for chunk in model.stream(_models.PROMPT) if chunk.text]
    if said != deltas:
        msg = f"{type(model).__name__} gave {len(said)} of {len(deltas)} tokens."
        raise RuntimeError(msg)


def _check_tool_call(model: BaseChatModel, deltas: list[str]) -> None:
    said = [
        call["args"]
        for chunk in model.stream(_models.PROMPT)
        for call in chunk.tool_call_chunks
        if call["args"]
    ]
    if said != deltas:
        msg = f"{type(model).__name__} gave {len(said)} of {len(deltas)} deltas."
        raise RuntimeError(msg)


def _with_floor(costs: dict[str, Cost]) -> dict[str, Cost]:
    floor = {FLOOR: costs[CORE] + costs[HTTP]}
    if CORE_MADE in costs:
        floor[MADE_BEFORE] = costs[CORE_MADE] + costs[HTTP]
    return {**floor, **costs}


def _per_token(costs: dict[str, Cost], tokens: int) -> dict[str, Cost]:
    return {name: cost * (1e6 / tokens) for name, cost in costs.items()}


def _in_ms(costs: dict[str, Cost]) -> dict[str, Cost]:
    return {name: cost * 1e3 for name, cost in costs.items()}
