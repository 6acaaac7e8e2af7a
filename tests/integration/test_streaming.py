"""Streams: the same answer as without, in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_pmock.testing import Reply
from tests.support.calls import TEXT, merge
from tests.support.on_the_wire import post

if TYPE_CHECKING:
    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.support.calls import Calls


def test_streamed_text_is_the_whole_text(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    pieces = [TEXT[i : i + 2] for i in range(0, len(TEXT), 2)]
    server.script(TEXT, TEXT, Reply(chunks=pieces))
    whole = calls.invoke(model, "Hi")
    assert whole.content == TEXT

    for content in [post(server, stream=True).content for _ in range(2)]:
        # Every boundary between two bytes is one between two reads.
        server.script(Reply(raw=[bytes([byte]) for byte in content]))
        chunks = calls.stream(model, "Hi")
        assert len(chunks) > 10
        assert "".join(c.content for c in chunks).encode() == TEXT.encode()
        assert merge(chunks).content == TEXT


# As the service's own page has them: see its stream response.
DOCUMENTED = """\
data: {"code":200,"data":{"created":1768819167,"model":"gpt-5.1","id":"chatcmpl-xxx",\
"choices":[{"delta":{"content":" on"},"index":0}],"object":"chat.completion.chunk"},\
"message":"success"}
data: {"code":200,"data":{"created":1768819167,"model":"gpt-5.1","id":"chatcmpl-xxx",\
"choices":[{"delta":{"content":" today"},"index":0}],"object":"chat.completion.chunk"},\
"message":"success"}
data: {"code":200,"data":{"created":1768819167,"model":"gpt-5.1","id":"chatcmpl-xxx",\
"choices":[{"delta":{"content":"?"},"index":0}],"object":"chat.completion.chunk"},\
"message":"success"}
data: {"code":200,"data":{"created":1768819167,"usage":{"completionTokens":0,\
"promptTokens":0,"promptTokensDetails":{},"totalTokens":0},"model":"gpt-5.1",\
"id":"chatcmpl-xxx","choices":[{"delta":{},"finishReason":"stop","index":0}],\
"object":"chat.completion.chunk"},"message":"success"}
data: [DONE]
"""


def test_documented_structure_without_blank_lines(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    server.script(Reply(raw=[DOCUMENTED.encode()]))
    server.script(Reply(raw=[line.encode() for line in DOCUMENTED.splitlines(True)]))
    for _ in range(2):
        message = merge(calls.stream(model, "Hi"))
        assert message.content == " on today?"
        assert message.chunk_position == "last"
        assert message.response_metadata == {
            "id": "chatcmpl-xxx",
            "model_provider": "pmock",
            "model_name": "gpt-5.1",
            "created": 1768819167,
            "finish_reason": "stop",
        }
