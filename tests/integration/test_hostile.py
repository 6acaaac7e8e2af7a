"""Hostile peers over real sockets: memory, cancelled calls, proxies with a password."""

from __future__ import annotations

import ssl
import subprocess
import sys
import traceback
import zlib
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import trustme

from langchain_pmock import ChatPmock, PmockError, errors
from langchain_pmock.auth import ACCESS_TOKEN_HEADER
from tests.support.raw_server import (
    CLOSE,
    RESET,
    STALL,
    RawServer,
    head,
    stream,
    whole,
)
from tests.support.wire import HELLO, answer

if TYPE_CHECKING:
    from tests.support.asking import Ask
    from tests.support.raw_server import Answer, Step

ACCESS_KEY = "ak-example-access"
SECRET_KEY = "sk-example-secret"
PASSWORD = "example-password"

# --- Memory ---------------------------------------------------------------------------

LIMIT = 16  # MiB
ASK = """
import sys
from langchain_pmock import ChatPmock, PmockError

url, way, limit = sys.argv[1:]
model = ChatPmock(
    model="gpt-5.1",
    base_url=url,
    access_key="ak-example",
    secret_key="sk-example",
    max_retries=0,
    max_response_bytes=int(limit) * 2**20,
)


def ask():
    try:
        if way == "invoke":
            model.invoke("Hello")
        else:
            for _ in model.stream("Hello"):
                pass
    except PmockError as error:
        return type(error).__name__
    return "an answer"


def peak():
    # ru_maxrss of a new process starts at that of the process that forked it.
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


assert ask() == "an answer"
before = peak()
print(ask(), peak() - before)
"""


def bomb(wbits: int) -> bytes:
    """Some 300 MB that are encoded in 300 kB."""
    packed = zlib.compressobj(9, zlib.DEFLATED, wbits)
    pieces = [packed.compress(b'{"code": 200, "message": "')]
    pieces += [packed.compress(b"x" * 2**20) for _ in range(300)]
    return b"".join([*pieces, packed.flush()])


GZIP, DEFLATE = bomb(31), bomb(15)
EVENTS = head(headers={"Content-Type": "text/event-stream"})
BLOCK = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
ENDLESS = [BLOCK] * 8_000  # 500 MB


def encoded(encoding: str, body: bytes, status: str = "200 OK") -> list[Step]:
    return whole(body, status, {"Content-Encoding": encoding})


# What is sent, how it ends, and the most memory that it takes, as a multiple of the
# limit: docs/faults.md has what it is for the default.
BODIES: dict[str, tuple[str, list[Step], str, float]] = {
    "event": (
        "stream",
        [EVENTS, b"6\r\ndata: \r\n", *ENDLESS],
        "PmockResponseError",
        2,
    ),
    "event after the finish reason": (
        "stream",
        [*stream(*HELLO[:3])[:-1], *ENDLESS],
        "an answer",
        2,
    ),
    "answer": ("invoke", [head(), *ENDLESS], "PmockResponseError", 2),
    "error": ("invoke", [head("500 No"), *ENDLESS], "PmockAPIError", 1),
    # One read of 64 kB is up to 66 MB decoded, held twice.
    "gzip": ("invoke", encoded("gzip", GZIP), "PmockResponseError", 10),
    "deflate": ("stream", encoded("deflate", DEFLATE), "PmockResponseError", 10),
    "error in gzip": ("invoke", encoded("gzip", GZIP, "500 No"), "PmockAPIError", 18),
    "br": ("invoke", encoded("br", GZIP), "PmockResponseError", 1),
    "zstd": ("stream", encoded("zstd", GZIP, "402 No"), "PmockPaymentRequiredError", 1),
    "long text": ("invoke", whole(answer("x" * 15 * 2**20)), "an answer", 7),
    "empty objects": (
        "invoke",
        whole(b'{"code": 200, "data": {"x": [{}' + b",{}" * 5 * 2**20 + b"]}}"),
        "PmockResponseError",
        55,
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("way", "steps", "expected", "bound"), BODIES.values(), ids=BODIES
)
def test_memory_is_bounded(
    way: str, steps: list[Step], expected: str, bound: float
) -> None:
    with RawServer(whole(answer("Hello")), steps) as server:
        done = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-c", ASK, server.url, way, str(LIMIT)],
            capture_output=True,
            check=True,
            text=True,
            timeout=60,
        )
    outcome, _, taken = done.stdout.rpartition(" ")
    assert outcome == expected
    assert float(taken) < bound * LIMIT + 5


# --- What an exception knows ----------------------------------------------------------


def everything_in(error: BaseException) -> str:
    links: list[BaseException | None] = [error]
    texts = traceback.TracebackException.from_exception(
        error, capture_locals=True
    ).format()
    found = list(texts)
    for link in links:
        if link is not None:
            links += [link.__cause__, link.__context__]
            found += [str(link), repr(link), repr(link.args), repr(vars(link))]
    return "\n".join(found)


def secrets_of(*servers: RawServer) -> set[str]:
    return {ACCESS_KEY, SECRET_KEY, PASSWORD}.union(
        request.headers[ACCESS_TOKEN_HEADER]
        for server in servers
        for request in server.requests
        if ACCESS_TOKEN_HEADER in request.headers
    )


def found_in(error: BaseException, *servers: RawServer) -> list[str]:
    text = everything_in(error)
    return [secret for secret in secrets_of(*servers) if secret in text]


def model_at(url: str, **fields: Any) -> ChatPmock:
    ours = {
        "model": "gpt-5.1",
        "base_url": url,
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "max_retries": 0,
        "timeout": 5,
    }
    return ChatPmock(**{**ours, **fields})


# --- Proxies --------------------------------------------------------------------------

PROXIES: dict[str, tuple[Answer, type[PmockError]]] = {
    "407": (
        whole(b"", "407 Proxy Authentication Required"),
        errors.PmockConnectionError,
    ),
    "garbage": ([b"GARBAGE\r\n\r\n", CLOSE], errors.PmockConnectionError),
    "closed": ([CLOSE], errors.PmockConnectionError),
    "reset": ([RESET], errors.PmockConnectionError),
    "stalled": ([STALL], errors.PmockTimeoutError),
}


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("NO_PROXY", "no_proxy", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("steps", "expected"), PROXIES.values(), ids=PROXIES)
def test_proxy_password_is_redacted(
    ask: Ask,
    scheme: str,
    steps: Answer,
    expected: type[PmockError],
    proxied: pytest.MonkeyPatch,
) -> None:
    with RawServer(steps) as proxy:
        url = f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"
        proxied.setenv(f"{scheme.upper()}_PROXY", url)
        timeout = httpx2.Timeout(0.3)
        error = ask(model_at(f"{scheme}://localhost:9", timeout=timeout)).error
    assert isinstance(error, expected)
    assert len(proxy.requests) == 1
    assert found_in(error, proxy) == []


# --- Certificates ---------------------------------------------------------------------


def test_untrusted_certificate(ask: Ask) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    with RawServer(whole(answer("Hello")), tls=tls) as server:
        error = ask(model_at(server.url)).error
    assert isinstance(error, errors.PmockConnectionError)
    assert "set SSL_CERT_FILE, or pass http_client" in str(error)
    assert server.requests == []
