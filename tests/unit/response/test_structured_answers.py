"""Structured output that goes wrong, comes in parts, or comes with other tools."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing, closing
from decimal import Decimal
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGenerationChunk, Generation
from pydantic import BaseModel

from langchain_pmock import PmockRefusalError
from langchain_pmock._response.parsers import from_call, from_text
from tests.support.service import Pieces, Service, make_model, streams, whole
from tests.support.wire import choice_of, chunk_of, data_of, envelope, event, events
from tests.unit.request.test_structured import METHODS, WAYS, Point, ask, message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire import Json

SCHEMA = Point.model_json_schema()
WRONG = {
    "no JSON": "hello",
    "half of it": '{"x": ',
    "a list": "[1]",
    "of another schema": '{"z": 1}',
    "of the wrong type": '{"x": "one"}',
    "nothing": "",
}


def structured(service: Service, schema: Any, **kwargs: Any) -> Any:
    return service.model().with_structured_output(schema, **kwargs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", WRONG)
def test_an_answer_that_does_not_fit_raises(case: str, method: str, way: str) -> None:
    service = WAYS[way](method, WRONG[case])
    with pytest.raises(OutputParserException):
        ask(way, structured(service, Point, method=method))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ["hello", '{"x": ', '{"x": 1', '{"x": 1, "y'])
def test_half_an_answer_is_not_completed(
    text: str,
    method: str,
    schema: Any,
    way: str,
) -> None:
    with pytest.raises(OutputParserException) as caught:
        ask(way, structured(WAYS[way](method, text), schema, method=method))
    assert text in str(caught.value)


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "text", ['```json\n{"x": 1}\n```', 'Here it is:\n```\n{"x": 1}\n```\nFine?']
)
def test_json_in_markdown(text: str, way: str, schema: Any) -> None:
    answer = ask(way, structured(WAYS[way]("json_schema", text), schema))
    assert answer == (Point(x=1) if schema is Point else {"x": 1})


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", WRONG)
def test_include_raw_never_raises_on_parsing(
    case: str,
    method: str,
    schema: Any,
) -> None:
    service = WAYS["invoke"](method, WRONG[case])
    model = structured(service, schema, method=method, include_raw=True)
    answer = model.invoke("Hi")
    assert answer.keys() == {"raw", "parsed", "parsing_error"}
    assert answer["raw"].id == "chatcmpl-1"
    if schema is Point:
        assert answer["parsed"] is None
        assert isinstance(answer["parsing_error"], OutputParserException)
    # A dict that fits is only one that is a dict.
    assert (answer["parsed"] is None) != (answer["parsing_error"] is None)


@pytest.mark.parametrize("method", METHODS)
async def test_include_raw(method: str) -> None:
    service = WAYS["invoke"](method, {"x": 1})
    model = structured(service, Point, method=method, include_raw=True)
    for answer in (model.invoke("Hi"), await model.ainvoke("Hi")):
        assert answer["parsed"] == Point(x=1)
        assert answer["parsing_error"] is None
        assert answer["raw"].response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("method", METHODS)
async def test_include_raw_in_a_stream(method: str) -> None:
    service = WAYS["stream"](method, {"x": 1})
    model = structured(service, Point, method=method, include_raw=True)
    for parts in ([*model.stream("Hi")], [part async for part in model.astream("Hi")]):
        *raw, last = parts
        assert last == {"parsed": Point(x=1), "parsing_error": None}
        assert raw == [{"raw": chunk} for chunk in service.model().stream("Hi")]
        assert reduce(add, parts)["raw"].response_metadata["finish_reason"] == "stop"


@pytest.mark.parametrize("method", METHODS)
async def test_async(method: str) -> None:
    model = structured(WAYS["invoke"](method, {"x": 1}), Point, method=method)
    assert await model.ainvoke("Hi") == Point(x=1)
    model = structured(WAYS["stream"](method, {"x": 1}), Point, method=method)
    assert [answer async for answer in model.astream("Hi")][-1] == Point(x=1)


@pytest.mark.parametrize("method", METHODS)
def test_dicts_are_streamed_in_parts(method: str) -> None:
    service = WAYS["stream"](method, {"x": 12, "y": 3})
    parts = [*structured(service, SCHEMA, method=method).stream("Hi")]
    assert parts[0] == {}
    assert {"x": 12} in parts
    assert parts[-1] == {"x": 12, "y": 3}
    assert len(parts) == len({repr(part) for part in parts})


@pytest.mark.parametrize("method", METHODS)
async def test_an_object_of_a_class_comes_once_and_whole(method: str) -> None:
    class Payment(BaseModel):
        to: str
        amount: Decimal = Decimal(0)

    service = WAYS["stream"](method, '{"to": "Bob", "amount": 1250.75}', "Payment")
    model = structured(service, Payment, method=method)
    payment = Payment(to="Bob", amount=Decimal("1250.75"))
    assert [*model.stream("Hi")] == [payment]
    assert [answer async for answer in model.astream("Hi")] == [payment]


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("method", METHODS)
async def test_values_of_a_stream(method: str, *, watched: bool) -> None:
    class Watcher(BaseCallbackHandler):
        def on_chain_start(self, *_: Any, **kwargs: Any) -> None:
            seen.append(kwargs["run_type"] or "chain")

    seen: list[str] = []
    text = '{"to": "Bob \\ud83d\\ude00", "amount": 12.5, "ok": true,  "n": [1, 2]}'
    service = WAYS["stream"](method, text)
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
    model = structured(WAYS["stream"]("json_schema", {"x": 1}), SCHEMA)
    events = [event async for event in model.astream_events("Hi", version="v2")]
    parsed = [e["data"]["chunk"] for e in events if e["event"] == "on_parser_stream"]
    assert parsed == [{}, {"x": 1}]


@pytest.mark.parametrize("method", METHODS)
def test_parts_of_a_message_are_parsed_as_those_of_a_stream(method: str) -> None:
    # A version of LangChain that merges the chunks itself gets its values this way.
    service = WAYS["stream"](method, '{"x": 12, "y": "ab"}')
    chunks = [*service.model().stream("Hi")]
    parser = from_call(SCHEMA, "Point") if "call" in method else from_text(SCHEMA)
    values: list[Any] = []
    for end in range(1, len(chunks) + 1):
        merged = ChatGenerationChunk(message=reduce(add, chunks[:end]))
        value = parser.parse_result([merged], partial=True)
        if value is not None and value not in values:
            values.append(value)
    assert values == [*parser.transform(iter(chunks))]
    assert values[-1] == {"x": 12, "y": "ab"}


def test_a_merged_message_and_a_text_in_parts() -> None:
    parser = from_text(None)
    generation = Generation(text='{"x": 1, "y": 2')
    assert parser.parse_result([generation], partial=True) == {"x": 1}
    assert [*parser.transform(iter([AIMessage('{"x": 1}')]))] == [{"x": 1}]
    assert [*parser.transform(iter([]))] == []


@pytest.mark.parametrize("method", METHODS)
async def test_the_model_that_does_not_stream(method: str) -> None:
    service = WAYS["invoke"](method, {"x": 1})
    model: Any = service.model(disable_streaming=True)
    for schema, answer in ((SCHEMA, {"x": 1}), (Point, Point(x=1))):
        typed = model.with_structured_output(schema, method=method)
        assert [*typed.stream("Hi")] == [answer]
        assert [part async for part in typed.astream("Hi")] == [answer]


async def test_a_stream_that_is_left_closes_its_connection() -> None:
    chunks = [chunk_of({"content": piece}) for piece in ('{"x": ', "1, ", '"y": 2}')]
    for way in ("stream", "astream"):
        body = Pieces(*map(event, map(envelope, chunks)), event(b"[DONE]"))
        model = structured(Service(streams(body=body)), SCHEMA)
        if way == "stream":
            with closing(model.stream("Hi")) as values:
                assert next(values) == {}
        else:
            async with aclosing(model.astream("Hi")) as values:
                assert await anext(values) == {}
        del values
        for _ in range(
            100
        ):  # the event loop closes what an async generator was reading
            await asyncio.sleep(0)
        assert body.closed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", [r'{"x": "\ud83d"}', r'{"x": "a\ude00b"}'])
def test_no_half_character_is_in_an_answer(method: str, way: str, text: str) -> None:
    model = structured(WAYS[way](method, text), SCHEMA, method=method)
    for answer in model.stream("Hi") if way == "stream" else [model.invoke("Hi")]:
        str(answer).encode()
    assert answer["x"].strip("ab") == "\ufffd"


REFUSED = choice_of({"content": "", "refusal": "I can't."})
REFUSING: dict[str, Callable[[], Service]] = {
    "invoke": lambda: Service(whole(envelope(data_of(REFUSED), traceId="trace-1"))),
    "stream": lambda: Service(
        streams(
            events(
                chunk_of({"refusal": "I "}),
                chunk_of({"refusal": "can't."}),
                chunk_of({}, "stop"),
            )
        )
    ),
}


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("way", REFUSING)
@pytest.mark.parametrize("method", [*METHODS, "json_mode"])
def test_a_refusal_raises(method: str, way: str, schema: Any) -> None:
    service = REFUSING[way]()
    with pytest.raises(PmockRefusalError, match=r"refused .*: I can't\.") as caught:
        ask(way, structured(service, schema, method=method))
    assert isinstance(caught.value, getattr(core, "ModelRefusalError", core.ModelError))
    raw = caught.value.raw_message
    assert raw is not None
    assert raw.additional_kwargs["refusal"] == "I can't."
    if way == "invoke":
        assert caught.value.trace_id == "trace-1"


def test_a_refusal_with_include_raw() -> None:
    model = structured(REFUSING["invoke"](), Point, include_raw=True)
    answer = model.invoke("Hi")
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], PmockRefusalError)
    assert answer["raw"].additional_kwargs["refusal"] == "I can't."


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ['{"x": 1', '{"x": 1}'])
def test_a_cut_answer_is_none(
    text: str,
    method: str,
    way: str,
    schema: Any,
) -> None:
    # LangChain's parsers would complete the JSON, and nobody would know.
    service = WAYS[way](method, text, "Point", "length")
    with pytest.raises(OutputParserException, match="cut off at the token limit"):
        ask(way, structured(service, schema, method=method))


@pytest.mark.parametrize("schema", [Point, SCHEMA])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("text", ['{"x": 1', '{"x": 1}'])
@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("length", "cut off at the token limit: raise max_tokens"),
        ("content_filter", "stopped by the content filter"),
    ],
)
def test_why_an_answer_is_cut_and_what_there_is_of_it(  # noqa: PLR0913, PLR0917
    reason: str, why: str, text: str, method: str, way: str, schema: Any
) -> None:
    service = WAYS[way](method, text, "Point", reason)
    with pytest.raises(OutputParserException, match=f"was {why}. Received: ") as caught:
        ask(way, structured(service, schema, method=method))
    received = str(caught.value).partition("Received: ")[2]
    assert received.startswith((text, f"['{text}", "[{'x': 1}]"))


@pytest.mark.parametrize("schema", [Point, SCHEMA])
def test_a_tool_that_was_not_called(schema: Any) -> None:
    service = WAYS["invoke"]("json_schema", "I'd rather talk.")
    model = structured(service, schema, method="function_calling")
    with pytest.raises(
        OutputParserException, match=r"did not call the tool\. It answered: "
    ):
        model.invoke("Hi")


@pytest.mark.parametrize(
    ("way", "why"), [("invoke", "not valid JSON"), ("stream", "not a JSON object")]
)
def test_an_invalid_call_says_why(way: str, why: str) -> None:
    service = WAYS[way]("function_calling", "{x: 1}")
    model = structured(service, Point, method="function_calling")
    with pytest.raises(OutputParserException, match=rf"{why}.*{{x: 1}}"):
        ask(way, model)


def test_another_tool_than_that_of_the_answer() -> None:
    service = WAYS["invoke"]("function_calling", {"x": 1}, "Search")
    message = service.model().invoke("Hi")
    parser = from_call(Point, "Point", other_tools=True)
    assert parser.invoke(message) is None
    with pytest.raises(OutputParserException, match="did not call the tool"):
        from_call(Point, "Point").invoke(message)


class Search(BaseModel):
    """Search for it."""

    query: str


@pytest.mark.parametrize("strict", [None, True])
def test_other_tools_beside_the_schema(strict: bool | None) -> None:
    call = message_of("function_calling", '{"query": "a"}', "Search")
    service = Service(
        whole(envelope(data_of(choice_of(call, "tool_calls")))),
        whole(envelope(data_of(choice_of({"content": '{"x": 1}'})))),
    )
    model = structured(service, Point, tools=[Search], strict=strict, include_raw=True)
    answer = model.invoke("Hi")
    assert (answer["parsed"], answer["parsing_error"]) == (None, None)
    assert answer["raw"].tool_calls[0]["name"] == "Search"
    assert model.invoke("Hi")["parsed"] == Point(x=1)
    (tool,) = service.bodies[0]["tools"]
    assert tool["function"]["name"] == "Search"
    assert tool["function"].get("strict") is strict
    assert service.bodies[0]["responseFormat"]["type"] == "json_schema"


def test_more_parameters() -> None:
    service = WAYS["invoke"]("json_schema", {"x": 1})
    structured(service, Point, temperature=0).invoke("Hi")
    assert service.bodies[0]["temperature"] == 0


class Traced(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: Json = {}

    def on_chat_model_start(self, *_: Any, **kwargs: Any) -> None:
        self.seen = kwargs


@pytest.mark.parametrize(
    ("method", "strict"),
    [("json_schema", None), ("json_schema", True), ("function_calling", False)],
)
def test_langsmith_sees_the_schema(method: str, strict: bool | None) -> None:
    service = WAYS["invoke"](method, {"x": 1})
    traced = Traced()
    model = structured(service, Point, method=method, strict=strict)
    model.invoke("Hi", {"callbacks": [traced]})
    shown = traced.seen["options"]["ls_structured_output_format"]
    kwargs = {"method": method} | ({} if strict is None else {"strict": strict})
    assert shown["kwargs"] == kwargs
    assert shown["schema"]["title"] == "Point"  # langchain-core writes the class down
    assert "ls_structured_output_format" not in service.bodies[0]


def test_without_a_schema_there_is_nothing_to_see() -> None:
    bound: Any = make_model().with_structured_output(None, method="json_mode")
    assert "ls_structured_output_format" not in bound.first.kwargs


def test_a_parser_takes_plain_text_too() -> None:
    assert from_text(None).parse_result([Generation(text='{"x": 1}')]) == {"x": 1}


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 ends with 3.13")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", [*METHODS, "json_mode"])
def test_a_class_of_pydantic_v1(method: str, way: str) -> None:
    from pydantic import v1  # noqa: PLC0415 - warns where it does not work

    class Point(v1.BaseModel):
        """A point."""

        x: int

    service = WAYS[way](method, {"x": 1})
    answer = ask(way, structured(service, Point, method=method))
    assert type(answer) is Point
    assert answer.x == 1
    with pytest.raises(OutputParserException):
        ask(way, structured(WAYS[way](method, {"x": "one"}), Point, method=method))
