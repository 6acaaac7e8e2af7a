"""Conversion of pmock's messages to LangChain's standard content blocks.

langchain-core calls it for `content_blocks` of messages with `model_provider` "pmock".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_pmock._response.messages import PROVIDER

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

# langchain-core 1.7.5 added a standard block for refusals.
_HAS_REFUSAL = "refusal" in types.KNOWN_BLOCK_TYPES


def translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a message: reasoning, content, refusal, tool calls.

    langchain-core adds those of `invalid_tool_calls`.
    """
    blocks = [*_content(message), *(_call(call) for call in message.tool_calls)]
    return cast("list[types.ContentBlock]", blocks)


def translate_content_chunk(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a chunk, streamed or merged.

    The index of each identifies its block in the merged message.
    """
    blocks = _content(chunk)
    for block in blocks:
        block.setdefault("index", f"lc_{block['type']}_0")
    calls = chunk.tool_call_chunks
    # The last chunk may have only the id of a call, which is not a complete call.
    if chunk.chunk_position == "last" and all(call["name"] for call in calls):
        blocks.extend(_call(call) for call in chunk.tool_calls)
    else:
        blocks.extend(
            {
                "type": "tool_call_chunk",
                "id": call["id"],
                "name": call["name"],
                "args": call["args"],
                "index": f"lc_tool_call_{call['index']}",
            }
            for call in calls
        )
    return cast("list[types.ContentBlock]", blocks)


def register() -> None:
    """Register this translator with langchain-core."""
    register_translator(PROVIDER, translate_content, translate_content_chunk)


def _content(message: AIMessage) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    reasoning = message.additional_kwargs.get("reasoning_content")
    if reasoning:
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if isinstance(message.content, str):
        if message.content:
            blocks.append({"type": "text", "text": message.content})
    else:
        # Blocks sent by the service; langchain-core converts the common ones.
        standard = BaseMessage.content_blocks.fget(message)  # type: ignore[attr-defined]
        blocks.extend(dict(block) for block in standard)
    refusal = message.additional_kwargs.get("refusal")
    if refusal:
        block = {"type": "refusal", "refusal": refusal}
        blocks.append(
            block if _HAS_REFUSAL else {"type": "non_standard", "value": block}
        )
    return blocks


def _call(call: Any) -> dict[str, Any]:
    return {
        "type": "tool_call",
        "name": call["name"],
        "args": call["args"],
        "id": call["id"],
    }
