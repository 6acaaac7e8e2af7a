"""The service without a network: answers for a mock transport of httpx2 or httpx."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import traceback
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import httpx2

from langchain_pmock import ChatPmock
from langchain_pmock._gateway.client import Call, PmockClient
from langchain_pmock._json import UnreadableError
from langchain_pmock._signature import ACCESS_TOKEN_HEADER
from tests.support.wire import Json, choice_of, chunk_of, data_of, dump, envelope
from tests.support.wire import events as events_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    Answer = Callable[[], httpx2.Response] | Exception

ACCESS_KEY = "ak-example"
SECRET_KEY = "sk-example"
BASE_URL = "https://gateway.invalid/api"


class Pieces(
    httpx2.SyncByteStream,
    httpx2.AsyncByteStream,
    httpx.SyncByteStream,
    httpx.AsyncByteStream,
):
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
    return lambda: httpx2.Response(status, headers=headers, stream=Pieces(body))


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


def streams(
    *pieces: bytes | Exception,
    body: Pieces | None = None,
    status: int = 200,
    extensions: Json | None = None,
    **headers: str,
) -> Answer:
    """Answer with an event stream."""
    headers = {"content-type": "text/event-stream;charset=UTF-8", **headers}
    return lambda: httpx2.Response(
        status,
        headers={name.replace("_", "-"): value for name, value in headers.items()},
        stream=body or Pieces(*pieces),
        extensions=extensions,
    )


class Service:
    """Sends its answers one after another, the last one again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = deque(answers)
        self.requests: list[httpx2.Request] = []
        self.timeouts: list[object] = []

    def __call__(self, request: Any) -> Any:
        library: Any = sys.modules[type(request).__module__.partition(".")[0]]
        # A client sends the same object again when it signs anew: copy its headers.
        self.timeouts.append(request.extensions.get("timeout"))
        self.requests.append(
            httpx2.Request(
                request.method,
                str(request.url),
                headers=request.headers.raw,
                content=request.content,
            )
        )
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.popleft()
        if isinstance(answer, Exception):
            name = type(answer).__name__
            if type(answer) is getattr(httpx2, name, None):
                raise getattr(library, name)(str(answer))
            raise answer
        made = answer()
        if isinstance(made, library.Response):
            return made
        stream = made.stream if isinstance(made.stream, Pieces) else Pieces(made.read())
        return library.Response(
            made.status_code,
            headers=made.headers.raw,
            stream=stream,
            extensions=made.extensions,
        )

    @property
    def bodies(self) -> list[Json]:
        return [json.loads(request.content) for request in self.requests]

    @property
    def tokens(self) -> list[str]:
        return [request.headers[ACCESS_TOKEN_HEADER] for request in self.requests]

    def clients(self, library: Any = httpx2, **options: Any) -> dict[str, Any]:
        """Clients of one of the libraries that talk to this service."""
        options = {"transport": library.MockTransport(self), **options}
        return {
            "http_client": library.Client(**options),
            "http_async_client": library.AsyncClient(**options),
        }

    def model(self, **kwargs: Any) -> ChatPmock:
        """A model that talks to this service, sync and async; it does not try again."""
        return make_model(
            **{"base_url": BASE_URL, "max_retries": 0, **self.clients(), **kwargs}
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
        if not isinstance(envelope["data"].get("choices"), list):
            reason = "its choices are no list"
            raise UnreadableError(reason)
        for choice in envelope["data"]["choices"]:
            self.finished = self.finished or "finishReason" in choice
            text: str | None = choice["delta"].get("content")
            return text
        return None

    def end(self) -> str:
        return "end"


def client_of(service: Service, library: Any = httpx2, **settings: Any) -> PmockClient:
    """A client of the gateway that talks to this service; it does not try again."""
    defaults = {
        "access_key": ACCESS_KEY,
        "secret_key": SECRET_KEY,
        "base_url": BASE_URL,
        "max_retries": 0,
        "stream_chunk_timeout": 600.0,
        "max_response_bytes": 64 * 2**20,
        **service.clients(library),
    }
    return PmockClient(**{**defaults, **settings})


@dataclass(frozen=True)
class Way:
    """A way to ask, and the library of the user's client."""

    method: str
    library: Any = httpx2

    def __str__(self) -> str:
        return f"{self.method}-{self.library.__name__}"

    @property
    def is_async(self) -> bool:
        return self.method.startswith("a")

    @property
    def is_stream(self) -> bool:
        return self.method.endswith("stream")

    @property
    def hello(self) -> Answer:
        """A right answer."""
        if self.is_stream:
            return streams(
                events_of(chunk_of({"content": "Hel"}), chunk_of({"content": "lo"}))
            )
        return whole(envelope(chunk_of({"content": "Hello"})))

    @property
    def texts(self) -> list[str]:
        """The texts of a right answer."""
        return ["Hel", "lo", "end"] if self.is_stream else ["Hello", "end"]

    def __call__(
        self,
        service: Service | PmockClient,
        request: Json = BODY,
        parser: Any = Texts,
        *,
        call: Json | None = None,
        **settings: Any,
    ) -> list[Any]:
        """Call a service, or a client, and return all texts."""
        client = service
        if isinstance(client, Service):
            client = client_of(client, self.library, **settings)
        items = self.send(client, request, parser, **(call or {}))
        return asyncio.run(collected(items)) if self.is_async else list(items)

    def send(
        self,
        client: PmockClient,
        body: Json = BODY,
        parser: Any = Texts,
        **call: Any,
    ) -> Any:
        """Return the iterator of a call."""
        body = {**body, "stream": True} if self.is_stream else body
        sent = Call(body, parser, **call)
        return client.asend(sent) if self.is_async else client.send(sent)


async def collected(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


WAYS = [
    Way(method, library)
    for method in ("post", "apost", "stream", "astream")
    for library in (httpx2, httpx)
]
POST, STREAM = Way("post"), Way("stream")


def read_stream(*pieces: bytes | Exception, parser: Any = Texts) -> list[Any]:
    """Return what the gateway makes of a stream that comes in these pieces."""
    return STREAM(Service(streams(*pieces)), parser=parser)


class Hidden(dict[str, str]):
    """Headers, kept out of the local variables that an error tracker records."""

    __repr__ = object.__repr__


class Echo(Service):
    """A service that fills the credentials of a request into its answer.

    They stand for `@A@`, the access key, `@S@`, the secret key, `@T@`, the token, and
    `@M@`, a header of the user's.
    """

    # Each is the beginning of the next.
    access_key = "AK-example"
    secret_key = "AK-example-Secret"
    mine = "AK-example-Secret-of-my-proxy"

    def __call__(self, request: Any) -> Any:
        marks = {
            b"@A@": self.access_key.encode(),
            b"@S@": self.secret_key.encode(),
            b"@M@": self.mine.encode(),
            b"@T@": request.headers[ACCESS_TOKEN_HEADER].encode(),
        }

        def fill(text: bytes) -> bytes:
            for mark, secret in marks.items():
                text = text.replace(mark, secret)
            return text

        def filled(piece: bytes | Exception) -> bytes | Exception:
            if isinstance(piece, bytes):
                return fill(piece)
            return type(piece)(fill(str(piece).encode("utf-8", "replace")).decode())

        def fill_answer(answer: Any) -> Any:
            if isinstance(answer, Exception):
                return filled(answer)
            made = answer()
            pieces = list(map(filled, made.stream.pieces))
            extensions = {name: fill(v) for name, v in made.extensions.items()}
            return lambda: httpx2.Response(
                made.status_code,
                headers=[(name, fill(value)) for name, value in made.headers.raw],
                stream=Pieces(*pieces),
                extensions=extensions,
            )

        self.answers = deque(map(fill_answer, self.answers))
        return super().__call__(request)

    @property
    def settings(self) -> Json:
        return {"access_key": self.access_key, "secret_key": self.secret_key}

    def ask(self, way: Way, **settings: Any) -> list[Any]:
        headers = Hidden({"X-Mine": self.mine})
        return way(self, call={"headers": headers}, **self.settings, **settings)

    def model(self, **kwargs: Any) -> ChatPmock:
        headers = {"X-Mine": self.mine}
        return super().model(**self.settings, default_headers=headers, **kwargs)

    def leaked(self, error: BaseException) -> list[str]:
        """List the credentials, whole or not, in what an error tracker records."""
        secrets = [self.mine, self.secret_key, self.access_key, *self.tokens]
        # What a shorter secret leaves of a longer one, or a cut of one.
        parts = ["-Secret", self.access_key[:5], *(token[:8] for token in self.tokens)]
        text = all_about(error).lower()
        return [secret for secret in (*secrets, *parts) if secret.lower() in text]


def all_about(
    error: BaseException, frames_left_out: str = r"\blangchain_core\b|\btests\b"
) -> str:
    """Collect the texts of an error, of its causes, and of all local variables.

    The frames of the tests and of langchain-core hold what the answer had before the
    error, as it was sent.
    """
    links: list[BaseException | None] = [error]
    texts = []
    for link in links:
        if link is None:
            continue
        links += [link.__cause__, link.__context__]
        texts += [str(link), repr(link), repr(link.args), repr(vars(link))]
        request = getattr(link, "_request", None)  # the errors of httpx have it
        texts += [] if request is None else [repr(request.headers.raw)]
        response = getattr(link, "response", None)
        if response is not None:
            texts += [repr(response.headers.raw), response.text, str(response.history)]
            texts += [repr(response.request.headers.raw), repr(response.extensions)]
        frames = traceback.walk_tb(link.__traceback__)
        for frame in traceback.StackSummary.extract(frames, capture_locals=True):
            if not re.search(frames_left_out, frame.filename):
                texts += (frame.locals or {}).values()
    return "\n".join(texts)
