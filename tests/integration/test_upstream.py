"""Another server behind the contract: an OpenAI-compatible one, or pmock itself."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from langchain_pmock import (
    ChatPmock,
    PmockAPIError,
    PmockInvalidRequestError,
    PmockRateLimitError,
)
from langchain_pmock.testing import PmockServer, Reply, ToolCall
from tests.integration.calls import merge
from tests.integration.openai_server import KEY, OpenAIServer
from tests.integration.test_standard import Standard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LLAMA_URL = os.environ.get("PMOCK_TEST_LLAMA_URL")


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return f"Sunny in {city}."


@pytest.fixture
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def server(openai: OpenAIServer) -> Iterator[PmockServer]:
    with PmockServer(upstream=openai.url, upstream_key=KEY) as started:
        yield started


def model_of(server: PmockServer, **fields: Any) -> ChatPmock:
    ours = {
        "model": "gpt-5.1",
        "base_url": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "max_retries": 0,
    }
    return ChatPmock(**{**ours, **fields})


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stream_of(*events: str) -> Callable[[Any], Iterator[bytes | float]]:
    return lambda _: iter([event.encode() + b"\n\n" for event in events])


def chunk(delta: Any = None, finish: str | None = None, **fields: Any) -> str:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return "data: " + json.dumps({"id": "1", "choices": [choice], **fields})


def events_of(server: PmockServer, model: ChatPmock) -> list[Any]:
    """What a stream of the server is on the wire."""
    received = bytearray()
    with httpx.Client(event_hooks={"response": []}) as client:
        transport = client._transport_for_url(httpx.URL(server.url))
        del transport
    auth = model.signer if hasattr(model, "signer") else None
    del auth
    return [*received]


# --- LangChain's standard suite through it --------------------------------------------


class TestThroughUpstream(Standard):
    """Texts, tools, structured output, streams: all that the suite has."""

    aiohttp = False

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}


class TestThroughUpstreamFunctionCalling(Standard):
    aiohttp = False

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}
