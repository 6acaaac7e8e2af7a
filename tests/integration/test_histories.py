"""Conversations of another provider's model continue with this one.

The other packages make the messages, from answers of the documented shapes that they
get from a local server, whole and streamed.
"""

from __future__ import annotations

import json
from functools import reduce
from itertools import product
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from tests.support.raw_server import RawServer, stream, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def anthropic_events() -> Iterator[dict[str, Any]]:
    yield {
        "type": "message_start",
        "message": {**ANTHROPIC, "content": [], "stop_reason": None},
    }
    for index, block in enumerate(ANTHROPIC_CONTENT):
        begin, deltas = dict(block), []
        if block["type"] == "text":
            begin["text"] = ""
            deltas = [{"type": "text_delta", "text": block["text"]}]
            for citation in begin.pop("citations", ()):
                deltas.append({"type": "citations_delta", "citation": citation})
        elif block["type"] == "thinking":
            begin |= {"thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": block["thinking"]},
                {"type": "signature_delta", "signature": SIGNATURE},
            ]
        elif "input" in block:
            begin["input"] = {}
            text = json.dumps(block["input"])
            deltas = [
                {"type": "input_json_delta", "partial_json": piece}
                for piece in (text[:5], text[5:])
            ]
        yield {"type": "content_block_start", "index": index, "content_block": begin}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 9},
    }
    yield {"type": "message_stop"}


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


def openai_events() -> Iterator[dict[str, Any]]:
    begun = {**OPENAI, "output": [], "status": "in_progress", "usage": None}
    yield {"type": "response.created", "response": begun}
    for index, item in enumerate(OPENAI_OUTPUT):
        first = {**item, "status": "in_progress"}
        deltas: list[dict[str, Any]] = []
        kind = item["type"]
        if kind == "message":
            text = item["content"][0]["text"]
            deltas = [{"type": "response.output_text.delta", "delta": text}]
            first["content"] = []
        elif kind == "reasoning":
            (part,) = item["summary"]
            reasoning = "response.reasoning_summary"
            deltas = [
                {"type": f"{reasoning}_part.added", "part": {**part, "text": ""}},
                {"type": f"{reasoning}_text.delta", "delta": part["text"]},
            ]
            first["summary"] = []
        elif kind == "function_call":
            text = item["arguments"]
            deltas = [
                {"type": "response.function_call_arguments.delta", "delta": piece}
                for piece in (text[:5], text[5:])
            ]
            first["arguments"] = ""
        place = {"output_index": index, "item_id": item["id"], "logprobs": []}
        place |= {"content_index": 0, "summary_index": 0}
        added = {"type": "response.output_item.added", "output_index": index}
        yield {**added, "item": first}
        yield from ({**place, **delta} for delta in deltas)
        yield {**added, "type": "response.output_item.done", "item": item}
    yield {"type": "response.completed", "response": OPENAI}


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


def google_answer(parts: list[dict[str, Any]], **fields: str) -> dict[str, Any]:
    candidate = {"index": 0, "content": {"role": "model", "parts": parts}, **fields}
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 9, "totalTokenCount": 14}
    return {
        "candidates": [candidate],
        "usageMetadata": usage,
        "modelVersion": "gemini-3-pro",
        "responseId": "1",
    }


GOOGLE = google_answer(GOOGLE_PARTS, finishReason="STOP")


def google_events() -> Iterator[dict[str, Any]]:
    *first, last = GOOGLE_PARTS
    for part in first:
        yield google_answer([part])
    yield google_answer([last], finishReason="STOP")


# --- The conversations ---------------------------------------------------------------


def sse(event: dict[str, Any]) -> bytes:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


# The package and its class, arguments, the answer, and the events of the same answer.
PROVIDERS: dict[str, tuple[str, Any, Any, Any]] = {
    "langchain_anthropic": ("ChatAnthropic", {}, ANTHROPIC, anthropic_events),
    "langchain_openai": (
        "ChatOpenAI",
        {"use_responses_api": True},
        OPENAI,
        openai_events,
    ),
    "langchain_google_genai": (
        "ChatGoogleGenerativeAI",
        {},
        GOOGLE,
        google_events,
    ),
}


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}"


def message_of(provider: str, version: str, way: str) -> AIMessage:
    """Return a message as the provider's own package makes it."""
    name, arguments, answer, events = PROVIDERS[provider]
    make = getattr(pytest.importorskip(provider), name)  # slow to import
    steps = whole(answer) if way == "invoke" else stream(*map(sse, events()))
    with RawServer(steps) as other:
        arguments = {**arguments, "base_url": other.url, "output_version": version}
        model = make(model="gemini-3-pro", api_key="sk-example", **arguments)
        model = model.bind_tools([get_weather])
        if way == "invoke":
            message = model.invoke(QUESTION)
        else:
            message = reduce(add, model.stream(QUESTION))
    assert isinstance(message, AIMessage)
    return message


@pytest.mark.filterwarnings("ignore:(?s).*Output may vary each run")  # Google's code
@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("provider", "version"),
    [*product(PROVIDERS, ["v0", "v1"]), ("langchain_openai", "responses/v1")],
)
def test_conversation_of_another_provider(
    server: PmockServer, make_model: MakeModel, provider: str, version: str, way: str
) -> None:
    message = message_of(provider, version, way)
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
