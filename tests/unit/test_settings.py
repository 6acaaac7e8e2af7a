"""What the constructor accepts: names, environment, keys, URL, headers, timeouts."""

import json
from typing import Any

import httpx
import httpx2
import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from langchain_pmock import ChatPmock
from tests.support.service import Service, make_model, says
from tests.unit.conftest import Change

SECRETS = ("ak-do-not-show", "sk-do-not-show")
ALIASES = {
    "model_name": "model",
    "stop_sequences": "stop",
    "api_key": "access_key",
    "api_secret": "secret_key",
    "request_timeout": "timeout",
    "extra_body": "model_kwargs",
}


def keys_of(model: ChatPmock) -> tuple[str, str]:
    """Both keys in plain text; the model has only secrets."""
    access_key, secret_key = model.access_key, model.secret_key
    assert isinstance(access_key, SecretStr)
    assert isinstance(secret_key, SecretStr)
    return access_key.get_secret_value(), secret_key.get_secret_value()


def test_aliases() -> None:
    model = make_model(model_name="gpt-5.2", stop_sequences=["a"], request_timeout=5)
    for alias, name in ALIASES.items():
        assert getattr(model, alias) is getattr(model, name)
    model.stop_sequences = ["b"]
    model.request_timeout = 6
    assert (model.stop, model.timeout) == (["b"], 6)
    keys: dict[str, Any] = {"api_key": "ak-other", "api_secret": "sk-other"}
    assert keys_of(ChatPmock(model="gpt-5.1", **keys)) == ("ak-other", "sk-other")


def test_model_can_be_the_field_of_another_model() -> None:
    class Holder(BaseModel):
        model: ChatPmock

    model = make_model()
    assert Holder(model=model).model is model


# --- Keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize(
    ("name", "alias", "other"),
    [("access_key", "api_key", "api_secret"), ("secret_key", "api_secret", "api_key")],
)
def test_missing_key_is_named_with_alias_and_variable(
    name: str, alias: str, other: str, value: str | None, monkeypatch: Any
) -> None:
    if value is not None:
        monkeypatch.setenv(f"PMOCK_{name.upper()}", value)
    keys: dict[str, Any] = {other: "x"}
    with pytest.raises(ValueError, match="1 validation error") as caught:
        ChatPmock(model="gpt-5.1", **keys)
    sentence = (
        f"Set the environment variable PMOCK_{name.upper()}, or pass {name} "
        f"(or {alias})."
    )
    assert sentence in str(caught.value)


@pytest.mark.parametrize("key", [" clé ", "clé\n", SecretStr("clé")])
def test_keys_are_strings_or_secrets(key: Any) -> None:
    assert keys_of(make_model(access_key=key, secret_key=key)) == ("clé", "clé")


async def test_keys_may_be_functions() -> None:
    """They are called for each request, and are in no form of the model."""
    numbers = iter(range(9))
    service = Service(says())
    model = service.model(
        access_key=lambda: f"ak-do-not-show-{next(numbers)}\n",
        secret_key=lambda: SecretStr("sk-do-not-show"),
        default_headers={"x-team": "1"},
    )
    forms = [repr(model), str(model.model_dump()), model._get_llm_string()]
    dumped = model.model_dump_json()
    assert json.loads(dumped)["access_key"] == "**********"
    assert "do-not-show" not in f"{forms} {dumped}"
    model.invoke("Hi")
    await model.ainvoke("Hi")
    sent = [request.headers["wuinai-access-key"] for request in service.requests]
    assert sent == ["ak-do-not-show-0", "ak-do-not-show-1"]
    model.access_key = lambda: "ak-other"
    model.invoke("Hi")
    assert service.requests[-1].headers["wuinai-access-key"] == "ak-other"


# --- URL -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (" https://host.invalid/a/b// ", "https://host.invalid/a/b"),
        ("https://host.invalid:8443/api", "https://host.invalid:8443/api"),
        ("https://[fe80::1]:65535", "https://[fe80::1]:65535"),
        ("https://my_gateway", "https://my_gateway"),
        (f"https://{'a' * 63}.invalid", f"https://{'a' * 63}.invalid"),
        ("https://host.invalid/@team", "https://host.invalid/@team"),
        ("", "https://ai.pmock.com/api"),
    ],
)
def test_base_url(given: str, used: str) -> None:
    service = Service(says())
    model = service.model(base_url=given)
    assert model.base_url == used
    model.invoke("Hi")
    assert service.requests[0].url == f"{used}/ai/chat/completions"


@pytest.mark.parametrize(
    "host", ["localhost", "app.localhost:8000", "127.1.2.3", "[::1]"]
)
def test_plain_http_on_this_machine(host: str) -> None:
    assert make_model(base_url=f"http://{host}").base_url == f"http://{host}"


@pytest.mark.parametrize(
    "host", ["host.invalid", "10.0.0.1", "notlocalhost", "host.invalid/sk-do-not-show@"]
)
def test_plain_http_elsewhere_causes_a_warning(host: str) -> None:
    fields: Any = {"base_url": f"http://{host}", "access_key": "ak", "secret_key": "sk"}
    with pytest.warns(UserWarning, match=r"is not encrypted: .* https://") as caught:
        ChatPmock(model="gpt-5.1", **fields)
    assert caught[0].filename == __file__
    assert SECRETS[1] not in str(caught[0].message)


# --- Headers -------------------------------------------------------------------------

RESERVED = ["wuinai-access-key", "Wuinai-Access-Token", "HOST", "content-length"]
HEADERS: list[tuple[dict[str, Any], str]] = [
    *(({name: "sk-do-not-show"}, f"must not have '{name}'") for name in RESERVED),
    *(
        ({"X-Good": "1", "X-Mine": f"sk-do-not-show{value}"}, r"\['X-Mine'\] must")
        for value in ("a\nb", "a\r\nX: b", "a\x00b", "a\tb", "a\x7f", "clé", "\ud800")
    ),
    *(
        ({"X-Good": "1", name: "sk-do-not-show"}, "the name at place 2")
        for name in ("", " X", "X Y", "X:", "X: sk-do-not-show", "X\n", "Clé", "X\0")
    ),
]


@pytest.mark.parametrize("field", ["default_headers", "extra_headers"])
@pytest.mark.parametrize(("headers", "problem"), HEADERS)
def test_invalid_header_is_refused_without_its_value(
    field: str, headers: dict[str, Any], problem: str
) -> None:
    accept = make_model if field == "default_headers" else make_model().bind
    with pytest.raises(ValueError, match=f"{field}.*{problem}") as caught:
        accept(**{field: headers})
    assert SECRETS[1] not in str(caught.value)


def test_headers_are_sent_stripped() -> None:
    service = Service(says())
    headers = {"X-Mine": " a b\r\n", "!#$%&'*+.^_`|~": "", "user-agent": "me"}
    service.model(default_headers=headers).invoke("Hi")
    sent = service.requests[0].headers
    assert sent["x-mine"] == "a b"
    assert sent["!#$%&'*+.^_`|~"] == ""
    assert sent.get_list("user-agent") == ["me"]
    assert sent["content-type"] == "application/json"


# --- Timeouts, clients and the rest --------------------------------------------------


PHASES = ("connect", "read", "write", "pool")
SEVEN = [library.Timeout(7, connect=1) for library in (httpx2, httpx)]


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (5, dict.fromkeys(PHASES, 5)),
        ("5", dict.fromkeys(PHASES, 5)),
        (httpx2.Timeout(None), dict.fromkeys(PHASES)),
        *((timeout, {**dict.fromkeys(PHASES, 7), "connect": 1}) for timeout in SEVEN),
        ({**dict.fromkeys(PHASES, 7), "connect": 1},) * 2,
    ],
)
def test_timeout(timeout: Any, expected: dict[str, float]) -> None:
    service = Service(says())
    model = service.model(timeout=timeout)
    assert isinstance(model.timeout, (float, httpx2.Timeout))
    model.invoke("Hi")
    service.model(timeout=9).invoke("Hi", timeout=timeout)
    service.model(timeout=9).invoke("Hi", request_timeout=timeout)
    assert service.timeouts == [expected] * 3
    model.invoke("Hi", timeout=None)
    default = {"connect": 30, "read": 600, "write": 600, "pool": 30}
    assert service.timeouts[3] == default


@pytest.mark.parametrize(
    "timeout",
    [0, -1, 10**400, "soon", float("nan"), {"unknown": 1}, {"connect": 1}, [1]],
    ids=str,
)
def test_invalid_timeout_is_one_problem(timeout: object) -> None:
    with pytest.raises(ValidationError) as caught:
        make_model(timeout=timeout)
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("timeout",)
    assert "must be a positive number of seconds" in problem["msg"]
    with pytest.raises(ValueError, match="timeout=") as refused:
        make_model().bind(timeout=timeout)
    assert str(refused.value).count("is not valid") == 1


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_clients_of_both_libraries_are_accepted(library: Any) -> None:
    client, async_client = library.Client(), library.AsyncClient()
    model = make_model(http_client=client, http_async_client=async_client)
    assert (model.http_client, model.http_async_client) == (client, async_client)
    wrong = rf"an httpx\.Client, not a {library.__name__}\.AsyncClient"
    with pytest.raises(ValidationError, match=wrong):
        make_model(http_client=async_client)


def test_max_retries_may_be_none() -> None:
    assert Service(says()).model(max_retries=None).invoke("Hi").text == "Hello"


# --- Assignment and copies -----------------------------------------------------------


@pytest.mark.parametrize("name", ["access_key", "api_key", "secret_key", "api_secret"])
def test_assigned_key_is_a_secret(name: str, change: Change) -> None:
    model = change(make_model(), name, "sk-do-not-show")
    assert "sk-do-not-show" in keys_of(model)
    for shown in (repr(model), str(model.model_dump()), model.model_dump_json()):
        assert "sk-do-not-show" not in shown
    for bad in ("", "a\nb", b"sk-do-not-show"):
        with pytest.raises(ValueError, match="key") as caught:
            change(model, name, bad)
        assert "do-not-show" not in str(caught.value)


def test_assigned_values_are_validated(change: Change) -> None:
    model = make_model(temperature=1)
    for name, value, problem in (
        ("temperature", 9, "temperature=9 is not valid"),
        ("stop_sequences", 5, "stop=5 is not valid"),
        ("model", "", "model='' is not valid"),
        ("model", None, "model=None is not valid"),
        ("base_url", "host.invalid", "must start with https://"),
        ("default_headers", {"wuinai-access-key": "x"}, "default_headers must not"),
        ("http_client", 5, "http_client must be an httpx2.Client"),
        ("temprature", 1, "no field"),
        *((name, value, f"^{name}.* is not valid") for name, value in VALUES),
    ):
        with pytest.raises(ValueError, match=problem):
            change(model, name, value)
    assert model == make_model(temperature=1)
    assert change(model, "temperature", None).temperature is None
    assert change(model, "model_kwargs", {"x": 1}).model_kwargs == {"x": 1}


def test_profile_follows_the_model(change: Change) -> None:
    model = change(make_model(model="gpt-5.1"), "model", "claude-4.5")
    assert model.profile == make_model(model="claude-4.5").profile
    own = change(make_model(profile={"max_input_tokens": 5}), "model", "claude-4.5")
    assert own.profile == {"max_input_tokens": 5}


# --- Invalid settings ----------------------------------------------------------------

URLS = [
    ("host.invalid/api", "base_url='host.invalid/api' must start with https://"),
    ("ftp://host.invalid", "must start with https://"),
    ("https://", "must start with https://"),
    ("https://host.invalid:port", "base_url is not a URL: Invalid port"),
    ("https://host.invalid/?a=sk-do-not-show", "neither a query nor a fragment"),
    ("https://host.invalid/#sk-do-not-show", "neither a query nor a fragment"),
    ("https://ak-do-not-show:sk-do-not-show@host.invalid", "credentials"),
    ("https://ak-do-not-show@host.invalid", "credentials"),
    ("ak-do-not-show:sk-do-not-show@host.invalid", "credentials"),
    # Unquoted, a slash ends the host, and the rest of a password is a path.
    ("https://host:sk-do-not-show/1@host.invalid", "base_url is not a URL"),
    ("https://host:0/sk-do-not-show@host.invalid", "base_url has an invalid port"),
    ("https://host.invalid:x?a=sk-do-not-show", "base_url is not a URL"),
    ("host.invalid/?a=sk-do-not-show", "neither a query nor a fragment"),
    ("https://[::1%é]", "base_url is not a URL"),
    ("https://[::g]", "base_url is not a URL: Invalid IPv6 address"),
    ("https://host.invalid:0", "an invalid port: it must be 1 to 655"),
    ("https://host.invalid:65536", "has an invalid port"),
    ("https://host invalid", "base_url='https://host invalid' has an invalid host"),
    (f"https://{'a' * 64}.invalid", "has an invalid host"),
]
NO_KEYS = [5, b"sk-do-not-show", ["sk-do-not-show"], "ak\nsk-do-not-show", "ak\x00"]
VALUES: list[tuple[str, object]] = [
    *(("max_retries", -1), ("max_retries", 1.5), ("stream_chunk_timeout", 0)),
    *(("max_response_bytes", 0), ("wire", 5), ("streaming", "perhaps")),
    ("default_headers", 5),
]
REFUSED: list[tuple[dict[str, Any], str]] = [
    *(({name: value}, f"\n{name}\n") for name, value in VALUES),
    ({"http_async_client": 5}, "not a builtins.int"),
    *(({"base_url": url}, problem) for url, problem in URLS),
    *(({"access_key": key}, "access_key must be a string") for key in NO_KEYS),
    *(({"secret_key": key}, "secret_key must be a string") for key in NO_KEYS),
    ({"temprature": 1}, "did you mean 'temperature'"),
    ({"acess_key": "ak-do-not-show"}, "did you mean 'access_key'"),
    ({"model": "x", "model_name": "x"}, "'model' is given twice"),
    ({"api_key": "twice"}, "'access_key' is given twice"),
    ({"default_headers": {"X-Mine": ["sk-do-not-show"]}}, "default_headers"),
    ({"default_headers": {"X-Mine": "sk-do-not-show\n"}, "timeout": 0}, "timeout"),
    ({"default_headers": {"X-Mine: sk-do-not-show": ""}}, "default_headers"),
    ({"default_headers": "sk-do-not-show"}, "default_headers"),
    ({"http_client": "sk-do-not-show"}, "http_client"),
    ({"model_kwargs": "sk-do-not-show"}, "model_kwargs"),
    ({"n": 2, "streaming": True}, "n=2 is not valid with streaming=True"),
]


@pytest.mark.parametrize(("fields", "problem"), REFUSED, ids=str)
def test_invalid_setting_is_refused_without_a_secret(
    fields: dict[str, Any], problem: str
) -> None:
    keys = {"access_key": SECRETS[0], "secret_key": SECRETS[1]}
    headers = {"default_headers": {"X-Mine": "sk-do-not-show"}}
    for model in ({"model": "gpt-5.1"}, {"model": 5}, {}):
        given: dict[str, Any] = {**model, **headers, **keys, **fields}
        with pytest.raises(ValidationError) as caught:
            ChatPmock(**given)
        error = caught.value
        assert problem in str(error) or model != {"model": "gpt-5.1"}
        shown = f"{error!r} {error.errors()} {error.json()} {error.args}"
        assert not any(secret in shown for secret in SECRETS)
        assert error.__context__ is error.__cause__ is None


def test_validation_error_has_values_of_parameters() -> None:
    with pytest.raises(ValidationError) as caught:
        make_model(temperature=9)
    (problem,) = caught.value.errors()
    expected = {"loc": ("temperature",), "input": 9, "type": "less_than_equal"}
    assert problem.items() >= expected.items()
