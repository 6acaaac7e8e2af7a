from typing import Any

import pytest

from langchain_pmock.testing._body import RefusedError, parse, validate

USER = {"role": "user", "content": "Hello"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLER = {"role": "assistant", "toolCalls": [CALL]}
RESULT = {"role": "tool", "content": "x", "toolCallId": "c1"}
TOOL = {"type": "function", "function": {"name": "f"}}
PNG = "data:image/png;base64,aGVsbG8="
SCHEMA = {"name": "Answer", "schema": {"type": "object"}}
TEXT = {"type": "text", "text": ""}


def body(**fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.1", "messages": [USER], **fields}


def messages(*sent: Any) -> dict[str, Any]:
    return body(messages=[*sent])


def content(kind: str, value: Any) -> dict[str, Any]:
    return messages({"role": "user", "content": [{"type": kind, kind: value}]})


def tool(**function: Any) -> dict[str, Any]:
    return body(tools=[TOOL, {"type": "function", "function": function}])


def called(arguments: Any) -> dict[str, Any]:
    function = {"name": "f", "arguments": arguments}
    return messages({**CALLER, "toolCalls": [{**CALL, "function": function}]})


@pytest.mark.parametrize(
    "valid",
    [
        body(temperature=0, topP=1, frequencyPenalty=-2, presencePenalty=2.0),
        body(maxTokens=1, maxCompletionTokens=2, n=3, seed=-5, stop=["end", "fin"]),
        body(stream=True, user="someone", parallelToolCalls=False, stop="end"),
        body(logprobs=True, topLogprobs=20, logitBias={"50256": -100}),
        body(tools=[TOOL, {"type": "web_search", "a": "b"}], toolChoice="required"),
        body(tools=[TOOL], toolChoice=TOOL),
        body(toolChoice="none", responseFormat={"type": "text"}),
        body(responseFormat={"type": "json_object"}),
        body(responseFormat={"type": "json_schema", "json_schema": SCHEMA}),
        messages({"role": "system", "content": "Be brief.", "name": "boss"}),
        messages({"role": "developer", "content": [TEXT]}),
        messages({"role": "user", "content": "", "name": "Ann Ó'Neill"}),
        messages({"role": "assistant", "refusal": "No."}),
        messages({**CALLER, "toolCalls": [{**CALL, "extra": {"x": "y"}}]}),
        messages(USER, {**CALLER, "content": "Yes."}, RESULT),
        content("text", "x"),
        content("image_url", {"url": "https://example.com/a.png"}),
        content("image_url", {"url": PNG, "detail": "low"}),
        content("input_audio", {"data": "aGVs", "format": "wav"}),
        content("file", {"file_data": PNG, "filename": "a.png"}),
        content("file", {"file_id": "file-1"}),
    ],
    ids=str,
)
def test_bodies_of_the_contract(valid: Any) -> None:
    validate(valid)


BLOCK = "messages[0].content[0]"
PARAMETERS = "tools[1].function.parameters"
ARGUMENTS = "messages[0].toolCalls[0].function.arguments"


@pytest.mark.parametrize(
    ("refused", "problem"),
    [
        ([], "the body: Input should be a valid dictionary or instance of Body; it is"),
        ({"messages": [USER]}, "model: Field required"),
        (body(temperature=2.1), "temperature: Input should be less than or equal to 2"),
        (
            body(temperature=None),
            "temperature: Input should be a valid number; it is n",
        ),
        (
            body(temperature="1"),
            'temperature: Input should be a valid number; it is "1',
        ),
        (body(topP=float("nan")), "topP: Input should be a finite number"),
        (body(frequencyPenalty=3), "frequencyPenalty: "),
        (body(presencePenalty=-3), "presencePenalty: "),
        (body(maxTokens=0), "maxTokens: "),
        (body(maxTokens=True), "maxTokens: "),
        (body(maxCompletionTokens=1.5), "maxCompletionTokens: "),
        (body(n=129), "n: Input should be less than or equal to 128; it is 129"),
        (body(n=2, stream=True), "n is 2, but a stream has one choice only"),
        (body(topLogprobs=21), "topLogprobs: "),
        (body(logitBias={"1": 101}), "logitBias.1: "),
        (body(stream="yes"), "stream: "),
        (body(stop=["a", 5]), "stop[1]: Input should be a valid string; it is 5"),
        (body(model=""), "model: "),
        (body(max_tokens=5), "max_tokens: Extra inputs are not permitted"),
        (body(tools=[]), "tools: "),
        (body(tools=[{}]), "tools[0].type: Field required"),
        (body(toolChoice="any"), "toolChoice: Input should be 'auto', 'none' or"),
        (body(toolChoice="required"), "toolChoice is 'required', but there are no too"),
        (body(toolChoice=TOOL), "toolChoice.function.name is 'f', but the tools are: "),
        (body(responseFormat={"type": "json_schema"}), "responseFormat.json_schema: F"),
        (body(responseFormat={"type": "xml"}), "responseFormat.type: Input shou"),
        (body(responseFormat={}), "responseFormat.type: Field required"),
        (
            body(responseFormat={"type": "text", "json_schema": SCHEMA}),
            "responseFormat.json_schema: Not a field of the type text",
        ),
        (
            body(responseFormat={"type": "json_schema", "json_schema": {"name": "A"}}),
            "responseFormat.json_schema.schema: Field required",
        ),
        (tool(), "tools[1].function.name: Field required"),
        (tool(name="get weather"), "tools[1].function.name: String should match"),
        (tool(name="f", schema={}), "tools[1].function.schema: Extra inputs are not"),
        (tool(name="f", parameters=[]), f"{PARAMETERS}: Input should be a valid dict"),
        (body(toolChoice={**TOOL, "function": {"a": 1}}), "toolChoice.function.name: "),
        (messages(), "messages: "),
        (messages("Hi"), "messages[0]: Input should be a valid dictionary"),
        (messages({"content": "x"}), "messages[0].role: Field required"),
        (messages({"role": "ai", "content": "x"}), "messages[0].role: Input should"),
        (messages({"role": "user"}), "messages[0].content: Field required"),
        (messages({**USER, "content": None}), "messages[0].content: "),
        (messages({**USER, "toolCalls": [CALL]}), "messages[0].toolCalls: Not a fie"),
        (messages({**CALLER, "tool_calls": []}), "messages[0].tool_calls: Extra input"),
        (messages({**CALLER, "reasoningContent": "a"}), "messages[0].reasoningContent"),
        (messages({"role": "assistant"}), "messages[0] has neither content nor tool"),
        (called({}), f"{ARGUMENTS}: JSON input should be string"),
        (called(""), f"{ARGUMENTS}: Invalid JSON"),
        (called("[]"), f"{ARGUMENTS}: Input should be a valid dictionary; it is []"),
        (called('{"a":' * 300), f"{ARGUMENTS}: Invalid JSON"),
        (messages({**USER, "role": "tool"}), "messages[0].toolCallId is '', but"),
        (messages(USER, RESULT), "messages[1].toolCallId is 'c1', but no call before"),
        (content("image", {}), f"{BLOCK}.type: Input should be"),
        (content("text", None), f"{BLOCK}.text: Input should be a valid string"),
        (messages({**USER, "content": [{"type": "text"}]}), f"{BLOCK}.text: Field req"),
        (content("image_url", "https://x.org/a.png"), f"{BLOCK}.image_url: Input shou"),
        (content("image_url", {"url": ""}), f"{BLOCK}.image_url.url: String should"),
        (content("image_url", {"detail": "low"}), f"{BLOCK}.image_url.url: Field req"),
        (content("image_url", {"url": "ftp://x"}), f"{BLOCK}.image_url.url: String"),
        (content("input_audio", {"data": 5}), f"{BLOCK}.input_audio.data: Input sho"),
        (content("input_audio", {"data": "a"}), f"{BLOCK}.input_audio.format: Field"),
        (content("input_audio", {"format": "a"}), f"{BLOCK}.input_audio.data: Field"),
        (content("file", {"name": "a"}), f"{BLOCK}.file.name: Extra inputs are not"),
        (content("file", {"filename": "a"}), f"{BLOCK}.file: Should have file_data or"),
        (content("file", {"file_id": ""}), f"{BLOCK}.file.file_id: String should have"),
        (
            messages({**USER, "content": [{**TEXT, "file": {"file_id": "a"}}]}),
            f"{BLOCK}.file: Not a field of the type text",
        ),
    ],
    ids=str,
)
def test_bodies_against_the_contract(refused: Any, problem: str) -> None:
    with pytest.raises(RefusedError) as caught:
        validate(refused)
    assert str(caught.value).startswith(problem)


def test_long_values_are_shortened_in_messages() -> None:
    with pytest.raises(RefusedError, match=r"…$") as caught:
        validate(body(user=["x" * 1000]))
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"topP": NaN}', b"[" * 9999])
def test_not_json(text: bytes) -> None:
    with pytest.raises(RefusedError, match="the body is not JSON"):
        parse(text)
