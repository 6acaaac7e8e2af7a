"""What is paid once: imports, and models before their first request."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _models
from benchmarks._models import MISTRAL, OPENAI, PMOCK
from benchmarks._timing import Cost, cpu, in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks._timing import Case

BASE = "what it needs"

_BASE = """
import langchain_core.language_models.chat_models, httpx
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers import openai_tools
"""
_FRESH = {
    BASE: (_BASE, ""),
    PMOCK: (
        "import langchain_pmock",
        "langchain_pmock.ChatPmock(model='gpt-5.1', access_key='ak', secret_key='sk')",
    ),
    MISTRAL: (
        "import langchain_mistralai",
        "langchain_mistralai.ChatMistralAI(model='mistral-large', api_key='key')",
    ),
    OPENAI: (
        "import langchain_openai",
        "langchain_openai.ChatOpenAI(model='gpt-5.1', api_key='key')",
    ),
}
"""What to import, and how to make the first model."""

NAMES = (PMOCK, MISTRAL, OPENAI)
"""Whose models are made here."""

_URL = "http://127.0.0.1:1"  # nothing is sent
_MODELS = 50  # at least, in a measurement


def imports_and_first_inits(
    names: Sequence[str], rounds: int
) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """Measure the import, and then the first model, in fresh processes.

    Args:
        names: The contestants; `BASE` among them.
        rounds: How many rounds to count.

    Returns:
        Milliseconds of each by contestant. `BASE` is langchain-core's base of a chat
        model, httpx, and the parsers of tool calls and structured output.
    """
    first_inits: dict[str, list[float]] = {name: [] for name in names}

    def case(name: str) -> Case:
        def measure() -> float:
            imported, made = _fresh(*_FRESH[name])
            first_inits[name].append(made)
            return imported

        return measure

    imports = in_turn({name: case(name) for name in names}, rounds)
    del first_inits[BASE]
    # The first round is there to warm up.
    warm = {name: all_[-max(1, rounds) :] for name, all_ in first_inits.items()}
    return _in_ms(imports), _in_ms({name: Cost.of(all_) for name, all_ in warm.items()})


def further_inits(rounds: int) -> dict[str, Cost]:
    """Measure each further model with the same base URL.

    Args:
        rounds: How many rounds to count.

    Returns:
        Milliseconds by contestant.
    """

    def case(name: str) -> Case:
        make = _models.CONTESTANTS[name]
        return lambda: cpu(lambda: make(_URL, "same"), _MODELS)

    return _in_ms(in_turn({name: case(name) for name in NAMES}, rounds))


def new_url_inits(rounds: int) -> dict[str, Cost]:
    """Measure each further model with a base URL that no model had before.

    Args:
        rounds: How many rounds to count.

    Returns:
        Milliseconds by contestant.
    """
    numbers = itertools.count()

    def case(name: str) -> Case:
        make = _models.CONTESTANTS[name]
        return lambda: cpu(lambda: make(_URL, f"new-{next(numbers)}"))

    return _in_ms(in_turn({name: case(name) for name in NAMES}, rounds))


def _fresh(*steps: str) -> tuple[float, ...]:
    """Measure some steps in a process of its own."""
    script = "import time\ntimes = [time.process_time()]\n"
    for step in steps:
        script += f"{step}\ntimes.append(time.process_time())\n"
    script += "print(*times)"
    done = subprocess.run(  # noqa: S603 - the steps are written above
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=Path(__file__).parents[1],
        # What is installed is compiled already; so is ours, from the second round on.
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},
        check=True,
        stdout=subprocess.PIPE,
    )
    times = [float(text) for text in done.stdout.split()]
    return tuple(end - start for start, end in itertools.pairwise(times))


def _in_ms(costs: dict[str, Cost]) -> dict[str, Cost]:
    return {name: cost * 1e3 for name, cost in costs.items()}
