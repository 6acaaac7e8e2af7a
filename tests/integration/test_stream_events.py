"""Events, LangChain's newer view of answers, and answers sent back as history."""

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

# version="v3" is in beta.
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


def wire_of(server: PmockServer, model: ChatPmock, message: BaseMessage) -> Any:
    """Send a message as history; return what was sent, without ids."""
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


def test_events_v3(server: PmockServer, model: ChatPmock) -> None:
    server.script(REPLY)
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
