"""What needs no network: tokens, counts, log probabilities, faults, the import."""

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall
from langchain_pmock.testing._completion import tokens
from langchain_pmock.testing._http import Abort, Pause, Response


def respond(service: PmockServer, **fields: Any) -> Response:
    body = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {
        ACCESS_KEY_HEADER: service.access_key,
        ACCESS_TOKEN_HEADER: sign(service.access_key, service.secret_key, time.time()),
        "content-type": "application/json; charset=utf-8",
        "accept": "text/event-stream",
    }
    content = json.dumps(body | fields).encode()
    return asyncio.run(service._respond(headers, content))


def data_of(answer: Response) -> Any:
    (content,) = answer.steps
    assert isinstance(content, bytes)
    return json.loads(content)["data"]


def chunks_of(answer: Response) -> list[Any]:
    events = [step for step in answer.steps if isinstance(step, bytes)]
    assert events[-1] == b"data: [DONE]\n\n"
    return [json.loads(e.removeprefix(b"data: "))["data"] for e in events[:-1]]


@given(st.text())
def test_tokens_lose_nothing(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_tokens_are_words_with_the_space_before_and_single_characters() -> None:
    assert tokens("Hi, you  two 你好 ") == [
        "Hi",
        ",",
        " you",
        "  two",
        " 你",
        "好",
        " ",
    ]


def test_usage_counts_what_is_there() -> None:
    service = PmockServer()
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "one two"}, image]
    messages = [{"role": "user", "content": content}]
    answer = respond(service, messages=messages, model="x-thinking", n=2)
    usage = data_of(answer)["usage"]
    assert usage["promptTokensDetails"]["textTokens"] == 2
    assert usage["promptTokensDetails"]["imageTokens"] > 0
    assert usage["promptTokens"] == sum(usage["promptTokensDetails"].values())
    details = usage["completionTokensDetails"]
    assert details["reasoningTokens"] > 0
    assert details["contentTokens"] > 0
    assert usage["completionTokens"] == sum(details.values())
    assert usage["totalTokens"] == usage["promptTokens"] + usage["completionTokens"]


def test_log_probabilities_are_those_of_the_tokens() -> None:
    service = PmockServer()
    fields = {"logprobs": True, "topLogprobs": 2}
    (choice,) = data_of(respond(service, **fields))["choices"]
    plain = choice["logprobs"]["content"]
    assert [entry["token"] for entry in plain] == ["You", " said", ":", " Hello"]
    for entry in plain:
        assert bytes(entry["bytes"]).decode() == entry["token"]
        best, other = entry["topLogprobs"]
        assert best["token"] == entry["token"]
        assert 0 > best["logprob"] == entry["logprob"] > other["logprob"]
    streamed = [
        entry
        for chunk in chunks_of(respond(service, stream=True, **fields))
        for entry in chunk["choices"][0].get("logprobs", {"content": []})["content"]
    ]
    assert streamed == plain
    (choice,) = data_of(respond(service, logprobs=True))["choices"]
    assert choice["logprobs"]["content"][0]["topLogprobs"] == []


def test_reply_with_all_that_it_can_have() -> None:
    service = PmockServer()
    reply = Reply(
        text="a b",
        reasoning="c d",
        refusal="e f",
        logprobs={"content": []},
        usage={"totalTokens": 9},
        finish_reason="content_filter",
        tool_calls=[ToolCall("f", id=None), ToolCall("g", id="mine")],
    )
    service.script(reply, reply)
    data = data_of(respond(service))
    assert data["usage"] == {"totalTokens": 9}
    assert data["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "a b",
                "reasoningContent": "c d",
                "refusal": "e f",
                "toolCalls": [
                    {"type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {
                        "id": "mine",
                        "type": "function",
                        "function": {"name": "g", "arguments": "{}"},
                    },
                ],
            },
            "finishReason": "content_filter",
            "logprobs": {"content": []},
        }
    ]
    chunks = chunks_of(respond(service, stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for field, pieces in (
        ("reasoningContent", ["c", " d"]),
        ("content", ["", "a", " b"]),
        ("refusal", ["e", " f"]),
    ):
        assert [delta[field] for delta in deltas if field in delta] == pieces
    heads = [delta["toolCalls"][0] for delta in deltas if "toolCalls" in delta]
    assert [head.get("id") for head in heads if "type" in head] == [None, "mine"]
    assert chunks[-1]["choices"][0]["finishReason"] == "content_filter"
    assert chunks[-1]["choices"][0]["logprobs"] == {"content": []}


def test_scripted_reply_is_every_choice() -> None:
    service = PmockServer()
    service.script("same")
    choices = data_of(respond(service, n=2))["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["same"] * 2
    assert [choice["index"] for choice in choices] == [0, 1]


def test_chunks_give_the_text_of_a_plain_answer() -> None:
    service = PmockServer()
    service.script(Reply(chunks=["a", {"content": "not text"}, "b"]))
    (choice,) = data_of(respond(service))["choices"]
    assert choice["message"]["content"] == "ab"


@pytest.mark.parametrize(
    ("fault", "stream", "kinds"),
    [
        (Fault(stall=5), True, [Pause(5), "data", "data"]),
        (Fault(stall=5, after=0), True, ["", Pause(5), "data", "data"]),
        (Fault(stall=5, after=1), True, ["", "data", Pause(5), "data"]),
        (Fault(stall=5, status=500), True, [Pause(5), '{"co']),
        (Fault(stall=5, html=True), True, [Pause(5), "<htm"]),
        (Fault(cut_after=1), True, ["data"]),
        (Fault(cut_after=0), True, []),
        (Fault(reset_after=1), True, ["data", Abort(reset=True)]),
        (Fault(reset_after=0), True, [Abort(reset=True)]),
        (Fault(reset_after=0), False, [Abort(reset=True)]),
        (Fault(reset_after=1), False, ['{"co', Abort(reset=True)]),
        (Fault(cut_after=0), False, ['{"co', Abort(reset=False)]),
        (Fault(code=500, cut_after=0), True, []),
        (Fault(code=500, after=1, cut_after=9), True, ["data", "data"]),
        (Fault(reset_after=9), True, ["data", "data", Abort(reset=True)]),
        (Fault(body=b"ab", stall=5, byte_by_byte=True), True, [Pause(5), "a", "b"]),
    ],
)
def test_faults_order_the_steps(
    fault: Fault, *, stream: bool, kinds: list[str | Pause | Abort]
) -> None:
    service = PmockServer()
    service.script(fault, Reply(raw=[b"data: 1\n\n", b"data: 2\n\n"]))
    steps = respond(service, stream=stream).steps
    assert [s[:4].decode() if isinstance(s, bytes) else s for s in steps] == kinds


@pytest.mark.parametrize("after", [6, 7, 99])
@pytest.mark.parametrize(
    "fault",
    [{"code": 500}, {"garbage": True}, {"stall": 5}],
    ids=["code", "garbage", "stall"],
)
def test_faults_come_before_the_end_of_a_stream(
    fault: dict[str, Any], after: int
) -> None:
    service = PmockServer()
    right = respond(service, stream=True).steps
    assert len(right) == 7
    service.fail(**fault, after=after)
    *good, bad = (s for s in respond(service, stream=True).steps if s != b"")
    if "stall" in fault:
        assert bad == b"data: [DONE]\n\n"
        assert good.pop() == Pause(5)
    assert len(good) == 6
    assert isinstance(good[-1], bytes)
    assert b'"finishReason":"stop"' in good[-1]
    service.script(Reply(raw=[b"data: 1\n\n"]))
    service.fail(**fault, after=after)
    first = next(s for s in respond(service, stream=True).steps if s != b"")
    assert first == b"data: 1\n\n"


@pytest.mark.parametrize("how", ["cut_after", "reset_after"])
def test_a_stream_that_breaks_off_has_no_end(how: str) -> None:
    service = PmockServer()
    right = respond(service, stream=True).steps
    fault: dict[str, Any] = {how: 99}
    service.fail(**fault)
    steps = [s for s in respond(service, stream=True).steps if isinstance(s, bytes)]
    assert len(steps) == len(right) - 1
    assert b"[DONE]" not in b"".join(steps)


@pytest.mark.parametrize("stream", [True, False])
def test_a_code_of_0_is_a_code(*, stream: bool) -> None:
    service = PmockServer()
    service.fail(code=0)
    answer = respond(service, stream=stream)
    (content,) = answer.steps
    assert isinstance(content, bytes)
    assert b'"code":0' in content
    assert answer.code == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (60, "60"), (1.5, "1.5"), (1e6, "1000000"), (1e-7, "0"), ("-5", "-5")],
)
def test_retry_after_has_no_exponent(seconds: float | str, text: str) -> None:
    service = PmockServer()
    service.fail(status=503, retry_after=seconds)
    assert respond(service).headers["Retry-After"] == text


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"status": 199}, "status\n.*greater than or equal to 200"),
        ({"status": 600}, "status\n.*less than or equal to 599"),
        ({"status": 204}, "status\n.*has no body"),
        ({"status": 205}, "status\n.*has no body"),
        ({"status": 304}, "status\n.*has no body"),
        ({"status": "500"}, "status\n.*valid integer"),
        ({"status": 500.0}, "status\n.*valid integer"),
        ({"status": True}, "status\n.*valid integer"),
        ({"code": "500"}, "code\n.*valid integer"),
        ({"body": "text"}, "body\n.*valid bytes"),
        ({"body": {"code": 200}}, "body\n.*valid bytes"),
        ({"code": 500, "after": -1}, "after\n.*greater than or equal to 0"),
        ({"cut_after": -1}, "cut_after\n.*greater than"),
        ({"reset_after": -3}, "reset_after\n.*greater than"),
        ({"cut_after": 1.5}, "cut_after\n.*valid integer"),
        ({"stall": -1}, "stall\n.*greater than or equal to 0"),
        ({"stall": float("nan")}, "stall\n.*"),
        ({"status": 503, "retry_after": -5}, "retry_after"),
        ({"status": 503, "retry_after": float("inf")}, "retry_after"),
        ({"status": 503, "retry_after": "a\nb"}, "retry_after"),
        ({"body": b"", "content_type": "clé"}, "content_type\n.*match pattern"),
        ({"after": 3, "cut_after": 3}, "after needs one of code, garbage and stall"),
        ({"after": 3}, "a fault needs one of status"),
        ({"statsu": 3}, "statsu"),
    ],
)
def test_a_fault_that_cannot_be_is_refused(fault: dict[str, Any], problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        Fault(**fault)
    with pytest.raises((ValueError, TypeError), match=problem):
        PmockServer().fail(**fault)


@pytest.mark.parametrize("times", [0, -1])
def test_a_fault_happens_at_least_once(times: int) -> None:
    with pytest.raises(ValueError, match=f"times={times} must be at least 1"):
        PmockServer().fail(status=500, times=times)


def test_delay_is_only_between_events() -> None:
    service = PmockServer(delay=2)
    service.script(Reply(raw=[b"1", b"2"]))
    assert respond(service, stream=True).steps == [b"1", Pause(2), b"2"]
    assert len(respond(service).steps) == 1
    service.fail(byte_by_byte=True)
    assert Pause(2) not in respond(service, stream=True).steps


def test_reply_is_restored_for_a_client_that_left() -> None:
    service = PmockServer()
    service.script("one", "two")
    service.fail(stall=5)
    respond(service).restore()
    (choice,) = data_of(respond(service))["choices"]
    assert choice["message"]["content"] == "one"
