"""Any bytes, cut anywhere: an answer, or an error of this package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import PmockError, PmockResponseError
from langchain_pmock._response.chunks import ChunkParser
from tests.unit.service import Json, chunk_of, dump, envelope, event
from tests.unit.test_events import COMPLETE, ERROR, TEXT, TEXTS, read, reader_of
from tests.unit.test_sse import in_pieces


@pytest.mark.parametrize("stream", [b"data: [DONE]\n\n", b"data: [DONE]\n"])
def test_an_end_without_an_answer_is_an_error(stream: bytes) -> None:
    with pytest.raises(PmockResponseError, match="no choices"):
        read(stream, parser=ChunkParser())


@given(pieces=in_pieces(st.sampled_from([*COMPLETE.values()])))
def test_any_cut_of_a_stream_gives_the_same_chunks(pieces: list[bytes]) -> None:
    assert read(*pieces) == TEXTS


@given(
    pieces=st.lists(
        st.one_of(
            st.binary(max_size=20),
            st.sampled_from([b"data: ", b"\n", b"\n\n", b"\r", b"[DONE]", b"\xef\xbb"]),
            st.sampled_from([event(envelope(TEXT[0])), event(ERROR)]),
        ),
        max_size=15,
    )
)
def test_random_bytes_end_in_our_error_or_nothing(pieces: list[bytes]) -> None:
    try:
        chunks = read(*pieces, parser=ChunkParser())
    except PmockError:
        return
    assert any(b"[DONE]" in piece for piece in pieces)
    assert chunks


_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "stop", "200", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "function", "index"]), inner)
    ),
    max_leaves=5,
)


@st.composite
def _spoiled(draw: st.DrawFn) -> Json:
    """An envelope of the right outline, with any JSON in some place."""
    call = {"index": 0, "id": "1", "function": {"name": "f", "arguments": "{}"}}
    delta: Json = {"content": "a", "toolCalls": [call], "reasoningContent": "b"}
    usage: Json = {"promptTokens": 1, "promptTokensDetails": {"cachedTokens": 1}}
    spoiled = envelope(chunk_of(delta, "stop", usage=usage), traceId="t")
    data = spoiled["data"]
    holders: list[Json] = [spoiled, data, data["choices"][0], delta, call, usage]
    for holder in holders:
        for key in holder:
            if draw(st.integers(0, 9)) == 0:
                holder[key] = draw(_json)
    return spoiled


@given(payloads=st.lists(_spoiled(), min_size=1, max_size=3))
def test_any_json_in_any_place_ends_in_our_error_or_in_an_answer(
    payloads: list[Json],
) -> None:
    body = b"".join(event(payload) for payload in payloads)
    for answer in ("stream", "whole"):
        parser = ChunkParser()
        try:
            if answer == "stream":
                chunks = read(body, parser=parser)
            else:
                chunks = list(reader_of(parser).whole(dump(payloads[0])))
        except PmockError:
            continue
        assert chunks[-1].message.chunk_position == "last"
