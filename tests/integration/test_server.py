"""`PmockServer` over real sockets, with nothing of ours on the client's side."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import Any, get_args

import httpx
import pytest
from aiohttp import web

from langchain_pmock import ModelName
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from langchain_pmock.testing import Fault, PmockServer, RecordedRequest, Reply
from tests.support.leaks import wait_until
from tests.support.on_the_wire import (
    JSON,
    body,
    command_line,
    connect,
    deltas_of,
    endpoint,
    events_of,
    exchange,
    open_stream,
    post,
    raw_request,
    signed,
    text_of,
)

# --- Answers in the documented shapes ------------------------------------------------


def test_whole_answer_is_the_documented_envelope(server: PmockServer) -> None:
    response = post(server)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["code", "message", "data", "traceId"]
    assert (answer["code"], answer["message"]) == (200, "success")
    assert re.fullmatch(r"[0-9a-f]+", answer["traceId"])
    data = answer["data"]
    assert data["id"].startswith("chatcmpl-")
    assert abs(data["created"] - time.time()) < 5
    assert (data["model"], data["object"]) == ("gpt-5.1", "chat.completion")
    message = {"role": "assistant", "content": "You said: Hello"}
    assert data["choices"] == [{"index": 0, "message": message, "finishReason": "stop"}]
    usage = data["usage"]
    assert (usage["promptTokens"], usage["completionTokens"]) == (1, 4)
    request = server.requests[0]
    assert request.headers[ACCESS_KEY_HEADER.upper()] == server.access_key
    assert (request.body, request.status, request.code) == (body(), 200, 200)


def test_stream_is_the_documented_events(server: PmockServer) -> None:
    response = post(server, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    *chunks, done = events_of(response.text)
    assert done == "[DONE]"
    assert {tuple(chunk) for chunk in chunks} == {("code", "data", "message")}
    data = [chunk["data"] for chunk in chunks]
    assert {chunk["object"] for chunk in data} == {"chat.completion.chunk"}
    assert [chunk["choices"] for chunk in data] == [
        [{"delta": {"role": "assistant", "content": ""}, "index": 0}],
        *(
            [{"delta": {"content": token}, "index": 0}]
            for token in ("You", " said", ":", " Hello")
        ),
        [{"delta": {}, "finishReason": "stop", "index": 0}],
    ]
    assert all("usage" not in chunk for chunk in data[:-1])
    assert data[-1]["usage"]["totalTokens"] == 5


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newline(server: PmockServer, newline: str) -> None:
    server.newline = newline
    content = post(server, stream=True).text
    assert content.endswith(f"data: [DONE]{newline}{newline}")
    assert not {"\n", "\r"} & set(content.replace(newline, ""))


# --- Strictness ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({ACCESS_KEY_HEADER: None}, f"{ACCESS_KEY_HEADER} is missing"),
        ({ACCESS_TOKEN_HEADER: None}, f"{ACCESS_TOKEN_HEADER} is missing"),
        ({ACCESS_KEY_HEADER: "ak-other"}, "is not the access key"),
        ({ACCESS_TOKEN_HEADER: "eA=="}, "not the signature of this minute"),
        ({ACCESS_TOKEN_HEADER: "é"}, "not the signature of this minute"),
        ({ACCESS_TOKEN_HEADER: "\udcff"}, "not the signature of this minute"),
    ],
)
def test_wrong_credentials(
    server: PmockServer, change: dict[str, str | None], problem: str
) -> None:
    headers = (signed(server) | change).items()
    sent = [(k.encode(), v.encode(errors="surrogateescape")) for k, v in headers if v]
    response = httpx.post(endpoint(server), json=body(), headers=sent)
    assert response.status_code == response.json()["code"] == 401
    assert problem in response.json()["message"]
    assert server.secret_key not in response.text
    assert server.requests[0].status == 401


def test_signature_is_valid_for_its_minute() -> None:
    with PmockServer(
        access_key="clé", secret_key="秘密", clock=lambda: 1768809960.0
    ) as server:
        for at, status in (
            (1768809959.9, 401),
            (1768809960, 200),
            (1768810019.9, 200),
            (1768810020, 401),
        ):
            assert post(server, at=at).status_code == status


def tool(parameters: object) -> bytes:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    return json.dumps(body(tools=[tool], toolChoice="required")).encode()


def schema(schema: object) -> bytes:
    format_ = {"type": "json_schema", "json_schema": {"name": "A", "schema": schema}}
    return json.dumps(body(responseFormat=format_)).encode()


@pytest.mark.parametrize(
    ("content", "headers", "problem"),
    [
        (b"[]", JSON, "the body: "),
        (b'{"model":"m","messages":[{"content":"\\ud83d"}]}', JSON, "not JSON"),
        (b'{"seed":' + b"9" * 100_000 + b"}", JSON, ""),
        (json.dumps(body()).encode(), {}, "the header content-type should be"),
        (json.dumps(body(stream=True)).encode(), JSON, "needs the header accept: text"),
        # These are answered or refused: without a problem in the log.
        (schema({"enum": []}), JSON, None),
        (schema({"type": "integer", "minimum": "a"}), JSON, None),
        (schema({"type": "number", "exclusiveMinimum": 10**400}), JSON, None),
        (schema({"$ref": "#/a/b/c"}), JSON, None),
        (schema({"anyOf": 5}), JSON, None),
        (schema({"type": "array", "minItems": 10**9}), JSON, None),
        (schema({"type": "string", "minLength": 10**12}), JSON, None),
        (tool({"type": "object", "required": [5]}), JSON, None),
        (tool({"const": 5}), JSON, None),
    ],
    ids=lambda value: str(value)[-60:],
)
def test_requests_against_the_contract(
    server: PmockServer,
    content: bytes,
    headers: dict[str, str],
    problem: str | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = signed(server) | headers
    response = httpx.post(endpoint(server), content=content, headers=sent)
    status = response.status_code
    assert status in ({400} if problem is not None else {200, 400})
    assert response.json()["code"] == status
    assert (problem or "") in response.json()["message"]
    assert (server.requests[0].status, server.requests[0].code) == (status, status)
    assert caplog.records == []


def test_settings() -> None:
    reasoning = {"role": "assistant", "content": "", "reasoningContent": "Hm."}
    with PmockServer(documented_models_only=True) as server:
        refused = post(server, model="gpt-4")
        assert refused.status_code == refused.json()["code"] == 404
        assert "'gpt-4'" in refused.json()["message"]
        for model in get_args(ModelName):
            assert post(server, model=model).status_code == 200
        assert post(server, messages=[reasoning]).status_code == 400
        for url, status in ((f"{server.url}/nowhere", 404), (endpoint(server), 405)):
            response = httpx.get(url)
            assert response.status_code == response.json()["code"] == status
            assert re.fullmatch(r"[0-9a-f]+", response.json()["traceId"])
            assert "date" in response.headers
    with PmockServer(allow_reasoning=True, keep_requests=2) as server:
        for n in (1, 2, 3):
            assert post(server, messages=[reasoning], n=n).status_code == 200
        assert [request.body["n"] for request in server.requests] == [2, 3]
    with PmockServer(keep_requests=0) as server:
        assert post(server).status_code == 200
        assert server.requests == []


def test_names_and_keys_of_servers(
    server: PmockServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "x")
    monkeypatch.delenv("no_proxy")
    other = PmockServer()
    assert repr(other) == "PmockServer(stopped)"
    assert repr(server) == f"PmockServer(url='{server.url}')"
    assert re.fullmatch(r"ak-test-\w{8}", server.access_key)
    assert server.secret_key != other.secret_key
    monkeypatch.setenv("no_proxy", server.env["no_proxy"])  # once more adds nothing
    assert server.env == {
        "PMOCK_ACCESS_KEY": server.access_key,
        "PMOCK_SECRET_KEY": server.secret_key,
        "PMOCK_BASE_URL": server.url,
        **dict.fromkeys(("NO_PROXY", "no_proxy"), "x,127.0.0.1"),
    }


def test_ids_depend_on_the_request_and_its_number() -> None:
    def ids(*texts: str) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        with PmockServer(clock=lambda: 1768809960.0) as server:
            for text in texts:
                messages = [{"role": "user", "content": text}]
                answer = post(server, messages=messages, at=1768809960.0).json()
                found.setdefault(text, []).append(answer)
        return found

    assert ids("one", "two", "one") == ids("two", "one", "one")
    first, second = ids("one", "one")["one"]
    assert first["data"]["id"] != second["data"]["id"]
    assert first["traceId"] != second["traceId"]


# --- Script --------------------------------------------------------------------------


def test_script_with_functions(server: PmockServer) -> None:
    seen: list[Any] = []

    def answer(request: RecordedRequest) -> str | Reply | Fault:
        seen.append(request)
        if request.body.get("n") == 2:
            return Fault(status=503)
        return f"It is {request.body['temperature']}."

    wrong: Any = lambda _: {"content": "x"}  # noqa: E731
    server.script(
        answer, answer, lambda _: Reply(text="short"), wrong, lambda _: seen[9]
    )
    assert text_of(post(server, temperature=0.5)) == "It is 0.5."
    assert post(server, n=2).status_code == 503
    assert text_of(post(server)) == "short"
    assert seen == server.requests[:2]
    for problem in ("has no use for {'content': 'x'}", "raised IndexError: list index"):
        refused = post(server)
        assert refused.status_code == refused.json()["code"] == 400
        assert problem in refused.json()["message"]
    server.assert_all_used()


def test_replies_for_one_model_or_one_message(server: PmockServer) -> None:
    boss = {"role": "system", "content": "You are the supervisor."}
    worker = {"role": "system", "content": [{"type": "text", "text": "You are Ann."}]}
    user = {"role": "user", "content": "Go!"}
    server.script("ask Ann", "done", message="the supervisor")
    server.script("found it", Fault(status=503), message="You are Ann")
    server.script("from Claude", model="claude-4.5")
    server.script("for all")
    assert text_of(post(server, messages=[worker, user])) == "found it"
    assert post(server, messages=[worker, user]).status_code == 503
    assert text_of(post(server, messages=[boss, user])) == "ask Ann"
    assert text_of(post(server, model="claude-4.5")) == "from Claude"
    assert text_of(post(server, model="claude-4.5")) == "for all"
    server.fail(status=429)
    with pytest.raises(
        AssertionError, match=r"2 of .* not used:\n.*status=429[^$]*done"
    ):
        server.assert_all_used()
    server.reset()
    server.assert_all_used()
    assert server.requests == []


def test_chunks_are_streamed_as_they_are(server: PmockServer) -> None:
    chunks: list[Any] = ["He", {"content": "l", "toolCalls": []}, {}, "lo"]
    chunks += [{"content": 5}, {"content": [{"type": "text", "text": "x"}]}]
    server.script(*[Reply(chunks=chunks, usage={"promptTokens": 7})] * 2)
    content = post(server, stream=True, logprobs=True).text
    deltas = [{"content": c} if isinstance(c, str) else c for c in chunks]
    assert deltas_of(content)[1:-1] == deltas
    assert events_of(content)[-2]["data"]["usage"] == {"promptTokens": 7}
    assert text_of(post(server)) == "Helo"


def test_faults_do_not_use_up_replies(server: PmockServer) -> None:
    server.script("one", Fault(cut_after=1), "two")
    server.fail(status=500)
    assert post(server, n=0).status_code == 400  # uses up nothing
    assert post(server, stream=True).status_code == 500
    assert text_of(post(server)) == "one"
    assert "[DONE]" not in post(server, stream=True).text
    assert text_of(post(server)) == "two"


# --- Faults --------------------------------------------------------------------------

WEB_PAGE: dict[str, Any] = {"body": b"<html>", "content_type": "text/html"}
SHORT = httpx.Timeout(30, read=1.0)
WAITS: list[Any] = [(0, "0"), (60, "60"), (1.5, "1.5"), (1e6, "1000000"), (1e-7, "0")]
WAITS += [(text, text) for text in ("-5", "Sun, 06 Nov 1994 08:49:37 GMT")]


@pytest.mark.parametrize(
    ("fault", "status", "headers", "start"),
    [
        (Fault(status=429, message="no"), 429, {}, b'{"code":429,"message":"no","data'),
        (Fault(status=503, code=77), 503, {}, b'{"code":77,'),
        (Fault(code=429), 200, {}, b'{"code":429,'),
        (Fault(code=0), 200, {}, b'{"code":0,'),
        *(
            (Fault(status=503, retry_after=wait), 503, {"retry-after": sent}, b'{"co')
            for wait, sent in WAITS
        ),
        (Fault(body=b"a"), 200, {"content-type": "application/json"}, b"a"),
        (Fault(status=502, **WEB_PAGE), 502, {"content-type": "text/html"}, b"<html>"),
    ],
    ids=repr,
)
def test_answers_of_faults(
    server: PmockServer,
    fault: Fault,
    status: int,
    headers: dict[str, str],
    start: bytes,
) -> None:
    server.script(fault, fault)
    for stream in (False, True):
        answer = post(server, stream=stream)
        assert answer.status_code == server.requests[-1].status == status
        if stream and status == 200 and start[:1] == b"{":
            headers, start = {}, b"data: " + start
            assert server.requests[-1].code == fault.code
        assert headers.items() <= answer.headers.items()
        assert answer.content.startswith(start)
    assert post(server).status_code == 200


@pytest.mark.parametrize(
    ("fault", "error", "events"),
    [
        (Fault(reset_after=0), httpx.ReadError, 0),
        (Fault(reset_after=2), httpx.ReadError, 2),
        (Fault(stall=60), httpx.ReadTimeout, 0),
        (Fault(stall=60, after=0), httpx.ReadTimeout, 0),
        (Fault(stall=60, after=2), httpx.ReadTimeout, 2),
        (Fault(cut_after=0), httpx.RemoteProtocolError, 0),
    ],
    ids=repr,
)
def test_answers_that_break_off(
    server: PmockServer, fault: Fault, error: type[Exception], events: int
) -> None:
    server.script(fault, fault)
    with pytest.raises(error):
        post(server, timeout=SHORT)
    wait_until(lambda: server.open_connections == 0)
    received: list[str] = []
    if fault.cut_after is None:  # a stream that is cut off ends as HTTP has it
        with pytest.raises(error), open_stream(server, timeout=SHORT) as response:
            received.extend(response.iter_text())
    assert "".join(received).count("data: ") == events


def test_reply_is_kept_for_a_client_that_left(server: PmockServer) -> None:
    server.script("late", "kept", "last")
    server.fail(stall=0.1)
    assert text_of(post(server)) == "late"
    server.fail(stall=60)
    with pytest.raises(httpx.ReadTimeout):
        post(server, timeout=SHORT)
    wait_until(lambda: server.open_connections == 0)
    assert text_of(post(server)) == "kept"


# --- HTTP ----------------------------------------------------------------------------


POST = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000, b"400"),
        (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"HEAD / HTTP/1.0\r\n\r\n", b"404"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_odd_requests(server: PmockServer, request_: bytes, status: bytes) -> None:
    answer = exchange(server, request_)
    assert answer.split()[1] == status
    assert post(server).status_code == 200
    assert len(server.requests) == 1


def test_body_that_is_too_long(server: PmockServer) -> None:
    answer = httpx.post(
        endpoint(server),
        content=(b" " * 2**20 for _ in range(70)),
        headers=signed(server) | JSON,
    )
    assert answer.status_code == answer.json()["code"] == 413
    head = raw_request(server).partition(b"\r\n\r\n")[0]
    head = re.sub(rb"(?i)(?<=content-length: )\d+", b"1000000000000", head)
    with connect(server) as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_expect_100_continue(server: PmockServer) -> None:
    request = raw_request(server, headers={"Expect": "100-continue"})
    head, _, content = request.partition(b"\r\n\r\n")
    with connect(server) as client:
        client.sendall(head + b"\r\n\r\n")
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(content)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


# --- Start and stop ------------------------------------------------------------------


@pytest.mark.usefixtures("nothing_left")
def test_starts_and_stops_leave_nothing_open(caplog: pytest.LogCaptureFixture) -> None:
    server = PmockServer()
    for _ in range(20):
        server.start()
        server.start()
        assert post(server).status_code == 200
        with connect(server) as client:
            client.sendall(raw_request(server)[:-5])
            server.stop()
            server.stop()
    assert caplog.records == []


@pytest.mark.parametrize("stream", [False, True])
def test_stop_aborts_open_connections(
    caplog: pytest.LogCaptureFixture, *, stream: bool
) -> None:
    server = PmockServer()
    server.start()
    server.fail(stall=60, after=0 if stream else None)
    url = endpoint(server)
    with connect(server) as client, connect(server) as idle:
        client.sendall(raw_request(server, stream=stream))
        wait_until(lambda: len(server.requests) == 1 and server.open_connections == 2)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        wait_until(lambda: not stopping.is_alive())  # it does not wait for the answer
        for connection in (client, idle):
            with suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert caplog.records == []


def test_clients_that_leave(
    server: PmockServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.delay = 0.02
    server.script(Reply(chunks=["x"] * 1000))
    with connect(server) as streaming, connect(server) as half:
        half.sendall(raw_request(server)[:-5])
        streaming.sendall(raw_request(server, stream=True))
        assert streaming.recv(65536)
        wait_until(lambda: server.open_connections == 2)
    wait_until(lambda: server.open_connections == 0)
    assert post(server).status_code == 200
    assert len(server.requests) == 2
    assert caplog.records == []


def test_start_fails_if_its_thread_does(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: web.SockSite) -> None:
        raise OSError("defect")

    monkeypatch.setattr(web.SockSite, "start", fail)
    with pytest.raises(OSError, match="defect"):
        PmockServer().start()


def test_port_in_use(server: PmockServer) -> None:
    other = PmockServer(port=httpx.URL(server.url).port or 0)
    with pytest.raises(OSError, match="in use"):
        other.start()
    other.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = other.url


# --- Command line --------------------------------------------------------------------


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_command_line_serves_until_ctrl_c() -> None:
    with command_line() as served:
        values = subprocess.run(  # noqa: S602 - what the user would do with them
            served.exports + 'echo "$PMOCK_ACCESS_KEY|$PMOCK_SECRET_KEY"',
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        assert values == "ak-test|sk-'test'"
        assert text_of(post(served)) == "You said: Hello"
        served.process.send_signal(signal.SIGINT)
        assert served.process.wait(timeout=60) == 0
