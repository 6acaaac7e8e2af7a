"""Memory: of one more model, and of a stream without end."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from langchain_core.messages import HumanMessage

from benchmarks import _models, _wire

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

_MODELS = 20
_SETTLED = 100  # tokens after which a stream needs no more memory


@dataclass(frozen=True)
class Memory:
    """What was measured with tracemalloc, in bytes."""

    model: float
    """One more `ChatPmock`, with a call made."""

    tokens: int
    """How many tokens the long stream had."""

    growth: int
    """What the long stream's client grew by, without langchain-core's loop over it."""

    kept: float
    """What `ChatPmock.stream` holds for each token: langchain-core keeps each chunk."""

    kept_by_floor: float
    """The same, for langchain-core's loop over chunks as they are made."""


def memory(url: str, tokens: int, long: int) -> Memory:
    """Measure memory.

    Args:
        url: The server's URL.
        tokens: How many tokens a stream has.
        long: How many tokens the long stream has.

    Returns:
        What was measured.
    """
    core = _models.CoreAlone(deltas=_wire.deltas("text", tokens))
    tracemalloc.start()
    try:
        return Memory(
            model=_one_more(url),
            tokens=long,
            growth=_growth(url, long),
            kept=_kept(_models.pmock(url, f"text/{tokens}"), tokens),
            kept_by_floor=_kept(core, tokens),
        )
    finally:
        tracemalloc.stop()


def _one_more(url: str) -> float:
    def used() -> BaseChatModel:
        model = _models.pmock(url, "whole/0")
        model.invoke(_models.PROMPT)
        return model

    kept = [used()]  # what is only made once does not count
    before = _traced()
    kept += [used() for _ in range(_MODELS)]
    return (_traced() - before) / _MODELS


def _growth(url: str, tokens: int) -> int:
    model = _models.pmock(url, f"text/{tokens}")
    chunks = model._stream([HumanMessage(_models.PROMPT)])  # noqa: SLF001 - see `growth`
    for _ in range(_SETTLED):
        next(chunks)
    before = _traced()
    for _ in range(tokens - _SETTLED):
        next(chunks)
    return _traced() - before


def _kept(model: BaseChatModel, tokens: int) -> float:
    chunks = model.stream(_models.PROMPT)
    next(chunks)
    before = _traced()
    for _ in range(tokens - 1):
        next(chunks)
    return (_traced() - before) / (tokens - 1)


def _traced() -> int:
    gc.collect()
    used, _ = tracemalloc.get_traced_memory()
    return used
