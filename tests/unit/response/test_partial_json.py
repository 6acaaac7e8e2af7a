"""JSON that arrives in pieces: each value is a prefix of the one at the end."""

from __future__ import annotations

import copy
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.exceptions import OutputParserException
from langchain_core.output_parsers import JsonOutputParser
from pydantic_core import from_json

from langchain_pmock._response import partial_json
from langchain_pmock._response.parsers import from_text
from langchain_pmock._response.partial_json import PartialJson, WholeEscapes

if TYPE_CHECKING:
    from collections.abc import Iterable


def values_of(pieces: Iterable[str]) -> list[Any]:
    partial, values = PartialJson(), []
    for piece in pieces:
        partial.feed(piece)
        value = partial.grown()
        if value is not None:
            values.append(value)
    return values


def is_prefix(part: Any, whole: Any) -> bool:
    """Tell whether a value only lacks what comes later."""
    if isinstance(part, dict):
        if not isinstance(whole, dict) or [*whole][: len(part)] != [*part]:
            return False
        children = [(part[key], whole[key]) for key in part]
    elif isinstance(part, list):
        if not isinstance(whole, list) or len(part) > len(whole):
            return False
        children = [*zip(part, whole, strict=False)]
    elif isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    else:
        return type(part) is type(whole) and bool(part == whole)
    *finished, last = children or [(None, None)]
    return all(a == b for a, b in finished) and is_prefix(*last)


def last_leaf(value: Any) -> Any:
    while isinstance(value, (dict, list)) and value:
        value = [*value.values()][-1] if isinstance(value, dict) else value[-1]
    return value


# --- Values --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"a": 1250.75}', [{}, {"a": 1250.75}]),
        ('{"a": 1e5, "b": -0.5}', [{}, {"a": 1e5}, {"a": 1e5, "b": -0.5}]),
        ("[1,23]", [[], [1], [1, 23]]),
        ('{"a": true, "b": null}', [{}, {"a": True}, {"a": True, "b": None}]),
        ('{"a": "xy"}', [{}, {"a": ""}, {"a": "x"}, {"a": "xy"}]),
        (r'{"a": "\u00e9\n"}', [{}, {"a": ""}, {"a": "é"}, {"a": "é\n"}]),
        (r'{"a": "\ud83d\ude00"}', [{}, {"a": ""}, {"a": "😀"}]),
        (r'{"a": "\ud83dx"}', [{}, {"a": ""}, {"a": "\ufffdx"}]),
        (r'{"a": "\ude00"}', [{}, {"a": ""}, {"a": "\ufffd"}]),
        ('{"a": "x\ny"}', [{}, *({"a": "x\ny"[:n]} for n in range(4))]),
        (r'{"a\"{": "}\\"}', [{}, *({'a"{': "}\\"[:n]} for n in range(3))]),
        ('{"a": {"b": []}}', [{}, {"a": {}}, {"a": {"b": []}}]),
        ("[[], {}]", [[], [[]], [[], {}]]),
        ('{"a": 1} and {"b"', [{}, {"a": 1}]),
        (" \n{ }", [{}]),
    ],
)
def test_values(text: str, values: list[Any]) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize(
    "text",
    [
        "[Note] ",
        "{thinking}",
        "{a: 1,",
        '{"a" 1}',
        "[1 2]",
        "[1}",
        "{]",
        "]",
        ",",
        "1,",
        '{"a": 01}',
        r'{"a": "\q"',
        '{"a": 1 [',
        '{1: {"a',
        '["a" ["b"',
        "[" * 201,
        '["\ud83d"]',
    ],
)
def test_what_is_not_json(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing to the user
        values_of([text, ""])


def test_as_deep_as_pydantic_reads() -> None:
    deep = "[" * 200
    assert values_of([deep]) == [from_json(deep + "]" * 200)]


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["😀", "\\", '"', "{", "}", "a,b", "```", "\n", "\x00"])
)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(max_size=4), _json, max_size=4)
_forms = ["{}", "```json\n{}\n```", "Here it is:\n```\n{}\n```\nFine?", " \n{}\n"]
_remarks = ["[Note] It is:\n```json\n{}\n```", "{So} `it` is\n```{}``` [1]", "1:```{}"]


@st.composite
def _texts(draw: st.DrawFn, forms: list[str]) -> tuple[Any, str, list[str]]:
    """A value, its JSON in a text of some form, and the text in pieces."""
    value = draw(_objects)
    ascii_only, indent = draw(st.booleans()), draw(st.none() | st.just(1))
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    text = draw(st.sampled_from(forms)).replace("{}", text, 1)
    if draw(st.booleans()):
        return value, text, [*text]
    places = sorted(draw(st.lists(st.integers(0, len(text)))))
    ends = [*places, len(text)]
    return value, text, [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]


@given(case=_texts([*_forms, *_remarks]))
def test_each_value_is_a_prefix_of_the_next(case: tuple[Any, str, list[str]]) -> None:
    value, _, pieces = case
    copies, values = [], []
    for part in from_text(None).transform(iter(pieces)):
        values.append(part)
        copies.append(copy.deepcopy(part))
    assert values == copies  # none has changed since it was handed out
    assert values[-1] == value
    for part, later in pairwise(values):
        assert part != later
        assert is_prefix(part, later)


@given(case=_texts(_forms))
def test_the_values_are_those_of_langchains_parser(
    case: tuple[Any, str, list[str]],
) -> None:
    _, text, _ = case
    values = [*from_text(None).transform(iter(text))]
    expected = [*JsonOutputParser().transform(iter(text))]
    assert values[-1] == expected[-1]
    for value in values:
        # LangChain's cuts these off at the end of a text, in a string or not.
        end = str(last_leaf(value))[-1:]
        assert value in expected or end.isspace() or end == "`"
    for value in expected:
        if value not in values:
            # It may still change: a number or half a character at its end.
            assert isinstance(last_leaf(value), (int, float, str))
            assert not is_prefix(value, values[-1]) or type(last_leaf(value)) in (
                int,
                float,
            )


_noise = [
    *'{}[]",:\\ \n`1e-.',
    *("true", "nul", "```", "```json", '{"a": ', '"b"', "Note", "é"),
    *(r"\ud83d", r"\ude00", "\ud83d"),
]


@given(pieces=st.lists(st.sampled_from(_noise)))
def test_any_text_ends_in_a_value_or_in_the_parsers_error(pieces: list[str]) -> None:
    values = []
    text = "".join(pieces)
    try:
        for value in from_text(None).transform(iter(pieces)):
            values.append(value)
            str(value).encode()
    except OutputParserException:
        with pytest.raises(OutputParserException):
            from_text(None).parse(text)
        return
    if pieces:
        whole = from_text(None).parse(text)
        assert values[-1:] == ([] if whole is None else [whole])


def test_only_the_end_is_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = 0

    def counting(text: bytes, **kwargs: Any) -> Any:
        nonlocal parsed
        parsed += len(text)
        return from_json(text, **kwargs)

    monkeypatch.setattr(partial_json, "from_json", counting)
    value = {"people": [{"name": f"Person {n}", "age": n} for n in range(1_000)]}
    text = json.dumps(value)
    assert values_of(text)[-1] == value
    assert parsed < 20 * len(text)


def test_a_long_text_is_handed_out_less_often() -> None:
    value = {"essay": "word " * 40_000}
    text = json.dumps(value)
    pieces = [text[at : at + 4] for at in range(0, len(text), 4)]
    values = [*from_text(None).transform(iter(pieces))]
    assert values[-1] == value
    lengths = [len(value.get("essay", "")) for value in values]
    assert lengths == sorted(set(lengths))
    assert sum(length < 65_000 for length in lengths) > 16_000
    assert 50 < sum(length > 66_000 for length in lengths) < 100


# --- Escapes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        (r"a\n\\u\"", r"a\n\\u\""),
        (r"\u00e9", r"\u00e9"),
        (r"\ud83d\ude00", r"\ud83d\ude00"),
        (r"\uD83D\uDE00", r"\uD83D\uDE00"),
        (r"\\ud83d", r"\\ud83d"),
        (r"\\\ud83d", r"\\\ufffd"),
        (r"\ud83d", r"\ufffd"),
        (r"\ude00", r"\ufffd"),
        (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
        (r"\ud83d\n", r"\ufffd\n"),
        (r"\ud83d\u0041", r"\ufffd\u0041"),
        (r"\ud83d\u", r"\ufffd\u"),
        (r"\ude00\ud83d", r"\ufffd\ufffd"),
        (r"\ud7ff\ue000", r"\ud7ff\ue000"),
        ("\\", "\\"),
        (r"\ud8", r"\ud8"),
        ("no escapes", "no escapes"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_escapes(text: str, passed: str, size: int) -> None:
    escapes = WholeEscapes()
    pieces = [escapes.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + escapes.end() == passed
    for piece in pieces:
        read = json.loads(f'"{piece}"') if not piece.endswith('"') else ""
        read.encode()  # each piece by itself has whole characters


def test_a_number_without_end_has_no_partial_value() -> None:
    text = '{"a": 1, "b": ' + "1" * 2_000
    with pytest.raises(ValueError):  # noqa: PT011 - it says nothing to the user
        values_of([text[:500], text[500:]])
    pieces = [text[:500], text[500:], "}"]
    values = [*from_text(None).transform(iter(pieces))]
    assert values == [{"a": 1}, {"a": 1, "b": int("1" * 2_000)}]
