"""Schemas of structured output: what is sent for each, and what is refused."""

import dataclasses
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, TypeVar

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock.testing._body import validate
from tests.support.service import Service, make_model, says
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


@dataclasses.dataclass
class PointData:
    x: int


@dataclasses.dataclass
class DrawingData:
    title: str
    point: PointData
    tags: list[str] = dataclasses.field(default_factory=list)


class Tree(BaseModel):
    """A tree."""

    name: str
    children: list["Tree"] = []


class Box(BaseModel, Generic[T]):
    inner: T


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
# Each form of a schema, and its name in the request.
SCHEMAS: list[tuple[Any, str]] = [
    (Drawing, "Drawing"),
    (Tree, "Tree"),
    (Box[int], "Box_int_"),
    (DrawingDict, "DrawingDict"),
    (DrawingData, "DrawingData"),
    (SCHEMA, "drawing"),
    ({**SCHEMA, "title": "Größe!"}, "Gr__e_"),
    (UNTITLED, "answer"),
    (FUNCTION, "drawing"),
    ({"type": "function", "function": FUNCTION}, "drawing"),
    ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}}, "a"),
    ({"toolSpec": {"name": "b", "inputSchema": {"json": SCHEMA}}}, "b"),
]


@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("schema", "name"), SCHEMAS)
def test_request(schema: Any, name: str, method: Any, strict: bool | None) -> None:
    service = Service(says())
    model = service.model()
    bound: Any = model.with_structured_output(schema, method=method, strict=strict)
    bound.first.invoke("Hi")
    (body,) = service.bodies
    validate(body)
    if method == "json_schema":
        assert body.keys() == {"model", "messages", "responseFormat"}
        written = body["responseFormat"]["json_schema"]
        parameters = written["schema"]
    else:
        choice = {"type": "function", "function": {"name": name}}
        assert (body["toolChoice"], body["parallelToolCalls"]) == (choice, False)
        assert "responseFormat" not in body
        written = body["tools"][0]["function"]
        parameters = written["parameters"]
    assert written["name"] == name
    assert written.get("strict") is strict
    assert parameters["type"] == "object"


def sent(schema: Any, **kwargs: Any) -> Json:
    """Return what is sent by default: `json_schema`."""
    bound: Any = make_model().with_structured_output(schema, **kwargs)
    written: Json = bound.first.kwargs["response_format"]["json_schema"]
    return written


def test_whole_schema_is_sent() -> None:
    written = sent(Drawing)
    assert written["description"] == "A drawing."
    title = Drawing.model_json_schema().pop("title")
    assert {"title": title, **written["schema"]} == Drawing.model_json_schema()


def test_dataclass_has_its_types() -> None:
    written = sent(DrawingData)  # langchain-core warns of a default_factory
    assert written["schema"]["required"] == ["title", "point"]
    point = written["schema"]["$defs"]["PointData"]
    assert point["properties"]["x"]["type"] == "integer"


def test_missing_fields_are_not_sent() -> None:
    assert sent(Point).keys() == {"name", "schema"}
    assert sent(Point)["schema"].keys() == {"type", "properties", "required"}
    nothing = sent({"name": "answer", "description": "None."})
    assert nothing["schema"] == {"type": "object"}


WITHOUT_PROPERTIES: list[Json] = [
    {"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"type": "object"}}},
    {"type": "array", "items": {"type": "string"}},
    {"type": "object", "additionalProperties": {"type": "number"}},
]


@pytest.mark.parametrize("schema", WITHOUT_PROPERTIES)
def test_schema_without_properties_is_sent_whole(schema: Json) -> None:
    assert sent({"title": "a", **schema}) == {"name": "a", "schema": schema}
    tool: Any = make_model().with_structured_output(schema, method="function_calling")
    function = tool.first.kwargs["tools"][0]["function"]
    assert function == {"name": "answer", "parameters": schema}


def test_tool_for_the_answer_keeps_its_mark() -> None:
    marked = {**FUNCTION, "cache_control": {"type": "ephemeral"}}
    bound: Any = make_model().with_structured_output(marked, method="function_calling")
    assert bound.first.kwargs["tools"][0]["cache_control"] == {"type": "ephemeral"}


def test_recursive_schema_keeps_its_references() -> None:
    old = {"$ref": "#/definitions/A", "definitions": {"A": {"type": "object"}}}
    assert sent(old)["schema"]["type"] == "object"
    schema = sent(Tree)["schema"]
    assert "$ref" not in schema
    children = schema["$defs"]["Tree"]["properties"]["children"]
    assert children["items"] == {"$ref": "#/$defs/Tree"}


def test_strict_closes_each_object() -> None:
    schema = sent(Drawing, strict=True)["schema"]
    for part in (schema, schema["$defs"]["Point"]):
        assert part["additionalProperties"] is False
        assert part["required"] == [*part["properties"]]
    assert "default" not in schema["properties"]["points"]
    # A property of that name is kept.
    named = {"title": "t", "type": "object", "properties": {"default": {}}}
    assert "default" in sent(named, strict=True)["schema"]["properties"]
    # The user's own schema is not changed.
    assert sent(SCHEMA, strict=True)["schema"]["required"] == ["title", "point"]
    assert SCHEMA["required"] == ["title"]


def test_strict_allows_nothing_beside_a_reference() -> None:
    class Line(BaseModel):
        start: Point = Field(description="Where it starts.")

    start = sent(Line, strict=True)["schema"]["properties"]["start"]
    assert start == {
        "anyOf": [{"$ref": "#/$defs/Point"}],
        "description": "Where it starts.",
    }
    assert "$ref" in sent(Line)["schema"]["properties"]["start"]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"type": "text"},) * 2,
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}},) * 2,
        *(
            (schema, {"type": "json_schema", "json_schema": sent(schema)})
            for schema in (Point, DrawingDict, PointData, SCHEMA, FUNCTION)
        ),
    ],
)
def test_response_format_of_a_call(given: Any, written: Json) -> None:
    service = Service(says("{}"))
    service.model().invoke("Hi", response_format=given)
    service.model().bind(response_format=given).invoke("Hi")
    assert [body["responseFormat"] for body in service.bodies] == [written] * 2


def test_strict_of_the_schema_itself() -> None:
    written = {"name": "a", "schema": SCHEMA, "strict": True}
    assert sent({"type": "json_schema", "json_schema": written})["strict"] is True
    with pytest.raises(
        PmockInvalidRequestError, match="strict=False is not valid: the schema itself"
    ):
        sent(written, strict=False)


class Odd(TypedDict):
    run: Callable[[], None]


WRAP = "is not valid: the answer must be an object. Wrap it in a class: class Answer"


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (5, "schema=5 is not valid: "),
        ("Point", "schema='Point' is not valid: "),
        (Odd, "is not valid: "),
        (list[Point], WRAP),
        (Point | None, WRAP),
        (dict[str, int], WRAP),
        (list, f"schema=list {WRAP}(BaseModel): value: list"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_schema_of_no_object(method: Any, schema: Any, problem: str) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        make_model().with_structured_output(schema, method=method)
    assert str(caught.value).startswith("schema=")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"method": "xml"}, "method='xml' is not valid: it must be one of json_schema"),
        ({"schema": None}, "schema=None is not valid with method='json_schema'"),
        ({"method": "json_mode", "strict": True}, "strict and tools are not"),
        ({"method": "json_mode", "tools": [Point]}, "strict and tools are not"),
    ],
)
def test_arguments_that_contradict(arguments: Json, problem: str) -> None:
    with pytest.raises(PmockInvalidRequestError, match="not valid") as caught:
        make_model().with_structured_output(**{"schema": Point, **arguments})
    assert problem in str(caught.value)
