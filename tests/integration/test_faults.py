"""What the service, proxies and the network do wrong, and what the user sees of it."""

from __future__ import annotations

import re
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as core

from langchain_pmock import ChatPmock, errors
from tests.integration.raw_server import (
    CLOSE,
    RESET,
    STALL,
    RawServer,
    answer,
    envelope,
    head,
    stream,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_pmock.testing import PmockServer
    from tests.integration.asking import Ask, Outcome
    from tests.integration.conftest import MakeModel
    from tests.integration.raw_server import Step

pytestmark = pytest.mark.usefixtures("fast_retries")

HELLO = "You said: Hello"
HTML = b"<html><head><title>x</title></head><body>Bad Gateway</body></html>"
WEB_PAGE = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Kind:
    """A code, and the error that it stands for."""

    code: int
    error: type[errors.PmockError]
    twin: type[core.ModelError]
    passes: bool = False  # whether the same request may succeed later
    says: str = "made on purpose"

    def __str__(self) -> str:
        return f"{self.code}-{self.error.__name__}"

    @property
    def requests(self) -> int:
        """How many requests two retries make of it."""
        if self.code == 401:
            return 2
        return 3 if self.passes else 1


KINDS = (
    Kind(400, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(
        400,
        errors.PmockContextOverflowError,
        core.ContextOverflowError,
        says="This model's maximum context length is 8192 tokens.",
    ),
    Kind(401, errors.PmockAuthenticationError, core.ModelAuthenticationError),
    Kind(402, errors.PmockPaymentRequiredError, core.ModelPermissionDeniedError),
    Kind(403, errors.PmockPermissionDeniedError, core.ModelPermissionDeniedError),
    Kind(404, errors.PmockNotFoundError, core.ModelNotFoundError),
    Kind(408, errors.PmockTimeoutError, core.ModelTimeoutError, passes=True),
    Kind(409, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(413, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(422, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(429, errors.PmockRateLimitError, core.ModelRateLimitError, passes=True),
    Kind(500, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(502, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(503, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(504, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(529, errors.PmockAPIError, core.ModelAPIError, passes=True),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)




def check(outcome: Outcome, kind: Kind, *, status: int) -> None:
    error = outcome.error
    assert type(error) is kind.error, error
    assert isinstance(error, kind.twin)
    assert isinstance(error, core.ModelError)
    assert error.is_retryable is kind.passes
    assert (error.code, error.status_code) == (kind.code, status)
    assert error.response is not None
    assert error.response.status_code == status
    assert error.trace_id
    assert error.trace_id == error.response.json()["traceId"]
    for part in (kind.says, f"({kind.code})", f"Trace id: {error.trace_id}."):
        assert part in str(error)


# --- Errors that the service reports -------------------------------------------------


@each_kind
def test_an_http_status(
    server: PmockServer, make_model: MakeModel, ask: Ask, kind: Kind
) -> None:
    server.fail(status=kind.code, message=kind.says, times=9)
    outcome = ask(make_model(max_retries=2))
    check(outcome, kind, status=kind.code)
    assert len(server.requests) == kind.requests
    assert outcome.pieces == []


@each_kind
def test_a_code_in_an_envelope_of_http_200(
    server: PmockServer, make_model: MakeModel, ask: Ask, kind: Kind
) -> None:
    # Of a stream, it is the first event.
    server.fail(code=kind.code, message=kind.says, times=9)
    outcome = ask(make_model(max_retries=2))
    check(outcome, kind, status=200)
    assert len(server.requests) == kind.requests
    assert outcome.pieces == []


@each_kind
def test_a_code_in_the_middle_of_a_stream(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask, kind: Kind
) -> None:
    server.fail(code=kind.code, message=kind.says, after=3, times=9)
    outcome = ask_stream(make_model(max_retries=2))
    check(outcome, kind, status=200)
    assert len(server.requests) == 1
    assert outcome.pieces == ["You", " said"]


@pytest.mark.parametrize("by", ["status", "code"])
@pytest.mark.parametrize("max_retries", [0, 1, 2])
def test_retries_stop_where_they_should(
    server: PmockServer, make_model: MakeModel, ask: Ask, max_retries: int, by: str
) -> None:
    fault: dict[str, Any] = {by: 503}
    server.fail(**fault, times=max_retries)
    outcome = ask(make_model(max_retries=max_retries))
    assert outcome.text == HELLO
    assert len(server.requests) == max_retries + 1
    server.reset()
    server.fail(**fault, times=9)
    outcome = ask(make_model(max_retries=max_retries))
    assert type(outcome.error) is errors.PmockAPIError
    assert len(server.requests) == max_retries + 1


def test_the_last_error_is_the_one_that_is_raised(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.fail(status=503)
    server.fail(reset_after=0)
    server.fail(code=404, message="no such model")
    outcome = ask(make_model(max_retries=5))
    assert type(outcome.error) is errors.PmockNotFoundError
    assert "no such model" in str(outcome.error)
    assert len(server.requests) == 3


def test_the_status_counts_if_the_code_is_none_of_http(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.fail(status=429, code=10013)
    server.fail(code=10013)
    limited, unknown = ask(make_model()), ask(make_model())
    assert type(limited.error) is errors.PmockRateLimitError
    assert limited.error.code == 10013
    assert limited.error.status_code == 429
    assert type(unknown.error) is errors.PmockError
    assert unknown.error.code == 10013


# --- Answers that are not of the documented shape ------------------------------------


@dataclass(frozen=True)
class Odd:
    """Something on the wire, and what becomes of it."""

    name: str
    steps: list[Step]
    error: type[errors.PmockError] = errors.PmockResponseError
    streamed: type[errors.PmockError] | None = None  # if a stream ends in another
    says: str = ""
    passes: bool = False

    def __str__(self) -> str:
        return self.name

    def error_of(self, ask: Ask) -> type[errors.PmockError]:
        return (ask.streams and self.streamed) or self.error


ODD_ANSWERS = (
    Odd("web page with 200", whole(HTML, headers=WEB_PAGE), says="Bad Gateway"),
    Odd(
        "web page with 502",
        whole(HTML, "502 Bad Gateway", WEB_PAGE),
        errors.PmockAPIError,
        says="Bad Gateway",
        passes=True,
    ),
    Odd(
        "web page with 404",
        whole(HTML, "404 Not Found", WEB_PAGE),
        errors.PmockNotFoundError,
    ),
    Odd(
        "web page as an event stream",
        whole(HTML, headers={"Content-Type": "text/event-stream"}),
        says="Bad Gateway",
    ),
    Odd("text", whole(b"upstream is down"), says="upstream is down"),
    Odd("no content", [head("204 No Content", length=0)], says="204"),
    Odd("empty", whole(b"")),
    Odd("no json", whole(b"{'code': 200}"), says="{'code': 200}"),
    Odd("half of json", whole(b'{"code": 200, "data"'), says="200"),
    Odd("json that nests too deep", whole(b"[" * 100_000)),
    Odd("json list", whole(b"[1, 2]"), says="[1, 2]"),
    Odd("json null", whole(b"null"), says="null"),
    Odd("no code", whole({"data": {"choices": []}}), says="choices"),
    Odd("a code that is a word", whole(envelope(None, "E1")), says="E1"),
    Odd("200 without data", whole({"code": 200, "message": "hm"}), says="hm"),
    Odd("data null", whole(envelope(None)), says="Trace id: trace-raw."),
    Odd("data list", whole(envelope([])), says="Trace id: trace-raw."),
    Odd("no choices", whole(envelope({"id": "1"})), says="no choices"),
    Odd("choices empty", whole(envelope({"choices": []})), says="no choices"),
    Odd("choices null", whole(envelope({"choices": None})), says="no choices"),
    Odd("choice null", whole(envelope({"choices": [None]}))),
    Odd("choices of another type", whole(envelope({"choices": {"a": 1}}))),
    Odd("message of another type", whole(envelope({"choices": [{"message": "x"}]}))),
    Odd("gzip garbage", whole(b"not gzip", headers={"Content-Encoding": "gzip"})),
    Odd(
        "gzip garbage as a stream",
        stream(b"not gzip", headers={"Content-Encoding": "gzip"}),
    ),
    Odd("unknown encoding", whole(b"\xff\xfe", headers={"Content-Encoding": "rot13"})),
)


@contextmanager
def odd_model(odd: Odd, **fields: Any) -> Iterator[tuple[ChatPmock, RawServer]]:
    with RawServer(odd.steps) as server:
        model = ChatPmock(
            model="gpt-5.1",
            base_url=server.url,
            access_key="ak-example",
            secret_key="sk-example",
            **{"max_retries": 1, "timeout": 0.15, **fields},
        )
        yield model, server


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=str)
def test_an_odd_answer(ask: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        outcome = ask(model)
    assert type(outcome.error) is odd.error_of(ask), outcome.error
    assert odd.says in str(outcome.error)
    assert len(server.requests) == 1 + odd.passes
    assert outcome.pieces == []


def test_a_whole_answer_in_place_of_a_stream(ask: Ask) -> None:
    with odd_model(Odd("whole", whole(answer("Hello")))) as (model, _):
        assert ask(model).pieces == ["Hello"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(ask: Ask, status: int) -> None:
    with RawServer(whole(answer("caught"))) as elsewhere:
        target = f"{elsewhere.url}/ai/chat/completions"
        redirect = whole(b"", f"{status} Elsewhere", {"Location": target})
        with odd_model(Odd("redirect", redirect)) as (model, server):
            outcome = ask(model)
    assert type(outcome.error) is errors.PmockResponseError
    assert outcome.error.status_code == status
    assert f"redirected to {target}" in str(outcome.error)
    assert len(server.requests) == 1
    assert elsewhere.requests == []


# --- Connections that fail -----------------------------------------------------------

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
    Odd("stalled before the response", [STALL], errors.PmockTimeoutError),
    Odd("stalled in the head", [b"HTTP/1.1 200", STALL], errors.PmockTimeoutError),
    Odd("stalled in the body", [HALF, STALL], errors.PmockTimeoutError),
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
    assert [str(host) for host in asked] == ["gateway.invalid"] * 2


def test_no_tls_where_it_should_be(ask: Ask) -> None:
    with odd_model(Odd("plain", whole(b""))) as (model, server):
        model.base_url = server.url.replace("http://", "https://")
        error = ask(model).error
    assert type(error) in {errors.PmockConnectionError, errors.PmockTimeoutError}
