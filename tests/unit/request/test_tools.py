"""Tools and the choice among them: all that LangChain calls a tool, on the wire."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Callable  # noqa: TC003 - pydantic reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableBinding, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, tool
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock._request.tools import choice_to_wire, tools_to_wire
from langchain_pmock.testing._body import validate
from tests.support.service import Service, make_model, says, whole
from tests.support.wire import choice_of, data_of, envelope

if TYPE_CHECKING:
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


class LookUpTool(BaseTool):
    name: str = "look_up"
    description: str = "Look it up."

    def _run(self, city: str) -> str:
        return look_up(city)


def as_runnable() -> BaseTool:
    def run(given: dict[str, str]) -> str:
        return look_up(**given)

    return RunnableLambda(run).as_tool(
        LookUpModel, name="look_up", description="Look it up."
    )


TOOLS: dict[str, Callable[[], Any]] = {
    "function": lambda: look_up,
    "tool decorator": lambda: tool(look_up),
    "BaseTool": LookUpTool,
    "structured tool": lambda: StructuredTool.from_function(look_up),
    "runnable": as_runnable,
    "pydantic class": lambda: LookUpModel,
    "TypedDict": lambda: LookUpDict,
    "JSON schema": lambda: {
        "title": "look_up",
        "description": "Look it up.",
        **PARAMETERS,
    },
    "OpenAI function": lambda: FUNCTION,
    "OpenAI tool": lambda: TOOL,
    "Anthropic tool": lambda: {
        "name": "look_up",
        "description": "Look it up.",
        "input_schema": PARAMETERS,
    },
}


def plain(tool: Json) -> Json:
    """A tool without what depends on how it was written."""
    function = tool["function"]
    parameters = function["parameters"]
    city = {"type": parameters["properties"]["city"]["type"]}
    return {
        "type": tool["type"],
        "function": {
            "name": function["name"]
            .replace("LookUpModel", "look_up")
            .replace("LookUpDict", "look_up"),
            "description": function["description"],
            "parameters": {
                "type": parameters["type"],
                "properties": {"city": city},
                "required": parameters["required"],
            },
        },
    }


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("strict", [None, False, True])
@pytest.mark.parametrize("case", TOOLS)
def test_whatever_langchain_calls_a_tool(case: str, strict: bool | None) -> None:
    (written,) = tools_to_wire([TOOLS[case]()], strict=strict)
    assert plain(written) == TOOL
    assert written["function"].get("strict") is strict
    if strict:
        assert written["function"]["parameters"]["additionalProperties"] is False
    messages = [{"role": "user", "content": "Hi"}]
    validate({"model": "gpt-5.1", "messages": messages, "tools": [written]})


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="pydantic.v1 ends with 3.13")
def test_a_class_of_pydantic_v1() -> None:
    from pydantic import v1  # noqa: PLC0415 - warns where it does not work

    class LookUpModel(v1.BaseModel):
        """Look it up."""

        city: str

    assert plain(tools_to_wire([LookUpModel])[0]) == TOOL


def test_descriptions_defaults_and_nesting() -> None:
    class Inner(BaseModel):
        numbers: list[int] = []

    class Outer(BaseModel):
        """Do it."""

        inner: Inner
        mode: Annotated[str, Field(description="How.")] = "fast"

    (written,) = tools_to_wire([Outer])
    parameters = written["function"]["parameters"]
    assert parameters["required"] == ["inner"]
    assert parameters["properties"]["mode"]["description"] == "How."
    assert parameters["properties"]["mode"]["default"] == "fast"
    numbers = parameters["properties"]["inner"]["properties"]["numbers"]
    assert numbers["items"] == {"type": "integer"}


@pytest.mark.parametrize(
    "written",
    [
        TOOL,
        {"type": "function", "function": {**FUNCTION, "strict": True}},
        {**TOOL, "cache_control": {"type": "ephemeral"}},
    ],
)
def test_what_is_written_already_stays_as_it_is(written: Json) -> None:
    assert tools_to_wire([written]) == [written]


def test_anthropics_mark_for_the_cache_is_kept() -> None:
    mark = {"type": "ephemeral"}
    written = tools_to_wire(
        [
            {**TOOLS["Anthropic tool"](), "cache_control": mark},
            tool(look_up, extras={"cache_control": mark}),
            tool(look_up, extras={"defer_loading": True}),
            look_up,
        ]
    )
    assert [each.get("cache_control") for each in written] == [mark, mark, None, None]


def test_the_models_own_tools_are_passed_on() -> None:
    search = {"type": "web_search_preview"}
    assert tools_to_wire([search, look_up])[0] == search


class Odd(BaseModel):
    """Cannot be written as a JSON schema."""

    run: Callable[[], None]


@pytest.mark.parametrize("value", [5, "look_up", None, Odd, {"a": 1}])
def test_what_is_no_tool(value: Any) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        make_model().bind_tools([look_up, value])
    place = f"tools[1]={reprlib.repr(value)} is not valid: "
    assert str(caught.value).startswith(place)


@pytest.mark.parametrize("value", [look_up, TOOL, "look_up", 5], ids=reprlib.repr)
def test_what_is_no_list_of_tools(value: Any) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        tools_to_wire(value)
    assert "is not valid: it must be a list of tools." in str(caught.value)


NAMED = {"type": "function", "function": {"name": "look_up"}}
CHOICES: list[tuple[Any, Any]] = [
    ("auto", "auto"),
    ("none", "none"),
    ("any", "required"),
    ("required", "required"),
    (True, "required"),
    (False, None),
    ("look_up", NAMED),
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
    assert choice_to_wire(choice, [OTHER, TOOL]) == sent


@pytest.mark.parametrize("disabled", [True, False])
def test_anthropics_choice_says_whether_calls_may_be_parallel(disabled: bool) -> None:
    choice = {"type": "auto", "disable_parallel_tool_use": disabled}
    service = Service(says())
    model = service.model()
    model.bind_tools([TOOL], tool_choice=choice).invoke("Hi")
    model.bind_tools([TOOL]).invoke("Hi", tool_choice=choice)
    for body in service.bodies:
        assert body["toolChoice"] == "auto"
        assert body["parallelToolCalls"] is not disabled
    model.bind_tools([TOOL], tool_choice=choice, parallel_tool_calls=disabled).invoke(
        "Hi"
    )
    assert service.bodies[-1]["parallelToolCalls"] is disabled


@pytest.mark.parametrize(
    "choice",
    [
        "lookup",
        "",
        5,
        [],
        {"type": "function"},
        {"type": "function", "function": "look_up"},
        {"type": "function", "function": {"name": "lookup"}},
        {"type": "tool", "name": None},
        {"type": "tool", "name": ["look_up"]},
    ],
    ids=repr,
)
def test_a_choice_of_nothing_names_the_tools(choice: Any) -> None:
    model = make_model()
    for choose in (
        lambda: choice_to_wire(choice, [OTHER, TOOL]),
        lambda: model.bind_tools([OTHER, TOOL], tool_choice=choice),
        lambda: model.bind_tools([OTHER, TOOL]).invoke("Hi", tool_choice=choice),
    ):
        with pytest.raises(PmockInvalidRequestError, match="the tools are") as caught:
            choose()
        assert f"tool_choice={choice!r}" in str(caught.value)
        assert "['other', 'look_up']; also allowed are 'auto'" in str(caught.value)


@pytest.mark.parametrize("choice", ["any", "required", True])
def test_a_call_of_nothing_cannot_be_forced(choice: Any) -> None:
    with pytest.raises(PmockInvalidRequestError, match="is not valid without tools"):
        choice_to_wire(choice, [])


@pytest.fixture
def service() -> Service:
    call = {"id": "1", "function": {"name": "look_up", "arguments": '{"city": "Z"}'}}
    answer = data_of(choice_of({"toolCalls": [call]}, "tool_calls"))
    return Service(whole(envelope(answer)))


@pytest.mark.parametrize(("choice", "sent"), CHOICES, ids=repr)
@pytest.mark.parametrize("way", ["bind_tools", "bind", "call"])
def test_tools_are_sent(service: Service, way: str, choice: Any, sent: Any) -> None:
    model = service.model()
    if way == "bind_tools":
        bound = model.bind_tools([look_up], tool_choice=choice)
        assert isinstance(bound, RunnableBinding)
        message = bound.invoke("Hi")
    elif way == "bind":
        message = model.bind(tools=[look_up], tool_choice=choice).invoke("Hi")
    else:
        message = model.invoke("Hi", tools=[look_up], tool_choice=choice)
    (body,) = service.bodies
    assert plain(body["tools"][0]) == TOOL
    assert body.get("toolChoice") == sent
    assert body.keys() - {"parallelToolCalls"} <= {
        "model",
        "messages",
        "tools",
        "toolChoice",
    }
    assert message.tool_calls[0]["args"] == {"city": "Z"}


def test_more_parameters_of_bind_tools(service: Service) -> None:
    model = service.model(parallel_tool_calls=True)
    bound = model.bind_tools(
        [look_up], strict=True, parallel_tool_calls=False, temperature=0
    )
    bound.invoke("Hi")
    (body,) = service.bodies
    assert body["parallelToolCalls"] is False
    assert body["temperature"] == 0
    assert body["tools"][0]["function"]["strict"] is True


def test_a_choice_of_the_call_comes_over_the_bound_one(service: Service) -> None:
    bound = service.model().bind_tools([look_up], tool_choice="any")
    bound.invoke("Hi", tool_choice="look_up")
    bound.invoke("Hi", tool_choice=None)
    bound.invoke("Hi", tool_choice=False)
    assert [body.get("toolChoice") for body in service.bodies] == [NAMED, None, None]


def test_no_tools_send_nothing(service: Service) -> None:
    service.model().bind_tools([]).invoke("Hi")
    assert service.bodies[0].keys() == {"model", "messages"}


def test_tools_in_a_chain(service: Service) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    chain = prompt | service.model().bind_tools([look_up])
    chain.invoke({"question": "Where?"})
    assert service.bodies[0]["messages"] == [{"role": "user", "content": "Where?"}]
