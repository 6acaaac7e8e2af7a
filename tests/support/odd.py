"""Answers that no right server gives, and a model that gets them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_pmock import ChatPmock, errors
from tests.support.raw_server import RawServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.asking import Ask
    from tests.support.raw_server import Step


@dataclass(frozen=True)
class Odd:
    """Something on the wire, and what becomes of it."""

    name: str
    steps: list[Step]
    error: type[errors.PmockError] = errors.PmockResponseError
    streamed: type[errors.PmockError] | None = None  # if a stream ends in another
    says: str = ""
    passes: bool = False

    def __str__(self) -> str:
        return self.name

    def error_of(self, ask: Ask) -> type[errors.PmockError]:
        return (ask.streams and self.streamed) or self.error


@contextmanager
def odd_model(odd: Odd, **fields: Any) -> Iterator[tuple[ChatPmock, RawServer]]:
    with RawServer(odd.steps) as server:
        model = ChatPmock(
            model="gpt-5.1",
            base_url=server.url,
            access_key="ak-example",
            secret_key="sk-example",
            **{"max_retries": 1, "timeout": 10, **fields},
        )
        yield model, server
