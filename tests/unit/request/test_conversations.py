"""Any conversation becomes one that the service's strict validator takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

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

from langchain_pmock import PmockInvalidRequestError, Wire
from langchain_pmock._json import encode
from langchain_pmock._request.content import _WRITERS
from langchain_pmock._request.messages import _REASONING, _TOOL_CALLS, to_wire
from langchain_pmock.testing._body import validate
from tests.support.message_cases import tool
from tests.unit.request.test_content import BLOCKS

if TYPE_CHECKING:
    from tests.support.wire import Json

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


_any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
_kinds = st.sampled_from([*sorted(_WRITERS), *_TOOL_CALLS, *_REASONING, "tool_result"])
_fields = st.sampled_from(
    [
        "text",
        "image_url",
        "input_audio",
        "file",
        "source",
        "content",
        "url",
        "data",
        "base64",
        "mime_type",
        "id",
        "name",
        "args",
        "input",
        "call_id",
        "tool_use_id",
        "cache_control",
        "extras",
        "summary",
        "json",
        "value",
    ]
)
_odd_block = st.builds(
    lambda kind, fields: {**fields, "type": kind},
    _kinds | _any,
    st.dictionaries(_fields, _any, max_size=4),
)


@given(
    make=st.sampled_from([HumanMessage, AIMessage, SystemMessage, tool]),
    blocks=st.lists(st.text() | _odd_block, max_size=3),
    extras=st.dictionaries(
        st.sampled_from(["refusal", "reasoning_content", "tool_call_extras"]), _any
    ),
)
def test_any_blocks_are_sent_or_refused(
    make: Any, blocks: list[Any], extras: Json
) -> None:
    message = make(content=blocks, additional_kwargs=extras)
    before = repr(message)
    try:
        wire = to_wire([message], Wire(reasoning_content="thoughts"))
        body = json.loads(encode({"messages": wire}))
    except PmockInvalidRequestError as error:
        assert str(error).startswith(("messages[0] (", "body.messages[0]."))  # noqa: PT017 - it may have none
    else:
        for sent in body["messages"]:
            content = sent["content"]
            assert isinstance(content, str) or [part["type"] for part in content]
            assert isinstance(sent.get("thoughts", ""), str)
            for call in sent.get("toolCalls", ()):
                assert isinstance(call["id"], str)
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert repr(message) == before
