"""The examples, each run as a user runs it. Those on Ray are in test_ray.py."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from langchain_pmock.testing import Fault, PmockServer
from tests.support.examples import EXAMPLES, Batch, command, read_lines, run, wait_for
from tests.support.processes import LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEYS = ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY")


@pytest.fixture
def batch(server: PmockServer, tmp_path: Path) -> Batch:
    return Batch(server, tmp_path)


@pytest.fixture
def refusal(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run batch.py in this process, which is faster, and return why it ends."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    for name, value in batch.server.env.items():
        monkeypatch.setenv(name, value)

    def run_main(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["batch.py", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            importlib.import_module("batch").main()
        return capsys.readouterr().err or str(ended.value.code)

    return run_main


# --- quickstart.py and agent.py -------------------------------------------------------


def test_quickstart_without_credentials() -> None:
    text = run("quickstart.py")
    assert text.startswith("Service: a PmockServer on this machine")
    assert "python -m langchain_pmock.testing --upstream http" in text
    assert "A prompt goes down, tokens come up. 一问一答 🌊\n" in text
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
    # The first request and its envelope, as they were on the wire.
    assert f"POST {server.url}/ai/chat/completions  wuinai-access-key: ***" in text
    assert f"\n   {json.dumps(first, separators=(',', ':'))}\n" in text
    assert re.search(r'=> {"code": 200, .*"data": {\.\.\.}.*"traceId": "\w+"', text)
    assert server.access_key not in text
    assert server.secret_key not in text
    assert not invoke.get("stream")
    assert stream["stream"] is True
    assert call["tools"][0]["function"]["name"] == "multiply"
    assert result["messages"][-1]["content"] == "5842"
    assert typed["responseFormat"]["json_schema"]["name"] == "Trip"


def test_live_service_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    settings = dict.fromkeys(KEYS, "example") | {"PMOCK_BASE_URL": "https://x.invalid"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with importlib.import_module("_service").service():
        assert capsys.readouterr().out == "Service: live, https://x.invalid\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"PMOCK_ACCESS_KEY": ""}, "PMOCK_ACCESS_KEY not set. "),
        ({"PMOCK_SECRET_KEY": ""}, "PMOCK_SECRET_KEY not set. "),
        ({"PMOCK_SECRET_KEY": "sk-example"}, "pmock refused the access key"),
    ],
)
def test_wrong_keys_end_the_quickstart_with_one_line(
    change: dict[str, str], message: str, server: PmockServer
) -> None:
    shown = run("quickstart.py", env=server.env | change, fails=True)
    assert shown.startswith(f"Stopped: {message}")
    assert "PMOCK_" in shown
    assert shown.count("\n") == 1


def test_agent(server: PmockServer) -> None:
    text = run("agent.py", env=server.env)
    assert "(add_items: Added 3.)" in text
    # The second turn and the typed answer use what the first turn packed.
    assert '(show_luggage: ["passport", "rain jacket", "camera"])' in text
    trip = "destination='Kyoto', days=4, items=['passport', 'rain jacket', 'camera']"
    assert f"Trip({trip})\n" in text
    # Each of the three turns sends two requests: before and after the tool.
    assert [len(r.body["messages"]) for r in server.requests] == [1, 3, 5, 7, 9, 11]
    assert [r.body.get("stream") for r in server.requests[:4]] == [True] * 4


# --- batch.py -------------------------------------------------------------------------


def test_batch_without_arguments_creates_prompts(tmp_path: Path) -> None:
    text = run("batch.py", env={"TMPDIR": str(tmp_path)})
    assert "0 prompts are answered already, 100 are to be asked." in text
    assert "100/100" in text
    (answers,) = tmp_path.glob("pmock-batch-*/answers.jsonl")
    assert f"100 answered, 0 failed: see {answers}" in text
    seventh = next(line for line in read_lines(answers) if line["id"] == "7")
    assert "What is 7 times 7?" in seventh["answer"]
    assert seventh["usage"]["total_tokens"] > 0
    assert re.fullmatch("[0-9a-f]{24}", seventh["trace_id"])


def test_batch_writes_errors_and_sends_their_prompts_again(batch: Batch) -> None:
    batch.write_prompts(5)
    batch.server.fail(status=503)  # is retried
    batch.server.fail(status=400, message="no such luck", times=2)
    text = batch.run("--concurrency", 1, "--model", "gemini-3-flash")
    assert "3 answered, 2 failed" in text
    assert len(batch.server.requests) == 6
    assert {r.body["model"] for r in batch.server.requests} == {"gemini-3-flash"}
    assert [line["id"] for line in batch.lines] == ["q0", "q1", "q2", "q3", "q4"]
    errors = [line["error"] for line in batch.lines if "error" in line]
    assert len(errors) == 2
    assert all("no such luck" in error for error in errors)

    batch.server.reset()
    text = batch.run("--concurrency", 1)
    assert "3 prompts are answered already, 2 are to be asked." in text
    assert "2 answered, 0 failed" in text
    answered = {line["id"] for line in batch.lines if "answer" in line}
    assert answered == {"q0", "q1", "q2", "q3", "q4"}


def test_batch_continues_after_ctrl_c(batch: Batch) -> None:
    prompts = batch.write_prompts(30)
    # The first eleven are answered, the others wait.
    batch.server.script(*["Yes."] * 11, *[Fault(stall=LIMIT)] * 30)
    # A shell that runs tests in the background has them ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(  # noqa: S603 - our own command
        command("batch.py", batch.prompts, batch.answers, "--concurrency", 4),
        env={**os.environ, **batch.server.env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_for(
            process,
            lambda: batch.count == 11 and len(batch.server.requests) == 15,
        )
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=LIMIT)
    assert process.returncode == 1
    assert message == "Interrupted. The same command goes on from here.\n"
    # No more than four were ever concurrent.
    assert len(batch.server.requests) == 15
    before = batch.lines
    assert len(before) == 11

    # As if the machine went down while it wrote the next line.
    with batch.answers.open("a") as file:
        file.write('{"id": "q29", "answer": "half a li')
    batch.server.reset()
    assert "19 answered, 0 failed" in batch.run()
    assert batch.lines[:11] == before
    assert sorted(line["id"] for line in batch.lines) == sorted(prompts)
    done = {line["id"] for line in before}
    asked = [r.body["messages"][-1]["content"] for r in batch.server.requests]
    assert sorted(asked) == sorted(p for i, p in prompts.items() if i not in done)


def test_batch_keeps_to_a_rate(tmp_path: Path) -> None:
    times: list[float] = []

    def clock() -> float:
        times.append(time.time())
        return times[-1]

    with PmockServer(clock=clock) as server:
        batch = Batch(server, tmp_path)
        batch.write_prompts(16)
        begin = time.time()
        batch.run("--rate", 5)
    assert len(server.requests) == 16
    # The last one is not sent before 15 others had their fifth of a second, however
    # slow the machine is.
    assert times[-1] - begin > 2.9


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_batch_stops_where_no_prompt_can_succeed(status: int, batch: Batch) -> None:
    batch.write_prompts(20)
    batch.server.script("Yes.", *[Fault(status=status, message="no such luck")] * 20)
    message = batch.run("--concurrency", 1, fails=True)
    assert message.startswith("Stopped: ")
    assert "no such luck" in message
    assert [line["answer"] for line in batch.lines] == ["Yes."]
    statuses = [request.status for request in batch.server.requests]
    # A refused signature is sent anew once, in case the clock is wrong. The first one
    # may have been refused too, at the end of a minute.
    after = statuses[statuses.index(200) :]
    assert after.count(status) == (2 if status == 401 else 1)


def test_batch_fails_if_all_prompts_fail(batch: Batch) -> None:
    batch.write_prompts(3)
    batch.server.fail(status=400, times=3)
    assert batch.run(fails=True) == "Nothing was answered.\n"
    assert ["error" in line for line in batch.lines] == [True] * 3

    batch.run()
    # Without unanswered prompts it ends with status 0.
    assert "3 prompts are answered already, 0 are to be asked." in batch.run()


NO_PROMPT = "no JSON object with id and prompt"
NO_ID = "the id is no text and no whole number"
NO_ANSWER = "no answer and no error of a prompt"


@pytest.mark.parametrize(
    ("prompt", "answer", "reason"),
    [
        ('{"id": 2, "text": "Hello"}', None, NO_PROMPT),
        ('["id", "prompt"]', None, NO_PROMPT),
        ('{"id": 2, "prompt": "Hel', None, NO_PROMPT),
        ('{"id": 2, "prompt": null}', None, "the prompt is no text"),
        ('{"id": [2], "prompt": "Hello"}', None, NO_ID),
        ('{"id": true, "prompt": "Hello"}', None, NO_ID),
        ('{"id": 1, "prompt": "Hello"}', None, "an earlier line has this id"),
        (None, '{"id": "q0", "ans', NO_ANSWER),
        (None, '{"id": "q0", "prompt": "Hello"}', NO_ANSWER),
        (None, "Dear diary,", NO_ANSWER),
    ],
)
def test_batch_refuses_invalid_lines(
    prompt: str | None,
    answer: str | None,
    reason: str,
    batch: Batch,
    refusal: Callable[..., str],
) -> None:
    prompts = f'{{"id": 1, "prompt": "Hello"}}\n\n{prompt or ""}\n'
    answers = '{"id": "q1", "answer": "Yes."}\n' + (f"{answer}\n" if answer else "")
    batch.prompts.write_text(prompts)
    batch.answers.write_text(answers)
    path, number = (batch.prompts, 3) if prompt else (batch.answers, 2)
    message = refusal(batch.prompts, batch.answers)
    assert message == f"{path}, line {number}: {reason}: {prompt or answer}"
    assert not batch.server.requests
    assert batch.answers.read_text() == answers


def test_batch_accepts_a_missing_line_end_and_both_kinds_of_ids(batch: Batch) -> None:
    lines = ('{"id": 1, "prompt": "A"}', '{"id": "1", "prompt": "B"}')
    batch.prompts.write_text("\n".join(lines))
    assert "2 answered, 0 failed" in batch.run()
    assert {line["id"] for line in batch.lines} == {1, "1"}


P, A = "prompts.jsonl", "answers.jsonl"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((P, A, "--concurrency=0"), r"--concurrency: invalid \w+ value: '0'"),
        ((P, A, "--rate=0"), r"--rate: invalid \w+ value: '0'"),
        ((P, A, "--rate=nan"), r"--rate: invalid \w+ value: 'nan'"),
        ((P, A, "--rate=-1"), r"--rate: invalid \w+ value: '-1'"),
        ((P, A, "--retries=-1"), r"--retries: invalid \w+ value: '-1'"),
        ((P,), "where should the answers go"),
        ((P, "same.jsonl"), "the same file"),
        (("missing.jsonl", A), r"Stopped: .*missing\.jsonl"),
    ],
)
def test_batch_refuses_invalid_arguments(
    arguments: tuple[str, ...],
    message: str,
    batch: Batch,
    refusal: Callable[..., str],
) -> None:
    batch.write_prompts(2)
    before = batch.prompts.read_text()
    (batch.prompts.parent / "same.jsonl").symlink_to(batch.prompts)
    paths = [a if a[0] == "-" else batch.prompts.parent / a for a in arguments]
    assert re.search(message, refusal(*paths))
    assert batch.prompts.read_text() == before
    assert not batch.answers.exists()
