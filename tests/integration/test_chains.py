"""The model as a part of a chain: configuration, fallbacks, caches, usage."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from langchain_core.caches import BaseCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.load import dumps, loads
from langchain_core.messages.ai import add_usage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from pydantic import BaseModel

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.outputs import Generation

    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls

PROMPT = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{x}")])


# --- Configuration and fallbacks -----------------------------------------------------


class Report(BaseModel):
    """A weather report."""

    city: str
    days: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def test_configurable_fields(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model().configurable_fields(
        temperature=ConfigurableField(id="warmth"), model=ConfigurableField(id="model")
    )
    config: Any = {"configurable": {"warmth": 0.7, "model": "gemini-3-pro-preview"}}
    calls.invoke(model, "Hello")
    calls.invoke(model, "Hello", config=config)
    calls.stream(model, "Hello", config=config)
    sent = [(r.body["model"], r.body.get("temperature")) for r in server.requests]
    configured = ("gemini-3-pro-preview", 0.7)
    assert sent == [("gpt-5.1", None), configured, configured]


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


# --- Caches ---------------------------------------------------------------


class TextCache(BaseCache):
    """Serializes the answers, as caches on disk do."""

    def __init__(self) -> None:
        self.written: dict[str, str] = {}

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        text = self.written.get(prompt + llm_string)
        return loads(text, allowed_objects="core") if text else None

    def update(
        self, prompt: str, llm_string: str, return_val: Sequence[Generation]
    ) -> None:
        self.written[prompt + llm_string] = dumps([*return_val])

    def clear(self, **_: Any) -> None:
        self.written.clear()


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
def test_cache(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    cache = TextCache()
    model = make_model(cache=cache, model="gpt-5.1-thinking")
    first = calls.invoke(model, "Hi")
    again = calls.invoke(model, "Hi")
    assert len(server.requests) == 1
    assert again.content_blocks == first.content_blocks
    assert again.response_metadata == first.response_metadata

    assert "You said: Hi" in str(cache.written)
    assert server.access_key not in str(cache.written)
    assert server.secret_key not in str(cache.written)


# --- Usage ---------------------------------------------------------------------------


def test_usage_is_summed_by_model(make_model: MakeModel, calls: Calls) -> None:
    one, other = make_model(), make_model(model="gemini-3-pro")
    with get_usage_metadata_callback() as callback:
        messages = [calls.invoke(one, "Hello"), merge(calls.stream(one, "Hello"))]
        messages += calls.batch(PROMPT | one, [{"x": "One"}, {"x": "Two"}])
        alone = calls.invoke(other, "Hello")
    total = callback.usage_metadata
    assert total.keys() == {"gpt-5.1", "gemini-3-pro"}
    assert total["gemini-3-pro"] == alone.usage_metadata
    expected = reduce(add_usage, (m.usage_metadata for m in messages))
    assert total["gpt-5.1"] == expected
    assert expected["input_tokens"] > 0
