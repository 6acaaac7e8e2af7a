"""Answer a file of prompts, many at a time; stop it and start it again as you like.

    python examples/batch.py prompts.jsonl answers.jsonl --concurrency 20

A line of the input is `{"id": "1", "prompt": "..."}`, with a text or a whole number as
its id, which no other line has. All lines are checked first. A line of the output is
`{"id": "1", "answer": "...", "usage": {...}, "trace_id": "..."}`, or
`{"id": "1", "error": "..."}`. Lines come in the order in which answers arrive: the id
tells which belong together.

Each answer is written as soon as it is there. The next run asks only what has no answer
yet; that includes prompts that failed. Where an id has several lines, the last one
counts. The exit status is 1 if the run stopped early, or if all that it asked failed.
Without arguments, the script makes up a file of prompts.
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

# All prompts would fail in the same way: wrong keys, no credit, no such model.
HOPELESS = (PmockAuthenticationError, PmockPermissionDeniedError, PmockNotFoundError)
ID_TYPES = (str, int)
OUTCOMES = {"answer", "error"}


def refuse(path: Path, number: int, line: bytes, why: str) -> NoReturn:
    """End the script, and say which line is the reason."""
    shown = line.decode(errors="replace").strip()
    sys.exit(f"{path}, line {number}: {why}: {shown:.200}")


def parse_line(line: bytes) -> dict[str, Any]:
    """Parse a JSON object; a line that holds none gives an empty one."""
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
    """Find out what has an answer, and leave the file with whole lines only."""
    answered: set[str | int] = set()
    if not path.exists():
        return answered
    with path.open("rb+") as file:
        end, line = 0, b"\n"
        for number, line in enumerate(file, 1):
            record = parse_line(line)
            if not record and not line.endswith(b"\n"):
                # Somebody pulled the plug while it was being written.
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
    """Ask one prompt. An error that comes here is one that retries did not help."""
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
    """Let some workers take one prompt after another; the file may be of any size."""
    waiting = iter(prompts)

    async def work() -> None:
        for prompt in waiting:
            write(await answer(model, prompt))

    await asyncio.gather(*(work() for _ in range(concurrency)))


def run(model: ChatPmock, prompts: Path, answers: Path, concurrency: int) -> None:
    """Answer what has no answer yet, and show how far it got."""
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
    """Make a file of prompts in a new folder, for a first try."""
    folder = Path(tempfile.mkdtemp(prefix="pmock-batch-"))
    prompts = [
        {"id": str(number), "prompt": f"What is {number} times {number}?"}
        for number in range(1, 101)
    ]
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps(prompt) + "\n" for prompt in prompts))
    return path, folder / "answers.jsonl"


def at_least_one(text: str) -> int:
    """Check an argument that is a whole number, 1 or more."""
    if (number := int(text)) < 1:
        raise ValueError(text)
    return number


def zero_or_more(text: str) -> int:
    """Check an argument that is a whole number, 0 or more."""
    if (number := int(text)) < 0:
        raise ValueError(text)
    return number


def above_zero(text: str) -> float:
    """Check an argument that is a number above 0."""
    if not 0 < (number := float(text)) < math.inf:
        raise ValueError(text)
    return number


def limits(rate: float) -> dict[str, float]:
    """Tell `InMemoryRateLimiter` to let through so many prompts a second."""
    return {
        "requests_per_second": rate,
        # With LangChain's defaults, no more than some 20 a second are reached.
        "max_bucket_size": max(1, rate),
        "check_every_n_seconds": 0.01,
    }


def is_same_file(one: Path, other: Path) -> bool:
    """Find out whether two paths lead to the same file."""
    return one.exists() and other.exists() and one.samefile(other)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
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
