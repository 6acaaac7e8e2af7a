"""LangChain's messages as the service gets them."""

from __future__ import annotations

import json
import tracemalloc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
)

from langchain_pmock import PmockInvalidRequestError, Wire
from langchain_pmock._json import encode
from langchain_pmock._request.messages import to_wire
from tests.support.message_cases import (
    CALL,
    MESSAGES,
    REASONING,
    WIRE_CALL,
    ai,
    anthropic_result,
    tool,
)
from tests.unit.request.test_content import UNSENDABLE, text
from tests.unit.test_json import nested

if TYPE_CHECKING:
    from tests.support.wire import Json


BIG = "A" * 1_000_000


@pytest.mark.parametrize("case", MESSAGES)
def test_messages(case: str) -> None:
    message, wire = MESSAGES[case]
    assert to_wire([message]) == (wire if isinstance(wire, list) else [wire])


def test_a_conversation_keeps_its_order() -> None:
    wire = to_wire([message for message, _ in MESSAGES.values()])
    expected: list[Json] = []
    for _, written in MESSAGES.values():
        expected += written if isinstance(written, list) else [written]
    assert wire == expected


@pytest.mark.parametrize("case", MESSAGES)
def test_the_users_message_stays_as_it_is(case: str) -> None:
    message, _ = MESSAGES[case]
    before = message.model_dump_json()
    to_wire([message])
    assert message.model_dump_json() == before


def test_no_messages() -> None:
    with pytest.raises(PmockInvalidRequestError, match=r"messages=\[\] is not valid"):
        to_wire([])


@pytest.mark.parametrize("case", REASONING)
def test_reasoning_is_sent_back_only_by_a_name_for_it(case: str) -> None:
    message, wire = REASONING[case]
    assert to_wire([message], Wire(reasoning_content="thoughts")) == [wire]
    wire = {name: value for name, value in wire.items() if name != "thoughts"}
    assert to_wire([message]) == [wire]


def test_the_names_of_tool_calls_and_their_results() -> None:
    messages = [
        ai(tool_calls=[CALL]),
        tool("sunny"),
        HumanMessage([anthropic_result(content="sunny")]),
    ]
    names = Wire(tool_calls="tool_calls", tool_call_id="tool_call_id")
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    assert to_wire(messages, names) == [
        {"role": "assistant", "content": "", "tool_calls": [WIRE_CALL]},
        result,
        result,
    ]


def arguments(args: Any) -> str:
    """What is sent of the arguments of a call that LangChain has not read."""
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": args}
    text: str = to_wire([ai([call])])[0]["toolCalls"][0]["function"]["arguments"]
    return text


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (None, "{}"),
        ("", "{}"),
        ('{ "city": "Z" }', '{ "city": "Z" }'),
        ({"city": "Zürich"}, '{"city":"Zürich"}'),
        ({"a": "\ud83c"}, '{"a":"\ufffd"}'),
    ],
)
def test_arguments_are_an_object(args: Any, sent: str) -> None:
    assert arguments(args) == sent


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        ('{"city": "Llan', '{"city": "Llan'),
        ('{"city": "Zürich"} and so on', '{"city": "Zürich"} and so on'),
        ('{"a": "\ud83c"', '{"a": "\ufffd"'),
        ('{"a": "\n"}', '{"a": "\n"}'),
        ('{"a":' * 300 + "1" + "}" * 300, '{"a":' * 300 + "1" + "}" * 300),
        ("[1]", "[1]"),
        ("null", "null"),
        (" ", " "),
        ([1, "a"], '[1,"a"]'),
        # LangChain reads them where a model wrote them; no server does.
        ('{"a": NaN}', '{"a": NaN}'),
        ({"a": float("nan")}, '{"a": NaN}'),
        ({"a": float("-inf")}, '{"a": -Infinity}'),
    ],
)
def test_arguments_that_are_no_object_are_shown_in_one(args: Any, sent: str) -> None:
    assert json.loads(arguments(args)) == {"invalid": sent}


BROKEN: dict[str, tuple[BaseMessage, str]] = {
    "message without a role": (RemoveMessage("1"), "type 'remove' are not supported"),
    "tool call without an id": (
        ai(tool_calls=[{**CALL, "id": None}]),
        "a tool call needs an id and a name, got id=None and name='look_up'",
    ),
    "tool call without a name": (
        ai([{"type": "tool_use", "id": "call_1", "input": {}}]),
        "a tool call needs an id and a name, got id='call_1' and name=None",
    ),
    "Anthropic's result without an id": (
        HumanMessage([{"type": "tool_result", "content": "x"}]),
        "type 'tool_result' cannot be sent: tool_use_id=None must be a string",
    ),
    "a bad block in Anthropic's result": (
        HumanMessage([anthropic_result(content=[{"type": "tool_reference"}])]),
        "type 'tool_reference' cannot be sent",
    ),
    "refusal without text": (
        ai([{"type": "refusal"}]),
        "type 'refusal' cannot be sent: refusal=None must be a string",
    ),
    "a call whose result is the client's": (
        ai([{"type": "computer_call", "call_id": "call_1", "action": {}}]),
        "type 'computer_call' cannot be sent: supported types are",
    ),
    "arguments that JSON has no form for": (
        ai(tool_calls=[{**CALL, "args": {"at": [Decimal(1)]}}]),
        "args of the tool call 'call_1'.at[0]=Decimal('1') cannot be written as JSON",
    ),
    "arguments nested too deeply": (
        ai(tool_calls=[{**CALL, "args": nested(200_000)}]),
        "cannot be written as JSON: it is nested too deeply",
    ),
    "a block that is odd inside": (
        HumanMessage([{"type": "document", "source": "x"}]),
        "type 'document' cannot be sent: a field is of the wrong type",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_message_that_cannot_be_sent_is_named(case: str) -> None:
    message, why = BROKEN[case]
    place = rf"^messages\[2\] \({type(message).__name__}\): "
    before = [HumanMessage("a"), ai("b")]
    for others in (before, [message.model_copy(), *before[1:]]):
        if others is not before:
            place = place.replace("2", "0")  # the first of two that are equal
        with pytest.raises(PmockInvalidRequestError, match=place) as caught:
            to_wire([*others, message, HumanMessage("c")])
        assert why in str(caught.value)


# Of an assistant's message.
LEFT_OUT = (
    "a type of a provider's own",
    "a server's tool call",
    "reasoning",
    "non-standard, unknown",
)


@pytest.mark.parametrize("case", UNSENDABLE)
@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage, AIMessage, tool])
def test_a_block_that_cannot_be_sent_is_never_dropped(kind: Any, case: str) -> None:
    block, why = UNSENDABLE[case]
    if kind is AIMessage and case in LEFT_OUT:
        assert to_wire([ai([text("fine"), block])])[0]["content"] == [text("fine")]
        return
    with pytest.raises(
        PmockInvalidRequestError, match=r"^messages\[1\] \(\w+\): A content"
    ) as caught:
        to_wire([HumanMessage("a"), kind([text("fine"), block])])
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("block", "copies"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + BIG}},
            1,
        ),
        ({"type": "image", "base64": BIG, "mime_type": "image/png"}, 2),
    ],
    ids=["data URL", "base64"],
)
def test_how_often_an_image_is_copied(block: Json, copies: int) -> None:
    messages = [HumanMessage([block])]
    tracemalloc.start()
    try:
        body = encode({"messages": to_wire(messages)})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) > len(BIG)
    assert peak < (copies + 0.1) * len(BIG)
