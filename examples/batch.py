"""Answer a file of prompts, many at a time; stop it and start it again as you like.

    python examples/batch.py prompts.jsonl answers.jsonl --concurrency 20

A line of the input is `{"id": "1", "prompt": "..."}`. A line of the output is
`{"id": "1", "answer": "...", "usage": {...}, "trace_id": "..."}`, or
`{"id": "1", "error": "..."}`. Lines come in the order in which answers arrive: the id
tells which belong together.

Each answer is written as soon as it is there. The next run asks only what has no answer
yet; that includes prompts that failed. Where an id has several lines, the last one
counts. Without arguments, the script makes up a file of prompts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Iterable, Iterator, Sequence

# All prompts would fail in the same way.
HOPELESS = (PmockAuthenticationError, PmockPaymentRequiredError)


def read_prompts(path: Path) -> Iterator[dict[str, str]]:
    """Read the prompts, one after another."""
    line = ""
    try:
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line)
                yield {"id": record["id"], "prompt": record["prompt"]}
    except (KeyError, TypeError, ValueError) as error:
        sys.exit(f"{path} has a line without id and prompt: {line!r} ({error!r})")


def read_answered(path: Path) -> set[str]:
    """Find out what has an answer; cut off a last line that is only half written."""
    answered = set()
    path.touch()
    with path.open("rb+") as lines:
        end = 0
        for line in lines:
            if not line.endswith(b"\n"):
                lines.truncate(end)
                break
            end += len(line)
            record = json.loads(line)
            if "answer" in record:
                answered.add(record["id"])
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
    answered = read_answered(answers)
    count = sum(prompt["id"] not in answered for prompt in read_prompts(prompts))
    print(f"{len(answered)} prompts are answered already, {count} are to be asked.")
    todo = (p for p in read_prompts(prompts) if p["id"] not in answered)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    counts: Counter[str] = Counter()
    with answers.open("a", encoding="utf-8") as file, Progress(*columns) as progress:
        task = progress.add_task("", total=count)

        def write(record: dict[str, Any]) -> None:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
            file.flush()
            counts["failed" if "error" in record else "answered"] += 1
            progress.advance(task)

        asyncio.run(answer_all(model, todo, write, concurrency))
    print(f"{counts['answered']} answered, {counts['failed']} failed: see {answers}")


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


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Answer a file of prompts.")
    parser.add_argument("prompts", nargs="?", type=Path, help="JSONL: id and prompt")
    parser.add_argument("answers", nargs="?", type=Path, help="JSONL, is added to")
    parser.add_argument("--model", default="gpt-5.1")
    parser.add_argument("--concurrency", type=int, default=20, metavar="REQUESTS")
    parser.add_argument("--rate", type=float, help="most requests in a second")
    parser.add_argument("--retries", type=int, default=5, help="of each request")
    options = parser.parse_args(arguments)
    if options.prompts is None:
        options.prompts, options.answers = make_up_prompts()
    elif options.answers is None:
        parser.error("where should the answers go?")
    return options


def main() -> None:
    """Answer the prompts of the command line."""
    options = parse()
    limiter = None
    if options.rate:
        limiter = InMemoryRateLimiter(
            requests_per_second=options.rate,
            # With LangChain's defaults, no more than some 20 a second are reached.
            max_bucket_size=max(1, options.rate),
            check_every_n_seconds=0.01,
        )
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
        except PmockError as error:
            sys.exit(f"Stopped: {error}")


if __name__ == "__main__":
    main()
