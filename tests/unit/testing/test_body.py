from typing import Any

import pytest

from langchain_pmock.testing._body import Body, RefusedError, parse, validate

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLER = {"role": "assistant", "toolCalls": [CALL]}
RESULT = {"role": "tool", "content": "x", "toolCallId": "c1"}
TOOL = {"type": "function", "function": {"name": "f"}}
NAMED = {"type": "function", "function": {"name": "f"}}
PNG = "data:image/png;base64,aGVsbG8="
SCHEMA = {"name": "Answer", "schema": {"type": "object"}}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.1", "messages": [USER], **fields}


def content(block: Any) -> dict[str, Any]:
    return body(messages=[{"role": "user", "content": [block]}])


def tool(**function: Any) -> dict[str, Any]:
    return body(tools=[TOOL, {"type": "function", "function": function}])


def image(url: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def audio(data: str, kind: str) -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": data, "format": kind}}


def file(**fields: str) -> dict[str, Any]:
    return {"type": "file", "file": fields}


def called(arguments: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return {"role": "assistant", "toolCalls": [{**CALL, "function": function}]}


@pytest.mark.parametrize(
    "valid",
    [
        body(temperature=0, topP=1, frequencyPenalty=-2, presencePenalty=2.0),
        body(maxTokens=1, maxCompletionTokens=2, n=3, seed=-5),
        body(stop="end"),
        body(stop=["end", "fin"]),
        body(stream=True, user="someone", parallelToolCalls=False),
        body(logprobs=True, topLogprobs=20, logitBias={"50256": -100}),
        body(tools=[TOOL, {"type": "web_search", "any": "thing"}]),
        body(tools=[TOOL], toolChoice="required"),
        body(tools=[TOOL], toolChoice=NAMED),
        body(toolChoice="none"),
        body(responseFormat={"type": "text"}),
        body(responseFormat={"type": "json_object"}),
        body(responseFormat={"type": "json_schema", "json_schema": SCHEMA}),
        body(model="a-model-of-tomorrow"),
        body(messages=[{"role": "system", "content": "Be brief.", "name": "boss"}]),
        body(
            messages=[{"role": "developer", "content": [{"type": "text", "text": ""}]}]
        ),
        body(messages=[{"role": "user", "content": "", "name": "Ann Ó'Neill"}]),
        body(messages=[{"role": "assistant", "refusal": "No."}]),
        body(messages=[{**CALLER, "content": "Yes."}]),
        body(messages=[{**CALLER, "toolCalls": [{**CALL, "extra": {"x": "y"}}]}]),
        body(messages=[USER, CALLER, RESULT]),
        content({"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}),
        content(image("https://example.com/a.png")),
        content(image(PNG, detail="low")),
        content(audio("aGVs", "wav")),
        content(file(file_data=PNG, filename="a.png")),
        content(file(file_id="file-1")),
    ],
    ids=str,
)
def test_bodies_of_the_contract(valid: Any) -> None:
    assert isinstance(validate(valid), Body)


BLOCK = "messages[0].content[0]"
URL = f"{BLOCK}.image_url.url: Should look like https://..."


@pytest.mark.parametrize(
    ("refused", "problem"),
    [
        (
            [],
            "the body: Input should be a valid dictionary or instance of Body; it is",
        ),
        ({"messages": [USER]}, "model: Field required"),
        ({"model": "m"}, "messages: Field required"),
        (
            body(temperature=2.1),
            "temperature: Input should be less than or equal to 2;",
        ),
        (
            body(temperature=None),
            "temperature: Input should be a valid number; it is null",
        ),
        (
            body(temperature="1"),
            'temperature: Input should be a valid number; it is "1"',
        ),
        (body(topP=-0.1), "topP: Input should be greater than or equal to 0"),
        (body(topP=float("nan")), "topP: Input should be a finite number"),
        (body(frequencyPenalty=3), "frequencyPenalty: Input should be less than or"),
        (body(presencePenalty=-3), "presencePenalty: Input should be greater than"),
        (body(maxTokens=0), "maxTokens: Input should be greater than or equal to 1;"),
        (body(maxTokens=1.5), "maxTokens: Input should be a valid integer; it is 1.5"),
        (
            body(maxTokens=True),
            "maxTokens: Input should be a valid integer; it is true",
        ),
        (body(maxTokens=2**31), "maxTokens: Input should be less than 2147483648"),
        (body(maxCompletionTokens=0), "maxCompletionTokens: Input should be greater"),
        (body(n=0), "n: Input should be greater than or equal to 1; it is 0"),
        (body(n=129), "n: Input should be less than or equal to 128; it is 129"),
        (body(n=2, stream=True), "n is 2, but a stream has one choice only"),
        (body(topLogprobs=21), "topLogprobs: Input should be less than or equal to 20"),
        (body(logitBias={"1": 101}), "logitBias.1: Input should be less than or equal"),
        (body(stream="yes"), "stream: Input should be a valid boolean"),
        (body(stop=""), "stop: "),
        (body(stop=5), "stop: Input should be a valid string; it is 5"),
        (body(stop=["a", 5]), "stop[1]: Input should be a valid string; it is 5"),
        (body(model=""), "model: "),
        (body(max_tokens=5), "max_tokens: Extra inputs are not permitted"),
        (body(toolCalls=[]), "toolCalls: Extra inputs are not permitted"),
        (body(tools=[]), "tools: "),
        (body(tools=[{}]), "tools[0].type: Field required"),
        (body(tools=["f"]), "tools[0]: Input should be a valid dictionary"),
        (body(toolChoice="any"), "toolChoice: Input should be 'auto', 'none' or"),
        (body(toolChoice=None), "toolChoice: Input should be 'auto', 'none' or"),
        (body(toolChoice="required"), "toolChoice is 'required', but there are no too"),
        (
            body(toolChoice=NAMED),
            "toolChoice.function.name is 'f', but the tools are: n",
        ),
        (body(responseFormat={"type": "xml"}), "responseFormat: Input tag 'xml' found"),
        (body(responseFormat={}), "responseFormat: Unable to extract tag using discri"),
        (
            body(responseFormat={"type": "json_schema", "json_schema": {"name": "A"}}),
            "responseFormat.json_schema.schema: Field required",
        ),
        (body(messages=[]), "messages: "),
        (body(messages="Hi"), 'messages: Input should be a valid list; it is "Hi"'),
        (body(messages=["Hi"]), "messages[0]: Input should be a valid dictionary"),
        (tool(), "tools[1].function.name: Field required"),
        (tool(name="get weather"), "tools[1].function.name: String should match"),
        (tool(name="f" * 65), "tools[1].function.name: String should match pattern"),
        (tool(name="f", schema={}), "tools[1].function.schema: Extra inputs are not"),
        (tool(name="f", parameters=None), "tools[1].function.parameters: Input should"),
        (
            tool(name="f", parameters={"type": "string"}),
            "tools[1].function.parameters: Should be a JSON schema of an object",
        ),
        (
            tool(name="f", parameters={"properties": []}),
            "tools[1].function.parameters: Should be a JSON schema of an object",
        ),
        (content("x"), f"{BLOCK}: Input should be a valid dictionary"),
        (content({"text": "x"}), f"{BLOCK}: Unable to extract tag using discriminator"),
        (content({"type": "image"}), f"{BLOCK}: Input tag 'image'"),
        (content({"type": ["text"]}), f"{BLOCK}: Input tag"),
        (content({"type": "text"}), f"{BLOCK}.text: Field required"),
        (
            content({"type": "text", "text": "x", "annotations": []}),
            f"{BLOCK}.annotations: Extra inputs are not permitted",
        ),
        (
            content({"type": "image_url", "image_url": "https://example.com/a.png"}),
            f"{BLOCK}.image_url: Input should be a valid dictionary",
        ),
        (content(image("a.png")), URL),
        (content(image("data:image/png,abc")), URL),
        (content(image("data:image/png;base64,a b=")), URL),
        (content(image("data:image/png;base64,")), URL),
        (
            content(audio("é", "wav")),
            f"{BLOCK}.input_audio.data: Should be valid base64",
        ),
        (content(audio("aGVs", "exe")), f"{BLOCK}.input_audio.format: Input should be"),
        (content(file(filename="a")), f"{BLOCK}.file: Should have either file_data or"),
        (
            content(file(file_data=PNG, file_id="f")),
            f"{BLOCK}.file: Should have either",
        ),
    ],
    ids=str,
)
def test_bodies_against_the_contract(refused: Any, problem: str) -> None:
    with pytest.raises(RefusedError) as caught:
        validate(refused)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"content": "x"}, ": Unable to extract tag using discriminator"),
        ({"role": "ai", "content": "x"}, ": Input tag"),
        ({"role": 5, "content": "x"}, ": Input tag '5' found"),
        ({"role": "user"}, ".content: Field required"),
        ({"role": "user", "content": None}, ".content: Input should be a valid string"),
        ({"role": "user", "content": []}, ".content: Input should be a valid string"),
        ({"role": "user", "content": "x", "name": ""}, ".name: String should"),
        ({**USER, "toolCalls": [CALL]}, ".toolCalls: Extra inputs are not permitted"),
        ({"role": "assistant"}, ": Should have content, toolCalls or refusal"),
        ({"role": "assistant", "content": "x", "toolCalls": []}, ".toolCalls: "),
        (
            {**CALLER, "tool_calls": [CALL]},
            ".tool_calls: Extra inputs are not permitted",
        ),
        (
            {"role": "assistant", "toolCalls": [{**CALL, "id": None}]},
            ".toolCalls[0].id: Input should be a valid string; it is null",
        ),
        (
            called({}),
            ".toolCalls[0].function.arguments: Input should be a valid string",
        ),
        *(
            (
                called(text),
                ".toolCalls[0].function.arguments: Should be the JSON text of",
            )
            for text in ("", "{", "[]", "5", '{"a": NaN} x', "[" * 1000, '{"a":' * 300)
        ),
        ({"role": "tool", "content": "x"}, ".toolCallId: Field required"),
        (RESULT, ".toolCallId is 'c1', but no assistant message before it has a tool"),
    ],
)
def test_messages_against_the_contract(message: Any, problem: str) -> None:
    with pytest.raises(RefusedError) as caught:
        validate(body(messages=[USER, message]))
    assert str(caught.value).startswith(f"messages[1]{problem}")


def test_reasoning_in_a_request_is_refused_unless_allowed() -> None:
    reasoning = {"role": "assistant", "content": "", "reasoningContent": "Hm."}
    with pytest.raises(RefusedError, match=r"\[0\].reasoningContent: Not a documented"):
        validate(body(messages=[reasoning]))
    validate(body(messages=[reasoning]), allow_reasoning=True)


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(RefusedError) as caught:
        validate(body(user=["x" * 1000]))
    assert len(str(caught.value)) < 150
    assert str(caught.value).endswith("…")


def test_defaults_of_fields_that_are_left_out() -> None:
    valid = validate(body())
    assert (valid.n, valid.stops, valid.functions) == (1, [], [])
    assert validate(body(stop="end")).stops == ["end"]
    assert validate(body(maxTokens=5, maxCompletionTokens=3)).limit == 3


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"topP": NaN}', b"[" * 9999])
def test_not_json(text: bytes) -> None:
    with pytest.raises(RefusedError, match="the body is not JSON"):
        parse(text)
