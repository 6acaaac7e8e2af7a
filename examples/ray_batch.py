"""Answer prompts on many machines: Ray Data with a pool of actors, one model in each.

    python examples/ray_batch.py prompts.jsonl answers/ --actors 2

The input is JSONL or Parquet (a file, a folder or a URL) with the columns `id` and
`prompt`; the output is a folder of Parquet files with `id`, `prompt`, `answer` and
`error`, one row for each prompt. When an actor or its machine dies, Ray starts another
one, which gets the batch that the dead one was at.

It runs on the cluster that `RAY_ADDRESS` names, else on a small one on this machine.
Each machine of a cluster needs `PMOCK_ACCESS_KEY` and `PMOCK_SECRET_KEY` in its
environment. `pip install "ray[data]"` gets Ray.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
from _service import service
from ray.data import ActorPoolStrategy

from langchain_pmock import ChatPmock, PmockError

if TYPE_CHECKING:
    import numpy as np

class Answerer:
    """An actor with a model of its own."""

    def __init__(self, model, at_once, **pmock: Any) -> None:
        self.model = ChatPmock(model="gpt-5.1", max_retries=5, **pmock)
        self.at_once = at_once

    def __call__(self, batch):
        prompts = batch["prompt"].tolist()
        config = {"max_concurrency": self.at_once}
        answers = self.model.batch(prompts, config, return_exceptions=True)
        batch["answer"] = [None if isinstance(a, Exception) else a.text for a in answers]
        batch["error"] = [str(a) if isinstance(a, Exception) else None for a in answers]
        return batch

def main():
    with service() as pmock, tempfile.TemporaryDirectory() as d:
        p = Path(d)/"p.jsonl"
        import json
        p.write_text("".join(json.dumps({"id":str(i),"prompt":f"What is {i}?"})+"\n" for i in range(200)))
        ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
        prompts = ray.data.read_json(str(p), lines=True)
        out = prompts.map_batches(Answerer, fn_constructor_kwargs=dict(model="gpt-5.1", at_once=4, **pmock), batch_size=16, num_cpus=0.25, compute=ActorPoolStrategy(size=2))
        out.write_parquet(d+"/out")
        print(ray.data.read_parquet(d+"/out").to_pandas())
main()
