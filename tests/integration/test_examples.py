"""The examples, each run as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from langchain_pmock.testing import Fault, PmockServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
KEYS = ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY")
MORE_THAN_A_TEST_TAKES = 120.0  # seconds


def command(example: str, *arguments: object) -> list[str]:
    return [sys.executable, str(EXAMPLES / example), *map(str, arguments)]


def run(
    example: str,
    *arguments: object,
    env: Mapping[str, str] | None = None,
    fails: bool = False,
) -> str:
    """Run an example; it must end well and not complain, or else tell why."""
    done = subprocess.run(  # noqa: S603 - our own command
        command(example, *arguments),
        env={**os.environ, **(env or {})},
        capture_output=True,
        encoding="utf-8",
        timeout=MORE_THAN_A_TEST_TAKES,
        check=False,
    )
    assert "Traceback" not in done.stderr
    if fails:
        assert done.returncode in {1, 2}
        return done.stderr
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def wait_for(process: subprocess.Popen[str], happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MORE_THAN_A_TEST_TAKES
    while not happens():
        assert time.monotonic() < deadline
        if process.poll() is not None:
            pytest.fail(f"it ended too early: {process.communicate()}")
        time.sleep(0.02)


def write_prompts(path: Path, count: int) -> dict[str, str]:
    prompts = {f"q{number}": f"What is {number}?" for number in range(count)}
    lines = (json.dumps({"id": i, "prompt": prompt}) for i, prompt in prompts.items())
    path.write_text("".join(f"{line}\n" for line in lines))
    return prompts


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def asked(server: PmockServer) -> list[str]:
    return [request.body["messages"][-1]["content"] for request in server.requests]


@pytest.mark.parametrize("target", ["demo", "agent", "batch", "ray-batch", "notebook"])
def test_make_runs_files_that_exist(target: str, tmp_path: Path) -> None:
    make = shutil.which("make") or pytest.skip("there is no make")
    done = subprocess.run(  # noqa: S603 - our own command
        [make, "--dry-run", target, f"VENV={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    named = re.findall(r"examples/\S+", done.stdout)
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


# --- quickstart.py --------------------------------------------------------------------


def test_quickstart_without_credentials() -> None:
    text = run("quickstart.py")
    assert text.startswith("Service: a PmockServer on this machine")
    assert "python -m langchain_pmock.testing --upstream http" in text
    assert "You said: A prompt goes down, tokens come up. 一问一答 🌊\n" in text
    assert re.search(r"tool call: +multiply {'a': 127, 'b': 46}\n", text)
    assert re.search(r"tool result: 5842\n", text)
    assert re.search(r"answer: .*5842\n", text)
    assert "Trip(city='Kyoto', days=3)\n" in text
    assert re.search(r"tokens: +[1-9]\d* in, [1-9]\d* out\n", text)
    assert re.search(r"trace id: [0-9a-f]{24}$", text)


def test_quickstart_with_credentials(server: PmockServer) -> None:
    text = run("quickstart.py", env=server.env)
    assert text.startswith(f"Service: on this machine, {server.url}\n")
    first, invoke, stream, call, result, typed = (r.body for r in server.requests)
    assert {request.code for request in server.requests} == {200}
    # The first request and its envelope, as they went over the wire.
    assert f"POST {server.url}/ai/chat/completions  wuinai-access-key: ***" in text
    assert f"\n   {json.dumps(first, separators=(',', ':'))}\n" in text
    assert re.search(
        r'=> {"code": 200, .*"data": {\.\.\.}.*"traceId": "[0-9a-f]+"', text
    )
    assert server.access_key not in text
    assert server.secret_key not in text
    assert not invoke.get("stream")
    assert stream["stream"] is True
    assert call["tools"][0]["function"]["name"] == "multiply"
    assert result["messages"][-1]["content"] == "5842"
    assert typed["responseFormat"]["json_schema"]["name"] == "Trip"


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("https://ai.example.com/api", "live"),
        ("http://localhost:8000/api", "on this machine"),
        ("http://[::1]:8000", "on this machine"),
    ],
)
def test_the_service_is_called_what_it_is(url: str, where: str) -> None:
    env = {**dict.fromkeys(KEYS, "example"), "PMOCK_BASE_URL": url}
    code = "import _service\nwith _service.service(): pass"
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", code],
        cwd=EXAMPLES,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"Service: {where}, {url}\n"


def test_wrong_keys_end_the_quickstart_with_a_sentence(server: PmockServer) -> None:
    env = {**server.env, "PMOCK_SECRET_KEY": "sk-example"}
    complaint = run("quickstart.py", env=env, fails=True)
    assert complaint.startswith("Stopped: ")
    assert "PMOCK_SECRET_KEY" in complaint
    assert complaint.count("\n") == 1


@pytest.mark.parametrize("missing", KEYS)
def test_half_of_the_credentials_is_no_choice(
    missing: str, server: PmockServer
) -> None:
    env = {name: value for name, value in server.env.items() if name != missing}
    complaint = run("quickstart.py", env=env, fails=True)
    assert complaint.startswith(f"Stopped: {missing} not set. ")
    assert not server.requests


# --- agent.py -------------------------------------------------------------------------


def test_agent(server: PmockServer) -> None:
    text = run("agent.py", env=server.env)
    assert "(add_items: Added 3.)" in text
    # The second turn and the typed answer know what the first turn packed.
    assert '(show_luggage: ["passport", "rain jacket", "camera"])' in text
    trip = "destination='Kyoto', days=4, items=['passport', 'rain jacket', 'camera']"
    assert f"Trip({trip})\n" in text
    # Each of the three turns asks twice: before and after the tool.
    assert [len(r.body["messages"]) for r in server.requests] == [1, 3, 5, 7, 9, 11]
    assert [r.body.get("stream") for r in server.requests[:4]] == [True] * 4


# --- batch.py -------------------------------------------------------------------------


def test_batch_makes_up_prompts(tmp_path: Path) -> None:
    text = run("batch.py", env={"TMPDIR": str(tmp_path)})
    assert "0 prompts are answered already, 100 are to be asked." in text
    assert "100/100" in text
    (answers,) = tmp_path.glob("pmock-batch-*/answers.jsonl")
    assert f"100 answered, 0 failed: see {answers}" in text
    seventh = next(line for line in read_lines(answers) if line["id"] == "7")
    assert seventh["answer"] == "You said: What is 7 times 7?"
    assert seventh["usage"]["total_tokens"] > 0
    assert re.fullmatch("[0-9a-f]{24}", seventh["trace_id"])


def test_batch_writes_failures_and_asks_them_again(
    server: PmockServer, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 5)
    server.fail(status=503)  # is tried again
    server.fail(status=400, message="no such luck", times=2)
    arguments = (prompts, answers, "--concurrency", 1, "--model", "gemini-3-flash")
    assert "3 answered, 2 failed" in run("batch.py", *arguments, env=server.env)
    assert len(server.requests) == 6
    assert {request.body["model"] for request in server.requests} == {"gemini-3-flash"}
    lines = read_lines(answers)
    assert [line["id"] for line in lines] == ["q0", "q1", "q2", "q3", "q4"]
    failed = [line for line in lines if "error" in line]
    assert len(failed) == 2
    assert all("no such luck" in line["error"] for line in failed)

    server.reset()
    text = run("batch.py", *arguments, env=server.env)
    assert "3 prompts are answered already, 2 are to be asked." in text
    assert "2 answered, 0 failed" in text
    last = {line["id"]: line for line in read_lines(answers)}
    assert {i: line["answer"] for i, line in last.items()} == {
        f"q{number}": f"You said: What is {number}?" for number in range(5)
    }


def test_batch_goes_on_after_ctrl_c(server: PmockServer, tmp_path: Path) -> None:
    path, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts = write_prompts(path, 30)
    arguments = (path, answers, "--concurrency", 4)
    # The first eleven are answered; all who come later wait.
    server.script(*["Yes."] * 11, *[Fault(stall=MORE_THAN_A_TEST_TAKES)] * 30)
    # A shell that runs tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(  # noqa: S603 - our own command
        command("batch.py", *arguments),
        env={**os.environ, **server.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(
            process, lambda: count_lines(answers) == 11 and len(server.requests) == 15
        )
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=MORE_THAN_A_TEST_TAKES)
    assert process.returncode == 1
    assert complaint == "Interrupted. The same command goes on from here.\n"
    # No more than four were ever under way.
    assert len(server.requests) == 15
    before = read_lines(answers)
    assert len(before) == 11

    # And what if the machine went down while it wrote the next line?
    with answers.open("a") as file:
        file.write('{"id": "q29", "answer": "half a li')
    server.reset()
    assert "19 answered, 0 failed" in run("batch.py", *arguments, env=server.env)
    after = read_lines(answers)
    assert after[:11] == before
    assert sorted(line["id"] for line in after) == sorted(prompts)
    done = {line["id"] for line in before}
    assert sorted(asked(server)) == sorted(
        prompt for i, prompt in prompts.items() if i not in done
    )


def test_batch_keeps_to_a_rate(tmp_path: Path) -> None:
    times: list[float] = []

    def clock() -> float:
        times.append(time.time())
        return times[-1]

    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 16)
    with PmockServer(clock=clock) as server:
        run("batch.py", prompts, answers, "--rate", 20, env=server.env)
    assert len(server.requests) == 16
    # Unlimited, they are over in a moment.
    assert times[-1] - times[0] > 0.5


def test_batch_stops_at_wrong_keys(server: PmockServer, tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 20)
    env = {**server.env, "PMOCK_SECRET_KEY": "sk-example"}
    arguments = (prompts, answers, "--concurrency", 1)
    complaint = run("batch.py", *arguments, env=env, fails=True)
    assert complaint.startswith("Stopped: ")
    assert "PMOCK_SECRET_KEY" in complaint
    assert not read_lines(answers)
    # It is signed anew once, in case the clock was wrong.
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [402, 403, 404])
def test_batch_stops_where_no_prompt_can_succeed(
    status: int, server: PmockServer, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 20)
    server.script("Yes.", *[Fault(status=status, message="no such luck")] * 20)
    arguments = (prompts, answers, "--concurrency", 1)
    complaint = run("batch.py", *arguments, env=server.env, fails=True)
    assert complaint.startswith("Stopped: ")
    assert "no such luck" in complaint
    assert [line["answer"] for line in read_lines(answers)] == ["Yes."]
    assert len(server.requests) == 2


def test_batch_fails_if_all_prompts_fail(server: PmockServer, tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 3)
    server.fail(status=400, times=3)
    complaint = run("batch.py", prompts, answers, env=server.env, fails=True)
    assert complaint == "Nothing was answered.\n"
    assert ["error" in line for line in read_lines(answers)] == [True] * 3

    run("batch.py", prompts, answers, env=server.env)
    # And there is nothing wrong with having nothing to do.
    text = run("batch.py", prompts, answers, env=server.env)
    assert "3 prompts are answered already, 0 are to be asked." in text


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": 2, "text": "Hello"}', "no JSON object with id and prompt"),
        ('["id", "prompt"]', "no JSON object with id and prompt"),
        ('{"id": 2, "prompt": "Hel', "no JSON object with id and prompt"),
        ('{"id": 2, "prompt": null}', "the prompt is no text"),
        ('{"id": [2], "prompt": "Hello"}', "the id is no text and no whole number"),
        ('{"id": true, "prompt": "Hello"}', "the id is no text and no whole number"),
        ('{"id": 1, "prompt": "Hello"}', "an earlier line has this id"),
    ],
)
def test_batch_refuses_a_line_that_is_no_prompt(
    line: str, why: str, server: PmockServer, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text(f'{{"id": 1, "prompt": "Hello"}}\n\n{line}\n')
    complaint = run("batch.py", prompts, answers, env=server.env, fails=True)
    assert complaint == f"{prompts}, line 3: {why}: {line}\n"
    assert not server.requests
    assert not answers.exists()


def test_batch_leaves_out_blank_lines(server: PmockServer, tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    prompts.write_text('\n{"id": 1, "prompt": "One"}\n  \n{"id": "1", "prompt": "A"}')
    assert "2 answered, 0 failed" in run("batch.py", prompts, answers, env=server.env)
    assert {line["id"]: line["answer"] for line in read_lines(answers)} == {
        1: "You said: One",
        "1": "You said: A",
    }


@pytest.mark.parametrize(
    "line", ['{"id": "q0", "ans', '{"id": "q0", "prompt": "Hello"}', "Dear diary,"]
)
def test_batch_refuses_answers_that_are_none(
    line: str, server: PmockServer, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 3)
    before = f'{{"id": "q1", "answer": "Yes."}}\n{line}\n'
    answers.write_text(before)
    complaint = run("batch.py", prompts, answers, env=server.env, fails=True)
    assert (
        complaint == f"{answers}, line 2: no answer and no error of a prompt: {line}\n"
    )
    assert not server.requests
    assert answers.read_text() == before


def test_batch_keeps_a_last_answer_that_lacks_only_its_end(
    server: PmockServer, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 2)
    answers.write_text('{"id": "q1", "answer": "Yes."}')
    assert "1 answered, 0 failed" in run("batch.py", prompts, answers, env=server.env)
    assert [line["id"] for line in read_lines(answers)] == ["q1", "q0"]


def test_batch_says_that_there_are_no_prompts(tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    complaint = run("batch.py", prompts, answers, fails=True)
    assert complaint.startswith("Stopped: ")
    assert str(prompts) in complaint
    assert not answers.exists()


@pytest.mark.parametrize(
    "option", ["--concurrency=0", "--rate=0", "--rate=nan", "--rate=-1", "--retries=-1"]
)
def test_batch_checks_its_options(option: str, tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 2)
    name, _, value = option.partition("=")
    complaint = run("batch.py", prompts, answers, option, fails=True)
    assert re.search(rf"argument {name}: invalid \w+ value: '{value}'", complaint)


def test_batch_does_not_write_into_the_prompts(tmp_path: Path) -> None:
    prompts, link = tmp_path / "prompts.jsonl", tmp_path / "answers.jsonl"
    write_prompts(prompts, 2)
    before = prompts.read_text()
    link.symlink_to(prompts)
    complaint = run("batch.py", prompts, link, fails=True)
    assert "the same file" in complaint
    assert prompts.read_text() == before


def test_batch_needs_a_place_for_answers(tmp_path: Path) -> None:
    assert "answers" in run("batch.py", tmp_path / "prompts.jsonl", fails=True)


# --- ray_batch.py ---------------------------------------------------------------------


class Cluster(NamedTuple):
    """A Ray cluster on this machine."""

    process: subprocess.Popen[str]
    env: dict[str, str]


@pytest.fixture(scope="module")
def ray_env() -> Iterator[dict[str, str]]:
    pytest.importorskip("ray")
    # The path of a socket must be short, and tmp_path is not.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield {
            "RAY_TMPDIR": folder,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # It then listens on loopback.
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",  # Else who joins would need a token.
        }


@pytest.fixture(scope="module")
def ray_cluster(ray_env: dict[str, str]) -> Iterator[Cluster]:
    """A cluster that is up already: to start one takes longer than a test."""
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


def run_on_terminal(example: str, env: Mapping[str, str]) -> list[str]:
    """Run an example on a terminal that does not tell its width."""
    ours, its = pty.openpty()
    with subprocess.Popen(  # noqa: S603 - our own command
        command(example), env={**os.environ, **env}, stdout=its, stderr=its
    ) as process:
        os.close(its)
        shown = b""
        # A terminal that everybody has left gives an error on Linux, and b"" elsewhere.
        with suppress(OSError):
            while data := os.read(ours, 65536):
                shown += data
    os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().replace("\x1b[0m", "").splitlines()  # colors off, at the end


@pytest.mark.scale
def test_ray_batch_makes_up_prompts(ray_env: dict[str, str], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    shown = run_on_terminal("ray_batch.py", {**ray_env, "TMPDIR": str(tmp_path)})
    (answers,) = tmp_path.glob("pmock-batch-*/answers")
    # Of Ray's own, neither log lines nor what is left of its bars.
    *service, result = shown
    assert result == f"100 answered, 0 failed: see {answers}"
    assert service[0].startswith("Service: ")
    assert all(line.startswith("  ") for line in service[1:])
    rows = {row["id"]: row for row in parquet.read_table(answers).to_pylist()}
    assert len(rows) == 100
    assert rows["7"]["answer"] == "You said: What is 7 times 7?"
    assert rows["7"]["usage"]["total_tokens"] > 0
    assert rows["7"]["usage"]["output_token_details"]["reasoning"] == 0
    assert re.fullmatch("[0-9a-f]{24}", rows["7"]["trace_id"])
    assert rows["7"]["error"] is None


@pytest.mark.scale
def test_ray_batch_answers_each_prompt_once_though_an_actor_dies(
    server: PmockServer, ray_cluster: Cluster, tmp_path: Path
) -> None:
    psutil = pytest.importorskip("psutil")
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path, answers = tmp_path / "prompts.parquet", tmp_path / "answers"
    prompts = {f"q{number}": f"What is {number}?" for number in range(200)}
    columns = {"id": list(prompts), "prompt": list(prompts.values())}
    parquet.write_table(pyarrow.table(columns), path)
    server.fail(status=400, message="no such luck", times=3)
    server.fail(stall=0.1, times=1000)
    options = ("--actors", 2, "--concurrency", 2)
    with subprocess.Popen(  # noqa: S603 - our own command
        command("ray_batch.py", path, answers, *options),
        env={**os.environ, **ray_cluster.env, **server.env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:

        def actors() -> list[Any]:
            children = psutil.Process(ray_cluster.process.pid).children(recursive=True)
            return [child for child in children if "MapWorker" in child.name()]

        # By then, the first batches are done and others are under way.
        wait_for(process, lambda: len(server.requests) >= 40 and len(actors()) == 2)
        actors()[0].kill()
        told, complaints = process.communicate(timeout=MORE_THAN_A_TEST_TAKES)
    assert process.returncode == 0, complaints
    assert "197 answered, 3 failed" in told
    # What the dead actor was at was asked twice, and is there once.
    assert len(server.requests) > 200
    rows = parquet.read_table(answers).to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(prompts)
    failed = [row for row in rows if row["error"]]
    assert len(failed) == 3
    for row in failed:
        assert row["answer"] is None
        assert "no such luck" in row["error"]
    for row in rows:
        if row not in failed:
            assert row["answer"] == f"You said: {prompts[row['id']]}"


@pytest.mark.scale
def test_ray_batch_keeps_rows_that_it_cannot_ask_and_the_answers_of_earlier_runs(
    ray_cluster: Cluster, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    times: list[float] = []

    def clock() -> float:
        times.append(time.time())
        return times[-1]

    path, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    prompts = {"a": None, **{f"q{number}": f"Say {number}." for number in range(6)}}
    rows = [{"id": i, "prompt": prompt} for i, prompt in prompts.items()]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in [*rows, {"id": "z"}]))
    arguments = (path, answers, "--actors", 4, "--rate", 8)
    with PmockServer(clock=clock) as server:
        env = {**ray_cluster.env, **server.env}
        assert "6 answered, 2 failed" in run_ray(*arguments, env=env)
        # So few prompts go to one actor, which may ask a fourth of what all may: two
        # a second. With a limit of eight it would be done in 0.6 s.
        assert len(server.requests) == 6
        assert times[-1] - times[0] > 1.2

        answered = {row["id"]: row for row in parquet.read_table(answers).to_pylist()}
        assert set(answered) == {*prompts, "z"}
        assert answered["q5"]["answer"] == "You said: Say 5."
        for i in ("a", "z"):
            assert answered[i]["error"] == "the prompt is no text"
            assert answered[i]["answer"] is answered[i]["usage"] is None

        # The same command again would add the same rows again.
        before = sorted(answers.iterdir())
        complaint = run_ray(*arguments, env=env, fails=True)
        assert complaint == f"{answers} is not empty: take another folder.\n"
        assert sorted(answers.iterdir()) == before
        assert len(server.requests) == 6


@pytest.mark.scale
def test_ray_batch_stops_at_wrong_keys(
    server: PmockServer, ray_cluster: Cluster, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    write_prompts(prompts, 4)
    env = {**ray_cluster.env, **server.env, "PMOCK_SECRET_KEY": "sk-example"}
    complaint = run_ray(prompts, answers, env=env, fails=True)
    *_, last = complaint.splitlines()
    assert last.startswith("Stopped: PmockAuthenticationError: ")
    assert "PMOCK_SECRET_KEY" in last
    assert len(complaint.splitlines()) < 10


@pytest.mark.scale
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"prompt": "Hello", "usage": 5}', "{} has a column `usage` already"),
        ('{"text": "Hello"}', "{} has no column `prompt`."),
    ],
)
def test_ray_batch_refuses_other_columns(
    line: str, why: str, ray_cluster: Cluster, tmp_path: Path
) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    prompts.write_text(f"{line}\n")
    complaint = run_ray(prompts, answers, env=ray_cluster.env, fails=True)
    assert why.format(prompts) in complaint
    assert not answers.exists()


@pytest.mark.scale
def test_ray_batch_has_nothing_to_do(ray_cluster: Cluster, tmp_path: Path) -> None:
    prompts, answers = tmp_path / "prompts.jsonl", tmp_path / "answers"
    prompts.touch()
    told = run_ray(prompts, answers, env=ray_cluster.env)
    assert f"There is no prompt in {prompts}\n" in told
    assert not answers.exists()
