"""Copies of a model over sockets, and what LangChain wraps around a model."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import ConfigurableField
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from pydantic import BaseModel

from langchain_pmock import ChatPmock, errors
from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls

HELLO = "You said: Hello"


class Report(BaseModel):
    """A weather report."""

    city: str
    days: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


def pickled(model: ChatPmock) -> ChatPmock:
    twin = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own
    assert isinstance(twin, ChatPmock)
    return twin


def deep(model: ChatPmock) -> ChatPmock:
    return model.model_copy(deep=True)


@pytest.mark.parametrize(
    "make_copy",
    [copy.copy, copy.deepcopy, ChatPmock.model_copy, deep, pickled],
    ids=lambda f: f.__name__,
)
def test_copy_of_a_used_model_works(
    server: PmockServer,
    make_model: MakeModel,
    calls: Calls,
    make_copy: Callable[[ChatPmock], ChatPmock],
) -> None:
    model = make_model(temperature=0.1, timeout=httpx2.Timeout(5.0))
    assert calls.invoke(model, "Hello").text == HELLO  # its connections are open
    twin = make_copy(model)
    assert twin == model
    twin.temperature = 0.9
    for one in (twin, model):
        assert calls.invoke(one, "Hello").text == HELLO
        assert "".join(c.text for c in calls.stream(one, "Hello")) == HELLO
    sent = [request.body["temperature"] for request in server.requests]
    assert sent == [0.1, 0.9, 0.9, 0.1, 0.1]


def test_bound_parameters_are_pickled(make_model: MakeModel, calls: Calls) -> None:
    bound = make_model().bind_tools([get_weather]).bind(timeout=5, temperature=0)
    twin = pickle.loads(pickle.dumps(bound))  # noqa: S301 - our own
    assert calls.invoke(twin, "Hello").text == HELLO


def test_copy_with_other_credentials(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    wrong = make_model(secret_key="sk-wrong")
    with pytest.raises(errors.PmockAuthenticationError):
        calls.invoke(wrong, "Hello")
    right = wrong.model_copy(update={"secret_key": make_model().secret_key})
    assert calls.invoke(right, "Hello").text == HELLO
    with pytest.raises(errors.PmockAuthenticationError):
        calls.invoke(wrong, "Hello")
    assert len(server.requests) == 5


def test_configurable_fields_and_alternatives(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = (
        make_model(max_tokens=50)
        .configurable_fields(
            temperature=ConfigurableField(id="warmth"),
            model=ConfigurableField(id="model"),
        )
        .configurable_alternatives(
            ConfigurableField(id="which"), other=make_model(model="claude-x", top_p=0.5)
        )
    )
    config: Any = {"configurable": {"warmth": 0.7, "model": "gemini-3-pro-preview"}}
    calls.invoke(model, "Hello")
    calls.invoke(model, "Hello", config=config)
    calls.stream(model, "Hello", config=config)
    calls.invoke(model, "Hello", config={"configurable": {"which": "other"}})
    sent = [(r.body["model"], r.body.get("temperature")) for r in server.requests]
    configured = ("gemini-3-pro-preview", 0.7)
    assert sent == [("gpt-5.1", None), configured, configured, ("claude-x", None)]


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


def test_fallbacks_of_a_batch(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model().with_fallbacks([make_model(model="backup")])
    server.fail(status=429, times=3)
    answers = calls.batch(model, ["One", "Two", "Three"])
    expected = [f"You said: {text}" for text in ("One", "Two", "Three")]
    assert [answer.text for answer in answers] == expected
    assert sum(r.body["model"] == "backup" for r in server.requests) == 3


def test_global_cache(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    set_llm_cache(InMemoryCache())
    try:
        for _ in range(3):
            assert calls.invoke(make_model(), "Hello").text == HELLO
    finally:
        set_llm_cache(None)
    assert len(server.requests) == 1


def test_errors_are_not_cached(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model(cache=InMemoryCache())
    server.fail(code=500)
    with pytest.raises(errors.PmockAPIError):
        calls.invoke(model, "Hello")
    assert calls.invoke(model, "Hello").text == HELLO
    assert len(server.requests) == 2
