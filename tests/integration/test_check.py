"""`python -m langchain_pmock.check`, against servers that keep the contract or not.

A deviation is a function of a request's body and of `ask`, which asks the right server.
It may change the request, change the answer, or answer by itself.
"""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2
import pytest
from langchain.agents import create_agent

from langchain_pmock import Wire
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from langchain_pmock.check import _questions
from langchain_pmock.check.__main__ import main
from langchain_pmock.testing import PmockServer
from tests.support import wire
from tests.support.calls import model_of
from tests.support.on_the_wire import get_weather, user
from tests.support.processes import python
from tests.support.raw_server import CLOSE, STALL, RawServer, head, whole
from tests.support.wire import Json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.raw_server import RawRequest, Step

REPORT = "pmock-check.json"
KEYS: Json = {"access_key": 'ak-example"/+1', "secret_key": "sk-éxample of a key"}
EVENT_STREAM = {"Content-Type": "text/event-stream"}


@dataclass
class Ran:
    """What a run returned, printed and wrote; `verdicts` that are not as assumed."""

    status: int
    shown: str
    written: str

    def __post_init__(self) -> None:
        self.report: Json = json.loads(self.written or '{"findings": []}')
        self.findings = {f["about"]: f for f in self.report["findings"]}
        verdicts = {about: f["verdict"] for about, f in self.findings.items()}
        self.verdicts = {k: v for k, v in verdicts.items() if v != "as assumed"}


RunCheck = Callable[..., Ran]


@pytest.fixture
def run_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> RunCheck:
    """Runs the check in this process, as the command does."""

    def run(server: PmockServer | RawServer, answer: str = "") -> Ran:
        for name, value in {**KEYS, "base_url": server.url}.items():
            monkeypatch.setenv(f"PMOCK_{name.upper()}", value)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        capsys.readouterr()
        status = main(["--yes"] * (not answer))
        shown = capsys.readouterr()
        report = tmp_path / REPORT
        written = report.read_text("utf-8") if report.is_file() else ""
        return Ran(status, shown.out + shown.err, written)

    return run


@pytest.fixture(name="server")
def _server() -> Iterator[PmockServer]:
    with PmockServer(**KEYS) as started:
        yield started


def test_as_a_command(server: PmockServer, tmp_path: Path) -> None:
    env = {"PYTHONPATH": ":".join(sys.path), "PYTHONIOENCODING": "ascii", **server.env}
    module = ["-m", "langchain_pmock.check", "--yes", "--model", "gpt-5.2"]
    done = python(*module, cwd=tmp_path, env=env)
    ran = Ran(done.returncode, done.stdout, (tmp_path / REPORT).read_text())
    assert (ran.status, ran.verdicts, done.stderr) == (0, {}, "")
    assert "11 as assumed, 0 unclear, 0 differs, 0 differs!, 0 failed!" in ran.shown
    # No text is written down: these are the beginnings of the rules' answers.
    assert not re.search("You said|get_number says", ran.shown + ran.written)
    exchanges = ran.report["exchanges"]
    assert len(exchanges) == len(server.requests) <= 15
    assert (exchanges[0]["check"], exchanges[0]["code"]) == ("Reachability", 200)
    assert "choice.message.content" in exchanges[0]["fields"]
    bodies = [request.body for request in server.requests if request.body]
    assert len(bodies) == len(exchanges) - 1  # that with a wrong key is not read
    assert {body["maxTokens"] for body in bodies} == {500}
    assert {body["model"] for body in bodies} == {"gpt-5.2", "gpt-5.1-thinking"}


@pytest.mark.parametrize("answer", ["n\n", "\n", "y\n"])
def test_confirmation(server: PmockServer, run_check: RunCheck, answer: str) -> None:
    ran = run_check(server, answer)
    assert "about 15 short requests" in " ".join(ran.shown.split())
    assert ran.status == (0 if answer == "y\n" else 2)
    assert bool(server.requests) == bool(ran.written) == (answer == "y\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PMOCK_ACCESS_KEY", ""),
        ("PMOCK_ACCESS_KEY", "ak\nexample"),
        ("PMOCK_SECRET_KEY", ""),
        ("PMOCK_BASE_URL", "ai.example.com"),
        ("PMOCK_BASE_URL", "https://me:sk-example@ai.example.com/api"),
        ("PMOCK_BASE_URL", "https://ai.example.com/api?key=sk-example"),
    ],
)
def test_bad_settings(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    for variable in ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY", name):
        monkeypatch.setenv(variable, value if variable == name else "example")
    with pytest.raises(SystemExit, match="2"):
        main(["--yes"])
    shown = capsys.readouterr().err
    assert name in shown
    assert "sk-example" not in shown


def test_a_report_that_cannot_be_written(
    server: PmockServer, run_check: RunCheck, tmp_path: Path
) -> None:
    (tmp_path / REPORT).mkdir()
    ran = run_check(server)
    assert ran.status == 0
    assert f"{REPORT} could not be written" in ran.shown


def test_interrupted(run_check: RunCheck) -> None:
    thread = threading.get_ident()

    def interrupt(_request: RawRequest) -> list[Step]:
        signal.pthread_kill(thread, signal.SIGINT)
        return [STALL]

    # A shell's background jobs ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with RawServer(interrupt) as server:
            ran = run_check(server)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (ran.status, ran.written) == (130, "")


@dataclass(frozen=True)
class Response:
    """A response; `length` may be larger than the content, which is then cut off."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


Ask = Callable[[Json], Response]
Deviation = Callable[[Json, Ask], Response]


@contextmanager
def deviating(deviate: Deviation) -> Iterator[RawServer]:
    """Start a server that deviates."""
    with PmockServer(**KEYS) as right, httpx2.Client(trust_env=False) as client:

        def answer(raw: RawRequest) -> list[Step]:
            def ask(body: Json) -> Response:
                names = ("accept", ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER)
                sent = {n.encode(): raw.headers[n].encode("latin-1") for n in names}
                url = right.url.removesuffix("/api") + raw.target
                got = client.post(url, json=body, headers=sent)
                headers = {n: got.headers[n] for n in ("Content-Type", "Date")}
                return Response(got.content, got.status_code, headers)

            response = deviate(json.loads(raw.body), ask)
            length = response.length or len(response.content)
            first = head(f"{response.status} -", response.headers, length=length)
            return [first + response.content, *[CLOSE] * bool(response.length)]

        with RawServer(answer) as server:
            yield server


def envelope(code: object, message: str = "-", status: int = 200) -> Response:
    return Response(wire.dump(wire.envelope(None, code, message)), status)


def always(response: Response) -> Deviation:
    return lambda _body, _ask: response


def when(text: str, deviate: Deviation) -> Deviation:
    """A server that deviates for the requests with a text in their JSON."""
    return lambda body, ask: (
        deviate(body, ask) if text in json.dumps(body) else ask(body)
    )


def without(*names: str) -> Deviation:
    """A server that ignores some fields of requests."""
    return lambda body, ask: ask({k: v for k, v in body.items() if k not in names})


def for_bad_tokens(answer: Response) -> Deviation:
    return lambda body, ask: answer if (right := ask(body)).status == 401 else right


def in_stream(change: Callable[[Response], Response]) -> Deviation:
    return lambda body, ask: (
        change(right) if b"data: " in (right := ask(body)).content else right
    )


def replaced(old: bytes, new: bytes) -> Deviation:
    return in_stream(lambda r: replace(r, content=r.content.replace(old, new)))


def edit(change: Callable[[Json], Any]) -> Deviation:
    """A server whose envelopes are changed, in place or for a new one."""

    def edited(match: re.Match[str]) -> str:
        parsed = json.loads(match[0])
        return json.dumps(change(parsed) or parsed)

    def deviate(body: Json, ask: Ask) -> Response:
        response = ask(body)
        text = re.sub(r"\{.*\}", edited, response.content.decode())
        return replace(response, content=text.encode())

    return deviate


def change(path: str, **fields: Any) -> Deviation:
    """Change the objects at a path of each envelope; a field that is `...` goes."""

    def change_in(value: Any, names: list[str]) -> None:
        if isinstance(value, list):
            for item in value:
                change_in(item, names)
        elif isinstance(value, dict) and names:
            for name in names[0].split("|"):
                change_in(value.get(name), names[1:])
        elif isinstance(value, dict) and value.get("code", 200) == 200:
            value.update(fields)
            for name in [name for name in value if value[name] is ...]:
                del value[name]

    return edit(lambda envelope: change_in(envelope, path.split()))


def forgetful(body: Json, ask: Ask) -> Response:
    """The model answers as if there had been no tool result."""
    return ask({**body, "messages": [{"role": "user", "content": "Hm."}]})


def signed_calls(body: Json, ask: Ask) -> Response:
    """A model that signs its calls, and refuses those without a signature."""
    for message in body["messages"]:
        for call in message.get("toolCalls", ()):
            if not call.pop("extra_content", None):
                return REFUSED
    return change(CALLS, extra_content={"google": {"signature": "c2ln"}})(body, ask)


def spelled(tool_calls: str, tool_call_id: str, otherwise: Deviation) -> Deviation:
    """A server with these names in messages, which deviates if they have others."""
    names = {tool_calls: "toolCalls", tool_call_id: "toolCallId"}

    def deviate(body: Json, ask: Ask) -> Response:
        for message in body["messages"]:
            for name in [n for n in message if n.startswith("tool")]:
                if name not in names:
                    return otherwise(body, ask)
                message[names[name]] = message.pop(name)
        return ask(body)

    return deviate


PLAIN = Response(wire.dump(wire.answer("Hi.")))
BUSY = Response(status=429, headers={"Retry-After": "0"})
BROKEN = Response(status=500, headers={"Retry-After": "0"})
REFUSED = envelope(400, "no", 400)
REFUSED_IN_EVENT = Response(b'data: {"code": 400}\n\n', headers=EVENT_STREAM)
WEB_PAGE = Response(b"<p>", headers={"Content-Type": "text/html"})
DONE, FIRST_EVENT = b"data: [DONE]", wire.event(wire.delta("One,"))
HISTORY, NO_MESSAGES = '"role": "tool"', '"messages": []'
CHOICES, MESSAGES = "data choices", "data choices message|delta"
CALLS = f"{MESSAGES} toolCalls"
MOVED = change(MESSAGES, toolCalls=..., functionCalls=[{}])
UNWRAPPED = edit(lambda body: body["data"] or body)
SNAKE_CASE = edit(wire.in_snake_case)
FENCED = change(MESSAGES, content='```json\n{"city": "Paris"}\n```')

# The question, the deviation, and the verdict with a part of what is found.
DEVIATIONS: list[tuple[str, Deviation, str]] = [
    ("Reachability", lambda b, ask: replace(ask(b), headers={}), "differs: no Date"),
    ("Reachability", always(envelope(401, "no key", 401)), "failed!: code 401: no key"),
    ("Reachability", always(WEB_PAGE), "failed!: HTTP 200, code None: text/html"),
    ("Reachability", always(Response(b": wait\n" * 500_000)), "failed!: no end after"),
    ("Answer", UNWRAPPED, "differs!: no code=200; no data"),
    ("Answer", SNAKE_CASE, "differs: no traceId:str; no choice.finishReason"),
    ("Answer", change("", code=0), "differs!: no code=200"),
    ("Answer", when("maxTokens", always(REFUSED)), "as assumed: as expected"),
    ("Answer", change(CHOICES, message={}, finishReason="length"), "unclear: stopped"),
    ("Wrong key", for_bad_tokens(envelope(403, "签名", 403)), "differs!: 403: 签名"),
    ("Wrong key", for_bad_tokens(envelope("401")), "as assumed: HTTP 200, code 401"),
    ("Wrong key", for_bad_tokens(PLAIN), "differs: answered"),
    ("Wrong key", for_bad_tokens(BUSY), "failed!: HTTP 429"),
    ("Stream", in_stream(lambda r: replace(r, headers={})), "differs!: not labelled"),
    ("Stream", without("stream"), "differs: a whole answer"),
    ("Stream", replaced(b"\n\n", b"\n"), "differs: no blank-lines"),
    ("Stream", replaced(b"\n\n", b"\r\n\r\n: wait\r\n\r\n"), "as assumed: 15 events"),
    ("Stream", replaced(DONE, b"data: ping\n\n" + DONE), "differs!: no only-JSON"),
    ("Stream", replaced(DONE, b": end"), "differs: no [DONE]"),
    ("Stream", in_stream(lambda r: replace(r, content=FIRST_EVENT)), "differs!"),
    ("Stream", in_stream(lambda r: replace(r, length=9999)), "failed!: Protocol"),
    ("Parameters", when('"topP"', always(REFUSED)), "differs: HTTP 400"),
    ("No messages", when(NO_MESSAGES, always(envelope(10003))), "differs!: code 10003"),
    ("No messages", when(NO_MESSAGES, always(REFUSED_IN_EVENT)), "as assumed: 400"),
    ("Tool call", without("tools", "toolChoice"), "unclear: did not call the tool"),
    ("Tool call", when('"tools"', always(REFUSED)), "differs!: HTTP 400"),
    ("Tool call", MOVED, "differs!: a call in an unknown field"),
    ("Tool call", change(f"{CALLS} function", arguments={}), "differs: arguments:str"),
    ("Tool call", change(f"{CALLS} function", arguments="{"), "unclear: not the JSON"),
    ("Streamed tool call", MOVED, "differs!: choice.delta.functionCalls"),
    ("Streamed tool call", change(CALLS, index=...), "differs: index:int"),
    ("Tool result", when(HISTORY, forgetful), "unclear: no answer repeats the result"),
    ("Tool result", when(HISTORY, always(REFUSED)), "differs!: no answer repeats"),
    ("Tool result", signed_calls, "as assumed: toolCalls, toolCallId: seen"),
    ("json_schema", without("responseFormat"), "differs!: not a JSON object"),
    ("json_schema", change(MESSAGES, content="{}"), "unclear: without the key"),
    ("json_schema", FENCED, "differs: JSON in a Markdown fence"),
    ("Reasoning", change(MESSAGES, reasoningContent=...), "unclear: none"),
    ("Reasoning", when("thinking", always(envelope(403))), "unclear: code 403"),
]


@pytest.mark.parametrize(("about", "deviate", "expected"), DEVIATIONS)
def test_deviation(
    run_check: RunCheck, about: str, deviate: Deviation, expected: str
) -> None:
    with deviating(deviate) as server:
        ran = run_check(server)
    finding = ran.findings[about]
    verdict, _, found = expected.partition(": ")
    assert finding["verdict"] == verdict, finding
    assert found in finding["found"]
    assert ran.status == int(any("!" in verdict for verdict in ran.verdicts.values()))
    assert ("Nothing else" in ran.shown) == (len(ran.findings) == 1)


def test_each_question_has_a_deviation() -> None:
    abouts = {question.about for question in _questions.QUESTIONS}
    assert {about for about, *_ in DEVIATIONS} == abouts


@pytest.mark.parametrize("offset", [-90, 20, 90])
def test_clock(server: PmockServer, run_check: RunCheck, offset: int) -> None:
    server.clock_offset = offset
    # A `Date` in whole seconds cannot tell the minute at its edges.
    second = (time.time() + offset) % 60
    if not 2 < second < 50:
        time.sleep((62 - second) % 60)
    ran = run_check(server)
    assert (ran.status, ran.verdicts) == (0, {"Reachability": "differs"})
    found = re.search(r"([+-]\d+) s", ran.findings["Reachability"]["found"])
    assert found
    assert abs(int(found[1]) - offset) <= 1


def test_busy_for_a_moment(run_check: RunCheck) -> None:
    def every_other(body: Json, ask: Ask) -> Response:
        return BUSY if len(server.requests) % 2 else ask(body)

    with deviating(every_other) as server:
        ran = run_check(server)
    assert (ran.status, ran.verdicts) == (0, {})


@pytest.mark.parametrize(
    ("names", "otherwise"),
    [
        (("tool_calls", "tool_call_id"), always(REFUSED)),
        (("tool_calls", "tool_call_id"), forgetful),
        (("tool_calls", "toolCallId"), always(BROKEN)),
    ],
)
def test_the_printed_wire_works(
    run_check: RunCheck, names: tuple[str, str], otherwise: Deviation
) -> None:
    with deviating(spelled(*names, otherwise)) as server:
        ran = run_check(server)
        assert (ran.status, ran.verdicts) == (1, {"Tool result": "differs!"})
        assert f"{', '.join(names)}: seen" in ran.findings["Tool result"]["found"]
        assert ran.findings["Tool result"]["wire"]["tool_calls"] == names[0]
        printed = re.search(r"wire=(Wire\(.*\))\)$", ran.shown, re.MULTILINE)
        assert printed
        parsed = eval(printed[1], {"Wire": Wire})  # noqa: S307 - what a user copies
        agent: Any = create_agent(model_of(server, wire=parsed, **KEYS), [get_weather])
        asked = {"messages": [user("What is the weather in Rome?")]}
        assert "Sunny in Rome." in agent.invoke(asked)["messages"][-1].text


@pytest.mark.parametrize(
    "spell",
    [str, lambda text: quote(text, safe=""), lambda text: json.dumps(text)[1:-1]],
    ids=["plain", "in a URL", "in JSON"],
)
@pytest.mark.parametrize("padding", [0, 90, 175])
def test_secrets_that_are_echoed(
    run_check: RunCheck, spell: Callable[[str], str], padding: int
) -> None:
    sent = {*KEYS.values()}

    def echo(body: Json, ask: Ask) -> Response:
        for name in (ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER):
            sent.add(server.requests[-1].headers[name].encode("latin-1").decode())
        secrets = [spell(secret) for secret in sent]
        text = "." * padding + " ".join(secrets)
        fields = {"message": text, "traceId": text, **dict.fromkeys(secrets, 1)}
        response = edit(lambda envelope: envelope.update(fields))(body, ask)
        response = change(CHOICES, finishReason=text)(body, lambda _: response)
        headers = {"X-Trace": secrets[0].encode().decode("latin-1"), "Date": secrets[0]}
        return replace(response, headers={**response.headers, **headers})

    with deviating(echo) as server:
        ran = run_check(server)
    assert len(sent) > 3
    assert "***" in ran.shown
    for secret in sent:
        for text in (secret, spell(secret)[:10]):
            assert text not in ran.shown + ran.written


ODD_BODIES = [
    b"",
    b'{"code": 1e400}',
    b'{"code": [1], "message": {"a": 1}, "data": []}',
    b'{"code": 200, "data": {"choices": [null, 5, {"message": "OK"}]}}',
    b'{"code": 200, "data": {"choices": [{"message": {"content": 1}}], "usage": 5}}',
    b'{"code": 200, "data": {"choices": [{"message": {"toolCalls": [{"id": 1}]}}]}}',
    b'{"code": 200, "data": {"choices": [{"logprobs": [1], "finishReason": {}}]}}',
    b'{"code": 401, "message": "\\ud800\\u001b[31m"}',
    b"data: {}\n\ndata: []\n\ndata: \xff\n\n: \x1b\n\x1b\n\ndata",
]


@pytest.mark.parametrize("start", range(len(ODD_BODIES)))
def test_odd_answers(run_check: RunCheck, start: int) -> None:
    """Each question meets each of them, the first one in half of the runs."""

    def odd(body: Json, ask: Ask) -> Response:
        count = len(server.requests)
        content = ODD_BODIES[(start + count) % len(ODD_BODIES)]
        headers = EVENT_STREAM if count % 3 else {}
        return ask(body) if count <= start % 2 else Response(content, headers=headers)

    with deviating(odd) as server:
        ran = run_check(server)
    assert ran.status == 1
    assert "\x1b" not in ran.shown + ran.written


def dribble(piece: bytes) -> list[Step]:
    return [0.01, piece] * 1_000


ENDLESS: list[list[Step]] = [
    [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_000] * 5_000,
    [b"HTTP/1.1 200 OK\r\n", *dribble(b"x: 1\r\n")],
    [head(), *dribble(b"8\r\n: wait\n\n\r\n")],
]


@pytest.mark.parametrize("answer", ENDLESS)
def test_an_endless_answer(
    run_check: RunCheck, monkeypatch: pytest.MonkeyPatch, answer: list[Step]
) -> None:
    monkeypatch.setattr(_questions, "QUESTION_SECONDS", 0.3)
    with RawServer(answer) as server:
        ran = run_check(server)
    assert re.search(r"no end after \d+ s", ran.findings["Reachability"]["found"])


def test_the_whole_run_has_a_limit(
    run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_questions, "RUN_SECONDS", 3.0)

    def answer(_request: RawRequest) -> list[Step]:
        return whole(PLAIN.content) if len(server.requests) == 1 else [STALL]

    with RawServer(answer) as server:
        ran = run_check(server)
    assert len(ran.report["findings"]) == len(_questions.QUESTIONS)
    assert set(list(ran.verdicts.values())[2:]) == {"failed!"}


def test_thousands_of_names(run_check: RunCheck) -> None:
    names = {f"n_{number}": 0 for number in range(30_000)}
    with deviating(when("word OK", change("data", **names))) as server:
        ran = run_check(server)
    assert ran.findings["Answer"]["verdict"] == "differs"
    assert len(ran.written) < 50_000
