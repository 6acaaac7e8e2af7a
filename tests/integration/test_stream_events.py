"""Content blocks and events: LangChain's newer views of the same answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_tests.utils.stream_lifecycle import assert_valid_event_stream

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import BaseMessage

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls

# version="v3" is in beta, and says so.
pytestmark = pytest.mark.filterwarnings("ignore:The method .* is in beta")

REPLY = Reply(
    text="Let me look.",
    reasoning="They ask about weather.",
    tool_calls=[ToolCall("get_weather", {"city": "東京"}), ToolCall("get_time")],
)
BLOCKS = [
    {"type": "reasoning", "reasoning": "They ask about weather."},
    {"type": "text", "text": "Let me look."},
    {"type": "tool_call", "name": "get_weather", "args": {"city": "東京"}},
    {"type": "tool_call", "name": "get_time", "args": {}},
]


def plain(blocks: Iterable[Any]) -> list[dict[str, Any]]:
    """Leave out of blocks what differs from call to call."""
    return [
        {k: v for k, v in block.items() if k not in {"id", "index"}} for block in blocks
    ]


# --- Blocks --------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_blocks_of_a_message(
    server: PmockServer, make_model: MakeModel, calls: Calls, version: str
) -> None:
    model = make_model(output_version=version)
    server.script(REPLY, REPLY)
    whole = calls.invoke(model, "Hi")
    streamed = merge(calls.stream(model, "Hi"))
    for message in (whole, streamed):
        assert plain(message.content_blocks) == BLOCKS
        assert message.text == "Let me look."
        assert [call["name"] for call in message.tool_calls] == [
            "get_weather",
            "get_time",
        ]
        if version == "v1":
            assert message.content == message.content_blocks
        else:
            assert message.content == "Let me look."


def test_each_chunk_belongs_to_a_block(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    server.script(REPLY)
    chunks = calls.stream(make_model(output_version="v1"), "Hi")
    blocks = [block for chunk in chunks for block in chunk.content]
    places = list(dict.fromkeys((block["type"], block["index"]) for block in blocks))
    assert [kind for kind, _ in places] == [
        "reasoning",
        "text",
        "tool_call_chunk",
        "tool_call_chunk",
    ]
    assert len({index for _, index in places}) == 4
    assert [c.chunk_position for c in chunks].count("last") == 1


def test_refusal_is_a_block(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model(output_version="v1")
    server.script(*[Reply(refusal="I cannot help with that.")] * 2)
    for message in (calls.invoke(model, "Hi"), merge(calls.stream(model, "Hi"))):
        (block,) = plain(message.content_blocks)
        # Before langchain-core had a block of its own for it.
        block = block.get("value", block)
        assert block == {"type": "refusal", "refusal": "I cannot help with that."}
        assert message.additional_kwargs["refusal"] == "I cannot help with that."


# --- Back into the history -----------------------------------------------------------


def wire_of(server: PmockServer, model: ChatPmock, message: BaseMessage) -> Any:
    """Send a message as history; tell how it left, without ids."""
    assert isinstance(message, AIMessage)
    received = [*message.tool_calls, *message.invalid_tool_calls]
    results = [ToolMessage("ok", tool_call_id=call["id"]) for call in received]
    model.invoke([HumanMessage("Hi"), message, *results])
    sent: dict[str, Any] = server.requests[-1].body["messages"][1]
    calls = [call["function"] for call in sent.pop("toolCalls", [])]
    return {**sent, "calls": calls}


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_message_in_the_history(
    server: PmockServer, make_model: MakeModel, calls: Calls, version: str
) -> None:
    model = make_model(output_version=version)
    reply = Reply(
        text="Let me look.",
        reasoning="They ask about weather.",
        refusal="Not tomorrow's.",
        tool_calls=[
            ToolCall("get_weather", {"city": "東京"}),
            ToolCall("get_time", "no JSON"),
        ],
    )
    server.script(reply)
    whole = wire_of(server, model, calls.invoke(model, "Hi"))
    server.script(reply)
    streamed = wire_of(server, model, merge(calls.stream(model, "Hi")))
    server.script(reply)
    events = wire_of(server, model, model.stream_events("Hi", version="v3").output)

    expected = {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "Let me look."},
            {"type": "text", "text": "Not tomorrow's."},
        ],
        "calls": [
            {"name": "get_weather", "arguments": '{"city":"東京"}'},
            {"name": "get_time", "arguments": '{"invalid":"no JSON"}'},
        ],
    }
    assert whole == streamed == events == expected


# --- Events --------------------------------------------------------------------------


def test_events_v3(server: PmockServer, model: ChatPmock) -> None:
    server.script(REPLY, REPLY)
    stream = model.stream_events("Hi", version="v3")
    events = list(stream)
    assert_valid_event_stream(events)
    deltas = [e["delta"] for e in events if e["event"] == "content-block-delta"]
    texts = [delta["text"] for delta in deltas if delta["type"] == "text-delta"]
    assert texts == ["Let", " me", " look", "."]
    assert plain(stream.output.content) == BLOCKS
    assert stream.output.usage_metadata is not None
    assert stream.output.response_metadata["finish_reason"] == "tool_calls"
    assert stream.output.response_metadata["model_name"] == "gpt-5.1"
    assert stream.output.response_metadata["id"].startswith("chatcmpl-")

    stream = model.stream_events("Hi", version="v3")
    assert "".join(stream.text) == "Let me look."
    assert stream.reasoning.get() == "They ask about weather."
    assert plain(stream.tool_calls.get()) == BLOCKS[2:]


async def test_async_events_v3(server: PmockServer, model: ChatPmock) -> None:
    server.script(REPLY, REPLY)
    stream = await model.astream_events("Hi", version="v3")
    assert_valid_event_stream([event async for event in stream])
    output = await stream.output
    assert plain(output.content) == BLOCKS
    assert output.response_metadata["finish_reason"] == "tool_calls"

    stream = await model.astream_events("Hi", version="v3")
    assert [text async for text in stream.text] == ["Let", " me", " look", "."]
    assert await stream.reasoning == "They ask about weather."
    assert plain(await stream.tool_calls) == BLOCKS[2:]


async def test_async_events_v2(server: PmockServer, model: ChatPmock) -> None:
    server.script(REPLY)
    events = [event async for event in model.astream_events("Hi", version="v2")]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "on_chat_model_start"
    assert set(kinds[1:-1]) == {"on_chat_model_stream"}
    assert kinds[-1] == "on_chat_model_end"
    streamed = merge([e["data"]["chunk"] for e in events[1:-1]])
    output = events[-1]["data"]["output"]
    assert plain(output.content_blocks) == plain(streamed.content_blocks) == BLOCKS
    assert output.usage_metadata == streamed.usage_metadata


@pytest.mark.filterwarnings("ignore:astream_log is deprecated")
async def test_log_of_a_stream(model: ChatPmock) -> None:
    state: Any = None
    async for patch in model.astream_log("Hello"):
        state = patch if state is None else state + patch
    assert state.state["final_output"].text == "You said: Hello"
    assert "".join(c.text for c in state.state["streamed_output"]) == "You said: Hello"
