"""Who is measured: the floor, `ChatPmock` and its peers."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import httpx2
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field
from pydantic_core import from_json
from typing_extensions import override

from benchmarks import _names

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import Runnable

_ROLES = {"human": "user", "ai": "assistant"}
_DATA = len(b"data: ")
_AT_ONCE = 6  # requests in one of httpx2's pools: it is slow with many


def make(name: str, url: str, path: str) -> Any:
    """Make a contestant's model; the path is a kind of answer and its pieces."""
    if name == _names.FLOOR:
        return Floor(http=_Http(url, path))
    module = import_module(_names.MODULES[name][-1])
    if name == _names.MISTRAL:
        url, key = f"{url}/mistral/{path}", "bench"
        return module.ChatMistralAI(model="mistral-large", api_key=key, endpoint=url)
    options = {"model": "gpt-5.1", "api_key": "bench"}
    if name == _names.OPENAI:
        options["base_url"] = f"{url}/openai/{path}"
        return module.ChatOpenAI(**options, use_responses_api=False)
    options["base_url"] = f"{url}/pmock/{path}"
    options["api_secret"] = "bench"  # noqa: S105 - made up
    if name == _names.AIOHTTP:
        options["http_async_client"] = _aiohttp_client()
    return module.ChatPmock(**options)


@cache
def _aiohttp_client() -> Any:
    httpx, httpx_aiohttp = map(import_module, ("httpx", "httpx_aiohttp"))
    # 0 is aiohttp's number for no limit.
    limits, timeout = httpx.Limits(max_connections=0), httpx.Timeout(60)
    return httpx_aiohttp.HttpxAiohttpClient(limits=limits, timeout=timeout)


class Floor(BaseChatModel):
    """LangChain and httpx2 joined, with nothing of ours: no checks, no retries."""

    http: Any = Field(repr=False)

    @property
    def _llm_type(self) -> str:
        return "floor"

    @override
    def with_structured_output(self, schema: Any, **kwargs: Any) -> Runnable[Any, Any]:
        return self.bind(response_format=schema) | JsonOutputParser()

    @override
    def _generate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        return _result(self.http.post(_body(messages, kwargs)))

    @override
    async def _agenerate(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> ChatResult:
        return _result(await self.http.apost(_body(messages, kwargs)))

    @override
    def _stream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for event in self.http.events(_body(messages, kwargs)):
            yield _chunk(event)

    @override
    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for event in self.http.aevents(_body(messages, kwargs)):
            yield _chunk(event)


def _body(messages: list[BaseMessage], options: dict[str, Any]) -> dict[str, Any]:
    sent = [{"role": _ROLES[m.type], "content": m.content} for m in messages]
    given = {k: v for k, v in options.items() if k == "response_format"}
    return {"model": "gpt-5.1", "messages": sent, "stream": True, **given}


def _result(answer: Any) -> ChatResult:
    text = answer["data"]["choices"][0]["message"]["content"]
    return ChatResult(generations=[ChatGeneration(message=AIMessage(content=text))])


def _chunk(event: Any) -> ChatGenerationChunk:
    delta = event["data"]["choices"][0]["delta"]
    if not (calls := delta.get("toolCalls")):
        message = AIMessageChunk(content=delta.get("content") or "")
        return ChatGenerationChunk(message=message)
    pieces = [
        tool_call_chunk(
            index=0,
            id=call.get("id"),
            name=call["function"].get("name"),
            args=call["function"]["arguments"],
        )
        for call in calls
    ]
    message = AIMessageChunk(content="", tool_call_chunks=pieces)
    return ChatGenerationChunk(message=message)


@cache
def _ssl_context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


class _Http:
    """The floor's half that is httpx2: bytes, cut at blank lines, parsed."""

    _free: ClassVar[list[httpx2.AsyncClient]] = []
    """Clients with room for a request, each as often as it has room."""

    def __init__(self, url: str, path: str) -> None:
        self._url = f"{url}/pmock/{path}/ai/chat/completions"
        self._client = httpx2.Client(timeout=60)

    def post(self, body: Any) -> object:
        return self._client.post(self._url, json=body).json()

    async def apost(self, body: Any) -> object:
        client = self._acquire()
        answer = (await client.post(self._url, json=body)).json()
        self._free.append(client)
        return answer

    def events(self, body: Any) -> Iterator[Any]:
        rest = b""
        with self._client.stream("POST", self._url, json=body) as response:
            for data in response.iter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event != b"data: [DONE]":
                        yield from_json(event[_DATA:])

    async def aevents(self, body: Any) -> AsyncIterator[Any]:
        rest, client = b"", self._acquire()
        async with client.stream("POST", self._url, json=body) as response:
            async for data in response.aiter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event != b"data: [DONE]":
                        yield from_json(event[_DATA:])
        self._free.append(client)

    def _acquire(self) -> httpx2.AsyncClient:
        if not self._free:
            client = httpx2.AsyncClient(verify=_ssl_context(), timeout=60)
            self._free.extend([client] * _AT_ONCE)
        return self._free.pop()
