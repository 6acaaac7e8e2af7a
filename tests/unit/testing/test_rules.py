import datetime as dt
import json
from decimal import Decimal
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, HttpUrl

from langchain_pmock.testing._body import RefusedError, validate
from langchain_pmock.testing._rules import fill, reply_to
from langchain_pmock.testing._script import Reply

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
STRING, INTEGER = {"type": "string"}, {"type": "integer"}
LISTS = {"type": "array"}
STRINGS = {**LISTS, "items": STRING}
TEXT_OR_NULL = {"type": ["string", "null"]}
UNRESOLVED = ["https://x/y.json", "y.json", "#/$defs/Missing", "#/required/0", "#x", 5]
UNRESOLVED += ["#"]


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*properties]}


def tool(name: str, description: str = "", /, **properties: Any) -> dict[str, Any]:
    function = {"name": name, "description": description}
    parameters = {"parameters": schema(**properties)} if properties else {}
    return {"type": "function", "function": {**function, **parameters}}


WEATHER = tool("get_weather", "Get the weather at a place.", city=STRING)
TIME = tool("getTime", "Tell the hour.", city=STRING)
REPORT = tool("WeatherReport", "", city=STRING, sunny={"type": "boolean"})


def called(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"c-{name}", "type": "function", "function": function}
    return {"role": "assistant", "toolCalls": [call]}


def result(name: str, content: object) -> dict[str, Any]:
    return {"role": "tool", "toolCallId": f"c-{name}", "content": content}


def reply(*messages: Any, **fields: Any) -> Reply:
    sent = [
        {"role": "user", "content": m} if isinstance(m, str) else m for m in messages
    ]
    return reply_to(validate({"model": "gpt-5.1", "messages": sent, **fields}))


def calls(*messages: Any, **fields: Any) -> list[tuple[str, Any]]:
    return [
        (c.name, json.loads(c.arguments_text))
        for c in reply(*messages, **fields).tool_calls
    ]


# --- Text ----------------------------------------------------------------------------

LOOK = [{"type": "text", "text": "Look"}, IMAGE]
NOON = [{"type": "text", "text": "noon"}]


@pytest.mark.parametrize(
    ("messages", "text"),
    [
        (["Hi", {"role": "assistant", "content": "x"}, "Hello"], "You said: Hello"),
        ([{"role": "system", "content": "Be brief."}], "You said: "),
        ([{"role": "user", "content": LOOK}], "You said: Look"),
        (
            [
                *(called("get_weather"), called("getTime")),
                *(result("get_weather", "It's sunny."), result("getTime", NOON)),
            ],
            "get_weather says: It's sunny.\ngetTime says: noon",
        ),
    ],
)
def test_text(messages: list[Any], text: str) -> None:
    made = reply(*messages, tools=[WEATHER, TIME])
    assert (made.text, made.tool_calls, made.reasoning) == (text, (), "")
    assert reply(*messages, model="gpt-5.1-thinking-all").reasoning


# --- Tools ---------------------------------------------------------------------------

ROME = {"city": "Rome"}
BOTH = "Weather and time in Rome"
NAMED = {"type": "function", "function": {"name": "getTime"}}


@pytest.mark.parametrize(
    ("text", "fields", "expected"),
    [
        ("What is the weather in Rome?", {}, [("get_weather", ROME)]),
        ("WEATHER in Rome", {}, [("get_weather", ROME)]),
        ("What time is it in Rome?", {}, [("getTime", ROME)]),
        ("the hour in Rome", {}, [("getTime", ROME)]),
        (BOTH, {}, [("getTime", ROME), ("get_weather", ROME)]),
        (BOTH, {"parallelToolCalls": False}, [("getTime", ROME)]),
        ("Get me a place", {}, [("get_weather", {"city": "Get me a place"})]),
        ("ping 'it'", {}, [("ping", {})]),
        ('"北京"的天气怎么样', {}, [("lookup", {"city": "北京"})]),
        ("Hello, can you use the tools?", {}, []),
        ("What are the timestamps?", {}, []),
        ("weather in Rome", {"toolChoice": "none"}, []),
        ("Hi 'Rome'", {"toolChoice": "required"}, [("getTime", ROME)]),
        ("weather in Rome", {"toolChoice": "required"}, [("get_weather", ROME)]),
        ("Hi 'Rome'", {"toolChoice": NAMED}, [("getTime", ROME)]),
    ],
)
def test_tools_that_match_the_message_or_the_choice_are_called(
    text: str, fields: dict[str, Any], expected: Any
) -> None:
    lookup = tool("lookup", "查询天气", city=STRING)
    tools = [TIME, WEATHER, tool("ping"), lookup, {"type": "web_search"}]
    assert calls(text, tools=tools, **fields) == expected


def test_forced_turns_come_to_an_end() -> None:
    # LangChain's agents bind the tool for the structured answer last.
    tools = [WEATHER, TIME, REPORT]
    text = "What is the weather in Rome?"
    assert calls(text, tools=tools, toolChoice="required")[0][0] == "get_weather"
    messages = [text, called("get_weather"), result("get_weather", "Sunny in Milan.")]
    ((name, arguments),) = calls(*messages, tools=tools, toolChoice="required")
    assert (name, arguments) == ("WeatherReport", {"city": "Rome", "sunny": True})


# --- Response format -----------------------------------------------------------------


def test_schema_is_filled_after_the_tools() -> None:
    named = {"name": "Answer", "schema": REPORT["function"]["parameters"]}
    format_ = {"type": "json_schema", "json_schema": named}
    fields = {"tools": [WEATHER], "responseFormat": format_}
    text = "weather in Rome"
    assert calls(text, **fields) == [("get_weather", {"city": "Rome"})]
    messages = [called("get_weather"), result("get_weather", "Sunny in Milan")]
    answer = reply("weather here", *messages, **fields).text
    assert json.loads(answer) == {"city": "Milan", "sunny": True}
    assert "猫" in reply("关于'猫'", responseFormat=format_).text


@pytest.mark.parametrize(
    ("messages", "keys"),
    [
        (["Joke about cats, as JSON with 'setup' and 'end' keys."], {"setup", "end"}),
        ([{"role": "system", "content": 'Keys: "a", "b"'}, "Joke"], {"a", "b"}),
        (["Tell a joke."], {"answer"}),
    ],
)
def test_json_object(messages: list[Any], keys: set[str]) -> None:
    answer = json.loads(reply(*messages, responseFormat={"type": "json_object"}).text)
    assert answer.keys() == keys
    assert all(isinstance(value, str) and value for value in answer.values())


# --- Filling schemas -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "properties", "expected"),
    [
        ("What is magic_function(3)?", {"input": INTEGER}, [3]),
        ("What is 3 + 4", {"a": INTEGER, "b": INTEGER}, [3, 4]),
        ("加3和4", {"a": INTEGER, "b": INTEGER}, [3, 4]),
        ("from -2 to 3, 4", dict.fromkeys("abc", INTEGER), [-2, 3, 4]),
        ("Anna is 31 years old.", {"name": STRING, "age": INTEGER}, ["Anna", 31]),
        ("Anna 今年 31 岁。", {"name": STRING, "age": INTEGER}, ["Anna", 31]),
        ("pi is 3.14", {"x": {"type": "number"}}, [3.14]),
        ("version v2", {"x": INTEGER}, [0]),
        ("The weather in Paris?", {"city": STRING}, ["Paris"]),
        ("in San Francisco, CA?", {"place": STRING}, ["San Francisco, CA"]),
        ("named '你好啊集团' (Hello Group)", {"x": STRING}, ["你好啊集团"]),
        ("It's \"so\", isn't it", {"x": STRING}, ["so"]),
        ("sum 1, 2 and 3", {"x": {"type": "array", "items": INTEGER}}, [[1, 2, 3]]),
        ("compare 'a' and 'b'", {"x": STRINGS}, [["a", "b"]]),
        ("nothing", {"x": STRINGS}, [[]]),
        ("make it blue", {"x": {"enum": ["red", "blue"]}}, ["blue"]),
        ("make it", {"x": {"enum": ["red", "blue"]}}, ["red"]),
        ("It is not up", {"x": {"enum": ["off", "not up"]}}, ["not up"]),
        ("", {"x": STRING, "y": INTEGER}, ["", 0]),
        ("", {"x": {"type": "boolean"}, "y": {"type": "null"}}, [True, None]),
        ("", {"x": {"const": [1]}, "y": {"type": ["integer", "null"]}}, [[1], 0]),
        ("", {"x": {"maximum": -5, **INTEGER}}, [-5]),
        ("1", {"x": {"exclusiveMinimum": 5, "exclusiveMaximum": 7, **INTEGER}}, [6]),
        ("7 8", {"x": {"minimum": 8, **INTEGER}}, [8]),
        ("hello", {"x": {}, "y": True}, ["hello", "hello"]),
        ("hi", {"x": {**LISTS, "items": TEXT_OR_NULL, "minItems": 1}}, [["hi"]]),
        ("hi", {"x": {**LISTS, "items": True, "minItems": 1}}, [["hi"]]),
        ("7", {"x": {**LISTS, "minItems": 1, "prefixItems": [INTEGER]}}, [[7]]),
        ("hello", {"x": {"anyOf": [True, {"type": "null"}]}}, ["hello"]),
        ("7 8", {"a/b": INTEGER, "y": {"$ref": "#/properties/a~1b"}}, [7, 8]),
    ],
)
def test_values_come_from_the_text(text: str, properties: Any, expected: Any) -> None:
    assert json.loads(fill(schema(**properties), text)) == dict(
        zip(properties, expected, strict=True)
    )


def test_optional_properties_are_left_out() -> None:
    optional = {**schema(city=STRING, days=INTEGER), "required": ["city"]}
    assert fill(optional, "3 days in Paris") == '{"city": "Paris"}'


@pytest.mark.parametrize("ref", UNRESOLVED)
def test_unresolved_references_are_refused(ref: Any) -> None:
    with pytest.raises(RefusedError, match="this JSON schema cannot be filled"):
        fill({"$ref": ref}, "hello")


class Address(BaseModel):
    street: str = Field(min_length=30)


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
    colour: Literal["red", "blue"]
    short: Annotated[str, Field(max_length=3)]
    part: Annotated[float, Field(gt=0, lt=1)]
    below: Annotated[float, Field(lt=-3.5)]
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
def test_filled_values_are_valid(text: str) -> None:
    made = fill(Everything.model_json_schema(), text)
    Everything.model_validate_json(made)
    assert made == fill(Everything.model_json_schema(), text)


LOOP, NULL = {"$ref": "#/$defs/loop"}, {"type": "null"}
LIST = {"type": "array", "items": LOOP}
OPTIONAL = {"anyOf": [LOOP, NULL]}


@pytest.mark.parametrize(
    ("loop", "schema", "expected"),
    [
        (schema(x=INTEGER, rest=OPTIONAL), LOOP, {"x": 7, "rest": None}),
        (schema(x=INTEGER, more=LIST), LOOP, {"x": 7, "more": []}),
        (LOOP, {"oneOf": [LOOP, INTEGER, NULL]}, 7),
    ],
)
def test_recursive_schemas_end(loop: Any, schema: Any, expected: Any) -> None:
    assert json.loads(fill({"$defs": {"loop": loop}, **schema}, "7")) == expected
