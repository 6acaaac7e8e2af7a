"""The model as a part of a chain: batches, fallbacks, caches, callbacks, traces."""

from __future__ import annotations

import json
import sqlite3
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.load import dumps, loads
from langchain_core.messages.ai import add_usage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.tracers.base import BaseTracer

from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_core.outputs import Generation
    from langchain_core.tracers.schemas import Run

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Calls

PROMPT = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{x}")])


# --- Chains and batches --------------------------------------------------------------


def test_chain(server: PmockServer, model: ChatPmock, calls: Calls) -> None:
    chain = PROMPT | model | StrOutputParser()
    assert calls.invoke(chain, {"x": "Hi there"}) == "You said: Hi there"
    pieces = calls.stream(chain, {"x": "Hi there"})
    assert "".join(pieces) == "You said: Hi there"
    assert len(pieces) > 3
    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi there"},
    ]


def test_batch_keeps_the_order(model: ChatPmock, calls: Calls) -> None:
    questions = [f"Number {n}" for n in range(20)]
    answers = calls.batch(model, questions, config={"max_concurrency": 8})
    assert [a.text for a in answers] == [f"You said: {q}" for q in questions]


def test_batch_returns_exceptions(model: ChatPmock, calls: Calls) -> None:
    wrong: Any = [("tool", "no call has this result")]
    questions: list[Any] = ["One", wrong, "Three"]
    first, second, third = calls.batch(model, questions, return_exceptions=True)
    assert (first.text, third.text) == ("You said: One", "You said: Three")
    assert isinstance(second, Exception)


async def test_batch_as_completed(model: ChatPmock) -> None:
    expected = {(n, f"You said: {n}") for n in range(5)}
    questions = [str(n) for n in range(5)]
    done = [(n, answer.text) for n, answer in model.batch_as_completed(questions)]
    assert {*done} == expected
    adone = [(n, a.text) async for n, a in model.abatch_as_completed(questions)]
    assert {*adone} == expected


@pytest.mark.filterwarnings("ignore:.*MessageHistory.* deprecated")
def test_chain_with_history(
    server: PmockServer, model: ChatPmock, calls: Calls
) -> None:
    prompt = ChatPromptTemplate.from_messages(
        [MessagesPlaceholder("past"), ("human", "{x}")]
    )
    history = InMemoryChatMessageHistory()
    chain = RunnableWithMessageHistory(
        prompt | model,
        lambda: history,
        input_messages_key="x",
        history_messages_key="past",
        history_factory_config=[],
    )
    calls.invoke(chain, {"x": "One"})
    merge(calls.stream(chain, {"x": "Two"}))
    calls.invoke(chain, {"x": "Three"})
    sent = [message["content"] for message in server.requests[-1].body["messages"]]
    assert sent == ["One", "You said: One", "Two", "You said: Two", "Three"]


# --- Caches and limits ---------------------------------------------------------------


class SqliteCache(BaseCache):
    """Writes answers down, as caches on disk do."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.execute("CREATE TABLE answers (key TEXT PRIMARY KEY, value TEXT)")

    def lookup(self, prompt: str, llm_string: str) -> Sequence[Generation] | None:
        query = "SELECT value FROM answers WHERE key = ?"
        row = self.db.execute(query, [prompt + llm_string]).fetchone()
        return loads(row[0], allowed_objects="core") if row else None

    def update(
        self, prompt: str, llm_string: str, return_val: Sequence[Generation]
    ) -> None:
        row = [prompt + llm_string, dumps([*return_val])]
        self.db.execute("INSERT INTO answers VALUES (?, ?)", row)

    def clear(self, **_: Any) -> None:
        self.db.execute("DELETE FROM answers")

    def contents(self) -> str:
        return str(self.db.execute("SELECT * FROM answers").fetchall())


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("kind", [InMemoryCache, SqliteCache])
def test_cache(
    server: PmockServer,
    make_model: MakeModel,
    calls: Calls,
    kind: type[InMemoryCache | SqliteCache],
) -> None:
    cache = kind()
    model = make_model(cache=cache, model="gpt-5.1-thinking")
    first = calls.invoke(model, "Hi")
    again = calls.invoke(model, "Hi")
    assert len(server.requests) == 1
    assert again.content_blocks == first.content_blocks
    assert again.response_metadata == first.response_metadata

    calls.invoke(model, "Hi!")
    calls.invoke(model, "Hi", temperature=0.5)
    calls.invoke(model.model_copy(update={"temperature": 1}), "Hi")
    calls.invoke(make_model(cache=cache), "Hi")
    assert len(server.requests) == 5

    written = cache.contents() if isinstance(cache, SqliteCache) else str(cache._cache)
    assert "You said: Hi" in written
    assert server.access_key not in written
    assert server.secret_key not in written
    if isinstance(cache, SqliteCache):
        cache.db.close()


class CountingLimiter(BaseRateLimiter):
    def __init__(self) -> None:
        self.acquired = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.acquired += blocking
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire(blocking=blocking)


def test_rate_limiter_is_used(make_model: MakeModel, calls: Calls) -> None:
    limiter = CountingLimiter()
    model = make_model(rate_limiter=limiter)
    calls.invoke(model, "Hi")
    calls.stream(model, "Hi")
    calls.batch(model, ["One", "Two"])
    assert limiter.acquired == 4


# --- Usage and traces ----------------------------------------------------------------


def test_usage_is_summed_by_model(make_model: MakeModel, calls: Calls) -> None:
    one, other = make_model(), make_model(model="gemini-3-pro")
    with get_usage_metadata_callback() as callback:
        messages = [calls.invoke(one, "Hello"), merge(calls.stream(one, "Hello"))]
        messages += calls.batch(PROMPT | one, [{"x": "One"}, {"x": "Two"}])
        alone = calls.invoke(other, "Hello")
    total = callback.usage_metadata
    assert total.keys() == {"gpt-5.1", "gemini-3-pro"}
    assert total["gemini-3-pro"] == alone.usage_metadata
    expected = reduce(add_usage, (m.usage_metadata for m in messages))
    assert total["gpt-5.1"] == expected
    assert expected["input_tokens"] > 0


class Tracer(BaseTracer):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


def test_trace(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    model = make_model(temperature=0.5, max_tokens=50, default_headers={"X-Run": "1"})
    tracer = Tracer()
    config: Any = {"callbacks": [tracer]}
    calls.invoke(model, "Hello", config=config, stop=["END"])
    calls.stream(model, "Hello", config=config, stop=["END"])
    server.fail(status=403, message="not for you")
    with pytest.raises(Exception, match="not for you"):
        calls.invoke(model, "Hello", config=config)

    *answered, failed = tracer.runs
    for run in answered:
        assert run.run_type == "llm"
        expected = {
            "ls_provider": "pmock",
            "ls_model_type": "chat",
            "ls_model_name": "gpt-5.1",
            "ls_temperature": 0.5,
            "ls_max_tokens": 50,
            "ls_stop": ["END"],
        }
        assert run.metadata.items() >= expected.items()
        assert run.extra["invocation_params"]["stop"] == ["END"]
        message = (run.outputs or {})["generations"][0][0]["message"]["kwargs"]
        assert message["content"] == "You said: Hello"
        assert message["usage_metadata"]["total_tokens"]
    assert failed.error is not None
    assert "not for you" in failed.error
    assert "Trace id: " in failed.error
    shown = json.dumps([run.model_dump() for run in tracer.runs], default=repr)
    for secret in (server.access_key, server.secret_key, "X-Run"):
        assert secret not in shown
