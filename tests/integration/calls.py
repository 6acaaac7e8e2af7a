"""The same calls, sync and async: a test that has the fixture `calls` runs as both."""

from __future__ import annotations

import asyncio
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AIMessageChunk

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import LLMResult
    from langchain_core.runnables import Runnable


class Calls(Protocol):
    """Calls a runnable and waits for all that it gives."""

    def invoke(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> Any: ...

    def stream(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> list[Any]: ...

    def batch(
        self, runnable: Runnable[Any, Any], questions: list[Any], /, **kwargs: Any
    ) -> list[Any]: ...

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult: ...


class SyncCalls:
    def invoke(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> Any:
        return runnable.invoke(question, **kwargs)

    def stream(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> list[Any]:
        return list(runnable.stream(question, **kwargs))

    def batch(
        self, runnable: Runnable[Any, Any], questions: list[Any], /, **kwargs: Any
    ) -> list[Any]:
        return runnable.batch(questions, **kwargs)

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult:
        return model.generate(messages, **kwargs)


class AsyncCalls:
    def invoke(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> Any:
        return self._run(runnable.ainvoke(question, **kwargs))

    def stream(
        self, runnable: Runnable[Any, Any], question: Any, /, **kwargs: Any
    ) -> list[Any]:
        async def collect() -> list[Any]:
            return [chunk async for chunk in runnable.astream(question, **kwargs)]

        return self._run(collect())

    def batch(
        self, runnable: Runnable[Any, Any], questions: list[Any], /, **kwargs: Any
    ) -> list[Any]:
        return self._run(runnable.abatch(questions, **kwargs))

    def generate(
        self, model: BaseChatModel, messages: list[list[BaseMessage]], /, **kwargs: Any
    ) -> LLMResult:
        result: LLMResult = self._run(model.agenerate(messages, **kwargs))
        return result

    def _run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run(coroutine)


def merge(chunks: Sequence[Any]) -> AIMessageChunk:
    """Merge a stream's chunks to one message."""
    merged = reduce(add, chunks)
    assert isinstance(merged, AIMessageChunk)
    return merged
