"""The keys and the signatures are sent to the service, and are nowhere else."""

from __future__ import annotations

import json
import logging
import pickle
import pprint
import socket
import traceback
import warnings
from html import escape
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps
from langchain_core.tracers import BaseTracer
from pydantic import ValidationError

from langchain_pmock import ChatPmock, errors
from langchain_pmock._gateway import pools as _pools
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, PmockAuth
from tests.support.odd import Odd
from tests.support.raw_server import (
    CLOSE,
    RESET,
    STALL,
    RawRequest,
    RawServer,
    head,
    stream,
    whole,
)
from tests.support.wire import DONE, answer, delta, envelope, event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_core.tracers.schemas import Run

    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.asking import Ask
    from tests.support.calls import Calls
    from tests.support.raw_server import Answer, Step

pytestmark = pytest.mark.usefixtures("fast_retries")

ACCESS_KEY = "ak-example-access"
SECRET_KEY = "sk-example-secret"
MINE = "example-of-my-proxy"


def raw_model(server: RawServer, **fields: Any) -> ChatPmock:
    ours = {
        "model": "gpt-5.1",
        "base_url": server.url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "default_headers": {"Proxy-Authorization": MINE},
        "max_retries": 1,
        "timeout": 10,
    }
    return ChatPmock(**{**ours, **fields})


def secrets_of(server: RawServer) -> set[str]:
    tokens = {request.headers[ACCESS_TOKEN_HEADER] for request in server.requests}
    return {ACCESS_KEY, SECRET_KEY, MINE, *tokens}


def assert_none_in(text: str, secrets: set[str]) -> None:
    spellings = {s for secret in secrets for s in (secret, json.dumps(secret)[1:-1])}
    assert [found for found in spellings if found in text] == []


def chain_of(error: BaseException) -> Iterator[BaseException]:
    links: list[BaseException | None] = [error]
    seen: set[int] = set()
    while links:
        link = links.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            links += [link.__cause__, link.__context__]
            yield link


def everything_in(error: BaseException) -> str:
    """Write down all that an error knows."""
    texts = ["".join(traceback.format_exception(error))]
    for link in chain_of(error):
        texts += [repr(link), str(link), repr(link.args), repr(vars(link))]
        texts.append(pickle.dumps(link).decode("latin-1"))
        request = getattr(link, "_request", None)  # httpx's errors have it
        if request is not None:
            texts += [repr(request.headers.raw), repr(request.extensions)]
        response = getattr(link, "response", None)
        if response is not None:
            texts += [repr(response.headers.raw), response.text, str(response.history)]
            texts += [repr(response.request.headers.raw), repr(response.extensions)]
    return "\n".join(texts)


# --- Errors --------------------------------------------------------------------------

TRANSPORT_FAULTS = (
    Odd("reset", [RESET]),
    Odd("closed", [CLOSE]),
    Odd("no http", [b"GARBAGE\r\n\r\n", CLOSE]),
    Odd("half", [head(length=100) + b"{", CLOSE]),
    Odd("stalled", [STALL]),
    Odd("cut", [*stream(event(delta("Hel")))[:-1], 0.05, RESET]),
    Odd("gzip garbage", whole(b"no", headers={"Content-Encoding": "gzip"})),
    Odd("bad chunk", [head(), 0.02, b"zz\r\n", CLOSE]),
)


@pytest.mark.parametrize("odd", TRANSPORT_FAULTS, ids=str)
def test_transport_errors_show_no_secrets(ask: Ask, odd: Odd) -> None:
    with RawServer(odd.steps) as server:
        error = ask(raw_model(server, timeout=0.2, max_retries=0)).error
    assert isinstance(error, errors.PmockError)
    secrets = secrets_of(server)
    assert len(secrets) == 4
    assert_none_in(everything_in(error), secrets)
    # Services that collect errors collect the variables of all frames.
    frames = traceback.TracebackException.from_exception(error, capture_locals=True)
    assert_none_in("".join(frames.format()), secrets)


def test_connection_error_shows_no_secrets(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with RawServer([RESET]) as server:
        model = raw_model(server, base_url=f"http://127.0.0.1:{port}")
        error = ask(model).error
    assert isinstance(error, errors.PmockConnectionError)
    assert_none_in(everything_in(error), secrets_of(server))


def echo_of(request: RawRequest) -> str:
    return f"{request.headers} {ACCESS_KEY} {SECRET_KEY}"


ECHOES: dict[str, Callable[[RawRequest], Sequence[Step]]] = {
    "401": lambda r: whole(envelope(None, 401, echo_of(r)), "401 No"),
    "403 in 200": lambda r: whole(envelope(None, 403, echo_of(r))),
    "trace id": lambda r: whole(
        {"code": 500, "message": "", "data": None, "traceId": echo_of(r)}
    ),
    "web page": lambda r: whole(
        f"<html><body>{escape(echo_of(r))}</body></html>".encode(),
        "502 Bad Gateway",
        {"Content-Type": "text/html"},
    ),
    "not an envelope": lambda r: whole(json.dumps({"headers": r.headers}).encode()),
    "header": lambda r: whole(
        b"", "500 Oh", {"X-Echo": r.headers[ACCESS_TOKEN_HEADER] + ACCESS_KEY}
    ),
    "redirect": lambda r: whole(
        b"", "302 Found", {"Location": f"/?t={r.headers[ACCESS_TOKEN_HEADER]}"}
    ),
    "first event": lambda r: stream(event(envelope(None, 429, echo_of(r)))),
    "in mid-stream": lambda r: stream(
        event(delta("Hel")), event(envelope(None, 500, echo_of(r))), DONE
    ),
    "garbage in mid-stream": lambda r: stream(event(delta("Hel")), event(echo_of(r))),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_echoed_secrets_are_redacted(ask: Ask, echo: Answer) -> None:
    with RawServer(echo) as server:
        error = ask(raw_model(server, default_headers=None)).error
    assert isinstance(error, errors.PmockError)
    assert_none_in(everything_in(error), secrets_of(server) - {MINE})


# --- Redirects -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [302, 307])
def test_redirect_is_not_followed(status: int) -> None:
    with RawServer(whole(answer("caught"))) as elsewhere:
        location = {"Location": f"{elsewhere.url}/ai/chat/completions"}
        with (
            RawServer(whole(b"", f"{status} Moved", location)) as server,
            httpx2.Client(follow_redirects=True) as client,
        ):
            model = raw_model(server, http_client=client)
            with pytest.raises(errors.PmockResponseError, match="redirected to"):
                model.invoke("Hello")
            with pytest.raises(errors.PmockResponseError, match="redirected to"):
                list(model.stream("Hello"))
    assert elsewhere.requests == []
    assert ACCESS_KEY_HEADER not in client.headers


def test_shared_clients_hold_no_credentials(ask: Ask) -> None:
    with RawServer(whole(answer("Hello"))) as server:
        assert ask(raw_model(server)).text == "Hello"
    for client in _pools.shared_pools().clients:
        assert_none_in(repr(client.headers.raw), secrets_of(server))


def test_shared_clients_keep_no_cookies(calls: Calls) -> None:
    cookie = {"Set-Cookie": "session=of-someone; Path=/"}
    with RawServer(whole(answer("Hello"), headers=cookie)) as server:
        model = raw_model(server)
        in_turn = {"max_concurrency": 1}
        answers = calls.batch(model, ["Hello", "Hello"], config=in_turn)
    assert [message.text for message in answers] == ["Hello", "Hello"]
    assert "cookie" not in server.requests[1].headers


# --- Logs ----------------------------------------------------------------------------


def test_logs_at_debug(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "langchain_pmock", "langchain_core"):
        caplog.set_level(logging.DEBUG, logger=name)
    busy = ECHOES["first event"] if ask.streams else ECHOES["403 in 200"]
    with RawServer(
        [RESET],
        whole(envelope(None, 503, "busy"), "503 Busy"),
        ECHOES["401"],
        busy,
        whole(answer("Hello")),
    ) as server:
        ask(raw_model(server, max_retries=9, default_headers=None))
    assert len(server.requests) >= 4
    assert {r.name for r in caplog.records} >= {"langchain_pmock", "httpx2"}
    logged = "\n".join(
        f"{record.getMessage()} {record.args} {record.exc_info}"
        for record in caplog.records
    )
    assert_none_in(logged, secrets_of(server) - {MINE})


# --- Traces, caches, dumps -----------------------------------------------------------


class Keeper(BaseTracer):
    """Keeps all that LangChain tells of a run."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = ""

    def _persist_run(self, run: Run) -> None:
        self.kept += f"{vars(run)}{run!r}{run.serialized}{run.extra}{run.error}"
        self.kept += "".join(map(repr, run.events))


def test_traces(server: PmockServer, make_model: MakeModel, ask: Ask) -> None:
    keeper = Keeper()
    headers = {"Proxy-Authorization": MINE}
    model = make_model(default_headers=headers, callbacks=[keeper], temperature=0.5)
    assert ask(model).error is None
    server.fail(status=500, message=f"no such key: {server.access_key}")
    assert ask(model).error is not None
    assert "0.5" in keeper.kept  # it does keep what the model is
    assert "PmockAPIError" in keeper.kept
    tokens = {request.headers[ACCESS_TOKEN_HEADER] for request in server.requests}
    assert_none_in(keeper.kept, {server.access_key, server.secret_key, MINE, *tokens})


async def test_events_of_a_run(server: PmockServer, make_model: MakeModel) -> None:
    model = make_model(default_headers={"Proxy-Authorization": MINE})
    events = [repr(e) async for e in model.astream_events("Hello", version="v2")]
    assert len(events) > 3
    tokens = {request.headers[ACCESS_TOKEN_HEADER] for request in server.requests}
    secrets = {server.access_key, server.secret_key, MINE, *tokens}
    assert_none_in("".join(events), secrets)


def test_cache_keys(server: PmockServer, make_model: MakeModel, ask: Ask) -> None:
    cache = InMemoryCache()
    headers = {"Proxy-Authorization": MINE}
    assert ask(make_model(cache=cache, default_headers=headers)).error is None
    if not ask.streams:
        assert len(cache._cache) == 1
    kept = repr(cache._cache)
    assert_none_in(kept, {server.access_key, server.secret_key, MINE})


def test_forms_of_model_show_no_secrets() -> None:
    with RawServer(whole(answer("Hello"))) as server:
        model = raw_model(server)
        bound = model.bind(temperature=0.5)
        forms = [
            *(repr(model), str(model), pprint.pformat(model), f"{bound!r}"),
            *(repr(model.model_dump()), model.model_dump_json()),
            *(repr(dumpd(model)), dumps(model), dumps(bound), repr(model.to_json())),
            *(repr(model.asdict()), repr(model._identifying_params)),
            *(model._get_llm_string(), repr(model._get_ls_params())),
            repr(PmockAuth(ACCESS_KEY, SECRET_KEY)),
            repr(list(model.__repr_args__())),
        ]
        model.invoke("Hello")
    assert_none_in("\n".join(forms), secrets_of(server))
    assert "PMOCK_SECRET_KEY" in dumps(model)


def test_the_secret_key_is_never_sent(ask: Ask) -> None:
    with RawServer(whole(answer("Hello"))) as server:
        ask(raw_model(server))
    (request,) = server.requests
    assert SECRET_KEY not in f"{request.headers}{request.body!r}{request.target}"
    assert ACCESS_KEY not in request.body.decode()
    assert request.target == "/api/ai/chat/completions"


# --- Settings ------------------------------------------------------------------------


def model_at(base_url: str) -> ChatPmock:
    return ChatPmock(
        model="gpt-5.1",
        base_url=base_url,
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
    )


@pytest.mark.parametrize(
    "base_url",
    [
        "ai.pmock.invalid/api",
        "//ai.pmock.invalid/api",
        "ftp://ai.pmock.invalid/api",
        "file:///etc/hosts",
        "https://",
        "https://someone:example-word@ai.pmock.invalid/api",
        "https://example-word@ai.pmock.invalid/api",
        "http://someone:example-word@127.0.0.1/api",
        "https://someone:example-word/1@ai.pmock.invalid/api",
        "https://ai.pmock.invalid:65536/example-word@ai.pmock.invalid",
    ],
)
def test_invalid_base_url(base_url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        model_at(base_url)
    assert "base_url" in str(caught.value)
    assert "example-word" not in str(caught.value)
    assert_none_in(str(caught.value), {ACCESS_KEY, SECRET_KEY})


@pytest.mark.parametrize(
    "base_url",
    ["http://ai.pmock.invalid/api", "http://10.0.0.1", "http://127.0.0.1.evil.invalid"],
)
def test_plain_http_to_another_machine_warns(base_url: str) -> None:
    with pytest.warns(UserWarning, match="not encrypted"):
        model_at(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://ai.pmock.invalid/api",
        "http://localhost:8000/api",
        "http://127.0.0.1:8000",
        "http://127.8.8.8",
        "http://[::1]:8000/api",
    ],
)
def test_loopback_and_https_do_not_warn(base_url: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model_at(base_url)


@pytest.mark.parametrize(
    "fields",
    [
        {"acces_key": SECRET_KEY},
        {"secret_key": f"{SECRET_KEY}\nx"},
        {"access_key": [SECRET_KEY]},
        {"default_headers": {ACCESS_KEY_HEADER: SECRET_KEY}},
        {"default_headers": {"X-Mine": f"{SECRET_KEY}\nx"}},
        {"default_headers": {f"X-Mine: {SECRET_KEY}": ""}},
        {"model_kwargs": SECRET_KEY},
    ],
)
def test_validation_error_shows_no_secrets(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        ChatPmock(
            **{
                "model": "gpt-5.1",
                "access_key": ACCESS_KEY,
                "secret_key": SECRET_KEY,
                **fields,
            }
        )
    assert_none_in(str(caught.value) + repr(caught.value), {ACCESS_KEY, SECRET_KEY})


def test_key_is_stripped(ask: Ask) -> None:
    # It comes with keys that are read from files.
    with RawServer(whole(answer("Hello"))) as server:
        keys = {"access_key": f"{ACCESS_KEY}\n", "secret_key": f" {SECRET_KEY}\r\n"}
        assert ask(raw_model(server, **keys)).text == "Hello"
    assert server.requests[0].headers[ACCESS_KEY_HEADER] == ACCESS_KEY
