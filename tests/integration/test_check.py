"""`python -m langchain_pmock.check`, against servers that keep the contract or not."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import ssl
import struct
import subprocess
import sys
import time
import unicodedata
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import pytest
import trustme
from langchain.agents import create_agent

from langchain_pmock import ChatPmock, Wire
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.check import _checks
from langchain_pmock.check.__main__ import main
from langchain_pmock.check._checks import Check, Finding
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
from tests.support.raw_server import RawServer, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from langchain_pmock.check._service import Service
    from langchain_pmock.testing import PmockServer
    from tests.support.wire import Json

REPORT = "pmock-check.json"
SNAKE_CASE_WIRE = 'Wire(tool_calls="tool_calls", tool_call_id="tool_call_id")'


@dataclass
class Ran:
    """What a run showed, wrote and returned."""

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
    def verdicts(self) -> dict[str, list[str]]:
        """The checks by their verdict, without those that are as assumed."""
        verdicts: dict[str, list[str]] = {}
        for finding in self.report["findings"]:
            verdicts.setdefault(finding["verdict"], []).append(finding["about"])
        verdicts.pop("as assumed", None)
        return verdicts


class RunCheck(Protocol):
    """Runs the check in this process, as the command does."""

    def __call__(
        self, server: PmockServer | Deviating, *arguments: str, answer: str = "y\n"
    ) -> Ran: ...


@pytest.fixture
def run_check(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> RunCheck:
    def run(
        server: PmockServer | Deviating, *arguments: str, answer: str = "y\n"
    ) -> Ran:
        monkeypatch.setenv("PMOCK_ACCESS_KEY", server.access_key)
        monkeypatch.setenv("PMOCK_SECRET_KEY", server.secret_key)
        monkeypatch.setenv("PMOCK_BASE_URL", server.url)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        capsys.readouterr()
        status = main(arguments)
        shown = capsys.readouterr()
        report = tmp_path / REPORT
        written = report.read_text("utf-8") if report.is_file() else ""
        return Ran(status, shown.out + shown.err, written)

    return run


# --- A server that keeps the contract -------------------------------------------------


def test_all_is_as_assumed(server: PmockServer, run_check: RunCheck) -> None:
    ran = run_check(server, "--yes")
    assert ran.status == 0
    # The rules neither look at images, nor at the model's name.
    assert ran.verdicts == {"unclear": ["Unknown model", "Image"]}
    assert ran.report["wire"] == {
        "tool_calls": "toolCalls",
        "tool_call_id": "toolCallId",
        "reasoning_content": None,
    }
    assert "Wire(" not in ran.shown


def test_as_a_command(server: PmockServer, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "langchain_pmock.check", "--yes", "--model", "gpt-5.2"],
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
    assert "26 as assumed, 2 unclear, 0 differs, 0 failed" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert json.loads((tmp_path / REPORT).read_text())["model"] == "gpt-5.2"
    models = {request.body["model"] for request in server.requests if request.body}
    assert models == {"gpt-5.2", "gpt-5.1-thinking", "langchain-pmock-check"}


def test_it_takes_about_25_requests(server: PmockServer, run_check: RunCheck) -> None:
    ran = run_check(server, "--yes")
    assert 20 <= len(ran.report["exchanges"]) <= 30
    assert sum(ran.report["usage"].values()) < 2_500


def test_the_report_as_json(server: PmockServer, run_check: RunCheck) -> None:
    ran = run_check(server, "--yes", "--json")
    assert json.loads(ran.shown) == ran.report
    first = ran.report["exchanges"][0]
    assert (first["check"], first["status"], first["code"]) == (
        "Reachability",
        200,
        200,
    )
    assert "data.choices[].message.content" in first["fields"]


def test_the_report_has_no_texts(server: PmockServer, run_check: RunCheck) -> None:
    ran = run_check(server, "--yes")
    assert "You said" not in ran.shown + ran.written
    assert "get_number says" not in ran.shown + ran.written


# --- The command ----------------------------------------------------------------------


@pytest.mark.parametrize("answer", ["", "n\n", "\n"])
def test_it_asks_before(server: PmockServer, run_check: RunCheck, answer: str) -> None:
    ran = run_check(server, answer=answer)
    assert (ran.status, ran.written, server.requests) == (2, "", [])
    assert "about 25 short requests" in " ".join(ran.shown.split())
    assert "tokens" in ran.shown


def test_it_goes_on_when_told_to(server: PmockServer, run_check: RunCheck) -> None:
    assert run_check(server, answer="y\n").status == 0


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
    ran = run_check(server, "--yes")
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
    command = [sys.executable, "-m", "langchain_pmock.check", "--yes"]
    with subprocess.Popen(  # noqa: S603 - written in this file
        command,
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


# --- The first request gets no answer -------------------------------------------------


@pytest.mark.parametrize(
    ("response", "said"),
    [
        (envelope(401, "no such key", 401), "HTTP 401, code 401: no such key"),
        (envelope(404, "no such model"), "HTTP 200, code 404: no such model"),
        (envelope("10003", "签名错误"), "HTTP 200, code 10003: 签名错误"),
        (
            Response(b"<html>Hello</html>", headers={"Content-Type": "text/html"}),
            "HTTP 200, not JSON but text/html",
        ),
        (Response(b"", 302, {"Location": "https://example.com/"}), "HTTP 302 to https"),
        (Response(b"{}", 503, {"Retry-After": "0"}), "HTTP 503"),
        (Response(b'{"error": {"message": "No."}}', 400), "HTTP 400: No."),
        (Response(b"{", length=100), "RemoteProtocolError"),
        (Response(b"not gzip", headers={"Content-Encoding": "gzip"}), "DecodingError"),
        (Response(b": wait\n" * 500_000), "no end after"),
    ],
)
def test_no_answer(run_check: RunCheck, response: Response, said: str) -> None:
    with deviating(lambda _request, _ask: response) as server:
        ran = run_check(server, "--yes")
    assert ran.status == 1
    assert [f["about"] for f in ran.report["findings"]] == ["Reachability"]
    assert ran.verdicts == {"failed": ["Reachability"]}
    assert said in ran.finding("Reachability")["found"]
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
    with over_tls(ours) as server:
        ran = run_check(server, "--yes")
    finding = ran.finding("Reachability")
    if is_trusted:
        assert finding["verdict"] == "as assumed"
        assert "TLSv1.3" in finding["found"]
    else:
        assert (ran.status, finding["verdict"]) == (1, "failed")
        assert "CERTIFICATE_VERIFY_FAILED" in finding["found"]


@contextmanager
def over_tls(authority: trustme.CA) -> Iterator[Deviating]:
    """A server that gives the same answer to everything."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with RawServer(whole(PLAIN_ANSWER.content), tls=context) as server:
        yield Deviating(server.url, "ak-example", "sk-of-an-example", server.requests)


def test_nobody_is_there(run_check: RunCheck) -> None:
    with deviating(edit(lambda _: None)) as server:
        pass
    ran = run_check(server, "--yes")
    assert (ran.status, ran.verdicts) == (1, {"failed": ["Reachability"]})
    assert "ConnectError" in ran.finding("Reachability")["found"]


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


def for_bad_tokens(answer: Response) -> Deviation:
    """A server that answers this to what the right one refuses with 401."""

    def deviate(request: Request, ask: Ask) -> Response:
        response = ask(request)
        return answer if response.status == 401 else response

    return deviate


def accept_all(request: Request, ask: Ask) -> Response:
    response = ask(request)
    if response.status != 401:
        return response
    return Response(json.dumps({"code": 200, "message": "", "data": ANSWER}).encode())


ANSWER = {
    "model": "gpt-5.1",
    "choices": [{"message": {"content": "Hi."}, "finishReason": "stop"}],
}


def in_message(change: Callable[[Json], Any]) -> Deviation:
    """Change each message, or each delta."""

    def change_all(body: Json) -> None:
        for choice in (body["data"] or {}).get("choices", ()):
            change(choice.get("message") or choice["delta"])

    return edit(change_all)


def in_calls(change: Callable[[Json], Any]) -> Deviation:
    return in_message(lambda message: [change(c) for c in message.get("toolCalls", ())])


def rename(name: str, other: str) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        if name in body:
            body[other] = body.pop(name)

    return change


def in_stream(change: Callable[[Response], Response]) -> Deviation:
    def deviate(request: Request, ask: Ask) -> Response:
        response = ask(request)
        return change(response) if response.is_stream else response

    return deviate


def replaced(*pairs: bytes) -> Deviation:
    """Replace bytes of a stream: old ones, new ones, and so on."""

    def change(response: Response) -> Response:
        content = response.content
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            content = content.replace(old, new)
        return replace(response, content=content)

    return in_stream(change)


def put(name: str, value: object) -> Callable[[Json], None]:
    return lambda body: body.update({name: value})


def labelled(content_type: str) -> Deviation:
    return in_stream(
        lambda r: replace(r, headers={**r.headers, "Content-Type": content_type})
    )


def pop_from(*path: str) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        *way, last = path
        for name in way:
            body = body.get(name) or {}
        body.pop(last, None)

    return change


def no_finish_reason(body: Json) -> None:
    for choice in (body["data"] or {}).get("choices", ()):
        choice.pop("finishReason", None)


def fenced(message: Json) -> None:
    if message.get("content", "").startswith("{"):
        message["content"] = f"```json\n{message['content']}\n```"


def has_reasoning(body: Json) -> bool:
    return any("reasoning" in name.lower() for m in body["messages"] for name in m)


def has_history(body: Json) -> bool:
    return any(m["role"] == "tool" for m in body["messages"])


def forgetful(request: Request, ask: Ask) -> Response:
    """The model answers as if there had been no tool result."""
    messages = [{"role": "user", "content": "Hm."}]
    return ask(replace(request, body={**request.body, "messages": messages}))


def refuse_camel_case_and_forget(request: Request, ask: Ask) -> Response:
    is_camel_case = any("toolCalls" in message for message in request.body["messages"])
    return REFUSED if is_camel_case else when(has_history, forgetful)(request, ask)


def signed_calls(request: Request, ask: Ask) -> Response:
    """A model that signs its calls, and refuses those without a signature."""
    sign_it = put("extra_content", {"google": {"thought_signature": "c2lnbmVk"}})
    messages = json.loads(json.dumps(request.body["messages"]))
    for message in messages:
        for call in message.get("toolCalls", ()):
            if not call.pop("extra_content", None):
                return REFUSED
    body = {**request.body, "messages": messages}
    return in_calls(sign_it)(replace(request, body=body), ask)


def has_image(body: Json) -> bool:
    return any(isinstance(message["content"], list) for message in body["messages"])


def has_model(name: str) -> Callable[[Json], object]:
    return lambda body: body["model"] == name


def in_envelope(**fields: object) -> Deviation:
    """Change the envelopes of answers."""
    return edit(lambda body: body.update(fields) if body["code"] == 200 else None)


def unwrapped(body: Json) -> Any:
    return body["data"] or body


def in_function(**fields: object) -> Deviation:
    return in_calls(lambda call: call["function"].update(fields))


BROKEN = Response(b"", 500, {"Retry-After": "0"})
BUSY = Response(b"", 429, {"Retry-After": "0"})
REFUSED = envelope(400, "no", 400)
WEB_PAGE = Response(b"<html>", 502, {"Content-Type": "text/html", "Retry-After": "0"})
PLAIN_ANSWER = Response(json.dumps(ANSWER).encode())
REFUSED_IN_EVENT = Response(
    b'data: {"code": 400, "message": "-"}\n\n', headers={"Content-Type": EVENT_STREAM}
)
DONE = b"data: [DONE]"
BLOCKS = [{"type": "text", "text": "-"}]

UNKNOWN_MODEL = has_model("langchain-pmock-check")
THINKING_MODEL = has_model("gpt-5.1-thinking")

# What is checked, and for each deviation its verdict; with a mark if it matters.
DEVIATIONS: dict[str, dict[str, tuple[Deviation, str]]] = {
    "Wrong secret key": {
        "403": (for_bad_tokens(envelope(403, "-", 403)), "differs!"),
        "401 in the code alone": (for_bad_tokens(envelope(401)), "as assumed"),
        "accepted": (accept_all, "differs"),
        "busy": (for_bad_tokens(BUSY), "failed!"),
    },
    "Unknown access key": {
        "500": (for_bad_tokens(BROKEN), "differs!"),
        "accepted": (accept_all, "differs"),
    },
    "Tokens of other minutes": {
        "accepted": (accept_all, "differs"),
        "busy": (for_bad_tokens(BUSY), "failed"),
    },
    "Envelope": {
        "none": (edit(unwrapped), "differs!"),
        "code as text": (in_envelope(code="200"), "differs"),
        "code 0": (in_envelope(code=0), "differs!"),
        "no message": (edit(pop_from("message")), "differs"),
        "more fields": (in_envelope(cost=1), "as assumed"),
    },
    "Trace id": {
        "none": (edit(pop_from("traceId")), "differs"),
        "in snake_case": (edit(rename("traceId", "trace_id")), "differs"),
        "null": (in_envelope(traceId=None), "differs"),
    },
    "Answer": {
        "no content": (in_message(rename("content", "parts")), "differs!"),
        "content in blocks": (in_message(put("content", BLOCKS)), "differs!"),
        "no usage": (edit(pop_from("data", "usage")), "differs"),
        "no finishReason": (edit(no_finish_reason), "differs"),
    },
    "Names in answers": {"snake_case": (edit(to_snake_case), "differs")},
    "Events of a stream": {
        "no envelopes": (edit(unwrapped), "differs!"),
        "called JSON": (labelled("application/json"), "differs!"),
        "called text": (labelled("text/plain"), "differs"),
        "a whole answer": (when(has("stream"), without("stream")), "differs"),
        "no blank lines": (replaced(b"\n\n", b"\n"), "differs"),
        "not JSON": (replaced(DONE, b"data: ping\n\n" + DONE), "differs!"),
        "an error": (replaced(DONE, b'data: {"code": 500}'), "differs!"),
        "CRLF": (replaced(b"\n", b"\r\n"), "as assumed"),
        "no space": (replaced(b"data: ", b"data:"), "as assumed"),
        "no deltas": (replaced(b'"delta"', b'"message"'), "differs!"),
        "refused": (when(has("stream"), REFUSED), "differs!"),
    },
    "End of a stream": {
        "no [DONE]": (replaced(DONE, b": end"), "differs"),
        "no finishReason": (edit(no_finish_reason), "differs"),
        "no usage": (edit(pop_from("data", "usage")), "differs"),
        "neither": (replaced(b'"finishReason"', b'"f"', DONE, b": end"), "differs!"),
        "cut off": (in_stream(lambda r: replace(r, length=9999)), "failed!"),
    },
    "Keep-alives, trace ids": {
        "comments": (replaced(b"data: {", b": wait\n\ndata: {"), "as assumed"),
        "lines of another kind": (replaced(b"data: {", b"wait\ndata: {"), "differs"),
    },
    "Documented parameters": {
        "refused": (when(has("topP"), REFUSED), "differs"),
        "broken": (when(has("topP"), BROKEN), "differs"),
        "refused together": (when(has("topP", "seed"), REFUSED), "as assumed"),
    },
    "Limits": {
        "ignored": (without("maxTokens", "maxCompletionTokens"), "differs"),
        "one refused": (when(has("maxCompletionTokens"), envelope(400)), "differs"),
        "a short answer": (when(has("maxTokens"), PLAIN_ANSWER), "unclear"),
    },
    "Unknown field": {
        "ignored": (without("langchainPmockCheck"), "as assumed"),
        "busy": (when(has("langchainPmockCheck"), BUSY), "failed"),
    },
    "No messages": {
        "codes of its own": (when(is_empty, envelope(10003, "messages")), "differs!"),
        "500": (when(is_empty, BROKEN), "differs!"),
        "accepted": (when(is_empty, PLAIN_ANSWER), "differs"),
    },
    "No messages, streamed": {
        "in an event": (when(is_empty, REFUSED_IN_EVENT), "as assumed"),
        "a web page": (when(is_empty, WEB_PAGE), "differs!"),
    },
    "Unknown model": {
        "404": (when(UNKNOWN_MODEL, envelope(404, "-", 404)), "as assumed"),
        "500": (when(UNKNOWN_MODEL, BROKEN), "differs"),
    },
    "Tool call": {
        "ignored": (without("tools", "toolChoice"), "unclear"),
        "refused": (when(has("tools"), REFUSED), "differs!"),
        "elsewhere": (in_message(rename("toolCalls", "functionCalls")), "differs!"),
        "in snake_case": (edit(to_snake_case), "differs"),
        "no id": (in_calls(pop_from("id")), "differs"),
        "no function": (in_calls(rename("function", "fn")), "differs!"),
        "arguments as an object": (in_function(arguments={}), "differs"),
        "arguments cut off": (in_function(arguments="{"), "unclear"),
    },
    "Streamed tool call": {
        "elsewhere": (in_message(rename("toolCalls", "functionCalls")), "differs!"),
        "no index": (in_calls(pop_from("index")), "differs"),
    },
    "Tool result": {
        "not said": (when(has_history, forgetful), "unclear"),
        "refused": (when(has_history, REFUSED), "failed!"),
        "refused or not said": (refuse_camel_case_and_forget, "differs!"),
        "a made-up call refused": (signed_calls, "as assumed"),
        "busy": (when(has_history, BUSY), "failed!"),
    },
    "Reasoning in messages": {
        "refused": (when(has_reasoning, REFUSED), "as assumed"),
        "busy": (when(has_reasoning, BUSY), "failed"),
    },
    "json_schema": {
        "ignored": (without("responseFormat"), "differs!"),
        "in a fence": (in_message(fenced), "differs"),
        "other keys": (in_message(put("content", "{}")), "unclear"),
    },
    "json_object": {"refused": (when(has("responseFormat"), REFUSED), "differs!")},
    "n = 2": {"ignored": (without("n"), "differs")},
    "logprobs": {
        "ignored": (without("logprobs", "topLogprobs"), "differs"),
        "refused": (when(has("logprobs"), envelope(400)), "differs"),
        "in snake_case": (edit(to_snake_case), "differs"),
    },
    "Image": {"refused": (when(has_image, REFUSED), "differs!")},
    "Reasoning": {
        "in snake_case": (edit(to_snake_case), "differs"),
        "kept back": (in_message(pop_from("reasoningContent")), "unclear"),
        "no such model": (when(THINKING_MODEL, envelope(403)), "unclear"),
        "busy": (when(THINKING_MODEL, BUSY), "failed"),
    },
}


@pytest.mark.parametrize(
    ("about", "deviate", "verdict"),
    [
        pytest.param(about, *case, id=f"{about}: {name}")
        for about, cases in DEVIATIONS.items()
        for name, case in cases.items()
    ],
)
def test_deviation(
    run_check: RunCheck, about: str, deviate: Deviation, verdict: str
) -> None:
    with deviating(deviate) as server:
        ran = run_check(server, "--yes")
    finding = ran.finding(about)
    mark = "!" if finding["matters"] else ""
    assert finding["verdict"] + mark == verdict, finding
    assert ran.status == int(any(f["matters"] for f in ran.report["findings"]))


def test_each_check_has_deviations(server: PmockServer, run_check: RunCheck) -> None:
    checks = {f["about"] for f in run_check(server, "--yes").report["findings"]}
    assert checks - DEVIATIONS.keys() == {"Reachability", "Clock"}


@pytest.mark.parametrize("minutes", [-1, 1])
def test_grace(run_check: RunCheck, minutes: int) -> None:
    def forgive(request: Request, ask: Ask) -> Response:
        signed = [
            sign(server.access_key, server.secret_key, time.time() + shift)
            for shift in (0, 60 * minutes)
        ]
        if request.headers[ACCESS_TOKEN_HEADER] != signed[1]:
            return ask(request)
        headers = {**request.headers, ACCESS_TOKEN_HEADER: signed[0]}
        return ask(replace(request, headers=headers))

    with deviating(forgive) as server:
        ran = run_check(server, "--yes")
    assert (ran.status, ran.verdicts["differs"]) == (0, ["Tokens of other minutes"])
    found = ran.finding("Tokens of other minutes")["found"]
    accepted, refused = ("before", "after") if minutes < 0 else ("after", "before")
    assert f"the minute {accepted}: accepted" in found
    assert f"the minute {refused}: HTTP 401" in found


@pytest.mark.parametrize("offset", [-90, 20, 90])
def test_clock(server: PmockServer, run_check: RunCheck, offset: int) -> None:
    server.clock_offset = offset
    ran = run_check(server, "--yes")
    assert (ran.status, ran.verdicts["differs"]) == (0, ["Clock"])
    found = re.search(r"([+-]\d+) s", ran.finding("Clock")["found"])
    assert found
    assert abs(int(found[1]) - offset) <= 1


def test_the_end_of_a_minute_is_waited_for(
    server: PmockServer, run_check: RunCheck
) -> None:
    server.clock_offset = (57 - time.time()) % 60
    found = run_check(server, "--yes").finding("Tokens of other minutes")
    assert found["verdict"] == "as assumed"
    assert re.search(r"asked [0-2] s into a minute", found["found"])


def test_no_date(run_check: RunCheck) -> None:
    with deviating(lambda request, ask: replace(ask(request), headers={})) as server:
        ran = run_check(server, "--yes")
    assert ran.finding("Clock")["found"] == "no Date header"


def test_busy_for_a_moment(run_check: RunCheck) -> None:
    def every_other(request: Request, ask: Ask) -> Response:
        return BUSY if len(server.requests) % 2 else ask(request)

    with deviating(every_other) as server:
        ran = run_check(server, "--yes")
    assert (ran.status, list(ran.verdicts)) == (0, ["unclear"])


def test_an_image_that_is_seen(run_check: RunCheck) -> None:
    def see(request: Request, ask: Ask) -> Response:
        if not has_image(request.body):
            return ask(request)
        url = request.body["messages"][0]["content"][1]["image_url"]["url"]
        assert first_pixel(url) == b"\xff\xff\0"
        return in_message(put("content", "Yellow."))(request, ask)

    with deviating(see) as server:
        ran = run_check(server, "--yes")
    assert ran.verdicts == {"unclear": ["Unknown model"]}


def first_pixel(url: str) -> bytes:
    png = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack_from(">I", png, at)
        chunk = png[at + 4 : at + 8 + size]
        assert struct.unpack_from(">I", png, at + 8 + size) == (zlib.crc32(chunk),)
        chunks[chunk[:4]] = chunk[4:]
        at += 12 + size
    width, height = struct.unpack_from(">II", chunks[b"IHDR"])
    rows = zlib.decompress(chunks[b"IDAT"])
    assert len(rows) == height * (1 + 3 * width)
    return rows[1:4]


# --- Other names in messages ----------------------------------------------------------


@pytest.mark.parametrize("strict", [True, False])
def test_snake_case_in_messages(run_check: RunCheck, strict: bool) -> None:
    with deviating(snake_case_messages(strict=strict)) as server:
        ran = run_check(server, "--yes")
    assert (ran.status, ran.verdicts["differs"]) == (1, ["Tool result"])
    found = ran.finding("Tool result")["found"]
    camel = "HTTP 400, code 400: unknown field" if strict else "accepted, not seen"
    assert f"toolCalls, toolCallId: {camel}" in found
    assert "tool_calls, tool_call_id: seen" in found
    assert SNAKE_CASE_WIRE in ran.shown
    assert ran.report["wire"]["tool_calls"] == "tool_calls"
    assert ran.report["wire"]["tool_call_id"] == "tool_call_id"


@pytest.mark.parametrize("strict", [True, False])
def test_an_agent_with_the_wire_that_is_printed(
    run_check: RunCheck, strict: bool
) -> None:
    def get_number(name: str) -> str:
        """Get a person's number."""
        return f"{name}: 48213"

    with deviating(snake_case_messages(strict=strict)) as server:
        printed = re.search(r"Wire\(.*?\)", run_check(server, "--yes").shown)
        assert printed
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


def test_both_spellings_in_messages(run_check: RunCheck) -> None:
    both = snake_case_messages(strict=False)

    def accept_both(request: Request, ask: Ask) -> Response:
        is_snake = any("tool_calls" in message for message in request.body["messages"])
        return both(request, ask) if is_snake else ask(request)

    with deviating(accept_both) as server:
        ran = run_check(server, "--yes")
    assert (ran.status, ran.report["wire"]["tool_calls"]) == (0, "toolCalls")
    assert ran.finding("Tool result")["found"].count("seen") == 2


def test_one_of_each_spelling_in_messages(run_check: RunCheck) -> None:
    def mixed(request: Request, ask: Ask) -> Response:
        messages = [dict(message) for message in request.body["messages"]]
        for message in messages:
            if "toolCalls" in message or "tool_call_id" in message:
                return REFUSED
            rename("tool_calls", "toolCalls")(message)
        return ask(replace(request, body={**request.body, "messages": messages}))

    with deviating(mixed) as server:
        ran = run_check(server, "--yes")
    assert ran.status == 1
    assert 'wire=Wire(tool_calls="tool_calls")' in ran.shown


# --- Secrets --------------------------------------------------------------------------

SPELLINGS: list[Callable[[str], str]] = [
    str,
    lambda secret: quote(secret, safe=""),
    lambda secret: json.dumps(secret)[1:-1],
]


@pytest.mark.parametrize("spell", SPELLINGS, ids=["plain", "in a URL", "in JSON"])
@pytest.mark.parametrize("padding", [0, 90, 110])
def test_secrets_that_are_echoed(
    run_check: RunCheck, spell: Callable[[str], str], padding: int
) -> None:
    keys = {"access_key": 'ak-éxample"/+1', "secret_key": "sk-example_of_a_secret"}
    sent: set[str] = set()

    def echo(request: Request, ask: Ask) -> Response:
        key, token = (
            request.headers[name].encode("latin-1").decode()
            for name in (ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER)
        )
        sent.update({key, token})
        secrets = [spell(secret) for secret in (*sent, keys["secret_key"])]

        def put_secrets(body: Json) -> None:
            text = "." * padding + " ".join(secrets)
            body.update(message=text, traceId=text, **dict.fromkeys(secrets, 1))
            if body["data"]:
                body["data"]["model"] = text
                for choice in body["data"]["choices"]:
                    choice["finishReason"] = text
                    (choice.get("message") or choice["delta"]).update(content=text)

        response = edited(ask(request), put_secrets)
        headers = {"X-Trace": secrets[0].encode().decode("latin-1"), "Date": secrets[0]}
        return replace(response, headers={**response.headers, **headers})

    with deviating(echo, **keys) as server:
        ran = run_check(server, "--yes")
    made_up = {"langchain-pmock-check"}
    assert len(sent) > 4
    assert "***" in ran.shown
    for secret in {*sent, *keys.values()} - made_up:
        for shown in (ran.shown, ran.written):
            assert secret not in shown
            assert spell(secret)[:10] not in shown


# --- Whatever may come ----------------------------------------------------------------

ODD_BODIES = [
    b"",
    b"null",
    b"[]",
    b"200",
    b'"OK"',
    b"\xff\xfe",
    b"{" * 5_000,
    b"[" * 500 + b"]" * 500,
    b'{"code": 1e400}',
    b'{"code": 200, "message": null, "data": null}',
    b'{"code": [1], "message": {"a": 1}, "data": []}',
    b'{"code": 200, "data": {"choices": null}}',
    b'{"code": 200, "data": {"choices": [null]}}',
    b'{"code": 200, "data": {"choices": [{"message": "OK"}]}}',
    b'{"code": 200, "data": {"choices": [{"message": {"content": 1}}], "usage": 5}}',
    b'{"code": 200, "data": {"choices": [{"message": {"toolCalls": {"a": 1}}}]}}',
    b'{"code": 200, "data": {"choices": [{"delta": {"toolCalls": [null, 1, {}]}}]}}',
    b'{"code": 200, "data": {"choices": [{"logprobs": [1], "finishReason": {}}]}}',
    b'{"code": 401, "message": "\\ud800\\u001b[31m"}',
    b"data: {}\n\ndata: []\n\ndata: 1\n\n",
    b"data: \xff\n\n: \x1b\n\x1b\n\ndata",
]


@pytest.mark.parametrize("body", ODD_BODIES, ids=lambda body: repr(body[:50]))
def test_an_odd_answer_at_first(run_check: RunCheck, body: bytes) -> None:
    with deviating(lambda _request, _ask: Response(body)) as server:
        expect_no_accident(run_check(server, "--yes"))


@pytest.mark.parametrize("start", range(len(ODD_BODIES)))
@pytest.mark.parametrize("content_type", ["application/json", EVENT_STREAM])
def test_odd_answers(run_check: RunCheck, start: int, content_type: str) -> None:
    """Each check meets each of them."""

    def odd(request: Request, ask: Ask) -> Response:
        count = len(server.requests)
        body = ODD_BODIES[(start + count) % len(ODD_BODIES)]
        headers = {"Content-Type": content_type}
        return Response(body, headers=headers) if count > 1 else ask(request)

    with deviating(odd) as server:
        expect_no_accident(run_check(server, "--yes"))


def expect_no_accident(ran: Ran) -> None:
    assert ran.status == 1
    assert "\x1b" not in ran.shown + ran.written
    # Nothing came to light by an accident of the check's own.
    assert not re.search(r"(Attribute|Key|Type|Index|Recursion)Error", ran.written)


def test_an_accident_is_a_failed_check(
    server: PmockServer, run_check: RunCheck, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_service: Service) -> Finding:
        raise LookupError(server.secret_key)

    monkeypatch.setattr(_checks, "CHECKS", [Check("This", "none", True, look)])
    ran = run_check(server, "--yes")
    assert ran.status == 1
    assert ran.finding("This")["found"] == "LookupError: ***"


def test_wide_characters(run_check: RunCheck) -> None:
    said = "签名错误、请检查您的访问密钥和签名是否正确。" * 3
    with deviating(lambda _request, _ask: envelope(401, said, 401)) as server:
        ran = run_check(server, "--yes")
    lines = ran.shown.splitlines()
    assert len([line for line in lines if "、" in line or "。" in line]) > 2
    for line in lines:
        wide = sum(unicodedata.east_asian_width(c) in "WF" for c in line)
        assert len(line) + wide <= 80
