"""A stream: tried again until something came, closed when it is left."""

from __future__ import annotations

import asyncio
import gzip
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from langchain_pmock import (
    PmockAPIError,
    PmockError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)
from langchain_pmock._gateway import stream as module
from tests.unit.service import (
    Pieces,
    Service,
    chunk_of,
    envelope,
    event,
    events,
    streams,
    whole,
)
from tests.unit.test_client import BODY, CHUNK, STREAM, astream, client_of, stream
from tests.unit.test_events import Texts

if TYPE_CHECKING:
    from tests.unit.service import Answer
    from tests.unit.test_client import Way

FIRST = event(CHUNK)
ROLE = event(envelope(chunk_of({"role": "assistant"})))


@pytest.fixture(params=[stream, astream])
def streaming(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_pmock._gateway.retry._FIRST_WAIT", 0.0)


BEFORE = {
    "nothing": streams(),
    "a role": streams(ROLE),
    "a comment": streams(b": keep-alive\n\n"),
    "reset": streams(httpx.ReadError("reset")),
    "a role, reset": streams(ROLE, httpx.ReadError("reset")),
    "an error": streams(event({"code": 503, "message": "no"})),
    "a role, an error": streams(ROLE, event({"code": 503, "message": "no"})),
}


@pytest.mark.parametrize("case", BEFORE)
def test_a_stream_is_tried_again_before_anything_came(
    streaming: Way, case: str
) -> None:
    service = Service(BEFORE[case], streams(STREAM))
    assert streaming(client_of(service, max_retries=1)) == ["Hel", "lo", "end"]
    assert len(service.requests) == 2


AFTER: dict[str, tuple[Answer, type[PmockError]]] = {
    "nothing": (streams(FIRST), PmockStreamInterruptedError),
    "reset": (streams(FIRST, httpx.ReadError("reset")), PmockStreamInterruptedError),
    "slow": (streams(FIRST, httpx.ReadTimeout("slow")), PmockTimeoutError),
    "an error": (streams(FIRST, event({"code": 503, "message": "no"})), PmockAPIError),
    "garbage": (streams(FIRST, b"data: {garbage}\n\n"), PmockResponseError),
}


@pytest.mark.parametrize("case", AFTER)
def test_a_stream_is_never_tried_again_after_that(streaming: Way, case: str) -> None:
    broken, cls = AFTER[case]
    service = Service(broken, streams(STREAM))
    with pytest.raises(cls):
        streaming(client_of(service, max_retries=5))
    assert len(service.requests) == 1


def test_a_broken_stream_says_how_much_had_come(streaming: Way) -> None:
    service = Service(streams(FIRST, FIRST, httpx.ReadError("reset")))
    with pytest.raises(PmockStreamInterruptedError) as caught:
        streaming(client_of(service))
    assert "it ended after 2 events; reset (ReadError)" in str(caught.value)


@pytest.mark.parametrize("end", [STREAM, events(chunk_of({}, "stop"), done=False)])
def test_a_break_after_the_end_is_no_error(streaming: Way, end: bytes) -> None:
    service = Service(streams(FIRST, end, httpx.ReadError("reset")))
    assert streaming(client_of(service))[-1] == "end"


def test_a_whole_answer_in_place_of_a_stream(streaming: Way) -> None:
    service = Service(whole(CHUNK))
    assert streaming(client_of(service)) == ["Hello", "end"]


def test_a_stream_without_a_label(streaming: Way) -> None:
    pieces = Pieces(STREAM)
    service = Service(lambda: httpx.Response(200, stream=pieces))
    assert streaming(client_of(service)) == ["Hel", "lo", "end"]


def test_a_compressed_stream(streaming: Way) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    zipped = gzip.compress(STREAM)
    service = Service(
        lambda: httpx.Response(200, headers=headers, stream=Pieces(zipped)),
        lambda: httpx.Response(200, headers=headers, stream=Pieces(b"no gzip")),
    )
    client = client_of(service)
    assert streaming(client) == ["Hel", "lo", "end"]
    with pytest.raises(PmockResponseError, match="DecodingError"):
        streaming(client)


def test_a_body_that_the_users_client_has_read_already(streaming: Way) -> None:
    service = Service(streams(STREAM))

    async def aread(response: httpx.Response) -> None:
        await response.aread()

    def read(response: httpx.Response) -> None:
        response.read()

    transport = httpx.MockTransport(service)
    clients = {
        "http_client": httpx.Client(
            transport=transport, event_hooks={"response": [read]}
        ),
        "http_async_client": httpx.AsyncClient(
            transport=transport, event_hooks={"response": [aread]}
        ),
    }
    assert streaming(client_of(service, **clients)) == ["Hel", "lo", "end"]


@pytest.mark.parametrize("end", [b"", events()])
def test_a_finished_stream_is_closed(streaming: Way, end: bytes) -> None:
    body = Pieces(STREAM, end)
    streaming(client_of(Service(streams(body=body))))
    assert body.closed


def test_leaving_a_stream_closes_it() -> None:
    body = Pieces(FIRST, FIRST, FIRST)
    chunks = client_of(Service(streams(body=body))).stream(BODY, Texts)
    assert next(chunks) == "Hello"
    assert not body.closed
    chunks.close()
    assert body.closed


async def test_leaving_an_asynchronous_stream_closes_it() -> None:
    body = Pieces(FIRST, FIRST, FIRST)
    chunks = client_of(Service(streams(body=body))).astream(BODY, Texts)
    assert await anext(chunks) == "Hello"
    assert not body.closed
    await chunks.aclose()
    assert body.closed


async def test_cancelling_a_task_closes_its_stream() -> None:
    class Endless(Pieces):
        async def __aiter__(self) -> Any:
            yield FIRST
            started.set()
            await asyncio.Event().wait()

    async def read() -> None:
        async for _ in client.astream(BODY, Texts):
            pass

    started = asyncio.Event()
    body = Endless()
    client = client_of(Service(streams(body=body)))
    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert body.closed


# --- A body without an end -----------------------------------------------------------


class Hanging(Pieces):
    """A body that goes on after its answer, until somebody hangs up."""

    def __init__(self) -> None:
        super().__init__()
        self.hung_up = threading.Event()

    def __iter__(self) -> Any:
        yield STREAM
        assert self.hung_up.wait(5)
        msg = "hung up"
        raise httpx.ReadError(msg)

    async def __aiter__(self) -> Any:
        yield STREAM
        await asyncio.Event().wait()

    # What httpx has of the connection.
    def get_extra_info(self, name: str) -> Hanging:
        assert name == "socket"
        return self

    def shutdown(self, _how: int) -> None:
        self.hung_up.set()


def test_a_body_that_does_not_end_is_left(
    streaming: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_AFTER_DONE", 0.02)
    body = Hanging()
    service = Service(
        lambda: httpx.Response(200, stream=body, extensions={"network_stream": body})
    )
    assert streaming(client_of(service)) == ["Hel", "lo", "end"]
    assert body.closed
    assert body.hung_up.is_set() == (streaming is stream)
