"""`PmockServer` over real sockets, with nothing of ours on the client's side."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, get_args

import httpx
import pytest

from langchain_pmock import ModelName
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing import (
    Fault,
    PmockServer,
    RecordedRequest,
    Reply,
    ToolCall,
)
from tests.support.on_the_wire import (
    EVENT_STREAM,
    body,
    deltas_of,
    endpoint,
    events_of,
    open_stream,
    post,
    read_until,
    signed,
    streamed_text,
    text_of,
    wait_until,
)


@pytest.fixture
def server() -> Iterator[PmockServer]:
    with PmockServer() as started:
        yield started


# --- Answers in the documented shapes ------------------------------------------------


def test_plain_answer_is_the_documented_envelope(server: PmockServer) -> None:
    response = post(server)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == ["code", "message", "data", "traceId"]
    assert answer["code"] == 200
    assert answer["message"] == "success"
    assert re.fullmatch(r"[0-9a-f]+", answer["traceId"])
    data = answer["data"]
    assert data["id"].startswith("chatcmpl-")
    assert data["model"] == "gpt-5.1"
    assert data["object"] == "chat.completion"
    assert abs(data["created"] - time.time()) < 5
    assert data["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "You said: Hello"},
            "finishReason": "stop",
        }
    ]
    assert data["usage"] == {
        "promptTokens": 1,
        "completionTokens": 4,
        "totalTokens": 5,
        "promptTokensDetails": {
            "textTokens": 1,
            "imageTokens": 0,
            "audioTokens": 0,
            "cachedTokens": 0,
        },
        "completionTokensDetails": {
            "contentTokens": 4,
            "reasoningTokens": 0,
            "audioTokens": 0,
        },
    }


def test_stream_is_the_documented_events(server: PmockServer) -> None:
    response = post(server, stream=True)
    assert response.headers["content-type"] == "text/event-stream"
    *chunks, done = events_of(response.text)
    assert done == "[DONE]"
    assert {tuple(chunk) for chunk in chunks} == {("code", "data", "message")}
    first, *middle, last = [chunk["data"] for chunk in chunks]
    assert first["choices"] == [
        {"delta": {"role": "assistant", "content": ""}, "index": 0}
    ]
    assert [chunk["choices"][0]["delta"]["content"] for chunk in middle] == [
        "You",
        " said",
        ":",
        " Hello",
    ]
    assert all("usage" not in chunk for chunk in [first, *middle])
    assert last["choices"] == [{"delta": {}, "finishReason": "stop", "index": 0}]
    assert last["usage"]["totalTokens"] == 5
    assert {chunk["object"] for chunk in [first, *middle, last]} == {
        "chat.completion.chunk"
    }


def test_streamed_text_is_the_plain_text(server: PmockServer) -> None:
    message = {"role": "user", "content": "你好世界 👩‍👩‍👧 café\n\tnaïve   end "}
    plain = text_of(post(server, messages=[message]))
    streamed = streamed_text(post(server, messages=[message], stream=True).text)
    assert plain == streamed == f"You said: {message['content']}"


def test_tool_calls_stream_in_pieces(server: PmockServer) -> None:
    calls = [ToolCall("f", {"a": "你好 b"}), ToolCall("g", '{"broken'), ToolCall("h")]
    server.script(*[Reply(tool_calls=calls)] * 2)
    plain = post(server).json()["data"]["choices"][0]
    assert plain["finishReason"] == "tool_calls"
    response = post(server, stream=True)
    merged: dict[int, dict[str, str]] = {}
    for delta in deltas_of(response.text):
        for piece in delta.get("toolCalls", []):
            if piece["index"] not in merged:
                assert piece["id"].startswith("call_")
                merged[piece["index"]] = {**piece["function"]}
            else:
                assert piece.keys() == {"index", "function"}
                merged[piece["index"]]["arguments"] += piece["function"]["arguments"]
    assert [*merged.values()] == [c["function"] for c in plain["message"]["toolCalls"]]
    assert [*merged.values()] == [
        {"name": "f", "arguments": '{"a": "你好 b"}'},
        {"name": "g", "arguments": '{"broken'},
        {"name": "h", "arguments": "{}"},
    ]


def test_other_paths_and_methods_get_an_envelope(server: PmockServer) -> None:
    assert httpx.get(f"{server.url}/nowhere").json()["code"] == 404
    response = httpx.get(endpoint(server))
    assert response.status_code == response.json()["code"] == 405
    assert "date" in response.headers


# --- Strictness ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({ACCESS_KEY_HEADER: None}, f"{ACCESS_KEY_HEADER} is missing"),
        ({ACCESS_TOKEN_HEADER: None}, f"{ACCESS_TOKEN_HEADER} is missing"),
        ({ACCESS_KEY_HEADER: "ak-other"}, "not a known access key"),
        ({ACCESS_TOKEN_HEADER: "eA=="}, "not the signature of this minute"),
        ({ACCESS_TOKEN_HEADER: "é"}, "not the signature of this minute"),
    ],
)
def test_wrong_credentials(
    server: PmockServer, change: dict[str, str | None], problem: str
) -> None:
    headers = signed(server) | change
    sent = [(k.encode(), v.encode()) for k, v in headers.items() if v is not None]
    response = httpx.post(endpoint(server), json=body(), headers=sent)
    assert response.status_code == response.json()["code"] == 401
    assert problem in response.json()["message"]
    assert server.secret_key not in response.text
    assert server.requests[0].status == 401


def test_signature_is_good_for_its_minute_alone() -> None:
    with PmockServer(clock=lambda: 1768809960.0) as server:

        def status_at(timestamp: float) -> int:
            headers = signed(server, at=timestamp)
            return httpx.post(
                endpoint(server), json=body(), headers=headers
            ).status_code

        assert status_at(1768809960) == status_at(1768810019.9) == 200
        assert status_at(1768809959.9) == status_at(1768810020) == 401


def test_date_is_the_servers_time(server: PmockServer) -> None:
    server.clock_offset = -7200
    refused = post(server)
    assert refused.status_code == 401
    date = parsedate_to_datetime(refused.headers["date"]).timestamp()
    assert abs(date - (time.time() - 7200)) < 5
    assert refused.headers.get_list("date", split_commas=False) == [
        refused.headers["date"]
    ]
    headers = signed(server, at=date)
    answer = httpx.post(endpoint(server), json=body(), headers=headers)
    assert answer.status_code == 200


def test_keys_may_be_any_text() -> None:
    with PmockServer(access_key="clé", secret_key="秘密") as server:
        headers = [(k.encode(), v.encode()) for k, v in signed(server).items()]
        answer = httpx.post(endpoint(server), json=body(), headers=headers)
        assert answer.status_code == 200


def test_wrong_body_is_refused_and_recorded(server: PmockServer) -> None:
    response = post(server, max_tokens=5)
    assert response.status_code == response.json()["code"] == 400
    assert response.json()["message"].startswith("max_tokens: Extra inputs")
    assert server.requests[0].body["max_tokens"] == 5
    assert (server.requests[0].status, server.requests[0].code) == (400, 400)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"model": NaN}'])
def test_body_that_is_no_object(server: PmockServer, content: bytes) -> None:
    headers = signed(server) | {"Content-Type": "application/json"}
    response = httpx.post(endpoint(server), content=content, headers=headers)
    assert response.status_code == 400
    assert server.requests[0].body == {}


def test_headers_that_the_contract_asks_for(server: PmockServer) -> None:
    url = endpoint(server)
    no_type = httpx.post(url, content=json.dumps(body()), headers=signed(server))
    assert no_type.status_code == 400
    assert "content-type" in no_type.json()["message"]
    no_accept = httpx.post(url, json=body(stream=True), headers=signed(server))
    assert no_accept.status_code == 400
    assert "text/event-stream" in no_accept.json()["message"]


# --- Script --------------------------------------------------------------------------


def test_script_then_rules_again(server: PmockServer) -> None:
    server.script("one", Reply(text="two", finish_reason="length"), Fault(status=503))
    server.script("three")
    assert text_of(post(server)) == "one"
    two = post(server).json()["data"]["choices"][0]
    assert (two["message"]["content"], two["finishReason"]) == ("two", "length")
    assert post(server).status_code == 503
    assert streamed_text(post(server, stream=True).text) == "three"
    assert text_of(post(server)) == "You said: Hello"


@pytest.mark.parametrize(
    "reply", [{"content": "x"}, None, ToolCall("f"), 5, b"x", ["x"], Reply], ids=repr
)
def test_script_refuses_what_it_cannot_use(server: PmockServer, reply: Any) -> None:
    with pytest.raises(ValueError, match="a script has no use for"):
        server.script("fine", reply)
    assert text_of(post(server)) == "You said: Hello"


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 5},
        {"tool_calls": ["f"]},
        {"tool_calls": ToolCall("f")},
        {"chunks": "text"},
        {"chunks": [5]},
        {"raw": ["text"]},
        {"usage": {"promptTokens": object()}},
        {"finish_reason": 1},
        {"txet": "x"},
    ],
    ids=str,
)
def test_replies_are_checked(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Reply(**fields)


def test_arguments_that_are_not_json() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    wrong: list[Any] = [deep, {"a": object()}, 5]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"JSON|string"):
            ToolCall("f", arguments)


def test_a_function_answers_a_request(server: PmockServer) -> None:
    seen: list[Any] = []

    def answer(request: RecordedRequest) -> str | Reply | Fault:
        seen.append(request)
        if request.body.get("n") == 2:
            return Fault(status=503)
        return f"It is {request.body['temperature']}."

    server.script(answer, answer, "plain", lambda _: Reply(text="short"))
    assert text_of(post(server, temperature=0.5)) == "It is 0.5."
    assert post(server, n=2).status_code == 503
    assert text_of(post(server)) == "plain"
    assert text_of(post(server)) == "short"
    assert seen == server.requests[:2]
    server.assert_all_used()


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (lambda _: {"content": "x"}, "returned {'content': 'x'}"),
        (lambda request: request.body["nothing"], "raised KeyError: 'nothing'"),
    ],
)
def test_a_function_that_fails(
    server: PmockServer, function: Any, problem: str
) -> None:
    server.script(function)
    refused = post(server)
    assert refused.status_code == refused.json()["code"] == 400
    assert problem in refused.json()["message"]
    assert text_of(post(server)) == "You said: Hello"


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
    with pytest.raises(AssertionError, match=r"1 of .* not used:\n  'done'"):
        server.assert_all_used()
    assert text_of(post(server, messages=[boss, user])) == "done"
    server.assert_all_used()
    server.fail(status=429)
    with pytest.raises(AssertionError, match="status=429"):
        server.assert_all_used()


@pytest.mark.parametrize("stream", [False, True])
def test_other_fields_of_a_tool_call(server: PmockServer, *, stream: bool) -> None:
    extra = {"extra_content": {"google": {"thought_signature": "c2ln"}}, "x": 1}
    server.script(Reply(tool_calls=[ToolCall("f", extra=extra)]))
    response = post(server, stream=stream)
    if stream:
        call = next(d for d in deltas_of(response.text) if "toolCalls" in d)[
            "toolCalls"
        ]
    else:
        call = response.json()["data"]["choices"][0]["message"]["toolCalls"]
    assert {**call[0], **extra} == call[0]
    sent = {"id": "c1", "type": "function", **extra}
    sent["function"] = {"name": "f", "arguments": "{}"}
    assistant = {"role": "assistant", "toolCalls": [sent]}
    assert post(server, messages=[assistant]).status_code == 200


def test_refused_request_uses_nothing_up(server: PmockServer) -> None:
    server.script("kept")
    server.fail(status=500)
    assert post(server, n=0).status_code == 400
    assert post(server).status_code == 500
    assert text_of(post(server)) == "kept"


def test_exact_chunks(server: PmockServer) -> None:
    pieces: list[str | dict[str, Any]] = [
        "He",
        {"content": "l", "toolCalls": []},
        {},
        "lo",
    ]
    usage = {"promptTokens": 7}
    server.script(Reply(chunks=pieces, usage=usage))
    response = post(server, stream=True)
    assert deltas_of(response.text)[1:-1] == [
        {"content": "He"},
        {"content": "l", "toolCalls": []},
        {},
        {"content": "lo"},
    ]
    assert events_of(response.text)[-2]["data"]["usage"] == usage


def test_raw_bytes_come_as_they_are(server: PmockServer) -> None:
    pieces = [b"\xef\xbb\xbfda", b"ta: \xe4", b"\xbd\xa0\r", b"\n\r\n"]
    server.script(Reply(raw=pieces))
    with open_stream(server) as response:
        assert [*response.iter_raw()] == pieces


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newline(server: PmockServer, newline: str) -> None:
    server.newline = newline
    content = post(server, stream=True).text
    assert content.endswith(f"data: [DONE]{newline}{newline}")
    rest = content.replace(newline, "")
    assert "\n" not in rest
    assert "\r" not in rest


# --- Faults --------------------------------------------------------------------------


def test_http_status_with_retry_after(server: PmockServer) -> None:
    server.fail(status=429, message="slow down", retry_after=1.5, times=2)
    for _ in range(2):
        response = post(server, stream=True)
        assert response.status_code == response.json()["code"] == 429
        assert response.json()["message"] == "slow down"
        assert response.headers["retry-after"] == "1.5"
    assert post(server).status_code == 200
    server.fail(status=503, code=77, retry_after="Sun, 06 Nov 1994 08:49:37 GMT")
    response = post(server)
    assert (response.status_code, response.json()["code"]) == (503, 77)
    assert response.headers["retry-after"] == "Sun, 06 Nov 1994 08:49:37 GMT"


def test_code_in_an_envelope_of_http_200(server: PmockServer) -> None:
    server.fail(code=429)
    response = post(server)
    assert (response.status_code, response.json()["code"]) == (200, 429)
    assert response.json()["data"] is None
    assert (server.requests[0].status, server.requests[0].code) == (200, 429)


@pytest.mark.parametrize("after", [None, 0, 3])
def test_code_in_a_stream(server: PmockServer, after: int | None) -> None:
    server.fail(code=500, after=after)
    response = post(server, stream=True)
    assert response.status_code == 200
    *good, bad = events_of(response.text)
    assert len(good) == (after or 0)
    assert bad["code"] == 500
    assert bad["traceId"]


@pytest.mark.parametrize("fault", [{"code": 500}, {"garbage": True}])
def test_a_bad_event_after_more_events_than_there_are(
    server: PmockServer, fault: dict[str, Any]
) -> None:
    right = post(server, stream=True).text.count("data: ")
    server.fail(**fault, after=99)
    content = post(server, stream=True).content
    assert content.count(b"data: ") == right
    assert b"[DONE]" not in content
    assert b'"finishReason":"stop"' in content


def test_garbage(server: PmockServer) -> None:
    server.fail(garbage=True, times=2)
    with pytest.raises(ValueError, match="codec"):
        post(server).json()
    with pytest.raises(ValueError, match="Expecting"):
        events_of(post(server, stream=True).text)


def test_web_page_and_other_bodies(server: PmockServer) -> None:
    server.fail(html=True)
    server.fail(html=True, status=200)
    server.fail(body=b"a,b", content_type="text/csv")
    pages = [post(server), post(server, stream=True)]
    assert [page.status_code for page in pages] == [502, 200]
    assert {page.headers["content-type"] for page in pages} == {"text/html"}
    assert all(page.text.startswith("<html>") for page in pages)
    other = post(server)
    assert (other.headers["content-type"], other.text) == ("text/csv", "a,b")


@pytest.mark.parametrize("events", [0, 1, 3])
def test_stream_cut_cleanly(server: PmockServer, events: int) -> None:
    server.fail(cut_after=events)
    content = post(server, stream=True).text
    assert len(events_of(content) if content else []) == events
    assert "finishReason" not in content


def test_plain_answer_cut(server: PmockServer) -> None:
    server.fail(cut_after=0)
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        post(server)


@pytest.mark.parametrize("stream", [False, True])
def test_reset_before_the_response(server: PmockServer, *, stream: bool) -> None:
    server.fail(reset_after=0)
    with pytest.raises(httpx.ReadError, match="reset"):
        post(server, stream=stream)
    assert server.requests[0].status is None
    assert post(server, stream=stream).status_code == 200


def test_reset_in_the_middle(server: PmockServer) -> None:
    server.fail(reset_after=2, times=2)
    with open_stream(server) as response:
        received = read_until(httpx.ReadError, response)
    assert len(events_of(received)) == 2
    with pytest.raises(httpx.ReadError, match="reset"):
        post(server)


def test_stall_before_the_response(server: PmockServer) -> None:
    server.script("late")
    server.fail(stall=0.3)
    started = time.monotonic()
    assert text_of(post(server)) == "late"
    assert time.monotonic() - started >= 0.3


def test_reply_waits_for_who_left_during_a_stall(server: PmockServer) -> None:
    server.script("kept", "next")
    server.fail(stall=60)
    with pytest.raises(httpx.ReadTimeout):
        post(server, timeout=0.2)
    wait_until(lambda: server.open_connections == 0)
    assert text_of(post(server)) == "kept"


@pytest.mark.parametrize("after", [0, 2])
def test_stall_in_a_stream(server: PmockServer, after: int) -> None:
    server.fail(stall=60, after=after)
    with open_stream(server, timeout=0.3) as response:
        assert response.status_code == 200
        received = read_until(httpx.ReadTimeout, response)
    assert len(events_of(received) if received else []) == after


@pytest.mark.parametrize("stream", [False, True])
def test_byte_by_byte(server: PmockServer, *, stream: bool) -> None:
    server.script(*["你好"] * 2)
    whole = post(server, stream=stream).content
    server.fail(byte_by_byte=True)
    with httpx.stream(
        "POST",
        endpoint(server),
        json=body(stream=stream),
        headers=signed(server) | EVENT_STREAM,
    ) as response:
        pieces = [*response.iter_raw()]
    assert {len(piece) for piece in pieces} == {1}
    # All but the ids and the times.
    assert len(pieces) == len(whole)
    assert "你好" in b"".join(pieces).decode() or stream


def test_fault_leaves_the_script_where_it_is(server: PmockServer) -> None:
    server.script("one", Fault(cut_after=1), "two")
    server.fail(status=500)
    assert post(server, stream=True).status_code == 500
    assert text_of(post(server)) == "one"
    assert "[DONE]" not in post(server, stream=True).text
    assert text_of(post(server)) == "two"


def test_reset_forgets(server: PmockServer) -> None:
    server.script("never")
    server.fail(status=500)
    post(server)
    server.fail(status=500)
    server.reset()
    assert server.requests == []
    assert text_of(post(server)) == "You said: Hello"


def test_misspelled_fault() -> None:
    with pytest.raises(ValueError, match="needs one of status"):
        Fault(retry_after=3)


def test_a_fault_that_cannot_be(server: PmockServer) -> None:
    with pytest.raises(ValueError, match="no body"):
        server.fail(status=204)
    assert post(server).status_code == 200


# --- The server itself ---------------------------------------------------------------


def test_records_requests(server: PmockServer) -> None:
    post(server, temperature=0.5)
    request = server.requests[0]
    assert request.body["temperature"] == 0.5
    assert request.headers[ACCESS_KEY_HEADER] == server.access_key
    assert (request.status, request.code) == (200, 200)


def test_same_requests_get_the_same_answers() -> None:
    def answers() -> list[Any]:
        with PmockServer(clock=lambda: 1768809960.0) as server:
            headers = signed(server, at=1768809960)
            return [
                httpx.post(endpoint(server), json=body(), headers=headers).json()
                for _ in range(2)
            ]

    first, second = answers()
    assert [first, second] == answers()
    assert first["data"]["id"] != second["data"]["id"]
    assert first["traceId"] != second["traceId"]


def test_ids_do_not_depend_on_what_else_is_asked() -> None:
    def ids(*texts: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        with PmockServer() as server:
            for text in texts:
                messages = [{"role": "user", "content": text}]
                data = post(server, messages=messages).json()["data"]
                found.setdefault(text, []).append(data["id"])
        return found

    assert ids("one", "two", "one") == ids("two", "one", "one")
    assert len({*ids("one", "one")["one"]}) == 2


def test_only_documented_models() -> None:
    with PmockServer(documented_models_only=True) as server:
        refused = post(server, model="gpt-4")
        assert refused.status_code == refused.json()["code"] == 404
        assert "'gpt-4'" in refused.json()["message"]
        for model in get_args(ModelName):
            assert post(server, model=model).status_code == 200


def test_reasoning_in_a_request() -> None:
    thought = {"role": "assistant", "content": "", "reasoningContent": "Hm."}
    with PmockServer() as server:
        refused = post(server, messages=[thought])
        assert refused.status_code == 400
        assert "messages[0].reasoningContent" in refused.json()["message"]
    with PmockServer(allow_reasoning=True) as server:
        assert post(server, messages=[thought]).status_code == 200


def test_the_last_requests_are_kept() -> None:
    with PmockServer(keep_requests=2) as server:
        for n in (1, 2, 3):
            post(server, n=n)
        assert [request.body["n"] for request in server.requests] == [2, 3]
        server.fail(status=500)
        post(server)
        assert server.requests[-1].status == 500
    with PmockServer(keep_requests=0) as server:
        assert post(server).status_code == 200
        assert server.requests == []


# --- Hostile requests ----------------------------------------------------------------


def raw(server: PmockServer, request: bytes) -> bytes:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0), timeout=5) as client:
        client.sendall(request)
        received = b""
        while data := client.recv(65536):
            received += data
    return received


def head_of(server: PmockServer, **fields: str) -> bytes:
    path = httpx.URL(endpoint(server)).path
    lines = [f"POST {path} HTTP/1.1", "Host: x"]
    headers = {**signed(server), "Content-Type": "application/json", **fields}
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@pytest.mark.parametrize("n", [129, 1_000_000])
def test_too_many_choices(server: PmockServer, n: int) -> None:
    assert post(server, n=n).status_code == 400


def test_a_body_that_is_too_long(
    server: PmockServer, caplog: pytest.LogCaptureFixture
) -> None:
    announced = raw(server, head_of(server, Content_Length=str(10**12)) + b"{")
    assert announced.startswith(b"HTTP/1.1 413 ")
    assert b'"code":413' in announced
    expecting = head_of(server, Content_Length=str(10**12), Expect="100-continue")
    assert raw(server, expecting).startswith(b"HTTP/1.1 413 ")
    answer = httpx.post(
        endpoint(server),
        content=(b" " * 2**20 for _ in range(70)),
        headers={**signed(server), "Content-Type": "application/json"},
    )
    assert answer.status_code == answer.json()["code"] == 413
    assert post(server).status_code == 200
    assert caplog.records == []


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"messages":' + b'{"a":' * 10_000,
        b'{"model":"m","messages":[{"role":"user","content":"\xff"}]}',
        b'{"model":"m","messages":[{"role":"user","content":"\\ud83d"}]}',
        b'{"seed":' + b"9" * 100_000 + b"}",
    ],
)
def test_bodies_that_are_odd(
    server: PmockServer, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {**signed(server), "Content-Type": "application/json"}
    answer = httpx.post(endpoint(server), content=content, headers=headers)
    assert answer.status_code == answer.json()["code"] == 400
    assert caplog.records == []


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"type": "integer", "minimum": "a"},
        {"type": "string", "minLength": "a"},
        {"required": [["a"]], "properties": {}},
        {"$ref": "#/a/b/c"},
        {"anyOf": 5},
        {"type": "array", "minItems": 10**9},
        {"type": "string", "minLength": 10**12},
        {"type": "array", "items": True},
    ],
    ids=str,
)
def test_schemas_that_are_none(
    server: PmockServer, schema: Any, caplog: pytest.LogCaptureFixture
) -> None:
    named = {"name": "A", "schema": schema}
    answer = post(server, responseFormat={"type": "json_schema", "json_schema": named})
    assert answer.status_code in {200, 400}
    assert answer.json()["code"] == answer.status_code
    assert caplog.records == []


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + b"\0" * 100,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000,
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ],
    ids=["line", "TLS", "headers", "length"],
)
def test_what_is_no_http(
    server: PmockServer, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert re.match(rb"HTTP/1.1 4\d\d ", raw(server, request_))
    assert post(server).status_code == 200
    assert caplog.records == []


def test_a_client_that_waits_to_send_its_body(server: PmockServer) -> None:
    url, content = httpx.URL(server.url), json.dumps(body()).encode()
    length = str(len(content))
    with socket.create_connection((url.host, url.port or 0), timeout=5) as client:
        client.sendall(head_of(server, Content_Length=length, Expect="100-continue"))
        assert client.recv(65536).startswith(b"HTTP/1.1 100 ")
        client.sendall(content)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_requests_one_behind_the_other(server: PmockServer) -> None:
    content = json.dumps(body()).encode()
    request = head_of(server, Content_Length=str(len(content))) + content
    last = head_of(server, Content_Length=str(len(content)), Connection="close")
    assert raw(server, request + last + content).count(b"You said: Hello") == 2
    head = raw(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 404 ")
    assert head.endswith(b"\r\n\r\n")


# --- Time, and stopping --------------------------------------------------------------


def test_delay_is_between_events() -> None:
    with PmockServer(delay=0.05) as server:
        started = time.monotonic()
        events = events_of(post(server, stream=True).text)
        took = time.monotonic() - started
    assert took >= 0.05 * (len(events) - 1)


def test_no_secret_in_repr(server: PmockServer) -> None:
    assert server.url in repr(server)
    assert server.secret_key not in repr(server)
    assert server.access_key not in repr(server)
    assert repr(PmockServer()) == "PmockServer(stopped)"


def test_each_server_has_keys_of_its_own(server: PmockServer) -> None:
    other = PmockServer()
    assert other.access_key != server.access_key
    assert other.secret_key != server.secret_key
    assert other.access_key.startswith("ak-test-")
    assert other.secret_key.startswith("sk-test-")


def test_env_names_what_the_client_reads(server: PmockServer) -> None:
    assert server.env == {
        "PMOCK_ACCESS_KEY": server.access_key,
        "PMOCK_SECRET_KEY": server.secret_key,
        "PMOCK_BASE_URL": server.url,
    }


def test_no_address_before_the_start() -> None:
    with pytest.raises(RuntimeError, match="not started"):
        _ = PmockServer().url


def test_start_and_stop_again_and_again() -> None:
    threads = threading.active_count()
    server = PmockServer()
    server.stop()
    for _ in range(3):
        server.start()
        server.start()
        assert post(server).status_code == 200
        server.stop()
        server.stop()
        assert threading.active_count() == threads


def test_stop_drops_open_streams_at_once(caplog: pytest.LogCaptureFixture) -> None:
    server = PmockServer(delay=60)
    server.start()
    url = endpoint(server)
    with (
        httpx.Client(headers=signed(server) | EVENT_STREAM) as client,
        client.stream("POST", url, json=body(stream=True)) as response,
    ):
        pieces = response.iter_text()
        assert next(pieces)
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 2
        with pytest.raises(httpx.TransportError):
            next(pieces)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert caplog.records == []


def test_stop_during_a_stall(caplog: pytest.LogCaptureFixture) -> None:
    with PmockServer() as server:
        server.fail(stall=60)
        failed: list[Exception] = []

        def call() -> None:
            try:
                post(server, timeout=30)
            except httpx.TransportError as error:
                failed.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        wait_until(lambda: bool(server.requests))
        started = time.monotonic()
    assert time.monotonic() - started < 2
    thread.join()
    assert failed
    assert [r for r in caplog.records if r.name.startswith("asyncio")] == []


def test_client_that_leaves_is_noticed() -> None:
    with PmockServer(delay=0.02) as server:
        server.script(Reply(chunks=["x"] * 1000))
        with open_stream(server) as response:
            pieces = response.iter_text()
            assert next(pieces)
            assert server.open_connections == 1
        wait_until(lambda: server.open_connections == 0)


def test_client_that_leaves_before_its_request_is_whole(
    server: PmockServer, caplog: pytest.LogCaptureFixture
) -> None:
    url = httpx.URL(server.url)
    with socket.create_connection((url.host, url.port or 0)) as client:
        request = (
            f"POST {url.path}/ai/chat/completions HTTP/1.1\r\nHost: {url.host}\r\n"
        )
        client.sendall(f"{request}Content-Length: 10\r\n\r\nhalf".encode())
        wait_until(lambda: server.open_connections == 1)
    wait_until(lambda: server.open_connections == 0)
    assert post(server).status_code == 200
    assert len(server.requests) == 1
    assert [r for r in caplog.records if r.name.startswith("asyncio")] == []


def test_port_that_is_taken(server: PmockServer) -> None:
    port = httpx.URL(server.url).port
    assert port is not None
    other = PmockServer(port=port)
    with pytest.raises(OSError, match="in use"):
        other.start()
    other.stop()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("the system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_descriptors")
async def test_a_thousand_streams_at_once() -> None:
    # Raw connections: an HTTP client of this many would be all that is measured.
    count = 1000
    now = 1768809960.0  # a busy machine may take more than a minute
    with PmockServer(clock=lambda: now) as server:
        url = httpx.URL(endpoint(server))
        content = json.dumps(body(stream=True)).encode()
        lines = [f"POST {url.path} HTTP/1.1", f"Host: {url.host}"]
        headers = signed(server, at=now) | EVENT_STREAM | {"Connection": "close"}
        headers |= {"Content-Type": "application/json"}
        headers |= {"Content-Length": str(len(content))}
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "", ""]).encode() + content
        everyone_is_there = asyncio.Event()
        arrived = 0

        async def one() -> bytes:
            nonlocal arrived
            reader, writer = await asyncio.open_connection(url.host, url.port)
            arrived += 1
            if arrived == count:
                everyone_is_there.set()
            await everyone_is_there.wait()
            writer.write(request)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            return answer

        answers = await asyncio.gather(*(one() for _ in range(count)))
        assert len(server.requests) == count
    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
    assert all(answer.count(b"data: ") == 7 for answer in answers)
    assert all(b"data: [DONE]" in answer for answer in answers)


# --- Command line --------------------------------------------------------------------


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "langchain_pmock.testing", *options]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_command_line_serves_until_ctrl_c() -> None:
    options = ["--access-key", "ak-test", "--secret-key", "sk-'test'"]
    with subprocess.Popen(  # noqa: S603 - our own command
        command(*options), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        exports = "".join(process.stdout.readline() for _ in range(3))
        values = subprocess.run(  # noqa: S602 - what the user would do with them
            f'{exports}echo "$PMOCK_ACCESS_KEY|$PMOCK_SECRET_KEY|$PMOCK_BASE_URL"',
            shell=True,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        access_key, secret_key, url = values.split("|")
        assert (access_key, secret_key) == ("ak-test", "sk-'test'")
        headers = {
            ACCESS_KEY_HEADER: access_key,
            ACCESS_TOKEN_HEADER: sign(access_key, secret_key, time.time()),
        }
        answer = httpx.post(f"{url}/ai/chat/completions", json=body(), headers=headers)
        assert text_of(answer) == "You said: Hello"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0


def test_command_line_says_that_a_port_is_taken(server: PmockServer) -> None:
    port = httpx.URL(server.url).port
    done = subprocess.run(  # noqa: S603 - our own command
        command("--port", str(port)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"cannot listen on port {port}: Address already in use" in done.stderr
