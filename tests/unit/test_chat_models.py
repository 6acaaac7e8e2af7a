"""`ChatPmock` as LangChain calls it, and what it says of itself."""

from __future__ import annotations

import inspect
import re
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, get_type_hints

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
)
from langchain_core.runnables import ConfigurableField
from pydantic import BaseModel

from langchain_pmock import (
    ChatPmock,
    PmockAPIError,
    PmockInvalidRequestError,
    __version__,
)
from langchain_pmock._request.tokens import count_message_tokens, count_text_tokens
from langchain_pmock.data._profiles import get_profile
from tests.support.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    fails,
    make_model,
    says,
    streams,
    whole,
)
from tests.support.wire import choice_of, chunk_of, data_of, envelope, events

if TYPE_CHECKING:
    from tests.support.wire import Json

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


# --- Asking --------------------------------------------------------------------------


async def test_all_four_ways_give_the_same_message() -> None:
    service = Service(WHOLE, WHOLE, STREAM, STREAM)
    model = service.model()
    answers = [
        model.invoke(MESSAGES),
        await model.ainvoke(MESSAGES),
        reduce(add, model.stream(MESSAGES)),
        reduce(add, [chunk async for chunk in model.astream(MESSAGES)]),
    ]
    for answer in answers:
        assert isinstance(answer, AIMessage)
        assert answer.content == TEXT
        assert answer.usage_metadata == {
            "input_tokens": 3,
            "output_tokens": 4,
            "total_tokens": 7,
        }
        # LangChain puts what callbacks read into the metadata too, if not streamed.
        metadata = dict(answer.response_metadata)
        usage = metadata.pop("token_usage", None)
        assert (usage is None) == isinstance(answer, AIMessageChunk)
        assert metadata == {
            "id": "chatcmpl-1",
            "model_provider": "pmock",
            "model_name": "gpt-5.1",
            "finish_reason": "stop",
            "created": 1768809934,
            "trace_id": "trace-1",
        }
        assert answer.id == "chatcmpl-1"
    streamed = {**SENT, "stream": True}
    assert service.bodies == [SENT, SENT, streamed, streamed]


async def test_streaming_makes_invoke_stream() -> None:
    service = Service(STREAM)
    model = service.model(streaming=True)
    assert model.invoke(MESSAGES).content == TEXT
    assert (await model.ainvoke(MESSAGES)).content == TEXT
    assert service.bodies == [{**SENT, "stream": True}] * 2


class Tokens(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        self.seen.append(token)


def test_callbacks_get_each_token() -> None:
    tokens = Tokens()
    list(Service(STREAM).model().stream("Hi", {"callbacks": [tokens]}))
    assert "".join(tokens.seen) == TEXT
    assert len(tokens.seen) == len(TEXT) + 1  # and the last chunk


@pytest.mark.parametrize("switch", [{"disable_streaming": True}, {"streaming": False}])
def test_streaming_can_be_switched_off(switch: Json) -> None:
    service = Service(WHOLE)
    (chunk,) = [chunk for chunk in service.model(**switch).stream("Hi") if chunk.text]
    assert chunk.text == TEXT
    assert "stream" not in service.bodies[0]


def test_batch() -> None:
    service = Service(says())
    answers = service.model().batch([f"Question {n}" for n in range(10)])
    assert [answer.text for answer in answers] == ["Hello"] * 10
    assert len(service.requests) == 10


@pytest.mark.parametrize("given", ["constructor", "call"])
def test_several_answers(given: str) -> None:
    choices = [
        choice_of({"content": text}) | {"index": n} for n, text in enumerate("ab")
    ]
    service = Service(whole(envelope(data_of(*choices, usage=USAGE))))
    params: Json = {"n": 2}
    model = service.model(**(params if given == "constructor" else {}))
    result = model.generate([MESSAGES], **(params if given == "call" else {}))
    assert [generation.text for generation in result.generations[0]] == ["a", "b"]
    assert service.bodies[0]["n"] == 2


@pytest.mark.parametrize("given", ["constructor", "call"])
async def test_several_answers_cannot_be_streamed(given: str) -> None:
    service = Service(STREAM)
    params: Json = {"n": 2}
    model = service.model(**(params if given == "constructor" else {}))
    kwargs = params if given == "call" else {}
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        list(model.stream("Hi", **kwargs))
    with pytest.raises(ValueError, match="n=2 cannot be streamed"):
        async for _ in model.astream("Hi", **kwargs):
            pass
    assert not service.requests


@pytest.mark.parametrize("streaming", [False, True])
def test_no_messages(streaming: bool) -> None:
    service = Service(says())
    with pytest.raises(ValueError, match=r"messages=\[\] is not valid"):
        service.model(streaming=streaming).invoke([])
    assert not service.requests


@pytest.mark.usefixtures("fast_retries")
def test_max_retries() -> None:
    service = Service(fails(500), fails(500), says())
    assert service.model(max_retries=2).invoke("Hi").text == "Hello"
    service = Service(fails(500), fails(500), says())
    with pytest.raises(PmockAPIError):
        service.model(max_retries=1).invoke("Hi")


def test_parameters_of_a_stream_are_checked_before_anything_is_sent() -> None:
    service = Service(STREAM)
    with pytest.raises(ValueError, match="temperature=9 is not valid"):
        list(service.model().stream("Hi", temperature=9))
    assert not service.requests


def test_langchains_own_switch_is_no_parameter() -> None:
    service = Service(STREAM, WHOLE)
    model = service.model()
    assert model.invoke("Hi", stream=True).content == TEXT
    assert model.invoke("Hi", stream=False).content == TEXT


def test_a_configurable_field_keeps_streaming_working() -> None:
    service = Service(STREAM)
    model = service.model().configurable_fields(
        temperature=ConfigurableField(id="heat")
    )
    chunks = [*model.stream("Hi", {"configurable": {"heat": 1.5}})]
    assert len(chunks) == len(TEXT) + 1
    assert service.bodies[0]["temperature"] == 1.5


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
    if bound:
        await by_all_ways(model.bind(**given))
    else:
        await by_all_ways(model, **given)
    for request in service.requests:
        assert request.headers.get_list("x-mine") == ["2"]
        assert request.headers["x-kept"] == "1"
    assert service.timeouts == [dict.fromkeys(TIMEOUTS, 3)] * 4
    assert all(not body.keys() & given.keys() for body in service.bodies)
    assert model.default_headers == {"X-Mine": "1", "X-Kept": "1"}


TIMEOUTS = ("connect", "read", "write", "pool")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, dict.fromkeys(TIMEOUTS, 7)),
        (
            {"timeout": httpx.Timeout(5, connect=1)},
            {**dict.fromkeys(TIMEOUTS, 5), "connect": 1},
        ),
        ({"request_timeout": 2}, dict.fromkeys(TIMEOUTS, 2)),
        ({"timeout": None}, {**dict.fromkeys(TIMEOUTS, 600), "connect": 30}),
    ],
)
def test_timeout_of_a_call(given: Json, expected: Json) -> None:
    service = Service(WHOLE)
    service.model(timeout=7).invoke("Hi", **given)
    assert service.timeouts == [expected]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"timeout": 0}, "timeout=0 is not valid"),
        ({"timeout": "soon"}, "timeout='soon' is not valid"),
        ({"model_kwargs": "sk-do-not-show"}, "model_kwargs is not valid"),
        (
            {"extra_headers": {"X-Mine": "sk-do-not-show\n1"}},
            r"extra_headers\['X-Mine'\] must",
        ),
        (
            {"extra_headers": {"X-Mine": ["sk-do-not-show"]}},
            "extra_headers is not valid",
        ),
        ({"extra_headers": "sk-do-not-show"}, "extra_headers is not valid"),
        ({"extra_headers": {"X: sk-do-not-show": ""}}, "extra_headers: the name"),
        (
            {"extra_headers": {"Wuinai-Access-Key": "sk-do-not-show"}},
            "must not have 'Wuinai-Access-Key'",
        ),
        (
            {"extra_headers": {"wuinai-access-token": "x"}},
            "must not have 'wuinai-access-token'",
        ),
        ({"extra_headers": {"content-length": "1"}}, "must not have 'content-length'"),
        (
            {"extra_headers": {"Transfer-Encoding": "x"}},
            "must not have 'Transfer-Encoding'",
        ),
        ({"extra_headers": {"Host": "x"}}, "must not have 'Host'"),
        ({"extra_headers": {"Expect": "x"}}, "must not have 'Expect'"),
        ({"extra_headers": {"Connection": "x"}}, "must not have 'Connection'"),
    ],
    ids=str,
)
def test_what_a_call_refuses_is_not_sent(given: Json, problem: str) -> None:
    service = Service(WHOLE)
    with pytest.raises(PmockInvalidRequestError, match=problem) as caught:
        service.model().invoke("Hi", **given)
    assert "do-not-show" not in str(caught.value)
    assert caught.value.status_code is None
    assert not service.requests


# --- Calls: what is refused ----------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        {"temperature": 9},
        {"unknown": 1},
        {"max_retries": 1},
        {"tools": [5]},
        {"tool_choice": "nobody"},
        {"tool_choice": "any"},
        {"response_format": 5},
        {"model_kwargs": {"temperature": 9}},
        {"model_kwargs": {"x": object()}},
        {"stop": 5},
        {"logit_bias": {"a": float("nan")}},
    ],
    ids=str,
)
async def test_what_is_refused_is_an_invalid_request(given: Json) -> None:
    service = Service(WHOLE)
    model = service.model()
    for call in (
        lambda: model.invoke("Hi", **given),
        lambda: [*model.stream("Hi", **given)],
        lambda: model.bind(**given).invoke("Hi"),
    ):
        with pytest.raises(PmockInvalidRequestError):
            call()
    with pytest.raises(ValueError):  # noqa: PT011 - as Python's own functions
        await model.ainvoke("Hi", **given)
    assert not service.requests


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [HumanMessage([{"type": "unknown"}])],
        [HumanMessage([{"type": "video", "url": "https://x.invalid"}])],
    ],
    ids=str,
)
def test_messages_that_are_refused_are_an_invalid_request(messages: list[Any]) -> None:
    service = Service(WHOLE)
    with pytest.raises(PmockInvalidRequestError):
        service.model().invoke(messages)
    assert not service.requests


def test_binding_refuses_at_once() -> None:
    model = make_model()
    for refused in (
        lambda: model.bind_tools([5]),  # type: ignore[list-item]
        lambda: model.bind_tools([], tool_choice="nobody"),
        lambda: model.bind_tools([], tool_choice="any"),
        lambda: model.with_structured_output(None),
        lambda: model.with_structured_output({}, method="magic"),  # type: ignore[call-overload]
        lambda: model.with_structured_output(5),  # type: ignore[call-overload]
    ):
        with pytest.raises(PmockInvalidRequestError):
            refused()


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


def test_tools_and_schemas_of_a_model_with_fallbacks() -> None:
    service = Service(fails(500), says('{"setup": "x"}'))
    first, second = service.model(timeout=httpx.Timeout(5)), service.model(model="b")
    model: Any = first.with_fallbacks([second])
    answer = model.with_structured_output(Joke).invoke("Hi")
    assert answer == Joke(setup="x")
    assert [body["model"] for body in service.bodies] == ["gpt-5.1", "b"]
    assert all("responseFormat" in body for body in service.bodies)
    service.answers.append(says())
    assert model.bind_tools([Joke]).invoke("Hi").tool_calls == []
    assert service.bodies[-1]["tools"][0]["function"]["name"] == "Joke"


# --- The method of structured output -------------------------------------------------


@pytest.mark.parametrize(
    ("name", "tools", "by_schema"),
    [
        ("gpt-5.1", False, True),
        ("gpt-5.1", True, True),
        ("some-new-model", False, True),
        ("some-new-model", True, True),
        ("gemini-3-pro", True, True),
        ("gemini-2.5-pro", False, True),
        ("gemini-2.5-pro", True, False),
        ("gemini-2.5-flash", True, False),
        ("claude-4.5", False, False),
        ("claude-4.5", True, False),
    ],
)
def test_the_method_is_one_that_the_model_supports(
    name: str, tools: bool, by_schema: bool
) -> None:
    call = {"name": "Joke", "arguments": '{"setup": "x"}'}
    called = choice_of(
        {
            "content": None,
            "toolCalls": [{"id": "1", "type": "function", "function": call}],
        },
        "tool_calls",
    )
    service = Service(
        says('{"setup": "x"}') if by_schema else whole(envelope(data_of(called)))
    )
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


def test_the_profile_of_the_user_decides() -> None:
    service = Service(says("{}"))
    model = service.model(model="mine", profile={"structured_output": False})
    with pytest.raises(OutputParserException):
        model.with_structured_output(Joke).invoke("Hi")
    assert "tools" in service.bodies[0]
    with pytest.raises(OutputParserException):
        model.with_structured_output(Joke, method="json_schema").invoke("Hi")
    assert "responseFormat" in service.bodies[1]


@pytest.mark.parametrize("schema", [Joke, Joke.model_json_schema()])
@pytest.mark.parametrize("include_raw", [False, True])
def test_the_model_may_call_another_tool_instead(
    schema: Any, include_raw: bool
) -> None:
    def call(name: str, arguments: str) -> Json:
        function = {"name": name, "arguments": arguments}
        return {"id": name, "type": "function", "function": function}

    other, answer = call("look_up", '{"word": "x"}'), call("Joke", '{"setup": "x"}')
    answers = [[other], [other, answer], [answer]]
    service = Service(
        *(
            whole(envelope(data_of(choice_of({"content": "", "toolCalls": calls}))))
            for calls in answers
        ),
        says("Neither."),
    )
    model: Any = service.model(model="claude-4.5").with_structured_output(
        schema, tools=[look_up], include_raw=include_raw
    )
    results = [model.invoke("Hi") for _ in answers]
    if include_raw:
        assert [len(result["raw"].tool_calls) for result in results] == [1, 2, 1]
        assert all(result["parsing_error"] is None for result in results)
        results = [result["parsed"] for result in results]
    expected = Joke(setup="x") if schema is Joke else {"setup": "x"}
    assert results == [None, expected, expected]
    if include_raw:
        assert "Neither." in str(model.invoke("Hi")["parsing_error"])
    else:
        with pytest.raises(OutputParserException, match=r"Neither\."):
            model.invoke("Hi")


# --- What it says of itself ----------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "call", "expected"),
    [
        ({}, {}, {}),
        ({"temperature": 0}, {}, {"ls_temperature": 0}),
        ({"temperature": 1}, {"temperature": 0.5}, {"ls_temperature": 0.5}),
        ({"temperature": 1}, {"temperature": None}, {}),
        ({"max_tokens": 5}, {}, {"ls_max_tokens": 5}),
        ({"max_completion_tokens": 6}, {}, {"ls_max_tokens": 6}),
        ({"max_tokens": 5}, {"max_tokens": 7}, {"ls_max_tokens": 7}),
        ({"stop": ["a"]}, {}, {"ls_stop": ["a"]}),
        ({"stop": "a"}, {}, {"ls_stop": ["a"]}),
        ({"stop": "a"}, {"stop": ["b"]}, {"ls_stop": ["b"]}),
        ({"stop": "a"}, {"stop_sequences": ["b"]}, {"ls_stop": ["b"]}),
        ({"stop": "a"}, {"stop": []}, {}),
        ({}, {"model": "gpt-5.2"}, {"ls_model_name": "gpt-5.2"}),
        ({}, {"model_name": "gpt-5.2"}, {"ls_model_name": "gpt-5.2"}),
        ({}, {"model": None}, {}),
        ({}, {"tools": []}, {}),
    ],
)
def test_langsmith_params(fields: Json, call: Json, expected: Json) -> None:
    always = {
        "ls_provider": "pmock",
        "ls_model_type": "chat",
        "ls_model_name": "gpt-5.1",
    }
    assert make_model(**fields)._get_ls_params(**call) == {**always, **expected}


def test_identifying_params() -> None:
    model = make_model(temperature=0, stop=[], model_kwargs={"x": 1}, n=1)
    assert model._identifying_params == {
        "model": "gpt-5.1",
        "temperature": 0,
        "n": 1,
        "model_kwargs": {"x": 1},
        "base_url": "https://ai.pmock.com/api",
    }


def test_names() -> None:
    model = make_model()
    assert model._llm_type == "pmock-chat"
    assert model.get_lc_namespace() == ["langchain_pmock", "chat_models"]
    assert model.is_lc_serializable()
    assert model.lc_secrets == {
        "access_key": "PMOCK_ACCESS_KEY",
        "secret_key": "PMOCK_SECRET_KEY",
    }
    assert model.metadata is not None
    assert model.metadata["lc_versions"]["langchain-pmock"] == __version__
    assert "langchain-core" in model.metadata["lc_versions"]


def test_the_users_metadata_is_kept() -> None:
    mine = {"mine": 1}
    metadata = make_model(metadata=mine).metadata
    assert metadata is not None
    assert metadata["mine"] == 1
    assert metadata["lc_versions"]["langchain-pmock"] == __version__


def test_repr_shows_what_is_set_and_no_secret() -> None:
    client = httpx.Client()
    model = make_model(
        temperature=0.5,
        default_headers={"authorization": "do-not-show"},
        http_client=client,
    )
    for shown in (repr(model), repr(model.bind(stop=["a"]))):
        assert "gpt-5.1" in shown
        assert "temperature=0.5" in shown
        for secret in (ACCESS_KEY, SECRET_KEY, "do-not-show", "httpx.Client"):
            assert secret not in shown


def test_the_repr_is_short() -> None:
    model = make_model(temperature=0.5, metadata={"mine": 1}, n=1)
    assert repr(model) == "ChatPmock(model='gpt-5.1', temperature=0.5, n=1)"
    assert str(model) == "model='gpt-5.1' temperature=0.5 n=1"
    assert "base_url='https://host.invalid'" in repr(
        make_model(base_url="https://host.invalid")
    )


@pytest.mark.parametrize(
    ("fields", "call", "expected"),
    [
        ({}, {}, None),
        ({"stop": "a"}, {}, "a"),
        ({"stop": ["a"]}, {"stop": ["b"]}, ["b"]),
        ({"stop": ["a"]}, {"stop_sequences": ["b"]}, ["b"]),
        ({"stop": ["a"]}, {"stop": []}, None),
    ],
)
async def test_traces_have_what_was_sent_and_no_headers(
    fields: Json, call: Json, expected: object
) -> None:
    class Watcher(BaseCallbackHandler):
        def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            seen.append(kwargs["invocation_params"]["stop"])
            shown.append(f"{args} {kwargs}")

    seen: list[object] = []
    shown: list[str] = []
    service = Service(WHOLE, WHOLE, STREAM, STREAM)
    model = service.model(callbacks=[Watcher()], **fields)
    secret = {"extra_headers": {"X-Mine": "do-not-show"}, "timeout": 5}
    await by_all_ways(model, **call, **secret)
    assert [body.get("stop") for body in service.bodies] == [expected] * 4
    assert seen == [expected] * 4
    assert not any("do-not-show" in text for text in shown)


async def test_headers_are_in_no_cache_key() -> None:
    service = Service(says("first"), says("second"))
    cache = InMemoryCache()
    model = service.model(cache=cache)
    secret: Json = {"extra_headers": {"X-Mine": "do-not-show"}}
    for bound in (model, model.bind(**secret)):
        assert bound.invoke("Hi", **secret).text == "first"
        assert (await bound.ainvoke("Hi", **secret)).text == "first"
    assert service.requests[0].headers["x-mine"] == "do-not-show"
    assert "do-not-show" not in str(cache.__dict__)
    assert model.invoke("Hi", temperature=1, **secret).text == "second"
    assert len(service.requests) == 2


def test_bound_headers_are_neither_shown_nor_serialized() -> None:
    service = Service(says())
    bound = service.model().bind(extra_headers={"X-Mine": "do-not-show"})
    for runnable in (bound, bound.with_retry(), bound | str):
        shown = f"{runnable!r} {runnable} {dumps(runnable)}"
        assert "do-not-show" not in shown
        assert "X-Mine" in shown
    bound.invoke("Hi")
    assert service.requests[0].headers["x-mine"] == "do-not-show"


def test_the_docstring_lists_the_fields() -> None:
    rows = re.findall(r"^\s*\| `(\w+)` \|", ChatPmock.__doc__ or "", re.MULTILINE)
    ours = ChatPmock.model_fields.keys() - BaseChatModel.model_fields.keys()
    assert len(rows) == len(ours)
    assert set(rows) == ours


def test_profile() -> None:
    assert make_model().profile == get_profile("gpt-5.1")
    assert not make_model(model="some-new-model").profile


def test_token_counts() -> None:
    model = make_model()
    text = "How many tokens are these?"
    assert model.get_num_tokens(text) == count_text_tokens(text) > 0
    tools = [{"name": "f", "description": "Do it."}]
    count = model.get_num_tokens_from_messages(MESSAGES, tools)
    assert count == count_message_tokens(MESSAGES, tools)
    assert count > model.get_num_tokens_from_messages(MESSAGES) > 0


def test_the_users_own_tokenizer() -> None:
    model = make_model(custom_get_token_ids=lambda text: [*range(len(text))])
    assert model.get_num_tokens("four") == 4


def test_making_a_model_opens_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> None:
        pytest.fail("a model was made, and nothing asked yet")

    monkeypatch.setattr(httpx, "create_ssl_context", forbidden)
    monkeypatch.setattr(httpx.Client, "__init__", forbidden)
    monkeypatch.setattr(httpx.AsyncClient, "__init__", forbidden)
    make_model().bind_tools([]).with_retry()
