"""Tool calls of a whole answer: valid ones, invalid ones, and what may be missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from langchain_pmock._response.messages import arguments_text, parse_tool_call
from tests.unit.response.test_answers import message_of

if TYPE_CHECKING:
    from tests.support.wire import Json


def call_of(arguments: Any, **fields: Any) -> Json:
    function = {"name": "f", "arguments": arguments}
    return {"id": "call_1", "type": "function", "function": function, **fields}


@pytest.mark.parametrize(
    ("arguments", "args"),
    [
        ('{"a": 1}', {"a": 1}),
        ({"a": 1}, {"a": 1}),
        ("", {}),
        ("  \n", {}),
        (None, {}),
        ("null", {}),
        ("{}", {}),
        ({}, {}),
        ('{"a": "line\nbreak\ttab"}', {"a": "line\nbreak\ttab"}),
        ('{"a": "你好 👋"}', {"a": "你好 👋"}),
        (r'{"a": "\ud83d\ude00"}', {"a": "😀"}),
        (r'{"a": "\ud83d"}', {"a": "\ufffd"}),
        ('{"a": "\ud83d"}', {"a": "\ufffd"}),
    ],
    ids=repr,
)
def test_arguments(arguments: object, args: Json) -> None:
    message = message_of({"toolCalls": [call_of(arguments)]}, "tool_calls")
    expected = {"name": "f", "args": args, "id": "call_1", "type": "tool_call"}
    assert message.tool_calls == [expected]
    assert message.invalid_tool_calls == []


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        ('{"a": ', '{"a": ', "not valid JSON: Expecting value: line 1 column 7"),
        ("a=1", "a=1", "not valid JSON: "),
        ("[1]", "[1]", "a JSON list, not an object"),
        ([1], "[1]", "a JSON list, not an object"),
        ('"text"', '"text"', "a JSON str, not an object"),
        (5, "5", "a JSON int, not an object"),
    ],
    ids=repr,
)
def test_invalid_arguments_are_kept_with_the_reason(
    arguments: object, text: str, reason: str
) -> None:
    message = message_of({"toolCalls": [call_of(arguments)]}, "tool_calls")
    assert message.tool_calls == []
    (call,) = message.invalid_tool_calls
    assert (call["name"], call["args"], call["id"]) == ("f", text, "call_1")
    assert reason in (call["error"] or "")


@pytest.mark.parametrize("depth", [300, 990, 100_000])
def test_arguments_that_are_nested_too_deeply(depth: int) -> None:
    text = '{"a": ' * depth + "{}" + "}" * depth
    (call,) = message_of({"toolCalls": [call_of(text)]}).invalid_tool_calls
    assert call["args"] == text
    assert "The arguments are not valid JSON: " in str(call["error"])


@pytest.mark.parametrize("function", [None, {}, {"name": ""}, {"name": None}])
def test_a_call_of_nothing_is_invalid(function: Json | None) -> None:
    call = parse_tool_call({"id": "call_1", "function": function})
    assert call["type"] == "invalid_tool_call"
    assert call["id"] == "call_1"
    assert call.get("error") == "The call names no function."


def test_several_calls_valid_and_not() -> None:
    calls = [call_of(a, id=str(n)) for n, a in enumerate(["{}", "{", '{"a": 1}'])]
    message = message_of({"content": "Wait", "toolCalls": calls}, "tool_calls")
    assert [call["id"] for call in message.tool_calls] == ["0", "2"]
    assert [call["id"] for call in message.invalid_tool_calls] == ["1"]
    assert message.content == "Wait"


@pytest.mark.parametrize("missing", [{}, {"id": None}, {"id": ""}, {"id": "null"}])
def test_a_missing_id_is_made(missing: Json) -> None:
    function = {"name": "f", "arguments": "{}"}
    broken = {"name": "f", "arguments": "{"}
    calls = [{**missing, "function": f} for f in (function, function, broken)]
    message = message_of({"toolCalls": calls}, "tool_calls")
    ids = [call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)]
    assert all(ids)
    assert len(set(ids)) == 3


@pytest.mark.parametrize("calls", [None, []])
def test_no_calls(calls: list[Json] | None) -> None:
    message = message_of({"content": "Hi", "toolCalls": calls})
    assert (message.tool_calls, message.invalid_tool_calls) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(None, ""), ("", ""), ("{", "{"), ({"a": "é"}, '{"a": "é"}'), ([], "[]")],
    ids=repr,
)
def test_arguments_text(arguments: object, text: str) -> None:
    assert arguments_text({"arguments": arguments}) == text
    assert arguments_text({}) == ""


def test_unknown_fields_are_kept_by_call_id_in_their_own_spelling() -> None:
    extra = {"extra_content": {"google": {"thought_signature": "AbC"}}, "xY": 1}
    calls = [
        call_of("{}", id="a", **extra, nothing=None),
        call_of("{}", id="b", index=1),
        call_of("no JSON", xY=2, id=None),
    ]
    message = message_of({"toolCalls": calls})
    (invalid,) = message.invalid_tool_calls
    kept = {"a": extra, invalid["id"]: {"xY": 2}}
    assert message.additional_kwargs == {"tool_call_extras": kept}
    assert message_of({"toolCalls": calls[1:2]}).additional_kwargs == {}
