"""One question, asked in every way, with all that came of it.

A test that has the fixture `ask` runs for `invoke`, `stream`, and for their async twins
; with `ask_stream`, for the streams among them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage

    from langchain_pmock import ChatPmock


@dataclass
class Outcome:
    """What came before the end, and how it ended."""

    messages: list[AIMessage] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

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

    def __str__(self) -> str:
        return self.method

    @property
    def streams(self) -> bool:
        return self.method.endswith("stream")

    def __call__(
        self, model: ChatPmock, question: LanguageModelInput = "Hello"
    ) -> Outcome:
        outcome = Outcome()
        started = time.monotonic()
        try:
            if self.method.startswith("a"):
                asyncio.run(self._ask_async(model, question, outcome.messages))
            elif self.streams:
                for chunk in model.stream(question):
                    outcome.messages.append(chunk)
            else:
                outcome.messages.append(model.invoke(question))
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            outcome.error = error
        outcome.seconds = time.monotonic() - started
        return outcome

    async def _ask_async(
        self, model: ChatPmock, question: LanguageModelInput, messages: list[AIMessage]
    ) -> None:
        if self.streams:
            async for chunk in model.astream(question):
                messages.append(chunk)  # noqa: PERF401 - it may break off
        else:
            messages.append(await model.ainvoke(question))


WAYS = tuple(map(Ask, ("invoke", "stream", "ainvoke", "astream")))
