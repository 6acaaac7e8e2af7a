import json
from typing import Any

import pytest

from langchain_pmock.testing._body import validate
from langchain_pmock.testing._completion import choices
from langchain_pmock.testing._rules import reply_to
from langchain_pmock.testing._script import Reply

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
SOUND = {"type": "input_audio", "input_audio": {"data": "aGVs", "format": "wav"}}
FILE = {"type": "file", "file": {"file_id": "file-1"}}


def tool(
    name: str, description: str = "", /, **properties: dict[str, Any]
) -> dict[str, Any]:
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [*properties],
    }
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", "Get the weather at a place.", city={"type": "string"})
TIME = tool("getTime", "Tell the hour.", city={"type": "string"})
REPORT = tool("WeatherReport", "", city={"type": "string"}, sunny={"type": "boolean"})
REPORT_SCHEMA = REPORT["function"]["parameters"]


def called(name: str, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    call = {"id": f"c-{name}", "type": "function", "function": function}
    return {"role": "assistant", "toolCalls": [call]}


def result(name: str, content: object) -> dict[str, Any]:
    return {"role": "tool", "toolCallId": f"c-{name}", "content": content}


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def reply(*messages: Any, **fields: Any) -> Reply:
    told = [user(m) if isinstance(m, str) else m for m in messages]
    body = validate({"model": "gpt-5.1", "messages": told, **fields})
    return choices(reply_to(body), body)[0]


def calls(*messages: Any, **fields: Any) -> list[tuple[str, Any]]:
    return [(c.name, c.arguments) for c in reply(*messages, **fields).tool_calls]


# --- Text ----------------------------------------------------------------------------


def test_says_what_it_was_told() -> None:
    assert reply("Hi", {"role": "assistant", "content": "x"}, "Hello").text == (
        "You said: Hello"
    )


def test_says_what_came_with_it() -> None:
    text = {"type": "text", "text": "Look"}
    assert reply(user([text, IMAGE, IMAGE, SOUND, FILE])).text == (
        "You said: Look (with 2 images and 1 audio clip and 1 file)"
    )


def test_says_something_without_a_user() -> None:
    assert reply({"role": "system", "content": "Be brief."}).text == "You said: "


def test_stop_cuts_before_the_earliest() -> None:
    cut = reply("one two three", stop=["three", "two", "four"])
    assert (cut.text, cut.finish_reason) == ("You said: one ", "stop")


@pytest.mark.parametrize("field", ["maxTokens", "maxCompletionTokens"])
def test_limit_cuts_after_that_many_tokens(field: str) -> None:
    cut = reply("one two three", **{field: 4})
    assert (cut.text, cut.finish_reason) == ("You said: one", "length")
    whole = reply("one two three", **{field: 6})
    assert (whole.text, whole.finish_reason) == ("You said: one two three", None)


def test_choices_can_be_told_apart_and_are_cut_too() -> None:
    body = validate({"model": "m", "messages": [user("Hi")], "n": 3})
    texts = [choice.text for choice in choices(reply_to(body), body)]
    assert texts == ["You said: Hi", "You said: Hi (2)", "You said: Hi (3)"]
    body = validate({"model": "m", "messages": [user("Hi")], "n": 2, "maxTokens": 1})
    assert [choice.text for choice in choices(reply_to(body), body)] == ["You"] * 2


@pytest.mark.parametrize("model", ["gpt-5.1-thinking", "gpt-5.1-thinking-all"])
def test_thinking_models_reason(model: str) -> None:
    assert reply("Hello you", model=model).reasoning
    assert reply("Hello you", model=model).text == "You said: Hello you"
    assert not reply("Hello you").reasoning


# --- Tools ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("What is the weather in Paris?", [("get_weather", {"city": "Paris"})]),
        ("WEATHER in Rome", [("get_weather", {"city": "Rome"})]),
        ("What time is it in Rome?", [("getTime", {"city": "Rome"})]),
        ("the hour in Rome", [("getTime", {"city": "Rome"})]),
        ("Use getTime for the weather", [("getTime", {"city": "weather"})]),
        (
            "Weather and time in Rome",
            [("get_weather", {"city": "Rome"}), ("getTime", {"city": "Rome"})],
        ),
        ("Get me a place", [("get_weather", {"city": "Get me a place"})]),
        ("Hello, can you use the tools?", []),
        ("What are the timestamps?", []),
    ],
)
def test_calls_what_the_message_is_about(said: str, expected: list[Any]) -> None:
    assert calls(said, tools=[WEATHER, TIME]) == expected


@pytest.mark.parametrize(
    "function",
    [
        {"name": "ping"},
        {"name": "ping", "parameters": {}},
        {"name": "ping", "parameters": {"type": "object", "properties": {}}},
        {"name": "ping", "parameters": {"enum": [[1]]}},
    ],
)
def test_tool_without_parameters(function: dict[str, Any]) -> None:
    tools = [{"type": "function", "function": function}]
    assert calls("ping 'it'", tools=tools) == [("ping", {})]


def test_tool_with_a_chinese_description() -> None:
    lookup = tool("lookup", "查询天气", city={"type": "string"})
    assert calls("'北京'的天气怎么样", tools=[lookup]) == [("lookup", {"city": "北京"})]


def test_no_parallel_calls_if_so_asked() -> None:
    said = "Weather and time in Rome"
    made = calls(said, tools=[WEATHER, TIME], parallelToolCalls=False)
    assert made == [("get_weather", {"city": "Rome"})]


def test_tool_that_shares_all_that_another_shares_is_enough() -> None:
    assert calls("weather in Rome", tools=[REPORT, WEATHER])[0][0] == "WeatherReport"
    made = calls("weather report for Rome", tools=[WEATHER, REPORT])
    assert made == [("WeatherReport", {"city": "Rome", "sunny": True})]


def test_choice_none_never_calls() -> None:
    assert not calls("weather in Rome", tools=[WEATHER], toolChoice="none")


def test_choice_required_always_calls() -> None:
    made = calls("Hello!", tools=[TIME, WEATHER], toolChoice="required")
    assert made == [("getTime", {"city": "Hello!"})]
    made = calls("weather in Rome", tools=[TIME, WEATHER], toolChoice="required")
    assert made == [("get_weather", {"city": "Rome"})]


def test_choice_of_a_name_calls_it_even_after_its_result() -> None:
    choice = {"type": "function", "function": {"name": "getTime"}}
    said = "weather in Rome"
    for messages in (
        [said],
        [said, called("getTime", city="Rome"), result("getTime", "noon")],
    ):
        made = calls(*messages, tools=[WEATHER, TIME], toolChoice=choice)
        assert [name for name, _ in made] == ["getTime"]


def test_tools_of_the_models_own_are_not_called() -> None:
    search = {"type": "web_search"}
    assert not calls("web search", tools=[search], toolChoice="required")


def test_results_are_told() -> None:
    asked = [
        "weather and time?",
        called("get_weather", city="Rome"),
        called("getTime", city="Rome"),
        result("get_weather", "It's sunny."),
        result("getTime", [{"type": "text", "text": "noon"}, IMAGE]),
    ]
    told = reply(*asked, tools=[WEATHER, TIME])
    assert (
        told.text == "get_weather says: It's sunny.\ngetTime says: noon (with 1 image)"
    )
    assert not told.tool_calls


def test_forced_turns_come_to_an_end() -> None:
    # As LangChain's agents do it with a tool for the structured answer.
    tools = [WEATHER, TIME, REPORT]
    messages: list[Any] = ["What is the weather in Rome?"]
    names = []
    for content in ("It's sunny in Milan.", "done"):
        ((name, arguments),) = calls(*messages, tools=tools, toolChoice="required")
        names.append(name)
        messages += [called(name, **arguments), result(name, content)]
    assert names == ["get_weather", "WeatherReport"]
    assert arguments == {"city": "Milan", "sunny": True}
    # With all of them called, the last one it is again.
    messages += [called("getTime"), result("getTime", "noon")]
    ((name, _),) = calls(*messages, tools=tools, toolChoice="required")
    assert name == "WeatherReport"


def test_calls_before_the_last_user_message_are_past() -> None:
    messages = [
        "weather in Rome",
        called("WeatherReport"),
        result("WeatherReport", "x"),
        "weather in Oslo",
        called("get_weather"),
        result("get_weather", "x"),
    ]
    made = calls(*messages, tools=[WEATHER, REPORT], toolChoice="required")
    assert [name for name, _ in made] == ["WeatherReport"]


# --- Response format -----------------------------------------------------------------


def schema_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "Answer", "schema": schema}}


def test_schema_is_filled() -> None:
    text = reply("weather in Rome", responseFormat=schema_format(REPORT_SCHEMA)).text
    assert json.loads(text) == {"city": "Rome", "sunny": True}


def test_schema_is_filled_after_the_tools() -> None:
    fields = {"tools": [WEATHER], "responseFormat": schema_format(REPORT_SCHEMA)}
    said = "weather in Rome"
    assert calls(said, **fields) == [("get_weather", {"city": "Rome"})]
    messages = [called("get_weather"), result("get_weather", "Sunny in Milan")]
    text = reply(said, *messages, **fields).text
    assert json.loads(text) == {"city": "Milan", "sunny": True}


@pytest.mark.parametrize(
    ("messages", "keys"),
    [
        (["Joke about cats, as JSON with 'setup' and 'punchline' keys."], None),
        ([{"role": "system", "content": 'Keys: "setup", "punchline"'}, "Joke"], None),
        (["Tell a joke about 'cats'."], {"answer"}),
    ],
)
def test_json_object(messages: list[Any], keys: set[str] | None) -> None:
    answer = json.loads(reply(*messages, responseFormat={"type": "json_object"}).text)
    assert answer.keys() == (keys or {"setup", "punchline"})
    assert all(isinstance(value, str) and value for value in answer.values())


def test_json_is_not_escaped() -> None:
    text = reply("关于'猫'", responseFormat=schema_format(REPORT_SCHEMA)).text
    assert "猫" in text
