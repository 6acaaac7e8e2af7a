"""Answer a file of prompts, many at a time; stop it and start it as you like.

    python examples/batch.py prompts.jsonl answers.jsonl --concurrency 20

A line of the input is `{"id": "1", "prompt": "..."}`. A line of the output is
`{"id": "1", "answer": "...", "usage": {...}, "trace_id": "..."}`, or
`{"id": "1", "error": "..."}`. Lines come in the order in which answers arrive: the id
tells which belong together.

Each answer is written as soon as it is there. A second run asks only what has no answer
yet, prompts that failed among them: where an id has several lines, the last one counts.
Without arguments, the script makes a file of prompts to show all this.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from _service import service
from langchain_core.rate_limiters import InMemoryRateLimiter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from langchain_pmock import (
    ChatPmock,
    PmockAuthenticationError,
    PmockError,
    PmockPaymentRequiredError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Record = dict[str, Any]


def read_prompts(path: Path) -> Iterator[Record]:
    """Read the prompts, one after another."""
    with path.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines if line.strip())


def read_answered(path: Path) -> set[str]:
    """Find out what has an answer; cut off a line that was only half written."""
    answered = set()
    path.touch()
    with path.open("rb+") as lines:
        whole = 0
        for line in lines:
            if not line.endswith(b"\n"):
                lines.truncate(whole)
                break
            whole += len(line)
            record = json.loads(line)
            if "answer" in record:
                answered.add(record["id"])
    return answered


async def answer(model: ChatPmock, prompt: Record) -> Record:
    """Ask one prompt. The model has made its retries before an error comes here."""
    try:
        message = await model.ainvoke(prompt["prompt"])
    except (PmockAuthenticationError, PmockPaymentRequiredError):
        raise  # It would be the same for all others.
    except PmockError as error:
        return {"id": prompt["id"], "error": str(error)}
    return {
        "id": prompt["id"],
        "answer": message.text,
        "usage": message.usage_metadata,
        "trace_id": message.response_metadata.get("trace_id"),
    }


async def answer_all(
    model: ChatPmock,
    prompts: Iterable[Record],
    concurrency: int,
    write: Callable[[Record], None],
) -> None:
    """Ask all prompts. Only as many as are under way are in memory."""
    rest = iter(prompts)

    async def work() -> None:
        for prompt in rest:
            write(await answer(model, prompt))

    await asyncio.gather(*(work() for _ in range(concurrency)))
