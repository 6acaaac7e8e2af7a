"""The chunk of a token is made past LangChain's constructors: it must not show."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import ValidationError

from langchain_pmock._chunks import _text_chunk


def made_by_langchain(text: str, id_: str | None) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, id=id_, response_metadata={"model_provider": "pmock"}
    )
    return ChatGenerationChunk(message=message)


@given(text=st.text(), id_=st.none() | st.text())
def test_it_is_the_chunk_that_langchain_makes(text: str, id_: str | None) -> None:
    chunk, expected = _text_chunk(text, id_), made_by_langchain(text, id_)
    assert chunk == expected
    assert vars(chunk) == vars(expected)
    assert vars(chunk.message) == vars(expected.message)
    assert chunk.model_fields_set == expected.model_fields_set
    assert chunk.message.model_fields_set == expected.message.model_fields_set
    assert dumpd(chunk.message) == dumpd(expected.message)
    assert chunk.text == text
    assert chunk + expected == expected + chunk
    assert pickle.loads(pickle.dumps(chunk)) == expected  # noqa: S301 - our own


def test_it_shares_nothing_with_the_next() -> None:
    one, other = _text_chunk("a", "1").message, _text_chunk("a", "1").message
    assert isinstance(one, AIMessageChunk)
    one.additional_kwargs["x"] = one.response_metadata["x"] = 1
    one.tool_call_chunks.append({"name": "x", "args": "", "id": "1", "index": 0})
    assert other == made_by_langchain("a", "1").message


@pytest.mark.parametrize(("text", "id_"), [(1, "1"), (None, "1"), ("a", [])])
def test_it_is_validated(text: str, id_: str) -> None:
    with pytest.raises(ValidationError):
        _text_chunk(text, id_)
