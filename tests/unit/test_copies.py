"""A model written down, copied, pickled, and told from others by a cache."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, loads
from pydantic import SecretStr

from langchain_pmock import ChatPmock
from tests.support.service import ACCESS_KEY, SECRET_KEY, Service, make_model, says

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.wire import Json

# langchain-core says so of `loads`.
pytestmark = pytest.mark.filterwarnings(
    "ignore::langchain_core._api.LangChainBetaWarning"
)

FIELDS: Json = {
    "temperature": 0.5,
    "max_tokens": 5,
    "stop": ["a"],
    "seed": 1,
    "logit_bias": {"1": 2.0},
    "model_kwargs": {"x": 1},
    "max_retries": 7,
    "timeout": 5.0,
    "base_url": "https://host.invalid",
}


def loaded(text: str) -> ChatPmock:
    model = loads(
        text,
        allowed_objects=[ChatPmock],
        valid_namespaces=["langchain_pmock"],
        secrets_map={"PMOCK_ACCESS_KEY": ACCESS_KEY, "PMOCK_SECRET_KEY": SECRET_KEY},
    )
    assert isinstance(model, ChatPmock)
    return model


def test_round_trip() -> None:
    model = make_model(**FIELDS)
    text = dumps(model)
    assert ACCESS_KEY not in text
    assert SECRET_KEY not in text
    again = loaded(text)
    assert again == model
    assert dumps(again) == text


def test_secrets_are_named_by_their_variables() -> None:
    kwargs = dumpd(make_model())["kwargs"]
    for name in ("access_key", "secret_key"):
        variable = f"PMOCK_{name.upper()}"
        assert kwargs[name] == {"lc": 1, "type": "secret", "id": [variable]}


def test_what_may_hold_secrets_is_not_written_down() -> None:
    headers = {"authorization": "do-not-show"}
    clients = {
        "http_client": httpx.Client(),
        "http_async_client": httpx.AsyncClient(),
    }
    model = make_model(default_headers=headers, **clients)
    assert not model.model_dump().keys() & {*clients, "default_headers"}
    for text in (dumps(model), str(model.model_dump()), model.model_dump_json()):
        assert "do-not-show" not in text
        assert SECRET_KEY not in text
    assert loaded(dumps(model)).http_client is None


def pickled(model: ChatPmock) -> ChatPmock:
    twin = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    assert isinstance(twin, ChatPmock)
    return twin


def deep(model: ChatPmock) -> ChatPmock:
    return model.model_copy(deep=True)


COPIES = [copy.copy, copy.deepcopy, ChatPmock.model_copy, deep, pickled]


@pytest.mark.parametrize("make_copy", COPIES)
def test_copies_are_equal_and_apart(make_copy: Callable[[Any], ChatPmock]) -> None:
    model = make_model(**FIELDS)
    twin = make_copy(model)
    assert twin == model
    twin.temperature = 2.0
    assert model.temperature == 0.5
    assert isinstance(twin.secret_key, SecretStr)
    assert twin.secret_key.get_secret_value() == SECRET_KEY


@pytest.mark.parametrize("make_copy", COPIES[:-1])
def test_copies_share_the_users_clients(
    make_copy: Callable[[Any], ChatPmock],
) -> None:
    service = Service(says())
    model = service.model(timeout=httpx.Timeout(5, connect=1))
    twin = make_copy(model)
    assert twin.http_client is model.http_client
    assert twin.http_async_client is model.http_async_client
    assert twin.invoke("Hi").text == "Hello"


def test_a_deep_copy_within_something_else() -> None:
    model = make_model(http_client=httpx.Client(), model_kwargs={"a": [1]})
    first, second = copy.deepcopy([model, model])
    assert first is second
    assert first.http_client is model.http_client
    assert first.model_kwargs == model.model_kwargs
    assert first.model_kwargs["a"] is not model.model_kwargs["a"]


def test_what_a_copy_changes_is_sent() -> None:
    service = Service(says())
    twin = service.model(temperature=0).model_copy(
        update={"model": "gpt-5.2", "temperature": 1, "base_url": "https://b.invalid"}
    )
    twin.invoke("Hi")
    assert service.bodies[0]["model"] == "gpt-5.2"
    assert service.bodies[0]["temperature"] == 1
    assert service.requests[0].url.host == "b.invalid"


# --- Caches --------------------------------------------------------------------------


def key_of(model: ChatPmock, **kwargs: Any) -> str:
    return model._get_llm_string(**kwargs)


@pytest.mark.parametrize("name", ["model", "temperature", "base_url", "model_kwargs"])
@pytest.mark.parametrize("way", ["copy", "deep copy", "assignment"])
def test_a_changed_model_has_another_cache_key(name: str, way: str) -> None:
    values = {
        "model": "gpt-5.2",
        "temperature": 1.5,
        "base_url": "https://other.invalid",
        "model_kwargs": {"x": 2},
    }
    model = make_model(**FIELDS)
    before = key_of(model)
    if way == "assignment":
        setattr(model, name, values[name])
    else:
        model = model.model_copy(update={name: values[name]}, deep=way == "deep copy")
    assert key_of(model) != before
    setattr(model, name, make_model(**FIELDS).__dict__[name])
    assert key_of(model) == before


def test_traces_show_the_fields_as_they_are() -> None:
    class Watcher(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Json, *_: Any, **__: Any) -> None:
            seen.append(serialized["kwargs"].get("temperature"))

    seen: list[float | None] = []
    model = Service(*[says()] * 3).model(callbacks=[Watcher()])
    model.invoke("Hi")
    model.model_copy(update={"temperature": 0.5}).invoke("Hi")
    model.temperature = 1
    model.invoke("Hi")
    assert seen == [None, 0.5, 1]


def test_equal_models_have_equal_cache_keys_without_secrets() -> None:
    model, twin = make_model(**FIELDS), make_model(**FIELDS)
    assert key_of(model) == key_of(twin)
    assert key_of(model, stop=["b"]) != key_of(model)
    assert key_of(model, temperature=1) != key_of(model)
    for secret in (ACCESS_KEY, SECRET_KEY):
        assert secret not in key_of(model)


def test_a_cache_answers_for_the_right_model() -> None:
    service = Service(says("first"), says("second"), says("third"))
    model = service.model(cache=InMemoryCache())
    assert [model.invoke("Hi").text for _ in range(2)] == ["first", "first"]
    twin = model.model_copy(update={"model": "gpt-5.2"})
    assert [twin.invoke("Hi").text for _ in range(2)] == ["second", "second"]
    model.temperature = 1
    assert model.invoke("Hi").text == "third"
    assert len(service.requests) == 3
