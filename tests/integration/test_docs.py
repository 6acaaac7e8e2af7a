"""The examples of the documentation run on a local server. mkdocs checks its links."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx2
import pytest
import trustme
import uvicorn
from langchain.agents import create_agent
from langchain.chat_models import base
from langchain_core.language_models import BaseChatModel
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from langchain_pmock import (
    ChatPmock,
    ModelName,
    PmockConnectionError,
    PmockStreamInterruptedError,
    auth,
)
from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall
from tests.support.raw_server import CLOSE, RawServer, head
from tests.support.wire import answer, dump

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
README_ZH = ROOT / "README.zh-CN.md"
PRODUCTION = ROOT / "docs" / "production.md"
INTEGRATION = ROOT / "docs" / "integration.md"
PAGES = [README, README_ZH, *sorted((ROOT / "docs").glob("*.md"))]
DOCSTRINGS = [ChatPmock, PmockServer, auth.sign, auth.PmockAuth]
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
    "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
)

_EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")
_TEST = re.compile(r"^(?:async )?def test_", re.MULTILINE)


def examples(text: str) -> list[str]:
    return [inspect.cleandoc("\n" + code) for _, code in _EXAMPLE.findall(text)]


def example_tests(page: Path) -> list[str]:
    return [code for code in examples(page.read_text("utf-8")) if _TEST.search(code)]


def run(code: str, name: str) -> dict[str, Any]:
    """Run examples, and return the names that they define."""
    names: dict[str, Any] = {"__name__": name}
    exec(compile(code, name, "exec"), names)  # noqa: S102 - our own
    return names


def run_one(page: Path, having: str) -> dict[str, Any]:
    [code] = [code for code in examples(page.read_text("utf-8")) if having in code]
    return run(code, page.stem)


@pytest.fixture(autouse=True)
def local_service(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[PmockServer]:
    monkeypatch.chdir(tmp_path)  # where examples write their files
    (tmp_path / "picture.png").write_bytes(PIXEL)
    with PmockServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(autouse=True)
def _process_settings() -> Iterator[None]:
    """Undo what the examples change for the whole process."""
    names = (None, "httpx2", "langchain_pmock")
    touched = [logging.getLogger(name) for name in names]
    before = [(logger.level, list(logger.handlers)) for logger in touched]
    yield
    for logger, (level, handlers) in zip(touched, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
    if HTTPX2ClientInstrumentor().is_instrumented_by_opentelemetry:
        HTTPX2ClientInstrumentor().uninstrument()


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_of_a_page(page: Path) -> None:
    if page.name == "migrating.md":
        pytest.importorskip("langchain_openai")
    # Each example builds on those before it.
    run("\n\n".join(examples(page.read_text("utf-8"))), page.stem)


@pytest.mark.parametrize(
    "page", [page for page in PAGES if example_tests(page)], ids=lambda page: page.name
)
def test_tests_of_a_page(page: Path, tmp_path: Path) -> None:
    # Such an example stands alone: it is somebody's first test.
    count = 0
    for number, code in enumerate(example_tests(page)):
        (tmp_path / f"test_example_{number}.py").write_text(code, "utf-8")
        count += len(_TEST.findall(code))
    done = subprocess.run(  # noqa: S603 - written in this file
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{count} passed" in done.stdout


@pytest.mark.parametrize("documented", DOCSTRINGS, ids=lambda it: it.__name__)
def test_examples_of_a_docstring(documented: type) -> None:
    code = "\n\n".join(examples(inspect.getdoc(documented) or ""))
    assert code
    names = {"__name__": "docstring", "pytest": pytest, "ChatPmock": ChatPmock}
    exec(compile(code, documented.__name__, "exec"), names)  # noqa: S102 - our own


def test_what_langchain_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    text = INTEGRATION.read_text("utf-8")
    line = re.search(r'^ +("pmock": .*),$', text, re.MULTILINE)
    assert line
    entry = eval(f"{{{line[1]}}}", dict(vars(base)))  # noqa: S307 - our own
    monkeypatch.setitem(base._BUILTIN_PROVIDERS, "pmock", entry["pmock"])
    agent: Any = create_agent("pmock:gpt-5.1", tools=[])
    message = agent.invoke({"messages": [("human", "Hello")]})["messages"][-1]
    assert "Hello" in message.text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"docs_url: {project['urls']['Documentation']}\n" in text


# --- README -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "name", "keys"),
    [
        ("openai", "ChatOpenAI", ["api_key"]),
        ("mistralai", "ChatMistralAI", ["api_key"]),
        ("pmock", "ChatPmock", ["access_key", "secret_key"]),
    ],
)
def test_streams_that_end_early(package: str, name: str, keys: list[str]) -> None:
    """The first claim of README.md."""
    module = pytest.importorskip(f"langchain_{package}")
    data = b""
    for text in ("Hello", " wor"):
        chunk = {"choices": [{"index": 0, "delta": {"content": text}}], "model": "m"}
        payload = {"code": 200, "data": chunk} if package == "pmock" else chunk
        data += b"data: " + dump(payload) + b"\n\n"
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with RawServer([start + data, CLOSE]) as server:
        options = dict.fromkeys(keys, "sk-example")
        model = getattr(module, name)(model="m", base_url=server.url, **options)
        if package == "pmock":
            with pytest.raises(PmockStreamInterruptedError):
                list(model.stream("?"))
        else:
            texts = [chunk.text for chunk in model.stream("?")]
            assert "".join(texts) == "Hello wor"


def test_models_and_parameters_are_in_each_readme() -> None:
    own = [
        name
        for name, field in ChatPmock.model_fields.items()
        if name not in BaseChatModel.model_fields and field.init is not False
    ]
    for page in (README, README_ZH):
        text = page.read_text("utf-8")
        assert not [name for name in get_args(ModelName) if f"`{name}`" not in text]
        rows = "\n".join(re.findall(r"^\| (`.*?) \|", text, re.MULTILINE))
        assert not [name for name in own if f"`{name}`" not in rows]


def test_both_readmes_have_the_same_sections() -> None:
    def outline(page: Path) -> list[tuple[str, object]]:
        """List headings, fences, tables and links, without their language."""
        found: list[tuple[str, object]] = []
        for section in re.split(
            r"^(?=#+ )", page.read_text("utf-8"), flags=re.MULTILINE
        ):
            names = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
            bold = len(re.findall(r"\*\*.+?\*\*", section))
            fences = re.findall(r"^```(\w+)$", section, re.MULTILINE)
            links = sorted(set(_LINK.findall(section)) - {README.name, README_ZH.name})
            found.append((section[:3].strip("# "), (bold, fences, names, links)))
        return [("", contents) for _, contents in found]

    assert outline(README) == outline(README_ZH)
    assert len(README.read_text("utf-8").splitlines()) <= 200


# --- docs/production.md -----------------------------------------------------------


def models_asked(server: PmockServer) -> list[str]:
    return [request.body["model"] for request in server.requests]


def test_fallback_after_the_retry(local_service: PmockServer) -> None:
    local_service.fail(status=503, times=2, retry_after=0)
    run_one(PRODUCTION, "with_fallbacks")
    assert models_asked(local_service) == ["gpt-5.1", "gpt-5.1", "claude-4.5"]


def test_fallback_of_an_agent_restarts_the_answer(local_service: PmockServer) -> None:
    code = examples(PRODUCTION.read_text("utf-8"))[:3]
    assert "answer_id" in code[2]
    names = run("\n\n".join(code[:2]), "production")
    local_service.reset()
    local_service.script(
        Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris"})]),
        Fault(cut_after=3),
    )
    exec(code[2], names)  # noqa: S102 - our own
    assert "Sunny in Paris" in names["shown"]
    assert models_asked(local_service) == ["gpt-5.1", "gpt-5.1", "claude-4.5"]


class Serving:
    """The endpoint of docs/production.md, served by a thread."""

    def __init__(self, listener: socket.socket, limit: int | None) -> None:
        config = uvicorn.Config(
            run_one(PRODUCTION, "StreamingResponse")["app"],
            lifespan="off",
            log_config=None,
            ws="none",
            timeout_graceful_shutdown=limit,
        )
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, args=([listener],))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.client = httpx2.Client(base_url=url, timeout=60)

    def terminate(self) -> None:
        """Do what uvicorn does on SIGTERM."""
        self.server.should_exit = True


@contextmanager
def serving(limit: int | None = None) -> Iterator[Serving]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        served = Serving(listener, limit)
        served.thread.start()
        with served.client:
            yield served
            served.terminate()
            served.thread.join()


@pytest.fixture
def endpoint(local_service: PmockServer) -> Iterator[Serving]:
    local_service.delay = 0.02
    with serving() as served:
        yield served


def wait_for_no_connections(server: PmockServer) -> None:
    deadline = time.monotonic() + 30
    while server.open_connections:
        assert time.monotonic() < deadline
        time.sleep(0.01)


PATH = "/answer?question=%3F"
A_MINUTE = Reply(chunks=["tick "] * 3000)


def test_endpoint_streams_to_the_end(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.script(Reply(chunks=["Str", "eam", "ed"]))
    events = endpoint.client.get(PATH).text.split("\n\n")
    texts = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(texts) == "Streamed"
    assert events[-2:] == ["event: done\ndata:", ""]


def test_endpoint_reports_an_error_within_the_stream(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.fail(cut_after=3)
    *_, event, _ = endpoint.client.get(PATH).text.split("\n\n")
    start = 'event: error\ndata: {"error": "PmockStreamInterruptedError"'
    assert event.startswith(start)


def test_endpoint_stops_when_its_client_disconnects(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.script(A_MINUTE)
    with endpoint.client.stream("GET", PATH) as response:
        texts = response.iter_text()
        for text in (next(texts), next(texts), next(texts)):
            assert "tick" in text
            assert "event" not in text
    wait_for_no_connections(local_service)


def test_shutdown_waits_for_a_stream(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.script(Reply(chunks=["tick "] * 50))
    with endpoint.client.stream("GET", PATH) as response:
        texts = response.iter_text()
        first = next(texts)
        endpoint.terminate()
        whole = first + "".join(texts)
    assert whole.count("tick") == 50
    assert whole.endswith("event: done\ndata:\n\n")


def test_shutdown_cancels_a_stream_after_its_limit(local_service: PmockServer) -> None:
    local_service.delay = 0.02
    local_service.script(A_MINUTE)
    with serving(limit=1) as served:
        with served.client.stream("GET", PATH) as response:
            texts = response.iter_text()
            next(texts)
            served.terminate()
            with pytest.raises(httpx2.RemoteProtocolError):
                list(texts)
        served.thread.join()
    wait_for_no_connections(local_service)


def test_time_limit_of_an_async_call(local_service: PmockServer) -> None:
    code = next(
        code
        for code in examples(PRODUCTION.read_text("utf-8"))
        if "answer_within" in code
    ).replace("within(30,", "within(0.5,")
    local_service.fail(stall=60)
    prelude = "import asyncio\nfrom langchain_pmock import ChatPmock\n"
    with pytest.raises(TimeoutError):
        run(prelude + code, "production")
    wait_for_no_connections(local_service)


def test_dockerfile() -> None:
    text = PRODUCTION.read_text("utf-8")
    [code] = re.findall(r"^```dockerfile\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = code.replace("\\\n", "").strip().splitlines()
    steps = [line.split(None, 1) for line in lines if line]
    names = [name for name, _ in steps]
    assert names[0] == "FROM"
    assert names.index("USER") > max(i for i, it in enumerate(names) if it == "RUN")
    assert any("install" in rest and "ca-certificates" in rest for _, rest in steps)
    assert json.loads(dict(steps)["CMD"])[:2] == ["uvicorn", "app:app"]


@pytest.fixture
def private_ca(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Put a service behind TLS, and return the CA to trust."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    body = dump(answer("Trusted."))
    with RawServer([head(length=len(body)) + body], tls=context) as server:
        monkeypatch.setenv("PMOCK_BASE_URL", server.url)
        yield str(tmp_path / "ca.pem")


def test_private_ca_of_a_model(
    private_ca: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(PmockConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        ChatPmock(model="gpt-5.1", max_retries=0).invoke("Hello")
    monkeypatch.setenv("COMPANY_CA", private_ca)
    run_one(PRODUCTION, "COMPANY_CA")
    assert capsys.readouterr().out == "Trusted.\n"


def test_private_ca_of_the_process(private_ca: str) -> None:
    code = (
        "from langchain_pmock import ChatPmock\n"
        "print(ChatPmock(model='gpt-5.1').invoke('Hello').text)"
    )
    done = subprocess.run(  # noqa: S603 - written in this file
        [sys.executable, "-c", code],
        env={**os.environ, "SSL_CERT_FILE": private_ca},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "Trusted.\n"


def test_each_attempt_has_a_span(local_service: PmockServer) -> None:
    ChatPmock(model="gpt-5.1").invoke("before it is instrumented")
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPX2ClientInstrumentor().instrument(tracer_provider=provider)
    local_service.fail(status=503, retry_after=0)
    with provider.get_tracer("test").start_as_current_span("answer") as outer:
        list(ChatPmock(model="gpt-5.1").stream("Hello"))
    *spans, _ = exporter.get_finished_spans()
    assert [(span.attributes or {})["http.status_code"] for span in spans] == [503, 200]
    trace_id = outer.get_span_context().trace_id
    assert {span.context.trace_id for span in spans} == {trace_id}
    assert local_service.access_key not in str([span.to_json() for span in spans])


def test_metrics(local_service: PmockServer, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    monkeypatch.setattr("opentelemetry.metrics.get_meter", provider.get_meter)
    local_service.script(
        Fault(status=503, retry_after=0),
        Reply(text="Hello", usage={"promptTokens": 3, "completionTokens": 1}),
        Fault(status=400),
    )
    names = run_one(PRODUCTION, "RetryHandler")
    with pytest.raises(ValueError, match="400"):
        names["model"].invoke("Hello")
    data: Any = reader.get_metrics_data()
    points = {
        (metric.name, *point.attributes.values()): point.value
        for metric in data.resource_metrics[0].scope_metrics[0].metrics
        for point in metric.data.data_points
    }
    assert points == {
        ("model.calls", "answer"): 1,
        ("model.calls", "PmockInvalidRequestError"): 1,
        ("model.tokens", "input_tokens"): 3,
        ("model.tokens", "output_tokens"): 1,
        ("model.retries", "PmockAPIError"): 1,
    }


def test_recordings_have_no_credentials(
    local_service: PmockServer, tmp_path: Path
) -> None:
    for _ in range(2):
        run_one(PRODUCTION, "vcr.VCR")
    assert len(local_service.requests) == 1
    recording = (tmp_path / "greeting.yaml").read_text("utf-8")
    assert "wuinai" not in recording
    assert local_service.access_key not in recording


def test_the_repository_has_its_address_in_one_place() -> None:
    files = [path for path in ROOT.glob("*") if path.is_file()]
    for folder in ("langchain_pmock", "docs", "examples", ".ci", ".github"):
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file()]
    address = b"github.com/" + b"langchain-pmock"
    found = {p.name for p in files if p.suffix != ".pyc" and address in p.read_bytes()}
    assert found == {"pyproject.toml"}
