"""What the tests over real sockets share: a local server, and models that talk to it.

With `PMOCK_LIVE=1` and the keys in the environment, LangChain's standard tests run
against the service itself; see `test_standard.py`. All else always stays on loopback.
"""

from __future__ import annotations

import os
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

# httpx2 imports it late, and pytester's runs remove what was imported within them.
import httpcore2  # noqa: F401
import pytest
import trustme

from langchain_pmock.testing import PmockServer
from tests.support.calls import WAYS, Ask, Calls, model_of
from tests.support.leaks import nothing_left
from tests.support.on_the_wire import PMOCK_KEYS
from tests.support.openai_server import OpenAIServer

__all__ = ["nothing_left"]

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from langchain_pmock import ChatPmock

LIVE = os.environ.get("PMOCK_LIVE") == "1"

_LONGEST_USUALLY = 5.0  # seconds that a test takes on a busy machine


class MakeModel(Protocol):
    """Makes a model that talks to the test's server."""

    def __call__(self, **fields: Any) -> ChatPmock: ...


@pytest.fixture(autouse=True)
def _no_outside_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the developer's shell exports out of the tests."""
    if not LIVE:
        for name in ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY", "PMOCK_BASE_URL"):
            monkeypatch.delenv(name, raising=False)
    for name in ("LANGSMITH_TRACING", "LANGCHAIN_TRACING_V2"):
        monkeypatch.setenv(name, "false")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1,localhost")


@pytest.fixture(autouse=True)
def _within_a_minute() -> None:
    """Begin no test at the end of a minute.

    A request that is signed in one minute and arrives in the next is refused and sent
    again: right, and one more than a test counts on.
    """
    left = 60 - time.time() % 60
    if left < _LONGEST_USUALLY:
        time.sleep(left)


@pytest.fixture
def server() -> Iterator[PmockServer]:
    with PmockServer() as started:
        yield started


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext:
    """A server's context, whose authority the environment trusts."""
    pem = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(pem))
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def openai() -> Iterator[OpenAIServer]:
    with OpenAIServer() as started:
        yield started


@pytest.fixture
def pmock() -> Iterator[PmockServer]:
    """A server that is the upstream of another one, with `PMOCK_KEYS`."""
    with PmockServer(access_key=PMOCK_KEYS[0], secret_key=PMOCK_KEYS[1]) as started:
        yield started


@pytest.fixture
def make_model(server: PmockServer) -> MakeModel:
    return partial(model_of, server)


@pytest.fixture
def model(make_model: MakeModel) -> ChatPmock:
    return make_model()


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def calls(request: pytest.FixtureRequest) -> Calls:
    return Calls(request.param)


@pytest.fixture(params=WAYS, ids=str)
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


@pytest.fixture(params=[way for way in WAYS if way.streams], ids=str)
def ask_stream(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way
