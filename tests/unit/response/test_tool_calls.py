"""Tool calls of a stream: assigned and merged, however they were cut."""

from __future__ import annotations

import json
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock._json import UnreadableError
from tests.support.answers import chunks_of, fragment, message_of, pieces_of, streamed
from tests.support.service import Service, streams
from tests.support.wire import chunk_of, events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.messages import AIMessage

    from tests.support.wire import Json

FINISH = chunk_of({}, "tool_calls")


def events_of(fragments: Iterable[Json | list[Json]]) -> list[Json]:
    """The events of a stream: each has a fragment, or several."""
    lists = [part if isinstance(part, list) else [part] for part in fragments]
    return [*(chunk_of({"toolCalls": part}) for part in lists), FINISH]


def stream(*fragments: Json | list[Json]) -> AIMessage:
    return streamed(*events_of(fragments), traceId="trace-1")


def calls_of(message: AIMessage) -> list[tuple[str | None, str, Json]]:
    assert not message.invalid_tool_calls
    return [(call["id"], call["name"], call["args"]) for call in message.tool_calls]


ONE = [("a", "f", {"x": 1})]
TWO = [("a", "f", {"x": 1}), ("b", "g", {"y": 2})]
SAME = [("a", "f", {"x": 1}), ("b", "f", {"y": 2})]

CASES: dict[str, tuple[list[Json | list[Json]], list[Any]]] = {
    "whole": ([fragment('{"x": 1}', "f", id="a", index=0)], ONE),
    "cut": (
        [
            fragment("", "f", id="a", index=0, type="function"),
            fragment('{"x"', index=0),
            fragment(": 1}", index=0),
        ],
        ONE,
    ),
    "id and name repeated": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": 1}", "f", id="a", index=0),
        ],
        ONE,
    ),
    "empty id and name repeated": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": 1}", "", id="", index=0),
        ],
        ONE,
    ),
    "null as the id of a continuation": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": ", id="null", index=0),
            fragment("1}", "", id="", index=0),
        ],
        ONE,
    ),
    "id at the end": (
        [
            fragment('{"x"', "f", index=0),
            fragment(": 1}", index=0),
            fragment(index=0, id="a"),
        ],
        ONE,
    ),
    "name at the end": (
        [fragment('{"x": 1}', id="a", index=0), fragment(name="f", index=0)],
        ONE,
    ),
    "no index": (
        [fragment('{"x"', "f", id="a"), fragment(": 1}")],
        ONE,
    ),
    "an index that does not begin at 0": (
        [fragment('{"x"', "f", id="a", index=7), fragment(": 1}", index=7)],
        ONE,
    ),
    "arguments as an object": ([fragment({"x": 1}, "f", id="a", index=0)], ONE),
    "arguments that are empty": (
        [fragment("", "f", id="a", index=0)],
        [("a", "f", {})],
    ),
    "arguments that are null": ([fragment(None, "f", id="a")], [("a", "f", {})]),
    "no function in a later piece": (
        [fragment('{"x": 1}', "f", id="a", index=0), {"index": 0, "function": None}],
        ONE,
    ),
    "two, one after the other": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": 1}", index=0),
            fragment('{"y"', "g", id="b", index=1),
            fragment(": 2}", index=1),
        ],
        TWO,
    ),
    "two, interleaved": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment('{"y"', "g", id="b", index=1),
            fragment(": 1}", index=0),
            fragment(": 2}", index=1),
        ],
        TWO,
    ),
    "two in each event": (
        [
            [
                fragment('{"x"', "f", id="a", index=0),
                fragment('{"y"', "g", id="b", index=1),
            ],
            [fragment(": 1}", index=0), fragment(": 2}", index=1)],
        ],
        TWO,
    ),
    "the second index first": (
        [
            fragment('{"x": 1}', "f", id="a", index=1),
            fragment('{"y": 2}', "g", id="b", index=0),
        ],
        TWO,
    ),
    "two without an index": (
        [
            fragment('{"x"', "f", id="a"),
            fragment(": 1}"),
            fragment('{"y"', "g", id="b"),
            fragment(": 2}"),
        ],
        TWO,
    ),
    "two without an index, ids repeated": (
        [
            fragment('{"x"', "f", id="a"),
            fragment(": 1}", id="a"),
            fragment('{"y"', "g", id="b"),
            fragment(": 2}", id="b"),
        ],
        TWO,
    ),
    "two with the same index": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": 1}", index=0),
            fragment('{"y"', "g", id="b", index=0),
            fragment(": 2}", index=0),
        ],
        TWO,
    ),
    "two with the same index, ids repeated, interleaved": (
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment('{"y"', "g", id="b", index=0),
            fragment(": 1", id="a", index=0),
            fragment("}", index=0),
            fragment(": 2}", id="b", index=0),
        ],
        TWO,
    ),
    "two calls of one tool": (
        [
            fragment('{"x": 1}', "f", id="a", index=0),
            fragment('{"y": 2}', "f", id="b", index=1),
        ],
        SAME,
    ),
    "fragments of one call in an event": (
        [
            [fragment("", "f", id="a", index=0), fragment('{"x"', index=0)],
            [fragment(": ", index=0), fragment("1}", index=0)],
        ],
        ONE,
    ),
    "name in pieces": (
        [
            fragment("", "get_", id="a", index=0),
            fragment("", "weather", index=0),
            fragment('{"x": 1}', "get_weather", index=0),
        ],
        [("a", "get_weather", {"x": 1})],
    ),
    "name in pieces in an event": (
        [[fragment(name="get_", id="a", index=0), fragment("{}", "time", index=0)]],
        [("a", "get_time", {})],
    ),
    "index of two types": (
        [
            fragment('{"x"', "f", id="a", index="0"),
            fragment(": ", index=0),
            fragment("1}", index=0.0),
        ],
        ONE,
    ),
    "index that is no number": (
        [
            fragment('{"x"', "f", id="a", index="first"),
            fragment('{"y"', "g", id="b", index="second"),
            fragment(": 1}", index="first"),
            fragment(": 2}", index="second"),
        ],
        TWO,
    ),
    "index in the first fragment only": (
        [fragment('{"x"', "f", id="a", index=0), fragment(": 1}")],
        ONE,
    ),
    "another id in each fragment": (  # vLLM makes them up
        [
            fragment('{"x"', "f", id="a", index=0),
            fragment(": ", id="made-up-1", index=0),
            fragment("1}", id="made-up-2", index=0),
        ],
        ONE,
    ),
    "id at the end, without an index": (
        [fragment('{"x": 1}', "f"), fragment(id="a")],
        ONE,
    ),
}
# Calls that came without ids.
UNIDENTIFIED: dict[str, tuple[list[Json | list[Json]], list[Any]]] = {
    "no index": (
        [fragment('{"x"', "f"), fragment(": 1}"), fragment('{"y": 2}', "g")],
        [("f", {"x": 1}), ("g", {"y": 2})],
    ),
    "no index, name repeated": (
        [fragment('{"x"', "f"), fragment(": 1}", "f"), fragment('{"y": 2}', "f")],
        [("f", {"x": 1}), ("f", {"y": 2})],
    ),
    "no index, no arguments": (
        [fragment("", "f"), fragment("", "g")],
        [("f", {}), ("g", {})],
    ),
    "index 0 for both": (
        [fragment('{"x": 1}', "f", index=0), fragment('{"y": 2}', "f", index=0)],
        [("f", {"x": 1}), ("f", {"y": 2})],
    ),
    "name repeated after the arguments": (
        [fragment('{"x": 1}', "f", index=0), fragment("", "f", index=0)],
        [("f", {"x": 1})],
    ),
    "name repeated before a string of brackets": (
        [
            fragment('{"x": "}', "f", index=0),
            fragment('{"}', "f", index=0),
        ],
        [("f", {"x": "}{"})],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_calls(case: str) -> None:
    fragments, expected = CASES[case]
    calls = [fragment(json.dumps(args), name, id=id_) for id_, name, args in expected]
    whole = message_of({"toolCalls": calls}, "tool_calls", trace_id="trace-1")
    assert stream(*fragments) == whole
    assert calls_of(whole) == expected


@pytest.mark.parametrize("case", CASES)
def test_ids_and_names_are_sent_once_and_an_event_has_one_delta_per_call(
    case: str,
) -> None:
    fragments, expected = CASES[case]
    chunks = [chunk.tool_call_chunks for chunk in chunks_of(events_of(fragments))]
    for deltas in chunks:
        assert len({delta["index"] for delta in deltas}) == len(deltas)
    for index, (id_, name, _) in enumerate(expected):
        own = [
            delta for deltas in chunks for delta in deltas if delta["index"] == index
        ]
        assert [delta["id"] for delta in own if delta["id"]] == [id_]
        assert "".join(delta["name"] or "" for delta in own) == name


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": "null"}])
@pytest.mark.parametrize("case", UNIDENTIFIED)
def test_calls_without_ids(case: str, missing: Json) -> None:
    fragments, expected = UNIDENTIFIED[case]
    message = stream(*({**one, **missing} for one in fragments))  # type: ignore[dict-item]
    assert [call[1:] for call in calls_of(message)] == expected
    ids = {call[0] for call in calls_of(message)}
    assert len(ids) == len(expected)
    assert all(ids)


@pytest.mark.parametrize("index", [True, 0.5, [], {}])
def test_index_of_another_type(index: object) -> None:
    with pytest.raises(UnreadableError, match=r"toolCalls\.index is .*, not a string"):
        stream(fragment("{}", "f", index=index))


# --- Any calls -----------------------------------------------------------------------

_arguments = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=8) | st.sampled_from(["}{", "\\"]),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.text(max_size=3), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)
_places = st.lists(st.integers(0, 99), max_size=4)


@st.composite
def _fragments_of_a_call(draw: st.DrawFn, number: int, names: str) -> tuple[Any, Any]:
    """A call as a whole answer has it, and its fragments."""
    name = draw(st.sampled_from(["f", "get_weather", "get_time", "weather"]))
    text = json.dumps(draw(_arguments), ensure_ascii=draw(st.booleans()))
    call = fragment(text, name, id=f"call_{number}")
    pieces: list[tuple[str | None, str | None]] = []
    arguments = pieces_of(text, draw(_places))
    if names == "in pieces":
        # The same piece twice, as of `gogo`, would be a name that is repeated.
        cut = [piece for piece in pieces_of(name, draw(_places)) if piece]
        pieces = [(piece, None) for piece in cut]
        if draw(st.booleans()):
            pieces[-1] = (pieces[-1][0], arguments.pop(0))
        pieces += [(None, piece) for piece in arguments]
    else:
        later = name if names == "repeated" else draw(st.sampled_from([None, ""]))
        pieces = [(later if at else name, piece) for at, piece in enumerate(arguments)]
    repeats_id = draw(st.booleans())
    fragments = []
    for at, (piece_of_name, piece) in enumerate(pieces):
        index = draw(st.sampled_from([number, str(number)]))
        id_ = {"id": call["id"]} if repeats_id or not at else {}
        fragments.append(fragment(piece, piece_of_name, index=index, **id_))
    return call, fragments


@st.composite
def _cut_calls(draw: st.DrawFn) -> tuple[list[Json], list[list[Json]]]:
    """Calls as a whole answer has them, and the same in fragments and events."""
    names = draw(st.sampled_from(["whole", "repeated", "in pieces"]))
    count = draw(st.integers(1, 4))
    cut = [draw(_fragments_of_a_call(number, names)) for number in range(count)]
    queues = [[*fragments] for _, fragments in cut]
    fragments: list[Json] = []
    while any(queues):
        fragments.append(draw(st.sampled_from([*filter(None, queues)])).pop(0))
    sizes = draw(st.lists(st.integers(1, 4), min_size=len(fragments)))
    in_events: list[list[Json]] = []
    for size in sizes:
        in_events.append(fragments[:size])
        fragments = fragments[size:]
    return [call for call, _ in cut], [*filter(None, in_events)]


@given(cut=_cut_calls(), has_text=st.booleans())
def test_any_split_of_any_calls(
    cut: tuple[list[Json], list[list[Json]]], *, has_text: bool
) -> None:
    calls, in_events = cut
    text = [chunk_of({"content": "Wait"})] if has_text else []
    wire = [*text, *events_of(in_events)]
    expected = sorted(calls_of(message_of({"toolCalls": calls})), key=str)
    model = Service(streams(events(*wire))).model(streaming=True)
    chunks = chunks_of(wire)
    for message in (chunks[0] + chunks[1:], reduce(add, chunks), model.invoke("Hi")):
        assert sorted(calls_of(message), key=str) == expected


# --- Arguments -----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", ["nonsense", "[1]", '"text"', "5"])
def test_invalid_arguments_are_kept(arguments: str) -> None:
    cut = len(arguments) // 2
    message = stream(
        fragment(arguments[:cut], "f", id="a", index=0),
        fragment(arguments[cut:], index=0),
        fragment('{"y": 2}', "g", id="b", index=1),
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
def test_call_that_is_cut_off_is_not_completed(arguments: str) -> None:
    # LangChain would, and an agent would run the tool with half of its arguments.
    message = stream(fragment(arguments, "delete", id="a", index=0))
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
def test_long_call_that_is_cut_off_costs_linear_time(
    arguments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    decode = json.JSONDecoder.decode

    def counting(self: json.JSONDecoder, text: str, *args: Any) -> Any:
        nonlocal read
        read += len(text)
        return decode(self, text, *args)

    monkeypatch.setattr(json.JSONDecoder, "decode", counting)
    message = stream(fragment(arguments, "f", id="a", index=0))
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
def test_no_chunk_has_a_lone_surrogate(arguments: str, text: str, size: int) -> None:
    pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
    first, *rest = [fragment(piece, index=0) for piece in pieces]
    fragments = [first | fragment(pieces[0], "f", id="a", index=0), *rest]
    so_far = None
    for chunk in chunks_of(events_of(fragments)):
        so_far = chunk if so_far is None else so_far + chunk
        for call in so_far.tool_calls:
            str(call["args"]).encode()
    assert so_far is not None
    assert so_far.tool_calls[0]["args"] == {"a": text}


def test_unknown_fields_are_kept_by_call_id_in_their_own_spelling() -> None:
    extra: Json = {"extra_content": {"google": {"thought_signature": "AbC"}}}
    fragments = [
        fragment('{"x"', "f", id="a", index=0, **extra),
        fragment(": 1}", index=0, **extra, nothing=None),
        fragment("{}", "g", index=1, xY="z"),
        fragment("{}", "h", id="c", index=2),
    ]
    message = stream(*fragments)
    ids = [call["id"] for call in message.tool_calls]
    kept = {"a": extra, ids[1]: {"xY": "z"}}
    assert message.additional_kwargs == {"tool_call_extras": kept}


def test_null_means_no_arguments() -> None:
    message = stream(fragment("null", "now", id="a", index=0))
    assert [call["args"] for call in message.tool_calls] == [{}]


@pytest.mark.parametrize("size", [10, 5_000])
def test_whole_call_is_parsed_in_its_chunk(size: int) -> None:
    arguments = json.dumps({"a": "x" * size})
    first, _ = chunks_of(events_of([fragment(arguments, "f", id="a", index=0)]))
    assert [call["args"] for call in first.tool_calls] == [{"a": "x" * size}]


@pytest.mark.parametrize("fields", [{}, {"usage": {"totalTokens": 1}}], ids=repr)
def test_later_fragments_are_not_parsed(fields: Json) -> None:
    # LangChain tries each prefix of a text that is not JSON.
    fragments = [
        fragment('{"a', "f", id="a", index=0),
        fragment('": "word', index=0),
        fragment(' word"}', index=0),
    ]
    wire = [chunk_of({"toolCalls": [one]}, **fields) for one in fragments]
    text = chunk_of({"content": "a"})
    _, first, *rest, _ = chunks_of([text, *wire, FINISH])
    assert [call["name"] for call in first.tool_calls] == ["f"]
    for chunk in (first, *rest):
        assert chunk.id == "chatcmpl-1"
        assert chunk.response_metadata == {"model_provider": "pmock"}
    for chunk in rest:
        assert len(chunk.tool_call_chunks) == 1
        assert not chunk.tool_calls
        assert not chunk.invalid_tool_calls
    assert stream(*fragments).tool_calls[0]["args"] == {"a": "word word"}
