"""Halves of characters, which models write and UTF-8 cannot say."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import json
import reprlib
import uuid
from collections import OrderedDict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock._json import decode, encode


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("plain", "plain"),
        ("中文 🌊", "中文 🌊"),
        ("\ud83c\udf0a", "🌊"),
        ("half \ud83c", "half �"),
    ],
)
def test_encode(written: str, sent: str) -> None:
    assert json.loads(encode({"text": written}).decode("utf-8")) == {"text": sent}


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b'{"a": "\\ud83c\\udf0a"}', {"a": "🌊"}),
        (b'{"a": "\\ud83c"}', {"a": "�"}),
        (b'{"a": "\xff"}', {"a": "�"}),
    ],
)
def test_decode(payload: bytes, value: object) -> None:
    assert decode(payload) == value


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b"\xff", "Expecting value"),
    ],
    ids=["nothing", "half", "deep", "no UTF-8"],
)
def test_what_is_no_json_is_an_error(payload: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode(payload)


class Text(str):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"a": value}
    return value


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(width=32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.booleans(), inner, max_size=3)
    ),
)


@given(json_values)
def test_what_is_written_reads_as_the_standard_library_writes_it(value: Any) -> None:
    try:
        expected = json.dumps(value, allow_nan=False)
    except ValueError:
        with pytest.raises(PmockInvalidRequestError):
            encode({"a": value})
    else:
        assert json.loads(encode({"a": value})) == {"a": json.loads(expected)}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (Text("x"), b'"x"'),
        (Level.HIGH, b"3"),
        (2**70, b"1180591620717411303424"),
        ({1: 2, None: 3, False: 4}, b'{"1":2,"null":3,"false":4}'),
        ((1, 2), b"[1,2]"),
        (OrderedDict(a=1), b'{"a":1}'),
        ({"\ud83c": 1}, b'{"\xef\xbf\xbd":1}'),
        (nested(500), b'{"a":' * 500 + b'"deep"' + b"}" * 500),
    ],
)
def test_what_python_has_more_forms_of(value: Any, written: bytes) -> None:
    assert encode({"a": value}) == b'{"a":' + written + b"}"


class Color(enum.Enum):
    RED = "red"


class Model(BaseModel):
    a: int = 1


@dataclasses.dataclass
class Data:
    a: int = 1


# pydantic's writer would write each of these in a way of its own.
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("-inf"),
        b"bytes",
        {1},
        frozenset({"a"}),
        iter([1]),
        (n for n in [1]),
        Decimal("1.5"),
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.timedelta(1),
        uuid.UUID(int=1),
        Path("a"),
        Color.RED,
        Model(),
        Data(),
        object(),
        int,
        {(1, 2): 3},
    ],
    ids=lambda value: reprlib.repr(value).partition(" at ")[0],
)
def test_what_json_has_no_form_for(value: Any) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        encode({"fine": [1], "tools": [{}, {"x": (1, {"y": value})}]})
    shown = reprlib.repr(value)
    place = f"body.tools[1].x[1].y={shown} cannot be written as JSON: "
    assert str(caught.value).startswith(place)


def test_what_is_nested_too_deeply() -> None:
    with pytest.raises(PmockInvalidRequestError, match="nested too deeply"):
        encode({"a": nested(200_000)})


def test_what_contains_itself() -> None:
    circle: dict[str, Any] = {"name": "a"}
    circle["items"] = [circle]
    with pytest.raises(PmockInvalidRequestError, match="Circular reference"):
        encode({"tools": [circle]})


def test_no_byte_more_than_needed() -> None:
    assert encode({"a": [1, 2], "b": None}) == b'{"a":[1,2],"b":null}'
