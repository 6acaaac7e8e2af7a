"""What leaves: the fields that were asked for and no others, signed, in JSON."""

from __future__ import annotations

import gc
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_pmock import (
    ChatPmock,
    PmockConnectionError,
    PmockInvalidRequestError,
    Wire,
    __version__,
    sign,
)
from langchain_pmock.testing import Reply, ToolCall
from tests.support.raw_server import RawServer, whole
from tests.support.wire import answer

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Ask, Calls

HELLO = [{"role": "user", "content": "Hello"}]

# Parameter: its value, its name on the wire.
PARAMETERS: dict[str, tuple[Any, str]] = {
    "temperature": (0.0, "temperature"),
    "max_tokens": (50, "maxTokens"),
    "max_completion_tokens": (60, "maxCompletionTokens"),
    "top_p": (0.9, "topP"),
    "frequency_penalty": (-0.5, "frequencyPenalty"),
    "presence_penalty": (0.5, "presencePenalty"),
    "stop": (["END", "结束"], "stop"),
    "n": (1, "n"),
    "seed": (7, "seed"),
    "user": ("user-1", "user"),
    "logprobs": (True, "logprobs"),
    "top_logprobs": (2, "topLogprobs"),
    "logit_bias": ({"50256": -100.0}, "logitBias"),
    "parallel_tool_calls": (False, "parallelToolCalls"),
}
ONLY_AT_THE_CALL: dict[str, tuple[Any, str]] = {
    "tools": ([{"type": "function", "function": {"name": "f"}}], "tools"),
    "tool_choice": ("none", "toolChoice"),
    "response_format": ({"type": "json_object"}, "responseFormat"),
}


def values(parameters: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    return {name: value for name, (value, _) in parameters.items()}


def on_the_wire(parameters: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    return {name: value for value, name in parameters.values()}


# --- The body ------------------------------------------------------------------------


def test_nothing_that_was_not_asked_for_is_sent(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    calls.invoke(make_model(), "Hello")
    calls.stream(make_model(), "Hello")
    plain = {"model": "gpt-5.1", "messages": HELLO}
    sent = [request.body for request in server.requests]
    assert sent == [plain, {**plain, "stream": True}]


@pytest.mark.parametrize("where", ["constructor", "bind", "call"])
def test_every_parameter(
    server: PmockServer, make_model: MakeModel, calls: Calls, where: str
) -> None:
    parameters = PARAMETERS | ({} if where == "constructor" else ONLY_AT_THE_CALL)
    given = values(parameters)
    model = make_model(**given) if where == "constructor" else make_model()
    runnable = model.bind(**given) if where == "bind" else model
    at_the_call = given if where == "call" else {}

    calls.invoke(runnable, "Hello", **at_the_call)
    calls.stream(runnable, "Hello", **at_the_call)
    expected = {"model": "gpt-5.1", "messages": HELLO, **on_the_wire(parameters)}
    plain, streamed = (request.body for request in server.requests)
    assert plain == expected
    assert streamed == {**expected, "stream": True}
    assert [request.code for request in server.requests] == [200, 200]


@pytest.mark.parametrize("name", PARAMETERS)
def test_each_parameter_alone(
    server: PmockServer, make_model: MakeModel, name: str
) -> None:
    value, wire_name = PARAMETERS[name]
    make_model(**{name: value}).invoke("Hello")
    make_model().invoke("Hello", **{name: value})
    expected = {"model": "gpt-5.1", "messages": HELLO, wire_name: value}
    assert [request.body for request in server.requests] == [expected, expected]


def test_the_call_wins_over_bind_and_bind_over_the_constructor(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    model = make_model(temperature=0.1, max_tokens=10, seed=1, stop="a", user="u")
    bound = model.bind(max_tokens=20, seed=2, stop=["b"], user=None)
    calls.invoke(bound, "Hello", seed=3, stop=["c"], model="gemini-3-pro")
    assert server.requests[0].body == {
        "model": "gemini-3-pro",
        "messages": HELLO,
        "temperature": 0.1,
        "maxTokens": 20,
        "seed": 3,
        "stop": ["c"],
    }


def test_aliases(server: PmockServer, make_model: MakeModel) -> None:
    model = make_model(stop_sequences=["END"])
    model.invoke("Hello", model_name="gpt-5.2")
    sent = server.requests[0].body
    assert (sent["stop"], sent["model"]) == (["END"], "gpt-5.2")


def test_fields_that_this_version_does_not_know(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    # The local server knows only what is documented. It says so, and records it.
    model = make_model(model_kwargs={"reasoningEffort": "low", "other": [1]})
    for call in (calls.invoke, calls.stream):
        with pytest.raises(PmockInvalidRequestError, match="reasoningEffort"):
            call(model, "Hello", model_kwargs={"other": {"a": None}})
        sent = server.requests[-1].body
        assert sent["reasoningEffort"] == "low"
        assert sent["other"] == {"a": None}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"temperature": 3}, "temperature=3 is not valid"),
        ({"max_tokens": 0}, "max_tokens=0 is not valid"),
        ({"top_logprobs": 21}, "top_logprobs=21 is not valid"),
        ({"temprature": 1}, "'temprature': did you mean 'temperature'?"),
        ({"maxTokens": 1}, "'maxTokens': did you mean 'max_tokens'?"),
    ],
)
def test_what_is_wrong_is_not_sent(
    server: PmockServer,
    make_model: MakeModel,
    calls: Calls,
    given: dict[str, Any],
    problem: str,
) -> None:
    with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
        make_model(**given)
    for call in (calls.invoke, calls.stream):
        with pytest.raises(ValueError, match=problem.replace("?", r"\?")):
            call(make_model(), "Hello", **given)
    with pytest.raises(ValueError, match="at least one message"):
        calls.invoke(make_model(), [])
    assert server.requests == []


@pytest.mark.parametrize(
    ("value", "place"),
    [({1}, "body.x.y={1}"), (float("nan"), "body.x.y=nan"), (b"b", "body.x.y=b'b'")],
)
def test_what_json_has_no_form_for_is_not_sent(
    server: PmockServer, make_model: MakeModel, calls: Calls, value: Any, place: str
) -> None:
    for call in (calls.invoke, calls.stream):
        with pytest.raises(PmockInvalidRequestError) as caught:
            call(make_model(), "Hello", model_kwargs={"x": {"y": value}})
        assert str(caught.value).startswith(f"{place} cannot be written as JSON: ")
    assert server.requests == []


def test_texts_arrive_as_they_are(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    text = 'quote " back \\ line \u2028 tab \t nul \0 del \x7f 中文 🌊'
    image = "data:image/png;base64," + "iVBORw0K" * 100_000
    block = {"type": "image_url", "image_url": {"url": image}}
    message = HumanMessage([text, "half \ud83c", block])
    for call in (calls.invoke, calls.stream):
        call(make_model(), [message])
        assert server.requests[-1].body["messages"][0]["content"] == [
            {"type": "text", "text": text},
            {"type": "text", "text": "half \ufffd"},
            block,
        ]


def test_a_call_that_was_cut_off_goes_back_as_an_object(
    server: PmockServer, make_model: MakeModel, calls: Calls
) -> None:
    half = '{"city": "Llan'
    server.script(Reply(tool_calls=[ToolCall("get_weather", half)]))
    message = calls.invoke(make_model(), "Hello")
    (call,) = message.invalid_tool_calls
    result = ToolMessage("no JSON", tool_call_id=call["id"], status="error")
    calls.invoke(make_model(), [HumanMessage("Hello"), message, result])
    (sent,) = server.requests[-1].body["messages"][1]["toolCalls"]
    assert json.loads(sent["function"]["arguments"]) == {"invalid": half}


def test_names_that_the_user_chose(server: PmockServer, make_model: MakeModel) -> None:
    wire = Wire(
        tool_calls="tool_calls",
        tool_call_id="tool_call_id",
        reasoning_content="reasoningContent",
    )
    call = {"name": "get_weather", "args": {}, "id": "c1"}
    extras = {"reasoning_content": "Hm. " * 50}
    thread = [
        HumanMessage("Hello"),
        AIMessage("", tool_calls=[call], additional_kwargs=extras),
        ToolMessage("sunny", tool_call_id="c1"),
    ]
    model = make_model(wire=wire)
    with pytest.raises(PmockInvalidRequestError, match="tool_calls"):
        model.invoke(thread)  # the local server has the names of the default
    _, assistant, result = server.requests[0].body["messages"]
    assert [each["id"] for each in assistant["tool_calls"]] == ["c1"]
    assert assistant["reasoningContent"] == extras["reasoning_content"]
    assert result["tool_call_id"] == "c1"
    counts = [m.get_num_tokens_from_messages(thread) for m in (make_model(), model)]
    assert counts[1] - counts[0] == model.get_num_tokens(extras["reasoning_content"])


def test_roles_and_names(server: PmockServer, make_model: MakeModel) -> None:
    make_model().invoke(
        [
            SystemMessage("Be terse."),
            SystemMessage("Hi", additional_kwargs={"__openai_role__": "developer"}),
            ChatMessage(content="Hey", role="developer"),
            ChatMessage(content="Hm", role="assistant"),
            HumanMessage("你好", name="anna"),
        ]
    )
    assert server.requests[0].body["messages"] == [
        {"role": "system", "content": "Be terse."},
        {"role": "developer", "content": "Hi"},
        {"role": "developer", "content": "Hey"},
        {"role": "assistant", "content": "Hm"},
        {"role": "user", "content": "你好", "name": "anna"},
    ]


# --- The headers ---------------------------------------------------------------------


def test_headers(server: PmockServer, make_model: MakeModel, calls: Calls) -> None:
    model = make_model(default_headers={"X-Team": "blue"})
    begin = time.time()
    calls.invoke(model, "Hello")
    calls.stream(model, "Hello")
    tokens = {
        sign(server.access_key, server.secret_key, moment)
        for moment in (begin, time.time())
    }
    for request in server.requests:
        headers = request.headers
        assert headers["wuinai-access-key"] == server.access_key
        assert headers["wuinai-access-token"] in tokens
        assert headers["content-type"] == "application/json"
        assert headers["user-agent"] == f"langchain-pmock/{__version__}"
        assert headers["x-team"] == "blue"
        assert "authorization" not in headers
        assert server.secret_key not in str({**headers})
    plain, streamed = (request.headers for request in server.requests)
    assert "event-stream" not in plain["accept"]
    assert streamed["accept"] == "text/event-stream"


def test_each_minute_has_its_own_signature(
    server: PmockServer, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model()
    model.invoke("Hello")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + 60)
    server.clock_offset = 60
    model.invoke("Hello")
    first, second = (r.headers["wuinai-access-token"] for r in server.requests)
    assert first != second


# --- Before the first call -----------------------------------------------------------


class TouchedError(Exception):
    pass


def test_construction_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def touched(*_: Any, **__: Any) -> None:
        raise TouchedError

    monkeypatch.setattr(socket.socket, "__init__", touched)
    monkeypatch.setattr(socket, "getaddrinfo", touched)
    for name in ("load_verify_locations", "load_default_certs", "load_cert_chain"):
        monkeypatch.setattr(ssl.SSLContext, name, touched)
    with pytest.raises(TouchedError):
        httpx.Client()
    with pytest.raises(TouchedError):
        socket.socket()

    model = ChatPmock(model="gpt-5.1", access_key="ak-example", secret_key="sk-example")
    model.bind_tools([{"name": "f"}], tool_choice="f")
    model.with_structured_output({"title": "a", "type": "object", "properties": {}})
    assert repr(model)


def test_memory_is_freed_without_the_garbage_collector(
    ask: Ask, model: ChatPmock
) -> None:
    image = "data:image/png;base64," + "A" * 1_000_000
    block = {"type": "image_url", "image_url": {"url": image}}

    def alive() -> int:
        return sum(
            isinstance(one, (httpx.Request, httpx.Response)) for one in gc.get_objects()
        )

    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(3):
            assert ask(model, [HumanMessage([block])]).text
        assert alive() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_environments_proxy_is_used(
    attempts: int, calls: Calls, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    url = "http://127.0.0.1:1/api"
    with RawServer(whole(answer("by proxy"))) as proxy:
        model = make_model(base_url=url, max_retries=0)
        if attempts > 1:
            with pytest.raises(PmockConnectionError):
                calls.invoke(model, "Hello")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        if attempts == 1:
            model = make_model(base_url=url)
        assert calls.invoke(model, "Hello").text == "by proxy"
    (request,) = proxy.requests
    assert request.target == f"{url}/ai/chat/completions"
