"""Any conversation becomes one that the service's strict validator takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from langchain_pmock._request.messages import to_wire
from langchain_pmock.testing._body import validate
from tests.unit.test_content import BLOCKS

if TYPE_CHECKING:
    from tests.unit.service import Json

_text = st.text(max_size=10)
_name = st.from_regex(r"[a-zA-Z0-9_-]{1,10}", fullmatch=True)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | _text,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(_text, inner, max_size=2)
    ),
    max_leaves=4,
)
_sent = [block for name, (block, _) in BLOCKS.items() if "cached" not in name]
_content = st.one_of(
    _text, st.lists(st.one_of(_text, st.sampled_from(_sent)), max_size=4)
)
_optional_name = st.none() | _name


@st.composite
def _turn(draw: st.DrawFn) -> list[BaseMessage]:
    """An assistant's message with calls, and a result for each, in any dialect."""
    ids = draw(st.lists(_name, max_size=3, unique=True))
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    blocks: list[Json] = []
    for id_ in ids:
        name, args = draw(_name), draw(st.dictionaries(_text, _json, max_size=2))
        form = draw(st.sampled_from(["call", "block", "both", "invalid"]))
        if form == "invalid":
            invalid.append(
                invalid_tool_call(name=name, args=draw(_text), id=id_, error="x")
            )
        if form in ("call", "both"):
            calls.append(tool_call(name=name, args=args, id=id_))
        if form in ("block", "both"):
            blocks.append({"type": "tool_use", "id": id_, "name": name, "input": args})
    blocks += draw(
        st.lists(
            st.sampled_from(
                [
                    {"type": "thinking", "thinking": "Hm."},
                    {"type": "reasoning", "reasoning": "Hm."},
                    {"type": "refusal", "refusal": "No."},
                ]
            ),
            max_size=2,
        )
    )
    content = draw(_content)
    if blocks:
        content = [*([content] if isinstance(content, str) else content), *blocks]
    message = AIMessage(
        content=content,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        name=draw(_optional_name),
    )
    results: list[BaseMessage] = []
    for id_ in draw(st.permutations(ids)):
        failed, result = draw(st.booleans()), draw(_content)
        block = {"type": "tool_result", "tool_use_id": id_, "content": result}
        results.append(
            draw(
                st.sampled_from(
                    [
                        HumanMessage([{**block, "is_error": failed}]),
                        ToolMessage(
                            content=result,
                            tool_call_id=id_,
                            status="error" if failed else "success",
                        ),
                    ]
                )
            )
        )
    return [message, *results]


_roles = st.sampled_from(["user", "human", "ai", "assistant", "system", "developer"])
_messages = st.lists(
    st.one_of(
        st.builds(HumanMessage, _content, name=_optional_name).map(lambda m: [m]),
        st.builds(SystemMessage, _content, name=_optional_name).map(lambda m: [m]),
        st.builds(ChatMessage, _content, role=_roles).map(lambda m: [m]),
        _turn(),
    ),
    min_size=1,
    max_size=4,
).map(lambda turns: [message for turn in turns for message in turn])


@given(messages=_messages)
def test_any_conversation_is_one_that_the_service_takes(
    messages: list[BaseMessage],
) -> None:
    wire = to_wire(messages)
    body = validate({"model": "gpt-5.1", "messages": wire})
    assert len(body.messages) >= len(messages)
    calls = [call["id"] for message in wire for call in message.get("toolCalls", ())]
    results = [message["toolCallId"] for message in wire if message["role"] == "tool"]
    assert sorted(calls) == sorted(results)
