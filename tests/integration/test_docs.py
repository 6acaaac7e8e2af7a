"""The documentation: its examples run, on a local server, and its links resolve."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx
import nbformat
import pytest
import trustme
import uvicorn
from langchain.agents import create_agent
from langchain.chat_models import base

from langchain_pmock import ChatPmock, ModelName, PmockConnectionError, auth
from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PRODUCTION = ROOT / "docs" / "production.md"
INTEGRATION = ROOT / "docs" / "integration.mdx"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), INTEGRATION]
NOTEBOOK = ROOT / "examples" / "chat.ipynb"
LINKED = [
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "docs" / "llms.txt",
    *sorted(ROOT.glob("benchmarks/*.md")),
    NOTEBOOK,
]
DOCSTRINGS = [ChatPmock, PmockServer, auth.sign, auth.PmockAuth]

_EXAMPLE = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)]+)\)")
_TEST = re.compile(r"^(?:async )?def test_", re.MULTILINE)


def examples(text: str) -> list[str]:
    return [inspect.cleandoc("\n" + code) for _, code in _EXAMPLE.findall(text)]


def example_tests(page: Path) -> list[str]:
    return [code for code in examples(page.read_text("utf-8")) if _TEST.search(code)]


def run(code: str, name: str) -> dict[str, Any]:
    """Run examples, and give the names that they define."""
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
    with PmockServer() as server:
        for name, value in server.env.items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Take back what the examples do to the loggers of the whole process."""
    touched = [logging.getLogger(name) for name in (None, "httpx", "langchain_pmock")]
    before = [(logger.level, list(logger.handlers)) for logger in touched]
    yield
    for logger, (level, handlers) in zip(touched, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.mark.filterwarnings("ignore:The function `loads` is in beta")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page: Path) -> None:
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


def test_there_is_a_page_with_tests() -> None:
    assert example_tests(ROOT / "docs" / "testing.md")


@pytest.mark.parametrize("documented", DOCSTRINGS, ids=lambda it: it.__name__)
def test_docstring(documented: type) -> None:
    code = "\n\n".join(examples(inspect.getdoc(documented) or ""))
    assert code
    names = {"__name__": "docstring", "pytest": pytest, "ChatPmock": ChatPmock}
    exec(compile(code, documented.__name__, "exec"), names)  # noqa: S102 - our own


def test_the_line_that_init_chat_model_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    line = re.search(
        r'^ +("pmock": .*),$', INTEGRATION.read_text("utf-8"), re.MULTILINE
    )
    assert line
    entry = eval(f"{{{line[1]}}}", dict(vars(base)))  # noqa: S307 - our own
    monkeypatch.setitem(base._BUILTIN_PROVIDERS, "pmock", entry["pmock"])
    agent = create_agent("pmock:gpt-5.1", tools=[])
    answer = agent.invoke({"messages": [("human", "Hello")]})["messages"][-1]
    assert answer.text == "You said: Hello"


def models_asked(server: PmockServer) -> list[str]:
    return [request.body["model"] for request in server.requests]


def test_the_fallback_is_asked_after_the_retry(local_service: PmockServer) -> None:
    local_service.fail(status=503, times=2, retry_after=0)
    run_one(PRODUCTION, "with_fallbacks")
    assert models_asked(local_service) == ["gpt-5.1", "gpt-5.1", "claude-4.5"]


def test_the_fallback_of_an_agent_starts_the_answer_again(
    local_service: PmockServer,
) -> None:
    code = examples(PRODUCTION.read_text("utf-8"))[:3]
    assert "answer_id" in code[2]
    names = run("\n\n".join(code[:2]), "production")
    local_service.reset()
    local_service.script(
        Reply(tool_calls=[ToolCall("get_weather", {"city": "Paris"})]),
        Fault(cut_after=3),
    )
    exec(code[2], names)  # noqa: S102 - our own
    assert names["shown"] == "get_weather says: Sunny in Paris"
    assert models_asked(local_service) == ["gpt-5.1", "gpt-5.1", "claude-4.5"]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app on this machine, and give its URL."""
    config = uvicorn.Config(app, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


agents_stream = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="LangGraph's async agents do not stream on Python 3.10: no task contexts",
)


@pytest.fixture
def endpoint(local_service: PmockServer) -> Iterator[httpx.Client]:
    """Give a client of the endpoint that docs/production.md shows."""
    local_service.delay = 0.02
    app = run_one(PRODUCTION, "StreamingResponse")["app"]
    with serving(app) as url, httpx.Client(base_url=url, timeout=20) as client:
        yield client


def wait_for_no_connections(server: PmockServer, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while server.open_connections and time.monotonic() < deadline:
        time.sleep(0.01)
    return not server.open_connections


def test_the_endpoint_streams_to_the_end(
    local_service: PmockServer, endpoint: httpx.Client
) -> None:
    local_service.script(Reply(chunks=["Str", "eam", "ed"]))
    events = endpoint.get("/answer", params={"question": "?"}).text.split("\n\n")
    texts = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert "".join(texts) == "Streamed"
    assert events[-2:] == ["event: done\ndata:", ""]


@agents_stream
def test_the_endpoint_reports_an_error_in_mid_stream(
    local_service: PmockServer, endpoint: httpx.Client
) -> None:
    local_service.fail(cut_after=3)
    *_, event, _ = endpoint.get("/answer", params={"question": "?"}).text.split("\n\n")
    assert event.startswith(
        'event: error\ndata: {"error": "PmockStreamInterruptedError"'
    )


@agents_stream
def test_the_endpoint_stops_when_its_client_leaves(
    local_service: PmockServer, endpoint: httpx.Client
) -> None:
    local_service.script(Reply(chunks=["tick "] * 3000))  # a minute
    with endpoint.stream("GET", "/answer", params={"question": "?"}) as response:
        texts = response.iter_text()
        for text in (next(texts), next(texts), next(texts)):
            assert "tick" in text
            assert "event" not in text
    assert wait_for_no_connections(local_service, seconds=10)


@contextmanager
def tls_before(port: int, certificate: trustme.LeafCert) -> Iterator[int]:
    """Accept TLS on another port, and pass what comes on to a port."""

    def pass_on(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):  # one of the two has gone
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as service:
                back = threading.Thread(target=pass_on, args=(service, self.request))
                back.start()
                pass_on(self.request, service)
                back.join()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def private_ca(
    local_service: PmockServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[str]:
    """Put the service behind TLS, and give the CA that has to be trusted."""
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    port = int(local_service.url.split(":")[2].split("/")[0])
    with tls_before(port, ca.issue_cert("127.0.0.1")) as tls_port:
        monkeypatch.setenv("PMOCK_BASE_URL", f"https://127.0.0.1:{tls_port}/api")
        yield str(tmp_path / "ca.pem")


@pytest.mark.usefixtures("private_ca")
def test_a_private_ca_is_not_trusted_by_itself() -> None:
    with pytest.raises(PmockConnectionError, match="CERTIFICATE_VERIFY_FAILED"):
        ChatPmock(model="gpt-5.1", max_retries=0).invoke("Hello")


def test_a_private_ca_for_a_model(
    private_ca: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COMPANY_CA", private_ca)
    run_one(PRODUCTION, "COMPANY_CA")
    assert capsys.readouterr().out == "You said: Hello\n"


def test_a_private_ca_for_the_process(private_ca: str) -> None:
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
    assert done.stdout == "You said: Hello\n"


def test_a_recording_has_no_credentials(
    local_service: PmockServer, tmp_path: Path
) -> None:
    for _ in range(2):
        run_one(PRODUCTION, "vcr.VCR")
    assert len(local_service.requests) == 1
    recording = (tmp_path / "greeting.yaml").read_text("utf-8")
    assert "wuinai" not in recording
    assert local_service.access_key not in recording


def prose(page: Path) -> str:
    """Read a page without its code, which has comments that look like headings."""
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
        cells = [cell for cell in notebook.cells if cell.cell_type == "markdown"]
        text = "\n\n".join(cell.source for cell in cells)
    return _FENCED.sub("", text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    if page.suffix == ".ipynb":  # Jupyter keeps capitals
        return {heading.replace(" ", "-") for heading in headings}
    kept = [re.sub(r"[^\w -]", "", heading) for heading in headings]
    return {heading.lower().replace(" ", "-") for heading in kept}


@pytest.mark.parametrize("page", LINKED, ids=lambda it: str(it.relative_to(ROOT)))
def test_links(page: Path) -> None:
    for link in _LINK.findall(prose(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_names_the_models() -> None:
    text = README.read_text("utf-8")
    assert not [name for name in get_args(ModelName) if f"`{name}`" not in text]
