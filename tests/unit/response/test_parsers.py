"""Structured answers: whole, streamed, invalid, refused, or beside other tools."""

import asyncio
import copy
import json
import re
from collections.abc import Callable
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from itertools import pairwise
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.outputs import Generation
from pydantic import BaseModel
from pydantic_core import from_json

from langchain_pmock import PmockRefusalError
from langchain_pmock._response import partial_json
from langchain_pmock._response.parsers import answer_parser
from tests.support.service import Pieces, Service, make_model, streams, whole
from tests.support.wire import (
    DONE,
    Json,
    choice_of,
    chunk_of,
    data_of,
    envelope,
    event,
    events,
    pieces_of,
)


class Point(BaseModel):
    x: int
    y: int = 0


SCHEMA = Point.model_json_schema()
METHODS = ["json_schema", "function_calling"]


def delta_of(method: str, text: str, name: str = "Point") -> Json:
    if method != "function_calling":
        return {"content": text}
    function = {"name": name, "arguments": text}
    return {"toolCalls": [{"id": "1", "index": 0, "function": function}]}


def answering(
    way: str, method: str, value: object, name: str = "Point", reason: str = "stop"
) -> Service:
    """Answer whole, or in a stream, character by character."""
    text = value if isinstance(value, str) else json.dumps(value)
    if way == "invoke":
        choice = choice_of(delta_of(method, text, name), reason)
        return Service(whole(envelope(data_of(choice), traceId="trace-1")))
    deltas = [delta_of(method, piece, name) for piece in ("", *text)]
    return Service(streams(events(*map(chunk_of, deltas), chunk_of({}, reason))))


@dataclass
class Ask:
    """Asks for a structured answer in a text or a tool call, whole or streamed."""

    way: str
    method: str

    def __call__(
        self, value: object, schema: Any, reason: str = "stop", **kwargs: Any
    ) -> Any:
        """Return the answer, or the last of those that were streamed."""
        service = answering(self.way, self.method, value, reason=reason)
        return self.of(structured(service, schema, method=self.method, **kwargs))

    def of(self, model: Any) -> Any:
        return model.invoke("Hi") if self.way == "invoke" else [*model.stream("Hi")][-1]


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["invoke", "stream"])
def ask(request: pytest.FixtureRequest, method: str) -> Ask:
    return Ask(request.param, method)


def structured(service: Service, schema: Any, **kwargs: Any) -> Any:
    return service.model().with_structured_output(schema, **kwargs)


# --- Values --------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [False, True])
async def test_values_of_a_stream(method: str, *, watched: bool) -> None:
    class Watcher(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **kwargs: Any) -> None:
            seen.append(kwargs["run_type"] or "chain")

    seen: list[str] = []
    text = '{"to": "Bob \\ud83d\\ude00", "amount": 12.5, "ok": true,  "n": [1, 2]}'
    service = answering("stream", method, text)
    model = structured(service, SCHEMA, method=method)
    bob = "Bob 😀"
    expected = [
        {},
        *({"to": bob[:end]} for end in range(len(bob) + 1)),
        {"to": bob, "amount": 12.5},
        {"to": bob, "amount": 12.5, "ok": True},
        {"to": bob, "amount": 12.5, "ok": True, "n": []},
        {"to": bob, "amount": 12.5, "ok": True, "n": [1]},
        {"to": bob, "amount": 12.5, "ok": True, "n": [1, 2]},
    ]
    config: Any = {"callbacks": [Watcher()]} if watched else {}
    assert [*model.stream("Hi", config)] == expected
    assert [answer async for answer in model.astream("Hi", config)] == expected
    assert seen == ["chain", "parser"] * 2 * watched


@pytest.mark.filterwarnings("ignore:The method .* is in beta")
async def test_events_of_the_parser() -> None:
    model = structured(answering("stream", "json_schema", {"x": 1}), SCHEMA)
    events = [event async for event in model.astream_events("Hi", version="v2")]
    parsed = [e["data"]["chunk"] for e in events if e["event"] == "on_parser_stream"]
    assert parsed == [{}, {"x": 1}]


def test_parser_takes_strings_and_messages() -> None:
    parser = answer_parser(None)
    assert parser.parse_result([Generation(text='{"x": 1}')]) == {"x": 1}
    assert parser.parse('{"x": 1}') == {"x": 1}
    assert [*parser.transform(iter([AIMessage('{"x": 1}')]))] == [{"x": 1}]
    assert [*parser.transform(iter([]))] == []


async def test_object_of_a_class_is_yielded_once(method: str) -> None:
    class Payment(BaseModel):
        to: str
        amount: Decimal = Decimal(0)

    service = answering("stream", method, '{"to": "Bob", "amount": 1250.75}', "Payment")
    model = structured(service, Payment, method=method)
    payment = Payment(to="Bob", amount=Decimal("1250.75"))
    assert [*model.stream("Hi")] == [payment]
    assert [answer async for answer in model.astream("Hi")] == [payment]


async def test_stream_that_is_abandoned_closes_its_connection() -> None:
    chunks = [chunk_of({"content": piece}) for piece in ('{"x": ', "1, ", '"y": 2}')]
    first, second = (Pieces(*map(event, map(envelope, chunks)), DONE) for _ in "ab")
    with closing(structured(Service(streams(body=first)), SCHEMA).stream("Hi")) as sync:
        assert next(sync) == {}
    model = structured(Service(streams(body=second)), SCHEMA)
    async with aclosing(model.astream("Hi")) as values:
        assert await anext(values) == {}
    del values
    for _ in range(100):  # the event loop closes what a generator was reading
        await asyncio.sleep(0)
    assert (first.closed, second.closed) == (True, True)


@pytest.mark.parametrize("text", [r'{"x": "\ud83d"}', r'{"x": "a\ude00b"}'])
def test_no_answer_has_a_lone_surrogate(method: str, text: str) -> None:
    for way in ("invoke", "stream"):
        model = structured(answering(way, method, text), SCHEMA, method=method)
        for answer in model.stream("Hi") if way == "stream" else [model.invoke("Hi")]:
            str(answer).encode()
        assert answer["x"].strip("ab") == "\ufffd"


def test_name_of_the_tool_in_pieces() -> None:
    functions = [{"name": "Po"}, {"name": "int"}, {"arguments": '{"x": "1'}]
    functions.append({"arguments": '2"}'})
    calls = [{"index": 0, "function": function} for function in functions]
    deltas = [chunk_of({"toolCalls": [call]}) for call in calls]
    service = Service(streams(events(*deltas, chunk_of({}, "tool_calls"))))
    model = structured(service, SCHEMA, method="function_calling")
    assert [*model.stream("Hi")] == [{"x": "1"}, {"x": "12"}]


# --- Any text -----------------------------------------------------------------------


def is_prefix(part: Any, whole: Any) -> bool:
    """Tell whether a value only lacks what comes later."""
    if isinstance(part, dict):
        if not isinstance(whole, dict) or [*whole][: len(part)] != [*part]:
            return False
        children = [(part[key], whole[key]) for key in part]
    elif isinstance(part, list):
        if not isinstance(whole, list) or len(part) > len(whole):
            return False
        children = [*zip(part, whole, strict=False)]
    elif isinstance(part, str):
        return isinstance(whole, str) and whole.startswith(part)
    else:
        return type(part) is type(whole) and bool(part == whole)
    *finished, last = children or [(None, None)]
    return all(a == b for a, b in finished) and is_prefix(*last)


_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["😀", "\\", '"', "{", "}", "a,b", "```", "\n", "\x00"])
)
_json = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
_objects = st.dictionaries(st.text(max_size=4), _json, max_size=4)
_FORMS = [
    *("{}", "```json\n{}\n```", "Here it is:\n```\n{}\n```\nFine?", " \n{}\n"),
    *("[Note] It is:\n```json\n{}\n```", "{So} `it` is\n```{}``` [1]", "1:```{}"),
]


@given(
    value=_objects,
    form=st.sampled_from(_FORMS),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
    places=st.none() | st.lists(st.integers(0, 999)),
)
def test_each_value_is_a_prefix_of_the_next(
    value: Any, form: str, ascii_only: bool, indent: int | None, places: Any
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    text = form.replace("{}", text, 1)
    pieces = [*text] if places is None else pieces_of(text, places)
    copies, values = [], []
    for part in answer_parser(None).transform(iter(pieces)):
        values.append(part)
        copies.append(copy.deepcopy(part))
    assert values == copies  # none has changed since it was handed out
    assert values[-1] == value
    for part, later in pairwise(values):
        assert part != later
        assert is_prefix(part, later)


_noise = [
    *'{}[]",:\\ \n`1e-.',
    *("true", "nul", "```", "```json", '{"a": ', '"b"', "Note", "é"),
    *(r"\ud83d", r"\ude00", "\ud83d"),
]


@given(pieces=st.lists(st.sampled_from(_noise)))
def test_any_text_has_a_value_or_an_error(pieces: list[str]) -> None:
    values = []
    text = "".join(pieces)
    try:
        for value in answer_parser(None).transform(iter(pieces)):
            values.append(value)
            str(value).encode()
    except OutputParserException:
        with pytest.raises(OutputParserException):
            answer_parser(None).parse(text)
        return
    if pieces:
        whole = answer_parser(None).parse(text)
        assert values[-1:] == ([] if whole is None else [whole])


LONG: dict[str, Callable[[int], str]] = {
    "objects": lambda size: json.dumps([{"name": "Anna", "age": 31}] * (size // 30)),
    "chinese": lambda size: json.dumps({"a": "你好" * (size // 2)}, ensure_ascii=False),
    "line breaks": lambda size: '{"a": "' + "\n" * size + '"}',
    "invalid": lambda size: '{"a": "' + 'x" y' * (size // 4),
    "no JSON": lambda size: "word " * (size // 5),
    "a number": lambda size: '{"a": ' + "1" * size + "}",
}


@pytest.mark.parametrize("case", LONG)
def test_cost_of_a_long_text_is_linear(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed = 0

    def counting(text: bytes, **kwargs: Any) -> Any:
        nonlocal parsed
        parsed += len(text)
        return from_json(text, **kwargs)

    monkeypatch.setattr(partial_json, "from_json", counting)
    costs = []
    for size in (2_000, 4_000):
        parsed = 0
        text = LONG[case](size)
        with suppress(OutputParserException):
            assert [*answer_parser(None).transform(iter(text))][-1] is not None
        costs.append(parsed)
    assert costs[1] <= 2.5 * costs[0]


def test_long_text_has_a_value_for_each_64th() -> None:
    text = json.dumps({"essay": "word " * 20_000})
    values = [*answer_parser(None).transform(iter(text))]
    assert values[-1] == json.loads(text)
    lengths = [len(value["essay"]) for value in values if value]
    assert lengths == sorted(set(lengths))
    assert 500 < len(lengths) < 700


# --- Other answers -------------------------------------------------------------------

CUT_OFF = r"cut off at the token limit: raise max_tokens\. Received: .*x"
FILTERED = "the content filter stopped it"
# Texts and finish reasons, and what the error has. A JSON schema is not checked here.
BAD_JSON = [
    ("hello", "stop", "hello"),
    ("{x: 1}", "stop", r"not (valid JSON|a JSON object).*\{x: 1\}"),
    ('{"x": ', "stop", re.escape('{"x": ')),
    ('{"x": 1', "stop", re.escape('{"x": 1')),  # LangChain's parsers would complete it
    ('{"x": 1, "y', "stop", re.escape('{"x": 1, "y')),
    ('{"x": 1', "SAFETY", r"The finish reason was 'SAFETY'\."),
    ('{"x": 1', "length", CUT_OFF),
    ('{"x": 1}', "length", CUT_OFF),
    ("", "content_filter", FILTERED),
    ('{"x": 1', "content_filter", FILTERED),
    ('{"x": 1}', "content_filter", FILTERED),
]
WRONG = [
    ("[1]", "stop", "Point|not a JSON object|not an object"),
    ('{"z": 1}', "stop", "does not match Point: "),
    ('{"x": "one"}', "MAX_TOKENS", r"The finish reason was 'MAX_TOKENS'\."),
    ("", "stop", "not valid JSON|does not match Point"),
]


@pytest.mark.parametrize(
    ("schema", "text", "reason", "why"),
    [
        *((Point, *case) for case in [*BAD_JSON, *WRONG]),
        *((SCHEMA, *case) for case in BAD_JSON),
    ],
)
def test_answer_that_cannot_be_parsed(
    schema: Any, text: str, reason: str, why: str, ask: Ask
) -> None:
    refused = reason == "content_filter"
    error: Any = PmockRefusalError if refused else OutputParserException
    with pytest.raises(error, match=why) as caught:
        ask(text, schema, reason)
    is_usual = reason in {"stop", "length"}
    assert ("The finish reason was" in str(caught.value)) is not (is_usual or refused)
    if refused:
        metadata = caught.value.raw_message.response_metadata
        assert metadata["finish_reason"] == "content_filter"
        assert caught.value.trace_id == ("trace-1" if ask.way == "invoke" else None)
    answer = ask(text, schema, reason, include_raw=True)
    assert answer["parsed"] is None
    assert str(answer["parsing_error"]) == str(caught.value)


@pytest.mark.parametrize("reason", ["SAFETY", "MAX_TOKENS", "end_turn"])
def test_unusual_finish_reason_of_a_good_answer(reason: str, ask: Ask) -> None:
    assert ask({"x": 1}, Point, reason) == Point(x=1)


async def test_include_raw(method: str) -> None:
    model = structured(
        answering("invoke", method, {"x": 1}), Point, method=method, include_raw=True
    )
    for answer in (model.invoke("Hi"), await model.ainvoke("Hi")):
        assert answer["parsed"] == Point(x=1)
        assert answer["parsing_error"] is None
        assert answer["raw"].response_metadata["finish_reason"] == "stop"
    service = answering("stream", method, {"x": 1})
    model = structured(service, Point, method=method, include_raw=True)
    for parts in ([*model.stream("Hi")], [part async for part in model.astream("Hi")]):
        *raw, last = parts
        assert last == {"parsed": Point(x=1), "parsing_error": None}
        ids = {part["raw"].id for part in raw}
        assert len(ids) == 1
        chunks = [*service.model().stream("Hi")]
        for chunk in chunks:
            chunk.id = ids.copy().pop()
        assert raw == [{"raw": chunk} for chunk in chunks]
        assert reduce(add, parts)["raw"].response_metadata["finish_reason"] == "stop"


REFUSED = {"content": "", "refusal": "I can't."}


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("method", [*METHODS, "json_mode"])
def test_refusal(ask: Ask, schema: Any) -> None:
    answer = whole(envelope(data_of(choice_of(REFUSED))))
    deltas = [chunk_of({"refusal": "I "}), chunk_of({"refusal": "can't."})]
    stream = streams(events(*deltas, chunk_of({}, "stop")))
    service = Service(answer if ask.way == "invoke" else stream)
    with pytest.raises(PmockRefusalError, match=r"refused .*: I can't\.") as caught:
        ask.of(structured(service, schema, method=ask.method))
    assert isinstance(caught.value, getattr(core, "ModelRefusalError", core.ModelError))
    assert caught.value.raw_message is not None
    assert caught.value.raw_message.additional_kwargs["refusal"] == "I can't."


def test_tool_that_is_not_called() -> None:
    called = (
        answering("invoke", "function_calling", {"x": 1}, "Search").model().invoke("Hi")
    )
    assert answer_parser(Point, "Point").invoke(called) is None
    for message in (called, AIMessage("I'd rather talk.")):
        with pytest.raises(OutputParserException, match="did not call the tool"):
            answer_parser(Point, "Point", other_tools=False).invoke(message)


@pytest.mark.parametrize(
    ("method", "strict"),
    [("json_schema", None), ("json_schema", True), ("function_calling", False)],
)
def test_schema_is_traced(method: str, strict: bool | None) -> None:
    class Watcher(BaseCallbackHandler):
        def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
            seen.append(kwargs["options"]["ls_structured_output_format"])

    seen: list[Json] = []
    service = answering("invoke", method, {"x": 1})
    model = structured(service, Point, method=method, strict=strict)
    model.invoke("Hi", {"callbacks": [Watcher()]})
    assert seen[0]["kwargs"] == {"method": method, "strict": strict}
    assert seen[0]["schema"]["title"] == "Point"  # langchain-core writes the class down
    assert "ls_structured_output_format" not in service.bodies[0]
    bound: Any = make_model().with_structured_output(None, method="json_mode")
    assert "ls_structured_output_format" not in bound.first.kwargs


def test_refusal_in_the_content_is_a_refusal() -> None:
    blocks: Any = [{"type": "refusal", "refusal": "I cannot help with that."}]
    message = AIMessage(blocks, response_metadata={"finish_reason": "stop"})
    with pytest.raises(PmockRefusalError, match="I cannot help with that") as caught:
        answer_parser(Point).invoke(message)
    assert caught.value.raw_message is message
