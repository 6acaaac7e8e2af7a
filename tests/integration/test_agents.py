"""LangChain's agents, their middleware and deepagents, on a local server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, get_args

import pytest
from langchain.agents import create_agent
from langchain.agents import middleware as mw
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_pmock import ModelName, PmockPaymentRequiredError
from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import merge
from tests.support.files import png

if TYPE_CHECKING:
    from pathlib import Path

    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"It is sunny in {city}."


class Report(BaseModel):
    """A weather report."""

    city: str
    days: int = Field(ge=1, le=10)


def user(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


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


# --- Middleware ----------------------------------------------------------------------


def models_of(server: PmockServer) -> list[str]:
    return [request.body["model"] for request in server.requests]


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
