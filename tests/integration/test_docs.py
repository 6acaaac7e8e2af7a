"""The examples of the documentation run on a local server. mkdocs checks its links."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx2
import pytest
from langchain.agents import create_agent
from langchain.chat_models import base
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from langchain_pmock import ChatPmock, ModelName, auth
from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall
from tests.support.apps import Serving, serving
from tests.support.files import png
from tests.support.leaks import wait_until
from tests.support.processes import python
from tests.support.raw_server import CLOSE, RawServer, whole
from tests.support.wire import answer, event

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
README_ZH = ROOT / "README.zh-CN.md"
PRODUCTION = ROOT / "docs" / "production.md"
INTEGRATION = ROOT / "docs" / "integration.md"
PAGES = [README, README_ZH, *sorted((ROOT / "docs").glob("*.md"))]
DOCSTRINGS = [ChatPmock, PmockServer, auth.sign, auth.PmockAuth]

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
    (tmp_path / "picture.png").write_bytes(png())
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
    ran = python("-m", "pytest", "-p", "no:cacheprovider", tmp_path, cwd=tmp_path)
    assert f"{count} passed" in ran.stdout


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
    ("package", "name"),
    [("openai", "ChatOpenAI"), ("mistralai", "ChatMistralAI")],
)
def test_streams_that_end_early_in_other_packages(package: str, name: str) -> None:
    """The first claim of README.md. Ours are in test_stream_ends.py."""
    module = pytest.importorskip(f"langchain_{package}")
    events = b"".join(
        event({"choices": [{"index": 0, "delta": {"content": text}}], "model": "m"})
        for text in ("Hello", " wor")
    )
    start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    with RawServer([start + events, CLOSE]) as server:
        make = getattr(module, name)
        model = make(model="m", base_url=server.url, api_key="sk-example")
        assert "".join(chunk.text for chunk in model.stream("?")) == "Hello wor"


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
    text = README_ZH.read_text("utf-8")
    assert not [name for name in get_args(ModelName) if f"`{name}`" not in text]
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


@pytest.fixture
def endpoint(
    local_service: PmockServer, request: pytest.FixtureRequest
) -> Iterator[Serving]:
    """The endpoint of docs/production.md."""
    local_service.delay = 0.02
    app = run_one(PRODUCTION, "StreamingResponse")["app"]
    with serving(app, getattr(request, "param", None)) as served:
        yield served


def wait_for_no_connections(server: PmockServer) -> None:
    wait_until(lambda: server.open_connections == 0)


PATH = "/answer?question=%3F"
A_MINUTE = Reply(chunks=["tick "] * 3000)


def test_endpoint_streams_to_the_end(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.script(Reply(chunks=["Str", "eam", "ed"]))
    events = httpx2.get(endpoint.url + PATH).text.split("\n\n")
    texts = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(texts) == "Streamed"
    assert events[-2:] == ["event: done\ndata:", ""]


def test_endpoint_reports_an_error_within_the_stream(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.fail(cut_after=3)
    *_, event, _ = httpx2.get(endpoint.url + PATH).text.split("\n\n")
    start = 'event: error\ndata: {"error": "PmockStreamInterruptedError"'
    assert event.startswith(start)


@pytest.mark.parametrize("endpoint", [1], indirect=True)
def test_shutdown_cancels_a_stream_after_its_limit(
    local_service: PmockServer, endpoint: Serving
) -> None:
    local_service.script(A_MINUTE)
    with httpx2.stream("GET", endpoint.url + PATH) as response:
        texts = response.iter_text()
        next(texts)
        endpoint.terminate()
        with pytest.raises(httpx2.RemoteProtocolError):
            list(texts)
    endpoint.thread.join()
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


def test_private_ca_of_a_model(
    tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPANY_CA", os.environ["SSL_CERT_FILE"])
    monkeypatch.delenv("SSL_CERT_FILE")
    with RawServer(whole(answer("Trusted.")), tls=tls) as server:
        monkeypatch.setenv("PMOCK_BASE_URL", server.url)
        run_one(PRODUCTION, "COMPANY_CA")
    assert capsys.readouterr().out == "Trusted.\n"


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
