"""Structured output: what each method sends, and what comes back of each schema."""

from __future__ import annotations

import json
from collections.abc import Callable  # noqa: TC003 - LangChain reads the annotations
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

import pytest
from langchain_core.exceptions import OutputParserException
from pydantic import BaseModel, Field, field_validator
from typing_extensions import TypedDict

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock.testing._body import validate
from tests.support.service import Service, make_model, streams, whole
from tests.support.wire import choice_of, chunk_of, data_of, envelope, events

if TYPE_CHECKING:
    from tests.support.wire import Json

T = TypeVar("T")
METHODS = ["json_schema", "function_calling"]


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Point(BaseModel):
    x: int
    y: int = 0


class Drawing(BaseModel):
    """A drawing."""

    title: str = Field(description="What it is called.")
    colour: Colour
    points: list[Point] = []
    size: int | str | None = None
    style: Literal["plain", "fine"] = "plain"


class PointDict(TypedDict):
    """A point."""

    x: int


class DrawingDict(TypedDict):
    """A drawing."""

    title: Annotated[str, ..., "What it is called."]
    point: PointDict


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list[Tree] = []


SCHEMA: Json = {
    "title": "drawing",
    "description": "A drawing.",
    "type": "object",
    "properties": {"title": {"type": "string"}, "point": {"$ref": "#/$defs/Point"}},
    "required": ["title"],
    "$defs": {"Point": {"type": "object", "properties": {"x": {"type": "integer"}}}},
}
UNTITLED: Json = {k: v for k, v in SCHEMA.items() if k != "title"}
FUNCTION: Json = {"name": "drawing", "description": "A drawing.", "parameters": SCHEMA}
GIVEN: Json = {"title": "Sea", "point": {"x": 1}}

DRAWING: Json = {"title": "Sea", "colour": "red", "points": [{"x": 1}], "size": "big"}
TREE: Json = {"name": "a", "children": [{"name": "b", "children": []}]}

# Schema: its name on the wire, what the model says, and what the user gets.
SCHEMAS: dict[str, tuple[Any, str, Json, Any]] = {
    "pydantic": (Drawing, "Drawing", DRAWING, Drawing.model_validate(DRAWING)),
    "recursive pydantic": (Tree, "Tree", TREE, Tree.model_validate(TREE)),
    "TypedDict": (DrawingDict, "DrawingDict", GIVEN, GIVEN),
    "JSON schema": (SCHEMA, "drawing", GIVEN, GIVEN),
    "JSON schema without a title": (UNTITLED, "answer", GIVEN, GIVEN),
    "OpenAI function": (FUNCTION, "drawing", GIVEN, GIVEN),
    "OpenAI tool": (
        {"type": "function", "function": FUNCTION},
        "drawing",
        GIVEN,
        GIVEN,
    ),
}


def message_of(method: str, text: str, name: str) -> Json:
    """A message of a model that keeps to the method."""
    if method != "function_calling":
        return {"content": text}
    function = {"name": name, "arguments": text}
    return {"toolCalls": [{"id": "1", "index": 0, "function": function}]}


def answering(
    method: str, value: object, name: str = "Point", reason: str = "stop"
) -> Service:
    """A service that answers so."""
    text = value if isinstance(value, str) else json.dumps(value)
    choice = choice_of(message_of(method, text, name), reason)
    return Service(whole(envelope(data_of(choice))))


def streaming(
    method: str, value: object, name: str = "Point", reason: str = "stop"
) -> Service:
    """A service that streams the same answer, character by character."""
    text = value if isinstance(value, str) else json.dumps(value)
    deltas = [message_of(method, piece, name) for piece in ("", *text)]
    return Service(streams(events(*map(chunk_of, deltas), chunk_of({}, reason))))


WAYS = {"invoke": answering, "stream": streaming}


def ask(way: str, model: Any) -> Any:
    """The answer, or the last of those that were streamed."""
    return model.invoke("Hi") if way == "invoke" else [*model.stream("Hi")][-1]


@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", SCHEMAS)
def test_what_comes_back(
    case: str,
    method: Any,
    way: str,
    strict: bool | None,
) -> None:
    schema, name, said, expected = SCHEMAS[case]
    service = WAYS[way](method, said, name)
    model = service.model().with_structured_output(schema, method=method, strict=strict)
    assert ask(way, model) == expected
    (body,) = service.bodies
    validate(body)
    if method == "json_schema":
        assert body.keys() - {"stream"} == {"model", "messages", "responseFormat"}
        written = body["responseFormat"]["json_schema"]
        schema_sent = written["schema"]
    else:
        choice = {"type": "function", "function": {"name": name}}
        assert body["toolChoice"] == choice
        assert body["parallelToolCalls"] is False
        assert "responseFormat" not in body
        (tool,) = body["tools"]
        written = tool["function"]
        schema_sent = written["parameters"]
    assert written["name"] == name
    assert written.get("strict") is strict
    assert schema_sent["type"] == "object"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("schema", [None, Point, SCHEMA])
def test_json_mode(way: str, schema: Any) -> None:
    service = WAYS[way]("json_mode", {"x": 1})
    model = service.model().with_structured_output(schema, method="json_mode")
    assert ask(way, model) == (Point(x=1) if schema is Point else {"x": 1})
    (body,) = service.bodies
    assert body["responseFormat"] == {"type": "json_object"}
    assert body.keys() - {"stream"} == {"model", "messages", "responseFormat"}


def test_json_schema_is_the_default() -> None:
    service = answering("json_schema", {"x": 1})
    assert service.model().with_structured_output(Point).invoke("Hi") == Point(x=1)
    assert service.bodies[0]["responseFormat"]["type"] == "json_schema"


def sent(schema: Any, **kwargs: Any) -> Json:
    bound: Any = make_model().with_structured_output(schema, **kwargs)
    written: Json = bound.first.kwargs["response_format"]["json_schema"]
    return written


def test_a_schema_is_sent_in_full() -> None:
    written = sent(Drawing)
    assert written["description"] == "A drawing."
    schema = written["schema"]
    assert schema["required"] == ["title", "colour"]
    assert schema["properties"]["title"]["description"] == "What it is called."
    assert schema["properties"]["style"]["enum"] == ["plain", "fine"]
    assert schema["properties"]["style"]["default"] == "plain"
    assert schema["$defs"]["Colour"]["enum"] == ["red", "blue"]
    union = schema["properties"]["size"]["anyOf"]
    assert [option["type"] for option in union] == ["integer", "string", "null"]
    points = schema["properties"]["points"]["items"]
    assert points == {"$ref": "#/$defs/Point"}


def test_what_a_schema_does_not_say_is_not_sent() -> None:
    assert sent(Point).keys() == {"name", "schema"}
    assert sent(Point)["schema"].keys() == {"type", "properties", "required"}
    nothing = sent({"name": "answer", "description": "None."})
    assert nothing["schema"] == {"type": "object"}


def test_a_recursive_schema_keeps_its_references() -> None:
    schema = sent(Tree)["schema"]
    assert "$ref" not in schema
    children = schema["$defs"]["Tree"]["properties"]["children"]
    assert children["items"] == {"$ref": "#/$defs/Tree"}


def test_strict_closes_each_object() -> None:
    schema = sent(Drawing, strict=True)["schema"]
    for part in (schema, schema["$defs"]["Point"]):
        assert part["additionalProperties"] is False
        assert part["required"] == [*part["properties"]]
    assert "default" not in json.dumps(schema)
    # The user's own schema is not touched.
    assert sent(SCHEMA, strict=True)["schema"]["required"] == ["title", "point"]
    assert SCHEMA["required"] == ["title"]


def test_strict_leaves_a_reference_by_itself() -> None:
    class Line(BaseModel):
        start: Point = Field(description="Where it starts.")

    start = sent(Line, strict=True)["schema"]["properties"]["start"]
    assert start == {
        "anyOf": [{"$ref": "#/$defs/Point"}],
        "description": "Where it starts.",
    }
    assert "$ref" in sent(Line)["schema"]["properties"]["start"]


def test_a_property_that_is_called_default_is_kept() -> None:
    schema = {"title": "t", "type": "object", "properties": {"default": {}}}
    assert "default" in sent(schema, strict=True)["schema"]["properties"]


@pytest.mark.parametrize(
    ("title", "name"),
    [("A drawing!", "A_drawing_"), ("Größe", "Gr__e"), ("a-b_c", "a-b_c")],
)
def test_names_keep_to_the_letters_of_the_wire(title: str, name: str) -> None:
    assert sent({**SCHEMA, "title": title})["name"] == name


def test_a_generic_class_has_a_name() -> None:
    class Box(BaseModel, Generic[T]):
        inner: T

    name = sent(Box[int])["name"]
    assert name == "Box_int_"
    service = answering("function_calling", {"inner": 5}, "Box_int_")
    by_call = service.model().with_structured_output(
        Box[int], method="function_calling"
    )
    box = by_call.invoke("Hi")
    assert isinstance(box, Box)
    assert box.inner == 5
    (tool,) = service.bodies[0]["tools"]
    assert tool["function"]["name"] == "Box_int_"


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_beside_its_raw_message_is_parsed_once(way: str) -> None:
    class Watched(BaseModel):
        title: str

        @field_validator("title")
        @classmethod
        def _watch(cls, value: str) -> str:
            seen.append(value)
            return value

    seen: list[str] = []
    service = WAYS[way]("json_schema", {"title": "Sea"})
    model = service.model().with_structured_output(Watched, include_raw=True)
    chunks = [model.invoke("Hi")] if way == "invoke" else [*model.stream("Hi")]
    assert seen == ["Sea"]
    parsed = [chunk["parsed"] for chunk in chunks if "parsed" in chunk]
    assert parsed == [Watched.model_construct(title="Sea")]
    assert [c["parsing_error"] for c in chunks if "parsing_error" in c] == [None]


async def test_an_answer_beside_its_raw_message_async() -> None:
    for value, error in (({"x": 1}, None), ({"x": "far"}, OutputParserException)):
        model = (
            answering("json_schema", value)
            .model()
            .with_structured_output(Point, include_raw=True)
        )
        answer = await model.ainvoke("Hi")
        assert answer.keys() == {"raw", "parsed", "parsing_error"}
        assert answer["parsed"] == (None if error else Point(x=1))
        assert type(answer["parsing_error"]) is (error or type(None))


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},
    ],
)
def test_response_format_at_the_call(response_format: Json) -> None:
    service = answering("json_schema", {"x": 1})
    service.model().invoke("Hi", response_format=response_format)
    service.model().bind(response_format=response_format).invoke("Hi")
    assert [body["responseFormat"] for body in service.bodies] == [response_format] * 2


@pytest.mark.parametrize(
    "schema",
    [Point, DrawingDict, SCHEMA, FUNCTION, {**SCHEMA, "type": ["object", "null"]}],
)
def test_a_schema_as_response_format(schema: Any) -> None:
    service = answering("json_schema", {"x": 1})
    service.model().invoke("Hi", response_format=schema)
    assert service.bodies[0]["responseFormat"]["json_schema"] == sent(schema)


def test_a_schema_that_says_strict_itself() -> None:
    written = {"name": "a", "schema": SCHEMA, "strict": True}
    assert sent({"type": "json_schema", "json_schema": written})["strict"] is True
    with pytest.raises(
        PmockInvalidRequestError, match="strict=False is not valid: the schema itself"
    ):
        sent(written, strict=False)


class Odd(TypedDict):
    """Cannot be written as a JSON schema."""

    run: Callable[[], None]


@pytest.mark.parametrize("schema", [5, "Point", object(), Odd])
@pytest.mark.parametrize("method", METHODS)
def test_what_is_no_schema(method: Any, schema: Any) -> None:
    with pytest.raises(PmockInvalidRequestError, match=r"^schema=.* is not valid: "):
        make_model().with_structured_output(schema, method=method)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"method": "xml"}, "method='xml' is not valid: it must be one of json_schema"),
        ({"schema": None}, "schema=None is not valid with method='json_schema'"),
        (
            {"schema": None, "method": "function_calling"},
            "schema=None is not valid with method='function_calling'",
        ),
        ({"method": "json_mode", "strict": True}, "strict=True is not valid with"),
        ({"method": "json_mode", "tools": [Point]}, "tools are not valid with"),
    ],
)
def test_arguments_that_do_not_fit(arguments: Json, problem: str) -> None:
    with pytest.raises(PmockInvalidRequestError, match="not valid") as caught:
        make_model().with_structured_output(**{"schema": Point, **arguments})
    assert problem in str(caught.value)
