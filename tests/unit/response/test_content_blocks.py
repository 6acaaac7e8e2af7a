"""LangChain's standard content blocks, of whole messages and of chunks."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import get_translator
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from langchain_pmock._response.content_blocks import (
    translate_content,
    translate_content_chunk,
)
from tests.support.service import Service, streams, whole
from tests.support.wire import choice_of, chunk_of, data_of, envelope, events

if TYPE_CHECKING:
    from tests.support.wire import Json

CALL = tool_call(name="f", args={"x": 1}, id="call_1")
REFUSAL: Json = {"type": "refusal", "refusal": "No."}
if "refusal" not in KNOWN_BLOCK_TYPES:  # langchain-core has it since 1.7.5
    REFUSAL = {"type": "non_standard", "value": REFUSAL}
METADATA = {"model_provider": "pmock"}


def message_of(content: Any = "", **fields: Any) -> AIMessage:
    return AIMessage(content=content, response_metadata=METADATA, **fields)


def chunk(content: Any = "", **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content=content, response_metadata=METADATA, **fields)


def test_translator_is_registered() -> None:
    assert get_translator("pmock") == {
        "translate_content": translate_content,
        "translate_content_chunk": translate_content_chunk,
    }


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        (message_of(""), []),
        (message_of("Hi"), [{"type": "text", "text": "Hi"}]),
        (
            message_of("So", additional_kwargs={"reasoning_content": "Hm."}),
            [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "text", "text": "So"},
            ],
        ),
        (message_of(additional_kwargs={"reasoning_content": ""}), []),
        (message_of(additional_kwargs={"refusal": "No."}), [REFUSAL]),
        (
            message_of("Wait", tool_calls=[CALL]),
            [{"type": "text", "text": "Wait"}, dict(CALL)],
        ),
        (
            message_of([{"type": "text", "text": "Hi"}, "there"]),
            [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}],
        ),
        (
            message_of([{"type": "image_url", "image_url": {"url": "https://x.y/z"}}]),
            [{"type": "image", "url": "https://x.y/z"}],
        ),
        (
            message_of([{"type": "own", "x": 1}]),
            [{"type": "non_standard", "value": {"type": "own", "x": 1}}],
        ),
        (
            message_of(
                "Wait",
                tool_calls=[CALL],
                additional_kwargs={"reasoning_content": "Hm.", "refusal": "No."},
            ),
            [
                {"type": "reasoning", "reasoning": "Hm."},
                {"type": "text", "text": "Wait"},
                dict(CALL),
                REFUSAL,
            ],
        ),
    ],
)
def test_blocks_of_a_message(message: AIMessage, blocks: list[Json]) -> None:
    found: list[Any] = [*message.content_blocks]
    for block in found:
        if block.get("id", "").startswith("lc_"):
            del block["id"]  # made by langchain-core
    assert found == blocks


def test_invalid_calls_are_not_among_the_blocks() -> None:
    # LangChain adds them, so its events would have them twice.
    call = invalid_tool_call(name="f", args="{", id="call_1", error="why")
    message = message_of("Wait", invalid_tool_calls=[call])
    assert message.content_blocks == [{"type": "text", "text": "Wait"}]
    assert message.invalid_tool_calls == [call]


@pytest.mark.parametrize(
    ("part", "blocks"),
    [
        (chunk(""), []),
        (chunk("Hi"), [{"type": "text", "text": "Hi", "index": "lc_text_0"}]),
        (
            chunk(additional_kwargs={"reasoning_content": "Hm"}),
            [{"type": "reasoning", "reasoning": "Hm", "index": "lc_reasoning_0"}],
        ),
        (
            chunk(tool_call_chunks=[tool_call_chunk(args='{"x', index=1)]),
            [
                {
                    "type": "tool_call_chunk",
                    "id": None,
                    "name": None,
                    "args": '{"x',
                    "index": "lc_tool_call_1",
                }
            ],
        ),
        # The last chunk, with an id for a call without one.
        (
            chunk(
                tool_call_chunks=[tool_call_chunk(id="call_1", index=0)],
                chunk_position="last",
            ),
            [
                {
                    "type": "tool_call_chunk",
                    "id": "call_1",
                    "name": None,
                    "args": None,
                    "index": "lc_tool_call_0",
                }
            ],
        ),
        # All of them, merged.
        (
            chunk(
                tool_call_chunks=[
                    tool_call_chunk(name="f", args='{"x": 1}', id="call_1", index=0)
                ],
                chunk_position="last",
            ),
            [dict(CALL)],
        ),
        (
            chunk([{"type": "text", "text": "Hi", "index": 3}]),
            [{"type": "text", "text": "Hi", "index": 3}],
        ),
    ],
)
def test_blocks_of_a_chunk(part: AIMessageChunk, blocks: list[Json]) -> None:
    assert part.content_blocks == blocks


DELTAS: list[Json] = [
    {"reasoningContent": "H"},
    {"reasoningContent": "m."},
    {"content": "Wa"},
    {"content": "it"},
    {"toolCalls": [{"index": 0, "id": "call_1", "function": {"name": "f"}}]},
    {"toolCalls": [{"index": 0, "function": {"arguments": '{"x"'}}]},
    {"toolCalls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
    {"refusal": "No."},
]
STREAM = events(*map(chunk_of, DELTAS), chunk_of({}, "tool_calls"))
BLOCKS = [
    {"type": "reasoning", "reasoning": "Hm."},
    {"type": "text", "text": "Wait"},
    dict(CALL),
    REFUSAL,
]


def without_indexes(blocks: Any) -> list[Json]:
    return [{k: v for k, v in block.items() if k != "index"} for block in blocks]


@pytest.mark.parametrize("output_version", [None, "v0", "v1"])
def test_blocks_of_a_merged_stream(output_version: str | None) -> None:
    model = Service(streams(STREAM)).model(output_version=output_version)
    message = reduce(add, model.stream("Hi"))
    assert without_indexes(message.content_blocks) == BLOCKS
    if output_version == "v1":
        assert isinstance(message.content, list)
        assert without_indexes(message.content) == BLOCKS
    else:
        assert message.content == "Wait"


@pytest.mark.parametrize("streaming", [False, True])
def test_blocks_of_invoke_are_those_of_a_stream(streaming: bool) -> None:
    call = {"id": "call_1", "function": {"name": "f", "arguments": '{"x": 1}'}}
    message = {"content": "Wait", "reasoningContent": "Hm.", "toolCalls": [call]}
    message["refusal"] = "No."
    answer = whole(envelope(data_of(choice_of(message, "tool_calls"))))
    service = Service(streams(STREAM) if streaming else answer)
    model = service.model(output_version="v1", streaming=streaming)
    assert without_indexes(model.invoke("Hi").content) == BLOCKS
