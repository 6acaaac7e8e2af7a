"""An upstream: an OpenAI-compatible server, or pmock itself."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_pmock.auth import ACCESS_KEY_HEADER
from langchain_pmock.testing import PmockServer, Reply, ToolCall
from tests.support.leaks import wait_until
from tests.support.on_the_wire import (
    PMOCK_KEYS,
    Person,
    body,
    deltas_of,
    events_of,
    get_weather,
    open_stream,
    post,
    respond,
    streamed_text,
    text_of,
    user,
)
from tests.support.openai_server import KEY, OpenAIServer
from tests.support.raw_server import CLOSE, RESET, STALL, RawServer, head, stream, whole
from tests.support.wire import dump

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.support.raw_server import Step

    Steps = Sequence[Step]


WEATHER = convert_to_openai_tool(get_weather)
A, B, C = ({"content": text} for text in "abc")
ONE, TWO = {"totalTokens": 1}, {"totalTokens": 2}
SING = {"type": "function", "function": {"name": "sing"}}


@pytest.fixture
def server(openai: OpenAIServer) -> Iterator[PmockServer]:
    with PmockServer(upstream=openai.url, upstream_key=KEY) as started:
        yield started


@contextmanager
def in_front_of(steps: Steps, **settings: Any) -> Iterator[PmockServer]:
    """A server whose upstream answers with these bytes."""
    with (
        RawServer(steps) as raw,
        PmockServer(upstream=raw.url, **settings) as server,
    ):
        yield server


def events(*data: str) -> Steps:
    return stream(*(f"data: {each}\n\n".encode() for each in data))


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    chunk = {"id": "1", "choices": [choice], **fields}
    return json.dumps(chunk, ensure_ascii=False)


# --- Requests ------------------------------------------------------------------------


def test_names_are_translated(server: PmockServer, openai: OpenAIServer) -> None:
    format_ = {"type": "json_schema", "json_schema": {"name": "A", "schema": {}}}
    fields: dict[str, Any] = {
        "maxTokens": 5,
        "parallelToolCalls": False,
        "responseFormat": format_,
        "tools": [WEATHER],
        "toolChoice": "none",
    }
    function = {"name": "get_weather", "arguments": '{"userName": 1}'}
    call = {"id": "c1", "type": "function", "function": function, "extraContent": {}}
    messages = [
        user("Hi"),
        {"role": "assistant", "toolCalls": [call]},
        {"role": "tool", "toolCallId": "c1", "content": "sunny"},
    ]
    assert post(server, messages=messages, **fields).status_code == 200
    assert openai.requests[0] == {
        "model": "gpt-5.1",
        "max_tokens": 5,
        "parallel_tool_calls": False,
        "response_format": format_,
        "tools": [WEATHER],
        "tool_choice": "none",
        "messages": [
            user("Hi"),
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
        ],
    }


def test_tool_choice_by_name(server: PmockServer, openai: OpenAIServer) -> None:
    choice = {"type": "function", "function": {"name": "get_weather"}}
    answer = post(server, tools=[SING, WEATHER], toolChoice=choice).json()["data"]
    (call,) = answer["choices"][0]["message"]["toolCalls"]
    assert call["function"]["name"] == "get_weather"
    assert openai.requests[0]["tools"] == [WEATHER]
    assert openai.requests[0]["tool_choice"] == "required"


def test_another_model_and_no_key(openai: OpenAIServer) -> None:
    with PmockServer(upstream=openai.url + "/", upstream_model="qwen") as server:
        answer = post(server)
        streamed = events_of(post(server, stream=True).text)
    assert {request["model"] for request in openai.requests} == {"qwen"}
    assert answer.json()["data"]["model"] == "gpt-5.1"
    assert {e["data"]["model"] for e in streamed[:-1]} == {"gpt-5.1"}


def test_script_faults_and_refusals_come_first(
    server: PmockServer, openai: OpenAIServer
) -> None:
    server.script("scripted")
    server.fail(status=503)
    assert post(server).status_code == 503
    assert text_of(post(server)) == "scripted"
    assert post(server, max_tokens=5).status_code == 400
    server.clock_offset = 3600
    assert post(server).status_code == 401
    assert not openai.requests
    server.clock_offset = 0
    assert text_of(post(server)) == "You said: Hello"
    assert len(openai.requests) == 1


# --- Answers -------------------------------------------------------------------------


def test_a_whole_answer(server: PmockServer) -> None:
    response = post(server, model="gpt-5.1-thinking", logprobs=True, topLogprobs=1)
    answer = response.json()
    assert list(answer) == ["code", "message", "data", "traceId"]
    assert (answer["code"], answer["traceId"]) == (200, "req-1")
    data = answer["data"]
    (choice,) = data["choices"]
    assert choice["message"] == {
        "role": "assistant",
        "content": "You said: Hello",
        "reasoningContent": "The user said 1 words. I follow my rules.",
    }
    assert choice["finishReason"] == "stop"
    assert choice["logprobs"]["content"][0]["topLogprobs"][0]["token"] == "You"
    assert data["usage"]["promptTokensDetails"] == {"cachedTokens": 2}
    assert "systemFingerprint" not in data
    assert (server.requests[0].status, server.requests[0].code) == (200, 200)


@pytest.mark.parametrize("model", ["gpt-thinking", "qwen-thinking"])
def test_a_stream_event_by_event(server: PmockServer, model: str) -> None:
    text = "two\u2028lines \u0085 and 你好"
    response = post(server, stream=True, model=model, messages=[user(text)])
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events_of(response.text)
    assert done == "[DONE]"
    assert {tuple(chunk) for chunk in chunks} == {("code", "data", "message")}
    deltas = deltas_of(response.text)
    assert streamed_text(response.text) == f"You said: {text}"
    assert "".join(d.get("reasoningContent", "") for d in deltas).startswith("The user")
    with_usage = [chunk for chunk in chunks if "usage" in chunk["data"]]
    assert with_usage == [chunks[-1]]
    assert chunks[-1]["data"]["usage"]["promptTokens"] == 7
    assert chunks[-1]["data"]["choices"] == [
        {"index": 0, "delta": {}, "finishReason": "stop"}
    ]
    assert "null" not in response.text


def test_events_come_while_the_upstream_waits() -> None:
    first = f"data: {chunk({'content': 'first'})}\n\n".encode()
    with (
        RawServer(stream(first, STALL)) as raw,
        PmockServer(upstream=raw.url) as server,
        open_stream(server) as response,
    ):
        assert streamed_text(next(response.iter_text())) == "first"
        server.stop()
        wait_until(lambda: raw.open_connections == 0)
        assert raw.pauses == 0


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_line_ends_in_any_pieces(newline: bytes) -> None:
    texts = [chunk({"content": "a\u2028"}), chunk({"content": "你"}), chunk({}, "stop")]
    lines = b"".join(
        b"event: x\n: comment\ndata:" + text.encode() + b"\n\n" for text in texts
    )
    sent = (b"\xef\xbb\xbf\n\n" + lines + b"data: [DONE]\n\n").replace(b"\n", newline)
    with in_front_of(stream(*(sent[i : i + 1] for i in range(len(sent))))) as server:
        content = post(server, stream=True).text
    assert streamed_text(content) == "a\u2028你"
    assert content.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        # Beside the finish reason; and later, after what follows a finish reason.
        ([chunk(B, usage=ONE), chunk(C, "length", usage=TWO)], [None, None, TWO]),
        ([chunk(B, "stop"), chunk(C), json.dumps({"usage": TWO})], [None] * 3 + [TWO]),
    ],
)
def test_texts_and_one_usage_are_sent(sent: list[str], usage: list[Any]) -> None:
    with in_front_of(events(chunk(A, "stop"), *sent, "[DONE]")) as server:
        *made, done = events_of(post(server, stream=True).text)
    choices = [choice for each in made for choice in each["data"]["choices"]]
    assert [choice["delta"] for choice in choices] == [A, B, C]
    assert [each["data"].get("usage") for each in made] == usage
    assert done == "[DONE]"


@pytest.mark.parametrize("stream", [False, True])
def test_extra_fields_of_tool_calls(server: PmockServer, *, stream: bool) -> None:
    messages = [user("weather in Rome")]
    response = post(server, messages=messages, tools=[WEATHER], stream=stream)
    if stream:
        calls = [
            d["toolCalls"][0] for d in deltas_of(response.text) if "toolCalls" in d
        ]
        assert calls[0]["index"] == 0
    else:
        calls = response.json()["data"]["choices"][0]["message"]["toolCalls"]
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert calls[0]["id"] == "call_openai_0"


# --- Errors --------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"error": {"message": "slow", "code": null}}', "upstream: slow"),
        (b'{"error": "slow"}', "upstream: slow"),
        (b"slow", "upstream: slow"),
        (b"", "upstream: "),
    ],
)
def test_a_status_is_the_code_of_the_envelope(
    content: bytes, message: str, stream: Any
) -> None:
    with in_front_of(whole(content, "429 Slow", {"Retry-After": "7"})) as server:
        response = post(server, stream=stream)
    assert response.status_code == response.json()["code"] == 429
    assert response.json()["message"] == message
    assert response.headers["retry-after"] == "7"
    assert (server.requests[0].status, server.requests[0].code) == (429, 429)


SECRET = 'sk-secret/"quoted"'


def echoes(secret: str) -> dict[str, Steps]:
    """Return answers of upstreams, and exceptions that they cause, with a secret."""
    error: dict[str, Any] = {"error": {"message": f"wrong key: {secret}", "code": 401}}
    envelope: dict[str, Any] = {"code": 401, "message": secret}
    long = json.dumps({"error": {"message": "x" * 1985 + secret}})
    text = secret.encode()
    # As some servers escape any character.
    escaped = json.dumps(secret).replace("s", r"\u0073")
    answer = f'{{"choices": [{{"message": {{"content": {escaped}}}}}]}}'.encode()
    return {
        "answer": whole(answer),
        "event of an answer": stream(b"data: " + answer + b"\n\n"),
        "status": whole(error, "401 Unauthorized"),
        "text": whole(text, "401 Unauthorized"),
        "cut in the key": whole(b"x" * 1990 + text, "500 Internal Server Error"),
        "cut in the key of JSON": whole(
            long.replace("/", r"\/").encode(), "401 Unauthorized"
        ),
        "in an envelope": whole(envelope),
        "HTTP 200": whole(error),
        "event": stream(b"data: " + json.dumps(error).encode() + b"\n\n"),
        "event of pmock": stream(b"data: " + json.dumps(envelope).encode() + b"\n\n"),
        "status line": [b"HTTP/1.1 200 OK\r\n" + text + b"\r\n\r\n", CLOSE],
    }


@pytest.mark.parametrize("case", echoes(SECRET))
@pytest.mark.parametrize("keys", [SECRET, ("ak-example", SECRET)])
@pytest.mark.parametrize("stream", [False, True])
def test_keys_are_redacted(
    case: str,
    keys: Any,
    *,
    stream: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tape = tmp_path / "tape.jsonl"
    with in_front_of(echoes(SECRET)[case], upstream_key=keys, record=tape) as server:
        texts = [post(server, stream=stream).text, caplog.text]
    texts.append(tape.read_text() if tape.exists() else "")
    assert "sk-secret" not in "".join(texts)


def test_space_around_a_key_is_removed(openai: OpenAIServer) -> None:
    with PmockServer(upstream=openai.url, upstream_key=" sk-other \r\n") as server:
        answer = post(server).json()
    assert answer["code"] == 401
    assert answer["message"] == "upstream: wrong key: Bearer ***"


NOT_KEYS = ["sk a", "sk\na", "\n", 5, ("ak", ""), ("ak", None), ("ak",), (*"abc",)]
NOT_URLS = """localhost:11434|x/v1|ftp://x|http://|http://a b/|http://u:hunter2@h/v1
|http://h:99999/v1|http://h:a/|http://u:1@h|http://[::1|http://h/v1?x=1|http://h/v1#x|http://h\x00/"""


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        *(({"upstream_key": key}, "upstream_key must be ") for key in NOT_KEYS),
        *(({"upstream": url}, "must be a base URL") for url in NOT_URLS.split("|")),
        ({"upstream": f"http://h:{'9' * 5000}/"}, "must be a base URL"),
        *(
            ({"upstream": None, name: "x"}, "need an upstream")
            for name in ("upstream_model", "upstream_key", "record")
        ),
    ],
    ids=str,
)
def test_settings_are_checked(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        PmockServer(**{"upstream": "http://127.0.0.1:9/v1", **settings})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["HTTPS://x/v1", "http://[::ffff:127.0.0.1]:1/v1", "http://x-1:80/a:b+c,d/"]
)
def test_base_urls(url: str) -> None:
    PmockServer(upstream=url)


def closed(steps: Steps) -> Steps:
    return [*steps, CLOSE]


CONTENT = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]}
SSE = {"Content-Type": "text/event-stream"}
ODD_STATUSES = ["99 X", "101 X", "204 X", "304 X", "307 X", "600 X"]
ODD_BODIES = rb"""null
{}
{"usage": 5}
{"error": {"code": 200, "message": "x"}}
{"choices": 5}
{"choices": [null]}
{"choices": [{"message": 5}]}
{"choices": [{"delta": {"reasoning": ["a"]}}]}
{"a": NaN}
"\ud83d"
data: x"""
ODD_ANSWERS: list[Steps] = [
    [CLOSE],
    [b"SSH-2.0-x\r\n", CLOSE],
    [head(length=100) + b"{", RESET],
    [head(headers=SSE) + b"7\r\ndata: {\r\n", CLOSE],
    *(closed(whole(CONTENT, each, {"Location": "/x"})) for each in ODD_STATUSES),
    *(closed(whole(b"data: [DONE]\n\n", each, SSE)) for each in ODD_STATUSES),
    *(
        closed([b"HTTP/1.1 200 OK\r\n%b\r\n\r\n%b" % (header, dump(CONTENT))])
        for header in (
            b"Content-Type: text/event-stream;\xe4",
            b"X-Request-Id: \xff\x80",
            b"Retry-After: \xe4",
            b"Content-Encoding: gzip",
            b"Transfer-Encoding: chunked",
            b"Content-Length: 5, 6",
            b"bad header",
        )
    ),
    *(
        steps
        for content in (*ODD_BODIES.split(b"\n"), b"\xff", b"[" * 99_999, b"9" * 5000)
        for steps in (whole(content), stream(b"data: %b\n\n" % content))
    ),
]


@pytest.mark.parametrize("keys", [None, PMOCK_KEYS], ids=repr)
def test_odd_upstreams_do_not_drop_the_connection(
    keys: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for steps in ODD_ANSWERS:
        with in_front_of(steps, upstream_key=keys) as server:
            for stream in (False, True):
                answer = post(server, stream=stream)
                assert answer.status_code not in {204, 205, 304, 500}, steps
                kind = answer.headers["content-type"]
                if keys is None and kind == "application/json":
                    assert answer.json()["code"] == answer.status_code, steps
    assert caplog.records == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ('{"error": {"message": "out", "code": 503}}', 503),
        ('{"error": "out"}', 502),
        ("no JSON", 502),
        ('{"choices": [5]}', 502),
    ],
)
def test_an_error_in_a_stream(data: str, code: int) -> None:
    with in_front_of(events(chunk({"content": "a"}), data)) as server:
        first, last = events_of(post(server, stream=True).text)
    assert first["data"]["choices"][0]["delta"] == {"content": "a"}
    assert (last["code"], last["data"]) == (code, None)
    assert last["message"].startswith("upstream: ")
    assert (server.requests[0].status, server.requests[0].code) == (200, code)


@pytest.mark.parametrize("content", [{}, {"choices": []}, {"choices": None}])
def test_answer_without_choices(content: Any) -> None:
    with in_front_of(whole(content)) as server:
        answer = post(server)
    assert answer.status_code == answer.json()["code"] == 502
    assert answer.json()["message"] == "upstream: its answer has no choices"


def test_invalid_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "foo://x:1")
    answer = respond(PmockServer(upstream="http://192.0.2.1/v1"))
    assert answer.status == json.loads(answer.content)["code"] == 502


def test_upstream_that_ends_early() -> None:
    with in_front_of(events(chunk({"content": "a"}))) as server:
        content = post(server, stream=True).text
    assert "[DONE]" not in content
    assert "finishReason" not in content


def test_disconnected_client_cancels_the_request() -> None:
    with RawServer([STALL]) as raw, PmockServer(upstream=raw.url) as server:
        with pytest.raises(httpx.ReadTimeout):
            post(server, timeout=1)
        wait_until(lambda: raw.open_connections == 0)
    assert (len(raw.requests), raw.pauses) == (1, 0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_upstream_is_openai_shaped(openai: OpenAIServer) -> None:
    langchain_openai = pytest.importorskip("langchain_openai")
    theirs = langchain_openai.ChatOpenAI(
        model="gpt-5.1", base_url=openai.url, api_key=KEY
    )
    asked = "What is the weather in Rome?"
    assert theirs.invoke("Hi").text == "You said: Hi"
    assert "".join(piece.text for piece in theirs.stream("Hi")) == "You said: Hi"
    (call,) = theirs.bind_tools([get_weather]).invoke(asked).tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Rome"})
    typed = theirs.with_structured_output(Person, method="json_schema")
    assert typed.invoke("Anna is 31 years old.") == Person(name="Anna", age=31)
    theirs.root_client.close()


# --- pmock as the upstream -----------------------------------------------------------


def test_requests_to_pmock_are_signed(pmock: PmockServer) -> None:
    pmock.script(Reply(text="a", tool_calls=[ToolCall("f")]))
    with PmockServer(upstream=pmock.url, upstream_key=PMOCK_KEYS) as front:
        answer = post(front, temperature=0.5, stop=["x"])
    assert pmock.requests[0].body == body(temperature=0.5, stop=["x"])
    assert pmock.requests[0].headers[ACCESS_KEY_HEADER] == PMOCK_KEYS[0]
    assert front.requests[0].headers[ACCESS_KEY_HEADER] == front.access_key
    assert answer.json()["data"]["choices"][0]["message"]["toolCalls"]


def test_stream_of_pmock_ends_with_done(pmock: PmockServer) -> None:
    whole = [b'data: {"code":200,"data":null}\n\n', b"data: [DONE]\n\n"]
    pmock.script(Reply(raw=[*whole, b"data: more\n\n"]))
    with PmockServer(upstream=pmock.url, upstream_key=PMOCK_KEYS) as front:
        assert post(front, stream=True).content == b"".join(whole)
