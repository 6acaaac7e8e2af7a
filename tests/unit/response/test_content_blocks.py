"""LangChain's standard content blocks, of whole messages and of chunks."""

from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import get_translator
from langchain_core.messages.content import KNOWN_BLOCK_TYPES
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from langchain_pmock._response.content_blocks import (
    translate_content,
    translate_content_chunk,
)
from tests.support.service import Service, streams
from tests.support.wire import Json, chunk_of, events

CALL = tool_call(name="f", args={"x": 1}, id="call_1")
REFUSAL: Json = {"type": "refusal", "refusal": "No."}
if "refusal" not in KNOWN_BLOCK_TYPES:  # langchain-core has it since 1.7.5
    REFUSAL = {"type": "non_standard", "value": REFUSAL}
METADATA = {"model_provider": "pmock"}


TEXT = {"type": "text", "text": "Hi"}


def test_translator_is_registered() -> None:
    assert get_translator("pmock") == {
        "translate_content": translate_content,
        "translate_content_chunk": translate_content_chunk,
    }


def message(content: Any, cls: Any = AIMessage, **fields: Any) -> Any:
    return cls(content=content, response_metadata=METADATA, **fields)


def chunk(content: Any, *calls: Json, **fields: Any) -> Any:
    deltas = [tool_call_chunk(**call) for call in calls]
    return message(content, AIMessageChunk, tool_call_chunks=deltas, **fields)


INVALID = invalid_tool_call(name="f", args="{", id="call_1", error="why")
IMAGE = {"type": "image_url", "image_url": {"url": "https://x.y/z"}}
OWN = {"type": "own", "x": 1}
HM = {"reasoning_content": "Hm"}
PIECE: Json = {"args": '{"x', "index": 1}
ONLY_ID: Json = {"id": "call_1", "index": 0}
WHOLE: Json = {"name": "f", "args": '{"x": 1}', "id": "call_1", "index": 0}


def delta(call: Json) -> Json:
    index = {"index": f"lc_tool_call_{call['index']}"}
    return {**tool_call_chunk(**call), "type": "tool_call_chunk", **index}


@pytest.mark.parametrize(
    ("message", "blocks"),
    [
        (message(""), []),
        (message("Hi"), [TEXT]),
        (message("", additional_kwargs={"reasoning_content": ""}), []),
        (message("", additional_kwargs={"refusal": "No."}), [REFUSAL]),
        (message("Hi", tool_calls=[CALL]), [TEXT, dict(CALL)]),
        # LangChain adds these, so its events would have them twice.
        (message("Hi", invalid_tool_calls=[INVALID]), [TEXT]),
        (message([TEXT, "there"]), [TEXT, {"type": "text", "text": "there"}]),
        (message([IMAGE]), [{"type": "image", "url": "https://x.y/z"}]),
        (message([OWN]), [{"type": "non_standard", "value": OWN}]),
        (chunk(""), []),
        (chunk("Hi"), [{**TEXT, "index": "lc_text_0"}]),
        (
            chunk("", additional_kwargs=HM),
            [{"type": "reasoning", "reasoning": "Hm", "index": "lc_reasoning_0"}],
        ),
        (chunk("", PIECE), [delta(PIECE)]),
        # The last chunk, with an id for a call without one; and all of them, merged.
        (chunk("", ONLY_ID, chunk_position="last"), [delta(ONLY_ID)]),
        (chunk("", WHOLE, chunk_position="last"), [dict(CALL)]),
        (chunk([{**TEXT, "index": 3}]), [{**TEXT, "index": 3}]),
    ],
)
def test_blocks(message: AIMessage, blocks: list[Json]) -> None:
    found: list[Any] = [*message.content_blocks]
    for block in found:
        if str(block.get("id")).startswith("lc_"):
            del block["id"]  # made by langchain-core
    assert found == blocks


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
