import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall
from langchain_pmock.testing._completion import tokens
from langchain_pmock.testing._http import Response, Step
from tests.support.on_the_wire import respond


def data_of(answer: Response) -> Any:
    return json.loads(answer.content)["data"]


def texts_of(answer: Response) -> list[str]:
    return [choice["message"]["content"] for choice in data_of(answer)["choices"]]


def chunks_of(answer: Response) -> list[Any]:
    *events, end = answer.content.decode().split("\n\n")[:-1]
    assert end == "data: [DONE]"
    return [json.loads(event.removeprefix("data: "))["data"] for event in events]


@given(st.text())
def test_tokens_are_the_whole_text(text: str) -> None:
    assert "".join(tokens(text)) == text


def test_tokens_are_words_with_the_space_before_and_single_characters() -> None:
    expected = ["Hi", ",", " you", "  two", " 你", "好", " "]
    assert tokens("Hi, you  two 你好 ") == expected


@pytest.mark.parametrize(
    ("fields", "texts", "finish_reason"),
    [
        ({"stop": ["lo", "He"]}, ["You said: "], "stop"),
        ({"stop": "xyz"}, ["You said: Hello"], "stop"),
        ({"maxTokens": 3}, ["You said:"], "length"),
        ({"maxCompletionTokens": 1}, ["You"], "length"),
        ({"maxTokens": 4}, ["You said: Hello"], "stop"),
        ({"n": 3}, [f"You said: Hello{n}" for n in ("", " (2)", " (3)")], "stop"),
        ({"n": 2, "maxTokens": 1}, ["You", "You"], "length"),
    ],
)
def test_limits_and_choices(fields: Any, texts: list[str], finish_reason: str) -> None:
    answer = respond(PmockServer(), **fields)
    assert texts_of(answer) == texts
    choices = data_of(answer)["choices"]
    assert {choice["finishReason"] for choice in choices} == {finish_reason}
    assert [choice["index"] for choice in choices] == [*range(len(texts))]


def test_usage() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    content = [{"type": "text", "text": "one two"}, image]
    messages = [{"role": "user", "content": content}]
    answer = respond(PmockServer(), messages=messages, model="x-thinking", n=2)
    prompt = {"textTokens": 2, "imageTokens": 85, "audioTokens": 0, "cachedTokens": 0}
    completion = {"contentTokens": 13, "reasoningTokens": 22, "audioTokens": 0}
    assert data_of(answer)["usage"] == {
        "promptTokens": 87,
        "completionTokens": 35,
        "totalTokens": 122,
        "promptTokensDetails": prompt,
        "completionTokensDetails": completion,
    }


def test_log_probabilities() -> None:
    server = PmockServer()
    fields = {"logprobs": True, "topLogprobs": 2}
    (choice,) = data_of(respond(server, **fields))["choices"]
    whole = choice["logprobs"]["content"]
    assert [entry["token"] for entry in whole] == ["You", " said", ":", " Hello"]
    assert all(entry["topLogprobs"][0]["logprob"] < 0 for entry in whole)
    chunks = chunks_of(respond(server, stream=True, **fields))
    found = [chunk["choices"][0].get("logprobs") for chunk in chunks]
    assert [entry for each in found if each for entry in each["content"]] == whole
    (choice,) = data_of(respond(server, logprobs=True))["choices"]
    assert choice["logprobs"]["content"][0]["topLogprobs"] == []


def test_reply_with_all_fields() -> None:
    server = PmockServer()
    reply = Reply(
        text="a b",
        reasoning="c d",
        refusal="e f",
        logprobs={"content": []},
        usage={"totalTokens": 9},
        finish_reason="content_filter",
        tool_calls=[ToolCall("f", id=None), ToolCall("g", id="mine")],
    )
    server.script(reply, reply)
    data = data_of(respond(server, n=2, maxTokens=1, stop=" "))
    assert data["usage"] == {"totalTokens": 9}
    f, g = ({"name": name, "arguments": "{}"} for name in "fg")
    calls: list[Any] = [{"function": f}, {"id": "mine", "function": g}]
    choice, other = data["choices"]
    assert other == {**choice, "index": 1}
    assert choice.pop("message") == {
        "role": "assistant",
        "content": "a b",
        "reasoningContent": "c d",
        "refusal": "e f",
        "toolCalls": [{"type": "function", **call} for call in calls],
    }
    end = {"finishReason": "content_filter", "logprobs": {"content": []}}
    assert choice == {"index": 0, **end}
    chunks = chunks_of(respond(server, stream=True))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    for field, pieces in (
        ("reasoningContent", ["c", " d"]),
        ("content", ["", "a", " b"]),
        ("refusal", ["e", " f"]),
    ):
        assert [delta[field] for delta in deltas if field in delta] == pieces
    heads = [delta["toolCalls"][0] for delta in deltas if "toolCalls" in delta]
    assert [head.get("id") for head in heads if "type" in head] == [None, "mine"]
    assert chunks[-1]["choices"][0].items() >= end.items()


# --- Faults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "stream", "steps"),
    [
        (Fault(stall=5), True, [5.0, "data", "data"]),
        (Fault(stall=5, after=0), True, ["", 5.0, "data", "data"]),
        (Fault(stall=5, after=1), True, ["", "data", 5.0, "data"]),
        (Fault(stall=5, status=500), True, [5.0, '{"co']),
        (Fault(cut_after=1), True, ["data"]),
        (Fault(cut_after=0), True, []),
        (Fault(reset_after=1), True, ["data", "reset"]),
        (Fault(reset_after=0), True, ["reset"]),
        (Fault(reset_after=0), False, ["reset"]),
        (Fault(reset_after=1), False, ['{"co', "reset"]),
        (Fault(cut_after=0), False, ['{"co', "close"]),
        (Fault(code=500, cut_after=0), True, []),
        (Fault(code=500, after=1, cut_after=9), True, ["data", "data"]),
        (Fault(reset_after=9), True, ["data", "data", "reset"]),
        (Fault(body=b"ab", stall=5), True, [5.0, "ab"]),
    ],
    ids=repr,
)
def test_steps(fault: Fault, steps: list[Step | str], *, stream: bool) -> None:
    server = PmockServer()
    server.script(fault, Reply(raw=[b"data: 1\n\n", b"data: 2\n\n"]))
    made = respond(server, stream=stream).steps
    assert [s[:4].decode() if isinstance(s, bytes) else s for s in made] == steps


@pytest.mark.parametrize("position", [6, 7, 99])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("kind", ["code", "stall", "cut_after", "reset_after"])
def test_all_faults_are_before_the_end_of_a_stream(
    kind: str, newline: str, position: int
) -> None:
    server = PmockServer()
    server.newline = newline
    right = respond(server, stream=True).steps
    assert len(right) == 7
    faults: dict[str, dict[str, Any]] = {
        "code": {"code": 500, "after": position},
        "stall": {"stall": 5, "after": position},
    }
    server.fail(**faults.get(kind, {kind: position}))
    made = [step for step in respond(server, stream=True).steps if step]
    ends = [step for step in made if isinstance(step, bytes) and b"[DONE]" in step]
    if kind == "stall":
        assert made[-2:] == [5, ends[0]]
    else:
        assert not ends
    assert isinstance(made[5], bytes)
    assert b'"finishReason":"stop"' in made[5]
