"""Answer prompts on many machines, with a pool of Ray Data actors.

    python examples/ray_batch.py prompts.jsonl answers/ --actors 8 --concurrency 50

The input is JSONL or Parquet with a column `prompt`, a file or the URL of one. The
output is a folder of Parquet files: the same rows, with the columns `answer`, `usage`,
`trace_id` and `error` added. The folder must be new or empty, because Ray would add
files to those of an earlier run. If an actor or its machine fails, another one repeats
its work.

Ray (`pip install "ray[data]"`) runs on the cluster in `RAY_ADDRESS`, or else on this
machine. Each machine of a cluster needs this package. The two keys are read here and
sent with the model. Without arguments, the script creates a file of prompts.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, TextIO

import pyarrow as pa
import pyarrow.dataset as pads
import ray.data
from _service import service
from batch import (
    HOPELESS,
    above_zero,
    at_least_one,
    limits,
    make_up_prompts,
    zero_or_more,
)
from langchain_core.rate_limiters import InMemoryRateLimiter
from pyarrow import fs
from ray.exceptions import RayError

from langchain_pmock import ChatPmock, PmockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROWS_PER_FILE = 10_000


def counts(*names: str) -> pa.StructType:
    """Return a type for counts of tokens; missing ones are null."""
    return pa.struct([(name, pa.int64()) for name in names])


# Explicit types, because a column may have only nulls.
COLUMNS = {
    "answer": pa.string(),
    "usage": pa.struct(
        [
            *counts("input_tokens", "output_tokens", "total_tokens"),
            ("input_token_details", counts("cache_read", "audio", "image")),
            ("output_token_details", counts("reasoning", "audio")),
        ]
    ),
    "trace_id": pa.string(),
    "error": pa.string(),
}


class Answerer:
    """An actor with a model, whose connections stay open between batches."""

    def __init__(
        self,
        concurrency: int,
        limiter: dict[str, float] | None,
        model: ChatPmock,
    ) -> None:
        """Store the model, and add a limiter, which cannot be pickled."""
        self.concurrency = concurrency
        self.model = model
        if limiter:
            self.model.rate_limiter = InMemoryRateLimiter(**limiter)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer the rows of a batch, in the same order."""
        prompts = batch["prompt"].to_pylist()
        replies: Any = iter(
            self.model.batch(
                [prompt for prompt in prompts if isinstance(prompt, str)],
                {"max_concurrency": self.concurrency},
                return_exceptions=True,
            )
        )
        rows = [
            to_row(next(replies))
            if isinstance(prompt, str)
            else {"error": "the prompt is no text"}
            for prompt in prompts
        ]
        for name, kind in COLUMNS.items():
            values = pa.array([row.get(name) for row in rows], kind)
            batch = batch.append_column(name, values)
        return batch


def to_row(reply: Any) -> dict[str, Any]:
    """Convert a reply to a row. The model has retried temporary errors already."""
    if isinstance(reply, PmockError) and not isinstance(reply, HOPELESS):
        return {"error": str(reply)}
    if isinstance(reply, Exception):
        raise reply
    return {
        "answer": reply.text,
        "usage": reply.usage_metadata,
        "trace_id": reply.response_metadata.get("trace_id"),
    }


def is_empty(folder: str) -> bool:
    """Return whether a local or remote folder is new or empty."""
    if "://" in folder:
        system, path = fs.FileSystem.from_uri(folder)
    else:
        system, path = fs.LocalFileSystem(), folder
    return not system.get_file_info(fs.FileSelector(path, allow_not_found=True))


def check_columns(path: str, names: Iterable[str]) -> None:
    """Exit if the input has no prompts, or a column of the output."""
    if "prompt" not in names:
        sys.exit(f"{path} has no column `prompt`.")
    for name in COLUMNS:
        if name in names:
            sys.exit(f"{path} has a column `{name}` already: rename it.")


def report(answers: str) -> None:
    """Print the number of answers and errors."""
    rows = pads.dataset(answers)
    failed = rows.count_rows(filter=pads.field("error").is_valid())
    answered = rows.count_rows() - failed
    print(f"{answered} answered, {failed} failed: see {answers}")
    if not answered:
        sys.exit("Nothing was answered.")


def run(options: argparse.Namespace, pmock: dict[str, Any]) -> None:
    """Read, answer and write concurrently."""
    is_parquet = options.prompts.endswith(".parquet")
    read = ray.data.read_parquet if is_parquet else ray.data.read_json
    prompts = read(options.prompts)
    prompts.context.enable_operator_progress_bars = False
    prompts.context.enable_progress_bars = False
    first = prompts.take(1)
    prompts.context.enable_progress_bars = has_width(sys.stderr)
    if not first:
        print(f"There is no prompt in {options.prompts}")
        return
    check_columns(options.prompts, first[0])
    # A batch waits for its slowest answer, which matters less for large batches.
    batch_size = 4 * options.concurrency
    # Each actor has its own limiter; the rate is for all actors together.
    limiter = limits(options.rate / options.actors) if options.rate else None
    model = ChatPmock(model=options.model, max_retries=options.retries, **pmock)
    answers = (
        # Otherwise all rows of a small file would go to one actor.
        prompts.repartition(target_num_rows_per_block=batch_size).map_batches(
            Answerer,
            fn_constructor_args=(options.concurrency, limiter, model),
            batch_format="pyarrow",
            batch_size=batch_size,
            compute=ray.data.ActorPoolStrategy(size=options.actors),
            num_cpus=0.1,  # Actors mostly wait.
        )
    )
    answers.write_parquet(options.answers, min_rows_per_file=ROWS_PER_FILE)
    report(options.answers)


def has_width(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with a known width."""
    return stream.isatty() and os.get_terminal_size(stream.fileno()).columns > 0


def silence_native_code() -> None:
    """Hide the output of Ray's C++ code, which is also in Ray's log files.

    It reports the start of each actor pool as an error. `RAY_BACKEND_LOG_LEVEL` would
    print another line instead.
    """
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def reason(error: RayError) -> str:
    """Return the first cause in the traceback that is the error's text."""
    cause = re.search(r"^(?:\w+\.)*(\w+: .+)", str(error), re.MULTILINE)
    return cause[1] if cause else str(error)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description="Answer prompts on a Ray cluster.")
    parser.add_argument("prompts", nargs="?", help="JSONL or .parquet, with prompt")
    parser.add_argument("answers", nargs="?", help="new folder or URL, for Parquet")
    parser.add_argument("--model", default="gpt-5.1")
    parser.add_argument("--actors", type=at_least_one, default=2)
    parser.add_argument(
        "--concurrency", type=at_least_one, default=20, help="of each actor"
    )
    parser.add_argument("--rate", type=above_zero, help="most prompts in a second")
    parser.add_argument("--retries", type=zero_or_more, default=5, help="of each")
    options = parser.parse_args(arguments)
    if options.prompts is None:
        prompts, answers = make_up_prompts()
        options.prompts, options.answers = str(prompts), str(answers.with_suffix(""))
    elif options.answers is None:
        parser.error("where should the answers go?")
    return options


def main() -> None:
    """Answer the prompts of the command line."""
    options = parse()
    try:
        if not is_empty(options.answers):
            sys.exit(f"{options.answers} is not empty: take another folder.")
        with service() as pmock:
            # Disables usage reports.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            silence_native_code()
            ray.init(logging_level=logging.ERROR, log_to_driver=False)
            # Errors are reported below.
            logging.getLogger("ray.data").setLevel(logging.CRITICAL)
            run(options, pmock)
    except RayError as error:
        sys.exit(f"Stopped: {reason(error)}")
    except OSError as error:
        sys.exit(f"Stopped: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
