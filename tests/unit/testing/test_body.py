from typing import Any

import pytest

from langchain_pmock.testing._body import Body, RefusedError, parse, validate

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLER = {"role": "assistant", "toolCalls": [CALL]}
TOOL = {"type": "function", "function": {"name": "f"}}
PNG = "data:image/png;base64,aGVsbG8="
SCHEMA = {"name": "Answer", "schema": {"type": "object"}}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.1", "messages": [USER], **fields}


def content(*blocks: Any, role: str = "user") -> dict[str, Any]:
    return body(messages=[{"role": role, "content": [*blocks]}])


def problem(broken: object) -> str:
    with pytest.raises(RefusedError) as caught:
        validate(broken)
    return str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "topP": 1, "frequencyPenalty": -2, "presencePenalty": 2.0},
        {"maxTokens": 1, "maxCompletionTokens": 2, "n": 3, "seed": -5},
        {"stop": "end"},
        {"stop": ["end", "fin"]},
        {"stream": True, "user": "someone", "parallelToolCalls": False},
        {"logprobs": True, "topLogprobs": 20, "logitBias": {"50256": -100}},
        {"tools": [TOOL, {"type": "web_search", "any": "thing"}]},
        {"tools": [TOOL], "toolChoice": "required"},
        {
            "tools": [TOOL],
            "toolChoice": {"type": "function", "function": {"name": "f"}},
        },
        {"toolChoice": "none"},
        {"responseFormat": {"type": "text"}},
        {"responseFormat": {"type": "json_object"}},
        {"responseFormat": {"type": "json_schema", "json_schema": SCHEMA}},
        {"model": "a-model-of-tomorrow"},
    ],
)
def test_fields_of_the_contract(fields: dict[str, Any]) -> None:
    assert isinstance(validate(body(**fields)), Body)


@pytest.mark.parametrize(
    "message",
    [
        {"role": "system", "content": "Be brief.", "name": "boss"},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": "", "name": "Ann Ó'Neill"},
        {"role": "assistant", "refusal": "No."},
        {"role": "assistant", "content": "Yes.", "toolCalls": [CALL]},
        {
            "role": "assistant",
            "toolCalls": [{**CALL, "extra_content": {"google": {"x": "y"}}}],
        },
    ],
)
def test_messages_of_the_contract(message: dict[str, Any]) -> None:
    validate(body(messages=[message]))


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "aGVs", "format": "wav"}},
        {"type": "file", "file": {"file_data": PNG, "filename": "a.png"}},
        {"type": "file", "file": {"file_id": "file-1"}},
    ],
)
def test_blocks_of_the_contract(block: dict[str, Any]) -> None:
    validate(content(block))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"temperature": 2.1},
            "temperature: Input should be less than or equal to 2; it is",
        ),
        (
            {"temperature": None},
            "temperature: Input should be a valid number; it is null",
        ),
        (
            {"temperature": "1"},
            'temperature: Input should be a valid number; it is "1"',
        ),
        ({"topP": -0.1}, "topP: Input should be greater than or equal to 0"),
        ({"topP": float("nan")}, "topP: Input should be a finite number"),
        (
            {"frequencyPenalty": 3},
            "frequencyPenalty: Input should be less than or equal to 2",
        ),
        ({"presencePenalty": -3}, "presencePenalty: Input should be greater than"),
        (
            {"maxTokens": 0},
            "maxTokens: Input should be greater than or equal to 1; it is 0",
        ),
        ({"maxTokens": 1.5}, "maxTokens: Input should be a valid integer; it is 1.5"),
        ({"maxTokens": True}, "maxTokens: Input should be a valid integer; it is true"),
        ({"maxTokens": 2**31}, "maxTokens: Input should be less than 2147483648"),
        (
            {"maxCompletionTokens": 0},
            "maxCompletionTokens: Input should be greater than",
        ),
        ({"n": 0}, "n: Input should be greater than or equal to 1; it is 0"),
        ({"n": 129}, "n: Input should be less than or equal to 128; it is 129"),
        ({"n": 2, "stream": True}, "n is 2, but a stream has one choice only"),
        ({"topLogprobs": 21}, "topLogprobs: Input should be less than or equal to 20"),
        (
            {"logitBias": {"1": 101}},
            "logitBias.1: Input should be less than or equal to 100",
        ),
        ({"stream": "yes"}, "stream: Input should be a valid boolean"),
        ({"stop": ""}, "stop: "),
        ({"stop": 5}, "stop: Input should be a valid string; it is 5"),
        ({"stop": ["a", 5]}, "stop[1]: Input should be a valid string; it is 5"),
        ({"model": ""}, "model: "),
        ({"max_tokens": 5}, "max_tokens: Extra inputs are not permitted"),
        ({"toolCalls": []}, "toolCalls: Extra inputs are not permitted"),
        ({"tools": []}, "tools: "),
        ({"tools": [{}]}, "tools[0].type: Field required"),
        ({"tools": ["f"]}, "tools[0]: Input should be a valid dictionary"),
        (
            {"toolChoice": "any"},
            "toolChoice: Input should be 'auto', 'none' or 'required'",
        ),
        (
            {"toolChoice": None},
            "toolChoice: Input should be 'auto', 'none' or 'required'",
        ),
        ({"toolChoice": "required"}, "toolChoice is 'required', but there are no too"),
        (
            {"toolChoice": {"type": "function", "function": {"name": "g"}}},
            "toolChoice.function.name is 'g', but the tools are: none",
        ),
        (
            {"responseFormat": {"type": "xml"}},
            "responseFormat: Input tag 'xml' found using 'type'",
        ),
        (
            {"responseFormat": {}},
            "responseFormat: Unable to extract tag using discriminator",
        ),
        (
            {"responseFormat": {"type": "json_schema", "json_schema": {"name": "A"}}},
            "responseFormat.json_schema.schema: Field required",
        ),
        ({"messages": []}, "messages: "),
        (
            {"messages": "Hello"},
            'messages: Input should be a valid list; it is "Hello"',
        ),
        (
            {"messages": ["Hello"]},
            "messages[0]: Input should be a valid dictionary",
        ),
    ],
)
def test_fields_against_the_contract(fields: dict[str, Any], text: str) -> None:
    assert problem(body(**fields)).startswith(text)


@pytest.mark.parametrize("field", ["model", "messages"])
def test_required_fields(field: str) -> None:
    broken = body()
    del broken[field]
    assert problem(broken) == f"{field}: Field required"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "x"}, "messages[1]: Unable to extract tag using discriminator"),
        (
            {"role": "ai", "content": "x"},
            "messages[1]: Input tag",
        ),
        ({"role": 5, "content": "x"}, "messages[1]: Input tag '5' found"),
        ({"role": "user"}, "messages[1].content: Field required"),
        (
            {"role": "user", "content": None},
            "messages[1].content: Input should be a valid string",
        ),
        (
            {"role": "user", "content": []},
            "messages[1].content: Input should be a valid string",
        ),
        (
            {"role": "user", "content": "x", "name": ""},
            "messages[1].name: String should",
        ),
        (
            {"role": "user", "content": "x", "toolCalls": [CALL]},
            "messages[1].toolCalls: Extra inputs are not permitted",
        ),
        (
            {"role": "assistant"},
            "messages[1]: Should have content, toolCalls or refusa",
        ),
        (
            {"role": "assistant", "content": "x", "toolCalls": []},
            "messages[1].toolCalls: ",
        ),
        (
            {"role": "assistant", "content": "x", "tool_calls": [CALL]},
            "messages[1].tool_calls: Extra inputs are not permitted",
        ),
        (
            {"role": "assistant", "toolCalls": [{**CALL, "id": None}]},
            "messages[1].toolCalls[0].id: Input should be a valid string; it is null",
        ),
        (
            {
                "role": "assistant",
                "toolCalls": [{**CALL, "function": {"name": "f", "arguments": {}}}],
            },
            "messages[1].toolCalls[0].function.arguments: Input should be a valid",
        ),
        ({"role": "tool", "content": "x"}, "messages[1].toolCallId: Field required"),
        (
            {"role": "tool", "content": "x", "toolCallId": "c1"},
            "messages[1].toolCallId is 'c1', but no assistant message before it",
        ),
    ],
)
def test_messages_against_the_contract(message: dict[str, Any], text: str) -> None:
    assert problem(body(messages=[USER, message])).startswith(text)


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ("x", "messages[0].content[0]: Input should be a valid dictionary"),
        (
            {"text": "x"},
            "messages[0].content[0]: Unable to extract tag using discriminator",
        ),
        ({"type": "image"}, "messages[0].content[0]: Input tag 'image'"),
        (
            {"type": ["text"]},
            "messages[0].content[0]: Input tag",
        ),
        ({"type": "text"}, "messages[0].content[0].text: Field required"),
        (
            {"type": "text", "text": "x", "annotations": []},
            "messages[0].content[0].annotations: Extra inputs are not permitted",
        ),
        (
            {"type": "image_url", "image_url": "https://example.com/a.png"},
            "messages[0].content[0].image_url: Input should be a valid dictionary",
        ),
        (
            {"type": "image_url", "image_url": {"url": "a.png"}},
            "messages[0].content[0].image_url.url: Should look like https://...",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png,abc"}},
            "messages[0].content[0].image_url.url: Should look like https://...",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,a b="}},
            "messages[0].content[0].image_url.url: Should look like https://...",
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,"}},
            "messages[0].content[0].image_url.url: Should look like https://...",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}},
            "messages[0].content[0].input_audio.data: Should be valid base64",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "aGVs", "format": "exe"}},
            "messages[0].content[0].input_audio.format: Input should be 'wav', 'mp3'",
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf"}},
            "messages[0].content[0].file: Should have either file_data or file_id",
        ),
        (
            {"type": "file", "file": {"file_data": PNG, "file_id": "file-1"}},
            "messages[0].content[0].file: Should have either file_data or file_id",
        ),
    ],
)
def test_blocks_against_the_contract(block: object, text: str) -> None:
    assert problem(content(block)).startswith(text)


@pytest.mark.parametrize(
    ("function", "text"),
    [
        ({}, "name: Field required"),
        ({"name": "get weather"}, "name: String should match pattern"),
        ({"name": "f" * 65}, "name: String should match pattern"),
        ({"name": "f", "schema": {}}, "schema: Extra inputs are not permitted"),
        (
            {"name": "f", "parameters": None},
            "parameters: Input should be a valid dictionary",
        ),
        (
            {"name": "f", "parameters": {"type": "string"}},
            "parameters: Should be a JSON schema of an object",
        ),
        (
            {"name": "f", "parameters": {"properties": []}},
            "parameters: Should be a JSON schema of an object",
        ),
    ],
)
def test_tools_against_the_contract(function: dict[str, Any], text: str) -> None:
    tools = [TOOL, {"type": "function", "function": function}]
    expected = f"tools[1].function.{text}"
    assert problem(body(tools=tools)).startswith(expected)


@pytest.mark.parametrize(
    "arguments", ["", "{", "[]", "5", '{"a": NaN} x', "[" * 1000, '{"a":' * 300]
)
def test_arguments_are_the_text_of_an_object(arguments: str) -> None:
    function = {"name": "f", "arguments": arguments}
    caller = {"role": "assistant", "toolCalls": [{**CALL, "function": function}]}
    assert problem(body(messages=[caller])).startswith(
        "messages[0].toolCalls[0].function.arguments: Should be the JSON text of an obj"
    )


def test_reasoning_in_a_request_is_refused_unless_allowed() -> None:
    thought = {"role": "assistant", "content": "", "reasoningContent": "Hm."}
    assert problem(body(messages=[thought])) == (
        "messages[0].reasoningContent: Not a documented field"
    )
    validate(body(messages=[thought]), allow_reasoning=True)


def test_tool_results_answer_an_earlier_call() -> None:
    result = {"role": "tool", "content": "x", "toolCallId": "c1"}
    validate(body(messages=[USER, CALLER, result]))
    assert "toolCallId" in problem(body(messages=[USER, result, CALLER]))


def test_long_values_are_told_in_short() -> None:
    text = problem(body(user=["x" * 1000]))
    assert len(text) < 150
    assert text.endswith("…")


def test_defaults_stand_for_what_was_left_out() -> None:
    valid = validate(body())
    assert (valid.n, valid.stops, valid.functions) == (1, [], [])
    assert validate(body(stop="end")).stops == ["end"]
    assert validate(body(maxTokens=5, maxCompletionTokens=3)).limit == 3


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"topP": NaN}', b"[" * 9999])
def test_not_json(text: bytes) -> None:
    with pytest.raises(RefusedError, match="the body is not JSON"):
        parse(text)


def test_body_that_is_no_object() -> None:
    assert (
        problem([])
        == "the body: Input should be a valid dictionary or instance of Body; it is []"
    )
