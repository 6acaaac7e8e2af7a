"""Copies of a model, and what LangChain wraps around one."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.exceptions import ModelError, ModelRateLimitError
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


COPIES = [copy.copy, copy.deepcopy, ChatPmock.model_copy, deep, pickled]


@pytest.mark.parametrize("make_copy", COPIES, ids=lambda f: f.__name__)
def test_a_copy_works_and_is_on_its_own(
    server: PmockServer,
    make_model: MakeModel,
    calls: Calls,
    make_copy: Callable[[ChatPmock], ChatPmock],
) -> None:
    model = make_model(temperature=0.1, timeout=httpx.Timeout(5.0))
    assert calls.invoke(model, "Hello").text == HELLO  # its connections are open
    twin = make_copy(model)
    assert twin == model
    twin.temperature = 0.9
    assert model.temperature == 0.1
    for one in (twin, model):
        assert calls.invoke(one, "Hello").text == HELLO
        assert "".join(c.text for c in calls.stream(one, "Hello")) == HELLO
    told = [request.body["temperature"] for request in server.requests]
    assert told == [0.1, 0.9, 0.9, 0.1, 0.1]


@pytest.mark.parametrize("make_copy", COPIES[:-1], ids=lambda f: f.__name__)
def test_a_copy_has_the_users_own_client(
    make_model: MakeModel, make_copy: Callable[[ChatPmock], ChatPmock]
) -> None:
    with httpx.Client(headers={"X-Mine": "1"}) as client:
        twin = make_copy(make_model(http_client=client))
        assert twin.http_client is client
        assert twin.invoke("Hello").text == HELLO


def test_what_is_bound_is_pickled_too(make_model: MakeModel, calls: Calls) -> None:
    bound = make_model().bind_tools([get_weather]).bind(timeout=5, temperature=0)
    twin = pickle.loads(pickle.dumps(bound))  # noqa: S301 - our own
    assert calls.invoke(twin, "Hello").text == HELLO


def test_a_copy_may_have_other_credentials(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    wrong = make_model(secret_key="sk-wrong")
    right = wrong.model_copy(update={"secret_key": make_model().secret_key})
    assert calls.invoke(right, "Hello").text == HELLO
    with pytest.raises(errors.PmockAuthenticationError):
        calls.invoke(wrong, "Hello")
    assert len(server.requests) == 3


# --- Configurable --------------------------------------------------------------------


def test_configurable_fields(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model(max_tokens=50).configurable_fields(
        temperature=ConfigurableField(id="warmth"), model=ConfigurableField(id="model")
    )
    assert calls.invoke(model, "Hello").text == HELLO
    config: Any = {"configurable": {"warmth": 0.7, "model": "gemini-3-pro-preview"}}
    assert calls.invoke(model, "Hello", config=config).text == HELLO
    calls.stream(model, "Hello", config=config)
    sent = [(r.body["model"], r.body.get("temperature")) for r in server.requests]
    assert sent == [("gpt-5.1", None), *[("gemini-3-pro-preview", 0.7)] * 2]
    assert {request.body["maxTokens"] for request in server.requests} == {50}


def test_configurable_alternatives(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model().configurable_alternatives(
        ConfigurableField(id="which"), other=make_model(model="claude-x", top_p=0.5)
    )
    config: Any = {"configurable": {"which": "other"}}
    assert calls.invoke(model, "Hello", config=config).text == HELLO
    assert calls.invoke(model, "Hello").text == HELLO
    assert [r.body["model"] for r in server.requests] == ["claude-x", "gpt-5.1"]


# --- Fallbacks and LangChain's own retries -------------------------------------------


@pytest.mark.parametrize("code", [401, 404, 429, 500])
@pytest.mark.parametrize("by", ["status", "code"])
def test_fallbacks(
    server: PmockServer, make_model: MakeModel, calls: Calls, by: str, code: int
) -> None:
    fault: dict[str, Any] = {by: code}
    for ask in (calls.invoke, calls.stream):
        server.reset()
        server.fail(**fault, times=2 if code == 401 else 1)
        model = make_model().with_fallbacks(
            [make_model(model="backup")], exceptions_to_handle=(ModelError,)
        )
        given = ask(model, "Hello")
        messages = given if isinstance(given, list) else [given]
        assert "".join(message.text for message in messages) == HELLO
        assert server.requests[-1].body["model"] == "backup"


def test_what_a_model_with_fallbacks_passes_on(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    first = make_model(timeout=httpx.Timeout(5), default_headers={"X-Mine": "1"})
    model: Any = first.with_fallbacks([make_model(model="claude-4.5")])
    assert model.model_name == "gpt-5.1"
    assert type(model.bind_tools([])) is RunnableWithFallbacks

    with_tools = model.bind_tools([get_weather], tool_choice="any")
    for ask in (calls.invoke, calls.stream):
        server.reset()
        server.fail(status=429)
        given = ask(with_tools, "What is the weather in Paris?")
        message = merge(given) if isinstance(given, list) else given
        assert message.tool_calls[0]["args"] == {"city": "Paris"}
        tools = [request.body["tools"] for request in server.requests]
        assert len(tools) == 2
        assert tools[0] == tools[1]

    server.reset()
    server.fail(status=500)
    report = {"city": "Paris", "days": 3}
    server.script(Reply(tool_calls=[ToolCall("Report", report)]))
    structured = model.with_structured_output(Report)
    assert calls.invoke(structured, "3 days") == Report(city="Paris", days=3)
    # Each model is asked in the way that it supports.
    first_body, second_body = (request.body for request in server.requests)
    assert "responseFormat" in first_body
    assert second_body["toolChoice"]["function"]["name"] == "Report"


def test_fallbacks_of_a_batch(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model().with_fallbacks([make_model(model="backup")])
    server.fail(status=429, times=3)
    answers = calls.batch(model, ["One", "Two", "Three"])
    assert [a.text for a in answers] == [
        f"You said: {x}" for x in ("One", "Two", "Three")
    ]
    assert sum(r.body["model"] == "backup" for r in server.requests) == 3


def test_fallbacks_only_for_what_they_are_for(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model().with_fallbacks(
        [make_model(model="backup")], exceptions_to_handle=(ModelRateLimitError,)
    )
    server.fail(status=500)
    with pytest.raises(errors.PmockAPIError):
        calls.invoke(model, "Hello")
    assert len(server.requests) == 1


def test_with_retry(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    model = make_model().with_retry(
        retry_if_exception_type=(ModelRateLimitError,),
        stop_after_attempt=3,
        wait_exponential_jitter=False,
    )
    server.fail(status=429, times=2)
    assert calls.invoke(model, "Hello").text == HELLO
    assert len(server.requests) == 3
    server.fail(status=404)
    with pytest.raises(errors.PmockNotFoundError):
        calls.invoke(model, "Hello")
    assert len(server.requests) == 4


# --- Caches --------------------------------------------------------------------------


def test_a_cache(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    cache = InMemoryCache()
    first, other = make_model(cache=cache), make_model(cache=cache, temperature=0.3)
    assert calls.invoke(first, "Hello").text == HELLO
    again = calls.invoke(first, "Hello")
    assert again.text == HELLO
    assert len(server.requests) == 1
    calls.invoke(other, "Hello")
    calls.invoke(first, "Hello", stop=["x"])
    calls.invoke(first, "Goodbye")
    assert len(server.requests) == 4
    calls.invoke(other.model_copy(update={"temperature": 0.4}), "Hello")
    assert len(server.requests) == 5


def test_the_global_cache(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
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
