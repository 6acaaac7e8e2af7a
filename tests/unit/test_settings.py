"""What the constructor takes: names, environment, keys, URL, headers, timeouts."""

from __future__ import annotations

import ast
import inspect
import logging
import sys
import warnings
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from langchain_pmock import ChatPmock, PmockError
from tests.support.service import (
    ACCESS_KEY,
    SECRET_KEY,
    Service,
    fails,
    make_model,
    says,
)

SECRETS = ("ak-do-not-show", "sk-do-not-show")


def keys_of(model: ChatPmock) -> tuple[str, str]:
    """Both keys in plain text; the model holds nothing but secrets."""
    access_key, secret_key = model.access_key, model.secret_key
    assert isinstance(access_key, SecretStr)
    assert isinstance(secret_key, SecretStr)
    return access_key.get_secret_value(), secret_key.get_secret_value()


def test_minimal() -> None:
    model = make_model()
    assert model.model == model.model_name == "gpt-5.1"
    assert model.base_url == "https://ai.pmock.com/api"
    assert model.max_retries == 2
    assert model.streaming is None
    assert keys_of(model) == (ACCESS_KEY, SECRET_KEY)


def test_other_names() -> None:
    model = make_model(
        model_name="gpt-5.2", stop_sequences=["a"], request_timeout=5, temperature=1
    )
    assert (model.model, model.stop, model.timeout) == ("gpt-5.2", ["a"], 5)
    keys: dict[str, Any] = {"api_key": "ak-other", "api_secret": "sk-other"}
    assert keys_of(ChatPmock(model="gpt-5.1", **keys)) == ("ak-other", "sk-other")


ALIASES = {
    "model_name": "model",
    "stop_sequences": "stop",
    "api_key": "access_key",
    "api_secret": "secret_key",
    "request_timeout": "timeout",
    "extra_body": "model_kwargs",
}


def test_other_names_can_be_read_and_set_too() -> None:
    model = make_model(stop=["a"], timeout=5)
    for alias, name in ALIASES.items():
        assert getattr(model, alias) is getattr(model, name)
    model.stop_sequences = ["b"]
    model.request_timeout = 6
    assert (model.stop, model.timeout) == (["b"], 6)


def test_type_checkers_know_the_other_names() -> None:
    class_ = ast.parse(inspect.getsource(ChatPmock)).body[0]
    assert isinstance(class_, ast.ClassDef)
    (only_checked,) = (
        node
        for node in class_.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    fields, aliases = (
        {
            ast.unparse(n.target): n.annotation
            for n in body
            if isinstance(n, ast.AnnAssign)
        }
        for body in (class_.body, only_checked.body)
    )
    # `model` has to be given there.
    assert aliases.keys() == ALIASES.keys() - {"model_name"}
    for alias, annotation in aliases.items():
        assert ast.unparse(annotation) == ast.unparse(fields[ALIASES[alias]])


@pytest.mark.parametrize(
    ("name", "alias"), [("model", "model_name"), ("access_key", "api_key")]
)
def test_two_names_of_one_field(name: str, alias: str) -> None:
    both = f"'{name}' and '{alias}' are the same parameter"
    with pytest.raises(ValueError, match=both):
        make_model(**{name: "x", alias: "y", "model": "x"})


def test_a_field_of_another_model() -> None:
    class Holder(BaseModel):
        model: ChatPmock

    model = make_model()
    assert Holder(model=model).model is model


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMOCK_ACCESS_KEY", "ak-env")
    monkeypatch.setenv("PMOCK_SECRET_KEY", "sk-env")
    monkeypatch.setenv("PMOCK_BASE_URL", "https://env.invalid/api/")
    model = ChatPmock(model="gpt-5.1")
    assert keys_of(model) == ("ak-env", "sk-env")
    assert model.base_url == "https://env.invalid/api"
    # What is given comes first.
    model = make_model(base_url="https://given.invalid")
    assert keys_of(model) == (ACCESS_KEY, SECRET_KEY)
    assert model.base_url == "https://given.invalid"


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_a_missing_key_says_which_variable_to_set(
    name: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: dict[str, Any] = {"access_key": "ak", "secret_key": "sk"}
    sentence = f"Set the environment variable PMOCK_{name.upper()}, or pass {name}."
    del keys[name]
    if value is not None:
        monkeypatch.setenv(f"PMOCK_{name.upper()}", value)
        with pytest.raises(ValueError, match=sentence):
            ChatPmock(model="gpt-5.1", **{**keys, name: value})
    with pytest.raises(ValueError, match=sentence):
        ChatPmock(model="gpt-5.1", **keys)


@pytest.mark.parametrize(
    "key", [" ak-spaces ", "ak-newline\n", SecretStr("ak-secret"), "clé"]
)
def test_keys_may_be_strings_or_secrets(key: Any) -> None:
    model = make_model(access_key=key, secret_key=key)
    plain = key.get_secret_value() if isinstance(key, SecretStr) else key
    assert keys_of(model) == (plain.strip(), plain.strip())


@pytest.mark.parametrize("key", [5, b"bytes", ["list"], "ak\nsk", "ak\x00"])
@pytest.mark.parametrize("name", ["access_key", "secret_key"])
def test_no_keys(name: str, key: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a string") as caught:
        make_model(**{name: key})
    assert str(key).strip("[]'b") not in str(caught.value).replace("variable", "")


def test_a_model_is_needed() -> None:
    with pytest.raises(ValidationError, match=r"model\s+Field required"):
        ChatPmock.model_validate({"access_key": "ak", "secret_key": "sk"})


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://host.invalid", "https://host.invalid"),
        ("https://host.invalid/", "https://host.invalid"),
        (" https://host.invalid/a/b// ", "https://host.invalid/a/b"),
        ("https://host.invalid:8443/api", "https://host.invalid:8443/api"),
        ("https://[::1]/api", "https://[::1]/api"),
        ("https://[fe80::1]:65535", "https://[fe80::1]:65535"),
        ("https://10.0.0.1:1", "https://10.0.0.1:1"),
        ("https://my_gateway", "https://my_gateway"),
        ("https://host.invalid.", "https://host.invalid."),
        (f"https://{'a' * 63}.invalid", f"https://{'a' * 63}.invalid"),
        ("https://host.invalid/@team", "https://host.invalid/@team"),
        ("", "https://ai.pmock.com/api"),
    ],
)
def test_base_url(given: str, used: str) -> None:
    assert make_model(base_url=given).base_url == used
    service = Service(says())
    service.model(base_url=given).invoke("Hi")
    assert service.requests[0].url == f"{used}/ai/chat/completions"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("host.invalid/api", "base_url='host.invalid/api' must start with https://"),
        ("ftp://host.invalid", "must start with https://"),
        ("https://", "must start with https://"),
        ("//host.invalid", "must start with https://"),
        ("https://host.invalid:port", "base_url is not a URL: Invalid port"),
        ("https://host.invalid/a\x00", "base_url is not a URL"),
        ("https://host.invalid/?a=sk-do-not-show", "neither a query nor a fragment"),
        ("https://host.invalid/#sk-do-not-show", "neither a query nor a fragment"),
        ("https://ak-do-not-show:sk-do-not-show@host.invalid", "credentials"),
        ("https://ak-do-not-show@host.invalid", "credentials"),
        ("ak-do-not-show:sk-do-not-show@host.invalid", "credentials"),
        ("//ak-do-not-show:sk-do-not-show@host.invalid", "credentials"),
        # Unquoted, a slash ends the host, and the rest of a password is a path.
        ("https://host:sk-do-not-show/1@host.invalid", "base_url is not a URL"),
        ("https://host:0/sk-do-not-show@host.invalid", "base_url has an invalid port"),
        ("https://host.invalid:x?a=sk-do-not-show", "base_url is not a URL"),
        ("host.invalid/?a=sk-do-not-show", "neither a query nor a fragment"),
        ("https://xn--a", "base_url is not a URL: Codepoint U+0080"),
        ("https://[::1%é]", "base_url is not a URL"),
        ("https://[::g]", "base_url is not a URL: Invalid IPv6 address"),
        ("https://host.invalid:0", "an invalid port: it must be 1 to 655"),
        (
            "https://host.invalid:65536",
            "base_url='https://host.invalid:65536' has an invalid p",
        ),
        ("https://host.invalid:-1", "an invalid port"),
        ("https://host invalid", "base_url='https://host invalid' has an invalid host"),
        ("https://host%20invalid", "has an invalid host"),
        ("https://host..invalid", "has an invalid host"),
        ("https://.host.invalid", "has an invalid host"),
        ("https://host,invalid", "has an invalid host"),
        (f"https://{'a' * 64}.invalid", "has an invalid host"),
    ],
)
def test_a_bad_base_url_is_refused_and_shows_no_credentials(
    url: str, problem: str
) -> None:
    with pytest.raises(ValueError, match="base_url") as caught:
        make_model(base_url=url)
    assert problem in str(caught.value)
    assert not any(secret in str(caught.value) for secret in SECRETS)


@pytest.mark.parametrize(
    "host",
    ["localhost", "app.localhost", "127.0.0.1", "127.1.2.3", "[::1]", "localhost:8000"],
)
def test_plain_http_on_this_machine_is_fine(host: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert make_model(base_url=f"http://{host}").base_url == f"http://{host}"


@pytest.mark.parametrize(
    "host", ["host.invalid", "10.0.0.1", "notlocalhost", "localhost.invalid"]
)
def test_plain_http_elsewhere_warns(host: str) -> None:
    with pytest.warns(UserWarning, match=r"is not encrypted: .* Use https://"):
        make_model(base_url=f"http://{host}")


def test_the_warning_shows_no_credentials() -> None:
    with pytest.warns(UserWarning, match="base_url is not encrypted") as caught:
        ChatPmock(
            model="gpt-5.1",
            base_url="http://host.invalid:1/sk-do-not-show@host.invalid",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
        )
    assert caught[0].filename == __file__
    assert SECRETS[1] not in str(caught[0].message)


@pytest.mark.parametrize(
    "name",
    [
        "wuinai-access-key",
        "Wuinai-Access-Token",
        "Connection",
        "content-length",
        "Expect",
        "HOST",
        "Transfer-Encoding",
    ],
)
def test_headers_that_are_not_the_users(name: str) -> None:
    with pytest.raises(ValueError, match=f"default_headers must not have '{name}'"):
        make_model(default_headers={name: "x"})


def test_the_headers_of_the_users_client_are_kept() -> None:
    service = Service(says())
    headers = {"Accept": "application/x", "X-Mine": "1"}
    client = httpx.Client(transport=httpx.MockTransport(service), headers=headers)
    service.model(http_client=client).invoke("Hi")
    sent = service.requests[0].headers
    assert sent.get_list("accept") == ["application/x"]
    assert sent["x-mine"] == "1"


def test_default_headers_are_sent() -> None:
    service = Service(says())
    service.model(default_headers={"X-Mine": "1", "user-agent": "me"}).invoke("Hi")
    headers = service.requests[0].headers
    assert headers.get_list("user-agent") == ["me"]
    assert headers["x-mine"] == "1"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    "value", ["a\nb", "a\r\nX-Mine: b", "a\x00b", "a\tb", "a\x7f", "clé", "\ud800"]
)
def test_a_header_that_cannot_be_sent_is_named_and_not_shown(value: str) -> None:
    headers = {"X-Good": "1", "X-Mine": f"sk-do-not-show{value}"}
    with pytest.raises(ValueError, match=r"default_headers\['X-Mine'\] must") as caught:
        make_model(default_headers=headers)
    assert value not in str(caught.value)
    assert SECRETS[1] not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", " X-Mine", "X Mine", "X-Mine:", "X-Mine: sk-do-not-show", "X\n", "Clé", "X\0"],
)
def test_a_header_without_a_right_name(name: str) -> None:
    with pytest.raises(ValueError, match="the name at place 2") as caught:
        make_model(default_headers={"X-Good": "1", name: "sk-do-not-show"})
    assert SECRETS[1] not in str(caught.value)


def test_the_space_around_a_header_is_dropped() -> None:
    service = Service(says())
    service.model(default_headers={"X-Mine": " a b\r\n", "!#$%&'*+.^_`|~": ""}).invoke(
        "Hi"
    )
    headers = service.requests[0].headers
    assert headers["x-mine"] == "a b"
    assert headers["!#$%&'*+.^_`|~"] == ""


@pytest.mark.parametrize(
    ("timeout", "expected"),
    [
        (None, {"connect": 30, "read": 600, "write": 600, "pool": 600}),
        (5, {"connect": 5, "read": 5, "write": 5, "pool": 5}),
        (
            httpx.Timeout(7, connect=1),
            {"connect": 1, "read": 7, "write": 7, "pool": 7},
        ),
        (
            httpx.Timeout(7, connect=1).as_dict(),
            {"connect": 1, "read": 7, "write": 7, "pool": 7},
        ),
    ],
)
def test_timeout(timeout: Any, expected: dict[str, float]) -> None:
    service = Service(says())
    service.model(timeout=timeout).invoke("Hi")
    assert service.timeouts == [expected]


def test_httpx2() -> None:
    httpx2 = pytest.importorskip("httpx2")
    service = Service(says())
    service.model(timeout=httpx2.Timeout(7, connect=1)).invoke("Hi")
    service.model().invoke("Hi", timeout=httpx2.Timeout(7, connect=1))
    expected = {"connect": 1, "read": 7, "write": 7, "pool": 7}
    assert service.timeouts == [expected, expected]
    with (
        httpx2.Client() as client,
        pytest.raises(ValidationError, match=r"an httpx\.Client, not a httpx2\.Client"),
    ):
        make_model(http_client=client)


def test_clients_that_are_none() -> None:
    with pytest.raises(ValidationError, match=r"httpx\.Client, not a httpx\.AsyncCli"):
        make_model(http_client=httpx.AsyncClient())
    with pytest.raises(
        ValidationError, match=r"httpx\.AsyncClient, not a builtins\.int"
    ):
        make_model(http_async_client=5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", "soon"),
        ("timeout", {"unknown": 1}),
        ("timeout", {"connect": 1}),
        ("max_retries", -1),
        ("max_retries", 1.5),
        ("stream_chunk_timeout", 0),
        ("max_response_bytes", 0),
        ("async_transport", "requests"),
        ("wire", 5),
        ("streaming", "perhaps"),
        ("default_headers", 5),
    ],
)
def test_other_bad_values_name_the_argument(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"\n{name}\n"):
        make_model(**{name: value})


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 9},
        {"unknown": 1},
        {"api_key": "twice"},
        {"base_url": "https://sk-do-not-show@host.invalid"},
        {"access_key": b"sk-do-not-show"},
        {"secret_key": ["sk-do-not-show"]},
        {"default_headers": {"X-Mine": ["sk-do-not-show"]}},
        {"default_headers": {"X-Mine": "sk-do-not-show\n"}, "timeout": 0},
        {"default_headers": {"X-Mine": "sk-do-not-show\n1"}},
        {"default_headers": "sk-do-not-show"},
        {"http_client": "sk-do-not-show"},
        {"model_kwargs": "sk-do-not-show"},
        {"n": 2, "streaming": True},
    ],
    ids=str,
)
def test_validation_errors_hold_no_secrets(fields: dict[str, Any]) -> None:
    keys = {"access_key": SECRETS[0], "secret_key": SECRETS[1]}
    headers = {"default_headers": {"X-Mine": "sk-do-not-show"}}
    for model in ({"model": "gpt-5.1"}, {"model": 5}, {}):
        given: dict[str, Any] = {**model, **headers, **keys, **fields}
        with pytest.raises(ValidationError) as caught:
            ChatPmock(**given)
        error = caught.value
        shown = f"{error!r} {error.errors()} {error.json()} {error.args}"
        assert not any(secret in shown for secret in SECRETS)
        assert error.__context__ is error.__cause__ is None


def test_validation_errors_keep_what_is_no_secret() -> None:
    with pytest.raises(ValidationError) as caught:
        make_model(temperature=9)
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("temperature",)
    assert problem["input"] == 9
    assert problem["type"] == "less_than_equal"


@pytest.mark.parametrize("name", ["access_key", "api_key", "secret_key", "api_secret"])
@pytest.mark.parametrize("way", ["assignment", "copy", "deep copy"])
def test_a_changed_key_is_a_secret(name: str, way: str) -> None:
    model = make_model()
    if way == "assignment":
        setattr(model, name, "sk-do-not-show")
    else:
        model = model.model_copy(
            update={name: "sk-do-not-show"}, deep=way == "deep copy"
        )
    assert "sk-do-not-show" in keys_of(model)
    for shown in (repr(model), str(model.model_dump()), model.model_dump_json()):
        assert "sk-do-not-show" not in shown
    for bad in ("", "a\nb", b"sk-do-not-show"):
        with pytest.raises(ValueError, match="key") as caught:
            setattr(model, name, bad)
        assert "do-not-show" not in str(caught.value)


def test_changed_headers_are_checked() -> None:
    model = make_model()
    with pytest.raises(ValueError, match="default_headers must not have"):
        model.default_headers = {"wuinai-access-key": "x"}
    with pytest.raises(ValueError, match=r"default_headers\['X-Mine'\] must"):
        model.model_copy(update={"default_headers": {"X-Mine": "a\nb"}})
    with pytest.raises(ValueError, match="no field"):
        model.model_copy(update={"temprature": 1})


@pytest.mark.parametrize("way", ["assignment", "copy"])
def test_changed_parameters_are_checked(way: str) -> None:
    def change(name: str, value: object) -> ChatPmock:
        if way == "copy":
            return model.model_copy(update={name: value})
        setattr(model, name, value)
        return model

    model = make_model(temperature=1)
    for name, value in (("temperature", 9), ("stop_sequences", 5), ("model", "")):
        with pytest.raises(ValueError, match="is not valid"):
            change(name, value)
    with pytest.raises(ValueError, match="must start with https://"):
        change("base_url", "host.invalid")
    assert model == make_model(temperature=1)
    assert change("temperature", 0.5).temperature == 0.5
    assert change("temperature", None).temperature is None
    assert change("model_kwargs", {"x": 1}).model_kwargs == {"x": 1}


@pytest.mark.parametrize("way", ["assignment", "copy"])
def test_another_model_has_another_profile(way: str) -> None:
    model = make_model(model="gpt-5.1")
    own = make_model(profile={"max_input_tokens": 5})
    if way == "copy":
        model = model.model_copy(update={"model": "claude-4.5"})
        own = own.model_copy(update={"model": "claude-4.5"})
    else:
        model.model = own.model = "claude-4.5"
    assert model.profile == make_model(model="claude-4.5").profile
    assert own.profile == {"max_input_tokens": 5}


def test_aiohttp_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_model().async_transport == "httpx"
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ValidationError, match=r"langchain-pmock\[aiohttp\]"):
        make_model(async_transport="aiohttp")


def test_the_default_number_of_retries() -> None:
    assert make_model(max_retries=None).max_retries is None
    service = Service(fails(400))
    with pytest.raises(PmockError):
        service.model(max_retries=None).invoke("Hi")


def test_n_with_streaming() -> None:
    with pytest.raises(ValueError, match="n=2 is not valid with streaming=True"):
        make_model(n=2, streaming=True)
    make_model(n=1, streaming=True)
    make_model(n=2, streaming=False)


def test_no_secret_in_the_text_of_any_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    access_key, secret_key = SECRETS
    keys = {"access_key": access_key, "secret_key": secret_key}
    bad: list[dict[str, Any]] = [
        {"temperature": 9},
        {"temprature": 1},
        {"base_url": "x"},
        {"timeout": -1},
        {"default_headers": {"wuinai-access-token": secret_key}},
        {"default_headers": {"X-Mine": f"{secret_key}\n1"}},
        {"default_headers": {f"X-Mine: {secret_key}": ""}},
        {"secret_key": [secret_key]},
        {"access_key": f"{access_key}\n{secret_key}"},
        {"acess_key": access_key},
    ]
    texts = []
    for params in bad:
        with pytest.raises(ValueError, match="error") as caught:
            make_model(**{**keys, **params})
        texts += [str(caught.value), repr(caught.value)]
    service = Service(fails(401, f"unknown key {access_key} {secret_key}"))
    model = service.model(**keys)
    with pytest.raises(PmockError, match="unknown key") as refused:
        model.invoke("Hi")
    texts += [str(refused.value), repr(refused.value), repr(model), caplog.text]
    token = service.requests[0].headers["wuinai-access-token"]
    assert not any(secret in " ".join(texts) for secret in (*SECRETS, token))
