"""The model with fallbacks: tools and schemas reach each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx2
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from pydantic import BaseModel

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls


class Report(BaseModel):
    """A weather report."""

    city: str
    days: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def test_tools_and_schemas_reach_the_fallback(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    first = make_model(timeout=httpx2.Timeout(5), default_headers={"X-Mine": "1"})
    model: Any = first.with_fallbacks([make_model(model="claude-4.5")])
    assert model.model_name == "gpt-5.1"
    assert type(model.bind_tools([])) is RunnableWithFallbacks

    with_tools = model.bind_tools([get_weather], tool_choice="any")
    for ask in (calls.invoke, calls.stream):
        server.reset()
        server.fail(status=429)
        answer = ask(with_tools, "What is the weather in Paris?")
        message = merge(answer) if isinstance(answer, list) else answer
        assert message.tool_calls[0]["args"] == {"city": "Paris"}
        first_tools, second_tools = (r.body["tools"] for r in server.requests)
        assert first_tools == second_tools

    server.reset()
    server.fail(status=500)
    report = {"city": "Paris", "days": 3}
    server.script(Reply(tool_calls=[ToolCall("Report", report)]))
    structured = model.with_structured_output(Report)
    assert calls.invoke(structured, "3 days") == Report(city="Paris", days=3)
    # Each model gets the method that it supports.
    first_body, second_body = (request.body for request in server.requests)
    assert "responseFormat" in first_body
    assert second_body["toolChoice"]["function"]["name"] == "Report"
