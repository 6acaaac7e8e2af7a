"""Tools that patch httpx: which of them see the calls, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import httpx2
import pytest
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_pmock.testing import PmockServer
from tests.support.calls import model_of
from tests.support.raw_server import RawServer, whole
from tests.support.wire import answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.calls import Ask

HELLO = "You said: Hello"


def clients_of(library: Any) -> dict[str, Any]:
    return {"http_client": library.Client(), "http_async_client": library.AsyncClient()}


CLIENTS: dict[str, Callable[[], dict[str, Any]]] = {
    "shared": dict,
    "httpx": lambda: clients_of(httpx),
    "httpx2": lambda: clients_of(httpx2),
}


@pytest.mark.parametrize("clients", CLIENTS.values(), ids=CLIENTS)
def test_vcr_records_and_replays(
    ask: Ask, clients: Callable[[], dict[str, Any]], tmp_path: Path
) -> None:
    vcr = pytest.importorskip("vcr", "8.5")
    tape = tmp_path / "tape.yaml"
    recorder = vcr.VCR(
        filter_headers=["wuinai-access-key", "wuinai-access-token"],
        match_on=["method", "path", "body"],
    )
    with PmockServer() as server:
        for record_mode in ("once", "none"):
            with recorder.use_cassette(tape, record_mode=record_mode) as cassette:
                assert ask(model_of(server, **clients())).text == HELLO
        assert cassette.all_played
    assert len(server.requests) == 1
    assert server.access_key not in tape.read_text()


def test_respx_mocks_a_client_of_httpx(ask: Ask) -> None:
    respx = pytest.importorskip("respx")
    with RawServer(whole(answer("from the server"))) as server, respx.mock:
        route = respx.post(path__regex="/ai/chat/completions$")
        route.respond(json=answer("mocked"))
        assert ask(model_of(server, **clients_of(httpx))).text == "mocked"
        assert (route.call_count, len(server.requests)) == (1, 0)
        # The shared connections are of httpx2.
        assert ask(model_of(server)).text == "from the server"
        assert (route.call_count, len(server.requests)) == (1, 1)


@pytest.mark.usefixtures("fast_retries")
def test_opentelemetry_has_a_span_for_each_attempt(ask: Ask) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with PmockServer() as server:
        model = model_of(server, max_retries=1)
        model.invoke("before it is instrumented")
        HTTPX2ClientInstrumentor().instrument(tracer_provider=provider)
        server.reset()
        server.fail(status=503)
        try:
            with provider.get_tracer("test").start_as_current_span("answer") as outer:
                assert ask(model).text == HELLO
        finally:
            HTTPX2ClientInstrumentor().uninstrument()
    *spans, _ = exporter.get_finished_spans()
    assert [span.status.is_ok for span in spans] == [False, True]
    for span, request in zip(spans, server.requests, strict=True):
        assert span.context.trace_id == outer.get_span_context().trace_id
        assert f"{span.context.span_id:016x}" in request.headers["traceparent"]
        assert server.access_key not in span.to_json()
