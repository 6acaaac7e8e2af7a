"""Connections that are refused, reset, closed or stalled."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import pytest
from langchain_core import exceptions as core

from langchain_pmock import ChatPmock, errors
from tests.support.odd import Odd, odd_model
from tests.support.raw_server import CLOSE, RESET, STALL, head, whole
from tests.support.wire import answer

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.asking import Ask

pytestmark = pytest.mark.usefixtures("fast_retries")

INTERRUPTED = errors.PmockStreamInterruptedError
HALF = head(length=100) + b'{"code": 200,'

BROKEN = (
    Odd("reset before the response", [RESET], errors.PmockConnectionError),
    Odd("closed before the response", [CLOSE], errors.PmockConnectionError),
    Odd(
        "reset in the head",
        [b"HTTP/1.1 200 OK\r\nContent-Ty", 0.01, RESET],
        errors.PmockConnectionError,
    ),
    Odd(
        "closed in the head",
        [b"HTTP/1.1 200 OK\r\nContent-Ty", CLOSE],
        errors.PmockConnectionError,
    ),
    Odd(
        "reset in the body",
        [HALF, 0.01, RESET],
        errors.PmockConnectionError,
        streamed=INTERRUPTED,
    ),
    Odd(
        "closed in the body",
        [HALF, 0.01, CLOSE],
        errors.PmockConnectionError,
        streamed=INTERRUPTED,
    ),
    Odd("no http", [b"SSH-2.0-OpenSSH_9.6\r\n", CLOSE], errors.PmockConnectionError),
    Odd(
        "a header without end",
        [b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, CLOSE],
        errors.PmockConnectionError,
    ),
    Odd(
        "no chunk where one should be",
        [head(), 0.02, b"zz\r\nabc\r\n", CLOSE],
        errors.PmockConnectionError,
        streamed=INTERRUPTED,
    ),
)

STALLED = (
    Odd("before the response", [STALL], errors.PmockTimeoutError),
    Odd("in the head", [b"HTTP/1.1 200", STALL], errors.PmockTimeoutError),
    Odd("in the body", [HALF, STALL], errors.PmockTimeoutError),
)


@pytest.mark.parametrize("odd", BROKEN, ids=str)
def test_a_connection_that_fails(ask: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        outcome = ask(model)
    assert type(outcome.error) is odd.error_of(ask), outcome.error
    assert outcome.error.is_retryable
    assert outcome.error.code is None
    assert len(server.requests) == 2
    assert outcome.pieces == []
    # What happened is said in words, not only with the name of a class.
    assert re.search(r"[A-Z]\w+(Error|Timeout|ed)\b", str(outcome.error))


@pytest.mark.parametrize("odd", BROKEN, ids=str)
def test_a_connection_that_fails_once(ask: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        server.answers = [odd.steps, whole(answer("Hello"))]
        outcome = ask(model)
    assert outcome.error is None
    assert outcome.text == "Hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("odd", STALLED, ids=str)
def test_a_service_that_stalls(ask: Ask, odd: Odd) -> None:
    with odd_model(odd, timeout=0.05) as (model, server):
        outcome = ask(model)
    assert type(outcome.error) is errors.PmockTimeoutError, outcome.error
    assert isinstance(outcome.error, core.ModelTimeoutError)
    assert len(server.requests) == 2
    assert 0.1 <= outcome.seconds < 5


def test_a_service_that_stalls_once(ask: Ask) -> None:
    with odd_model(STALLED[0], timeout=0.3) as (model, server):
        server.answers = [STALLED[0].steps, whole(answer("Hello"))]
        outcome = ask(model)
    assert outcome.text == "Hello"
    assert len(server.requests) == 2


@pytest.mark.parametrize("max_retries", [0, 2])
def test_nobody_listens(ask: Ask, max_retries: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    model = ChatPmock(
        model="gpt-5.1",
        base_url=f"http://127.0.0.1:{port}/api",
        access_key="ak-example",
        secret_key="sk-example",
        max_retries=max_retries,
    )
    error = ask(model).error
    assert type(error) is errors.PmockConnectionError
    assert isinstance(error, core.ModelConnectionError)
    assert (error.code, error.status_code, error.response) == (None, None, None)
    assert "Check the network" in str(error)


def test_a_name_that_nobody_knows(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def no_such_name(host: str, *_args: object, **_kwargs: object) -> None:
        asked.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    model = ChatPmock(
        model="gpt-5.1",
        base_url="https://gateway.invalid/api",
        access_key="ak-example",
        secret_key="sk-example",
        max_retries=1,
    )
    error = ask(model).error
    assert type(error) is errors.PmockConnectionError
    assert "not known" in str(error)
    assert len(asked) == 2


def test_no_tls_where_it_should_be(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    model = make_model(base_url=server.url.replace("http://", "https://"))
    error = ask(model).error
    assert type(error) is errors.PmockConnectionError
    assert "SSL" in str(error)
    assert server.requests == []
