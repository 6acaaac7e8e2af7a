"""Tapes: recorded answers of an upstream are replayed without it."""

from __future__ import annotations

import json
import os
import re
import runpy
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from langchain_pmock.testing import Fault, PmockServer, Reply
from tests.support.calls import model_of
from tests.support.leaks import wait_until
from tests.support.on_the_wire import (
    PMOCK_KEYS,
    Person,
    command_line,
    events_of,
    get_weather,
    open_stream,
    post,
    text_of,
    user,
)
from tests.support.openai_server import KEY, OpenAIServer


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "tape.jsonl"


def exchanges(tape: Path) -> list[dict[str, Any]]:
    return [json.loads(x) for x in tape.read_text("utf-8").split("\n") if x]


def conversation(server: PmockServer) -> list[Any]:
    """An agent with a tool, two streams and a typed answer."""
    model = model_of(server)
    agent: Any = create_agent(model, [get_weather])
    state = agent.invoke({"messages": [user("What is the weather in Rome?")]})
    return [
        [(m.type, m.content) for m in state["messages"]],
        [chunk.text for chunk in model.stream("Tell me \u2028 a story.")],
        [chunk.text for chunk in model.stream("And \u0085 say data: [DONE]")],
        model.with_structured_output(Person).invoke("Anna is 31 years old."),
    ]


def answers_of(server: PmockServer, bodies: list[Any]) -> list[Any]:
    """Return status, content type and bytes of the answers to some requests."""
    answers = [post(server, **body) for body in bodies]
    return [(a.status_code, a.headers["content-type"], a.content) for a in answers]


def test_an_agent_two_streams_and_a_typed_answer(
    openai: OpenAIServer, tape: Path
) -> None:
    with PmockServer(upstream=openai.url, upstream_key=KEY, record=tape) as server:
        recorded = conversation(server)
        bodies = [request.body for request in server.requests]
    with PmockServer(upstream=openai.url, record=tape.with_name("2")) as server:
        on_the_wire = answers_of(server, bodies)
    asked = len(openai.requests)
    with PmockServer(replay=tape) as server:
        assert conversation(server) == recorded
        server.reset()
        assert answers_of(server, bodies) == on_the_wire
    assert len(openai.requests) == asked
    assert recorded[-1] == Person(name="Anna", age=31)
    assert tape.stat().st_mode & 0o777 == 0o600
    text = tape.read_text("utf-8")
    for secret in (KEY, server.secret_key, ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER):
        assert secret not in text


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_pmock_itself_is_passed_on_and_recorded_byte_for_byte(
    pmock: PmockServer, tape: Path, newline: str
) -> None:
    events = [
        ": hello\n\n",
        'data:{"code":200, "data": {"choices": []}, "odd": "\u2028\u0085"}\n\n',
        'id: 5\ndata: {"code":200,\ndata: "data":null}\n\n',
        'data: {"code":429,"message":"no"}\n\n',
    ]
    odd = [b'data: {"code":200,"x":"\xff"}' + newline.encode() * 2]
    odd += [event.replace("\n", newline).encode() for event in events]
    odd[-1] = odd[-1].strip()  # nothing ends the last event
    body = b'{"code": 200,  "data": {"choices": [] }}'
    pmock.script(Reply(raw=odd), Fault(status=429), Fault(body=body))
    settings: Any = {"upstream": pmock.url, "upstream_key": PMOCK_KEYS}
    with PmockServer(record=tape, **settings) as server:
        assert post(server, stream=True).content == b"".join(odd)
        refused = post(server)
        assert post(server).content == body
        assert [request.code for request in server.requests] == [429, 429, 200]
    with PmockServer(replay=tape) as server:
        with open_stream(server) as response:
            assert b"".join(response.iter_raw()) == b"".join(odd)
        again = post(server)
        assert (again.status_code, again.content) == (429, refused.content)
        assert post(server).content == body
        assert "2 answers to this request" in post(server).json()["message"]
        assert [request.code for request in server.requests] == [429, 429, 200, 400]
    assert len(exchanges(tape)[0]["answer"]) == len(odd)
    for key in PMOCK_KEYS:
        assert key not in tape.read_text("utf-8", "surrogateescape")


def test_events_come_one_by_one(openai: OpenAIServer, tape: Path) -> None:
    with PmockServer(upstream=openai.url, record=tape) as server:
        whole = events_of(post(server, stream=True).text)
    with PmockServer(replay=tape, delay=0.05) as server:
        began = time.monotonic()
        assert events_of(post(server, stream=True).text) == whole
        assert time.monotonic() - began >= 0.05 * (len(whole) - 1)


def call(call_id: str) -> dict[str, Any]:
    function = {"name": "f", "arguments": "{}"}
    return {"id": call_id, "type": "function", "function": function}


def history(*ids: str, answered: str) -> list[dict[str, Any]]:
    return [
        user("Hi"),
        {"role": "assistant", "toolCalls": [call(i) for i in ids]},
        {"role": "tool", "toolCallId": answered, "content": "x"},
    ]


def test_ids_of_tool_calls_are_matched_by_their_number(
    openai: OpenAIServer, tape: Path
) -> None:
    def tools(default: str) -> list[Any]:
        function = {"name": "f", "parameters": {"default": {"id": default}}}
        return [{"type": "function", "function": function}]

    prod = tools("prod")
    with PmockServer(upstream=openai.url, record=tape) as server:
        post(server, messages=history("a", "b", answered="b"), tools=prod)
    with PmockServer(replay=tape) as server:
        other = post(server, messages=history("b", "a", answered="b"), tools=prod)
        assert other.status_code == 400
        assert "messages[2].toolCallId" in other.json()["message"]
        messages = history("x", "y", answered="y")
        other = post(server, messages=messages, tools=tools("staging"))
        assert "parameters.default.id" in other.json()["message"]
        same = post(server, messages=messages, tools=prod)
        assert text_of(same) == "f says: x"


def test_a_request_that_is_not_on_the_tape(openai: OpenAIServer, tape: Path) -> None:
    with PmockServer(upstream=openai.url, record=tape) as server:
        post(server, messages=[user("The weather in Rome?")], temperature=0)
        post(server, messages=[user("Tell me a joke."), user("Now.")], n=2)
    with PmockServer(replay=tape) as server:
        refused = post(server, messages=[user("The weather in Oslo?")], temperature=0)
        message = refused.json()["message"]
        assert refused.status_code == 400
        assert message == (
            f"the tape {tape} does not have this request; nearest is line 1: "
            'messages[0].content is "The weather in Oslo?" in the request, '
            '"The weather in Rome?" on the tape'
        )
        message = post(server, messages=[user("Tell me a joke."), user("Now.")]).text
        assert "line 2: n is left out in the request, 2 on the tape" in message


def test_missing_requests_are_added(openai: OpenAIServer, tape: Path) -> None:
    with PmockServer(upstream=openai.url, record=tape) as server:
        post(server)
    link = tape.with_name("link.jsonl")
    link.symlink_to(tape)
    for record in (tape, link, tape.parent / "." / tape.name):
        with PmockServer(upstream=openai.url, record=record, replay=tape) as server:
            post(server)
            post(server, messages=[user("New")])
    assert len(openai.requests) == 2
    assert len(exchanges(tape)) == 2


def test_a_recording_is_not_overwritten(openai: OpenAIServer, tape: Path) -> None:
    settings: dict[str, Any] = {"upstream": openai.url, "record": tape}
    with PmockServer(**settings) as server:
        post(server)
    before = tape.read_bytes()
    tape.with_name("other").touch()
    for more in (settings, {"replay": tape.with_name("other")}):
        with pytest.raises(ValueError, match="has a recording already"):
            PmockServer(**{**settings, **more})
    assert tape.read_bytes() == before
    with pytest.raises(FileNotFoundError):
        PmockServer(upstream=openai.url, record=tape.parent / "missing" / "tape")


@pytest.mark.parametrize("newline", [True, False])
def test_a_tape_whose_last_line_is_cut_off(
    openai: OpenAIServer, tape: Path, *, newline: bool
) -> None:
    with PmockServer(upstream=openai.url, record=tape) as server:
        post(server)
        post(server, n=2)
    complete = tape.read_bytes()
    first, second, _ = complete.split(b"\n")
    # Without the line break, the last line is complete.
    tape.write_bytes(first + b"\n\n" + (second[:-20] if newline else second))
    settings: dict[str, Any] = {"upstream": openai.url, "record": tape, "replay": tape}
    with ExitStack() as stack:
        if newline:
            stack.enter_context(pytest.warns(UserWarning, match="line 3 is cut off"))
        server = PmockServer(**settings)
    with server:
        assert text_of(post(server)) == "You said: Hello"
        assert len(openai.requests) == 2
        post(server, n=2)
        post(server, n=3)
    assert [each["request"].get("n") for each in exchanges(tape)] == [None, 2, 3]
    with PmockServer(replay=tape) as server:
        assert {post(server, n=n).status_code for n in (1, 2, 3)} == {400, 200}


def test_only_complete_answers_are_recorded(openai: OpenAIServer, tape: Path) -> None:
    with PmockServer(upstream="http://127.0.0.1:9/v1", record=tape) as server:
        assert post(server).status_code == 502
    with PmockServer(upstream=openai.url, record=tape) as server:
        for text in ("left before its end", "read to its end"):
            openai.delay = 60 if text.startswith("left") else 0
            with open_stream(server, messages=[user(text)]) as response:
                for piece in response.iter_text():
                    if text.startswith("left") or "[DONE]" in piece:
                        break
            wait_until(lambda: server.open_connections == 0)
    (kept,) = exchanges(tape)
    assert kept["request"]["messages"] == [user("read to its end")]
    assert kept["answer"][-1] == "data: [DONE]\n\n"


GOOD: dict[str, Any] = {
    "request": {"model": "m", "messages": [user("Hi")]},
    "status": 200,
    "code": 200,
    "type": "application/json",
    "answer": ["{}"],
}


TAMPERED: list[dict[str, Any]] = [
    {"request": []},
    {"request": {"messages": 3}},
    *({"status": status} for status in (99, 204, 600, "200", float("inf"))),
    *({"type": kind} for kind in ("a\r\nb: c", None)),
    *({"code": "200"}, {"answer": 5}, {"answer": [5]}, {"x": 1}),
]


@pytest.mark.parametrize(
    "line",
    [
        *("no JSON", "[]", "5", "[" * 100_000),
        *(json.dumps({**GOOD, **change}) for change in TAMPERED),
    ],
    ids=lambda line: line[-80:],
)
def test_a_file_that_is_not_a_tape(tape: Path, line: str) -> None:
    tape.write_text(f"{json.dumps(GOOD)}\n\n{line}\n")
    with pytest.raises(ValueError, match="line 3: this is not a tape"):
        PmockServer(replay=tape)


def test_a_tape_that_is_missing_or_empty(tape: Path) -> None:
    with pytest.raises(FileNotFoundError):
        PmockServer(replay=tape)
    tape.touch()
    with PmockServer(replay=tape) as server:
        assert "is empty" in post(server).json()["message"]


def test_the_examples_of_the_docs(
    openai: OpenAIServer, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[2] / "docs" / "testing.md"
    script, tape = re.findall(r"```py\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    pytester.makepyfile(test_script=script, test_weather=tape)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    options = ("-p", "langchain_pmock_pytest", "-p", "no:cacheprovider")
    monkeypatch.setenv("PMOCK_UPSTREAM", openai.url)
    pytester.runpytest(*options, "--pmock-record=once").assert_outcomes(passed=2)
    monkeypatch.delenv("PMOCK_UPSTREAM")
    pytester.runpytest(*options).assert_outcomes(passed=2)
    assert len(openai.requests) == 2
    recorded = pytester.path / "tapes" / "test_weather" / "test_weather.jsonl"
    assert len(exchanges(recorded)) == 2


def test_the_command_line_records_and_replays(
    openai: OpenAIServer, tape: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Under the tracer of coverage, anyio cancels the first connection of a process.
    for name in [name for name in os.environ if name.startswith("COVERAGE")]:
        monkeypatch.delenv(name)
    upstream = ["--upstream", openai.url, "--upstream-key", KEY]
    for options in ([*upstream, "--record"], ["--replay"]):
        with command_line(*options, str(tape)) as served:
            assert text_of(post(served, timeout=60)) == "You said: Hello"
    assert len(openai.requests) == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--replay", "{tape}"], "line 1: this is not a tape"),
        (["--replay", "{tape}x"], "No such file or directory: '{tape}x'"),
        (["--record", "{tape}"], "need an upstream"),
        (["--port", "{port}"], "Address already in use (while attempting to bind on"),
        (["--upstream", "http://x", "--upstream-key", *"abc"], "must be a key"),
    ],
)
def test_errors_of_the_command_line(
    tape: Path,
    options: list[str],
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tape.write_text("no JSON\n")
    with PmockServer() as server:
        names: Any = {"tape": tape, "port": httpx.URL(server.url).port}
        given = [option.format(**names) for option in options]
        monkeypatch.setattr(sys, "argv", ["testing", *given])
        with pytest.raises(SystemExit, match="2"):
            runpy.run_module("langchain_pmock.testing", run_name="__main__")
    assert problem.format(**names) in capsys.readouterr().err
