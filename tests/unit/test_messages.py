"""LangChain's messages as the service gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
)

from langchain_pmock._request.messages import to_wire
from tests.unit.message_cases import CALL, MESSAGES, ai, anthropic_result, tool
from tests.unit.test_content import UNSENDABLE, text

if TYPE_CHECKING:
    from tests.unit.service import Json


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
    with pytest.raises(ValueError, match=r"messages=\[\] is not valid"):
        to_wire([])


BROKEN: dict[str, tuple[BaseMessage, str]] = {
    "message without a role": (RemoveMessage("1"), "type 'remove' has no role"),
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
        "type 'tool_result' cannot be sent: 'tool_use_id' must be a string",
    ),
    "a bad block in Anthropic's result": (
        HumanMessage([anthropic_result(content=[{"type": "search_result"}])]),
        "type 'search_result' cannot be sent",
    ),
    "refusal without text": (
        ai([{"type": "refusal"}]),
        "type 'refusal' cannot be sent: 'refusal' must be a string",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_the_message_that_cannot_be_sent_is_named(case: str) -> None:
    message, why = BROKEN[case]
    place = rf"^messages\[2\] \({type(message).__name__}\): "
    with pytest.raises(ValueError, match=place) as caught:
        to_wire([HumanMessage("a"), ai("b"), message, HumanMessage("c")])
    assert why in str(caught.value)


@pytest.mark.parametrize("case", UNSENDABLE)
@pytest.mark.parametrize("kind", [HumanMessage, SystemMessage, AIMessage, tool])
def test_a_block_that_cannot_be_sent_is_never_dropped(kind: Any, case: str) -> None:
    block, why = UNSENDABLE[case]
    if kind is AIMessage and case == "reasoning":
        return  # here it has a form
    with pytest.raises(
        ValueError, match=r"^messages\[1\] \(\w+\): A content"
    ) as caught:
        to_wire([HumanMessage("a"), kind([text("fine"), block])])
    assert why in str(caught.value)
