"""Conversion of pmock's messages to LangChain's standard content blocks.

langchain-core calls it for `content_blocks` of messages with `model_provider` "pmock".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_pmock._response.messages import PROVIDER

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

# langchain-core 1.7.5 added a standard block for refusals.
_HAS_REFUSAL = "refusal" in types.KNOWN_BLOCK_TYPES


def translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a message: reasoning, content, tool calls, refusal.

    langchain-core adds those of `invalid_tool_calls`.
    """
    calls = [{**call, "type": "tool_call"} for call in message.tool_calls]
    return _blocks(message, calls)


def translate_content_chunk(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a chunk, streamed or merged.

    The index of each identifies its block in the merged message.
    """
    calls = [
        {**call, "type": "tool_call_chunk", "index": f"lc_tool_call_{call['index']}"}
        for call in chunk.tool_call_chunks
    ]
    # The last chunk may have only the id of a call, which is not a complete call.
    if chunk.chunk_position == "last" and all(call["name"] for call in calls):
        calls = [{**call, "type": "tool_call"} for call in chunk.tool_calls]
    blocks: list[Any] = _blocks(chunk, calls)
    for block in blocks:
        if block["type"] != "tool_call":
            block.setdefault("index", f"lc_{block['type']}_0")
    return blocks


def register() -> None:
    """Register this translator with langchain-core."""
    register_translator(PROVIDER, translate_content, translate_content_chunk)


def _blocks(message: AIMessage, calls: list[dict[str, Any]]) -> list[Any]:
    blocks: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if isinstance(message.content, list):
        # Blocks sent by the service; langchain-core converts the common ones.
        standard = BaseMessage.content_blocks.fget(message)  # type: ignore[attr-defined]
        blocks.extend(dict(block) for block in standard)
    elif message.content:
        blocks.append({"type": "text", "text": message.content})
    blocks.extend(calls)
    if refusal := message.additional_kwargs.get("refusal"):
        block = {"type": "refusal", "refusal": refusal}
        wrapped = {"type": "non_standard", "value": block}
        blocks.append(block if _HAS_REFUSAL else wrapped)
    return blocks
