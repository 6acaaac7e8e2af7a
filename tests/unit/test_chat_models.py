"""`ChatPmock` as LangChain calls it, and what LangChain can see of it."""

import asyncio
import inspect
import pickle
from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any, get_type_hints
from unittest.mock import Mock

import httpx2
import langsmith
import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers import LangChainTracer
from pydantic import BaseModel, SecretStr

from langchain_pmock import (
    ChatPmock,
    PmockAPIError,
    PmockInvalidRequestError,
    PmockResponseError,
    Wire,
    __version__,
)
from langchain_pmock._request.tokens import count_message_tokens, count_text_tokens
from tests.support.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    all_about,
    make_model,
    says,
    streams,
    whole,
)
from tests.support.wire import (
    Json,
    choice_of,
    chunk_of,
    data_of,
    envelope,
    events,
)

USAGE = {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
TEXT = "Hello 你好 👋"
WHOLE = whole(
    envelope(data_of(choice_of({"content": TEXT}), usage=USAGE), traceId="trace-1")
)
CHUNKS = [*(chunk_of({"content": c}) for c in TEXT), chunk_of({}, "stop", usage=USAGE)]
STREAM = streams(
    events(*CHUNKS).replace(b'"code":200', b'"code":200,"traceId":"trace-1"')
)
MESSAGES = [SystemMessage("Be brief"), HumanMessage("Hi")]
SENT: Json = {
    "model": "gpt-5.1",
    "messages": [
        {"role": "system", "content": "Be brief"},
        {"role": "user", "content": "Hi"},
    ],
}


class Joke(BaseModel):
    setup: str


def look_up(word: str) -> str:
    """Look a word up."""
    return word


# --- Calls ---------------------------------------------------------------------------


EVENT = events(data_of(choice_of({"content": TEXT})), done=False)


@pytest.mark.parametrize("body", [b"data: [DONE]\n\n", b": hi\n\n", EVENT, EVENT * 2])
@pytest.mark.parametrize("answer", [whole, streams])
async def test_events_are_no_answer_to_invoke(answer: Any, body: bytes) -> None:
    model = Service(answer(body)).model()
    with pytest.raises(PmockResponseError):
        model.invoke(MESSAGES)
    with pytest.raises(PmockResponseError):
        await model.ainvoke(MESSAGES)


async def test_each_method_returns_the_same_message() -> None:
    service = Service(WHOLE, WHOLE, STREAM, STREAM)
    model = service.model()
    answers = [
        model.invoke(MESSAGES),
        await model.ainvoke(MESSAGES),
        reduce(add, model.stream(MESSAGES)),
        reduce(add, [chunk async for chunk in model.astream(MESSAGES)]),
    ]
    for answer in answers:
        assert answer.content == TEXT
        counts = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        assert answer.usage_metadata == counts
        # LangChain puts what callbacks read into the metadata too, if not streamed.
        metadata = answer.response_metadata
        assert metadata["id"] == "chatcmpl-1"
        assert ("token_usage" in metadata) != isinstance(answer, AIMessageChunk)
        assert (
            metadata.items() >= {"trace_id": "trace-1", "created": 1768809934}.items()
        )
    # LangGraph keeps one message per id, and some services repeat theirs.
    assert len({answer.id for answer in answers}) == len(answers)
    streamed = {**SENT, "stream": True}
    assert service.bodies == [SENT, SENT, streamed, streamed]


@pytest.mark.parametrize("switch", [{"disable_streaming": True}, {"streaming": False}])
def test_streaming_can_be_disabled(switch: Json) -> None:
    service = Service(WHOLE)
    (chunk,) = [chunk for chunk in service.model(**switch).stream("Hi") if chunk.text]
    assert chunk.text == TEXT
    assert "stream" not in service.bodies[0]


async def test_several_answers_cannot_be_streamed() -> None:
    service = Service(STREAM)
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        list(service.model(n=2).stream("Hi"))
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        await read(service.model().astream("Hi", n=2))
    assert not service.requests
    assert service.model(n=1, streaming=True).invoke("Hi").text == TEXT
    make_model(n=2, streaming=False)


def test_stream_argument_of_langchain_is_not_a_parameter() -> None:
    service = Service(STREAM, WHOLE)
    model = service.model()
    assert model.invoke("Hi", stream=True).content == TEXT
    assert model.invoke("Hi", stream=False).content == TEXT


# --- Calls: timeout and headers ------------------------------------------------------


async def by_all_ways(model: Any, **kwargs: Any) -> None:
    model.invoke("Hi", **kwargs)
    await model.ainvoke("Hi", **kwargs)
    [*model.stream("Hi", **kwargs)]
    [chunk async for chunk in model.astream("Hi", **kwargs)]


@pytest.mark.parametrize("bound", [False, True])
async def test_headers_and_timeout_of_a_call(bound: bool) -> None:
    service = Service(WHOLE, WHOLE, STREAM, STREAM)
    model = service.model(default_headers={"X-Mine": "1", "X-Kept": "1"}, timeout=7)
    given: Json = {"extra_headers": {"x-mine": " 2 "}, "timeout": 3}
    await (by_all_ways(model.bind(**given)) if bound else by_all_ways(model, **given))
    for request in service.requests:
        assert request.headers.get_list("x-mine") == ["2"]
        assert request.headers["x-kept"] == "1"
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), 3)
    assert service.timeouts == [timeouts] * 4
    assert all(not body.keys() & given.keys() for body in service.bodies)
    assert model.default_headers == {"X-Mine": "1", "X-Kept": "1"}


# --- What LangChain publishes --------------------------------------------------------


class Observer(BaseCallbackHandler):
    """Records all that LangChain's callbacks receive."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.params: list[Json] = []

    def on_chain_start(self, *args: Any, **kwargs: Any) -> None:
        self.seen.append(f"{args} {kwargs}")

    on_llm_error = on_chain_start

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.on_chain_start(*args, **kwargs)
        self.params.append(kwargs["invocation_params"])


def observed_cache() -> Any:
    return Mock(wraps=InMemoryCache(), spec=BaseCache)


async def read(chunks: Any) -> list[Any]:
    return [chunk async for chunk in chunks]


HI, HEAT = [[HumanMessage("Hi")]], ConfigurableField(id="heat")
ONCE: Json = {"stop_after_attempt": 1}
Entry = Callable[[Any, Any, Any], object]
ENTRIES: dict[str, Entry] = {
    "bind": lambda m, k, c: m.bind(**k).invoke("Hi", c),
    "bind twice": lambda m, k, c: m.bind(seed=1).bind(**k).invoke("Hi", c),
    "bind_tools": lambda m, k, c: m.bind_tools([look_up], **k).invoke("Hi", c),
    "tools, bind": lambda m, k, c: m.bind_tools([look_up]).bind(**k).invoke("Hi", c),
    "config, bind": lambda m, k, c: m.with_config(c).bind(**k).invoke("Hi"),
    "structured": lambda m, k, c: m.with_structured_output(Joke, **k).invoke("Hi", c),
    "chain": lambda m, k, c: (m.bind(**k) | str).invoke("Hi", c),
    "invoke": lambda m, k, c: m.invoke("Hi", c, **k),
    "ainvoke": lambda m, k, c: asyncio.run(m.ainvoke("Hi", c, **k)),
    "stream": lambda m, k, c: [*m.stream("Hi", c, **k)],
    "astream": lambda m, k, c: asyncio.run(read(m.astream("Hi", c, **k))),
    "batch": lambda m, k, c: m.batch(["Hi", "Ho"], c, **k),
    "abatch": lambda m, k, c: asyncio.run(m.abatch(["Hi", "Ho"], c, **k)),
    "generate": lambda m, k, c: m.generate(HI, **c, **k),
    "agenerate": lambda m, k, c: asyncio.run(m.agenerate(HI, **c, **k)),
    "events": lambda m, k, c: asyncio.run(read(m.astream_events("Hi", c, **k))),
    "with_retry": lambda m, k, c: m.with_retry(**ONCE).invoke("Hi", c, **k),
    "fallbacks": lambda m, k, c: m.with_fallbacks([m]).invoke("Hi", c, **k),
    "configurable": lambda m, k, c: m.configurable_fields(temperature=HEAT).invoke(
        "Hi", c, **k
    ),
}
SECRET = "do-not-show"
KEYS = ("access_key", "api_key", "secret_key", "api_secret")
OTHERS = ("http_client", "openai_api_key", "unknown", "model_kwargs", "extra_headers")
REFUSED: list[Json] = [
    *({name: SECRET} for name in (*KEYS, *OTHERS)),
    {"default_headers": {"authorization": SECRET}},
    {"base_url": f"https://user:{SECRET}@host.invalid"},
    {"extra_headers": {"wuinai-access-key": SECRET}},
    {"extra_headers": {"x": f"{SECRET}\n1"}},
    {"extra_headers": {"x": [SECRET]}},
    {"temperature": 9},
    {"timeout": -1},
    {"stop": 5},
    {"tools": [5]},
    {"tools": [look_up], "tool_choice": "nobody"},
    {"response_format": 5},
    {"logit_bias": {"a": float("nan")}},
]


@pytest.mark.parametrize(
    ("entry", "given"),
    [
        (entry, given)
        for given in REFUSED
        for entry in ENTRIES
        # These have the tools themselves.
        if "tools" not in given or entry not in {"bind_tools", "structured"}
    ],
)
def test_refused_parameters_are_published_nowhere(entry: str, given: Json) -> None:
    service, observer, cache = Service(says("{}")), Observer(), observed_cache()
    model = service.model(cache=cache)
    with pytest.raises(PmockInvalidRequestError) as caught:
        ENTRIES[entry](model, given, {"callbacks": [observer]})
    error = caught.value
    assert SECRET not in f"{error} {error!r} {error.__context__} {observer.seen}"
    assert error.status_code is None
    assert not observer.params
    assert not cache.mock_calls
    assert not service.requests


@pytest.mark.parametrize("entry", ENTRIES)
def test_headers_are_published_nowhere(entry: str) -> None:
    streamed = entry in {"stream", "astream", "events"}
    service = Service(STREAM if streamed else says('{"setup": "x"}'))
    observer, cache = Observer(), observed_cache()
    client = Mock(spec=langsmith.Client)
    model = service.model(
        cache=cache, default_headers={"x-own": SECRET}, temperature=0.5
    )
    config = {"callbacks": [observer, LangChainTracer(client=client)]}
    ENTRIES[entry](model, {"extra_headers": {"x-mine": SECRET}}, config)
    assert service.requests[0].headers["x-mine"] == SECRET
    assert observer.params
    assert "invocation_params" in str(client.mock_calls)
    shown = f"{observer.seen} {cache.mock_calls} {client.mock_calls}"
    for secret in (SECRET, ACCESS_KEY, SECRET_KEY):
        assert secret not in shown


@pytest.mark.parametrize("entry", ["invoke", "ainvoke", "stream", "astream", "bind"])
def test_headers_are_in_no_variable_of_a_frame(entry: str) -> None:
    service = Service(whole(envelope(None, 500, "no")))
    model = service.model(default_headers={"x-own": SECRET})
    with pytest.raises(PmockAPIError) as caught:
        ENTRIES[entry](model, {"extra_headers": {"x-mine": SECRET}}, {})
    assert SECRET not in all_about(caught.value)


def test_bound_headers_are_neither_shown_nor_serialized() -> None:
    service = Service(says())
    model = service.model()
    bound = model.bind(extra_headers={"X-Mine": SECRET})
    twice = model.bind(temperature=1).bind(extra_headers={"X-Mine": SECRET})
    for runnable in (bound, twice, bound.with_retry(), bound | str):
        shown = f"{runnable!r} {runnable} {dumps(runnable)}"
        assert SECRET not in shown
        assert "X-Mine" in shown
    pickle.loads(pickle.dumps(make_model().bind(seed=1)))  # noqa: S301 - our own
    for one in (bound, twice):
        one.invoke("Hi")
        assert service.requests[-1].headers["x-mine"] == SECRET


def test_key_by_a_configurable_field_is_not_traced() -> None:
    service, observer = Service(says()), Observer()
    field: Any = ConfigurableField(id="pmock_key")
    model = service.model().configurable_fields(access_key=field)
    config: Any = {
        "configurable": {"pmock_key": SecretStr(SECRET)},
        "callbacks": [observer],
    }
    model.invoke("Hi", config)
    assert service.requests[0].headers["wuinai-access-key"] == SECRET
    assert SECRET not in str(observer.seen)
    config["configurable"]["pmock_key"] = f"{SECRET}\n{SECRET}"
    with pytest.raises(ValueError, match="access_key must be a string") as caught:
        model.invoke("Hi", config)
    assert SECRET not in str(caught.value)


# --- Types ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in vars(ChatPmock) if not n.startswith("__")])
def test_type_hints_resolve(name: str) -> None:
    attribute = inspect.getattr_static(ChatPmock, name)
    if isinstance(attribute, classmethod | staticmethod):
        attribute = attribute.__func__
    if isinstance(attribute, property):
        attribute = attribute.fget
    if inspect.isfunction(attribute):
        get_type_hints(attribute)
        inspect.signature(attribute, eval_str=True)


# --- Structured output ---------------------------------------------------------------


def calls(*functions: tuple[str, str]) -> Any:
    """Answer with calls, each with a name and arguments."""
    written = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": args}}
        for name, args in functions
    ]
    return whole(envelope(data_of(choice_of({"content": None, "toolCalls": written}))))


@pytest.mark.parametrize(
    ("name", "tools", "by_schema"),
    [
        ("gpt-5.1", True, True),
        ("some-new-model", False, True),
        ("gemini-3-pro", True, True),
        ("gemini-2.5-pro", False, True),
        ("gemini-2.5-pro", True, False),
        ("claude-4.5", False, False),
        ("claude-4.5", True, False),
    ],
)
def test_default_method_of_structured_output(
    name: str, tools: bool, by_schema: bool
) -> None:
    call = calls(("Joke", '{"setup": "x"}'))
    service = Service(says('{"setup": "x"}') if by_schema else call)
    model = service.model(model=name)
    structured: Any = model.with_structured_output(
        Joke, tools=[look_up] if tools else None
    )
    assert structured.invoke("Hi") == Joke(setup="x")
    (body,) = service.bodies
    assert ("responseFormat" in body) == by_schema
    sent = [tool["function"]["name"] for tool in body.get("tools", [])]
    assert sent == ["look_up"] * tools + ["Joke"] * (not by_schema)
    if not by_schema:
        choice = {"type": "function", "function": {"name": "Joke"}}
        assert body["toolChoice"] == ("required" if tools else choice)


def test_profile_of_the_user_selects_the_method() -> None:
    service = Service(says("{}"))
    model = service.model(model="mine", profile={"structured_output": False})
    with pytest.raises(OutputParserException):
        model.with_structured_output(Joke).invoke("Hi")
    assert "tools" in service.bodies[0]
    with pytest.raises(OutputParserException):
        model.with_structured_output(Joke, method="json_schema").invoke("Hi")
    assert "responseFormat" in service.bodies[1]


@pytest.mark.parametrize("name", ["gpt-5.1", "claude-4.5"])  # by schema, by tool
@pytest.mark.parametrize("schema", [Joke, Joke.model_json_schema()])
@pytest.mark.parametrize("include_raw", [False, True])
def test_structured_output_with_other_tools(
    name: str, schema: Any, include_raw: bool
) -> None:
    other, answer = ("look_up", '{"word": "x"}'), ("Joke", '{"setup": "x"}')
    answers = [calls(other), calls(other, answer), calls(answer)]
    if name == "gpt-5.1":
        answers = [calls(other), says(answer[1])]
    service = Service(*answers, says("Neither."))
    model: Any = service.model(model=name).with_structured_output(
        schema, tools=[look_up], strict=True, include_raw=include_raw
    )
    results = [model.invoke("Hi") for _ in answers]
    if include_raw:
        assert results[0]["raw"].tool_calls[0]["name"] == "look_up"
        assert all(result["parsing_error"] is None for result in results)
        results = [result["parsed"] for result in results]
    expected = Joke(setup="x") if schema is Joke else {"setup": "x"}
    assert results == [None, *[expected] * (len(answers) - 1)]
    tool = service.bodies[0]["tools"][0]["function"]
    assert (tool["name"], tool["strict"]) == ("look_up", True)
    if include_raw:
        assert "Neither." in str(model.invoke("Hi")["parsing_error"])
    else:
        with pytest.raises(OutputParserException, match=r"Neither\."):
            model.invoke("Hi")


# --- Names, parameters and estimates -------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "call", "expected"),
    [
        ({"temperature": 0}, {}, {"ls_temperature": 0}),
        ({"temperature": 1}, {"temperature": 0.5}, {"ls_temperature": 0.5}),
        ({"temperature": 1}, {"temperature": None}, {}),
        ({"max_completion_tokens": 6}, {}, {"ls_max_tokens": 6}),
        ({"max_tokens": 5}, {"max_tokens": 7}, {"ls_max_tokens": 7}),
        ({"stop": "a"}, {}, {"ls_stop": ["a"]}),
        ({"stop": "a"}, {"stop_sequences": ["b"]}, {"ls_stop": ["b"]}),
        ({"stop": "a"}, {"stop": []}, {}),
        ({}, {"model_name": "gpt-5.2"}, {"ls_model_name": "gpt-5.2"}),
        ({}, {"model": None, "tools": []}, {}),
    ],
)
def test_langsmith_parameters(fields: Json, call: Json, expected: Json) -> None:
    sent = make_model(**fields)._get_ls_params(**call)
    always = {"ls_provider": "pmock", "ls_model_type": "chat"}
    assert sent == {**always, "ls_model_name": "gpt-5.1", **expected}


def test_names_and_versions() -> None:
    model = make_model()
    assert model._llm_type == "pmock-chat"
    assert model.metadata is not None
    assert model.metadata["lc_versions"]["langchain-pmock"] == __version__
    assert (make_model(metadata={"mine": 1}).metadata or {})["mine"] == 1


def test_repr_has_what_is_set_and_no_secret() -> None:
    model = make_model(
        temperature=0.5,
        metadata={"mine": 1},
        n=1,
        default_headers={"authorization": SECRET},
        http_client=httpx2.Client(),
    )
    assert repr(model) == "ChatPmock(model='gpt-5.1', temperature=0.5, n=1)"
    assert str(model) == "model='gpt-5.1' temperature=0.5 n=1"
    assert "base_url='https://host.invalid'" in repr(
        make_model(base_url="https://host.invalid")
    )


@pytest.mark.parametrize(
    ("fields", "call", "expected"),
    [
        ({"stop": "a"}, {}, "a"),
        ({"stop": ["a"]}, {"stop_sequences": ["b"]}, ["b"]),
        ({"stop": ["a"]}, {"stop": []}, None),
    ],
)
async def test_traces_have_the_stop_that_was_sent(
    fields: Json, call: Json, expected: object
) -> None:
    observer = Observer()
    service = Service(WHOLE, WHOLE, STREAM, STREAM)
    await by_all_ways(service.model(callbacks=[observer], **fields), **call)
    assert [body.get("stop") for body in service.bodies] == [expected] * 4
    assert [params["stop"] for params in observer.params] == [expected] * 4


def test_token_counts() -> None:
    model = make_model()
    text = "How many tokens are these?"
    assert model.get_num_tokens(text) == count_text_tokens(text) > 0
    tools = [{"name": "f", "description": "Do it."}]
    count = model.get_num_tokens_from_messages(MESSAGES, tools)
    assert count == count_message_tokens(MESSAGES, tools)
    assert count > model.get_num_tokens_from_messages(MESSAGES) > 0
    own = make_model(custom_get_token_ids=lambda text: [*range(len(text))])
    assert own.get_num_tokens("four") == 4
    assert own.get_num_tokens_from_messages(MESSAGES) > 0


def test_wire_names_are_used_for_requests_and_counts() -> None:
    wire = Wire(tool_calls="tool_calls", reasoning_content="thoughts")
    call = {"name": "look_up", "args": {}, "id": "1"}
    thoughts = {"reasoning_content": "Hm. " * 50}
    answer = AIMessage("", tool_calls=[call], additional_kwargs=thoughts)
    service = Service(says())
    model = service.model(wire=wire)
    model.invoke([*MESSAGES, answer, ToolMessage("x", tool_call_id="1")])
    sent = service.bodies[0]["messages"][2]
    assert sent["tool_calls"][0]["id"] == "1"
    assert sent["thoughts"] == thoughts["reasoning_content"]
    count = model.get_num_tokens_from_messages([answer])
    assert count > service.model().get_num_tokens_from_messages([answer])


def test_constructor_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        pytest.fail("the constructor made a client")

    monkeypatch.setattr(httpx2, "create_ssl_context", forbidden)
    monkeypatch.setattr(httpx2.Client, "__init__", forbidden)
    monkeypatch.setattr(httpx2.AsyncClient, "__init__", forbidden)
    make_model().bind_tools([]).with_retry()
