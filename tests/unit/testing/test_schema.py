import datetime as dt
import json
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl

from langchain_pmock.testing._rules import fill, words

STRING = {"type": "string"}
INTEGER = {"type": "integer"}
STRINGS = {"type": "array", "items": STRING}


def arguments(text: str, /, **properties: Any) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
    }
    filled: dict[str, Any] = fill(schema, text)
    return filled


@pytest.mark.parametrize(
    ("text", "properties", "expected"),
    [
        ("What is magic_function(3)?", {"input": INTEGER}, {"input": 3}),
        ("What is 3 + 4", {"a": INTEGER, "b": INTEGER}, {"a": 3, "b": 4}),
        ("加3和4", {"a": INTEGER, "b": INTEGER}, {"a": 3, "b": 4}),
        ("from -2 to 3, 4", dict.fromkeys("abc", INTEGER), {"a": -2, "b": 3, "c": 4}),
        ("Anna is 31 years old.", {"name": STRING, "age": INTEGER}, {"name": "Anna"}),
        ("Anna is 31 years old.", {"name": STRING, "age": INTEGER}, {"age": 31}),
        ("pi is 3.14", {"x": {"type": "number"}}, {"x": 3.14}),
        ("pi is 3.14", {"x": INTEGER}, {"x": 0}),
        ("version v2 of 2026-01-31", {"x": INTEGER}, {"x": 0}),
        ("height 4, width = 3", {"width": INTEGER, "height": INTEGER}, {"width": 3}),
        ("The weather in Paris?", {"city": STRING}, {"city": "Paris"}),
        ("in San Francisco, CA?", {"place": STRING}, {"place": "San Francisco, CA"}),
        ("the weather in paris?", {"city": STRING}, {"city": "paris"}),
        ("a Pirate greeting.", {"style": STRING}, {"style": "Pirate"}),
        ("named '你好啊集团' (Hello Group)", {"x": STRING}, {"x": "你好啊集团"}),
        ("It's \"so\", isn't it", {"x": STRING}, {"x": "so"}),
        ("Hello!", {"x": STRING}, {"x": "Hello!"}),
        ("In Paris: 'why'", {"query": STRING}, {"query": "why"}),
        ("How is Paris", {"query": STRING}, {"query": "How is Paris"}),
        ("my name is Ann Lee, 30", {"age": INTEGER, "name": STRING}, {"age": 30}),
        ("my name is Ann Lee", {"name": STRING}, {"name": "Ann Lee"}),
        (
            "sum 1, 2 and 3",
            {"x": {"type": "array", "items": INTEGER}},
            {"x": [1, 2, 3]},
        ),
        ("compare 'a' and 'b'", {"x": STRINGS}, {"x": ["a", "b"]}),
        ("nothing", {"x": STRINGS}, {"x": ["nothing"]}),
        ("make it blue", {"x": {"enum": ["red", "blue"]}}, {"x": "blue"}),
        ("make it", {"x": {"enum": ["red", "blue"]}}, {"x": "red"}),
        ("", {"x": STRING, "y": INTEGER}, {"x": "x", "y": 0}),
        ("", {"x": {"type": "string", "default": "d"}}, {"x": "d"}),
        ("", {"x": {"type": "integer", "default": 7}}, {"x": 7}),
        ("", {"x": {"type": "boolean"}}, {"x": True}),
        ("", {"x": {"const": [1]}}, {"x": [1]}),
        ("", {"x": {"type": "null"}}, {"x": None}),
        ("", {"x": {"type": ["null", "integer"]}}, {"x": 0}),
        ("write to a.b@example.org.", {"x": {"type": "string", "format": "email"}}, {}),
    ],
)
def test_arguments_come_from_the_text(
    text: str, properties: dict[str, Any], expected: dict[str, Any]
) -> None:
    filled = arguments(text, **properties)
    assert filled | expected == filled
    assert filled.keys() == properties.keys()


def test_optional_properties_need_a_clue() -> None:
    schema = {
        "type": "object",
        "properties": {
            "unit": {"enum": ["celsius", "fahrenheit"]},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            "days": {"type": "integer"},
            "city": {"type": "string"},
        },
        "required": ["city"],
    }
    assert fill(schema, "Paris?") == {"city": "Paris?"}
    filled = fill(schema, "3 days in Paris and Rome in celsius")
    assert filled == {"unit": "celsius", "days": 3, "city": "Paris"}
    # In the order of the schema, though the required ones chose first.
    assert [*filled] == ["unit", "days", "city"]
    assert fill(schema, "Paris, note: sunny")["note"] == "sunny"


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str = Field(min_length=30)
    code: str = Field(pattern=r"^\d{5}$")


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: Annotated[int, Field(gt=6, le=9)]


class Dog(BaseModel):
    kind: Literal["dog"]


class Everything(BaseModel):
    address: Address
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    either: int | str | None
    pair: tuple[int, str]
    scores: dict[str, float]
    tags: set[str]
    three: Annotated[list[int], Field(min_length=3)]
    none: Annotated[list[int], Field(max_length=0)]
    colour: Colour
    short: Annotated[str, Field(max_length=3)]
    sevens: Annotated[int, Field(multiple_of=7, ge=10)]
    part: Annotated[float, Field(gt=0, lt=1)]
    below: Annotated[float, Field(lt=-3.5)]
    tenth: Annotated[float, Field(multiple_of=0.5, lt=0)]
    exact: Decimal
    id: UUID
    day: dt.date
    moment: dt.datetime
    clock: dt.time
    span: dt.timedelta
    site: HttpUrl
    anything: Any
    again: Optional["Everything"]
    more: list["Everything"]


@given(st.text() | st.from_regex(r"[A-Z][a-z]+ in [A-Z][a-z]+ '\w+' -?\d+(\.\d+)?"))
def test_what_is_filled_fits_the_schema(text: str) -> None:
    schema = Everything.model_json_schema()
    made = fill(schema, text)
    Everything.model_validate_json(json.dumps(made))
    assert made == fill(schema, text)


class Tree(BaseModel):
    value: int
    branches: list["Tree"]


class Chain(BaseModel):
    value: int
    rest: Optional["Chain"]
    before: Optional["Chain"] = None


class Endless(BaseModel):
    again: "Endless"


class Forest(BaseModel):
    trees: Annotated[list["Forest"], Field(min_length=1)]


def test_schemas_that_lead_back_to_themselves_end() -> None:
    chain = fill(Chain.model_json_schema(), "1 and 2")
    assert chain == {"value": 1, "rest": None}
    assert fill(Tree.model_json_schema(), "7") == {"value": 7, "branches": []}
    assert fill(Endless.model_json_schema(), "") == {}
    assert fill(Forest.model_json_schema(), "") == {}
    by_root: dict[str, Any] = {
        "type": "object",
        "properties": {"value": INTEGER, "next": {"$ref": "#"}},
        "required": ["value"],
    }
    assert fill(by_root, "5") == {"value": 5}
    by_name = {"$defs": {"N": by_root}, "$ref": "#/$defs/N"}
    by_root["properties"]["next"]["$ref"] = "#/$defs/N"
    assert fill(by_name, "5") == {"value": 5}


def test_one_of_takes_the_first_that_ends() -> None:
    schema = {
        "$defs": {"loop": {"$ref": "#/$defs/loop"}},
        "oneOf": [False, {"$ref": "#/$defs/loop"}, {"type": "null"}, INTEGER],
    }
    assert fill(schema, "5") == 5


def test_untyped_schemas() -> None:
    assert fill({}, "hello") == "hello"
    assert fill({"properties": {"a": True}, "required": ["a"]}, "") == {"a": "a"}


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"minimum": 5}, 5),
        ({"maximum": -5}, -5),
        ({"exclusiveMinimum": 5, "exclusiveMaximum": 7}, 6),
        ({"exclusiveMaximum": -5}, -6),
        ({"minimum": 10, "multipleOf": 7}, 14),
    ],
)
def test_integers_within_limits(limits: dict[str, int], expected: int) -> None:
    assert fill({"type": "integer", **limits}, "") == expected
    assert fill({"type": "integer", **limits}, f"x 1 {expected}") == expected


def test_pattern_of_another_language_is_left_alone() -> None:
    made = fill({"type": "string", "pattern": "(?<x>a)"}, "hello")
    assert made == "hello"


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=5))
def test_numbers_keep_their_order(numbers: list[int]) -> None:
    text = "numbers " + " and ".join(map(str, numbers))
    schema = {"type": "array", "items": INTEGER}
    assert fill(schema, text) == numbers


def test_words_are_split_at_case_and_underscores() -> None:
    assert words("get_weather") == {"get", "weather"}
    assert words("WeatherReports of HTTP2") == {*("weather", "report", "of", "http")}
    assert words("查询天气 now") == {"查询", "询天", "天气", "now"}
