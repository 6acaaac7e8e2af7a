"""LangChain's standard content blocks from pmock's messages.

langchain-core asks here when `content_blocks` is read on a message whose
`model_provider` is pmock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import BaseMessage
from langchain_core.messages import content as types
from langchain_core.messages.block_translators import register_translator

from langchain_pmock._response.messages import PROVIDER

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AIMessageChunk

# langchain-core has a standard block for refusals since 1.7.5.
_HAS_REFUSAL = "refusal" in types.KNOWN_BLOCK_TYPES


def translate_content(message: AIMessage) -> list[types.ContentBlock]:
    """Return the blocks of a whole message: reasoning, content, refusal, tool calls.

    langchain-core itself adds those of `invalid_tool_calls`.
    """
    blocks = [*_content(message), *(_call(call) for call in message.tool_calls)]
    return cast("list[types.ContentBlock]", blocks)


def translate_content_chunk(chunk: AIMessageChunk) -> list[types.ContentBlock]:
    """Return the blocks of a chunk, as it was streamed or merged from others.

    The index of each says to which block of the merged message it belongs.
    """
    blocks = _content(chunk)
    for block in blocks:
        block.setdefault("index", f"lc_{block['type']}_0")
    calls = chunk.tool_call_chunks
    # The last chunk by itself may have only an id, which is not a call.
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
        # Blocks of the service. langchain-core translates the usual ones.
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
