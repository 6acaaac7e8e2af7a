"""JSON text that is not complete yet."""

import json

import pytest
from pydantic_core import from_json

from langchain_pmock._response.partial_json import WholeEscapes, parse_partial


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a', {}),
        ('{"a": ', {}),
        ('{"a": 12', {}),
        ('{"a": 12,', {"a": 12}),
        ('{"a": -', {}),
        ('{"a": 1e', {}),
        ('{"a": 1250.75}', {"a": 1250.75}),
        ('{"a": 1, "b2', {"a": 1}),
        ('{"a": "b2', {"a": "b2"}),
        ('{"a": tru', {}),
        ('{"a": true', {"a": True}),
        ('{"a": "x', {"a": "x"}),
        ('{"a": "x\ny\t\x01', {"a": "x\ny\t\x01"}),
        ('{"a": "x"\n,\n"b": "\n', {"a": "x", "b": "\n"}),
        (r'{"a": "\u00e9\n\"', {"a": 'é\n"'}),
        (r'{"a": "\u00', {"a": ""}),
        (r'{"a": "\ud83d', {"a": ""}),
        (r'{"a": "\ud83d\ude00', {"a": "😀"}),
        (r'{"a": "\ud83dx', {"a": "\ufffdx"}),
        (r'{"a": "\ude00', {"a": "\ufffd"}),
        ('{"a": 1} and {"b"', {"a": 1}),
        ("[1,23", [1]),
        ("[[], {", [[], {}]),
        ("[" * 200, from_json("[" * 200 + "]" * 200)),
    ],
)
def test_values(text: str, value: object) -> None:
    assert parse_partial(text) == value


@pytest.mark.parametrize(
    "text",
    ["[Note] ", "{thinking}", "{a: 1,", "{]", '{"a": 01', "[" * 202, '["\ud83d"]'],
)
def test_other_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_partial(text)


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
def test_escapes_in_pieces(text: str, passed: str, size: int) -> None:
    escapes = WholeEscapes()
    pieces = [escapes.feed(text[at : at + size]) for at in range(0, len(text), size)]
    assert "".join(pieces) + escapes.end() == passed
    for piece in pieces:
        if not piece.endswith('"'):
            json.loads(f'"{piece}"').encode()  # has no lone surrogate
