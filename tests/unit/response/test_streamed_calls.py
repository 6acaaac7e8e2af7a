"""Tool calls of a stream: told apart and put together however they were cut."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.wire import chunk_of
from tests.unit.response.test_chunks import (
    chunks_of,
    messages_of,
    said,
    streamed,
    whole,
)

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

    from tests.support.wire import Json

FINISH = chunk_of({}, "tool_calls")


def delta_of(arguments: object = None, name: str | None = None, **fields: Any) -> Json:
    """One piece of one call; only what is given is in it."""
    function = {"name": name, "arguments": arguments}
    function = {key: value for key, value in function.items() if value is not None}
    return {**fields, "function": function}


def stream(*deltas: Json | list[Json]) -> AIMessage:
    """The message of a stream with these pieces, each in an event of its own."""
    chunks = [
        chunk_of({"toolCalls": delta if isinstance(delta, list) else [delta]})
        for delta in deltas
    ]
    return streamed(*chunks, FINISH, traceId="trace-1")


def calls_of(message: AIMessage) -> list[tuple[str | None, str, Json]]:
    assert not message.invalid_tool_calls
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls]


ONE = [("a", "f", {"x": 1})]
TWO = [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]
SAME = [("a", "f", {"x": 1}), ("b", "f", {"y": 2})]

CASES: dict[str, tuple[list[Json | list[Json]], list[Any]]] = {
    "at once": ([delta_of('{"x": 1}', "f", id="a", index=0)], ONE),
    "cut": (
        [
            delta_of("", "f", id="a", index=0, type="function"),
            delta_of('{"x"', index=0),
            delta_of(": 1}", index=0),
        ],
        ONE,
    ),
    "id and name repeated": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of(": 1}", "f", id="a", index=0),
        ],
        ONE,
    ),
    "empty id and name repeated": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of(": 1}", "", id="", index=0),
        ],
        ONE,
    ),
    "null as the id of a continuation": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of(": ", id="null", index=0),
            delta_of("1}", "", id="", index=0),
        ],
        ONE,
    ),
    "id at the end": (
        [
            delta_of('{"x"', "f", index=0),
            delta_of(": 1}", index=0),
            delta_of(index=0, id="a"),
        ],
        ONE,
    ),
    "name at the end": (
        [delta_of('{"x": 1}', id="a", index=0), delta_of(name="f", index=0)],
        ONE,
    ),
    "no index": (
        [delta_of('{"x"', "f", id="a"), delta_of(": 1}")],
        ONE,
    ),
    "an index that does not begin at 0": (
        [delta_of('{"x"', "f", id="a", index=7), delta_of(": 1}", index=7)],
        ONE,
    ),
    "arguments as an object": ([delta_of({"x": 1}, "f", id="a", index=0)], ONE),
    "arguments that are empty": (
        [delta_of("", "f", id="a", index=0)],
        [("a", "f", {})],
    ),
    "arguments that are null": ([delta_of(None, "f", id="a")], [("a", "f", {})]),
    "no function in a later piece": (
        [delta_of('{"x": 1}', "f", id="a", index=0), {"index": 0, "function": None}],
        ONE,
    ),
    "two, one after the other": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of(": 1}", index=0),
            delta_of('{"y"', "g", id="b", index=1),
            delta_of(": 2}", index=1),
        ],
        TWO,
    ),
    "two, interleaved": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of('{"y"', "g", id="b", index=1),
            delta_of(": 1}", index=0),
            delta_of(": 2}", index=1),
        ],
        TWO,
    ),
    "two in each event": (
        [
            [
                delta_of('{"x"', "f", id="a", index=0),
                delta_of('{"y"', "g", id="b", index=1),
            ],
            [delta_of(": 1}", index=0), delta_of(": 2}", index=1)],
        ],
        TWO,
    ),
    "the second index first": (
        [
            delta_of('{"x": 1}', "f", id="a", index=1),
            delta_of('{"y": 2}', "g", id="b", index=0),
        ],
        TWO,
    ),
    "two without an index": (
        [
            delta_of('{"x"', "f", id="a"),
            delta_of(": 1}"),
            delta_of('{"y"', "g", id="b"),
            delta_of(": 2}"),
        ],
        TWO,
    ),
    "two without an index, ids repeated": (
        [
            delta_of('{"x"', "f", id="a"),
            delta_of(": 1}", id="a"),
            delta_of('{"y"', "g", id="b"),
            delta_of(": 2}", id="b"),
        ],
        TWO,
    ),
    "two with the same index": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of(": 1}", index=0),
            delta_of('{"y"', "g", id="b", index=0),
            delta_of(": 2}", index=0),
        ],
        TWO,
    ),
    "two with the same index, ids repeated, interleaved": (
        [
            delta_of('{"x"', "f", id="a", index=0),
            delta_of('{"y"', "g", id="b", index=0),
            delta_of(": 1", id="a", index=0),
            delta_of("}", index=0),
            delta_of(": 2}", id="b", index=0),
        ],
        TWO,
    ),
    "two calls of one tool": (
        [
            delta_of('{"x": 1}', "f", id="a", index=0),
            delta_of('{"y": 2}', "f", id="b", index=1),
        ],
        SAME,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_calls(case: str) -> None:
    deltas, expected = CASES[case]
    message = stream(*deltas)
    assert calls_of(message) == expected
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("case", CASES)
def test_they_are_the_calls_of_the_whole_answer(case: str) -> None:
    deltas, expected = CASES[case]
    calls = [
        {"id": id_, "function": {"name": name, "arguments": json.dumps(args)}}
        for id_, name, args in expected
    ]
    assert stream(*deltas) == whole({"content": "", "toolCalls": calls}, "tool_calls")


@pytest.mark.parametrize("case", CASES)
def test_ids_and_names_come_once_and_indexes_tell_calls_apart(case: str) -> None:
    deltas, expected = CASES[case]
    calls = [{"toolCalls": d if isinstance(d, list) else [d]} for d in deltas]
    chunks = messages_of(chunks_of(map(chunk_of, calls)))
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    for index, (id_, name, _) in enumerate(expected):
        own = [piece for piece in pieces if piece["index"] == index]
        assert [piece["id"] for piece in own if piece["id"]] == [id_]
        assert [piece["name"] for piece in own if piece["name"]] == [name]


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": "null"}])
@pytest.mark.parametrize("index", [{"index": 0}, {}])
def test_a_missing_id_is_made_once(missing: Json, index: Json) -> None:
    message = stream(
        delta_of('{"x"', "f", **missing, **index),
        delta_of(": 1}", **missing, **index),
    )
    ((id_, name, args),) = calls_of(message)
    assert (name, args) == ("f", {"x": 1})
    assert id_


def test_missing_ids_of_several_calls() -> None:
    message = stream(
        delta_of('{"x": 1}', "f", index=0),
        delta_of('{"y": 2}', "g", index=1, id="b"),
        delta_of("{}", "h", index=2),
    )
    ids = [call[0] for call in calls_of(message)]
    assert ids[1] == "b"
    assert all(ids)
    assert len(set(ids)) == 3


def test_calls_without_index_and_id_are_told_apart_by_name() -> None:
    message = stream(delta_of('{"x"', "f"), delta_of(": 1}"), delta_of('{"y": 2}', "g"))
    assert [call[1:] for call in calls_of(message)] == [
        ("f", {"x": 1}),
        ("g", {"y": 2}),
    ]


@pytest.mark.parametrize("arguments", ["nonsense", "[1]", '"text"', "5"])
def test_invalid_arguments_are_kept(arguments: str) -> None:
    cut = len(arguments) // 2
    message = stream(
        delta_of(arguments[:cut], "f", id="a", index=0),
        delta_of(arguments[cut:], index=0),
        delta_of('{"y": 2}', "g", id="b", index=1),
    )
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("a", "f")
    assert invalid["args"] == arguments
    (valid,) = message.tool_calls
    assert (valid["id"], valid["args"]) == ("b", {"y": 2})


@pytest.mark.parametrize(
    "arguments",
    [
        '{"path": "/home/me/tm',
        '{"a": 1',
        '{"a": "x\\',
        r'{"a": "x\\',
        r'{"a": "x\"}',
        '{"a": "}", "b": ["',
        '{"a": [1, 2',
        '{"a": [1]',
        '{"a": 1]',
        '{"a": 1}}',
        "{} and more",
        " {",
        "{a: 1}",
        '{"a": ' * 300 + "{}" + "}" * 300,
    ],
    ids=lambda arguments: f"{len(arguments)} {arguments[:20]}",
)
def test_a_call_that_is_cut_is_not_completed(arguments: str) -> None:
    # LangChain would: an agent would then run the tool with half of its arguments.
    message = stream(delta_of(arguments, "delete", id="a", index=0))
    assert message.tool_calls == []
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("a", "delete")
    assert str(invalid["args"]).startswith(arguments)
    added = str(invalid["args"])[len(arguments) :]
    assert set(added) <= set('\\"}]')
    assert len(added) <= 3


@pytest.mark.parametrize(
    "arguments",
    ['{"a": [' + "1," * 16_000, "[" * 16_000, '"' * 16_001, "no JSON " * 4_000],
    ids=lambda arguments: arguments[:10],
)
def test_a_long_call_that_is_cut_costs_linear_time(
    arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    decode = json.JSONDecoder.decode

    def counting(self: json.JSONDecoder, text: str, *args: Any) -> Any:
        nonlocal read
        read += len(text)
        return decode(self, text, *args)

    monkeypatch.setattr(json.JSONDecoder, "decode", counting)
    message = stream(delta_of(arguments, "f", id="a", index=0))
    assert len(message.invalid_tool_calls) == 1
    assert read < 10 * len(arguments)


@pytest.mark.parametrize("size", [1, 3, 50])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (r'{"a": "x\ud83d\ude00"}', "x😀"),
        (r'{"a": "\ud83d"}', "\ufffd"),
        (r'{"a": "\ude00\u0041"}', "\ufffdA"),
        (r'{"a": "\\ud83d"}', r"\ud83d"),
    ],
)
def test_no_half_character_is_in_any_chunk(
    arguments: str, text: str, size: int
) -> None:
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    first, *rest = [delta_of(piece, index=0) for piece in pieces]
    deltas = [first | delta_of(pieces[0], "f", id="a", index=0), *rest]
    events = [chunk_of({"toolCalls": [delta]}) for delta in deltas]
    so_far = None
    for chunk in messages_of(chunks_of([*events, FINISH])):
        so_far = chunk if so_far is None else so_far + chunk
        for call in so_far.tool_calls:
            str(call["args"]).encode()
    assert so_far is not None
    assert so_far.tool_calls[0]["args"] == {"a": text}


def test_unknown_fields_come_once_in_their_own_spelling() -> None:
    extra: Json = {"extra_content": {"google": {"thought_signature": "AbC"}}}
    deltas = [
        delta_of('{"x"', "f", id="a", index=0, **extra),
        delta_of(": 1}", index=0, **extra, nothing=None),
        delta_of("{}", "g", index=1, xY="z"),
        delta_of("{}", "h", id="c", index=2),
    ]
    message = stream(*deltas)
    ids = [call["id"] for call in message.tool_calls]
    kept = {"a": extra, ids[1]: {"xY": "z"}}
    assert message.additional_kwargs == {"tool_call_extras": kept}


def test_null_is_no_arguments() -> None:
    message = stream(delta_of("null", "now", id="a", index=0))
    assert [call["args"] for call in message.tool_calls] == [{}]


@pytest.mark.parametrize("size", [10, 5_000])
def test_a_call_in_one_piece_is_parsed_in_its_chunk(size: int) -> None:
    arguments = json.dumps({"a": "x" * size})
    chunks = chunks_of(
        [chunk_of({"toolCalls": [delta_of(arguments, "f", id="a", index=0)]}), FINISH]
    )
    first, _ = messages_of(chunks)
    assert [call["args"] for call in first.tool_calls] == [{"a": "x" * size}]


@pytest.mark.parametrize("fields", [{}, {"usage": {"totalTokens": 1}}], ids=repr)
def test_pieces_from_the_middle_are_not_parsed(fields: Json) -> None:
    # LangChain would drop a character of each and try again, to the last one.
    deltas = [
        delta_of('{"a', "f", id="a", index=0),
        delta_of('": "word', index=0),
        delta_of(' word"}', index=0),
    ]
    events = [chunk_of({"toolCalls": [delta]}, **fields) for delta in deltas]
    chunks = chunks_of([*said("a"), *events, FINISH])
    _, first, *rest, _ = messages_of(chunks)
    assert [call["name"] for call in first.tool_calls] == ["f"]
    for chunk in (first, *rest):
        assert chunk.id == "chatcmpl-1"
        assert chunk.response_metadata == {"model_provider": "pmock"}
    for chunk in rest:
        assert len(chunk.tool_call_chunks) == 1
        assert not chunk.tool_calls
        assert not chunk.invalid_tool_calls
    assert stream(*deltas).tool_calls[0]["args"] == {"a": "word word"}
