"""`PmockAuth` in a client of another package, over real sockets."""

from __future__ import annotations

import asyncio
import re
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from tests.support.raw_server import RawServer, whole
from tests.support.wire import DONE, dump, event

if TYPE_CHECKING:
    from tests.support.raw_server import RawRequest, Step

PAGE = Path(__file__).parents[2] / "docs" / "migrating.md"
HOURS = 3 * 3600
KEYS = "ak-example", "sk-example"
CHOICE = {"index": 0, "finish_reason": "stop"}
MESSAGE = {"role": "assistant", "content": "Hello"}
ANSWER = {"id": "1", "object": "chat.completion", "created": 1, "model": "gpt-5.1"}


def verified(request: RawRequest) -> list[Step]:
    """Answer in OpenAI's format, if the signature is of the service's minute."""
    now = time.time() + HOURS
    date = {"Date": formatdate(now, usegmt=True)}
    tokens = {sign(*KEYS, now), sign(*KEYS, now - 2)}
    if request.headers.get(ACCESS_TOKEN_HEADER) not in tokens:
        return whole({"error": {"message": "no"}}, "401 No", date)
    if b'"stream": true' in request.body or b'"stream":true' in request.body:
        chunk = {**ANSWER, "object": "chat.completion.chunk"}
        chunk["choices"] = [{**CHOICE, "delta": MESSAGE}]
        return whole(
            event(dump(chunk)) + DONE, headers={"Content-Type": "text/event-stream"}
        )
    return whole({**ANSWER, "choices": [{**CHOICE, "message": MESSAGE}]}, headers=date)


def test_chat_openai_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("langchain_openai")
    example = re.search(
        r"```python\n(import os\n.*?ChatOpenAI.*?)```", PAGE.read_text(), re.DOTALL
    )
    assert example is not None
    names: dict[str, Any] = {}
    with RawServer(verified) as server:
        monkeypatch.setenv("PMOCK_BASE_URL", server.url)
        monkeypatch.setenv("PMOCK_ACCESS_KEY", KEYS[0])
        monkeypatch.setenv("PMOCK_SECRET_KEY", KEYS[1])
        exec(example[1], names)  # noqa: S102 - our own
        model = names["openai_model"]
        assert model.invoke("Hello").text == "Hello"
        assert "".join(chunk.text for chunk in model.stream("Hello")) == "Hello"
        model.root_client.close()

        async def invoke() -> str:
            message = await model.ainvoke("Hello")
            await model.root_async_client.close()
            return str(message.text)

        assert asyncio.run(invoke()) == "Hello"
    # The first request shows how far the clock is off.
    assert len(server.requests) == 4
    assert server.requests[0].target == "/api/ai/openai/chat/completions"
    assert server.requests[0].headers[ACCESS_KEY_HEADER] == KEYS[0]
