"""A pytest plugin: replaces the fake chat models of a foreign suite by `ChatPmock`.

Each fake class becomes a subclass of `ChatPmock` with the fake's fields. The fake's own
methods determine the answer, which travels over a `PmockServer` to `ChatPmock`.
"""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import json
import os
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field
from pydantic_core import to_jsonable_python

from langchain_pmock import ChatPmock
from langchain_pmock.testing import Fault, PmockServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    import pytest
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk

# Where the suites have the fake models that their tests share.
_FAKES = {
    "langchain_core.language_models.fake_chat_models",
    "tests.model",  # of langgraph-prebuilt
    "tests.unit_tests.agents.model",  # of langchain
}
SERVER = PmockServer(keep_requests=1)
_numbers = count()
_in_fake = contextvars.ContextVar("_in_fake", default=False)


def pytest_configure() -> None:
    SERVER.start()
    os.environ.update(SERVER.env)


def pytest_unconfigure() -> None:
    SERVER.stop()


def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: Any) -> None:
    """Swap the fake models among the names of a test module."""
    module = getattr(collector, "obj", None)
    if inspect.ismodule(module) and isinstance(obj, type) and _is_fake(obj):
        setattr(module, name, _swapped(obj, local=obj.__module__ == module.__name__))


def _is_fake(cls: Any) -> bool:
    if not issubclass(cls, BaseChatModel) or issubclass(cls, ChatPmock):
        return False
    return any(base.__module__ in _FAKES for base in cls.__mro__)


@cache
def _swapped(fake: Any, *, local: bool) -> Any:
    """Make the subclass of `ChatPmock` that answers as the fake does.

    What a test module itself overrides, other than answers, stays overridden.
    """
    kept = {
        name: value
        for name, value in vars(fake).items()
        if local
        and name not in vars(_Swapped)
        and (inspect.isfunction(value) or isinstance(value, property))
    }
    base = BaseChatModel.model_fields
    own = {n: f for n, f in fake.model_fields.items() if repr(f) != repr(base.get(n))}
    annotations = {name: field.annotation for name, field in own.items()}
    names = {"__module__": fake.__module__, "__qualname__": fake.__qualname__}
    body = {**kept, **own, **names, "__annotations__": annotations}
    return type(fake)(fake.__name__, (_Swapped, fake), body)


@contextlib.contextmanager
def _fake_methods() -> Iterator[None]:
    """Let a model call its fake's methods, also where these call each other."""
    token = _in_fake.set(True)
    try:
        yield
    finally:
        _in_fake.reset(token)


class _Swapped(ChatPmock):
    model: str = Field(default_factory=lambda: f"fake-{next(_numbers)}")

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Keep the state of the fake, which each answer changes, out of cache keys."""
        return False

    def _fake(self) -> Any:
        return super(ChatPmock, self)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        if _in_fake.get():
            return self._fake()._generate(*args, **kwargs)
        self._script(result := self._fake_result(*args, **kwargs))
        return _compared(super()._generate(*_sent(*args), **kwargs), result)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        self._script(result := self._fake_result(*args, **kwargs))
        return _compared(await super()._agenerate(*_sent(*args), **kwargs), result)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        if _in_fake.get():
            yield from self._fake()._stream(*args, **kwargs)
            return
        id_ = self._script_stream(self._fake_chunks(*args, **kwargs))
        for chunk in super()._stream(*_sent(*args), **kwargs):
            chunk.message.id = id_
            yield chunk

    async def _astream(
        self, *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        id_ = self._script_stream(self._fake_chunks(*args, **kwargs))
        async for chunk in super()._astream(*_sent(*args), **kwargs):
            chunk.message.id = id_
            yield chunk

    def _fake_result(self, *args: Any, **kwargs: Any) -> ChatResult:
        with _fake_methods():
            return self._structured(kwargs) or _as_format(
                self._fake()._generate(*args, **kwargs), kwargs
            )

    def _fake_chunks(self, *args: Any, **kwargs: Any) -> Sequence[ChatGeneration]:
        chunks: list[ChatGeneration] = []
        if "response_format" not in kwargs:
            with _fake_methods(), contextlib.suppress(NotImplementedError):
                chunks += self._fake()._stream(*args, **kwargs)
        return chunks or self._fake_result(*args, **kwargs).generations

    def _structured(self, kwargs: Mapping[str, Any]) -> ChatResult | None:
        """Return what the fake's `with_structured_output` would, as a message."""
        value = getattr(self, "structured_response", None)
        if value is None or "response_format" not in kwargs or kwargs.get("tools"):
            return None
        return _json_result(value)

    def _script(self, result: ChatResult) -> None:
        message = _answer(result.generations[0])
        choice = {"index": 0, "message": _to_wire(message, count())}
        body = _envelope(message, {**choice, "finishReason": _finish_reason([message])})
        SERVER.script(Fault(body=body), model=self.model)

    def _script_stream(self, chunks: Sequence[ChatGeneration]) -> str | None:
        """Script the chunks, and return the id that the fake gives them."""
        messages = [_answer(chunk) for chunk in chunks]
        numbers = count()
        deltas = [{"index": 0, "delta": _to_wire(m, numbers)} for m in messages]
        end = {"index": 0, "delta": {}, "finishReason": _finish_reason(messages)}
        events = [*map(_envelope, messages, deltas), _envelope(None, end), b"[DONE]"]
        content = b"".join(b"data: %b\n\n" % event for event in events)
        answer = Fault(body=content, content_type="text/event-stream")
        SERVER.script(answer, model=self.model)
        return messages[0].id


def _sent(messages: Sequence[BaseMessage], *others: Any) -> tuple[Any, ...]:
    """Send a message where the fake needs none."""
    return (messages or [HumanMessage("-")], *others)


def _answer(generation: ChatGeneration) -> AIMessage:
    """Return the fake's message; some repeat the user's."""
    message = generation.message
    return message if isinstance(message, AIMessage) else AIMessage(message.content)


def _json_result(value: object) -> ChatResult:
    message = AIMessage(json.dumps(to_jsonable_python(value)))
    return ChatResult(generations=[ChatGeneration(message=message)])


def _as_format(result: ChatResult, kwargs: Mapping[str, Any]) -> ChatResult:
    """Turn a call of the structured answer's tool into JSON, if that was requested."""
    wanted = kwargs.get("response_format") or {}
    for call in _answer(result.generations[0]).tool_calls:
        if call["name"] == wanted.get("json_schema", {}).get("name"):
            return _json_result(call["args"])
    return result


def _compared(result: ChatResult, fake: ChatResult) -> ChatResult:
    """Remove what the fake does not have, and add its id: many tests compare those."""
    result.llm_output = fake.llm_output
    for answer, expected in zip(result.generations, fake.generations, strict=True):
        answer.generation_info = expected.generation_info
        answer.message.id = expected.message.id
        metadata = answer.message.response_metadata
        for name in metadata.keys() - expected.message.response_metadata.keys():
            del metadata[name]
    return result


def _finish_reason(messages: Sequence[AIMessage]) -> str:
    return "tool_calls" if any(m.tool_calls for m in messages) else "stop"


def _to_wire(message: AIMessage, numbers: Iterator[int]) -> dict[str, Any]:
    """Return the message or delta on the wire."""
    calls: list[Any] = [*message.tool_calls, *message.invalid_tool_calls]
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        calls = [*message.tool_call_chunks]
    tool_calls = [_call_to_wire(call, next(numbers)) for call in calls]
    return {
        "role": "assistant",
        "content": message.content,
        **message.additional_kwargs,
        **({"name": message.name} if message.name else {}),
        **({"toolCalls": tool_calls} if tool_calls else {}),
    }


def _call_to_wire(call: Any, number: int) -> dict[str, Any]:
    args = call["args"]
    text = (
        args if isinstance(args, str | None) else json.dumps(to_jsonable_python(args))
    )
    function = {"name": call["name"], "arguments": text}
    index = call.get("index")
    number = number if index is None else index
    return {"index": number, "id": call["id"], "type": "function", "function": function}


def _envelope(message: AIMessage | None, choice: dict[str, Any]) -> bytes:
    data: dict[str, Any] = {"choices": [choice]}
    if message is not None:
        metadata = {**message.response_metadata, "model_provider": None}
        data |= metadata
        if usage := message.usage_metadata:
            data["usage"] = {
                "promptTokens": usage["input_tokens"],
                "completionTokens": usage["output_tokens"],
                "totalTokens": usage["total_tokens"],
                "promptTokensDetails": usage.get("input_token_details"),
                "completionTokensDetails": usage.get("output_token_details"),
            }
    return json.dumps({"code": 200, "message": "success", "data": data}).encode()
