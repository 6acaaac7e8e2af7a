"""Chunks of a stream: merged, they are the message that a whole answer would be."""

from __future__ import annotations

import pickle
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk
from pydantic import Field

from langchain_pmock._json import UnreadableError
from langchain_pmock._response import chunks
from langchain_pmock._response.chunks import ChunkParser, text_chunks
from langchain_pmock._response.messages import chat_result
from tests.support.answers import chunks_of, message_of, pieces_of, streamed
from tests.support.wire import choice_of, chunk_of, data_of, envelope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.wire import Json

USAGE = {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
METADATA = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}


def texts(*parts: str) -> list[Json]:
    return [chunk_of({"content": part}) for part in parts]


def whole(message: Json, **fields: Any) -> Any:
    return message_of(message, trace_id="trace-1", **fields)


FINISH = chunk_of({}, "stop")
# Ways to stream the same answer: "Hello there", and its usage.
STREAMS: dict[str, list[Json]] = {
    "as documented": [
        *texts("Hello", " ", "there"),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a role first": [
        chunk_of({"role": "assistant", "content": ""}),
        *texts("Hello there"),
        chunk_of({}, "stop", usage=USAGE),
    ],
    "a role each time": [
        chunk_of({"role": "assistant", "content": "Hello there"}),
        chunk_of({"role": "assistant", "content": None}, "stop", usage=USAGE),
    ],
    "everything at once": [chunk_of({"content": "Hello there"}, "stop", usage=USAGE)],
    "usage after the finish": [
        *texts("Hello", " there"),
        FINISH,
        chunk_of(None, usage=USAGE),
    ],
    "usage after the finish, with an empty choice": [
        *texts("Hello", " there"),
        FINISH,
        chunk_of({}, usage=USAGE),
    ],
    "usage before the finish": [
        *texts("Hello", " there"),
        chunk_of(None, usage=USAGE),
        FINISH,
    ],
    "usage that counts up": [
        chunk_of({"content": "Hello"}, usage={**USAGE, "completionTokens": 1}),
        chunk_of({"content": " "}, usage={"promptTokens": 3, "completionTokens": 2}),
        chunk_of({"content": "there"}, "stop", usage=USAGE),
    ],
    "usage that counts up in short events": [
        *texts("Hello"),
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
        *texts("Hello"),
        chunk_of(None),
        *texts(" there"),
        chunk_of({}, "stop", usage=USAGE),
        chunk_of(None),
    ],
    "choices that are missing or null": [
        *texts("Hello there"),
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
        *texts("Hello there"),
        {**data_of(), "choices": [{"index": 0, "delta": None}]},
        {
            **data_of(usage=USAGE),
            "choices": [{"index": 0, "delta": None, "finishReason": "stop"}],
        },
    ],
    "snake_case": [
        *texts("Hello there"),
        {
            **data_of(),
            "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        },
    ],
    "the finish twice": [
        *texts("Hello there"),
        FINISH,
        chunk_of({}, "stop", usage=USAGE),
    ],
    "another created and model in between": [
        *texts("Hello"),
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
def test_metadata_and_usage_are_in_one_chunk(case: str) -> None:
    messages = chunks_of(STREAMS[case], traceId="trace-1")
    for name in ("id", "model_name", "created", "trace_id", "finish_reason"):
        assert sum(name in message.response_metadata for message in messages) == 1, name
    assert [m.usage_metadata is not None for m in messages].count(True) == 1
    assert [m.chunk_position for m in messages[:-1]] == [None] * (len(messages) - 1)
    assert messages[-1].chunk_position == "last"
    assert messages[-1].response_metadata["finish_reason"] == "stop"
    assert {m.response_metadata["model_provider"] for m in messages} == {"pmock"}
    assert {m.id for m in messages} == {"chatcmpl-1"}


def test_only_the_last_chunk_is_empty() -> None:
    chunks = chunks_of([chunk_of({"content": ""}), *texts("a", "", "b"), FINISH])
    assert [chunk.text for chunk in chunks] == ["a", "b", ""]


def test_without_a_trace_id_there_is_none() -> None:
    assert "trace_id" not in streamed(*texts("a"), FINISH).response_metadata


def test_missing_id_is_none() -> None:
    # LangChain creates one if it is None, but not if it is empty.
    chunks = [{**chunk, "id": None} for chunk in (*texts("a", "b"), FINISH)]
    assert {message.id for message in chunks_of(chunks)} == {None}


def test_snake_case_names() -> None:
    function = {"name": "f", "arguments": "{}"}
    call = {"index": 0, "id": "a", "type": "function", "function": function}
    message = streamed(chunk_of({"tool_calls": [call]}), FINISH, trace_id="trace-1")
    assert [call["name"] for call in message.tool_calls] == ["f"]
    assert message.response_metadata["trace_id"] == "trace-1"


def test_answer_without_text_usage_or_finish_reason() -> None:
    assert streamed(FINISH).content == ""
    assert streamed(FINISH).usage_metadata is None
    assert "finish_reason" not in streamed(*texts("a")).response_metadata


@pytest.mark.parametrize(
    "chunks", [[], [chunk_of(None)], [chunk_of(None, usage=USAGE)], [{}]]
)
def test_stream_without_choices(chunks: list[Json]) -> None:
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
    parser.event(envelope(texts("a")[0]))
    with pytest.raises(UnreadableError, match="several choices"):
        parser.event(envelope({**data_of(), "choices": choices}))


@pytest.mark.parametrize("id_", [5, 1.5, "1", "é"])
def test_id_is_converted_as_in_a_whole_answer(id_: Any) -> None:
    chunks = chunks_of([{**chunk, "id": id_} for chunk in [*texts("a", "b"), FINISH]])
    assert {chunk.id for chunk in chunks} == {str(id_)}
    assert whole({"content": "ab"}, id=id_).id == str(id_)


def test_repeated_field_is_kept_once() -> None:
    # Azure repeats its content filter, and LangChain adds up the chunks.
    filters = {"contentFilterResults": {"hate": {"severity": "safe", "score": 0.1}}}
    chunks = [
        chunk_of({"content": text, "type": "text", "seq": seq})
        for seq, text in enumerate("abc")
    ]
    for chunk in chunks:
        chunk["choices"][0].update(filters)
    message = reduce(add, chunks_of([*chunks, FINISH]))
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
    # LangChain's events have no pieces of a refusal, so the last chunk has it.
    *others, last = chunks_of(chunks)
    assert not any("refusal" in other.additional_kwargs for other in others)
    assert last.additional_kwargs == {"refusal": "No, no."}


@pytest.mark.parametrize("name", ["reasoning", "reasoningContent", "reasoning_content"])
def test_reasoning_under_each_of_its_names(name: str) -> None:
    deltas: list[Json] = [{name: "Two "}, {name: "and "}, {name: "and "}, {name: "two"}]
    chunks = chunks_of([*map(chunk_of, deltas), FINISH])
    parts = [part.additional_kwargs for part in chunks[:-1]]
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
    message = reduce(add, chunks_of([*chunks, FINISH]))
    assert message.additional_kwargs == {"new_field": kept}


def test_pieces_of_a_refusal_are_joined_even_if_they_are_the_same() -> None:
    answer = streamed(chunk_of({"refusal": "No"}), chunk_of({"refusal": "No"}), FINISH)
    assert answer.additional_kwargs == {"refusal": "NoNo"}


@pytest.mark.parametrize(
    "usage", [5, True, [], [1], "many", {"promptTokens": 1e999}, {"promptTokens": -1}]
)
def test_invalid_usage_is_left_out(usage: Any) -> None:
    chunks = [*texts("Hello"), chunk_of({}, "stop", usage=usage)]
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
    answer = streamed(*texts(*pieces_of(text, places)), FINISH, traceId="trace-1")
    assert answer == whole({"content": text})


# --- Other structures ----------------------------------------------------------------

# Fields that change their type within a stream: what the message has.
CHANGES: dict[str, tuple[list[Json], Json]] = {
    "reasoning": (
        [{"reasoningContent": "Hm"}, {"reasoningContent": ["."]}],
        {"additional_kwargs": {"reasoning_content": 'Hm["."]'}},
    ),
    "refusal": (
        [{"refusal": "No"}, {"refusal": {"a": 1}}],
        {"additional_kwargs": {"refusal": 'No{"a": 1}'}},
    ),
    "content": (
        [
            {"content": "Hi"},
            {"content": [{"type": "text", "text": " there"}]},
            {"content": "!"},
        ],
        {"content": ["Hi", {"type": "text", "text": " there"}, "!"]},
    ),
    "name": ([{"name": "Anna"}, {"name": 5}], {"additional_kwargs": {"name": 5}}),
    "id of a call": (
        [
            {"toolCalls": [{"index": 0, "id": 5, "function": {"name": "f"}}]},
            {"toolCalls": [{"index": 0, "id": "5", "function": {"arguments": "{}"}}]},
        ],
        {"tool_calls": [{"name": "f", "args": {}, "id": "5", "type": "tool_call"}]},
    ),
    "arguments": (
        [
            {"toolCalls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
            {"toolCalls": [{"index": 0, "function": {"arguments": {"x": 1}}}]},
        ],
        {
            "tool_calls": [
                {"name": "f", "args": {"x": 1}, "id": "a", "type": "tool_call"}
            ]
        },
    ),
}


@pytest.mark.parametrize("case", CHANGES)
def test_field_that_changes_its_type(case: str) -> None:
    deltas, fields = CHANGES[case]
    answer = streamed(*map(chunk_of, deltas), FINISH)
    assert {name: getattr(answer, name) for name in fields} == fields


@pytest.mark.parametrize(
    ("delta", "reason"),
    [
        ("Hi", "delta is a string, not an object"),
        ({"content": 5}, "content is a number, not a list"),
        ({"toolCalls": {}}, "toolCalls is an object, not a list"),
        ({"toolCalls": ["f"]}, r"toolCalls\[0\] is a string, not an object"),
        ({"toolCalls": [{"function": []}]}, "function is a list, not an object"),
        ({"toolCalls": [{"function": {"name": 5}}]}, "name is a number, not a string"),
        ({"toolCalls": [{"id": ["a"]}]}, "id is a list, not a string"),
        (
            {"content": [{"index": 0, "x": 1}, {"index": 0, "x": "1"}]},
            "content has blocks that cannot be merged: .*",
        ),
    ],
)
@pytest.mark.parametrize("before", [[], texts("a")], ids=["first", "later"])
def test_delta_without_the_documented_structure(
    before: list[Json], delta: Any, reason: str
) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}$"):
        chunks_of([*before, chunk_of(delta)])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"choices": 5}, "choices is a number, not a list"),
        ({"choices": ["a"]}, r"choices\[0\] is a string, not an object"),
        ({"id": {}}, "id is an object, not a string"),
        ({"model": []}, "model is a list, not a string"),
        ({"choices": [{"delta": {}, "logprobs": 5}]}, "logprobs is a number, .*"),
        (
            {"choices": [{"delta": {}, "logprobs": {"content": "a"}}]},
            "logprobs is a string, not a list",
        ),
        (
            {"choices": [{"delta": {}, "logprobs": {"content": [{"index": 1}]}}]},
            "logprobs has tokens with an index",
        ),
    ],
)
def test_event_without_the_documented_structure(data: Json, reason: str) -> None:
    with pytest.raises(UnreadableError, match=f"^{reason}$"):
        chunks_of([*texts("a"), data_of() | data])


_NAMES = """
    id index type text content name arguments function toolCalls reasoning refusal
    choices delta message finishReason logprobs model usage value modelProvider
    output_version toolCallExtras promptTokens
"""
_names = st.sampled_from(_NAMES.split()) | st.text(max_size=3)
_scalars = st.sampled_from(
    [None, True, 0, 1, -0.5, "", "a", "0", "lc_1", "text", "non_standard", "v1", "{}"]
)
_json = st.recursive(
    _scalars | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4)
    ),
    max_leaves=6,
)


def _mostly(usual: Any) -> Any:
    return st.integers(0, 20).flatmap(lambda n: usual if n else _json)


def _object(**fields: Any) -> Any:
    """Objects with some of these fields, and with others."""
    usual = st.fixed_dictionaries(
        {}, optional={k: _mostly(v) for k, v in fields.items()}
    )
    others: Any = st.just({}) | st.dictionaries(_names, _json, max_size=2)
    return st.builds(lambda others, usual: {**others, **usual}, others, usual)


_text = st.sampled_from(["", "a", "{}", '{"x": ', "}"])
_index = st.sampled_from([0, 1, "0", "1", None])
_blocks = st.lists(_object(type=_json, text=_text, index=_index, id=_text, value=_json))
_deltas = _object(
    content=_text | _blocks,
    reasoning=_text,
    refusal=_text,
    toolCalls=st.lists(
        _object(index=_index, id=_text, function=_object(name=_text, arguments=_text)),
        max_size=3,
    ),
)
_tokens = st.lists(_object(token=_text, logprob=st.sampled_from([-0.5, -1.5])))


def _data(**choice: Any) -> Any:
    choice["finishReason"] = st.sampled_from(["stop", None])
    choices = st.lists(_mostly(_object(**choice)), min_size=1, max_size=1)
    usage = _object(promptTokens=_json, promptTokensDetails=_json)
    return _object(
        id=st.just("x"), model=st.just("m"), choices=choices, usage=usage
    ).map(lambda data: data if isinstance(data, dict) else {})


@given(
    events=st.lists(
        _data(index=st.just(0), delta=_deltas, logprobs=_object(content=_tokens)),
        min_size=1,
        max_size=4,
    )
)
def test_any_stream_is_unreadable_or_its_chunks_can_be_merged(
    events: list[Json],
) -> None:
    parser = ChunkParser()
    made: list[Any] = []
    try:
        made.extend(parser.event(envelope(event)) for event in events)
        made.append(parser.end())
    except UnreadableError:
        pass
    if made := [chunk.message for chunk in made if chunk is not None]:
        one_by_one, at_once = reduce(add, made), made[0] + made[1:]
        assert one_by_one.text == at_once.text
        for message in (*made, at_once, message_chunk_to_message(at_once)):
            assert message.model_dump()
            assert isinstance(message.content_blocks, list)


@given(data=_data(message=_deltas, logprobs=_json))
def test_any_answer_is_unreadable_or_a_message(data: Json) -> None:
    try:
        result = chat_result(envelope(data))
    except UnreadableError:
        return
    for generation in result.generations:
        assert generation.message.model_dump()
        assert isinstance(generation.message.content_blocks, list)


# --- Text chunks, which are restored instead of constructed --------------------------


def constructed(text: str, id_: str | None) -> ChatGenerationChunk:
    message = AIMessageChunk(
        content=text, id=id_, response_metadata={"model_provider": "pmock"}
    )
    return ChatGenerationChunk(message=message)


@given(text=st.text(), id_=st.none() | st.text())
def test_text_chunk_equals_a_constructed_one(text: str, id_: str | None) -> None:
    chunk, expected = text_chunks()(text, id_), constructed(text, id_)
    assert chunk == expected
    assert vars(chunk) == vars(expected)
    assert vars(chunk.message) == vars(expected.message)
    assert chunk.model_fields_set == expected.model_fields_set
    assert chunk.message.model_fields_set == expected.message.model_fields_set
    assert dumpd(chunk.message) == dumpd(expected.message)
    assert chunk.text == text
    assert chunk + expected == expected + chunk
    assert pickle.loads(pickle.dumps(chunk)) == expected  # noqa: S301 - our own


def test_text_chunks_share_no_containers() -> None:
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
    expected = constructed("a", "1")
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
    chunks._can_restore.cache_clear()
    yield
    chunks._can_restore.cache_clear()


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize(
    "cls", [NewMessage, NewChunk, CheckedMessage, UnpickledMessage]
)
def test_chunks_of_other_classes_are_constructed(
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
def test_chunks_of_this_version_are_restored() -> None:
    assert chunks._can_restore()
