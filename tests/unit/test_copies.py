"""Copies of a model, its serialized forms, its cache keys, and the client it owns."""

import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps, loads
from pydantic import SecretStr

from langchain_pmock import ChatPmock, Param, Wire
from tests.support.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    fails,
    make_model,
    says,
)
from tests.support.wire import Json
from tests.unit.conftest import Change

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
    "timeout": httpx2.Timeout(5, connect=1),
    "base_url": "https://host.invalid",
}


class Mine(ChatPmock):
    top_k: Param[int] = None


def loaded(text: str) -> ChatPmock:
    model = loads(
        text,
        allowed_objects=[ChatPmock, Mine],
        valid_namespaces=["langchain_pmock", "tests"],
        secrets_map={"PMOCK_ACCESS_KEY": ACCESS_KEY, "PMOCK_SECRET_KEY": SECRET_KEY},
    )
    assert isinstance(model, ChatPmock)
    return model


def read_key() -> str:
    return "sk-do-not-show"


# --- Serialized forms ----------------------------------------------------------------


@pytest.mark.parametrize("kind", [ChatPmock, Mine])
def test_round_trip(kind: type[ChatPmock]) -> None:
    model = kind(**dict(make_model(**FIELDS)))
    text = dumps(model)
    assert ACCESS_KEY not in text
    assert SECRET_KEY not in text
    again = loaded(text)
    assert type(again) is kind
    assert again == model
    assert dumps(again) == text


@pytest.mark.parametrize("key", [SECRET_KEY, read_key])
def test_secrets_and_clients_are_not_serialized(key: Any) -> None:
    fields = {
        "default_headers": {"authorization": "do-not-show"},
        "http_client": httpx2.Client(),
        "http_async_client": httpx2.AsyncClient(),
    }
    model = make_model(access_key=key, secret_key=key, **fields)
    for name in ("access_key", "secret_key"):
        variable = {"lc": 1, "type": "secret", "id": [f"PMOCK_{name.upper()}"]}
        assert dumpd(model)["kwargs"][name] == variable
    assert not model.model_dump().keys() & fields.keys()
    for text in (dumps(model), str(model.model_dump()), model.model_dump_json()):
        assert "do-not-show" not in text
    again = loaded(dumps(model))
    assert again.access_key == SecretStr(ACCESS_KEY)
    assert again.http_client is None


# --- Copies --------------------------------------------------------------------------


def pickled(model: ChatPmock) -> ChatPmock:
    twin = pickle.loads(pickle.dumps(model))  # noqa: S301 - our own bytes
    assert isinstance(twin, ChatPmock)
    return twin


def deep(model: ChatPmock) -> ChatPmock:
    return model.model_copy(deep=True)


COPIES = [copy.copy, copy.deepcopy, ChatPmock.model_copy, deep, pickled]


@pytest.mark.parametrize("make_copy", COPIES)
def test_copies_are_equal_and_independent(
    make_copy: Callable[[Any], ChatPmock],
) -> None:
    model = make_model(**FIELDS, access_key=read_key)
    assert model._client is model._client
    twin = make_copy(model)
    assert twin == model
    twin.temperature = 2.0
    assert model.temperature == 0.5
    assert isinstance(twin.secret_key, SecretStr)
    assert twin.secret_key.get_secret_value() == SECRET_KEY
    assert twin.access_key is read_key
    if make_copy is not pickled:  # which has no clients
        service = Service(says())
        twin = make_copy(service.model(timeout=5))
        assert twin.http_async_client is not None
        assert twin.invoke("Hi").text == "Hello"


# --- What depends on a setting -------------------------------------------------------


def key_of(model: ChatPmock, **kwargs: Any) -> str:
    return model._get_llm_string(**kwargs)


# A setting, and whether the client of the model and its cache key depend on it.
CHANGES: list[tuple[str, Any, bool, bool]] = [
    ("access_key", "ak-other", True, False),
    ("api_secret", "sk-other", True, False),
    ("http_client", None, True, False),
    ("base_url", "https://other.invalid", True, True),
    ("max_retries", 5, True, True),
    ("stream_chunk_timeout", 5, True, True),
    ("max_response_bytes", 5, True, True),
    ("model", "gpt-5.2", False, True),
    ("temperature", 1.5, False, True),
    ("model_kwargs", {"x": 2}, False, True),
    ("wire", Wire(tool_calls="tool_calls"), False, True),
    ("default_headers", {"x-tenant": "alice"}, False, True),
]


@pytest.mark.parametrize(("name", "value", "in_client", "in_key"), CHANGES)
def test_client_and_cache_key_change_with_their_settings(
    name: str, value: Any, change: Change, *, in_client: bool, in_key: bool
) -> None:
    model = make_model(**FIELDS)
    client, key = model._client, key_of(model)
    changed = change(model, name, value)
    assert (key_of(changed) != key) == in_key
    if in_client or changed is model:
        assert (changed._client is not client) == in_client
    back = change(changed, name, getattr(make_model(**FIELDS), name))
    assert key_of(back) == key


def test_client_and_keys_die_with_their_model() -> None:
    service = Service(fails(401, status=401), says())
    model = service.model()
    model.invoke("Hi")
    owned = (model._client, model._client._signer, model.access_key, model.secret_key)
    observed = [weakref.ref(each) for each in owned]
    service.requests.clear()
    gc.disable()
    try:
        del model, owned
        assert [each() for each in observed] == [None] * 4
    finally:
        gc.enable()


def test_cache_key_has_a_digest_of_the_headers() -> None:
    def tenant(name: str, **fields: Any) -> str:
        return key_of(make_model(default_headers={"X-Tenant": name}, **fields))

    model, headers = make_model(), {"x-tenant": "alice"}
    assert tenant("alice") == key_of(model, extra_headers=headers)
    # The same in each process.
    assert "95644596" in tenant("alice")
    # Two access keys share their entries; guessing a short value takes the secret key.
    assert tenant("alice") == tenant("alice", access_key="ak-other")
    others = [
        tenant("bob"),
        key_of(model, extra_headers={"x-other": "alice"}),
        tenant("alice", secret_key="sk-other"),
        tenant("alice", secret_key=read_key),
        key_of(model),
        key_of(model, stop=["b"]),
        key_of(model, temperature=1),
    ]
    assert len({tenant("alice"), *others}) == len(others) + 1
    for secret in (ACCESS_KEY, SECRET_KEY, "alice"):
        assert secret not in tenant("alice")


def test_cache_answers_for_the_right_model_and_tenant() -> None:
    service = Service(*map(says, ("1", "2", "alice", "bob")))
    model = service.model(cache=InMemoryCache())
    twin = model.model_copy(update={"model": "gpt-5.2"})
    assert [m.invoke("Hi").text for m in (model, twin, model, twin)] == [*"1212"]
    for name in ("alice", "bob"):
        headers: Any = {"extra_headers": {"x-tenant": name}}
        own = model.model_copy(update={"default_headers": headers["extra_headers"]})
        asked = [model.invoke("Hi", **headers), model.bind(**headers).invoke("Hi")]
        assert [each.text for each in (*asked, own.invoke("Hi"))] == [name] * 3
    assert len(service.requests) == 4
