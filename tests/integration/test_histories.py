"""Conversations of another provider's model continue with this one.

The other packages make the messages, from answers of the documented shapes that they
get from a local server.
"""

from __future__ import annotations

import json
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from tests.support.raw_server import RawServer, whole

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel

QUESTION = "What is on in Zürich today?"
TEXTS = ["Let me look.", "A concert, it seems. I ask for the weather."]
ARGUMENTS = {"city": "Zürich"}
SIGNATURE = "c2lnbmF0dXJl"

# --- Anthropic: https://platform.claude.com/docs/en/api/messages ---------------------

ANTHROPIC_CONTENT: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "They ask about today.", "signature": SIGNATURE},
    {"type": "redacted_thinking", "data": SIGNATURE},
    {"type": "text", "text": TEXTS[0]},
    {
        "type": "server_tool_use",
        "id": "srvtoolu_1",
        "name": "web_search",
        "input": {"query": "Zürich"},
    },
    {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_1",
        "content": [],
    },
    {
        "type": "text",
        "text": TEXTS[1],
        "citations": [{"type": "web_search_result_location", "cited_text": "A"}],
    },
    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": ARGUMENTS},
]
ANTHROPIC: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-example",
    "content": ANTHROPIC_CONTENT,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "output_tokens": 9},
}


# --- OpenAI: https://platform.openai.com/docs/api-reference/responses ----------------


def openai_text(id_: str, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "type": "message",
        "id": id_,
        "role": "assistant",
        "status": "completed",
        "content": [part],
    }


OPENAI_OUTPUT: list[dict[str, Any]] = [
    {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "They ask about today."}],
    },
    openai_text("msg_1", TEXTS[0]),
    {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "Zürich"},
    },
    openai_text("msg_2", TEXTS[1]),
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": json.dumps(ARGUMENTS),
        "status": "completed",
    },
]
OPENAI: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1768809934,
    "model": "gpt-5.1",
    "status": "completed",
    "output": OPENAI_OUTPUT,
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 3},
        "total_tokens": 14,
    },
}


# --- Google: https://ai.google.dev/api/generate-content ------------------------------

GOOGLE_PARTS: list[dict[str, Any]] = [
    {"text": "They ask about today.", "thought": True},
    {"text": TEXTS[0]},
    {"executableCode": {"language": "PYTHON", "code": "print(2)"}},
    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
    {"text": TEXTS[1]},
    {
        "functionCall": {"id": "fc_1", "name": "get_weather", "args": ARGUMENTS},
        "thoughtSignature": SIGNATURE,
    },
    {"text": "", "thoughtSignature": SIGNATURE},
]


CANDIDATE = {"index": 0, "content": {"role": "model", "parts": GOOGLE_PARTS}}
GOOGLE: dict[str, Any] = {
    "candidates": [{**CANDIDATE, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 14},
    "responseId": "1",
}

# --- The conversations ---------------------------------------------------------------


# The class of the package, arguments, and the answer.
PROVIDERS: dict[str, tuple[str, Any, Any]] = {
    "langchain_anthropic": ("ChatAnthropic", {}, ANTHROPIC),
    "langchain_openai": ("ChatOpenAI", {"use_responses_api": True}, OPENAI),
    "langchain_google_genai": ("ChatGoogleGenerativeAI", {}, GOOGLE),
}


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


def message_of(provider: str, version: str) -> AIMessage:
    """Return a message as the provider's own package makes it."""
    name, arguments, answer = PROVIDERS[provider]
    make = getattr(pytest.importorskip(provider), name)  # slow to import
    with RawServer(whole(answer)) as other:
        arguments = {**arguments, "base_url": other.url, "output_version": version}
        model = make(model="gemini-3-pro", api_key="sk-example", **arguments)
        message = model.bind_tools([get_weather]).invoke(QUESTION)
    assert isinstance(message, AIMessage)
    return message


@pytest.mark.filterwarnings("ignore:(?s).*Output may vary each run")  # Google's code
@pytest.mark.parametrize(
    ("provider", "version"),
    [*product(PROVIDERS, ["v0", "v1"]), ("langchain_openai", "responses/v1")],
)
def test_conversation_of_another_provider(
    server: PmockServer, make_model: MakeModel, provider: str, version: str
) -> None:
    message = message_of(provider, version)
    (call,) = message.tool_calls
    result = ToolMessage("sunny", tool_call_id=call["id"])
    thread = [HumanMessage(QUESTION), message, result, HumanMessage("And now?")]
    assert make_model().invoke(thread).text
    (request,) = server.requests
    assert request.code == 200
    _, assistant, tool, _ = request.body["messages"]
    function = {"name": "get_weather", "arguments": '{"city":"Zürich"}'}
    assert assistant == {
        "role": "assistant",
        "content": [{"type": "text", "text": text} for text in TEXTS],
        "toolCalls": [{"id": call["id"], "type": "function", "function": function}],
    }
    assert tool == {"role": "tool", "toolCallId": call["id"], "content": "sunny"}
