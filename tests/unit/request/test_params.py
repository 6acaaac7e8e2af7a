"""Parameters: in the constructor, bound, of a call and of a subclass; on the wire."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from langchain_core.language_models import BaseChatModel
from pydantic import Field

from langchain_pmock import ChatPmock, ModelName, Param, PmockInvalidRequestError
from langchain_pmock._request.params import SENT
from langchain_pmock.data import _profiles
from tests.support.service import Service, make_model, says

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}
NAN, INF = float("nan"), float("inf")

# Name in Python: name on the wire, good values, bad values.
PARAMETERS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "model": ("model", ["gpt-5.2", "some-new-model"], ["", 5, []]),
    "temperature": ("temperature", [0, 0.7, 2], [-0.1, 2.1, "hot", NAN, []]),
    "max_tokens": ("maxTokens", [0, 100_000], [1.5, "many"]),
    "max_completion_tokens": ("maxCompletionTokens", [1], [1.5]),
    "top_p": ("topP", [0, 0.5, 1.5], ["x", NAN]),
    "frequency_penalty": ("frequencyPenalty", [-2, 0, 2], [-2.1, 2.1, "x"]),
    "presence_penalty": ("presencePenalty", [-2, 0, 2], [-2.1, 2.1, "x"]),
    "stop": ("stop", ["END", ["a", "b"]], [5, [5], {"a": 1}]),
    "n": ("n", [1, 2], [1.5]),
    "seed": ("seed", [0, -5, 42], [1.5, "x"]),
    "user": ("user", ["user-1"], [5, []]),
    "logprobs": ("logprobs", [True, False], ["maybe", 5]),
    "top_logprobs": ("topLogprobs", [0, 30], [1.5]),
    "logit_bias": (
        "logitBias",
        [{"50256": -100}, {"50256": 1.5}],
        [5, {"a": "b"}, {"a": INF}, {"a": NAN}],
    ),
    "parallel_tool_calls": ("parallelToolCalls", [True, False], ["maybe", 5]),
}
CALL_ONLY: dict[str, tuple[str, Any, list[Any]]] = {
    "tools": ("tools", [TOOL], [5, "x", [5]]),
    "tool_choice": ("toolChoice", "none", ["look_up", 5]),
    "response_format": ("responseFormat", {"type": "json_object"}, [5, "x"]),
}
FIELDS = ChatPmock.model_fields.keys() - BaseChatModel.model_fields.keys()
CLIENT = FIELDS - PARAMETERS.keys() - {"model_kwargs"}

GOOD = [(name, wire, v) for name, (wire, good, _) in PARAMETERS.items() for v in good]
GOOD += [("model_name", "model", "gpt-5.2"), ("stop_sequences", "stop", ["a"])]
BAD = [(name, v) for name, (_, _, bad) in PARAMETERS.items() for v in bad]


Way = Callable[..., None]


def in_constructor(service: Service, **params: Any) -> None:
    service.model(**params).invoke("Hi")


def by_assignment(service: Service, **params: Any) -> None:
    model = service.model()
    for name, value in params.items():
        setattr(model, name, value)
    model.invoke("Hi")


def by_bind(service: Service, **params: Any) -> None:
    service.model().bind(**params).invoke("Hi")


def at_call(service: Service, **params: Any) -> None:
    service.model().invoke("Hi", **params)


def over_another_value(service: Service, **params: Any) -> None:
    model = service.model(temperature=1, max_tokens=9, stop=["x"], user="x", seed=9)
    model.invoke("Hi", **params)


ALONE = [in_constructor, by_bind, at_call]
WAYS = [*ALONE, by_assignment, over_another_value]


# --- Completeness --------------------------------------------------------------------


def test_each_documented_model_has_a_profile() -> None:
    assert get_args(ModelName) == tuple(_profiles._PROFILES)


def test_table_above_has_each_parameter() -> None:
    marked = {n for n, f in ChatPmock.model_fields.items() if SENT in f.metadata}
    assert marked == PARAMETERS.keys()


def test_readme_has_a_row_for_each_parameter() -> None:
    readme = Path(__file__).parents[3].joinpath("README.md").read_text("utf-8")
    section = readme.partition("\n## Parameters\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    rows = re.findall(r"`(\w+)`", " ".join(cells))
    assert sorted(rows) == sorted([*FIELDS, *CALL_ONLY, "extra_headers"])


# --- Values --------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "wire_name", "value"), GOOD)
def test_parameter_is_sent_in_camel_case(
    way: Way, name: str, wire_name: str, value: object
) -> None:
    service = Service(says())
    way(service, **{name: value})
    (body,) = service.bodies
    assert body[wire_name] == value
    assert type(body[wire_name]) in (type(value), float)
    if way is not over_another_value:
        assert body.keys() == {"model", "messages", wire_name}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "value"), BAD)
def test_invalid_value_is_refused_by_name(way: Way, name: str, value: object) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match="is not valid: ") as caught:
        way(service, **{name: value})
    assert f"{name}={value!r} is not valid: " in str(caught.value)
    assert not service.requests


@pytest.mark.parametrize("way", [by_bind, at_call])
@pytest.mark.parametrize("name", CALL_ONLY)
def test_parameters_of_calls_alone(way: Way, name: str) -> None:
    wire_name, value, bad = CALL_ONLY[name]
    service = Service(says())
    way(service, **{name: value})
    assert service.bodies[0][wire_name] == value
    with pytest.raises(ValueError, match=f"'{name}': use bind_tools, bind or the c"):
        make_model(**{name: value})
    for wrong in bad:
        with pytest.raises(PmockInvalidRequestError):
            way(service, **{name: wrong})
    assert len(service.requests) == 1


def test_tool_choice_may_be_bound_before_the_tools() -> None:
    service = Service(says())
    service.model().bind(tool_choice="look_up").bind(tools=[TOOL]).invoke("Hi")
    service.model().bind(tools=[TOOL]).bind(tool_choice="look_up").invoke("Hi")
    assert [body["toolChoice"]["type"] for body in service.bodies] == ["function"] * 2


@pytest.mark.parametrize("way", [by_bind, at_call])
@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - {"model", "stop"}))
def test_none_unsets_the_value_of_the_constructor(
    name: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(says())
    model = service.model(**{name: PARAMETERS[name][1][0]})
    monkeypatch.setattr(service, "model", lambda: model)
    way(service, **{name: None})
    assert service.bodies[0].keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"stop": None}, ["a"]),  # LangChain's default: no stop was given
        ({"stop": []}, None),
        ({"stop_sequences": None}, None),
        ({"model": None}, ["a"]),  # a request needs a model
    ],
)
def test_unsetting_stop_and_model(given: dict[str, Any], sent: list[str]) -> None:
    service = Service(says())
    service.model(stop=["a"]).invoke("Hi", **given)
    assert service.bodies[0].get("stop") == sent
    assert service.bodies[0]["model"] == "gpt-5.1"


# --- Names ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("temprature", "did you mean 'temperature'?"),
        ("maxTokens", "did you mean 'max_tokens'?"),
        ("stop_sequence", "did you mean 'stop_sequences'?"),
        ("web_search", "there is no such parameter"),
        # Of ChatOpenAI and ChatAnthropic.
        ("stream_options", "always reports the usage"),
        ("strict", "use bind_tools or with_structured_output"),
        ("reasoning_effort", "'gpt-5.1-thinking'"),
        ("openai_api_key", "use access_key and secret_key"),
        ("headers", "use default_headers, or extra_headers at the call"),
    ],
)
@pytest.mark.parametrize("value", ["do-not-show", None])
def test_unknown_name_is_refused_with_a_hint(
    way: Way, name: str, hint: str, value: object
) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match=f"Unknown parameter '{name}': ") as caught:
        way(service, **{name: value})
    assert hint in str(caught.value)
    assert "do-not-show" not in str(caught.value)
    assert not service.requests


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"stream_usage": False}, "always reports the usage of a stream"),
        ({"model_kwargs": {"stream": True}}, "model_kwargs must not have 'stream'"),
        # One error has all invalid values, cut to a length.
        (
            {"temperature": 3, "seed": "x" * 999},
            r"(?s)temperature=3 .*seed='xxx.*\.\.\.",
        ),
    ],
)
def test_invalid_parameters(way: Way, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        way(Service(says()), **given)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("way", ALONE)
def test_stream_usage_is_not_sent(way: Way) -> None:
    service = Service(says())
    for value in (True, None):
        way(service, stream_usage=value)
    assert all("streamUsage" not in body for body in service.bodies)


# --- model_kwargs --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model_kwargs", "extra_body"])
@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    "kwargs",
    [
        {"newField": {"deep_er": 1}, "_other": None, "A_B": 1},
        {"topLogprobs": 30, "temperature": 9, "model": "x"},
        {"messages": []},
        {"tools": None},
        {},
    ],
    ids=str,
)
def test_model_kwargs_are_sent_unchanged_and_override_each_field(
    way: Way, kwargs: dict[str, Any], name: str
) -> None:
    service = Service(says())
    way(service, **{name: kwargs}, temperature=1, top_logprobs=1)
    assert service.bodies[0].items() >= kwargs.items()


def test_names_in_snake_case_cause_a_warning() -> None:
    fields: Any = dict(make_model()) | {"model_kwargs": {"top_k": 5, "topP2": 1}}
    with pytest.warns(UserWarning, match=r"'top_k': .*Did you mean 'topK'\?") as caught:
        ChatPmock(**fields)
    assert [warning.filename for warning in caught] == [__file__]


def test_model_kwargs_of_a_call_are_merged_with_those_of_the_model() -> None:
    service = Service(says())
    model = service.model(model_kwargs={"a": 1, "b": 1})
    model.invoke("Hi", model_kwargs={"b": 2, "c": 2})
    model.invoke("Hi", model_kwargs={})
    sent = [{k: body[k] for k in "abc" if k in body} for body in service.bodies]
    assert sent == [{"a": 1, "b": 2, "c": 2}, {"a": 1, "b": 1}]
    assert model.model_kwargs == {"a": 1, "b": 1}


# --- Subclasses ----------------------------------------------------------------------


class Mine(ChatPmock):
    top_k: Param[int] = None
    note: str = "never sent"


def test_marked_field_of_a_subclass_is_a_parameter() -> None:
    service = Service(says())
    fields = dict(service.model(temperature=1))
    model = Mine(**fields | {"top_k": 5, "note": "mine"})
    model.invoke("Hi")
    model.invoke("Hi", top_k=6)
    model.bind(top_k=7).invoke("Hi")
    model.bind_tools([TOOL]).invoke("Hi", top_k=None)
    model.top_k = 8
    model.invoke("Hi")
    assert [body.get("topK") for body in service.bodies] == [5, 6, 7, None, 8]
    assert service.bodies[0].keys() == {"model", "temperature", "topK", "messages"}

    class WithAlias(ChatPmock):
        top_k: Param[int] = Field(default=None, alias="k")

    WithAlias(**fields | {"top_k": 9}).invoke("Hi")
    assert service.bodies[-1]["topK"] == 9


def test_fields_of_a_subclass_are_validated() -> None:
    model = Mine(model="x", access_key="x", secret_key="x")
    for refused in (
        lambda: Mine(**dict(model) | {"top_k": "many"}),
        lambda: model.invoke("Hi", top_k="many"),
        lambda: model.bind(top_k="many"),
        lambda: setattr(model, "top_k", "many"),
    ):
        with pytest.raises(ValueError, match="top_k='many' is not valid"):
            refused()
    with pytest.raises(ValueError, match="'note' cannot be given to a call"):
        model.bind(note="x")
    with pytest.raises(ValueError, match="did you mean 'top_k'"):
        model.bind(topK=1)
    # Its parent has no such parameter.
    with pytest.raises(ValueError, match="Unknown parameter 'top_k'"):
        make_model().bind(top_k=1)


def test_parameter_that_a_subclass_declares_anew_is_sent() -> None:
    class Warm(ChatPmock):
        model: str = "gpt-5.2"
        temperature: float = 0.5

    class Both(Warm, Mine):
        top_k: int = 3

    service = Service(says())
    fields = dict(service.model())
    del fields["model"], fields["temperature"]
    Both(**fields).invoke("Hi", temperature=1)
    Both(**fields).invoke("Hi")
    names = ("model", "temperature", "topK")
    sent = [[body[name] for name in names] for body in service.bodies]
    assert sent == [["gpt-5.2", 1, 3], ["gpt-5.2", 0.5, 3]]
