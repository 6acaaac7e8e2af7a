"""What needs no network: tokens, counts, log probabilities, faults, the import."""

import importlib
import json
import sys
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing import Fault, Reply, ToolCall
from langchain_pmock.testing._completion import tokens
from langchain_pmock.testing._service import Service
from langchain_pmock.testing._wire import Answer, HangUp, Pause


def respond(service: Service, **fields: Any) -> Answer:
    body = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "Hello"}]}
    headers = {
        ACCESS_KEY_HEADER: service.access_key,
        ACCESS_TOKEN_HEADER: sign(service.access_key, service.secret_key, time.time()),
        "content-type": "application/json; charset=utf-8",
        "accept": "text/event-stream",
    }
    return service.respond(headers, json.dumps(body | fields).encode())


def data_of(answer: Answer) -> Any:  # noqa: ANN401 - JSON
    (content,) = answer.steps
    assert isinstance(content, bytes)
    return json.loads(content)["data"]


def chunks_of(answer: Answer) -> list[Any]:
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
    service = Service()
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
    service = Service()
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
    service = Service()
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
    service = Service()
    service.script("same")
    choices = data_of(respond(service, n=2))["choices"]
    assert [choice["message"]["content"] for choice in choices] == ["same"] * 2
    assert [choice["index"] for choice in choices] == [0, 1]


def test_chunks_give_the_text_of_a_plain_answer() -> None:
    service = Service()
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
        (Fault(reset_after=1), True, ["data", HangUp(reset=True)]),
        (Fault(reset_after=0), True, [HangUp(reset=True)]),
        (Fault(reset_after=0), False, [HangUp(reset=True)]),
        (Fault(reset_after=1), False, ['{"co', HangUp(reset=True)]),
        (Fault(cut_after=0), False, ['{"co', HangUp(reset=False)]),
        (Fault(code=500, cut_after=0), True, []),
        (Fault(body=b"ab", stall=5, byte_by_byte=True), True, [Pause(5), "a", "b"]),
    ],
)
def test_faults_order_the_steps(
    fault: Fault, *, stream: bool, kinds: list[str | Pause | HangUp]
) -> None:
    service = Service()
    service.script(fault, Reply(raw=[b"data: 1\n\n", b"data: 2\n\n"]))
    steps = respond(service, stream=stream).steps
    assert [s[:4].decode() if isinstance(s, bytes) else s for s in steps] == kinds


def test_delay_is_only_between_events() -> None:
    service = Service(delay=2)
    service.script(Reply(raw=[b"1", b"2"]))
    assert respond(service, stream=True).steps == [b"1", Pause(2), b"2"]
    assert len(respond(service).steps) == 1
    service.fail(byte_by_byte=True)
    assert Pause(2) not in respond(service, stream=True).steps


def test_reply_can_be_given_back() -> None:
    service = Service()
    service.script("one", "two")
    service.fail(stall=5)
    respond(service).give_back()
    (choice,) = data_of(respond(service))["choices"]
    assert choice["message"]["content"] == "one"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_without_the_extra_the_import_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for name in [*sys.modules]:
        if name.startswith("langchain_pmock.testing"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r'pip install "langchain-pmock\[testing\]"'):
        importlib.import_module("langchain_pmock.testing")
