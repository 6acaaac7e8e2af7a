"""Whole answers as LangChain's messages: usage, metadata, tool calls, choices."""

import json
import re
from typing import Any

import pytest
from langchain_core.load import dumps, loads
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from langchain_pmock._json import UnreadableError
from langchain_pmock._response.messages import (
    chat_result,
    combined_llm_output,
    usage_metadata,
)
from tests.support.answers import message_of, result_of, streamed
from tests.support.service import Service, whole
from tests.support.wire import Json, choice_of, chunk_of, data_of, envelope


def snake(value: Any) -> Any:
    """The same JSON with names in snake_case."""
    if isinstance(value, list):
        return [snake(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        "".join(f"_{c.lower()}" if c.isupper() else c for c in name): snake(item)
        for name, item in value.items()
    }


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_message() -> None:
    message = message_of({"content": "你好 👋"}, trace_id="trace-1")
    assert message == AIMessage(
        content="你好 👋",
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
    assert loads(dumps(message), allowed_objects="core") == message  # as a cache does


# --- Usage ---------------------------------------------------------------------------


def counts(
    inputs: int, outputs: int, total: int | None = None, **details: Json
) -> Json:
    total = inputs + outputs if total is None else total
    usage = {"input_tokens": inputs, "output_tokens": outputs, "total_tokens": total}
    return {**usage, **{f"{name}_token_details": d for name, d in details.items()}}


INPUT_DETAILS: Json = {"textTokens": 10, "cachedTokens": 5, "audioTokens": 7}
INPUT_DETAILS |= {"imageTokens": 8, "newTokens": 9, "noTokens": None}
OUTPUT_DETAILS = {"contentTokens": 1, "reasoningTokens": 2, "audioTokens": 3}
INPUTS = {"cache_read": 5, "audio": 7, "image": 8, "new_tokens": 9}
OUTPUTS = {"reasoning": 2, "audio": 3}
ZEROS = {"promptTokens": 0, "completionTokens": 0, "totalTokens": 0}
PROMPT, COMPLETION = "promptTokensDetails", "completionTokensDetails"
USAGE: list[tuple[Json | None, Json | None]] = [
    (None, None),
    ({}, None),
    ({"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}, counts(3, 4)),
    ({"promptTokens": 3}, counts(3, 0)),
    ({"promptTokens": 7.0, "completionTokens": "7"}, counts(7, 7)),
    ({"promptTokens": 3, "completionTokens": 4}, counts(3, 4)),
    ({"promptTokens": None, "completionTokens": 4, "totalTokens": None}, counts(0, 4)),
    # As the service's page shows it: zeros, and empty details.
    ({**ZEROS, PROMPT: {}, COMPLETION: None}, counts(0, 0)),
    # A total that the service sends is not corrected.
    ({"promptTokens": 3, "completionTokens": 4, "totalTokens": 0}, counts(3, 4, 0)),
    (
        {"promptTokens": 9, PROMPT: INPUT_DETAILS, COMPLETION: OUTPUT_DETAILS},
        counts(9, 0, input=INPUTS, output=OUTPUTS),
    ),
    # Names of other services; a count with two names is counted once.
    (
        {"promptTokens": 9, PROMPT: {"cacheWriteTokens": 5}},
        counts(9, 0, input={"cache_creation": 5}),
    ),
    ({"promptTokens": 9, "cachedTokens": 5}, counts(9, 0, input={"cache_read": 5})),
    (
        {"promptTokens": 9, "cacheCreationInputTokens": 5, "cacheReadInputTokens": 2}
        | {PROMPT: {"cacheCreationTokens": 5}},
        counts(9, 0, input={"cache_creation": 5, "cache_read": 2}),
    ),
    (
        {"promptTokens": 9, "promptCacheHitTokens": 5, "promptCacheMissTokens": 4},
        counts(9, 0, input={"cache_read": 5}),
    ),
    (
        {"inputTokens": 9, "inputTokensDetails": {"cachedTokens": 2}}
        | {"outputTokens": 4, "outputTokensDetails": {"reasoningTokens": 1}},
        counts(9, 4, input={"cache_read": 2}, output={"reasoning": 1}),
    ),
    (
        {"inputTokens": 0, "promptTokens": 9, "completionTokens": 4, "outputTokens": 0},
        counts(9, 4),
    ),
    # LangChain counts what the details leave of the whole as text.
    (
        {
            "promptTokens": 3,
            PROMPT: {"textTokens": 3},
            COMPLETION: {"contentTokens": 0},
        },
        counts(3, 0),
    ),
]


@pytest.mark.parametrize(("usage", "expected"), USAGE)
@pytest.mark.parametrize("spelling", [lambda usage: usage, snake], ids=["camel", "_"])
def test_usage(usage: Json | None, expected: Json | None, spelling: Any) -> None:
    assert usage_metadata(spelling(usage)) == expected
    message = message_of({"content": "Hi"}, usage=spelling(usage))
    assert message.usage_metadata == expected


NO_COUNTS: list[Any] = [
    *(True, -1, 2**53, 10**400, 1e999, -1e999, float("nan")),
    *("many", "", "1" * 5000, [], [1], {}, {"a": 1}, None),
]


@pytest.mark.parametrize("count", NO_COUNTS, ids=lambda value: repr(value)[:20])
def test_invalid_count_is_left_out(count: Any) -> None:
    fields = {"promptTokens": count, "completionTokens": 4, "totalTokens": count}
    for details in ({}, {"cachedTokens": count}, [count]):
        assert usage_metadata({**fields, PROMPT: details}) == counts(0, 4)
    details = {"cachedTokens": count, "audioTokens": 1}
    found = usage_metadata({**fields, COMPLETION: details})
    assert found == counts(0, 4, output={"audio": 1})
    usage = message_of({"content": "Hi"}, usage=count).usage_metadata
    assert usage == (counts(0, 0) if count == {"a": 1} else None)


def test_llm_output() -> None:
    usage = {"promptTokens": 3, "completionTokens": 4, "cacheReadInputTokens": 1}
    output = result_of(choice_of({"content": "Hi"}), usage=usage).llm_output
    tokens = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    expected = {"model_name": "gpt-5.1", "id": "chatcmpl-1", "token_usage": tokens}
    assert output == expected
    assert combined_llm_output([output]) == expected
    doubled = {name: 2 * count for name, count in tokens.items()}
    # Another model's output may have a null.
    other = {"id": "b", "token_usage": None}
    assert combined_llm_output([None, output, other, output]) == {
        **expected,
        "token_usage": doubled,
    }
    assert combined_llm_output([None]) == {}
    assert result_of(choice_of({}), id=None, model=None).llm_output == {}


async def test_llm_output_of_several_prompts_is_combined() -> None:
    usage = {"promptTokens": 3, "completionTokens": 4}
    answer = whole(envelope(data_of(choice_of({"content": "Hi"}), usage=usage)))
    model = Service(answer).model()
    hi: list[BaseMessage] = [HumanMessage("Hi")]
    for result in (model.generate([hi, hi]), await model.agenerate([hi, hi])):
        total = {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}
        assert (result.llm_output or {})["token_usage"] == total


# --- Fields --------------------------------------------------------------------------


BLOCKS = [{"type": "text", "text": "Hi"}]
HM = {"reasoning_content": "Hm."}


@pytest.mark.parametrize(
    ("message", "content", "kwargs"),
    [
        ({}, "", {}),
        ({"content": ""}, "", {}),
        ({"content": None, "refusal": None}, "", {}),
        ({"content": BLOCKS}, BLOCKS, {}),
        ({"content": [{"type": None, "id": None}, *BLOCKS]}, [{}, *BLOCKS], {}),
        ({"content": "Hi", "name": "Anna", "toolCalls": None}, "Hi", {}),
        ({"content": "Hi", "toolCalls": []}, "Hi", {}),
        ({"reasoningContent": "Hm.", "refusal": "No."}, "", {**HM, "refusal": "No."}),
        ({"reasoning": "Hm."}, "", HM),
        ({"reasoning": "Hm.", "reasoningContent": ""}, "", HM),
        ({"reasoning": "Hm.", "reasoningContent": "Hm."}, "", HM),
        ({"reasoning": None, "reasoning_content": "Hm."}, "", HM),
        (
            {"reasoning": ["Hm.", "é"], "refusal": {"a": 1}},
            "",
            {"reasoning_content": '["Hm.", "é"]', "refusal": '{"a": 1}'},
        ),
        (
            {"content": "Hi", "newField": {"deepField": [{"aB": 1}]}},
            "Hi",
            {"new_field": {"deep_field": [{"a_b": 1}]}},
        ),
        # Names that LangChain or this package reads.
        ({"content": "Hi", "TOOL_CALLS": [1], "toolCallExtras": 5}, "Hi", {}),
    ],
)
def test_content_and_additional_kwargs(
    message: Json, content: object, kwargs: Json
) -> None:
    answer = message_of(message)
    assert (answer.content, answer.additional_kwargs) == (content, kwargs)
    assert answer.name == message.get("name")
    assert (answer.tool_calls, answer.invalid_tool_calls) == ([], [])


def test_metadata_of_the_answer_and_its_choice() -> None:
    logprobs = {"content": [{"token": "Hi", "logprob": -0.1, "topLogprobs": []}]}
    choice = choice_of({"content": "Hi"}, xY="z", logprobs=logprobs)
    fields: Json = {"systemFingerprint": "fp", "nothing": None}
    # Names that LangChain reads.
    fields |= {"modelProvider": "openai", "output_version": "v1", "FinishReason": 1}
    (generation,) = result_of(choice, **fields).generations
    assert generation.message.response_metadata == {
        **message_of({}).response_metadata,
        "system_fingerprint": "fp",
        "x_y": "z",
        "logprobs": {"content": [{"token": "Hi", "logprob": -0.1, "top_logprobs": []}]},
    }


def test_snake_case_twins() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    message = {"content": "Hi", "reasoningContent": "Hm.", "toolCalls": [call]}
    data = data_of(
        choice_of(message, "tool_calls"),
        usage={"promptTokens": 3, "promptTokensDetails": {"cachedTokens": 1}},
    )
    answer = envelope(data, traceId="trace-1")
    assert chat_result(snake(answer)) == chat_result(answer)


def test_camel_case_name_comes_first() -> None:
    choice = choice_of({}, "stop") | {"finish_reason": "length"}
    for fields, reason in (
        ({}, "stop"),
        ({"finishReason": None}, "length"),
        ({"finishReason": ""}, "length"),
        ({"finishReason": "null"}, None),
    ):
        generation = result_of({**choice, **fields}).generations[0]
        info = generation.generation_info or {}
        assert info.get("finish_reason") == reason
        assert generation.message.response_metadata.get("finish_reason") == reason


def test_several_choices() -> None:
    choices = [
        choice_of({"content": text}) | {"index": n} for n, text in enumerate("abc")
    ]
    result = result_of(*choices, usage={"promptTokens": 3, "completionTokens": 4})
    messages = [generation.message for generation in result.generations]
    assert [message.content for message in messages] == ["a", "b", "c"]
    # Once, because callbacks add up the usage of all messages.
    usage = [getattr(message, "usage_metadata", 0) for message in messages]
    assert usage == [counts(3, 4), None, None]


def answering(message: object) -> Json:
    return {"choices": [{"index": 0, "message": message}]}


NO_MESSAGE: list[tuple[Json, str]] = [
    ({"choices": None}, "the answer has no choices"),
    ({"choices": []}, "the answer has no choices"),
    ({"choices": [{}]}, "message is null, not an object"),
    (answering(None), "message is null, not an object"),
    (answering("Hi"), "message is a string, not an object"),
]
# Also of an event, whose message may be a delta.
WRONG_TYPES: list[tuple[Json, str]] = [
    ({"choices": ["Hi"]}, "choices[0] is a string, not an object"),
    ({"choices": 5}, "choices is a number, not a list"),
    (answering({}) | {"id": []}, "id is a list, not a string"),
    (answering({}) | {"model": 5}, "model is a number, not a string"),
    *(
        (answering({"content": content}), reason)
        for content, reason in (
            (5, "content is a number, not a list"),
            ([5], "content[0] is a number, not an object"),
            ([{"text": 5}], "content[0].text is a number, not a string"),
            ([{"type": "non_standard"}], "content[0].value is null, not an object"),
        )
    ),
    *(
        (answering({"tool_calls": calls}), reason)
        for calls, reason in (
            (5, "toolCalls is a number, not a list"),
            ([None], "toolCalls[0] is null, not an object"),
            ([{"function": "f"}], "function is a string, not an object"),
            ([{"function": {"name": []}}], "name is a list, not a string"),
            ([{"id": True}], "id is a boolean, not a string"),
        )
    ),
]


@pytest.mark.parametrize(("data", "reason"), [*NO_MESSAGE, *WRONG_TYPES])
def test_answer_without_the_documented_structure(data: Json, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"^{re.escape(reason)}$"):
        chat_result(envelope(data))


@pytest.mark.parametrize(("data", "reason"), WRONG_TYPES)
@pytest.mark.parametrize("before", [[], [chunk_of({"content": "a"})]])
def test_event_without_the_documented_structure(
    before: list[Json], data: Json, reason: str
) -> None:
    event = json.loads(json.dumps(data).replace("message", "delta"))
    with pytest.raises(UnreadableError, match=f"^{re.escape(reason)}$"):
        streamed(*before, event)


# --- Tool calls ----------------------------------------------------------------------


def call_of(arguments: Any, **fields: Any) -> Json:
    function = {"name": "f", "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function, **fields}


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        ("  \n", {}),
        (None, {}),
        ("null", {}),
        ("{}", {}),
        ({}, {}),
        ('{"a": "line\nbreak\ttab"}', {"a": "line\nbreak\ttab"}),
        ('{"a": "你好 👋"}', {"a": "你好 👋"}),
        (r'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (r'{"a": "\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "\ud83d"}', {"a": "\ufffd"}),
    ],
    ids=repr,
)
def test_arguments(arguments: object, args: Json) -> None:
    message = message_of({"toolCalls": [call_of(arguments)]}, "tool_calls")
    expected = {"name": "f", "args": args, "id": "call_1", "type": "tool_call"}
    assert message.tool_calls == [expected]
    assert message.invalid_tool_calls == []


def deep(depth: int) -> str:
    return '{"a": ' * depth + "{}" + "}" * depth


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        ('{"a": ', '{"a": ', "not valid JSON: Expecting value: line 1 column 7"),
        *((each, each, "not valid JSON: ") for each in ("a=1", deep(300), deep(10**5))),
        ("[1]", "[1]", "a JSON list, not an object"),
        ([1], "[1]", "a JSON list, not an object"),
        ('"text"', '"text"', "a JSON str, not an object"),
        (5, "5", "a JSON int, not an object"),
    ],
    ids=lambda value: f"{len(repr(value))} {value!r:.20}",
)
def test_invalid_arguments_are_kept_with_the_reason(
    arguments: object, text: str, reason: str
) -> None:
    calls = [call_of(a, id=str(n)) for n, a in enumerate(["{}", arguments, '{"a": 1}'])]
    message = message_of({"content": "Wait", "toolCalls": calls}, "tool_calls")
    assert message.content == "Wait"
    assert [call["id"] for call in message.tool_calls] == ["0", "2"]
    (call,) = message.invalid_tool_calls
    assert (call["name"], call["args"], call["id"]) == ("f", text, "1")
    assert reason in (call["error"] or "")


@pytest.mark.parametrize("function", [None, {}, {"name": ""}, {"name": None}])
def test_call_without_a_function_is_invalid(function: Json | None) -> None:
    message = message_of({"toolCalls": [{"id": "call_1", "function": function}]})
    (call,) = message.invalid_tool_calls
    assert (call["id"], call["error"]) == ("call_1", "The call names no function.")


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": "null"}])
def test_missing_id_is_created(missing: Json) -> None:
    functions = [{"name": "f", "arguments": text} for text in ("{}", "{}", "{")]
    calls = [{**missing, "function": function} for function in functions]
    message = message_of({"toolCalls": calls}, "tool_calls")
    ids = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
    assert all(ids)
    assert len(ids) == 3


def test_unknown_fields_of_calls_are_kept_by_call_id() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "AbC"}}, "xY": 1}
    calls = [
        call_of("{}", id="a", **extra, nothing=None),
        call_of("{}", id="b", index=1),
        call_of("no JSON", xY=2, id=None),
    ]
    message = message_of({"toolCalls": calls})
    (invalid,) = message.invalid_tool_calls
    kept = {"a": extra, invalid["id"]: {"xY": 2}}
    assert message.additional_kwargs == {"tool_call_extras": kept}
    assert message_of({"toolCalls": calls[1:2]}).additional_kwargs == {}
