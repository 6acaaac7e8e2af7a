"""LangChain's agents and LangGraph's graphs, on a local server, sync and async."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import ToolException, tool
from pydantic import BaseModel, Field

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    if city == "Atlantis":
        message = "No city of that name."
        raise ToolException(message)
    return f"It is sunny in {city}."


get_weather.handle_tool_error = True


class Report(BaseModel):
    """A weather report."""

    city: str
    days: int = Field(ge=1, le=10)


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


# --- Agents --------------------------------------------------------------------------


def test_parallel_tool_calls(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    cities = ["Paris", "東京", "Lima"]
    asked = [ToolCall("get_weather", {"city": city}) for city in cities]
    server.script(Reply(tool_calls=asked))
    agent: Any = create_agent(model, [get_weather])
    messages = calls.invoke(agent, user("Weather?"))["messages"]
    results = [m for m in messages if isinstance(m, ToolMessage)]
    assert [m.text for m in results] == [f"It is sunny in {city}." for city in cities]
    assert all(city in messages[-1].text for city in cities)


@pytest.mark.parametrize("tools", [[], [get_weather]], ids=["no tools", "tools"])
@pytest.mark.parametrize(
    ("name", "response_format", "by_provider"),
    [
        ("gpt-5.1", ProviderStrategy(Report), True),
        ("claude-4.5", ProviderStrategy(Report), True),
        ("gpt-5.1", ToolStrategy(Report), False),
        # By the model's profile.
        ("gpt-5.1", Report, True),
        ("claude-4.5", Report, False),
        ("gemini-3-pro", Report, True),
    ],
    ids=["provider", "provider on Claude", "tool", "auto", "Claude", "Gemini"],
)
def test_structured_response(  # noqa: PLR0913, PLR0917 - parameters and fixtures
    server: PmockServer,
    make_model: MakeModel,
    calls: Calls,
    name: str,
    response_format: Any,
    by_provider: bool,
    tools: list[Any],
) -> None:
    agent: Any = create_agent(
        make_model(model=name), tools, response_format=response_format
    )
    state = calls.invoke(agent, user("What is the weather in Paris for 3 days?"))
    report = state["structured_response"]
    assert report == Report(city="Paris", days=3)
    sent = server.requests[0].body
    assert ("responseFormat" in sent) == by_provider
    assert sent.get("toolChoice") == (None if by_provider else "required")
    assert len(server.requests) == 1 + len(tools)


def test_missing_ids_are_created(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    reply = Reply(tool_calls=[ToolCall("get_time", id=None), ToolCall("f", id=None)])
    server.script(reply, reply)
    question = HumanMessage("Hi")
    for message in (calls.invoke(model, "Hi"), merge(calls.stream(model, "Hi"))):
        ids = [call["id"] for call in message.tool_calls]
        assert len({*ids}) == 2
        assert all(ids)
        results = [ToolMessage("12:00", tool_call_id=str(id_)) for id_ in ids]
        # The server checks that each result belongs to a call.
        model.invoke([question, message, *results])
        sent = server.requests[-1].body["messages"][1]["toolCalls"]
        assert [call["id"] for call in sent] == ids


# --- Streams -------------------------------------------------------------------------


def test_agent_streams_messages(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    agent: Any = create_agent(make_model(model="gpt-5.1-thinking"), [get_weather])
    question = user("What is the weather in Paris?")
    streamed = calls.stream(agent, question, stream_mode="messages")
    chunks = [(m, about) for m, about in streamed if isinstance(m, AIMessageChunk)]
    assert {about["ls_provider"] for _, about in chunks} == {"pmock"}
    by_id: dict[str | None, list[AIMessageChunk]] = {}
    for chunk, _ in chunks:
        by_id.setdefault(chunk.id, []).append(chunk)
    first, second = map(merge, by_id.values())
    assert first.tool_calls[0]["args"] == {"city": "Paris"}
    assert first.content_blocks[0]["type"] == "reasoning"
    assert second.text == "get_weather says: It is sunny in Paris."
    assert len(by_id[second.id]) > 5
    assert first.usage_metadata is not None
    (result,) = (m for m, _ in streamed if isinstance(m, ToolMessage))
    assert result.text == "It is sunny in Paris."
    assert [request.body["stream"] for request in server.requests] == [True, True]
