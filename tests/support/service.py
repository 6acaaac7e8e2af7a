"""The service without a network: answers for a mock transport."""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Any

import httpx2 as httpx

from langchain_pmock import ChatPmock, PmockAuth
from langchain_pmock._gateway.client import PmockClient
from tests.support.wire import Json, choice_of, data_of, dump, envelope

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Callable,
        Iterable,
        Iterator,
        Mapping,
    )

    Answer = Callable[[], httpx.Response] | Exception

ACCESS_KEY = "ak-example"
SECRET_KEY = "sk-example"
BASE_URL = "https://gateway.invalid/api"


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in pieces, and may break."""

    def __init__(self, *pieces: bytes | Exception) -> None:
        self.pieces = pieces
        self.is_read = False
        self.closed = False

    def __iter__(self) -> Iterator[bytes]:
        assert not self.is_read, "a body comes once"
        self.is_read = True
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


def whole(
    payload: object, status: int = 200, headers: dict[str, str] | None = None
) -> Answer:
    """Answer with one JSON body."""
    body = payload if isinstance(payload, bytes) else dump(payload)
    headers = {"content-type": "application/json", **(headers or {})}
    return lambda: httpx.Response(status, headers=headers, stream=Pieces(body))


def says(text: str = "Hello", **fields: Any) -> Answer:
    """Answer with a text."""
    return whole(envelope(data_of(choice_of({"content": text})), **fields))


def fails(
    code: int,
    message: str = "no",
    status: int = 200,
    headers: dict[str, str] | None = None,
) -> Answer:
    """Answer with an error's envelope."""
    body = envelope(None, code, message, traceId="trace-1")
    return whole(body, status, headers)


def streams(*pieces: bytes | Exception, body: Pieces | None = None) -> Answer:
    """Answer with an event stream."""
    headers = {"content-type": "text/event-stream;charset=UTF-8"}
    return lambda: httpx.Response(200, headers=headers, stream=body or Pieces(*pieces))


class Service:
    """Gives its answers one after another, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.requests: list[httpx.Request] = []
        self.timeouts: list[object] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        # httpx sends the same object again when it signs anew: keep what it held.
        headers = request.headers.copy()
        self.timeouts.append(request.extensions.get("timeout"))
        self.requests.append(
            httpx.Request(
                request.method, request.url, headers=headers, content=request.content
            )
        )
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer()

    @property
    def bodies(self) -> list[Json]:
        return [json.loads(request.content) for request in self.requests]

    def model(self, **kwargs: Any) -> ChatPmock:
        """A model that talks to this service, sync and async; it does not try again."""
        transport = httpx.MockTransport(self)
        clients = {
            "http_client": httpx.Client(transport=transport),
            "http_async_client": httpx.AsyncClient(transport=transport),
        }
        return make_model(
            **{"base_url": BASE_URL, "max_retries": 0, **clients, **kwargs}
        )


def make_model(**kwargs: Any) -> ChatPmock:
    if "model_name" not in kwargs:
        kwargs = {"model": "gpt-5.1", **kwargs}
    return ChatPmock(**{"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, **kwargs})


BODY: Json = {"model": "gpt-5.1", "messages": [{"role": "user", "content": "你好"}]}


class Texts:
    """A parser that yields the text of each delta, and `end` at the end."""

    def __init__(self) -> None:
        self.finished = False
        self.trace_id = "trace-1"

    def event(self, envelope: Mapping[str, Any]) -> str | None:
        for choice in envelope["data"]["choices"]:
            self.finished = self.finished or "finishReason" in choice
            text: str | None = choice["delta"].get("content")
            return text
        return None

    def end(self) -> str:
        return "end"


def client_of(service: Service, **kwargs: Any) -> PmockClient:
    """A client of the gateway that talks to this service; it does not try again."""
    transport = httpx.MockTransport(service)
    defaults = {
        "auth": PmockAuth(ACCESS_KEY, SECRET_KEY),
        "base_url": BASE_URL,
        "timeout": httpx.Timeout(5),
        "max_retries": 0,
        "stream_chunk_timeout": 600.0,
        "max_response_bytes": 64 * 2**20,
        "async_transport": "httpx",
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
    }
    return PmockClient(**{**defaults, **kwargs})


def read_stream(*pieces: bytes | Exception, parser: Any = Texts) -> list[Any]:
    """What the gateway makes of a stream that comes in these pieces."""
    return list(client_of(Service(streams(*pieces))).stream(BODY, parser))


def cuts(data: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut bytes at some places; the same place twice gives an empty piece."""
    ends = [*sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
