"""LangChain's middleware that takes a model, and deepagents, on a local server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, get_args

import pytest
from langchain.agents import create_agent
from langchain.agents import middleware as mw
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool

from langchain_pmock import (
    ModelName,
    PmockPaymentRequiredError,
)
from langchain_pmock.testing import Reply, ToolCall
from tests.support.files import png

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


@tool
def send_mail(to: str) -> str:
    """Send a mail."""
    return f"Sent to {to}."


def user(text: str) -> dict[str, Any]:
    return {"messages": [HumanMessage(text)]}


def weather_call() -> Reply:
    return Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris"})])


def models_of(server: PmockServer) -> list[str]:
    return [request.body["model"] for request in server.requests]


# --- Summaries and edits of the context ----------------------------------------------


@pytest.mark.parametrize("trigger", [("messages", 4), ("fraction", 0.0001)])
def test_summarization(
    server: PmockServer, make_model: MakeModel, calls: Calls, trigger: Any
) -> None:
    model = make_model(model="gemini-2.5-flash")
    summarize = mw.SummarizationMiddleware(model, trigger=trigger, keep=("messages", 2))
    agent: Any = create_agent(make_model(), [get_weather], middleware=[summarize])
    server.script("They spoke of Lima.", "Fine.")
    history = [
        message
        for number in range(3)
        for message in (
            HumanMessage(f"Question {number} " + "about Lima " * 20),
            AIMessage(f"Answer {number}"),
        )
    ]
    state = calls.invoke(agent, {"messages": [*history, HumanMessage("And now?")]})
    assert models_of(server) == ["gemini-2.5-flash", "gpt-5.1"]
    summary, *kept = server.requests[1].body["messages"]
    assert "They spoke of Lima." in summary["content"]
    assert [message["content"] for message in kept] == ["Answer 2", "And now?"]
    assert state["messages"][-1].text == "Fine."


def test_context_editing_uses_the_models_token_count(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    clear = mw.ContextEditingMiddleware(
        edits=[mw.ClearToolUsesEdit(trigger=200, keep=1)], token_count_method="model"
    )
    agent: Any = create_agent(model, [get_weather], middleware=[clear])
    call = {"name": "get_weather", "args": {"city": "Lima"}, "type": "tool_call"}
    history = [
        message
        for number in "12"
        for message in (
            AIMessage("", tool_calls=[{**call, "id": number}]),
            ToolMessage("sunny " * 200, tool_call_id=number),
        )
    ]
    calls.invoke(agent, {"messages": [*history, HumanMessage("Thanks")]})
    sent = server.requests[0].body["messages"]
    results = [m["content"] for m in sent if m["role"] == "tool"]
    assert results == ["[cleared]", "sunny " * 200]


# --- Tools ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt-5.1", "claude-4.5"])
def test_tool_selector(
    server: PmockServer, make_model: MakeModel, calls: Calls, name: str
) -> None:
    select = mw.LLMToolSelectorMiddleware(model=make_model(model=name), max_tools=1)
    agent: Any = create_agent(
        make_model(), [get_weather, send_mail], middleware=[select]
    )
    calls.invoke(agent, user("What is the weather in Paris?"))
    selection, first, *_ = server.requests
    assert selection.body["model"] == name
    assert ("responseFormat" in selection.body) == (name == "gpt-5.1")
    (offered,) = first.body["tools"]
    assert offered["function"]["name"] in {"get_weather", "send_mail"}


# --- Failures ------------------------------------------------------------------------


def test_model_retry_of_temporary_errors_only(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    retry = mw.ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    agent: Any = create_agent(make_model(), [get_weather], middleware=[retry])
    server.fail(status=500, times=2)
    assert calls.invoke(agent, user("Hi"))["messages"][-1].text == "You said: Hi"
    assert len(server.requests) == 3
    server.reset()
    server.fail(status=402)
    with pytest.raises(PmockPaymentRequiredError):
        calls.invoke(agent, user("Hi"))
    assert len(server.requests) == 1


def test_refusal_and_fallback(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    if not hasattr(mw, "ModelRefusalMiddleware"):
        pytest.skip("this version of langchain has no ModelRefusalMiddleware")
    refusal = mw.ModelRefusalMiddleware()
    agent: Any = create_agent(make_model(), [], middleware=[refusal])
    server.script(Reply(refusal="I cannot help with that."))
    with pytest.raises(ModelError, match="I cannot help with that"):
        calls.invoke(agent, user("Hi"))

    fallback = mw.ModelFallbackMiddleware(make_model(model="claude-4.5"))
    agent = create_agent(make_model(), [], middleware=[fallback, refusal])
    server.script(Reply(refusal="I cannot help with that."), "I can.")
    assert calls.invoke(agent, user("Hi"))["messages"][-1].text == "I can."


# --- Deep agents ---------------------------------------------------------------------


@pytest.mark.parametrize("name", get_args(ModelName))
@pytest.mark.parametrize("in_tool_messages", [None, True])
def test_deep_agent_reads_an_image(
    server: PmockServer,
    make_model: MakeModel,
    tmp_path: Path,
    name: str,
    in_tool_messages: bool | None,
) -> None:
    deepagents: Any = pytest.importorskip("deepagents")
    backends: Any = pytest.importorskip("deepagents.backends")
    (tmp_path / "red.png").write_bytes(png())
    model = make_model(model=name)
    profile: Any = {**(model.profile or {})}
    if in_tool_messages is not None:
        profile["image_tool_message"] = in_tool_messages
        model = make_model(model=name, profile=profile)
    backend = backends.FilesystemBackend(root_dir=tmp_path, virtual_mode=True)
    agent = deepagents.create_deep_agent(model=model, backend=backend)
    read = ToolCall("read_file", {"file_path": "/red.png"})
    server.script(Reply(tool_calls=[read]), "I see.")
    state = agent.invoke(user("What is in /red.png?"))
    assert state["messages"][-1].text == "I see."
    (result,) = (
        message["content"]
        for message in server.requests[-1].body["messages"]
        if message["role"] == "tool"
    )
    if profile.get("image_tool_message") is False:
        assert "does not support image content (image/png)" in str(result)
        assert "image_url" not in str(result)
    else:
        data = base64.b64encode(png()).decode()
        (part,) = (part for part in result if part["type"] == "image_url")
        assert part["image_url"]["url"] == f"data:image/png;base64,{data}"
