"""LangChain's messages, as the request has them."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
    BLOCKS,
    CALL,
    MESSAGES,
    REASONING,
    REASONING_BLOCKS,
    UNSENDABLE,
    ai,
    anthropic_result,
    text,
    tool,
    wire_call,
)
from tests.support.service import make_model
from tests.support.wire import Json


@pytest.mark.parametrize(("message", "expected"), MESSAGES)
def test_messages(message: BaseMessage, expected: Json | list[Json]) -> None:
    before = message.model_dump_json()
    written = to_wire([message])
    assert written == (expected if isinstance(expected, list) else [expected])
    assert message.model_dump_json() == before


def test_no_messages() -> None:
    with pytest.raises(PmockInvalidRequestError, match=r"messages=\[\] is not valid"):
        make_model().invoke([])


@pytest.mark.parametrize(("message", "expected"), REASONING)
def test_reasoning_is_sent_only_in_a_named_field(
    message: BaseMessage, expected: Json
) -> None:
    assert to_wire([message], Wire(reasoning_content="thoughts")) == [expected]
    plain = {name: value for name, value in expected.items() if name != "thoughts"}
    assert to_wire([message]) == [plain]


def test_names_of_tool_calls_and_results() -> None:
    messages = [
        ai(tool_calls=[CALL]),
        tool("sunny"),
        HumanMessage([anthropic_result(content="sunny")]),
    ]
    names = Wire(tool_calls="tool_calls", tool_call_id="tool_call_id")
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    assert to_wire(messages, names) == [
        {"role": "assistant", "content": "", "tool_calls": [wire_call()]},
        result,
        result,
    ]


DEEP = '{"a":' * 300 + "1" + "}" * 300


INVALID_ARGUMENTS: list[tuple[Any, str]] = [
    ('{"city": "Llan', '{"city": "Llan'),
    ('{"city": "Zürich"} and so on', '{"city": "Zürich"} and so on'),
    ('{"a": "\ud83c"', '{"a": "\ufffd"'),
    ('{"a": "\n"}', '{"a": "\n"}'),
    (DEEP, DEEP),
    ("[1]", "[1]"),
    ("null", "null"),
    ([1, "a"], '[1,"a"]'),
    # LangChain's parser accepts them in a model's arguments.
    ('{"a": NaN}', '{"a": NaN}'),
    ({"a": float("nan")}, '{"a":NaN}'),
    ({"a": float("-inf")}, '{"a":-Infinity}'),
]


@pytest.mark.parametrize(
    ("args", "sent"),
    [
        (None, "{}"),
        ("", "{}"),
        ('{ "city": "Z" }', '{ "city": "Z" }'),
        ({"city": "Zürich"}, '{"city":"Zürich"}'),
        ({"a": "\ud83c"}, '{"a":"\ufffd"}'),
        # Servers parse arguments, and refuse what is not a JSON object.
        *((args, {"invalid": sent}) for args, sent in INVALID_ARGUMENTS),
    ],
)
def test_arguments_are_an_object(args: Any, sent: Any) -> None:
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": args}
    (message,) = to_wire([ai([call])])
    written = message["toolCalls"][0]["function"]["arguments"]
    assert (written if isinstance(sent, str) else json.loads(written)) == sent


def user(block: Any) -> BaseMessage:
    return HumanMessage.model_construct(content=[block])


REFERENCE = {"type": "tool_reference"}
UPLOAD = {"type": "container_upload", "file_id": "1"}  # for the model's provider
NO_JSON = ai(tool_calls=[{**CALL, "args": {"at": [Decimal(1)]}}])
BROKEN: list[tuple[BaseMessage, str]] = [
    (RemoveMessage("1"), "messages of type 'remove' are not supported"),
    (user(42), "A content block must be a string or a dict, not 42."),
    (user({"type": "tool_result"}), "tool_use_id=None must be a string"),
    (user(anthropic_result(content=[REFERENCE])), "'tool_reference' cannot be sent"),
    (
        user(anthropic_result(content=5)),
        "content=5 must be a string or a list of blocks",
    ),
    (user(UPLOAD), "type 'container_upload' cannot be sent"),
    (
        ai([{"type": "tool_use", "id": 5}]),
        "'tool_use' cannot be sent: id=5 must be a s",
    ),
    (NO_JSON, "the tool call 'call_1'.at[0]=Decimal('1') cannot be written as JSON"),
    *((ai([text("fine"), block]), why) for block, why in UNSENDABLE),
]


@pytest.mark.parametrize(("message", "why"), BROKEN)
def test_message_that_cannot_be_sent_is_named(message: BaseMessage, why: str) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        to_wire([HumanMessage("a"), ai("b"), message, HumanMessage("c")])
    assert str(caught.value).startswith(f"messages[2] ({type(message).__name__}): ")
    assert why in str(caught.value)


def test_defect_of_a_converter_is_not_an_invalid_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def defect(*_: object, **__: object) -> None:
        msg = "'NoneType' object has no attribute 'get'"
        raise AttributeError(msg)

    monkeypatch.setattr("base64.b64decode", defect)
    with pytest.raises(AttributeError, match="NoneType"):
        to_wire([HumanMessage([{"type": "text-plain", "base64": "SGk="}])])


# --- Generated messages -------------------------------------------------------------

_any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=5,
)
_everything = [block for block, _ in (*BLOCKS, *UNSENDABLE) if isinstance(block, dict)]
_everything += [*REASONING_BLOCKS, anthropic_result(), {**CALL}]
_kinds = sorted({str(block.get("type")) for block in _everything})
_fields = sorted({field for block in _everything for field in block})
_odd_block = st.builds(
    lambda kind, fields: {**fields, **kind},
    st.fixed_dictionaries({}, optional={"type": st.sampled_from(_kinds) | _any}),
    st.dictionaries(st.sampled_from(_fields), _any, max_size=4),
)
_extras = ["refusal", "reasoning_content", "tool_call_extras", "tool_calls"]


@given(
    make=st.sampled_from([HumanMessage, AIMessage, SystemMessage, tool]),
    blocks=st.lists(st.text() | _odd_block, max_size=3),
    extras=st.dictionaries(st.sampled_from(_extras), _any),
)
def test_any_blocks_are_sent_or_refused(
    make: Any, blocks: list[Any], extras: Json
) -> None:
    message = make(content=blocks)
    message.additional_kwargs.update(extras)
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
                assert isinstance(call.get("id", ""), str)
                assert isinstance(json.loads(call["function"]["arguments"]), dict)
    assert repr(message) == before
