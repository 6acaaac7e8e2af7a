"""Streams and answers in other shapes than the local server gives them by itself."""

from __future__ import annotations

import gzip
import json
import zlib
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, cast

from langchain_pmock import ChatPmock
from langchain_pmock.testing import Reply
from tests.support.calls import TEXT, merge
from tests.support.raw_server import STALL, RawServer, stream, whole
from tests.support.wire import DONE, chunk_of, envelope, event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from langchain_core.messages import AIMessageChunk

    from langchain_pmock.testing import PmockServer
    from tests.support.calls import Calls
    from tests.support.wire import Json

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

# A whole answer, in the shape of the same page.
WHOLE = {
    "code": 200,
    "message": "success",
    "data": {
        "id": "chatcmpl-xxx",
        "model": "gpt-5.1",
        "created": 1768809934,
        "object": "chat.completion",
        "usage": {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5},
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": TEXT},
                "finishReason": "stop",
            }
        ],
    },
    "traceId": "d7c7ae8b6d9a488f92f1346f18dcc6ee",
}


def pieces(*chunks: Json, done: bool = True) -> list[bytes]:
    """Write chunks as events, each to be sent on its own."""
    return [*(event(envelope(chunk)) for chunk in chunks), *[DONE] * done]


HI = chunk_of({"content": "Hi"})
NI_HAO = chunk_of({"content": "你好"})
END = chunk_of({}, "stop")
USAGE = {"promptTokens": 3, "completionTokens": 2, "totalTokens": 5}


# --- Events --------------------------------------------------------------------------


def test_documented_structure_without_blank_lines(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    server.script(Reply(raw=[DOCUMENTED.encode()]))
    server.script(Reply(raw=[line.encode() for line in DOCUMENTED.splitlines(True)]))
    for _ in range(2):
        message = merge(calls.stream(model, "Hi"))
        assert message.content == " on today?"
        assert message.id == "chatcmpl-xxx"
        assert message.chunk_position == "last"
        assert message.response_metadata == {
            "id": "chatcmpl-xxx",
            "model_provider": "pmock",
            "model_name": "gpt-5.1",
            "created": 1768819167,
            "finish_reason": "stop",
        }


def test_finish_reason_ends_a_stream_without_done(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    events = pieces(HI, chunk_of({}, "stop", usage=USAGE), done=False)
    server.script(Reply(raw=events))
    chunks = calls.stream(model, "Hi")
    assert merge(chunks).content == "Hi"
    assert chunks[-1].chunk_position == "last"


def test_whole_answer_instead_of_a_stream(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    server.fail(body=json.dumps(WHOLE).encode())
    chunks = calls.stream(model, "Hi")
    message = merge(chunks)
    assert message.content == TEXT
    assert [c.chunk_position for c in chunks].count("last") == 1
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == 5
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["trace_id"] == WHOLE["traceId"]


# --- Compressed ----------------------------------------------------------------------


GZIP = {"Content-Encoding": "gzip"}


def model_of(service: RawServer, calls: Calls | None = None) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=service.url,
        access_key="ak-example",
        secret_key="sk-example",
        max_retries=0,
        async_transport=calls.transport if calls else "httpx",
    )


def compressed(*events: bytes) -> list[bytes]:
    """Compress events so that each can be read when it is there."""
    gzipped = zlib.compressobj(wbits=31)
    return [gzipped.compress(e) + gzipped.flush(zlib.Z_SYNC_FLUSH) for e in events]


def test_compressed_answer(calls: Calls) -> None:
    body = gzip.compress(json.dumps(WHOLE).encode())
    with RawServer(whole(body, headers=GZIP)) as service:
        assert calls.invoke(model_of(service, calls), "Hi").content == TEXT


def test_compressed_stream(calls: Calls) -> None:
    events = pieces(NI_HAO, chunk_of({"content": " 👋"}), END)
    with RawServer(stream(*compressed(*events), headers=GZIP)) as service:
        chunks = calls.stream(model_of(service, calls), "Hi")
        assert [c.content for c in chunks] == ["你好", " 👋", ""]


def test_compressed_stream_is_yielded_as_it_is_sent() -> None:
    first, second = compressed(*pieces(NI_HAO, END, done=False))
    with RawServer(stream(first, STALL, second, headers=GZIP)) as service:
        chunks = cast("Generator[AIMessageChunk]", model_of(service).stream("Hi"))
        with closing(chunks):
            assert next(chunks).content == "你好"


async def test_compressed_async_stream_is_yielded_as_it_is_sent() -> None:
    first, second = compressed(*pieces(NI_HAO, END, done=False))
    with RawServer(stream(first, STALL, second, headers=GZIP)) as service:
        chunks = cast("AsyncGenerator[AIMessageChunk]", model_of(service).astream("Hi"))
        async with aclosing(chunks):
            assert (await anext(chunks)).content == "你好"
