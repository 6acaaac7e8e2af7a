"""Who is measured: the floor, `ChatPmock` and its peers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import Field, SecretStr
from pydantic_core import from_json
from typing_extensions import override

from benchmarks import _wire
from langchain_pmock import ChatPmock
from langchain_pmock._gateway.pools import shared_async_pools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_mistralai import ChatMistralAI
    from langchain_openai import ChatOpenAI

PROMPT = "Tell me a story."

PMOCK = "ChatPmock"
AIOHTTP = "ChatPmock, extra aiohttp"
MISTRAL = "langchain-mistralai"
OPENAI = "langchain-openai"

_PATH = "/ai/chat/completions"
_BODY = {
    "model": "gpt-5.1",
    "messages": [{"role": "user", "content": PROMPT}],
    "stream": True,
}
_DATA = len(b"data: ")


def pmock(url: str, path: str) -> ChatPmock:
    """Make a `ChatPmock`.

    Args:
        url: The server's URL.
        path: The kind of answer and its number of tokens.

    Returns:
        The model.
    """
    return ChatPmock(
        model="gpt-5.1",
        access_key=SecretStr("ak-bench"),
        secret_key=SecretStr("sk-bench"),
        base_url=f"{url}/pmock/{path}",
    )


def mistral(url: str, path: str) -> ChatMistralAI:
    """Do as `pmock`, for langchain-mistralai."""
    # A process that measures another one is not to have it loaded.
    from langchain_mistralai import ChatMistralAI  # noqa: PLC0415 - as said

    return ChatMistralAI(
        model="mistral-large",
        mistral_api_key=SecretStr("bench"),
        endpoint=f"{url}/mistral/{path}",
    )


def openai(url: str, path: str) -> ChatOpenAI:
    """Do as `pmock`, for langchain-openai."""
    from langchain_openai import ChatOpenAI  # noqa: PLC0415 - as above

    return ChatOpenAI(
        model_name="gpt-5.1",
        openai_api_key=SecretStr("bench"),
        openai_api_base=f"{url}/openai/{path}",
        use_responses_api=False,
    )


CONTESTANTS: dict[str, Callable[[str, str], BaseChatModel]] = {
    PMOCK: pmock,
    AIOHTTP: pmock,
    MISTRAL: mistral,
    OPENAI: openai,
}
"""How to make each model, from the server's URL and the path of the answer."""


class CoreAlone(BaseChatModel):
    """langchain-core's part of the floor: its loop over chunks as they are made."""

    deltas: list[str] = Field(default=[], repr=False)
    """What each chunk says."""

    is_tool_call: bool = False
    """Whether the chunks are those of a tool call."""

    @property
    def _llm_type(self) -> str:
        return "floor"

    @override
    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        message = AIMessage(content=_wire.ANSWER)
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        return self._generate()

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        if self.is_tool_call:
            yield from map(tool_chunk, self.deltas)
            return
        for text in self.deltas:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))

    @override
    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for text in self.deltas:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class CoreOverMade(CoreAlone):
    """The same, where the chunks were made before."""

    made: list[ChatGenerationChunk] = Field(default=[], repr=False)
    """The chunks; langchain-core changes them, so they are good for one stream."""

    def make(self) -> None:
        """Make the chunks of the next stream."""
        self.made = list(super()._stream())

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield from self.made

    @override
    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for chunk in self.made:
            yield chunk


class Joined(CoreAlone):
    """Both parts of the floor in one: what a package without own code would cost."""

    http: Any = Field(repr=False)
    """The parsed events of the answer come from here."""

    @override
    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for event in self.http.events():
            delta = event["data"]["choices"][0]["delta"]
            if self.is_tool_call:
                for call in delta.get("toolCalls") or ():
                    yield tool_chunk(call["function"]["arguments"])
            else:
                text = delta.get("content") or ""
                yield ChatGenerationChunk(message=AIMessageChunk(content=text))

    @override
    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        async for event in self.http.aevents():
            text = event["data"]["choices"][0]["delta"].get("content") or ""
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))


class HttpAlone:
    """httpx's part of the floor: bytes, cut at blank lines, parsed."""

    def __init__(self, url: str, path: str) -> None:
        """Connect to nothing yet.

        Args:
            url: The server's URL.
            path: The kind of answer and its number of tokens.
        """
        self._url = f"{url}/pmock/{path}{_PATH}"
        self.client = httpx.Client()
        self.async_client = httpx.AsyncClient()

    def post(self) -> object:
        """Get an answer that is not streamed."""
        return self.client.post(self._url, json=_BODY).json()

    async def apost(self) -> object:
        """Do as `post`."""
        return (await self.async_client.post(self._url, json=_BODY)).json()

    def events(self) -> Iterator[Any]:
        """Get a streamed answer.

        Yields:
            Each event, parsed.
        """
        rest = b""
        with self.client.stream("POST", self._url, json=_BODY) as response:
            for data in response.iter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event != b"data: [DONE]":
                        yield from_json(event[_DATA:])

    def aevents(self) -> AsyncIterator[Any]:
        """Do as `events`."""
        return self._aevents(self.async_client)

    async def _aevents(self, client: httpx.AsyncClient) -> AsyncIterator[Any]:
        rest = b""
        async with client.stream("POST", self._url, json=_BODY) as response:
            async for data in response.aiter_raw():
                *events, rest = (rest + data).split(b"\n\n")
                for event in events:
                    if event != b"data: [DONE]":
                        yield from_json(event[_DATA:])


class HttpInPools(HttpAlone):
    """The same on `ChatPmock`'s pools: one for all is slow with many at once."""

    @override
    async def aevents(self) -> AsyncIterator[Any]:
        with (await shared_async_pools()).acquire() as client:
            async for event in self._aevents(client):
                yield event


def tool_chunk(arguments: str) -> ChatGenerationChunk:
    """Make the chunk of a piece of a tool call.

    Args:
        arguments: The piece of its arguments.

    Returns:
        The chunk. The first piece brings id and name.
    """
    is_first = arguments == _wire.BEFORE
    call = tool_call_chunk(
        index=0,
        id="call_1" if is_first else None,
        name=_wire.TOOL if is_first else None,
        args=arguments,
    )
    message = AIMessageChunk(content="", tool_call_chunks=[call])
    return ChatGenerationChunk(message=message)
