"""Chunks of text are restored instead of constructed, which must not show."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from langchain_pmock._response import chunks
from langchain_pmock._response.chunks import text_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator


def made_by_langchain(text: str, id_: str | None) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, id=id_, response_metadata={"model_provider": "pmock"}
    )
    return ChatGenerationChunk(message=message)


@given(text=st.text(), id_=st.none() | st.text())
def test_it_is_the_chunk_that_langchain_makes(text: str, id_: str | None) -> None:
    chunk, expected = text_chunks()(text, id_), made_by_langchain(text, id_)
    assert chunk == expected
    assert vars(chunk) == vars(expected)
    assert vars(chunk.message) == vars(expected.message)
    assert chunk.model_fields_set == expected.model_fields_set
    assert chunk.message.model_fields_set == expected.message.model_fields_set
    assert dumpd(chunk.message) == dumpd(expected.message)
    assert chunk.text == text
    assert chunk + expected == expected + chunk
    assert pickle.loads(pickle.dumps(chunk)) == expected  # noqa: S301 - our own


def test_what_is_done_to_one_does_not_show_in_the_next() -> None:
    make = text_chunks()
    one, other = make("a", "1"), make("a", "1")
    message: Any = one.message
    for name, value in vars(message).items():
        if isinstance(value, dict):
            value["x"] = 1
        elif isinstance(value, list):
            value.append({"name": "x", "args": "", "id": "1", "index": 0})
        else:
            setattr(message, name, "AIMessageChunk" if name == "type" else None)
    message.more = one.text = "x"
    one.generation_info = {"x": 1}
    expected = made_by_langchain("a", "1")
    for state in (other.__getstate__(), make("a", "1").__getstate__()):
        assert state["__dict__"] == expected.__getstate__()["__dict__"]
    assert other.message.__pydantic_extra__ == {}
    in_another_stream = text_chunks()("a", "1").message
    assert in_another_stream.model_fields_set == expected.message.model_fields_set
    assert other.message.model_dump() == expected.message.model_dump()


class NewMessage(AIMessageChunk):
    """As in a version of LangChain that adds a field."""

    added: list[str] = Field(default_factory=list)


class NewChunk(ChatGenerationChunk):
    added: list[str] = Field(default_factory=list)


class CheckedMessage(AIMessageChunk):
    """As in a version of LangChain that computes a field in another way."""

    def model_post_init(self, _: Any) -> None:
        self.name = "computed"


class UnpickledMessage(AIMessageChunk):
    """As in a version of pydantic that keeps the state of an object elsewhere."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.content = state["values"]["content"]


@pytest.fixture
def again() -> Iterator[None]:
    """Let the check of the classes be made anew, before and after."""
    chunks._fields_set.cache_clear()
    yield
    chunks._fields_set.cache_clear()


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize(
    "cls", [NewMessage, NewChunk, CheckedMessage, UnpickledMessage]
)
def test_other_classes_are_constructed(
    monkeypatch: pytest.MonkeyPatch, cls: type[Any]
) -> None:
    base = cls.__mro__[1].__name__
    monkeypatch.setattr(chunks, base, cls)
    made = text_chunks()("a", "1")
    changed = made if base == "ChatGenerationChunk" else made.message
    assert type(changed) is cls
    assert (made.text, made.message.id) == ("a", "1")
    if hasattr(changed, "added"):
        assert changed.added == []
        assert changed.added is not getattr(text_chunks()("a", "1"), "added", None)
    if cls is CheckedMessage:
        assert made.message.name == "computed"


@pytest.mark.usefixtures("again")
def test_the_classes_of_this_version_are_restored() -> None:
    assert text_chunks().__name__ == "make"
