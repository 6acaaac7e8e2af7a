"""A whole answer as LangChain's messages: usage, metadata, tool calls, choices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage

from langchain_pmock import PmockAuth, PmockResponseError
from langchain_pmock._gateway.envelope import read_answer
from langchain_pmock._json import UNREADABLE
from langchain_pmock._response.messages import (
    chat_result,
    combined_llm_output,
    get,
    usage_metadata,
)
from tests.support.service import ACCESS_KEY, BASE_URL, SECRET_KEY, Service, whole
from tests.support.wire import choice_of, data_of, dump, envelope

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatResult, LLMResult

    from tests.support.wire import Json


def read(*choices: Json, trace_id: str | None = None, **fields: Any) -> ChatResult:
    return chat_result(envelope(data_of(*choices, **fields), traceId=trace_id))


def message_of(message: Json, finish_reason: str = "stop", **fields: Any) -> AIMessage:
    (generation,) = read(choice_of(message, finish_reason), **fields).generations
    assert isinstance(generation.message, AIMessage)
    return generation.message


def snake(value: Any) -> Any:
    """The same JSON, with its names as other services write them."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name): snake(item)
        for name, item in value.items()
    }


def test_a_message() -> None:
    message = message_of({"content": "你好 👋"}, trace_id="trace-1")
    assert message == AIMessage(
        content="你好 👋",
        id="chatcmpl-1",
        response_metadata={
            "model_provider": "pmock",
            "id": "chatcmpl-1",
            "model_name": "gpt-5.1",
            "created": 1768809934,
            "trace_id": "trace-1",
            "finish_reason": "stop",
        },
    )
    assert message.usage_metadata is None


# --- Usage ---------------------------------------------------------------------------

USAGE: list[tuple[Json | None, Json | None]] = [
    (None, None),
    ({}, None),
    (
        {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7},
        {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    ),
    ({"promptTokens": 3}, {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3}),
    (
        {"promptTokens": 3, "completionTokens": 4},
        {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
    ),
    (
        {"promptTokens": None, "completionTokens": 4, "totalTokens": None},
        {"input_tokens": 0, "output_tokens": 4, "total_tokens": 4},
    ),
    # As the service's page shows it: zeros, and details without anything in them.
    (
        {
            "promptTokens": 0,
            "completionTokens": 0,
            "totalTokens": 0,
            "promptTokensDetails": {},
            "completionTokensDetails": None,
        },
        {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0},
    ),
    (
        {
            "promptTokens": 30,
            "completionTokens": 40,
            "totalTokens": 70,
            "promptTokensDetails": {
                "textTokens": 10,
                "cachedTokens": 5,
                "audioTokens": 7,
                "imageTokens": 8,
                "newTokens": 9,
                "noTokens": None,
            },
            "completionTokensDetails": {
                "contentTokens": 1,
                "reasoningTokens": 2,
                "audioTokens": 3,
                "newTokens": 4,
            },
        },
        {
            "input_tokens": 30,
            "output_tokens": 40,
            "total_tokens": 70,
            "input_token_details": {
                "cache_read": 5,
                "audio": 7,
                "image": 8,
                "new_tokens": 9,
            },
            "output_token_details": {"reasoning": 2, "audio": 3, "new_tokens": 4},
        },
    ),
    # Cached tokens under the names of other services, once if there are two.
    *(
        (
            {"promptTokens": 9, "promptTokensDetails": {name: 5, "cachedTokens": 2}},
            {
                "input_tokens": 9,
                "output_tokens": 0,
                "total_tokens": 9,
                "input_token_details": {"cache_read": 2, "cache_creation": 5},
            },
        )
        for name in ("cacheWriteTokens", "cacheCreationTokens")
    ),
    (
        {
            "promptTokens": 9,
            "cacheCreationInputTokens": 5,
            "cacheReadInputTokens": 2,
            "promptTokensDetails": {"cacheCreationTokens": 5},
        },
        {
            "input_tokens": 9,
            "output_tokens": 0,
            "total_tokens": 9,
            "input_token_details": {"cache_creation": 5, "cache_read": 2},
        },
    ),
    # To LangChain, what the details leave of the whole is text.
    (
        {
            "promptTokens": 3,
            "promptTokensDetails": {"textTokens": 3},
            "completionTokensDetails": {"contentTokens": 0},
        },
        {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3},
    ),
]


@pytest.mark.parametrize(("usage", "expected"), USAGE)
@pytest.mark.parametrize("spelling", [lambda usage: usage, snake], ids=["camel", "_"])
def test_usage(usage: Json | None, expected: Json | None, spelling: Any) -> None:
    assert usage_metadata(spelling(usage)) == expected
    message = message_of({"content": "Hi"}, usage=spelling(usage))
    assert message.usage_metadata == expected


_counts = st.dictionaries(
    st.sampled_from(["promptTokens", "completionTokens", "totalTokens"]),
    st.none() | st.integers(0, 2**40),
)
_details = st.none() | st.dictionaries(
    st.sampled_from(["cachedTokens", "audioTokens", "reasoningTokens", "xTokens"]),
    st.none() | st.integers(0, 2**40),
)


@given(counts=_counts, inputs=_details, outputs=_details)
def test_any_of_the_usage_may_be_missing_or_null(
    counts: Json, inputs: Json | None, outputs: Json | None
) -> None:
    usage = {
        **counts,
        "promptTokensDetails": inputs,
        "completionTokensDetails": outputs,
    }
    metadata = message_of({"content": "Hi"}, usage=usage).usage_metadata
    assert metadata is not None
    assert metadata["input_tokens"] == (counts.get("promptTokens") or 0)
    assert metadata["output_tokens"] == (counts.get("completionTokens") or 0)
    assert None not in metadata.get("input_token_details", {}).values()
    assert None not in metadata.get("output_token_details", {}).values()


NO_COUNTS = [
    *(True, -1, 2**53, 10**400, 1e999, -1e999, float("nan")),
    *("many", "", "1" * 5000, [], [1], {}, {"a": 1}, None),
]


@pytest.mark.parametrize("value", NO_COUNTS, ids=lambda value: repr(value)[:20])
def test_a_bad_usage_does_not_cost_the_answer(value: Any) -> None:
    bad: list[Any] = [
        value if value != {} else [],
        {"promptTokens": value, "completionTokens": 4},
        {"promptTokens": 3, "completionTokens": 4, "totalTokens": value},
        {"promptTokens": 3, "completionTokens": 4, "promptTokensDetails": value},
        {"completionTokens": 4, "promptTokensDetails": {"cachedTokens": value}},
        {"completionTokens": 4, "cacheReadInputTokens": value},
    ]
    for usage in bad:
        message = message_of({"content": "Hi"}, usage=usage)
        assert message.text == "Hi"
        if message.usage_metadata:
            assert message.usage_metadata["output_tokens"] in (0, 4)
            assert message.usage_metadata["total_tokens"] in (0, 1, 4, 7)
            assert {*message.usage_metadata} <= {
                "input_tokens",
                "output_tokens",
                "total_tokens",
                *(["input_token_details"] if value == {"a": 1} else []),
            }


@pytest.mark.parametrize("value", [7.0, "7"], ids=repr)
def test_counts_that_are_written_in_another_way(value: object) -> None:
    usage = message_of({"content": "Hi"}, usage={"promptTokens": value}).usage_metadata
    assert usage == {"input_tokens": 7, "output_tokens": 0, "total_tokens": 7}


def test_what_callbacks_read() -> None:
    usage = {"promptTokens": 3, "completionTokens": 4, "cacheReadInputTokens": 1}
    output = read(choice_of({"content": "Hi"}), usage=usage).llm_output
    tokens = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    expected = {"model_name": "gpt-5.1", "id": "chatcmpl-1", "token_usage": tokens}
    assert output == expected
    assert combined_llm_output([output]) == expected
    doubled = {name: 2 * count for name, count in tokens.items()}
    assert combined_llm_output([None, output, {"id": "b"}, output]) == {
        **expected,
        "token_usage": doubled,
    }
    assert combined_llm_output([None]) == {}
    assert read(choice_of({}), id=None, model=None).llm_output == {}


async def test_callbacks_read_it_however_the_model_is_called() -> None:
    class Watcher(BaseCallbackHandler):
        def on_llm_end(self, response: LLMResult, **_: Any) -> None:
            seen.append(response.llm_output)

    seen: list[Json | None] = []
    usage = {"promptTokens": 3, "completionTokens": 4}
    answer = whole(envelope(data_of(choice_of({"content": "Hi"}), usage=usage)))
    model = Service(answer).model(callbacks=[Watcher()])
    model.invoke("Hi")
    await model.ainvoke("Hi")
    hi: list[BaseMessage] = [HumanMessage("Hi")]
    results = [model.generate([hi, hi]), await model.agenerate([hi])]
    counts = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert [output and output["token_usage"] for output in seen] == [counts] * 5
    for result, factor in zip(results, (2, 1), strict=True):
        total = {name: factor * count for name, count in counts.items()}
        assert result.llm_output == {**(seen[0] or {}), "token_usage": total}


# --- Fields --------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["", None])
def test_content_may_be_empty_or_missing(content: str | None) -> None:
    assert message_of({"content": content}).content == ""
    assert message_of({}).content == ""


def test_content_may_be_blocks() -> None:
    blocks = [{"type": "text", "text": "Hi"}]
    assert message_of({"content": blocks}).content == blocks


def test_reasoning_and_refusal_are_kept() -> None:
    message = message_of({"content": "", "reasoningContent": "Hm.", "refusal": "No."})
    assert message.additional_kwargs == {"reasoning_content": "Hm.", "refusal": "No."}
    assert message_of({"content": "", "refusal": None}).additional_kwargs == {}


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"reasoning": "Hm."}, "Hm."),
        ({"reasoning": "Hm.", "reasoningContent": ""}, "Hm."),
        ({"reasoning": "Hm.", "reasoningContent": "Hm."}, "Hm."),
        ({"reasoning": None, "reasoning_content": "Hm."}, "Hm."),
    ],
)
def test_reasoning_under_its_other_name(fields: Json, reasoning: str) -> None:
    assert message_of(fields).additional_kwargs == {"reasoning_content": reasoning}


def test_logprobs_are_kept() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "topLogprobs": []}]}
    choice = choice_of({"content": "Hi"}, logprobs=logprobs)
    metadata = read(choice).generations[0].message.response_metadata
    kept = {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]}
    assert metadata["logprobs"] == kept


def test_unknown_fields_are_kept_in_snake_case() -> None:
    choice = choice_of({"content": "", "newField": {"deepField": [{"aB": 1}]}}, xY="z")
    message = read(choice, systemFingerprint="fp", nothing=None).generations[0].message
    kept = {"new_field": {"deep_field": [{"a_b": 1}]}}
    assert message.additional_kwargs == kept
    assert message.response_metadata["system_fingerprint"] == "fp"
    assert message.response_metadata["x_y"] == "z"
    assert "nothing" not in message.response_metadata


def test_snake_case_twins() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi", "reasoningContent": "Hm.", "toolCalls": [call]}
    data = data_of(
        choice_of(message, "tool_calls"),
        usage={"promptTokens": 3, "promptTokensDetails": {"cachedTokens": 1}},
    )
    assert chat_result(envelope(snake(data))) == chat_result(envelope(data))


@pytest.mark.parametrize(
    ("mapping", "value"),
    [
        ({"finishReason": "a", "finish_reason": "b"}, "a"),
        ({"finishReason": None, "finish_reason": "b"}, "b"),
        ({"finishReason": ""}, ""),
        ({}, None),
    ],
)
def test_get(mapping: Json, value: str | None) -> None:
    assert get(mapping, "finish_reason") == value


def test_several_choices() -> None:
    choices = [
        choice_of({"content": text}) | {"index": n} for n, text in enumerate("abc")
    ]
    result = read(*choices, usage={"promptTokens": 3, "completionTokens": 4})
    messages = [generation.message for generation in result.generations]
    assert [message.content for message in messages] == ["a", "b", "c"]
    # Once: whoever adds up what an answer cost must not count it three times.
    usage = [getattr(message, "usage_metadata", 0) for message in messages]
    assert usage == [
        {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7},
        None,
        None,
    ]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"choices": None},
        {"choices": []},
        {"choices": [{}]},
        {"choices": [{"message": None}]},
        {"choices": [{"message": "Hi"}]},
        {"choices": ["Hi"]},
        {"choices": 5},
        {"choices": [{"message": {"content": 5}}]},
        {"choices": [{"message": {"toolCalls": 5}}]},
        {"choices": [{"message": {}}], "id": []},
    ],
)
def test_an_answer_of_another_shape(data: Json) -> None:
    with pytest.raises(UNREADABLE):
        chat_result(envelope(data))
    body = dump(envelope(data, traceId="trace-1"))
    request = httpx.Request("POST", BASE_URL)
    response = httpx.Response(200, content=body, request=request)
    with pytest.raises(PmockResponseError, match="Trace id: trace-1") as caught:
        read_answer(body, response, PmockAuth(ACCESS_KEY, SECRET_KEY), chat_result)
    assert (caught.value.code, caught.value.status_code) == (200, 200)
    assert caught.value.trace_id == "trace-1"
    assert caught.value.response is not None
    assert caught.value.response.content == body
