"""Tools end to end: as the wire has them, what is called, and what goes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.tools import BaseTool

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.support.calls import Calls

    ToolLike = dict[str, Any] | type | Callable[..., Any] | BaseTool
    Choice = str | bool | dict[str, Any] | None


def get_weather(city: str, days: int = 1) -> str:
    """Get the weather in a city.

    Args:
        city: Where.
        days: How many days.
    """
    return f"{days} days of sun in {city}"


def get_time(place: str) -> str:
    """Get the time at a place."""
    return f"12:00 in {place}"


QUESTION = "What is the weather in Paris for 3 days?"


# --- bind_tools ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This API is in beta")
def test_runnable_as_a_tool(server: PmockServer, model: ChatPmock) -> None:
    prompt = ChatPromptTemplate.from_template("{city}, {days} days")
    chain = prompt | FakeListChatModel(responses=["Sunny."]) | StrOutputParser()
    runnable = chain.as_tool(
        name="get_weather",
        description="Get the weather in a city.",
        arg_types={"city": str, "days": int},
    )
    message = model.bind_tools([runnable]).invoke(QUESTION)
    (call,) = message.tool_calls
    assert runnable.invoke(call).content == "Sunny."
    (sent,) = server.requests[0].body["tools"]
    assert sent["function"]["parameters"] == {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    }


# --- Calls in answers ----------------------------------------------------------------


def test_parallel_calls(server: PmockServer, model: ChatPmock, calls: Calls) -> None:
    tools: list[ToolLike] = [get_weather, get_time]
    question = "The weather and the time in Paris?"
    for bound, expected in (
        (model.bind_tools(tools), ["get_weather", "get_time"]),
        (model.bind_tools(tools, parallel_tool_calls=False), ["get_weather"]),
    ):
        whole = calls.invoke(bound, question)
        streamed = merge(calls.stream(bound, question))
        for message in (whole, streamed):
            assert [call["name"] for call in message.tool_calls] == expected
            assert len({call["id"] for call in message.tool_calls}) == len(expected)
    sent = [request.body.get("parallelToolCalls") for request in server.requests]
    assert sent == [None, None, False, False]


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


def test_loop_with_a_tool(server: PmockServer, model: ChatPmock) -> None:
    weather = tool(get_weather)
    bound = model.bind_tools([weather])
    question = HumanMessage(QUESTION)
    called = bound.invoke([question])
    result = weather.invoke(called.tool_calls[0])
    answer = bound.invoke([question, called, result])
    assert answer.text == "get_weather says: 3 days of sun in Paris"
    sent = server.requests[1].body["messages"][2]
    assert sent["name"] == "get_weather"
    assert sent["toolCallId"] == called.tool_calls[0]["id"]
