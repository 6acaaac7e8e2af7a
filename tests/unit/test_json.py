"""Halves of characters, which models write and UTF-8 cannot say."""

from __future__ import annotations

import json

import pytest

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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_has_no_form_for(value: object) -> None:
    with pytest.raises(ValueError, match="cannot be written as JSON: "):
        encode({"text": value})


def test_no_byte_more_than_needed() -> None:
    assert encode({"a": [1, 2], "b": None}) == b'{"a":[1,2],"b":null}'
