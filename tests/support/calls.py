"""The same question in every way: sync and async, whole and streamed.

A test with the fixture `calls` runs with sync and with async methods; one with `ask`
for `invoke`, `stream`, `ainvoke` and `astream`; one with `ask_stream` for two of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_core.messages import AIMessageChunk

from langchain_pmock import ChatPmock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable

Input = TypeVar("Input")
Output = TypeVar("Output")

# Each kind of character that bytes, JSON or lines can break.
TEXT = (
    "你好世界 👩\u200d👩\u200d👧 🇫🇷 café naïve"
    '\n\n\r\n\tdata: "quoted" \\n \\ \u2028\u2029\x85\x00\ufeff end '
)


class Server(Protocol):
    access_key: str
    secret_key: str

    @property
    def url(self) -> str: ...


def model_of(server: Server, **fields: Any) -> ChatPmock:
    """Make a model of a local server; it does not retry."""
    defaults = {
        "model": "gpt-5.1",
        "base_url": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "max_retries": 0,
    }
    return ChatPmock(**{**defaults, **fields})


@dataclass(frozen=True)
class Calls:
    """Calls the methods of a runnable: the sync ones, or the async ones."""

    is_async: bool

    def invoke(
        self, runnable: Runnable[Input, Output], question: Input, /, **kwargs: Any
    ) -> Output:
        if self.is_async:
            return asyncio.run(runnable.ainvoke(question, **kwargs))
        return runnable.invoke(question, **kwargs)

    def stream(
        self, runnable: Runnable[Input, Any], question: Input, /, **kwargs: Any
    ) -> list[Any]:
        async def collect() -> list[Any]:
            return [chunk async for chunk in runnable.astream(question, **kwargs)]

        if self.is_async:
            return asyncio.run(collect())
        return list(runnable.stream(question, **kwargs))

    def batch(
        self,
        runnable: Runnable[Input, Output],
        questions: list[Input],
        /,
        **kwargs: Any,
    ) -> list[Output]:
        if self.is_async:
            return asyncio.run(runnable.abatch(questions, **kwargs))
        return runnable.batch(questions, **kwargs)


@dataclass
class Outcome:
    """The messages that were received, and the error."""

    messages: list[AIMessage] = field(default_factory=list)
    error: BaseException | None = None
    on_message: Callable[[AIMessage], None] = lambda _: None

    def add(self, message: AIMessage) -> None:
        self.messages.append(message)
        self.on_message(message)

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        self.error = error
        return isinstance(error, Exception)

    @property
    def pieces(self) -> list[str]:
        return [message.text for message in self.messages if message.text]

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Ask:
    """A way to ask a model."""

    method: str
    run: Callable[[Any], Any] = asyncio.run

    def __str__(self) -> str:
        return self.method if self.run is asyncio.run else f"{self.method}-uvloop"

    @property
    def streams(self) -> bool:
        return self.method.endswith("stream")

    def __call__(
        self,
        model: ChatPmock,
        question: LanguageModelInput = "Hello",
        on_message: Callable[[AIMessage], None] = lambda _: None,
    ) -> Outcome:
        """Ask, and close the model's own clients; `on_message` may raise an error."""
        outcome = Outcome(on_message=on_message)

        async def main() -> None:
            await self.in_loop(model, question, outcome)
            if model.http_async_client is not None:
                await model.http_async_client.aclose()

        if self.method.startswith("a"):
            self.run(main())
            return outcome
        with outcome:
            if self.streams:
                for chunk in model.stream(question):
                    outcome.add(chunk)
            else:
                outcome.add(model.invoke(question))
        if model.http_client is not None:
            model.http_client.close()
        return outcome

    async def in_loop(
        self, model: ChatPmock, question: LanguageModelInput, outcome: Outcome
    ) -> None:
        """Ask in the running event loop."""
        with outcome:
            if self.streams:
                async for chunk in model.astream(question):
                    outcome.add(chunk)
            else:
                outcome.add(await model.ainvoke(question))


WAYS = tuple(map(Ask, ("invoke", "stream", "ainvoke", "astream")))


def merge(chunks: Sequence[Any]) -> AIMessageChunk:
    """Merge a stream's chunks to one message."""
    merged = reduce(add, chunks)
    assert isinstance(merged, AIMessageChunk)
    return merged
