"""The same calls, sync and async: a test that has the fixture `calls` runs as both."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from langchain_core.messages import AIMessageChunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from langchain_core.runnables import Runnable

Input = TypeVar("Input")
Output = TypeVar("Output")

# Each kind of character that bytes, JSON or lines can break.
TEXT = (
    "你好世界 👩\u200d👩\u200d👧 🇫🇷 café naïve"
    '\n\n\r\n\tdata: "quoted" \\n \\ \u2028\u2029\x85\x00\ufeff end '
)


class Calls(Protocol):
    """Calls a runnable and waits for all that it gives."""

    def invoke(
        self, runnable: Runnable[Input, Output], question: Input, /, **kwargs: Any
    ) -> Output: ...

    def stream(
        self, runnable: Runnable[Input, Any], question: Input, /, **kwargs: Any
    ) -> list[Any]: ...

    def batch(
        self,
        runnable: Runnable[Input, Output],
        questions: list[Input],
        /,
        **kwargs: Any,
    ) -> list[Output]: ...

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult: ...


class SyncCalls:
    def invoke(
        self, runnable: Runnable[Input, Output], question: Input, /, **kwargs: Any
    ) -> Output:
        return runnable.invoke(question, **kwargs)

    def stream(
        self, runnable: Runnable[Input, Any], question: Input, /, **kwargs: Any
    ) -> list[Any]:
        return list(runnable.stream(question, **kwargs))

    def batch(
        self,
        runnable: Runnable[Input, Output],
        questions: list[Input],
        /,
        **kwargs: Any,
    ) -> list[Output]:
        return runnable.batch(questions, **kwargs)

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult:
        return model.generate(messages, **kwargs)


class AsyncCalls:
    def invoke(
        self, runnable: Runnable[Input, Output], question: Input, /, **kwargs: Any
    ) -> Output:
        return asyncio.run(runnable.ainvoke(question, **kwargs))

    def stream(
        self, runnable: Runnable[Input, Any], question: Input, /, **kwargs: Any
    ) -> list[Any]:
        async def collect() -> list[Any]:
            return [chunk async for chunk in runnable.astream(question, **kwargs)]

        return asyncio.run(collect())

    def batch(
        self,
        runnable: Runnable[Input, Output],
        questions: list[Input],
        /,
        **kwargs: Any,
    ) -> list[Output]:
        return asyncio.run(runnable.abatch(questions, **kwargs))

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult:
        return asyncio.run(model.agenerate(messages, **kwargs))


def merge(chunks: Sequence[Any]) -> AIMessageChunk:
    """Merge a stream's chunks to one message."""
    merged = reduce(add, chunks)
    assert isinstance(merged, AIMessageChunk)
    return merged
