"""The chunk of a token is made past LangChain's constructors: it must not show."""

from __future__ import annotations

import pickle
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from langchain_pmock._response.chunks import _TextChunks


def made_by_langchain(text: str, id_: str | None) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, id=id_, response_metadata={"model_provider": "pmock"}
    )
    return ChatGenerationChunk(message=message)


@given(text=st.text(), id_=st.none() | st.text())
def test_it_is_the_chunk_that_langchain_makes(text: str, id_: str | None) -> None:
    chunk, expected = _TextChunks().make(text, id_), made_by_langchain(text, id_)
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
    texts = _TextChunks()
    one, other = texts.make("a", "1"), texts.make("a", "1")
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
    for state in (other.__getstate__(), texts.make("a", "1").__getstate__()):
        assert state["__dict__"] == expected.__getstate__()["__dict__"]
    assert other.message.__pydantic_extra__ == {}
    assert other.message.model_dump() == expected.message.model_dump()
