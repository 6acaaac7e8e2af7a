"""What users write, as type checkers see it. Nothing here is run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_type

import httpx
import httpx2
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable
from langchain_core.tools import tool
from pydantic import BaseModel, SecretStr

from langchain_pmock import ChatPmock, Param, PmockAuth, PmockError, Wire, sign
from langchain_pmock.testing import PmockServer


class Joke(BaseModel):
    setup: str
    punchline: str


@tool
def get_weather(city: str) -> str:
    """Get the weather in a city."""
    return city


def read_key() -> SecretStr:
    return SecretStr("sk-example")


class MyModel(ChatPmock):
    top_k: Param[int] = None


def subclass() -> None:
    assert_type(MyModel(model="gpt-5.1", top_k=5).top_k, int | None)
    MyModel(model="gpt-5.1", top_k="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def constructor() -> ChatPmock:
    ChatPmock(model="gpt-5.1")
    ChatPmock(model="a-model-of-tomorrow", temperature=1, max_tokens=5, stop="END")
    ChatPmock(model="gpt-5.1", access_key="ak-example", secret_key="sk-example")
    ChatPmock(model="gpt-5.1", temprature=0)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ChatPmock(model="gpt-5.1", max_tokens="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ChatPmock()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    return ChatPmock(
        model="claude-4.5",
        access_key=SecretStr("ak-example"),
        secret_key=read_key,
        stop=["END"],
        logit_bias={"50256": -100, 13: 5},
        timeout=httpx.Timeout(60, connect=5),
        max_retries=0,
        streaming=True,
        model_kwargs={"someField": 1},
        stream_chunk_timeout=None,
        max_response_bytes=2**20,
        wire=Wire(tool_calls="tool_calls"),
        default_headers={"x-team": "search"},
        http_client=httpx.Client(),
        http_async_client=httpx2.AsyncClient(),
    )


def logit_biases(
    by_id: dict[int, int], by_text: dict[str, float], by_both: dict[str | int, float]
) -> None:
    ChatPmock(model="gpt-5.1", logit_bias=by_id)
    ChatPmock(model="gpt-5.1", logit_bias=by_text)
    ChatPmock(model="gpt-5.1", logit_bias=by_both)
    ChatPmock(model="gpt-5.1", logit_bias={13: -100})
    ChatPmock(model="gpt-5.1", logit_bias={1.5: 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    ChatPmock(model="gpt-5.1", logit_bias={"50256": "never"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]


def other_names() -> None:
    model = ChatPmock(
        model="gpt-5.1",
        api_key="ak-example",
        api_secret=SecretStr("sk-example"),
        request_timeout=5.0,
        stop_sequences=["END"],
        extra_body={"someField": 1},
        max_retries=None,
    )
    assert_type(model.model_name, str)
    ChatPmock(model="gpt-5.1", timeout=httpx2.Timeout(5), api_key=read_key)
    ChatPmock(model="gpt-5.1", request_timeout="soon")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def calls(model: ChatPmock) -> None:
    assert_type(model.invoke("Hello"), AIMessage)
    assert_type(model.stream("Hello"), Iterator[AIMessageChunk])
    assert_type(model.batch(["Hello"]), list[AIMessage])
    assert_type(model.model_name, str)
    assert_type(model.temperature, float | None)
    assert_type(model.model_copy(update={"temperature": 1}), ChatPmock)


async def async_calls(model: ChatPmock) -> None:
    assert_type(await model.ainvoke("Hello"), AIMessage)
    assert_type(model.astream("Hello"), AsyncIterator[AIMessageChunk])


def tools(model: ChatPmock) -> None:
    bound = model.bind_tools(
        [get_weather, Joke, {"type": "web_search"}, constructor],
        tool_choice="get_weather",
        strict=True,
        parallel_tool_calls=False,
    )
    assert_type(bound, Runnable[LanguageModelInput, AIMessage])
    model.bind_tools([get_weather], tool_choice=True)
    model.bind_tools([get_weather], tool_choice=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def structured(model: ChatPmock) -> None:
    answer = model.with_structured_output(Joke, method="json_schema", strict=True)
    assert_type(answer, Runnable[LanguageModelInput, Joke])
    assert_type(answer.invoke("Joke!").setup, str)
    with_tools = model.with_structured_output(Joke, tools=[get_weather])
    assert_type(with_tools, Runnable[LanguageModelInput, dict[str, Any] | BaseModel])
    by_schema = model.with_structured_output({"title": "joke", "type": "object"})
    assert_type(by_schema, Runnable[LanguageModelInput, dict[str, Any] | BaseModel])
    raw = model.with_structured_output(Joke, include_raw=True)
    assert_type(raw, Runnable[LanguageModelInput, dict[str, Any]])
    model.with_structured_output(method="json_mode")
    model.with_structured_output(Joke, method="magic")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]


def errors(error: PmockError) -> None:
    assert_type(error.code, int | None)
    assert_type(error.status_code, int | None)
    assert_type(error.trace_id, str | None)
    assert_type(error.response, httpx2.Response | httpx.Response | None)
    assert_type(error.is_retryable, bool)


def signing() -> httpx.Client:
    assert_type(sign("ak-example", "sk-example", 0.0), str)
    return httpx.Client(auth=PmockAuth("ak-example", SecretStr("sk-example")))


def server() -> None:
    with PmockServer(port=0) as running:
        assert_type(running.url, str)
        assert_type(running.access_key, str)
