"""Tool calls of a stream: assigned and merged, however they were cut."""

import json
from collections.abc import Iterable
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage

from langchain_pmock._json import UnreadableError
from tests.support.answers import chunks_of, fragment, message_of, streamed
from tests.support.service import Service, streams
from tests.support.wire import Json, chunk_of, events, pieces_of

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


Fragment = tuple[object, object, str | None, object]


def fragments_of(rows: Iterable[Fragment]) -> list[Json]:
    return [
        fragment(arguments, name, **{k: v for k, v in fields.items() if v is not None})
        for index, id_, name, arguments in rows
        for fields in [{"index": index, "id": id_}]
    ]


F, G = ("a", "f", {"x": 1}), ("b", "g", {"y": 2})
# Fragments of `F` or of both: index, id, name and arguments; what is None is not sent.
CASES: dict[str, list[Fragment]] = {
    "null as the id of a continuation": [
        *((0, "a", "f", '{"x"'), (0, "null", None, ": "), (0, "", "", "1}")),
    ],
    "id at the end": [
        *((0, None, "f", '{"x"'), (0, None, None, ": 1}"), (0, "a", None, None)),
    ],
    "id at the end, without an index": [
        *((None, None, "f", '{"x": 1}'), (None, "a", None, None)),
    ],
    "name at the end": [(0, "a", None, '{"x": 1}'), (0, None, "f", None)],
    "no index": [(None, "a", "f", '{"x"'), (None, None, None, ": 1}")],
    "index that does not begin at 0": [(7, "a", "f", '{"x"'), (7, None, None, ": 1}")],
    "index in the first fragment only": [
        *((0, "a", "f", '{"x"'), (None, None, None, ": 1}")),
    ],
    "index of several types": [
        *(("0", "a", "f", '{"x"'), (0, None, None, ": "), (0.0, None, None, "1}")),
    ],
    "index that is no number": [
        *(("first", "a", "f", '{"x"'), ("second", "b", "g", '{"y"')),
        *(("first", None, None, ": 1}"), ("second", None, None, ": 2}")),
    ],
    "arguments as an object": [(0, "a", "f", {"x": 1})],
    "arguments as an object later": [(0, "a", "f", ""), (0, None, None, {"x": 1})],
    "another id in each fragment": [  # vLLM makes them up
        *((0, "a", "f", '{"x"'), (0, "b", None, ": "), (0, "c", None, "1}")),
    ],
    "the second index first": [(1, "a", "f", '{"x": 1}'), (0, "b", "g", '{"y": 2}')],
    "two without an index": [
        *((None, "a", "f", '{"x"'), (None, None, None, ": 1}")),
        *((None, "b", "g", '{"y"'), (None, None, None, ": 2}")),
    ],
    "two without an index, ids repeated": [
        *((None, "a", "f", '{"x"'), (None, "a", None, ": 1}")),
        *((None, "b", "g", '{"y"'), (None, "b", None, ": 2}")),
    ],
    "two with the same index": [
        *((0, "a", "f", '{"x"'), (0, None, None, ": 1}")),
        *((0, "b", "g", '{"y"'), (0, None, None, ": 2}")),
    ],
    "two with the same index, ids repeated, interleaved": [
        *((0, "a", "f", '{"x"'), (0, "b", "g", '{"y"'), (0, "a", None, ": 1")),
        *((0, None, None, "}"), (0, "b", None, ": 2}")),
    ],
}


@pytest.mark.parametrize("case", CASES)
def test_calls(case: str) -> None:
    rows = CASES[case]
    expected: list[Any] = [F, G] if any(name == "g" for _, _, name, _ in rows) else [F]
    calls = [fragment(json.dumps(args), name, id=id_) for id_, name, args in expected]
    whole = message_of({"toolCalls": calls}, "tool_calls", trace_id="trace-1")
    assert stream(*fragments_of(rows)) == whole
    assert calls_of(whole) == expected


NAME_IN_PIECES = [
    (0, "a", "get_", ""),
    (0, None, "time", ""),
    (0, None, "get_time", "{}"),
]


@pytest.mark.parametrize(
    ("rows", "call"),
    [
        ([(0, 5, "f", "{}"), (0, "5", None, "")], ("5", "f", {})),
        (NAME_IN_PIECES, ("a", "get_time", {})),
        *(([(0, "a", "f", text)], ("a", "f", {})) for text in ("", None, "null")),
    ],
)
def test_call_without_arguments(rows: list[Fragment], call: object) -> None:
    later: Json = {"index": 0, "function": None}
    assert calls_of(stream(*fragments_of(rows), later)) == [call]


# Index, name and arguments of calls that come without ids.
X, Y = {"x": 1}, {"y": 2}
UNIDENTIFIED: dict[str, tuple[list[Any], list[Any]]] = {
    "no index": (
        [(None, "f", '{"x"'), (None, None, ": 1}"), (None, "g", '{"y": 2}')],
        [("f", X), ("g", Y)],
    ),
    "no index, name repeated": (
        [(None, "f", '{"x"'), (None, "f", ": 1}"), (None, "f", '{"y": 2}')],
        [("f", X), ("f", Y)],
    ),
    "no index, no arguments": ([(None, n, "") for n in "fg"], [("f", {}), ("g", {})]),
    "index 0 for both": (
        [(0, "f", '{"x": 1}'), (0, "f", '{"y": 2}')],
        [("f", X), ("f", Y)],
    ),
    "name repeated after the arguments": (
        [(0, "f", '{"x": 1}'), (0, "f", "")],
        [("f", X)],
    ),
    "name repeated before a string of brackets": (
        [(0, "f", '{"x": "}'), (0, "f", '{"}')],
        [("f", {"x": "}{"})],
    ),
}


@pytest.mark.parametrize("missing", [None, "", "null"])
@pytest.mark.parametrize("case", UNIDENTIFIED)
def test_calls_without_ids(case: str, missing: str | None) -> None:
    rows, expected = UNIDENTIFIED[case]
    message = stream(*fragments_of((index, missing, *rest) for index, *rest in rows))
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
def _fragments_of_a_call(draw: st.DrawFn, number: int) -> tuple[Any, Any]:
    """A call as a whole answer has it, and its fragments."""
    name = draw(st.sampled_from(["f", "get_weather", "get_time", "weather"]))
    text = json.dumps(draw(_arguments), ensure_ascii=draw(st.booleans()))
    call = fragment(text, name, id=f"call_{number}")
    # The same piece twice, as of `gogo`, would be a name that is repeated.
    *names, last = [piece for piece in pieces_of(name, draw(_places)) if piece]
    later = draw(st.sampled_from([None, "", *([] if names else [name])]))
    first, *rest = pieces_of(text, draw(_places))
    pieces: list[Any] = [*((piece, None) for piece in names), (last, first)]
    pieces += [(later, piece) for piece in rest]
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
    cut = [draw(_fragments_of_a_call(n)) for n in range(draw(st.integers(1, 4)))]
    queues: list[list[Json]] = [[*fragments] for _, fragments in cut]
    in_events: list[list[Json]] = [[]]
    while waiting := [queue for queue in queues if queue]:
        if draw(st.booleans()) and in_events[-1]:
            in_events.append([])
        in_events[-1].append(draw(st.sampled_from(waiting)).pop(0))
    return [call for call, _ in cut], in_events


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
    deltas = [chunk.tool_call_chunks for chunk in chunks]
    for in_event in deltas:  # LangChain merges across chunks only
        assert len({delta["index"] for delta in in_event}) == len(in_event)
    ids = [delta["id"] for in_event in deltas for delta in in_event if delta["id"]]
    assert sorted(ids) == [id_ for id_, _, _ in expected]
    for message in (chunks[0] + chunks[1:], reduce(add, chunks), model.invoke("Hi")):
        assert sorted(calls_of(message), key=str) == expected


# --- Arguments -----------------------------------------------------------------------


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
        *("nonsense", "[1]", '"text"', "5"),
    ],
    ids=lambda arguments: f"{len(arguments)} {arguments[:20]}",
)
def test_invalid_arguments_are_kept_and_not_completed(arguments: str) -> None:
    # LangChain would, and an agent would run the tool with half of its arguments.
    message = stream(
        fragment(arguments, "delete", id="a", index=0),
        fragment('{"y": 2}', "g", id="b", index=1),
    )
    assert calls_of(AIMessage("", tool_calls=message.tool_calls)) == [("b", *G[1:])]
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("a", "delete")
    assert str(invalid["args"]).startswith(arguments)
    added = str(invalid["args"])[len(arguments) :]
    assert set(added) <= set('\\"}]')
    assert len(added) <= (3 if "{" in arguments else 0)


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


@pytest.mark.parametrize("size", [10, 5_000])
def test_whole_call_is_parsed_in_its_chunk(size: int) -> None:
    arguments = json.dumps({"a": "x" * size})
    first, _ = chunks_of(events_of([fragment(arguments, "f", id="a", index=0)]))
    assert [call["args"] for call in first.tool_calls] == [{"a": "x" * size}]


@pytest.mark.parametrize("fields", [{}, {"usage": {"totalTokens": 1}}], ids=repr)
def test_later_fragments_are_not_parsed(fields: Json) -> None:
    # LangChain tries each prefix of a text that is not JSON.
    pieces = [*fragments_of([(0, "a", "f", '{"a')]), *map(fragment, ['": "b', ' c"}'])]
    wire = [chunk_of({"toolCalls": [{**one, "index": 0}]}, **fields) for one in pieces]
    _, first, *rest, _ = chunks_of([chunk_of({"content": "a"}), *wire, FINISH])
    assert [call["name"] for call in first.tool_calls] == ["f"]
    for chunk in (first, *rest):
        assert chunk.response_metadata == {"model_provider": "pmock"}
    for chunk in rest:
        assert len(chunk.tool_call_chunks) == 1
        assert not chunk.tool_calls
        assert not chunk.invalid_tool_calls
    assert stream(*pieces).tool_calls[0]["args"] == {"a": "b c"}
