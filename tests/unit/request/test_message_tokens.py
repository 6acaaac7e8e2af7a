"""How many tokens messages and tools take: as many as what is sent of them."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_pmock import PmockInvalidRequestError, Wire
from langchain_pmock._request.messages import to_wire
from langchain_pmock._request.tokens import count_message_tokens, count_text_tokens
from tests.unit.test_json import nested


def test_a_message_is_its_text_and_a_frame() -> None:
    assert count_message_tokens([]) == 0
    assert count_message_tokens([HumanMessage("")]) == 4
    assert count_message_tokens([HumanMessage("Hello, world!")]) == 8
    assert count_message_tokens([SystemMessage([{"type": "text", "text": "Hi"}])]) == 5


def test_counts_of_messages_add_up() -> None:
    messages: list[BaseMessage] = [SystemMessage("Be brief."), HumanMessage("Why?")]
    one_by_one = [count_message_tokens([message]) for message in messages]
    assert count_message_tokens(messages) == sum(one_by_one)


def test_a_name_counts() -> None:
    plain, named = HumanMessage("Hi"), HumanMessage("Hi", name="ada")
    assert count_message_tokens([named]) - count_message_tokens([plain]) == 2


def ai(args: dict[str, Any], content: str | list[str | dict[str, Any]] = "") -> int:
    """Count an answer that calls a tool."""
    call = {"name": "get_weather", "args": args, "id": "call_1", "type": "tool_call"}
    return count_message_tokens([AIMessage(content, tool_calls=[call])])


def test_a_tool_call_counts_its_name_and_its_arguments() -> None:
    assert ai({}) > count_message_tokens([AIMessage("")]) + 8
    assert ai({"city": "Paris", "days": 3}) > ai({"city": "Paris"}) > ai({})


def test_arguments_count_as_text_not_as_escapes() -> None:
    # Escaped, each character would be six.
    assert ai({"city": "北京市海淀区"}) - ai({"city": ""}) <= 6


def test_a_tool_call_that_is_also_a_block_counts_once() -> None:
    block = {"type": "tool_use", "id": "call_1", "name": "get_weather", "input": {}}
    assert ai({"city": "Paris"}, [block]) == ai({"city": "Paris"})


def test_a_broken_tool_call_counts_as_it_came() -> None:
    def broken(args: str | None) -> int:
        call = {"name": None, "args": args, "id": None, "error": None}
        return count_message_tokens(
            [AIMessage("", invalid_tool_calls=[{**call, "type": "invalid_tool_call"}])]
        )

    assert broken('{"city": "Par') > broken(None) > 4


def test_the_result_of_a_tool_counts() -> None:
    message = ToolMessage("Hello, world!", tool_call_id="call_1", artifact="x" * 9999)
    assert count_message_tokens([message]) == 8


PIXELS = base64.b64encode(bytes(300_000)).decode()
PICTURE = {"type": "image", "mime_type": "image/png"}
ANTHROPIC = {"type": "base64", "media_type": "image/png", "data": PIXELS}
ANTHROPIC_PICTURE = {"type": "image", "source": ANTHROPIC}
ANTHROPIC_PDF = {**ANTHROPIC, "media_type": "application/pdf"}


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, 765),
        ({"type": "image_url", "image_url": "https://example.com/a.png"}, 765),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "auto"}}, 765),
        ({"type": "image_url", "image_url": {"url": "x", "detail": "low"}}, 85),
        ({"type": "image", "base64": PIXELS, "mime_type": "image/png"}, 765),
        ({"type": "image", "url": "x", "extras": {"detail": "low"}}, 85),
        ({**PICTURE, "source_type": "base64", "data": PIXELS}, 765),
        ({"type": "non_standard", "value": ANTHROPIC_PICTURE}, 765),
    ],
)
def test_an_image_costs_the_same_whatever_its_size(
    block: dict[str, Any], tokens: int
) -> None:
    assert count_message_tokens([HumanMessage([block])]) == 4 + tokens


@pytest.mark.parametrize(
    ("block", "tokens"),
    [
        ({"type": "audio", "base64": PIXELS, "mime_type": "audio/mpeg"}, 600),
        (
            {"type": "input_audio", "input_audio": {"data": PIXELS, "format": "mp3"}},
            600,
        ),
        ({"type": "file", "base64": PIXELS, "mime_type": "application/pdf"}, 9091),
        ({"type": "file", "file": {"file_data": PIXELS, "filename": "a.pdf"}}, 9091),
        ({"type": "document", "source": ANTHROPIC_PDF}, 9091),
        ({"type": "media", "data": PIXELS, "mime_type": "application/pdf"}, 9091),
        ({"type": "file", "file_id": "file-1"}, 1500),
        ({"type": "non_standard", "value": {"type": "file", "file_id": "1"}}, 1500),
    ],
)
def test_sound_and_files_go_by_their_size(block: dict[str, Any], tokens: int) -> None:
    assert count_message_tokens([HumanMessage([block])]) == 4 + tokens


def test_a_file_is_not_taken_for_text() -> None:
    """What langchain-core makes of the same message, hence a counter of our own."""
    pdf = HumanMessage([{"type": "file", "base64": PIXELS}])
    assert count_tokens_approximately([pdf]) > 10 * count_message_tokens([pdf])


PROSE = "The boat came at noon, and two men climbed out, soaked and laughing. " * 80
CALL = {"name": "note", "args": {"text": PROSE}, "id": "call_1", "type": "tool_call"}
NOTED = AIMessage("", tool_calls=[CALL])


@pytest.mark.parametrize(
    ("message", "same"),
    [
        pytest.param(
            HumanMessage(
                [
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_1",
                        "content": [ANTHROPIC_PICTURE],
                    }
                ]
            ),
            ToolMessage([{**PICTURE, "base64": PIXELS}], tool_call_id="call_1"),
            id="image in a tool_result",
        ),
        pytest.param(
            AIMessage([{"type": "thinking", "thinking": PROSE, "signature": PIXELS}]),
            AIMessage([{"type": "thinking", "thinking": PROSE}]),
            id="signature of a thinking block",
        ),
        pytest.param(
            HumanMessage(
                [
                    {
                        "type": "text-plain",
                        "mime_type": "text/plain",
                        "base64": base64.b64encode(PROSE.encode()).decode(),
                    }
                ]
            ),
            HumanMessage(PROSE),
            id="text as base64",
        ),
        pytest.param(
            AIMessage(
                [
                    {
                        "type": "function_call",
                        "id": "fc_1",
                        "call_id": "call_1",
                        "name": "note",
                        "arguments": json.dumps(CALL["args"]),
                    }
                ],
                tool_calls=[CALL],
            ),
            NOTED,
            id="function_call beside its tool call",
        ),
        pytest.param(
            AIMessage(
                [
                    {
                        "type": "tool_use",
                        "id": "call_1",
                        "name": "note",
                        "input": CALL["args"],
                    }
                ]
            ),
            NOTED,
            id="tool_use alone",
        ),
        pytest.param(
            AIMessage([{"type": "refusal", "refusal": PROSE}]),
            AIMessage(PROSE),
            id="refusal",
        ),
    ],
)
def test_a_message_counts_as_it_is_sent(
    message: BaseMessage, same: BaseMessage
) -> None:
    assert count_message_tokens([message]) == count_message_tokens([same])


def test_reasoning_that_is_sent_back_counts() -> None:
    answer = AIMessage("Yes.", additional_kwargs={"reasoning_content": PROSE})
    without = count_message_tokens([AIMessage("Yes.")])
    assert count_message_tokens([answer]) == without
    wire = Wire(reasoning_content="reasoning")
    with_it = count_message_tokens([answer], wire=wire)
    assert with_it == without + count_text_tokens(PROSE)


def test_tool_calls_count_under_any_name() -> None:
    counts = {
        count_message_tokens([NOTED], wire=wire)
        for wire in (Wire(), Wire(tool_calls="tool_calls"))
    }
    assert len(counts) == 1


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        (HumanMessage([{"type": "video", "base64": PIXELS}]), 1500),
        (HumanMessage(["Hello, world!", {**PICTURE, "base64": PIXELS}, {}]), 3004),
        (HumanMessage([{"type": "media", "data": bytes(300_000)}]), 1500),
        (HumanMessage([{"type": "new", "text": "Hello, world!"}]), 4),
        (HumanMessage([{"type": "document", "source": "x"}]), 1500),
        (HumanMessage([{"type": "file", "file": {"file_data": 5}}]), 1500),
        (RemoveMessage(id="1"), 0),
        # Nothing in langchain-core makes such messages, but they can be built.
        (HumanMessage.model_construct(content=[42]), 1500),  # type: ignore[list-item]
        (HumanMessage.model_construct(content=None), 1500),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_sent_counts_roughly(message: BaseMessage, tokens: int) -> None:
    with pytest.raises(PmockInvalidRequestError):
        to_wire([message])
    assert count_message_tokens([message]) == 4 + tokens


def test_a_tool_call_that_is_nested_too_deeply_does_not_count() -> None:
    call = {**CALL, "args": nested(200_000)}
    assert count_message_tokens([AIMessage("", tool_calls=[call])]) == 4


def test_a_tool_call_without_an_id_counts_about_the_same() -> None:
    lost = AIMessage("Hi", tool_calls=[{**CALL, "id": None}])
    with pytest.raises(PmockInvalidRequestError, match="needs an id"):
        to_wire([lost])
    exact = count_message_tokens([AIMessage("Hi", tool_calls=[CALL])])
    assert count_message_tokens([lost]) == pytest.approx(exact, rel=0.05)


def get_weather(city: str) -> str:
    """Tell the weather in a city.

    Args:
        city: The name of the city.
    """
    return f"Sunny in {city}"


class Weather(BaseModel):
    """Tell the weather in a city."""

    city: str = Field(description="The name of the city.")


@pytest.mark.parametrize(
    "a_tool",
    [
        get_weather,
        tool(get_weather),
        Weather,
        Weather.model_json_schema(),
        {"type": "function", "function": {"name": "f", "description": "Tell it all."}},
        {"type": "some_search", "max_results": 3, "region": "eu"},
    ],
    ids=["function", "tool", "class", "schema", "openai", "unknown"],
)
def test_every_form_of_a_tool_counts(a_tool: object) -> None:
    message = HumanMessage("Hi")
    tokens = count_message_tokens([message], [a_tool]) - count_message_tokens([message])
    assert 20 < tokens < 80
    assert count_message_tokens([], [a_tool, a_tool]) == 2 * tokens


KINDS = ["text", "image_url", "image", "audio", "input_audio", "file", "tool_call"]
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
keys = st.sampled_from(["text", "image_url", "data", "base64", "source", "extras"])
blocks = st.text() | st.builds(
    lambda kind, rest: {"type": kind, **rest},
    st.sampled_from(KINDS) | values,
    st.dictionaries(keys | st.text(), values),
)


@given(st.lists(blocks))
def test_blocks_of_any_type_count(content: list[str | dict[str, Any]]) -> None:
    assert count_message_tokens([AIMessage(content)]) >= 4


def test_trim_messages_keeps_what_fits() -> None:
    messages: list[BaseMessage] = [HumanMessage(f"问题{i}。" * 20) for i in range(10)]
    limit = count_message_tokens(messages[-3:])
    kept = trim_messages(
        messages, max_tokens=limit, token_counter=count_message_tokens, strategy="last"
    )
    assert kept == messages[-3:]
