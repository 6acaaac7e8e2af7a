"""Streams: the same answer as without, in pieces, as soon as each piece is there."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage

from langchain_pmock.testing import Reply, ToolCall
from tests.support.calls import TEXT, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls

# --- The same as without a stream ----------------------------------------------------


def test_streamed_text_is_the_whole_text(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    pieces = [TEXT[i : i + 2] for i in range(0, len(TEXT), 2)]
    server.script(TEXT, TEXT, Reply(chunks=pieces))
    whole = calls.invoke(model, "Hi")
    assert whole.content == TEXT

    for _ in range(2):
        # Every boundary between two bytes is one between two reads.
        server.fail(byte_by_byte=True)
        chunks = calls.stream(model, "Hi")
        assert len(chunks) > 10
        assert "".join(c.content for c in chunks).encode() == TEXT.encode()
        assert merge(chunks).content == TEXT


def test_merged_stream_is_the_whole_message(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model(model="gpt-5.1-thinking", logprobs=True, top_logprobs=2)
    reply = Reply(
        text="Let me look.",
        reasoning="They ask about weather.",
        refusal="Not tomorrow's.",
        tool_calls=[
            ToolCall("get_weather", {"city": "東京", "days": [1, 2]}),
            ToolCall("get_time", "no JSON"),
            ToolCall("get_news"),
        ],
    )
    server.script(reply, reply)
    whole = calls.invoke(model, "Hi")
    streamed = merge(calls.stream(model, "Hi"))

    assert [call["name"] for call in whole.tool_calls] == ["get_weather", "get_news"]
    assert whole.tool_calls[0]["args"] == {"city": "東京", "days": [1, 2]}
    assert whole.invalid_tool_calls[0]["args"] == "no JSON"
    assert whole.additional_kwargs == {
        "reasoning_content": "They ask about weather.",
        "refusal": "Not tomorrow's.",
    }
    assert len(whole.response_metadata["logprobs"]["content"]) == 4

    for field in ("content", "additional_kwargs", "usage_metadata"):
        assert getattr(streamed, field) == getattr(whole, field)
    # An event of a stream has no trace id; LangChain copies the usage of invoke alone.
    expected = whole.response_metadata.copy()
    assert expected.pop("trace_id")
    assert expected.pop("token_usage")
    expected["id"] = streamed.id  # each answer has its own
    assert streamed.response_metadata == expected

    def unnamed(tool_calls: Sequence[Any]) -> list[dict[str, Any]]:
        return [{**call, "id": None, "error": None} for call in tool_calls]

    assert unnamed(streamed.tool_calls) == unnamed(whole.tool_calls)
    assert unnamed(streamed.invalid_tool_calls) == unnamed(whole.invalid_tool_calls)
    ids = {call["id"] for call in [*streamed.tool_calls, *streamed.invalid_tool_calls]}
    assert len(ids) == 3


# --- When it comes -------------------------------------------------------------------

LONG = 30.0  # seconds that no test waits


def test_chunk_is_yielded_before_the_next_is_sent(
    server: PmockServer, model: ChatPmock
) -> None:
    server.fail(after=3, stall=LONG)
    begin = time.monotonic()
    chunks = model.stream("Hello")
    # The first of the three events has a role and no text.
    assert [next(chunks).content, next(chunks).content] == ["You", " said"]
    chunks.close()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < LONG / 3


async def test_async_chunk_is_yielded_before_the_next_is_sent(
    server: PmockServer, model: ChatPmock
) -> None:
    server.fail(after=3, stall=LONG)
    begin = time.monotonic()
    chunks = model.astream("Hello")
    texts = [(await anext(chunks)).content, (await anext(chunks)).content]
    assert texts == ["You", " said"]
    await chunks.aclose()  # type: ignore[attr-defined]
    assert time.monotonic() - begin < LONG / 3


# --- Streaming or not ----------------------------------------------------------------


class Tokens(BaseCallbackHandler):
    """Notes each token."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.seen.append(token)


def test_invoke_with_streaming(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    handler = Tokens()
    model = make_model(streaming=True)
    message = calls.invoke(model, "Hello", config={"callbacks": [handler]})
    assert message.content == "You said: Hello"
    assert not isinstance(message, AIMessageChunk)
    assert server.requests[0].body["stream"] is True
    assert "".join(handler.seen) == "You said: Hello"
    assert len(handler.seen) > 3


@pytest.mark.parametrize("fields", [{"streaming": False}, {"disable_streaming": True}])
def test_stream_can_be_turned_off(
    server: PmockServer, make_model: MakeModel, calls: Calls, fields: dict[str, Any]
) -> None:
    (message,) = calls.stream(make_model(**fields), "Hello")
    assert message.content == "You said: Hello"
    assert "stream" not in server.requests[0].body


def test_several_answers(server: PmockServer, model: ChatPmock, calls: Calls) -> None:
    result = calls.generate(model, [[HumanMessage("Hello")]], n=3)
    texts = [generation.text for generation in result.generations[0]]
    assert texts == ["You said: Hello", "You said: Hello (2)", "You said: Hello (3)"]
    assert server.requests[0].body["n"] == 3
    # The usage is that of all three together: counted once.
    usage = [g.message.usage_metadata for g in result.generations[0]]  # type: ignore[union-attr]
    assert usage[0]["output_tokens"] == 18
    assert usage[1:] == [None, None]


def test_several_answers_cannot_be_streamed(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        calls.stream(make_model(n=2), "Hello")
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        calls.stream(make_model(), "Hello", n=2)
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        calls.invoke(make_model(streaming=True), "Hello", n=2)
    assert server.requests == []
