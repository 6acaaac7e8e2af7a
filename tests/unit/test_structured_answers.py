"""Structured output that goes wrong, comes in parts, or comes with other tools."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as core
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.outputs import Generation
from pydantic import BaseModel

from langchain_pmock import PmockRefusalError
from langchain_pmock._response.parsers import from_text
from tests.unit.service import (
    Service,
    choice_of,
    chunk_of,
    data_of,
    envelope,
    events,
    make_model,
    streams,
    whole,
)
from tests.unit.test_structured import METHODS, WAYS, Point, ask, message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.service import Json

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
    with pytest.raises(OutputParserException, match="cut at the token limit"):
        ask(way, structured(service, schema, method=method))


@pytest.mark.parametrize("schema", [Point, SCHEMA])
def test_a_tool_that_was_not_called(schema: Any) -> None:
    service = WAYS["invoke"]("json_schema", "I'd rather talk.")
    model = structured(service, schema, method="function_calling")
    with pytest.raises(
        OutputParserException, match=r"did not call the tool\. It said: "
    ):
        model.invoke("Hi")


def test_an_invalid_call_says_why() -> None:
    service = WAYS["invoke"]("function_calling", "{x: 1}")
    model = structured(service, Point, method="function_calling")
    with pytest.raises(OutputParserException, match=r"not valid JSON.*{x: 1}"):
        model.invoke("Hi")


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
