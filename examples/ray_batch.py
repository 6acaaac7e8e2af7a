"""Answer prompts on many machines, with Ray Data: a pool of actors, a model in each.

    python examples/ray_batch.py prompts.jsonl answers/ --actors 8 --concurrency 50

The input is JSONL or Parquet with a column `prompt`, a file or the URL of one. The
output is a folder of Parquet files: the same rows, with the columns `answer` and
`error` added. If an actor dies, or its machine, another one takes over what it was at.

Ray (`pip install "ray[data]"`) runs on the cluster that `RAY_ADDRESS` names, or else on
this machine. Each machine of a cluster needs this package, and the two keys in its
environment. Without arguments, the script makes up a file of prompts.
"""

from __future__ import annotations

import argparse
import logging
import os
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as pads
import ray
from _service import service
from batch import HOPELESS, make_up_prompts

from langchain_pmock import ChatPmock, PmockError

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_PER_FILE = 10_000


class Answerer:
    """What an actor holds: a model, whose connections stay open between batches."""

    def __init__(self, concurrency: int, fields: dict[str, Any]) -> None:
        """Make the model, on the machine that uses it."""
        self.model = ChatPmock(**fields)
        self.concurrency = concurrency

    def __call__(self, batch: pa.Table) -> pa.Table:
        """Answer a batch. An error in it is one that retries did not help."""
        replies: list[Any] = self.model.batch(
            batch["prompt"].to_pylist(),
            {"max_concurrency": self.concurrency},
            return_exceptions=True,
        )
        answers: list[str | None] = []
        errors: list[str | None] = []
        for reply in replies:
            if isinstance(reply, PmockError) and not isinstance(reply, HOPELESS):
                answers.append(None)
                errors.append(str(reply))
            elif isinstance(reply, Exception):
                raise reply
            else:
                answers.append(reply.text)
                errors.append(None)
        # Named types, for a column may hold nothing but nulls.
        return batch.append_column(
            "answer", pa.array(answers, pa.string())
        ).append_column("error", pa.array(errors, pa.string()))


def run(options: argparse.Namespace, pmock: dict[str, Any]) -> None:
    """Read, answer and write, all three at once."""
    is_parquet = options.prompts.endswith(".parquet")
    read = ray.data.read_parquet if is_parquet else ray.data.read_json
    # One slow answer holds up a batch: the longer the batch, the less that matters.
    batch_size = 4 * options.concurrency
    fields = {"model": options.model, "max_retries": options.retries, **pmock}
    answers = (
        read(options.prompts)
        # Else all of a small file would go to the same actor.
        .repartition(target_num_rows_per_block=batch_size)
        .map_batches(
            Answerer,
            fn_constructor_args=(options.concurrency, fields),
            batch_format="pyarrow",
            batch_size=batch_size,
            compute=ray.data.ActorPoolStrategy(size=options.actors),
            num_cpus=0.1,  # An actor does little but wait.
        )
    )
    # Its progress bars, on a terminal, say enough.
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    answers.write_parquet(options.answers, min_rows_per_file=ROWS_PER_FILE)


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Answer prompts on a Ray cluster.")
    parser.add_argument("prompts", nargs="?", help="JSONL or .parquet: id and prompt")
    parser.add_argument("answers", nargs="?", help="folder or URL, for Parquet files")
    parser.add_argument("--model", default="gpt-5.1")
    parser.add_argument("--actors", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=20, help="of each actor")
    parser.add_argument("--retries", type=int, default=5, help="of each request")
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
    with service() as pmock:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # It would phone home.
        ray.init(logging_level=logging.ERROR, log_to_driver=False)
        run(options, pmock)
    rows = pads.dataset(options.answers)
    failed = rows.count_rows(filter=pads.field("error").is_valid())
    answered = rows.count_rows() - failed
    print(f"{answered} answered, {failed} failed: see {options.answers}")


if __name__ == "__main__":
    main()
