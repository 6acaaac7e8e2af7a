"""Tools and the tool choice: all that LangChain accepts, as the request has it."""

import copy
import json
import reprlib
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_function
from pydantic import BaseModel
from typing_extensions import TypedDict

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock._request.tools import choice_to_wire, tools_to_wire
from langchain_pmock.testing._body import validate
from tests.support.service import Service, make_model, says
from tests.support.wire import Json

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
}
FUNCTION = {"name": "look_up", "description": "Look it up.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}
OTHER = {"type": "function", "function": {**FUNCTION, "name": "other"}}


def look_up(city: str) -> str:
    """Look it up."""
    return f"Sunny in {city}"


class LookUpModel(BaseModel):
    """Look it up."""

    city: str


class LookUpDict(TypedDict):
    """Look it up."""

    city: str


ANTHROPIC_TOOL = {
    "name": "look_up",
    "description": "Look it up.",
    "input_schema": PARAMETERS,
}


@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize(
    "form",
    [
        look_up,
        tool(look_up),
        LookUpModel,
        LookUpDict,
        {"title": "look_up", "description": "Look it up.", **PARAMETERS},
        FUNCTION,
        TOOL,
        ANTHROPIC_TOOL,
    ],
)
def test_forms_of_a_tool(form: Any, strict: bool | None) -> None:
    (written,) = tools_to_wire([form], strict=strict)
    plain: Any = form["function"] if form is TOOL else form
    expected = convert_to_openai_function(plain, strict=strict)
    assert written == {"type": "function", "function": expected}
    messages = [{"role": "user", "content": "Hi"}]
    validate({"model": "gpt-5.1", "messages": messages, "tools": [written]})


CACHE = {"type": "ephemeral"}


def undocumented(city: str) -> str:
    return look_up(city)


class Undocumented(BaseModel):
    city: str


STRICT, NEW = (
    TOOL | {"function": FUNCTION | more} for more in ({"strict": True}, {"new": 1})
)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (TOOL, TOOL),
        *((own, own) for own in (STRICT, NEW, TOOL | {"cache_control": CACHE})),
        (ANTHROPIC_TOOL | {"cache_control": CACHE}, TOOL | {"cache_control": CACHE}),
        (ANTHROPIC_TOOL | {"type": "custom"}, TOOL),
        ({"type": "function", **FUNCTION}, TOOL),  # of the Responses API
        # OpenAI's own tools, which the service judges.
        ({"type": "web_search_preview_2025_03_11"},) * 2,
        ({"type": "custom", "custom": {"name": "a"}},) * 2,
        ({"type": "new_search", "name": "a"},) * 2,
    ],
)
def test_dicts(given: Json, written: Json) -> None:
    before = copy.deepcopy(given)
    assert tools_to_wire([given]) == [written]
    assert given == before


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function", "function": {**FUNCTION, "description": None}},
        {"type": "function", "function": {**FUNCTION, "strict": None}},
        {**FUNCTION, "description": None, "strict": None},
        {**ANTHROPIC_TOOL, "description": None, "cache_control": None},
        {"title": "look_up", "description": None, **PARAMETERS},
        undocumented,
        Undocumented,
    ],
)
def test_nulls_are_not_sent(given: Any) -> None:
    (written,) = tools_to_wire([given])
    assert "null" not in json.dumps(written)
    assert written["function"].get("description") in (None, "Look it up.")


def test_cache_control_in_the_extras_of_a_tool() -> None:
    written = tools_to_wire(
        [
            tool(look_up, extras={"cache_control": CACHE}),
            tool(look_up, extras={"defer_loading": True}),
            look_up,
        ]
    )
    assert [each.get("cache_control") for each in written] == [CACHE, None, None]


class Odd(BaseModel):
    run: Callable[[], None]  # no JSON schema


@pytest.mark.parametrize(
    ("value", "why"),
    [
        *((value, "") for value in (5, "look_up", None, Odd, {"a": 1})),
        (
            {"type": "web_search_20250305", "name": "web_search"},
            "no form for Anthropic's own tools",
        ),
    ],
)
def test_invalid_tool(value: Any, why: str) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        make_model().bind_tools([look_up, value])
    place = f"tools[1]={reprlib.repr(value)} is not valid: "
    assert str(caught.value).startswith(place)
    assert why in str(caught.value)


@pytest.mark.parametrize("value", [look_up, TOOL, "look_up", 5], ids=type)
def test_invalid_list_of_tools(value: Any) -> None:
    with pytest.raises(PmockInvalidRequestError, match="it must be a list of tools"):
        make_model().bind_tools(value)


NAMED = {"type": "function", "function": {"name": "look_up"}}
CHOICES: list[tuple[Any, Any]] = [
    ("auto", "auto"),
    ("none", "none"),
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    (False, None),
    ("look_up", NAMED),
    ("web_search", {"type": "web_search"}),  # OpenAI's own tool
    (NAMED, NAMED),
    ({"type": "tool", "name": "look_up"}, NAMED),
    ({"type": "function", "name": "look_up"}, NAMED),
    ({"type": "any"}, "required"),
    ({"type": "auto", "disable_parallel_tool_use": True}, "auto"),
    ({"type": "none"}, "none"),
    ({"type": ["any"]}, {"type": ["any"]}),
    ({"type": "allowed_tools", "tools": []}, {"type": "allowed_tools", "tools": []}),
]


@pytest.mark.parametrize(("choice", "sent"), CHOICES, ids=repr)
def test_choice(choice: Any, sent: Any) -> None:
    tools: list[Json] = [OTHER, TOOL, {"type": "web_search"}]
    assert choice_to_wire(choice, tools) == sent


@pytest.mark.parametrize("choice", ["any", True])
def test_forced_call_without_tools_is_refused(choice: Any) -> None:
    with pytest.raises(PmockInvalidRequestError, match="is not valid without tools"):
        make_model().bind_tools([], tool_choice=choice)


@pytest.mark.parametrize("disabled", [True, False])
def test_parallel_tool_calls_of_a_choice_of_anthropic(disabled: bool) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": disabled}
    service = Service(says())
    model = service.model()
    model.bind_tools([TOOL], tool_choice=choice).invoke("Hi")
    model.bind_tools([TOOL]).invoke("Hi", tool_choice=choice)
    for body in service.bodies:
        assert body["toolChoice"] == "auto"
        assert body["parallelToolCalls"] is not disabled
    own = model.bind_tools([TOOL], tool_choice=choice, parallel_tool_calls=disabled)
    own.invoke("Hi")
    assert service.bodies[-1]["parallelToolCalls"] is disabled


INVALID_CHOICES: list[Any] = [
    *("lookup", "", 5, {"type": "tool", "name": ["look_up"]}),
    *({"type": "function", "function": f} for f in ("look_up", {"name": "lookup"})),
]


@pytest.mark.parametrize("choice", INVALID_CHOICES, ids=repr)
def test_invalid_choice_names_the_tools(choice: Any) -> None:
    tools = make_model().bind_tools([OTHER, TOOL])
    for choose in (
        lambda: make_model().bind_tools([OTHER, TOOL], tool_choice=choice),
        lambda: tools.invoke("Hi", tool_choice=choice),
    ):
        with pytest.raises(PmockInvalidRequestError, match="the tools are") as caught:
            choose()
        assert f"tool_choice={choice!r}" in str(caught.value)
        assert "['other', 'look_up']; also allowed are 'auto'" in str(caught.value)


@pytest.mark.parametrize("way", ["bind_tools", "bind"])
def test_tools_are_sent(way: str) -> None:
    service = Service(says())
    given: Json = {"tools": [look_up], "tool_choice": "any", "temperature": 0}
    getattr(service.model(), way)(**given).invoke("Hi")
    service.model().invoke("Hi", **given)
    for body in service.bodies:
        assert body["tools"] == tools_to_wire([look_up])
        assert (body["toolChoice"], body["temperature"]) == ("required", 0)
        assert len(body) == 5


def test_parameters_of_bind_tools() -> None:
    service = Service(says())
    model = service.model(parallel_tool_calls=True)
    model.bind_tools([look_up], strict=True, parallel_tool_calls=False).invoke("Hi")
    model.bind_tools([]).invoke("Hi", parallel_tool_calls=None)
    strict, empty = service.bodies
    assert strict["parallelToolCalls"] is False
    assert strict["tools"][0]["function"]["strict"] is True
    assert empty.keys() == {"model", "messages"}
    # The choice of a call replaces the bound one.
    bound = model.bind_tools([look_up], tool_choice="any")
    for choice in ("look_up", None, False):
        bound.invoke("Hi", tool_choice=choice)
    sent = [body.get("toolChoice") for body in service.bodies[2:]]
    assert sent == [NAMED, None, None]
