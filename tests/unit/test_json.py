"""JSON, with what models and users write that it has no form for."""

import datetime as dt
import enum
import json
import reprlib
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


class Text(str):
    __slots__ = ()


class Level(enum.IntEnum):
    HIGH = 3


class Model(BaseModel):
    a: int = 1


def nested(depth: int, value: Any = "deep") -> Any:
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("中文 🌊", '"中文 🌊"'),
        ("\ud83c\udf0a", '"🌊"'),
        ("lone \ud83c", '"lone �"'),
        ({"\ud83c": 1}, '{"�":1}'),
        ([1, 2.5, None, True], "[1,2.5,null,true]"),
        (Text("x"), '"x"'),
        (Level.HIGH, "3"),
        (2**70, "1180591620717411303424"),
        ({1: 2, False: 4}, '{"1":2,"false":4}'),
        ((1, 2), "[1,2]"),
        (OrderedDict(a=1), '{"a":1}'),
        (nested(190), '{"a":' * 190 + '"deep"' + "}" * 190),
    ],
)
def test_encode(value: Any, written: str) -> None:
    assert encode({"a": value}).decode() == '{"a":' + written + "}"


CIRCLE: dict[str, Any] = {}
CIRCLE["a"] = CIRCLE


# pydantic would write most of these in a form of its own.
@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        b"bytes",
        {1},
        Decimal("1.5"),
        dt.timedelta(1),
        Path("a"),
        Model(),
        object(),
    ],
    ids=lambda value: reprlib.repr(value).partition(" at ")[0].partition("...")[0],
)
def test_value_without_a_form_in_json_is_named(value: Any) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        encode({"fine": [1], "tools": [{}, {"x": (1, {"y": value})}]})
    place = f"body.tools[1].x[1].y={reprlib.repr(value)} cannot be written as JSON: "
    why = f"it has no form for this {type(value).__name__}."
    assert str(caught.value) == place + why


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({"b": {(1, 2): 3}}, "body.b cannot be written as JSON: its key (1, 2) is no "),
        (nested(200_000), "body.a.a.a.a.a"),
        (CIRCLE, "... cannot be written: it is nested too deeply."),
    ],
    ids=["tuple", "deep", "circle"],
)
def test_keys_and_depth(value: Any, problem: str) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        encode(value)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 200


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(width=32),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=3)
    ),
)


@given(json_values)
def test_encode_equals_the_standard_library(value: Any) -> None:
    try:
        expected = json.dumps(value, allow_nan=False)
    except ValueError:
        with pytest.raises(PmockInvalidRequestError):
            encode({"a": value})
        assert encode({"a": value}, allow_nan=True)
    else:
        assert json.loads(encode({"a": value})) == {"a": json.loads(expected)}


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


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff" * 2, b"[" * 100_000], ids=len)
def test_decode_of_invalid_json(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"Expecting|nested too deeply"):
        decode(payload)
