"""`ChatPmock` as LangChain calls it, and what it says of itself."""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import ConfigurableField

from langchain_pmock import PmockAPIError, __version__
from langchain_pmock._request.tokens import count_message_tokens, count_text_tokens
from langchain_pmock.data._profiles import get_profile
from tests.unit.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    choice_of,
    chunk_of,
    data_of,
    envelope,
    events,
    fails,
    make_model,
    says,
    streams,
    whole,
)

if TYPE_CHECKING:
    from tests.unit.service import Json

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
        assert answer.response_metadata == {
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


def test_max_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_pmock._gateway.retry._FIRST_WAIT", 0.0)
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
