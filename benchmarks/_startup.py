"""What is paid once: imports, and models before their first request."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import _models
from benchmarks._models import MISTRAL, OPENAI, PMOCK
from benchmarks._timing import Cost, cpu, in_turn

if TYPE_CHECKING:
    from benchmarks._timing import Case

BASE = "what it needs"

_PARSERS = "import JsonOutputParser, PydanticOutputParser, openai_tools"
_IMPORTS = {
    BASE: f"""
import langchain_core.language_models.chat_models, httpx
from langchain_core.output_parsers {_PARSERS}
""",
    PMOCK: "import langchain_pmock",
    MISTRAL: "import langchain_mistralai",
    OPENAI: "import langchain_openai",
}

_FIRST = {
    PMOCK: (
        "from langchain_pmock import ChatPmock",
        "ChatPmock(model='gpt-5.1', access_key='ak-bench', secret_key='sk-bench')",
    ),
    MISTRAL: (
        "from langchain_mistralai import ChatMistralAI",
        "ChatMistralAI(model='mistral-large', api_key='bench')",
    ),
    OPENAI: (
        "from langchain_openai import ChatOpenAI",
        "ChatOpenAI(model='gpt-5.1', api_key='bench')",
    ),
}

_URL = "http://127.0.0.1:1"  # nothing is sent
_MODELS = 50  # at least, in a measurement


def imports(rounds: int) -> dict[str, Cost]:
    """Measure imports, each in a fresh process.

    Args:
        rounds: How many rounds to count.

    Returns:
        Milliseconds by contestant. `BASE` is langchain-core's base of a chat model,
        httpx, and the parsers of tool calls and structured output.
    """
    cases = {name: _fresh("", code) for name, code in _IMPORTS.items()}
    return _in_ms(in_turn(cases, rounds))


def first_inits(rounds: int) -> dict[str, Cost]:
    """Measure the first model of a fresh process, after the import.

    Args:
        rounds: How many rounds to count.

    Returns:
        Milliseconds by contestant.
    """
    cases = {name: _fresh(before, code) for name, (before, code) in _FIRST.items()}
    return _in_ms(in_turn(cases, rounds))


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

    return _in_ms(in_turn({name: case(name) for name in _FIRST}, rounds))


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

    return _in_ms(in_turn({name: case(name) for name in _FIRST}, rounds))


def _fresh(before: str, code: str) -> Case:
    """Measure some code in a process of its own."""
    script = (
        f"import time\n{before}\nstart = time.process_time()\n{code}\n"
        "print(time.process_time() - start)"
    )

    def measure() -> float:
        done = subprocess.run(  # noqa: S603 - the code is written above
            [sys.executable, "-W", "ignore", "-c", script],
            cwd=Path(__file__).parents[1],
            check=True,
            stdout=subprocess.PIPE,
        )
        return float(done.stdout)

    return measure


def _in_ms(costs: dict[str, Cost]) -> dict[str, Cost]:
    return {name: cost * 1e3 for name, cost in costs.items()}
