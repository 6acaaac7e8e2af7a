"""Each parameter: in the constructor, bound and at the call, and on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import pytest
from langchain_core.language_models import BaseChatModel

from langchain_pmock import ChatPmock, ModelName, PmockInvalidRequestError
from langchain_pmock.data import _profiles
from tests.support.service import Service, make_model, says

if TYPE_CHECKING:
    from collections.abc import Callable

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}

# Name in Python: name on the wire, good values, bad values.
PARAMETERS: dict[str, tuple[str, list[Any], list[Any]]] = {
    "model": ("model", ["gpt-5.2", "some-new-model", "x"], ["", 5, []]),
    "temperature": ("temperature", [0, 0.7, 2, 2.0], [-0.1, 2.1, "hot", float("nan")]),
    "max_tokens": ("maxTokens", [1, 100_000], [0, -1, 1.5, "many"]),
    "max_completion_tokens": ("maxCompletionTokens", [1, 100_000], [0, -1, 1.5]),
    "top_p": ("topP", [0, 0.5, 1], [-0.1, 1.1, "x"]),
    "frequency_penalty": ("frequencyPenalty", [-2, 0, 2], [-2.1, 2.1, "x"]),
    "presence_penalty": ("presencePenalty", [-2, 0, 2], [-2.1, 2.1, "x"]),
    "stop": ("stop", ["END", ["a"], ["a", "b"]], [5, [5], {"a": 1}]),
    "n": ("n", [1, 2], [0, -1, 1.5]),
    "seed": ("seed", [0, -5, 42], [1.5, "x"]),
    "user": ("user", ["user-1"], [5, []]),
    "logprobs": ("logprobs", [True, False], ["maybe", 5]),
    "top_logprobs": ("topLogprobs", [0, 20], [-1, 21, 1.5]),
    "logit_bias": (
        "logitBias",
        [{"50256": -100}, {"50256": 1.5}],
        [5, {"a": "b"}, {"a": float("inf")}, {"a": float("nan")}],
    ),
    "parallel_tool_calls": ("parallelToolCalls", [True, False], ["maybe", 5]),
}
AT_THE_CALL: dict[str, tuple[str, list[Any], list[Any]]] = {
    "tools": ("tools", [[TOOL]], [5, "x"]),
    "tool_choice": ("toolChoice", ["none", "auto", "required"], ["look_up", 5]),
    "response_format": ("responseFormat", [{"type": "json_object"}], [5, "x"]),
}
# Fields that are not sent.
CLIENT = {
    "access_key",
    "secret_key",
    "base_url",
    "timeout",
    "stream_chunk_timeout",
    "max_response_bytes",
    "max_retries",
    "streaming",
    "async_transport",
    "wire",
    "default_headers",
    "http_client",
    "http_async_client",
}

GOOD = [
    pytest.param(name, wire, value, id=f"{name}-{value}")
    for name, (wire, good, _) in PARAMETERS.items()
    for value in good
]
BAD = [
    pytest.param(name, value, id=f"{name}-{value!r}")
    for name, (_, _, bad) in PARAMETERS.items()
    for value in bad
]


def in_constructor(service: Service, **params: Any) -> None:
    service.model(**params).invoke("Hi")


def by_bind(service: Service, **params: Any) -> None:
    service.model().bind(**params).invoke("Hi")


def at_call(service: Service, **params: Any) -> None:
    service.model().invoke("Hi", **params)


def over_another_value(service: Service, **params: Any) -> None:
    model = service.model(temperature=1, max_tokens=9, stop=["x"], user="x", seed=9)
    model.invoke("Hi", **params)


WAYS = [in_constructor, by_bind, at_call, over_another_value]
ALONE = WAYS[:3]


def test_the_documented_models() -> None:
    assert get_args(ModelName) == tuple(_profiles._PROFILES)


def test_the_tables_above_are_complete() -> None:
    ours = ChatPmock.model_fields.keys() - BaseChatModel.model_fields.keys()
    assert ours == {*PARAMETERS, "model_kwargs", *CLIENT}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "wire_name", "value"), GOOD)
def test_a_parameter_is_sent_in_camel_case(
    way: Callable[..., None], name: str, wire_name: str, value: object
) -> None:
    service = Service(says())
    way(service, **{name: value})
    (body,) = service.bodies
    assert body[wire_name] == value
    assert type(body[wire_name]) in (type(value), float)


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(("name", "wire_name", "value"), GOOD)
def test_nothing_is_sent_that_was_not_asked_for(
    way: Callable[..., None], name: str, wire_name: str, value: object
) -> None:
    service = Service(says())
    way(service, **{name: value})
    assert service.bodies[0].keys() == {"model", "messages", wire_name}


@pytest.mark.parametrize("way", [by_bind, at_call])
@pytest.mark.parametrize("name", AT_THE_CALL)
def test_tools_and_the_like_are_given_at_the_call(
    way: Callable[..., None], name: str
) -> None:
    wire_name, (value, *_), _ = AT_THE_CALL[name]
    service = Service(says())
    way(service, **{name: value})
    assert service.bodies[0][wire_name] == value


@pytest.mark.parametrize("name", AT_THE_CALL)
def test_tools_and_the_like_are_not_for_the_constructor(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}': use bind_tools, bind or the c"):
        make_model(**{name: AT_THE_CALL[name][1][0]})


@pytest.mark.parametrize("way", [by_bind, at_call])
@pytest.mark.parametrize("name", sorted(CLIENT - {"timeout"}))
def test_what_is_for_the_constructor_alone(way: Callable[..., None], name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' cannot be given to a call"):
        way(Service(says()), **{name: 1})


def test_no_far_fetched_proposal() -> None:
    with pytest.raises(ValueError, match="'max_retry': ") as caught:
        make_model(max_retry=1)
    assert "did you mean 'max_retries'?" in str(caught.value)
    for far in ("web_search", "service_tier", "safety_settings"):
        with pytest.raises(ValueError, match="ChatPmock has no such parameter"):
            make_model(**{far: 1})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("alias", "wire_name", "value"),
    [
        ("model_name", "model", "gpt-5.2"),
        ("stop_sequences", "stop", ["a"]),
        ("extra_body", "newField", {"newField": 1}),
    ],
)
def test_other_names(
    way: Callable[..., None], alias: str, wire_name: str, value: object
) -> None:
    service = Service(says())
    way(service, **{alias: value})
    sent = value["newField"] if isinstance(value, dict) else value
    assert service.bodies[0][wire_name] == sent


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_named_and_nothing_is_sent(
    way: Callable[..., None], name: str, value: object
) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match="is not valid: ") as caught:
        way(service, **{name: value})
    assert f"{name}={value!r} is not valid: " in str(caught.value)
    assert not service.requests


@pytest.mark.parametrize("name", AT_THE_CALL)
def test_a_bad_value_at_the_call(name: str) -> None:
    for value in AT_THE_CALL[name][2]:
        service = Service(says())
        with pytest.raises((ValueError, TypeError)):
            at_call(service, **{name: value})
        assert not service.requests


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize("value", [1, None])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("temprature", "temperature"),
        ("maxTokens", "max_tokens"),
        ("topP", "top_p"),
        ("parallelToolCalls", "parallel_tool_calls"),
        ("stop_sequence", "stop_sequences"),
    ],
)
def test_a_misspelled_name(
    way: Callable[..., None], value: object, name: str, meant: str
) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match=f"Unknown parameter '{name}': ") as caught:
        way(service, **{name: value})
    assert not service.requests
    assert f"did you mean '{meant}'?" in str(caught.value)


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stream_options", "always reports the usage"),
        ("strict", "use bind_tools or with_structured_output"),
        ("use_responses_api", "chat endpoint only"),
        ("reasoning_effort", "'gpt-5.1-thinking'"),
        ("thinking", "'gpt-5.1-thinking'"),
        ("max_output_tokens", "use max_tokens"),
        ("openai_api_key", "use access_key and secret_key"),
        ("openai_api_base", "use base_url"),
        ("functions", "use bind_tools"),
        ("response_schema", "use with_structured_output"),
        ("headers", "use default_headers, or extra_headers at the call"),
        ("max_concurrency", "use the config"),
    ],
)
def test_names_of_other_packages_have_hints(
    way: Callable[..., None], name: str, hint: str
) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match=f"Unknown parameter '{name}': ") as caught:
        way(service, **{name: "do-not-show"})
    assert hint in str(caught.value)
    assert "model_kwargs" not in str(caught.value) or name in {
        "reasoning_effort",
        "thinking",
    }
    assert "do-not-show" not in str(caught.value)
    assert not service.requests


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("value", [True, None])
def test_stream_usage_is_accepted(way: Callable[..., None], value: bool | None) -> None:
    service = Service(says())
    way(service, stream_usage=value)
    assert "streamUsage" not in service.bodies[0]


@pytest.mark.parametrize("way", ALONE)
def test_usage_cannot_be_switched_off(way: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="always reports the usage of a stream"):
        way(Service(says()), stream_usage=False)


@pytest.mark.parametrize("way", ALONE)
def test_an_unknown_name(way: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="'qwertz': ChatPmock has no such parameter"):
        way(Service(says()), qwertz=1)


def test_several_problems_are_told_at_once() -> None:
    with pytest.raises(
        PmockInvalidRequestError, match=r"temperature=3 .*; n=0 .*'x': ChatPmock"
    ):
        make_model().invoke("Hi", temperature=3, n=0, x=1)


def test_a_long_value_is_cut() -> None:
    with pytest.raises(ValueError, match="is not valid") as caught:
        make_model().invoke("Hi", temperature="x" * 1000)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("way", ["bind", "call"])
@pytest.mark.parametrize("name", sorted(PARAMETERS.keys() - {"model", "stop"}))
def test_none_takes_back_what_the_constructor_set(name: str, way: str) -> None:
    service = Service(says())
    model = service.model(**{name: PARAMETERS[name][1][0]})
    if way == "bind":
        model.bind(**{name: None}).invoke("Hi")
    else:
        model.invoke("Hi", **{name: None})
    assert service.bodies[0].keys() == {"model", "messages"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"stop": None}, ["a"]),  # LangChain's default: no stop was given
        ({"stop": []}, None),
        ({"stop_sequences": None}, None),
    ],
)
def test_taking_back_a_stop(given: dict[str, Any], sent: list[str] | None) -> None:
    service = Service(says())
    service.model(stop=["a"]).invoke("Hi", **given)
    assert service.bodies[0].get("stop") == sent


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    "params", [{"stop": []}, {"logit_bias": {}}, {"model_kwargs": {}}]
)
def test_what_is_empty_is_not_sent(
    way: Callable[..., None], params: dict[str, Any]
) -> None:
    service = Service(says())
    way(service, **params)
    assert service.bodies[0].keys() == {"model", "messages"}


def test_without_a_model_at_the_call_it_is_the_constructors() -> None:
    service = Service(says())
    service.model().invoke("Hi", model=None)
    service.model().invoke("Hi", model_name=None)
    assert [body["model"] for body in service.bodies] == ["gpt-5.1", "gpt-5.1"]


@pytest.mark.parametrize("way", ALONE)
def test_fields_that_this_version_does_not_know(way: Callable[..., None]) -> None:
    service = Service(says())
    way(service, model_kwargs={"newField": {"deep_er": 1}, "_other": None, "A_B": 1})
    assert service.bodies[0]["newField"] == {"deep_er": 1}
    assert service.bodies[0]["_other"] is None
    assert service.bodies[0]["A_B"] == 1


@pytest.mark.parametrize("way", ALONE)
def test_names_in_snake_case_are_questioned(way: Callable[..., None]) -> None:
    service = Service(says())
    with pytest.warns(UserWarning, match=r"has 'top_k': .*Did you mean 'topK'\?"):
        way(service, model_kwargs={"top_k": 5, "topP2": 1})
    assert service.bodies[0]["top_k"] == 5


def test_model_kwargs_of_the_call_come_over_those_of_the_constructor() -> None:
    service = Service(says())
    model = service.model(model_kwargs={"a": 1, "b": 1})
    model.invoke("Hi", model_kwargs={"b": 2, "c": 2})
    (body,) = service.bodies
    assert {name: body[name] for name in "abc"} == {"a": 1, "b": 2, "c": 2}
    assert model.model_kwargs == {"a": 1, "b": 1}


@pytest.mark.parametrize("way", ALONE)
@pytest.mark.parametrize(
    "name", ["temperature", "maxTokens", "max_tokens", "messages", "stream", "tools"]
)
def test_model_kwargs_are_no_way_around_the_checks(
    way: Callable[..., None], name: str
) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match=f"model_kwargs must not have .*'{name}'"):
        way(service, model_kwargs={name: 9})
    assert not service.requests
