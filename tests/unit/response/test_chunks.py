"""Chunks of a stream: merged, they are the message that a whole answer would be."""

import pickle
from collections.abc import Iterator
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from langchain_pmock._json import UnreadableError
from langchain_pmock._response import chunks
from langchain_pmock._response.chunks import text_chunks
from langchain_pmock._response.messages import chat_result
from langchain_pmock._wire import snake_case
from tests.support.answers import chunks_of, message_of, streamed
from tests.support.wire import Json, choice_of, chunk_of, data_of, envelope, pieces_of

USAGE = {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
METADATA = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def texts(*parts: str) -> list[Json]:
    return [chunk_of({"content": part}) for part in parts]


def whole(message: Json, **fields: Any) -> Any:
    return message_of(message, trace_id="trace-1", **fields)


def choosing(**choice: Any) -> Json:
    """An event whose choice has only what is given."""
    return {**data_of(), "choices": [choice]}


FINISH = chunk_of({}, "stop")
# Events without text, which may come between others.
FILLERS: list[Json] = [
    chunk_of(None),
    chunk_of({"role": "assistant", "content": ""}),
    chunk_of({"role": "assistant", "content": None}, created=5, model="m", id="other"),
    {"id": "chatcmpl-1"},
    data_of() | {"choices": None},
    choosing(index=0, delta=None),
    choosing(index=None, delta={"content": ""}),
    # Some services count up.
    chunk_of(None, usage={"promptTokens": 3, "completionTokens": 2}),
    chunk_of({}, usage=None),
]
SNAKE_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
ENDS: list[list[Json]] = [
    [chunk_of({}, "stop", usage=USAGE)],
    [FINISH, chunk_of(None, usage=USAGE)],
    [FINISH, chunk_of({}, usage=USAGE)],
    [chunk_of(None, usage=USAGE), FINISH],
    [FINISH, chunk_of({}, "stop", usage=USAGE)],
    [choosing(delta={}, finish_reason="stop") | {"usage": SNAKE_USAGE}],
    [data_of(choice_of({"content": ""}), usage=USAGE)],  # a whole message
]


@given(
    text=st.text(min_size=1),
    places=st.lists(st.integers(min_value=0)),
    fillers=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(FILLERS))),
    end=st.sampled_from(ENDS),
    form=st.sampled_from([{"index": 0}, {}, {"index": None}]),
)
def test_merged_chunks_are_the_whole_message(
    text: str,
    places: list[int],
    fillers: list[tuple[int, Json]],
    end: list[Json],
    form: Json,
) -> None:
    parts = [part for part in pieces_of(text, places) if part]
    stream = [choosing(**form, delta={"content": part}) for part in parts]
    for place, filler in fillers:
        stream.insert(1 + place, filler)
    stream += end
    assert streamed(*stream, traceId="trace-1") == whole({"content": text}, usage=USAGE)
    messages = chunks_of(stream, traceId="trace-1")
    assert [message.text for message in messages] == [*parts, ""]
    for name in ("id", "model_name", "created", "trace_id", "finish_reason"):
        assert sum(name in message.response_metadata for message in messages) == 1, name
    assert [m.usage_metadata for m in messages if m.usage_metadata] == [METADATA]
    assert [m.chunk_position for m in messages] == [None] * len(parts) + ["last"]
    assert messages[-1].response_metadata["finish_reason"] == "stop"
    assert {m.response_metadata["model_provider"] for m in messages} == {"pmock"}
    assert {m.id for m in messages} == {None}  # LangChain sets it


@pytest.mark.parametrize(
    "events",
    [
        [chunk_of({"content": "Hi"}, "stop", usage=USAGE)],
        [data_of(choice_of({"content": "Hi"}), usage=USAGE)],
        # A short event with text and usage.
        [
            *texts("H"),
            {"choices": [{"index": 0, "delta": {"content": "i"}}], "usage": USAGE},
            FINISH,
        ],
    ],
)
def test_text_and_usage_in_one_event(events: list[Json]) -> None:
    answer = streamed(*events, traceId="trace-1")
    assert answer == whole({"content": "Hi"}, usage=USAGE)


@pytest.mark.parametrize("id_", [None, 5, 1.5, "1", "é"])
def test_id_is_converted_as_in_a_whole_answer(id_: Any) -> None:
    answer = streamed(*({**part, "id": id_} for part in [*texts("a", "b"), FINISH]))
    kept = None if id_ is None else str(id_)
    assert answer.response_metadata.get("id") == kept
    assert whole({"content": "ab"}, id=id_).response_metadata.get("id") == kept


def test_answer_without_text_usage_finish_reason_or_trace_id() -> None:
    assert streamed(FINISH).content == ""
    assert streamed(FINISH).usage_metadata is None
    metadata = streamed(*texts("a")).response_metadata
    assert not {"finish_reason", "trace_id"} & metadata.keys()


def test_repeated_field_is_kept_once() -> None:
    # Azure repeats its content filter, and LangChain adds up the chunks.
    fields: Json = {"systemFingerprint": "fp", "serviceTier": {"aB": 1}}
    chunks = [chunk_of({"content": text, "type": "text"}, **fields) for text in "abc"]
    for chunk in chunks:
        chunk["choices"][0]["contentFilterResults"] = {"hate": {"score": 0.1}}
    late = chunk_of({"content": "d"}, lateField="late")
    answer = streamed(*chunks, late, FINISH, traceId="trace-1")
    expected = whole({"content": "abcd", "type": "text"}, **fields, lateField="late")
    filters = answer.response_metadata.pop("content_filter_results")
    assert filters == {"hate": {"score": 0.1}}
    assert answer == expected


def test_reasoning_and_refusal() -> None:
    deltas: list[Json] = [
        *({"reasoningContent": "Hm"}, {"reasoningContent": ". ", "content": ""}),
        *({"content": "I"}, {"content": " won't"}),
        *({"refusal": "No"}, {"refusal": ", "}, {"refusal": None}, {"refusal": "no."}),
    ]
    chunks = [*map(chunk_of, deltas), FINISH]
    message = {"content": "I won't", "reasoningContent": "Hm. ", "refusal": "No, no."}
    assert streamed(*chunks, traceId="trace-1") == whole(message)
    # LangChain's events have no pieces of a refusal, so the last chunk has it.
    *others, last = chunks_of(chunks)
    assert not any("refusal" in other.additional_kwargs for other in others)
    assert last.additional_kwargs == {"refusal": "No, no."}


@pytest.mark.parametrize("name", ["reasoning", "reasoningContent", "reasoning_content"])
def test_reasoning_under_each_of_its_names(name: str) -> None:
    words = ["Two ", "and ", "and ", "two"]
    chunks = chunks_of([*(chunk_of({name: word}) for word in words), FINISH])
    parts = [part.additional_kwargs for part in chunks]
    assert parts == [*({"reasoning_content": word} for word in words), {}]


DEEP = {"a": {"b": {"c": [*range(500)]}}}


@pytest.mark.parametrize(
    ("name", "values", "kept"),
    [
        ("newField", ["one"], "one"),
        ("newField", ["Two ", "and two."], "Two and two."),
        ("newField", ["a", "a", "b"], "aab"),
        ("newField", ["same", "same", "same"], "same"),
        ("newField", [[1], [2, 3]], [1, 2, 3]),
        ("newField", [[1], [1]], [1]),
        ("newField", [1, 2], 2),
        ("newField", [{"a": "x"}, {"b": 2}, {"a": "y"}], {"a": "xy", "b": 2}),
        ("newField", [{"a": {"b": {"c": [n]}}} for n in range(500)], DEEP),
        ("newField", ["a", 1], 1),
        ("name", ["Anna", 5], 5),
        # A text, of which two pieces may be the same.
        ("refusal", ["No", "No"], "NoNo"),
        ("refusal", ["No", {"a": 1}], 'No{"a": 1}'),
        ("reasoningContent", ["Hm", ["."]], 'Hm["."]'),
    ],
)
def test_pieces_of_a_field_are_joined(
    name: str, values: list[Any], kept: object
) -> None:
    chunks = [chunk_of({"content": "a", name: value}) for value in values]
    message = reduce(add, chunks_of([*chunks, FINISH]))
    assert message.additional_kwargs == {snake_case(name): kept}


def test_content_that_becomes_a_list() -> None:
    block = {"type": "text", "text": " there"}
    deltas: list[Json] = [{"content": "Hi"}, {"content": [block]}, {"content": "!"}]
    assert streamed(*map(chunk_of, deltas), FINISH).content == ["Hi", block, "!"]


def test_logprobs() -> None:
    tokens = [{"token": token, "logprob": -0.5} for token in "ab"]
    chunks = [
        choosing(index=0, delta={"content": t["token"]}, logprobs={"content": [t]})
        for t in tokens
    ]
    data = data_of(choice_of({"content": "ab"}, logprobs={"content": tokens}))
    (expected,) = chat_result(envelope(data)).generations
    assert streamed(*chunks, FINISH) == expected.message


# --- Other structures ----------------------------------------------------------------


@pytest.mark.parametrize(
    "chunks", [[], [chunk_of(None)], [chunk_of(None, usage=USAGE)], [{}]]
)
def test_stream_without_choices(chunks: list[Json]) -> None:
    with pytest.raises(UnreadableError, match="no choices"):
        chunks_of([*chunks, {}], traceId="trace-1")


INDEXED = [{"index": 0, "x": 1}, {"index": 0, "x": "1"}]
TWO = [{"index": 0}, {"index": 1}]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (choosing(delta="Hi"), "delta is a string, not an object"),
        (chunk_of({"content": INDEXED}), "content has blocks that cannot be merged: "),
        (choosing(index=1, delta={"content": "b"}), "the stream has several choices"),
        ({"choices": TWO}, "the stream has several choices"),
        (choosing(logprobs=5), "logprobs is a number, not an object"),
        (choosing(logprobs={"content": "a"}), "logprobs is a string, not a list"),
        (choosing(logprobs={"content": TWO}), "logprobs has tokens with an index"),
    ],
)
@pytest.mark.parametrize("before", [[], texts("a")], ids=["first", "later"])
def test_event_that_cannot_be_a_chunk(
    before: list[Json], event: Json, reason: str
) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}"):
        chunks_of([*before, data_of() | event])


# --- Text chunks, which are restored instead of constructed --------------------------


def constructed(text: str) -> ChatGenerationChunk:
    metadata = {"model_provider": "pmock"}
    message = AIMessageChunk(content=text, response_metadata=metadata)
    return ChatGenerationChunk(message=message)


def state_of(chunk: ChatGenerationChunk) -> list[Any]:
    return [chunk.__getstate__(), chunk.message.__getstate__()]


@given(text=st.text())
def test_text_chunk_equals_a_constructed_one(text: str) -> None:
    chunk, expected = text_chunks()(text), constructed(text)
    assert chunk == expected
    assert state_of(chunk) == state_of(expected)
    assert dumpd(chunk.message) == dumpd(expected.message)
    assert chunk.text == text
    assert chunk + expected == expected + chunk
    assert pickle.loads(pickle.dumps(chunk)) == expected  # noqa: S301 - our own


def test_text_chunks_share_no_containers() -> None:
    make = text_chunks()
    one, other = make("a"), make("a")
    message: Any = one.message
    for value in vars(message).values():
        if isinstance(value, dict):
            value["x"] = 1
        elif isinstance(value, list):
            value.append({"name": "x", "args": "", "id": "1", "index": 0})
    message.more = one.text = message.name = "x"
    one.generation_info = {"x": 1}
    expected = constructed("a")
    for chunk in (other, make("a")):
        assert [vars(chunk), vars(chunk.message)] == [
            vars(expected),
            vars(expected.message),
        ]
        assert chunk.message.__pydantic_extra__ == {}
    assert state_of(text_chunks()("a")) == state_of(expected)


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
    chunks._template.cache_clear()
    yield
    chunks._template.cache_clear()


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize(
    "cls", [NewMessage, NewChunk, CheckedMessage, UnpickledMessage]
)
def test_chunks_of_other_classes_are_constructed(
    monkeypatch: pytest.MonkeyPatch, cls: type[Any]
) -> None:
    assert chunks._template()
    chunks._template.cache_clear()
    monkeypatch.setattr(chunks, cls.__mro__[1].__name__, cls)
    make = text_chunks()
    made, other = make("a"), make("a")
    assert made.text == "a"
    assert cls in (type(made), type(made.message))
    of_first, of_second = (
        getattr(one, "added", getattr(one.message, "added", None))
        for one in (made, other)
    )
    assert of_first is not of_second or of_first is None
    assert made.message.name == ("computed" if cls is CheckedMessage else None)
