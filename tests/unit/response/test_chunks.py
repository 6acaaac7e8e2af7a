"""Chunks of a stream: merged, they are the message that a whole answer would be."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message

from langchain_pmock._json import UnreadableError
from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import chat_result
from tests.support.service import cuts
from tests.support.wire import choice_of, chunk_of, data_of, envelope

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.outputs import ChatGenerationChunk

    from tests.support.wire import Json

USAGE = {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
METADATA = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def chunks_of(chunks: Iterable[Json], **fields: Any) -> list[ChatGenerationChunk]:
    """What the parser makes of a stream; `fields` are those of each envelope."""
    parser = ChunkParser()
    made = [parser.event(envelope(chunk, **fields)) for chunk in chunks]
    return [*(chunk for chunk in made if chunk is not None), parser.end()]


def messages_of(chunks: Iterable[ChatGenerationChunk]) -> list[AIMessageChunk]:
    return [cast("AIMessageChunk", chunk.message) for chunk in chunks]


def merged(chunks: Iterable[Json], **fields: Any) -> AIMessageChunk:
    return reduce(add, messages_of(chunks_of(chunks, **fields)))


def streamed(*chunks: Json, **fields: Any) -> AIMessage:
    message = message_chunk_to_message(merged(chunks, **fields))
    assert isinstance(message, AIMessage)
    return message


def whole(message: Json, finish_reason: str = "stop", **fields: Any) -> AIMessage:
    data = data_of(choice_of(message, finish_reason), **fields)
    answer = chat_result(envelope(data, traceId="trace-1")).generations[0].message
    assert isinstance(answer, AIMessage)
    return answer


def said(*texts: str) -> list[Json]:
    return [chunk_of({"content": text}) for text in texts]


FINISH = chunk_of({}, "stop")
# Ways to stream the same answer: "Hello there", and its usage.
STREAMS: dict[str, list[Json]] = {
    "as documented": [
        *said("Hello", " ", "there"),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a role first": [
        chunk_of({"role": "assistant", "content": ""}),
        *said("Hello there"),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a role each time": [
        chunk_of({"role": "assistant", "content": "Hello there"}),
        chunk_of({"role": "assistant", "content": None}, "stop", usage=USAGE),
    ],
    "everything at once": [chunk_of({"content": "Hello there"}, "stop", usage=USAGE)],
    "usage after the finish": [
        *said("Hello", " there"),
        FINISH,
        chunk_of(None, usage=USAGE),
    ],
    "usage after the finish, with an empty choice": [
        *said("Hello", " there"),
        FINISH,
        chunk_of({}, usage=USAGE),
    ],
    "usage before the finish": [
        *said("Hello", " there"),
        chunk_of(None, usage=USAGE),
        FINISH,
    ],
    "usage that counts up": [
        chunk_of({"content": "Hello"}, usage={**USAGE, "completionTokens": 1}),
        chunk_of({"content": " "}, usage={"promptTokens": 3, "completionTokens": 2}),
        chunk_of({"content": "there"}, "stop", usage=USAGE),
    ],
    "usage that counts up in short events": [
        *said("Hello"),
        {"choices": [{"index": 0, "delta": {"content": " there"}}], "usage": USAGE},
        {"choices": [{"index": 0, "delta": {}, "finishReason": "stop"}]},
    ],
    "null usage until the last": [
        chunk_of({"content": "Hello"}, usage=None),
        chunk_of({"content": " there"}, usage=None),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "empty choices in between": [
        chunk_of(None),
        *said("Hello"),
        chunk_of(None),
        *said(" there"),
        chunk_of({}, "stop", usage=USAGE),
        chunk_of(None),
    ],
    "choices that are missing or null": [
        *said("Hello there"),
        data_of() | {"choices": None},
        {"id": "chatcmpl-1"},
        chunk_of({}, "stop", usage=USAGE),
    ],
    "choices without an index": [
        {**chunk, "choices": [{"delta": {"content": text}, "finishReason": reason}]}
        for text, reason in (("Hello", None), (" there", "stop"))
        for chunk in [chunk_of(None, usage=USAGE)]
    ],
    "an index that is null": [
        {
            **data_of(),
            "choices": [{"index": None, "delta": {"content": "Hello there"}}],
        },
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a delta that is null": [
        *said("Hello there"),
        {**data_of(), "choices": [{"index": 0, "delta": None}]},
        {
            **data_of(usage=USAGE),
            "choices": [{"index": 0, "delta": None, "finishReason": "stop"}],
        },
    ],
    "snake_case": [
        *said("Hello there"),
        {
            **data_of(),
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        },
    ],
    "the finish twice": [
        *said("Hello there"),
        FINISH,
        chunk_of({}, "stop", usage=USAGE),
    ],
    "another created and model in between": [
        *said("Hello"),
        chunk_of({"content": " there"}, created=5, model="other", id="other"),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a whole message as the only event": [
        data_of(choice_of({"content": "Hello there"}), usage=USAGE)
    ],
}


@pytest.mark.parametrize("case", STREAMS)
def test_merged_chunks_are_the_whole_message(case: str) -> None:
    answer = streamed(*STREAMS[case], traceId="trace-1")
    assert answer == whole({"content": "Hello there"}, usage=USAGE)
    assert answer.usage_metadata == METADATA
    assert answer.response_metadata["id"] == "chatcmpl-1"


@pytest.mark.parametrize("case", STREAMS)
def test_what_comes_once_comes_once(case: str) -> None:
    messages = messages_of(chunks_of(STREAMS[case], traceId="trace-1"))
    for name in ("id", "model_name", "created", "trace_id", "finish_reason"):
        assert sum(name in message.response_metadata for message in messages) == 1, name
    assert [m.usage_metadata is not None for m in messages].count(True) == 1
    assert [m.chunk_position for m in messages[:-1]] == [None] * (len(messages) - 1)
    assert messages[-1].chunk_position == "last"
    assert messages[-1].response_metadata["finish_reason"] == "stop"
    assert {m.response_metadata["model_provider"] for m in messages} == {"pmock"}
    assert {m.id for m in messages} == {"chatcmpl-1"}


def test_no_chunk_is_empty_but_the_last() -> None:
    chunks = chunks_of([chunk_of({"content": ""}), *said("a", "", "b"), FINISH])
    assert [chunk.text for chunk in chunks] == ["a", "b", ""]


def test_without_a_trace_id_there_is_none() -> None:
    assert "trace_id" not in streamed(*said("a"), FINISH).response_metadata


def test_without_an_id_langchain_gives_its_own() -> None:
    # It does so where the id is None, and not where it is empty.
    chunks = [{**chunk, "id": None} for chunk in (*said("a", "b"), FINISH)]
    assert {message.id for message in messages_of(chunks_of(chunks))} == {None}


def test_names_in_snake_case_are_read_too() -> None:
    function = {"name": "f", "arguments": "{}"}
    call = {"index": 0, "id": "a", "type": "function", "function": function}
    message = streamed(chunk_of({"tool_calls": [call]}), FINISH, trace_id="trace-1")
    assert [call["name"] for call in message.tool_calls] == ["f"]
    assert message.response_metadata["trace_id"] == "trace-1"


def test_an_answer_without_text_usage_or_finish() -> None:
    assert streamed(FINISH).content == ""
    assert streamed(FINISH).usage_metadata is None
    assert "finish_reason" not in streamed(*said("a")).response_metadata


@pytest.mark.parametrize(
    "chunks", [[], [chunk_of(None)], [chunk_of(None, usage=USAGE)], [{}]]
)
def test_a_stream_without_choices_is_no_answer(chunks: list[Json]) -> None:
    with pytest.raises(UnreadableError, match="no choices"):
        chunks_of([*chunks, {}], traceId="trace-1")


@pytest.mark.parametrize(
    "choices",
    [
        [{"index": 1, "delta": {"content": "b"}}],
        [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {}}],
    ],
)
def test_several_choices_cannot_be_streamed(choices: list[Json]) -> None:
    parser = ChunkParser()
    parser.event(envelope(said("a")[0]))
    with pytest.raises(UnreadableError, match="several choices"):
        parser.event(envelope({**data_of(), "choices": choices}))


@pytest.mark.parametrize("id_", [5, 1.5, "1", "é"])
def test_an_id_is_read_as_that_of_a_whole_answer(id_: Any) -> None:
    chunks = chunks_of([{**chunk, "id": id_} for chunk in [*said("a", "b"), FINISH]])
    assert {chunk.message.id for chunk in chunks} == {str(id_)}
    assert whole({"content": "ab"}, id=id_).id == str(id_)


@pytest.mark.parametrize("id_", [["a"], {"a": 1}, True])
def test_an_id_that_is_no_text(id_: Any) -> None:
    with pytest.raises(UnreadableError, match="its id is not a string"):
        ChunkParser().event(envelope({**said("a")[0], "id": id_}))


def test_what_each_event_repeats_comes_once() -> None:
    # Azure does so with its content filter. LangChain adds up what chunks say.
    filters = {"contentFilterResults": {"hate": {"severity": "safe", "score": 0.1}}}
    chunks = [
        chunk_of({"content": text, "type": "text", "seq": seq})
        for seq, text in enumerate("abc")
    ]
    for chunk in chunks:
        chunk["choices"][0].update(filters)
    message = merged([*chunks, FINISH])
    assert message.text == "abc"
    found = message.response_metadata["content_filter_results"]
    assert found == {"hate": {"severity": "safe", "score": 0.1}}
    assert message.additional_kwargs == {"type": "text", "seq": 2}


def test_reasoning_and_refusal() -> None:
    deltas: list[Json] = [
        {"reasoningContent": "Hm"},
        {"reasoningContent": ". ", "content": ""},
        {"content": "I"},
        {"content": " won't"},
        {"refusal": "No"},
        {"refusal": ", "},
        {"refusal": None},
        {"refusal": "no."},
    ]
    chunks = [*map(chunk_of, deltas), FINISH]
    answer = streamed(*chunks, traceId="trace-1")
    message = {"content": "I won't", "reasoningContent": "Hm. ", "refusal": "No, no."}
    assert answer == whole(message)
    # LangChain's events know no pieces of a refusal: it comes whole, with the last.
    *others, last = messages_of(chunks_of(chunks))
    assert not any("refusal" in other.additional_kwargs for other in others)
    assert last.additional_kwargs == {"refusal": "No, no."}


@pytest.mark.parametrize("name", ["reasoning", "reasoningContent", "reasoning_content"])
def test_reasoning_under_each_of_its_names(name: str) -> None:
    deltas: list[Json] = [{name: "Two "}, {name: "and "}, {name: "and "}, {name: "two"}]
    chunks = chunks_of([*map(chunk_of, deltas), FINISH])
    parts = [part.additional_kwargs for part in messages_of(chunks)[:-1]]
    assert [part["reasoning_content"] for part in parts] == [
        delta[name] for delta in deltas
    ]
    answer = streamed(*map(chunk_of, deltas), FINISH)
    assert answer.additional_kwargs == {"reasoning_content": "Two and and two"}


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        (["one"], "one"),
        (["Two ", "and two."], "Two and two."),
        (["a", "a", "b"], "aab"),
        (["same", "same", "same"], "same"),
        ([[1], [2, 3]], [1, 2, 3]),
        ([[1], [1]], [1]),
        ([1, 2], 2),
        ([{"a": 1}, {"b": 2}], {"b": 2}),
        (["a", 1], 1),
    ],
)
def test_pieces_of_unknown_fields_are_joined(values: list[Any], kept: object) -> None:
    chunks = [chunk_of({"content": "a", "newField": value}) for value in values]
    message = merged([*chunks, FINISH])
    assert message.additional_kwargs == {"new_field": kept}


def test_pieces_of_a_refusal_are_joined_even_if_they_are_the_same() -> None:
    answer = streamed(chunk_of({"refusal": "No"}), chunk_of({"refusal": "No"}), FINISH)
    assert answer.additional_kwargs == {"refusal": "NoNo"}


@pytest.mark.parametrize(
    "usage", [5, True, [], [1], "many", {"promptTokens": 1e999}, {"promptTokens": -1}]
)
def test_a_bad_usage_does_not_cost_the_stream(usage: Any) -> None:
    chunks = [*said("Hello"), chunk_of({}, "stop", usage=usage)]
    assert streamed(*chunks).text == "Hello"


def test_logprobs() -> None:
    tokens = [{"token": token, "logprob": -0.5} for token in "ab"]
    choices = [
        {"index": 0, "delta": {"content": t["token"]}, "logprobs": {"content": [t]}}
        for t in tokens
    ]
    chunks = [data_of(choice) for choice in choices]
    answer = streamed(*chunks, FINISH, traceId="trace-1")
    data = data_of(choice_of({"content": "ab"}, logprobs={"content": tokens}))
    assert (
        answer == chat_result(envelope(data, traceId="trace-1")).generations[0].message
    )


def test_unknown_fields_are_kept_once() -> None:
    fields: Json = {"systemFingerprint": "fp", "serviceTier": {"aB": 1}}
    chunks = [chunk_of({"content": text}, **fields) for text in "abc"]
    late = chunk_of({"content": "d"}, lateField="late")
    answer = streamed(*chunks, late, FINISH, traceId="trace-1")
    assert answer == whole({"content": "abcd"}, **fields, lateField="late")


@given(text=st.text(min_size=1), places=st.lists(st.integers(min_value=0)))
def test_any_split_of_a_text(text: str, places: list[int]) -> None:
    ends = [*sorted(place % (len(text) + 1) for place in places), len(text)]
    pieces = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
    answer = streamed(*said(*pieces), FINISH, traceId="trace-1")
    assert answer == whole({"content": text})


@given(
    text=st.lists(st.sampled_from("aé你👋🏽\u200d\n\r"), min_size=1).map("".join),
    places=st.lists(st.integers(min_value=0)),
)
def test_any_split_of_a_text_with_reasoning(text: str, places: list[int]) -> None:
    deltas: list[Json] = []
    for place, piece in zip(places, cuts(text.encode(), places), strict=False):
        name = "content" if place % 2 else "reasoningContent"
        deltas.append({name: piece.decode("utf-8", "replace")})
    answer = streamed(*map(chunk_of, deltas), FINISH, traceId="trace-1")
    message = {
        name: "".join(delta.get(name, "") for delta in deltas)
        for name in ("content", "reasoningContent")
        if any(name in delta for delta in deltas)
    }
    assert answer == whole(message)
