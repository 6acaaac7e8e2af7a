"""Keys, signatures and header values are sent to the service, and appear nowhere else.

How keys are checked and redacted is in `tests/unit`; here, what a socket adds.
"""

from __future__ import annotations

import json
import logging
import pickle
from typing import TYPE_CHECKING

import httpx2
import pytest

from langchain_pmock import errors
from langchain_pmock._gateway import pools
from langchain_pmock.auth import ACCESS_TOKEN_HEADER
from tests.support.calls import model_of
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
from tests.support.service import all_about
from tests.support.wire import HELLO, answer, envelope, event

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from langchain_pmock.testing import PmockServer
    from tests.support.calls import Ask, Calls
    from tests.support.raw_server import Answer, Step

pytestmark = pytest.mark.usefixtures("fast_retries")

ACCESS_KEY, SECRET_KEY = RawServer.access_key, RawServer.secret_key
HEADER_VALUE = "example-of-my-proxy"
PASSWORD = "example-password"
HEADERS = {"Proxy-Authorization": HEADER_VALUE}


def secrets_of(server: RawServer | PmockServer) -> set[str]:
    return {server.access_key, server.secret_key, HEADER_VALUE, PASSWORD}.union(
        request.headers[ACCESS_TOKEN_HEADER]
        for request in server.requests
        if ACCESS_TOKEN_HEADER in request.headers
    )


def assert_no_secrets(text: str, server: RawServer | PmockServer) -> None:
    secrets = secrets_of(server)
    secrets |= {json.dumps(secret)[1:-1] for secret in secrets}
    assert [secret for secret in secrets if secret in text] == []


def everything_in(error: BaseException) -> str:
    """Return all that an error tracker or another process may see of an error."""
    pickled = pickle.dumps(error).decode("latin-1")
    return f"{all_about(error, frames_left_out='^$')}\n{pickled}"


# --- Errors --------------------------------------------------------------------------


def echo(request: RawRequest) -> str:
    return f"{request.headers} {ACCESS_KEY} {SECRET_KEY}"


def refusal(request: RawRequest) -> list[Step]:
    return whole(envelope(None, 401, echo(request)), "401 No")


# Other forms of an echo are in tests/unit/gateway/test_attempt.py.
FAILURES: dict[str, Answer] = {
    "reset": [RESET],
    "closed": [CLOSE],
    "no HTTP": [b"GARBAGE\r\n\r\n", CLOSE],
    "half": [head(length=100) + b"{", CLOSE],
    "silence": [STALL],
    "cut stream": [*stream(HELLO[0])[:-1], RESET],
    "broken gzip": whole(b"no", headers={"Content-Encoding": "gzip"}),
    "invalid chunk": [head(), b"zz\r\n", CLOSE],
    "echo": refusal,
    "echo in mid-stream": lambda request: stream(HELLO[0], event(echo(request))),
}


@pytest.mark.parametrize("answer", FAILURES.values(), ids=FAILURES)
def test_errors_show_no_secrets(ask: Ask, answer: Answer) -> None:
    timeout = httpx2.Timeout(30, read=1.0 if answer == [STALL] else 30)
    with RawServer(answer) as server:
        error = ask(model_of(server, timeout=timeout, default_headers=HEADERS)).error
    assert isinstance(error, errors.PmockError)
    assert len(secrets_of(server)) == 5
    assert_no_secrets(everything_in(error), server)


def test_error_without_a_listener_shows_no_secrets(ask: Ask) -> None:
    with RawServer() as server:
        model = model_of(server, default_headers=HEADERS)
    error = ask(model).error
    assert isinstance(error, errors.PmockConnectionError)
    assert_no_secrets(everything_in(error), server)


# --- Proxies and certificates --------------------------------------------------------

PROXIES: dict[str, Sequence[Step]] = {
    "407": whole(b"", "407 Proxy Authentication Required"),
    "no HTTP": [b"GARBAGE\r\n\r\n", CLOSE],
    "reset": [RESET],
    "silence": [STALL],
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("steps", PROXIES.values(), ids=PROXIES)
def test_proxy_password_is_redacted(
    ask: Ask, scheme: str, steps: Sequence[Step], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with RawServer(steps) as proxy:
        url = f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"
        monkeypatch.setenv(f"{scheme.upper()}_PROXY", url)
        timeout = httpx2.Timeout(1.0 if steps == [STALL] else 30)
        model = model_of(proxy, base_url=f"{scheme}://localhost:9", timeout=timeout)
        error = ask(model).error
    is_late = steps == [STALL]
    cls = errors.PmockTimeoutError if is_late else errors.PmockConnectionError
    assert isinstance(error, cls)
    assert len(proxy.requests) == 1
    assert_no_secrets(everything_in(error), proxy)


def test_untrusted_certificate(
    ask: Ask, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    with RawServer(whole(answer("Hello")), tls=tls) as server:
        error = ask(model_of(server)).error
    assert isinstance(error, errors.PmockConnectionError)
    assert "set SSL_CERT_FILE, or pass http_client" in str(error)
    assert server.requests == []


# --- Other users ---------------------------------------------------------------------


def test_shared_clients_keep_no_credentials_and_no_cookies(calls: Calls) -> None:
    cookie = {"Set-Cookie": "session=of-someone; Path=/"}
    with RawServer(whole(answer("Hello"), headers=cookie)) as server:
        model = model_of(server, default_headers=HEADERS)
        calls.batch(model, ["Hello", "Hello"], config={"max_concurrency": 1})
    for request in server.requests:
        assert "cookie" not in request.headers
        assert request.target == "/api/ai/chat/completions"
        assert SECRET_KEY not in f"{request.headers}{request.body!r}"
        assert ACCESS_KEY not in request.body.decode()
    for client in pools.shared_pools().clients:
        assert_no_secrets(repr(client.headers.raw), server)


# --- Logs ----------------------------------------------------------------------------


def test_logs_at_debug(ask: Ask, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx2", "httpcore2", "langchain_pmock", "langchain_core"):
        caplog.set_level(logging.DEBUG, logger=name)
    busy = whole(envelope(None, 503, "busy"), "503 Busy")
    with RawServer([RESET], busy, refusal) as server:
        ask(model_of(server, max_retries=2))
    assert len(server.requests) >= 3
    assert {r.name for r in caplog.records} >= {"langchain_pmock", "httpx2"}
    logged = "\n".join(
        f"{r.getMessage()} {r.args} {r.exc_info}" for r in caplog.records
    )
    assert_no_secrets(logged, server)
