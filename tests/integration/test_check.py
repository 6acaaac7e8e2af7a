"""`python -m langchain_pmock.check`, against servers that keep the contract or not."""

from __future__ import annotations

import io
import json
import re
import signal
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import pytest
import trustme
from langchain.agents import create_agent

from langchain_pmock import ChatPmock, Wire
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from langchain_pmock.check import _questions
from langchain_pmock.check.__main__ import main
from tests.support.deviating import (
    EVENT_STREAM,
    Ask,
    Deviating,
    Deviation,
    Request,
    Response,
    deviating,
    edit,
    edited,
    envelope,
    snake_case_messages,
    without,
)
from tests.support.raw_server import RawServer, head, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_pmock.testing import PmockServer
    from tests.support.raw_server import RawRequest, Step
    from tests.support.wire import Json

REPORT = "pmock-check.json"
COMMAND = [sys.executable, "-m", "langchain_pmock.check", "--yes"]


@dataclass
class Ran:
    """What a run printed, wrote and returned."""

    status: int
    shown: str
    written: str

    @property
    def report(self) -> Json:
        report: Json = json.loads(self.written)
        return report

    def finding(self, about: str) -> Json:
        (found,) = (f for f in self.report["findings"] if f["about"] == about)
        return dict(found)

    @property
    def verdicts(self) -> dict[str, str]:
        """The verdicts that are not as assumed."""
        verdicts = {f["about"]: f["verdict"] for f in self.report["findings"]}
        return {k: v for k, v in verdicts.items() if v != "as assumed"}


class RunCheck(Protocol):
    """Runs the check in this process, as the command does."""

    def __call__(
        self, server: PmockServer | Deviating, *options: str, answer: str = ""
    ) -> Ran: ...


@pytest.fixture
def run_check(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> RunCheck:
    def run(server: PmockServer | Deviating, *options: str, answer: str = "") -> Ran:
        monkeypatch.setenv("PMOCK_ACCESS_KEY", server.access_key)
        monkeypatch.setenv("PMOCK_SECRET_KEY", server.secret_key)
        monkeypatch.setenv("PMOCK_BASE_URL", server.url)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        capsys.readouterr()
        status = main([*options, *["--yes"] * (not answer)])
        shown = capsys.readouterr()
        report = tmp_path / REPORT
        written = report.read_text("utf-8") if report.is_file() else ""
        return Ran(status, shown.out + shown.err, written)

    return run


def at(server: RawServer) -> Deviating:
    return Deviating(server.url, "ak-example", "sk-example", [])


# --- The command ----------------------------------------------------------------------


def test_everything_is_as_assumed(server: PmockServer, run_check: RunCheck) -> None:
    ran = run_check(server)
    assert ran.status == 0
    # The rules neither look at images, nor at the model's name.
    assert ran.verdicts == {"Unknown model": "unclear", "Image": "unclear"}
    assert ran.report["wire"]["tool_calls"] == "toolCalls"
    assert "Wire(" not in ran.shown
    assert "16 as assumed, 2 unclear, 0 differs, 0 differs!, 0 failed!" in ran.shown
    exchanges = ran.report["exchanges"]
    assert 20 <= len(exchanges) == len(server.requests) <= 25
    assert (exchanges[0]["check"], exchanges[0]["code"]) == ("Reachability", 200)
    assert "choice.message.content" in exchanges[0]["fields"]
    assert sum(ran.report["usage"].values()) < 2_500
    bodies = [request.body for request in server.requests if request.body]
    limits = [b.get("maxTokens") or b["maxCompletionTokens"] for b in bodies]
    assert len(limits) == 19  # those with wrong keys are not read
    assert max(limits) == 500
    # No text is written down: these are the beginnings of the rules' answers.
    assert not re.search("You said|get_number says", ran.shown + ran.written)


def test_as_a_command(server: PmockServer, tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603 - written in this file
        [*COMMAND, "--json", "--model", "gpt-5.2"],
        cwd=tmp_path,
        env={
            **server.env,
            "PYTHONPATH": ":".join(sys.path),
            "PYTHONIOENCODING": "ascii",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads((tmp_path / REPORT).read_text())
    assert json.loads(done.stdout) == report
    assert report["model"] == "gpt-5.2"
    models = {request.body["model"] for request in server.requests if request.body}
    assert models == {"gpt-5.2", "gpt-5.1-thinking", "langchain-pmock-check"}


@pytest.mark.parametrize("answer", ["n\n", "\n", "y\n"])
def test_confirmation(server: PmockServer, run_check: RunCheck, answer: str) -> None:
    ran = run_check(server, answer=answer)
    assert "about 25 short requests" in " ".join(ran.shown.split())
    assert ran.status == (0 if answer == "y\n" else 2)
    assert bool(server.requests) == bool(ran.written) == (answer == "y\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PMOCK_ACCESS_KEY", ""),
        ("PMOCK_SECRET_KEY", ""),
        ("PMOCK_ACCESS_KEY", "ak\nexample"),
        ("PMOCK_BASE_URL", "ai.example.com"),
        ("PMOCK_BASE_URL", "https://me:sk-example@ai.example.com/api"),
        ("PMOCK_BASE_URL", "https://ai.example.com/api?key=sk-example"),
        ("PMOCK_BASE_URL", "https://ai.example.com:port"),
    ],
)
def test_bad_settings(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    value: str,
) -> None:
    monkeypatch.setenv("PMOCK_ACCESS_KEY", "ak-example")
    monkeypatch.setenv("PMOCK_SECRET_KEY", "sk-example")
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as raised:
        main(["--yes"])
    assert raised.value.code == 2
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


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let children be interrupted: a shell's background jobs ignore the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_interrupted(server: PmockServer, tmp_path: Path) -> None:
    server.fail(stall=60, times=9)
    with subprocess.Popen(  # noqa: S603 - written in this file
        COMMAND,
        cwd=tmp_path,
        env={**server.env, "PYTHONPATH": ":".join(sys.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not server.requests:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, b"")


# --- Deviations -----------------------------------------------------------------------


def to_snake_case(value: Any) -> Any:
    if isinstance(value, list):
        return [to_snake_case(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", name): to_snake_case(item)
        for name, item in value.items()
    }


def when(
    condition: Callable[[Json], object], answer: Response | Deviation
) -> Deviation:
    """A server that deviates for some requests alone."""

    def deviate(request: Request, ask: Ask) -> Response:
        if not condition(request.body):
            return ask(request)
        return answer if isinstance(answer, Response) else answer(request, ask)

    return deviate


def has(*names: str) -> Callable[[Json], object]:
    return lambda body: set(names) <= body.keys()


def is_empty(body: Json) -> bool:
    return not body["messages"]


def is_unknown(body: Json) -> bool:
    return bool(body["model"] == "langchain-pmock-check")


def is_thinking(body: Json) -> bool:
    return bool(body["model"] == "gpt-5.1-thinking")


def has_history(body: Json) -> bool:
    return any(message["role"] == "tool" for message in body["messages"])


def for_bad_tokens(answer: Response) -> Deviation:
    """A server that answers this to what the right one refuses with 401."""

    def deviate(request: Request, ask: Ask) -> Response:
        response = ask(request)
        return answer if response.status == 401 else response

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

    return edit(lambda body: change_in(body, path.split()))


def in_stream(change: Callable[[Response], Response]) -> Deviation:
    def deviate(request: Request, ask: Ask) -> Response:
        response = ask(request)
        return change(response) if response.is_stream else response

    return deviate


def replaced(old: bytes, new: bytes) -> Deviation:
    """Replace bytes of streams."""
    return in_stream(lambda r: replace(r, content=r.content.replace(old, new)))


def labelled(content_type: str) -> Deviation:
    return in_stream(
        lambda r: replace(r, headers={**r.headers, "Content-Type": content_type})
    )


def forgetful(request: Request, ask: Ask) -> Response:
    """The model answers as if there had been no tool result."""
    messages = [{"role": "user", "content": "Hm."}]
    return ask(replace(request, body={**request.body, "messages": messages}))


def signed_calls(request: Request, ask: Ask) -> Response:
    """A model that signs its calls, and refuses those without a signature."""
    messages = json.loads(json.dumps(request.body["messages"]))
    for message in messages:
        for call in message.get("toolCalls", ()):
            if not call.pop("extra_content", None):
                return REFUSED
    sign_it = change(CALLS, extra_content={"google": {"thought_signature": "c2ln"}})
    return sign_it(replace(request, body={**request.body, "messages": messages}), ask)


DATA = {"choices": [{"message": {"content": "Hi."}, "finishReason": "stop"}]}
PLAIN = Response(json.dumps({"code": 200, "message": "", "data": DATA}).encode())
BROKEN = Response(b"", 500, {"Retry-After": "0"})
BUSY = Response(b"", 429, {"Retry-After": "0"})
REFUSED = envelope(400, "no", 400)
REFUSED_IN_EVENT = Response(
    b'data: {"code": 400, "message": "-"}\n\n', headers={"Content-Type": EVENT_STREAM}
)
DONE = b"data: [DONE]"
CHOICES, MESSAGES = "data choices", "data choices message|delta"
CALLS = f"{MESSAGES} toolCalls"
MOVED = change(MESSAGES, toolCalls=..., functionCalls=[{}])
UNWRAPPED = edit(lambda body: body["data"] or body)
SNAKE_CASE = edit(to_snake_case)
STOPPED = change(CHOICES, message={"content": "{"}, finishReason="length")

DEVIATIONS: list[tuple[str, Deviation, str]] = [
    ("Reachability", lambda r, ask: replace(ask(r), headers={}), "differs"),
    ("Answer", UNWRAPPED, "differs!"),
    ("Answer", SNAKE_CASE, "differs"),
    ("Answer", change("", code="200"), "differs"),
    ("Answer", change("", code=0), "differs!"),
    ("Answer", change("", cost=1), "as assumed"),
    ("Answer", change(CHOICES, message={}, finishReason="length"), "unclear"),
    ("Wrong keys", for_bad_tokens(envelope(403, "-", 403)), "differs!"),
    ("Wrong keys", for_bad_tokens(envelope(401)), "as assumed"),
    ("Wrong keys", for_bad_tokens(PLAIN), "differs"),
    ("Wrong keys", for_bad_tokens(BUSY), "failed!"),
    ("Stream", UNWRAPPED, "differs!"),
    ("Stream", labelled("application/json"), "differs!"),
    ("Stream", labelled("text/plain"), "differs"),
    ("Stream", when(has("stream"), without("stream")), "differs"),
    ("Stream", when(has("stream"), REFUSED), "differs!"),
    ("Stream", replaced(b"\n\n", b"\n"), "differs"),
    ("Stream", replaced(b"\n", b"\r\n"), "as assumed"),
    ("Stream", replaced(DONE, b"data: ping\n\n" + DONE), "differs!"),
    ("Stream", replaced(DONE, b'data: {"code": 400}'), "differs!"),
    ("Stream", replaced(b"data: {", b": wait\n\ndata: {"), "as assumed"),
    ("Stream", replaced(DONE, b": end"), "differs"),
    ("Stream", in_stream(lambda r: replace(r, length=9999)), "failed!"),
    ("Documented parameters", when(has("topP"), REFUSED), "differs"),
    ("Documented parameters", when(has("topP", "seed"), REFUSED), "as assumed"),
    ("Limits", without("maxTokens", "maxCompletionTokens"), "differs"),
    ("Limits", when(has("maxTokens"), REFUSED), "differs"),
    ("Limits", when(has("maxTokens"), PLAIN), "unclear"),
    ("No messages", when(is_empty, envelope(10003, "messages")), "differs!"),
    ("No messages", when(is_empty, PLAIN), "differs"),
    ("No messages", when(is_empty, REFUSED_IN_EVENT), "as assumed"),
    ("Unknown model", when(is_unknown, envelope(404, "-", 404)), "as assumed"),
    ("Unknown model", when(is_unknown, BROKEN), "differs"),
    ("Tool call", without("tools", "toolChoice"), "unclear"),
    ("Tool call", change(f"{CALLS} function", name="other"), "unclear"),
    ("Tool call", STOPPED, "unclear"),
    ("Tool call", when(has("tools"), REFUSED), "differs!"),
    ("Tool call", MOVED, "differs!"),
    ("Tool call", SNAKE_CASE, "differs"),
    ("Tool call", change(CALLS, function=...), "differs!"),
    ("Tool call", change(f"{CALLS} function", arguments={}), "differs"),
    ("Tool call", change(f"{CALLS} function", arguments="{"), "unclear"),
    ("Streamed tool call", MOVED, "differs!"),
    ("Streamed tool call", change(CALLS, index=...), "differs"),
    ("Tool result", when(has_history, forgetful), "unclear"),
    ("Tool result", when(has_history, REFUSED), "differs!"),
    ("Tool result", signed_calls, "as assumed"),
    ("Reasoning in messages", change(""), "as assumed"),
    ("json_schema", without("responseFormat"), "differs!"),
    (
        "json_schema",
        change(MESSAGES, content='```json\n{"city": 1, "country": 1}\n```'),
        "differs",
    ),
    ("json_schema", STOPPED, "unclear"),
    ("json_object", change(MESSAGES, content="{}"), "unclear"),
    ("n = 2", without("n"), "differs"),
    ("logprobs", when(has("logprobs"), envelope(400)), "differs"),
    ("Image", change(MESSAGES, content="Yellow."), "as assumed"),
    ("Reasoning", SNAKE_CASE, "differs"),
    ("Reasoning", change(MESSAGES, reasoningContent=...), "unclear"),
    ("Reasoning", when(is_thinking, envelope(403)), "unclear"),
    ("Reasoning", when(is_thinking, BROKEN), "failed!"),
]


@pytest.mark.parametrize(
    ("about", "deviate", "verdict"),
    DEVIATIONS,
    ids=[f"{about} {number}" for number, (about, *_) in enumerate(DEVIATIONS)],
)
def test_deviation(
    run_check: RunCheck, about: str, deviate: Deviation, verdict: str
) -> None:
    with deviating(deviate) as server:
        ran = run_check(server)
    finding = ran.finding(about)
    assert finding["verdict"] == verdict, finding
    assert ran.status == int(any("!" in verdict for verdict in ran.verdicts.values()))


def test_each_question_has_a_deviation() -> None:
    abouts = {question.about for question in _questions.QUESTIONS}
    assert {about for about, *_ in DEVIATIONS} == abouts


def test_no_call_is_not_a_wrong_assumption(run_check: RunCheck) -> None:
    with deviating(without("tools", "toolChoice")) as server:
        found = run_check(server).finding("Tool call")["found"]
    assert found == "the model did not call the tool (stop)"
    with deviating(MOVED) as server:
        found = run_check(server).finding("Tool call")["found"]
    assert "a call in an unknown field" in found
    assert "choice.message.functionCalls" in found


@pytest.mark.parametrize(
    ("response", "found"),
    [
        (envelope(401, "no such key", 401), "HTTP 401, code 401: no such key"),
        (envelope("10003", "签名错误"), "HTTP 200, code 10003: 签名错误"),
        (
            Response(b"<p>", headers={"Content-Type": "text/html"}),
            "HTTP 200, code None: text/html",
        ),
        (
            Response(b"", 302, {"Location": "https://example.com/"}),
            "https://example.com",
        ),
        (BROKEN, "HTTP 500"),
        (Response(b'{"error": {"message": "No."}}', 400), "No."),
        (Response(b"{", length=100), "RemoteProtocolError"),
        (Response(b"not gzip", headers={"Content-Encoding": "gzip"}), "DecodingError"),
        (Response(b": wait\n" * 500_000), "no end after"),
    ],
)
def test_no_answer(run_check: RunCheck, response: Response, found: str) -> None:
    with deviating(lambda _request, _ask: response) as server:
        ran = run_check(server)
    assert (ran.status, ran.verdicts) == (1, {"Reachability": "failed!"})
    assert found in ran.finding("Reachability")["found"]
    assert "nothing else was checked" in ran.shown


@pytest.mark.parametrize("is_trusted", [True, False])
def test_tls(
    run_check: RunCheck,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    is_trusted: bool,
) -> None:
    ours, another = trustme.CA(), trustme.CA()
    trusted = tmp_path / "authority.pem"
    (ours if is_trusted else another).cert_pem.write_to_path(str(trusted))
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(whole(PLAIN.content), tls=context) as server:
        ran = run_check(at(server))
    found = ran.finding("Reachability")["found"]
    assert ("TLSv1.3" if is_trusted else "CERTIFICATE_VERIFY_FAILED") in found


@pytest.mark.parametrize("offset", [-90, 20, 90])
def test_clock(server: PmockServer, run_check: RunCheck, offset: int) -> None:
    server.clock_offset = offset
    ran = run_check(server)
    assert (ran.status, ran.verdicts["Reachability"]) == (0, "differs")
    found = re.search(r"([+-]\d+) s", ran.finding("Reachability")["found"])
    assert found
    assert abs(int(found[1]) - offset) <= 1


def test_busy_for_a_moment(run_check: RunCheck) -> None:
    def every_other(request: Request, ask: Ask) -> Response:
        return BUSY if len(server.requests) % 2 else ask(request)

    with deviating(every_other) as server:
        ran = run_check(server)
    assert (ran.status, {*ran.verdicts.values()}) == (0, {"unclear"})


def test_a_model_that_refuses_max_tokens(run_check: RunCheck) -> None:
    with deviating(when(has("maxTokens"), REFUSED)) as server:
        ran = run_check(server)
        bodies = [json.loads(request.body) for request in server.requests]
    assert ran.finding("Answer")["verdict"] == "as assumed"
    assert [body.get("maxTokens") for body in bodies[:2]] == [500, None]
    assert bodies[1]["maxCompletionTokens"] == 500


# --- Names in messages ----------------------------------------------------------------


@pytest.mark.parametrize("strict", [True, False])
def test_the_printed_wire_works(run_check: RunCheck, strict: bool) -> None:
    def get_number(name: str) -> str:
        """Get a person's number."""
        return f"{name}: 48213"

    with deviating(snake_case_messages(strict=strict)) as server:
        ran = run_check(server)
        assert (ran.status, ran.verdicts["Tool result"]) == (1, "differs!")
        assert "tool_calls, tool_call_id: seen" in ran.finding("Tool result")["found"]
        assert ran.report["wire"]["tool_call_id"] == "tool_call_id"
        printed = re.search(r"Wire\(.*?\)", ran.shown)
        assert printed
        assert (
            printed[0] == 'Wire(tool_calls="tool_calls", tool_call_id="tool_call_id")'
        )
        model = ChatPmock(
            model="gpt-5.1",
            base_url=server.url,
            access_key=server.access_key,
            secret_key=server.secret_key,
            wire=eval(printed[0], {"Wire": Wire}),  # noqa: S307 - what a user copies
        )
        agent = create_agent(model, [get_number])
        question = {"role": "user", "content": "Ask get_number for Anna."}
        answer = agent.invoke({"messages": [question]})["messages"][-1]
    assert "48213" in answer.text


def test_one_of_each_spelling(run_check: RunCheck) -> None:
    def mixed(request: Request, ask: Ask) -> Response:
        messages = [dict(message) for message in request.body["messages"]]
        for message in messages:
            if "toolCalls" in message or "tool_call_id" in message:
                return REFUSED
            if "tool_calls" in message:
                message["toolCalls"] = message.pop("tool_calls")
        return ask(replace(request, body={**request.body, "messages": messages}))

    with deviating(mixed) as server:
        ran = run_check(server)
    assert ran.status == 1
    assert 'wire=Wire(tool_calls="tool_calls")' in ran.shown


# --- Secrets --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spell",
    [str, lambda text: quote(text, safe=""), lambda text: json.dumps(text)[1:-1]],
    ids=["plain", "in a URL", "in JSON"],
)
@pytest.mark.parametrize("padding", [0, 90, 175])
def test_secrets_that_are_echoed(
    run_check: RunCheck, spell: Callable[[str], str], padding: int
) -> None:
    keys = {"access_key": 'ak-éxample"/+1', "secret_key": "sk-example_of_a_secret"}
    sent: set[str] = set()

    def echo(request: Request, ask: Ask) -> Response:
        for name in (ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER):
            sent.add(request.headers[name].encode("latin-1").decode())
        secrets = [spell(secret) for secret in (*sent, keys["secret_key"])]
        text = "." * padding + " ".join(secrets)
        fields = {"message": text, "traceId": text, **dict.fromkeys(secrets, 1)}
        response = edited(ask(request), lambda body: body.update(fields))
        response = change(CHOICES, finishReason=text)(request, lambda _: response)
        headers = {"X-Trace": secrets[0].encode().decode("latin-1"), "Date": secrets[0]}
        return replace(response, headers={**response.headers, **headers})

    with deviating(echo, **keys) as server:
        ran = run_check(server)
    assert len(sent) > 3
    assert "***" in ran.shown
    for secret in {*sent, *keys.values()} - {"langchain-pmock-check"}:
        for text in (secret, spell(secret)[:10]):
            assert text not in ran.shown + ran.written


# --- Hostile services -----------------------------------------------------------------

ODD_BODIES = [
    b"",
    b"null",
    b"[]",
    b'"OK"',
    b"\xff\xfe",
    b"{" * 5_000,
    b"[" * 500 + b"]" * 500,
    b'{"code": 1e400}',
    b'{"code": [1], "message": {"a": 1}, "data": []}',
    b'{"code": 200, "data": {"choices": null}}',
    b'{"code": 200, "data": {"choices": [null, 5]}}',
    b'{"code": 200, "data": {"choices": [{"message": "OK"}]}}',
    b'{"code": 200, "data": {"choices": [{"message": {"content": 1}}], "usage": 5}}',
    b'{"code": 200, "data": {"choices": [{"message": {"toolCalls": {"a": 1}}}]}}',
    b'{"code": 200, "data": {"choices": [{"message": {"toolCalls": [{"id": 1}]}}]}}',
    b'{"code": 200, "data": {"choices": [{"delta": {"toolCalls": [null, 1, {}]}}]}}',
    b'{"code": 200, "data": {"choices": [{"logprobs": [1], "finishReason": {}}]}}',
    b'{"code": 401, "message": "\\ud800\\u001b[31m"}',
    b"data: {}\n\ndata: []\n\ndata: 1\n\n",
    b"data: \xff\n\n: \x1b\n\x1b\n\ndata",
]


@pytest.mark.parametrize("start", range(len(ODD_BODIES)))
def test_odd_answers(run_check: RunCheck, start: int) -> None:
    """Each question meets each of them, the first one in half of the runs."""

    def odd(request: Request, ask: Ask) -> Response:
        count = len(server.requests)
        body = ODD_BODIES[(start + count) % len(ODD_BODIES)]
        headers = {"Content-Type": EVENT_STREAM if count % 3 else "application/json"}
        return ask(request) if count <= start % 2 else Response(body, headers=headers)

    with deviating(odd) as server:
        ran = run_check(server)
    assert ran.status == 1
    assert "\x1b" not in ran.shown + ran.written


def dribble(start: bytes, piece: bytes) -> list[Step]:
    steps: list[Step] = [0.01, piece]
    return [start, *steps * 1_000]


@pytest.mark.parametrize(
    "answer",
    [
        [b"HTTP/1.1 103 Early Hints\r\n\r\n" * 2_000] * 5_000,
        dribble(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        dribble(b"HTTP/1.1 200 OK\r\n", b"x: 1\r\n"),
        dribble(head(length=10_000), b" "),
        dribble(head(), b"8\r\n: wait\n\n\r\n"),
    ],
    ids=["103 at full speed", "100", "headers", "body", "stream"],
)
def test_an_endless_answer(
    run_check: RunCheck, monkeypatch: pytest.MonkeyPatch, answer: list[Step]
) -> None:
    monkeypatch.setattr(_questions, "QUESTION_SECONDS", 0.3)
    with RawServer(answer) as server:
        ran = run_check(at(server))
    assert re.search(r"no end after \d+ s", ran.finding("Reachability")["found"])


def test_the_whole_run_has_a_limit(
    run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_questions, "RUN_SECONDS", 4.0)

    def answer(_request: RawRequest) -> list[Step]:
        return whole(PLAIN.content) if len(server.requests) == 1 else [60.0]

    with RawServer(answer) as server:
        ran = run_check(at(server))
    assert len(ran.report["findings"]) == len(_questions.QUESTIONS)
    assert set(list(ran.verdicts.values())[2:]) == {"failed!"}


def test_100_000_names(run_check: RunCheck) -> None:
    names = {f"n_{number}": 0 for number in range(60_000)}
    is_hello = lambda body: body.keys() == {"model", "messages", "maxTokens"}  # noqa: E731
    with deviating(when(is_hello, change("data", **names))) as server:
        ran = run_check(server)
    assert ran.finding("Answer")["verdict"] == "differs"
    assert len(ran.written) < 50_000
