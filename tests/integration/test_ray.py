"""examples/ray_batch.py on a local Ray cluster. `make test-ray` installs Ray."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from langchain_pmock.testing import PmockServer
from tests.support.examples import Batch, command, run, wait_for
from tests.support.processes import LIMIT

pytest.importorskip("ray", reason="needs the group ray")
psutil = pytest.importorskip("psutil")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class Cluster(NamedTuple):
    """A Ray cluster on this machine."""

    process: subprocess.Popen[str]
    env: dict[str, str]


@pytest.fixture(scope="module")
def ray_env() -> Iterator[dict[str, str]]:
    # The path of a socket must be short, and tmp_path is not.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_TMPDIR": folder,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # It then listens on loopback.
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # Otherwise drivers need a token.
        }


@pytest.fixture(scope="module")
def cluster(ray_env: dict[str, str]) -> Iterator[Cluster]:
    """A running cluster: starting one takes longer than a test."""
    code = (
        "import ray, sys\n"
        "print(ray.init(num_cpus=2).address_info['gcs_address'], flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: S603 - written above
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, **ray_env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        address = process.stdout.readline().strip()  # type: ignore[union-attr]
        yield Cluster(process, {**ray_env, "RAY_ADDRESS": address})


def run_ray(*arguments: object, env: Mapping[str, str], fails: bool = False) -> str:
    return run("ray_batch.py", *arguments, env=env, fails=fails)


def rows_of(answers: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in parquet.read_table(answers).to_pylist()}


def test_without_arguments_it_creates_prompts(
    ray_env: dict[str, str], tmp_path: Path
) -> None:
    shown = run_ray(env={**ray_env, "TMPDIR": str(tmp_path)})
    (answers,) = tmp_path.glob("pmock-batch-*/answers")
    # Without Ray's log lines.
    *service, result = shown.splitlines()
    assert result == f"100 answered, 0 failed: see {answers}"
    assert service[0].startswith("Service: ")
    assert all(line.startswith("  ") for line in service[1:])
    rows = rows_of(answers)
    assert len(rows) == 100
    assert "What is 7 times 7?" in rows["7"]["answer"]
    assert rows["7"]["usage"]["total_tokens"] > 0
    assert rows["7"]["usage"]["output_token_details"]["reasoning"] == 0
    assert re.fullmatch("[0-9a-f]{24}", rows["7"]["trace_id"])
    assert rows["7"]["error"] is None


def test_each_prompt_has_one_answer_though_an_actor_dies(
    server: PmockServer, cluster: Cluster, tmp_path: Path
) -> None:
    path, answers = tmp_path / "prompts.parquet", tmp_path / "answers"
    prompts = {f"q{number}": f"What is {number}?" for number in range(200)}
    columns = {"id": list(prompts), "prompt": list(prompts.values())}
    parquet.write_table(pyarrow.table(columns), path)
    server.fail(status=400, message="no such luck", times=3)
    server.fail(stall=0.1, times=1000)
    with subprocess.Popen(  # noqa: S603 - our own command
        command("ray_batch.py", path, answers, "--actors", 2, "--concurrency", 2),
        env={**os.environ, **cluster.env, **server.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def actors() -> list[Any]:
            children = psutil.Process(cluster.process.pid).children(recursive=True)
            return [child for child in children if "MapWorker" in child.name()]

        # By then, the first batches are done and others are in progress.
        wait_for(process, lambda: len(server.requests) >= 40 and len(actors()) == 2)
        actors()[0].kill()
        output, message = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, message
    assert "197 answered, 3 failed" in output
    # The dead actor's prompts were sent twice, and are there once.
    assert len(server.requests) > 200
    rows = parquet.read_table(answers).to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(prompts)
    failed = [row for row in rows if row["error"]]
    assert len(failed) == 3
    assert all(row["answer"] is None for row in failed)
    assert all("no such luck" in row["error"] for row in failed)
    for row in rows:
        assert row in failed or prompts[row["id"]] in row["answer"]


def test_invalid_rows_get_errors_and_earlier_answers_are_kept(
    cluster: Cluster, tmp_path: Path
) -> None:
    times: list[float] = []

    def clock() -> float:
        times.append(time.time())
        return times[-1]

    path, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    prompts = {"a": None, **{f"q{number}": f"Say {number}." for number in range(6)}}
    rows = [{"id": i, "prompt": prompt} for i, prompt in prompts.items()]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"id": "z"}]))
    arguments = (path, answers, "--actors", 4, "--rate", 2)
    with PmockServer(clock=clock) as server:
        env = {**cluster.env, **server.env}
        assert "6 answered, 2 failed" in run_ray(*arguments, env=env)
        # All six go to one actor, whose share of the rate is one prompt in two seconds:
        # ten seconds. With the whole rate it would be 2.5.
        assert len(server.requests) == 6
        assert times[-1] - times[0] > 4

        answered = rows_of(answers)
        assert set(answered) == {*prompts, "z"}
        assert "Say 5." in answered["q5"]["answer"]
        for i in ("a", "z"):
            assert answered[i]["error"] == "the prompt is no text"
            assert answered[i]["answer"] is answered[i]["usage"] is None

        # The same command again would add the same rows again.
        before = sorted(answers.iterdir())
        message = run_ray(*arguments, env=env, fails=True)
        assert message == f"{answers} is not empty: take another folder.\n"
        assert sorted(answers.iterdir()) == before
        assert len(server.requests) == 6


def test_it_stops_at_wrong_keys(
    server: PmockServer, cluster: Cluster, tmp_path: Path
) -> None:
    batch = Batch(server, tmp_path)
    batch.write_prompts(4)
    env = {**cluster.env, **server.env, "PMOCK_SECRET_KEY": "sk-example"}
    message = run_ray(batch.prompts, tmp_path / "answers", env=env, fails=True)
    *others, last = message.splitlines()
    assert re.match("Stopped: PmockAuthenticationError: .*PMOCK_SECRET_KEY", last)
    assert len(others) < 9


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": "Hello", "usage": 5}\n', "{} has a column `usage` already"),
        ('{"text": "Hello"}\n', "{} has no column `prompt`."),
        ("", "There is no prompt in {}\n"),
    ],
)
def test_other_columns_and_empty_files(
    line: str, reason: str, cluster: Cluster, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    prompts.write_text(line)
    message = run_ray(prompts, answers, env=cluster.env, fails=bool(line))
    assert reason.format(prompts) in message
    assert not answers.exists()
