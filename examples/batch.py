"""Answer a file of prompts concurrently; can be interrupted and resumed.

    python examples/batch.py prompts.jsonl answers.jsonl --concurrency 20

A line of the input is `{"id": "1", "prompt": "..."}`. The id is a string or an integer,
and unique. All lines are checked first. A line of the output is
`{"id": "1", "answer": "...", "usage": {...}, "trace_id": "..."}`, or
`{"id": "1", "error": "..."}`. The lines are in the order in which answers arrive.

Each answer is written as soon as it arrives. The next run sends the prompts without an
answer, including those that failed. If an id has several lines, the last one counts.
The exit status is 1 if the run stopped early, or if all prompts failed. Without
arguments, the script creates a file of prompts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from _service import service
from langchain_core.rate_limiters import InMemoryRateLimiter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from langchain_pmock import (
    ChatPmock,
    PmockAuthenticationError,
    PmockError,
    PmockNotFoundError,
    PmockPermissionDeniedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Errors that every prompt would have: wrong keys, no credit, an unknown model.
HOPELESS = (PmockAuthenticationError, PmockPermissionDeniedError, PmockNotFoundError)
ID_TYPES = (str, int)
OUTCOMES = {"answer", "error"}


def refuse(path: Path, number: int, line: bytes, why: str) -> NoReturn:
    """Exit with an error about a line."""
    shown = line.decode(errors="replace").strip()
    sys.exit(f"{path}, line {number}: {why}: {shown:.200}")


def parse_line(line: bytes) -> dict[str, Any]:
    """Parse a JSON object; return an empty one for other lines."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def read_prompts(path: Path) -> Iterator[dict[str, Any]]:
    """Read the prompts, one after another; refuse a line that is none."""
    seen = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            prompt = parse_line(line)
            if not prompt.keys() >= {"id", "prompt"}:
                refuse(path, number, line, "no JSON object with id and prompt")
            if type(prompt["id"]) not in ID_TYPES:
                refuse(path, number, line, "the id is no text and no whole number")
            if not isinstance(prompt["prompt"], str):
                refuse(path, number, line, "the prompt is no text")
            if prompt["id"] in seen:
                refuse(path, number, line, "an earlier line has this id")
            seen.add(prompt["id"])
            yield prompt


def read_answered(path: Path) -> set[str | int]:
    """Return the ids with an answer, and remove an incomplete last line."""
    answered: set[str | int] = set()
    if not path.exists():
        return answered
    with path.open("rb+") as file:
        end, line = 0, b"\n"
        for number, line in enumerate(file, 1):
            record = parse_line(line)
            if not record and not line.endswith(b"\n"):
                # The last run was interrupted while writing it.
                file.truncate(end)
                return answered
            if type(record.get("id")) not in ID_TYPES or not record.keys() & OUTCOMES:
                refuse(path, number, line, "no answer and no error of a prompt")
            if "answer" in record:
                answered.add(record["id"])
            end += len(line)
        if not line.endswith(b"\n"):
            file.write(b"\n")
    return answered


async def answer(model: ChatPmock, prompt: dict[str, str]) -> dict[str, Any]:
    """Answer one prompt. The model has retried temporary errors already."""
    try:
        message = await model.ainvoke(prompt["prompt"])
    except HOPELESS:
        raise
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
    prompts: Iterable[dict[str, str]],
    write: Callable[[dict[str, Any]], None],
    concurrency: int,
) -> None:
    """Answer prompts with several workers, reading them one by one."""
    waiting = iter(prompts)

    async def work() -> None:
        for prompt in waiting:
            write(await answer(model, prompt))

    await asyncio.gather(*(work() for _ in range(concurrency)))


def run(model: ChatPmock, prompts: Path, answers: Path, concurrency: int) -> None:
    """Answer the prompts without an answer, and show the progress."""
    ids = {prompt["id"] for prompt in read_prompts(prompts)}
    answered = read_answered(answers)
    count = len(ids - answered)
    print(f"{len(ids) - count} prompts are answered already, {count} are to be asked.")
    unanswered = (p for p in read_prompts(prompts) if p["id"] not in answered)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    counts: Counter[str] = Counter()
    with answers.open("a", encoding="utf-8") as file, Progress(*columns) as progress:
        task = progress.add_task("", total=count)

        def write(record: dict[str, Any]) -> None:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            counts["failed" if "error" in record else "answered"] += 1
            progress.advance(task)

        asyncio.run(answer_all(model, unanswered, write, concurrency))
    print(f"{counts['answered']} answered, {counts['failed']} failed: see {answers}")
    if count and not counts["answered"]:
        sys.exit("Nothing was answered.")


def make_up_prompts() -> tuple[Path, Path]:
    """Create a file of prompts in a new folder."""
    folder = Path(tempfile.mkdtemp(prefix="pmock-batch-"))
    prompts = [
        {"id": str(number), "prompt": f"What is {number} times {number}?"}
        for number in range(1, 101)
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return path, folder / "answers.jsonl"


def at_least_one(text: str) -> int:
    """Parse an integer of at least 1."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def zero_or_more(text: str) -> int:
    """Parse an integer of at least 0."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def above_zero(text: str) -> float:
    """Parse a number greater than 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise ValueError(text)
    return number


def limits(rate: float) -> dict[str, float]:
    """Return the arguments of `InMemoryRateLimiter` for prompts per second."""
    return {
        "requests_per_second": rate,
        # LangChain's defaults allow at most about 20 per second.
        "max_bucket_size": max(1, rate),
        "check_every_n_seconds": 0.01,
    }


def is_same_file(one: Path, other: Path) -> bool:
    """Return whether two paths are the same file."""
    return one.exists() and other.exists() and one.samefile(other)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Answer a file of prompts.")
    parser.add_argument("prompts", nargs="?", type=Path, help="JSONL: id and prompt")
    parser.add_argument("answers", nargs="?", type=Path, help="JSONL, is added to")
    parser.add_argument("--model", default="gpt-5.1")
    parser.add_argument("--concurrency", type=at_least_one, default=20)
    parser.add_argument("--rate", type=above_zero, help="most prompts in a second")
    parser.add_argument("--retries", type=zero_or_more, default=5, help="of each")
    options = parser.parse_args(arguments)
    if options.prompts is None:
        options.prompts, options.answers = make_up_prompts()
    elif options.answers is None:
        parser.error("where should the answers go?")
    elif is_same_file(options.prompts, options.answers):
        parser.error("prompts and answers are the same file")
    return options


def main() -> None:
    """Answer the prompts of the command line."""
    options = parse()
    limiter = InMemoryRateLimiter(**limits(options.rate)) if options.rate else None
    with service() as pmock:
        model = ChatPmock(
            model=options.model,
            max_retries=options.retries,
            rate_limiter=limiter,
            **pmock,
        )
        try:
            run(model, options.prompts, options.answers, options.concurrency)
        except KeyboardInterrupt:
            sys.exit("Interrupted. The same command goes on from here.")
        except OSError as error:
            sys.exit(f"Stopped: {error}")


if __name__ == "__main__":
    main()
