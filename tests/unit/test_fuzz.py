"""Whatever comes back ends in a right answer or a `PmockError`, and leaks nothing.

Everything goes through the front door: the model gets bytes, headers and broken
connections from a mock transport.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import time
import traceback
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_pmock import ChatPmock, PmockError, errors
from langchain_pmock._gateway import stream as _stream
from langchain_pmock.auth import ACCESS_TOKEN_HEADER
from tests.support.service import Pieces, cuts
from tests.support.wire import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hypothesis.strategies import DrawFn

# Each is the beginning of the next.
ACCESS_KEY = "ak-example"
SECRET_KEY = "ak-example-secret"
MINE = "ak-example-secret-of-my-proxy"
SECRETS = {"@A@": ACCESS_KEY, "@S@": SECRET_KEY, "@M@": MINE}
WAYS = ("invoke", "ainvoke", "stream", "astream")

Json = dict[str, Any]


class Echo:
    """A service that fills the credentials of a request into its answer."""

    def __init__(
        self,
        *pieces: bytes | tuple[type[httpx.TransportError], str],
        status: int = 200,
        headers: list[tuple[str, bytes]] | None = None,
        content_type: str = "text/event-stream",
    ) -> None:
        self._pieces = pieces
        self._status = status
        self._headers = [("content-type", content_type.encode()), *(headers or [])]
        self.tokens: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        token = request.headers[ACCESS_TOKEN_HEADER]
        self.tokens.add(token)

        def fill(text: bytes) -> bytes:
            for mark, secret in {**SECRETS, "@T@": token}.items():
                text = text.replace(mark.encode(), secret.encode())
            return text

        return httpx.Response(
            self._status,
            headers=[(name.encode(), fill(value)) for name, value in self._headers],
            stream=Pieces(
                *(
                    fill(piece)
                    if isinstance(piece, bytes)
                    else piece[0](fill(encoded(piece[1])).decode())
                    for piece in self._pieces
                )
            ),
        )

    def model(self, **fields: Any) -> ChatPmock:
        transport = httpx.MockTransport(self)
        return ChatPmock(
            model="gpt-5.1",
            base_url="https://gateway.invalid/api",
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            default_headers={"X-Mine": MINE},
            max_retries=0,
            http_client=httpx.Client(transport=transport),
            http_async_client=httpx.AsyncClient(transport=transport),
            **fields,
        )


def ask(model: ChatPmock, way: str) -> AIMessage | Exception:
    """Ask in one of the ways, and return what came of it."""

    async def ask_async() -> AIMessage:
        if way == "ainvoke":
            return await model.ainvoke("Hello")
        return merged([chunk async for chunk in model.astream("Hello")])

    try:
        if way == "invoke":
            return model.invoke("Hello")
        if way == "stream":
            return merged(list(model.stream("Hello")))
        return asyncio.run(ask_async())
    except Exception as error:  # noqa: BLE001 - the test looks at what it is
        return error


def merged(chunks: list[AIMessageChunk]) -> AIMessage:
    return reduce(add, chunks)


def all_about(error: BaseException) -> str:
    """Write down all that an error, its causes and its frames know.

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
        request = getattr(link, "_request", None)  # httpx's errors have it
        texts += [] if request is None else [repr(request.headers.raw)]
        response = getattr(link, "response", None)
        if response is not None:
            texts += [repr(response.headers.raw), response.text]
            texts += [repr(response.request.headers.raw), repr(response.extensions)]
        frames = traceback.walk_tb(link.__traceback__)
        for frame in traceback.StackSummary.extract(frames, capture_locals=True):
            if not re.search(r"\blangchain_core\b|\btests\b", frame.filename):
                texts += (frame.locals or {}).values()
    return "\n".join(texts)


def assert_no_secret(error: Exception, echo: Echo) -> None:
    known = all_about(error)
    assert [s for s in (*SECRETS.values(), *echo.tokens) if s in known] == []
    # Nor what a shorter secret leaves of a longer one.
    assert "-secret" not in known.replace("'-secret'", "")


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# --- Anything -------------------------------------------------------------------------

texts = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        ["@A@", "@S@", "@M@", "@T@", "a @S@ b", "\ud83d", "[DONE]", "null"]
    ),
    st.sampled_from(['{"a": [1', "1e999", "NaN", "{}", "\x1b[31m\nforged", "401"]),
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**300, -1, 0, 200, 401, 429, "402", float("inf"), float("nan")]),
    texts,
)
NAMES = [
    "code",
    "message",
    "data",
    "traceId",
    "trace_id",
    "choices",
    "delta",
    "content",
    "toolCalls",
    "function",
    "name",
    "arguments",
    "id",
    "index",
    "type",
    "finishReason",
    "usage",
    "promptTokens",
    "completionTokens",
    "totalTokens",
    "promptTokensDetails",
    "cachedTokens",
    "reasoningContent",
    "refusal",
    "logprobs",
    "model",
    "created",
    "error",
    "role",
    "annotations",
]
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), texts), inner, max_size=4),
    ),
    max_leaves=8,
)


def call(arguments: str, index: int = 0, **fields: Any) -> Json:
    function = {"name": "f", "arguments": arguments}
    return {"index": index, "id": f"call-{index}", "function": function, **fields}


def enveloped(*choices: Json, **data: Any) -> Json:
    data = {"id": "1", "model": "gpt-5.1", "choices": list(choices), **data}
    return {"code": 200, "message": "success", "traceId": "trace-1", "data": data}


def whole(content: object = "Hello", **message: Any) -> Json:
    message = {"role": "assistant", "content": content, **message}
    return enveloped({"index": 0, "message": message, "finishReason": "stop"})


def delta(_finish: str | None = None, **fields: Any) -> Json:
    finish = {"finishReason": _finish} if _finish else {}
    return enveloped({"index": 0, "delta": fields, **finish})


USAGE = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}
WHOLE = whole(reasoningContent="Hm", toolCalls=[call('{"a": 1}')])
WHOLE["data"]["usage"] = USAGE
EVENTS = [
    delta(role="assistant", content="Hel"),
    delta(content="lo", reasoningContent="Hm"),
    delta(toolCalls=[call('{"a"')]),
    delta(toolCalls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
    delta("stop"),
    enveloped(usage=USAGE),
]
END = event(delta("stop")) + event(b"[DONE]")


def paths(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    items: Any = ()
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield from ((key, *path) for path in paths(inner))


@st.composite
def mutated(draw: DrawFn, value: Any) -> Any:
    """The value with other values in some of its places."""
    for _ in range(draw(st.integers(0, 3))):
        value = copy.deepcopy(value)
        path = draw(st.sampled_from(list(paths(value))))
        if not path:
            return draw(values)
        place = value
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = draw(values)
    return value


@st.composite
def bodies(draw: DrawFn) -> list[Any]:
    kind = draw(st.sampled_from(["whole", "events", "events", "page", "bytes"]))
    if kind == "whole":
        body = json.dumps(draw(mutated(WHOLE))).encode()
    elif kind == "events":
        sent = draw(mutated(EVENTS))
        field = st.sampled_from([b"data:", b"event: ping\ndata: ", b"data: {\n"])
        fields = st.one_of(st.just(b"data: "), st.just(b"data: "), field)
        body = b"".join(
            draw(fields) + json.dumps(each).encode() + b"\n\n"
            for each in (sent if isinstance(sent, list) else [sent])
        )
        body += draw(st.sampled_from([b"", b"data: [DONE]\n\n", b"data: [DONE]"]))
    elif kind == "page":
        body = b"<html><body>%s</body>" % encoded(draw(texts))
    else:
        body = draw(st.one_of(st.binary(max_size=40), texts.map(encoded)))
    if not draw(st.integers(0, 5)):
        body = body[: draw(st.integers(0, len(body)))]
    pieces: list[Any] = cuts(body, draw(st.lists(st.integers(0, 9_999), max_size=3)))
    if not draw(st.integers(0, 5)):
        broken = [httpx.ReadError, httpx.ReadTimeout, httpx.DecodingError]
        pieces.append((draw(st.sampled_from(broken)), draw(texts)))
    return pieces


dates = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(["Mon,", "01", "Jan", "2035", "00:00:00", "-9999", "+08", "."]),
        max_size=8,
    ).map(" ".join),
)
headers = st.lists(
    st.one_of(
        st.tuples(st.just("date"), dates.map(encoded)),
        st.tuples(
            st.sampled_from(["location", "retry-after", "x-echo", "set-cookie"]),
            st.one_of(texts, st.sampled_from(["http://[", "//@T@", "9" * 400])).map(
                encoded
            ),
        ),
        st.tuples(
            st.just("content-encoding"),
            st.sampled_from([b"gzip", b"deflate", b"br", b"@S@", b"\x1b"]),
        ),
    ),
    max_size=2,
)
statuses = st.one_of(
    st.just(200),
    st.just(200),
    st.sampled_from([201, 204, 302, 400, 401, 402, 404, 407, 408, 429, 500, 599, 999]),
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(
    status=statuses,
    headers=st.one_of(st.just([]), headers),
    pieces=bodies(),
    content_type=st.sampled_from(["text/event-stream", "application/json", "text/x"]),
    streaming=st.sampled_from([None, True]),
)
def test_any_answer(
    status: int,
    headers: list[tuple[str, bytes]],
    pieces: list[Any],
    content_type: str,
    streaming: bool | None,
) -> None:
    outcomes = {}
    for way in WAYS:
        echo = Echo(*pieces, status=status, headers=headers, content_type=content_type)
        outcome = outcomes[way] = ask(echo.model(streaming=streaming), way)
        if isinstance(outcome, Exception):
            assert isinstance(outcome, PmockError), repr(outcome)
            assert str(outcome).isprintable()
            assert len(str(outcome)) < 3_000
            assert_no_secret(outcome, echo)
        else:
            assert isinstance(outcome, AIMessage)
            assert status == 200
    for way, async_way in (("invoke", "ainvoke"), ("stream", "astream")):
        one, other = outcomes[way], outcomes[async_way]
        assert type(one) is type(other)
        if isinstance(one, AIMessage) and isinstance(other, AIMessage):
            assert one.content == other.content


# --- What was found -------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("encoding", [b"br", b"@S@, zstd"])
def test_an_encoding_that_is_not_read(way: str, encoding: bytes) -> None:
    encodings = [("content-encoding", encoding)]
    refused = Echo(b"\x00\x01", status=402, headers=encodings)
    error = ask(refused.model(), way)
    assert isinstance(error, errors.PmockPaymentRequiredError)
    echo = Echo(b"\x00\x01", headers=encodings)
    error = ask(echo.model(), way)
    assert isinstance(error, errors.PmockResponseError)
    assert "only gzip, deflate is accepted" in str(error)
    assert error.response is not None
    assert_no_secret(error, echo)


@pytest.mark.parametrize("before", range(9_985, 10_000, 3))
def test_no_credential_is_cut_before_it_is_redacted(before: int) -> None:
    echo = Echo(b"x" * before + b"@M@" * 999)
    error = ask(echo.model(), "stream")
    assert isinstance(error, PmockError)
    assert "ak-ex" not in all_about(error)


def hello_and(more: Iterator[bytes], **fields: Any) -> ChatPmock:
    """A model whose answer is complete, and goes on."""

    class Body(Pieces):
        def __iter__(self) -> Iterator[bytes]:
            yield event(delta(content="Hello")) + event(delta("stop"))
            yield from more

    transport = httpx.MockTransport(
        lambda _: httpx.Response(
            200, headers={"content-type": "text/event-stream"}, stream=Body()
        )
    )
    model = Echo().model(**fields)
    model.http_client = httpx.Client(transport=transport)
    model.http_async_client = httpx.AsyncClient(transport=transport)
    return model


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_an_endless_event_after_the_finish_reason(way: str) -> None:
    read = 0

    def endless() -> Iterator[bytes]:
        nonlocal read
        while read < 9_000:
            read += 100
            yield b"x" * 100

    message = ask(hello_and(endless(), max_response_bytes=1_000), way)
    assert isinstance(message, AIMessage)
    assert message.text == "Hello"
    assert read <= 1_200


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_endless_keep_alives_after_the_finish_reason(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stream, "_AFTER_FINISH", 0.05)
    is_ended = False

    def endless() -> Iterator[bytes]:
        nonlocal is_ended
        until = time.monotonic() + 10
        while time.monotonic() < until:
            yield b": keep-alive\n\n" * 4_000
        is_ended = True

    message = ask(hello_and(endless()), way)
    assert isinstance(message, AIMessage)
    assert message.text == "Hello"
    assert not is_ended


# --- CPU time -------------------------------------------------------------------------

KEY = "ak-0123456789abcdef0123456789"


def error_body(**fields: Any) -> bytes:
    return json.dumps({"code": 400, "message": "no", **fields}).encode()


def answered(content: object = "x", **message: Any) -> bytes:
    return json.dumps(whole(content, **message)).encode()


STREAMS: dict[str, Callable[[int], bytes]] = {
    "comments": lambda n: b": \n" * n + END,
    "line breaks": lambda n: b"\r" * n + END,
    "lines of data": lambda n: b"data: 1\n" * n + b"\n",
    "empty lines of data": lambda n: b"data:\n" * n + b"\n" + END,
    "no events": lambda n: b"\ndata" * n,
    "texts": lambda n: event(delta(content="x")) * (n // 50) + END,
    "reasoning": lambda n: event(delta(reasoningContent="x")) * (n // 50) + END,
    "arguments in pieces": lambda n: (
        event(delta(toolCalls=[call('{"a": "')]))
        + event(delta(toolCalls=[{"index": 0, "function": {"arguments": "x"}}]))
        * (n // 50)
        + END
    ),
    "an open list": lambda n: (
        event(delta(toolCalls=[call('{"a": [' + "1," * n)])) + END
    ),
    "an open string": lambda n: (
        event(delta(toolCalls=[call('{"a": "' + '\\"' * n)])) + END
    ),
    "open brackets": lambda n: event(delta(toolCalls=[call("[" * n)])) + END,
    "open objects": lambda n: event(delta(toolCalls=[call('{"a":' * n)])) + END,
    "halves of surrogates": lambda n: (
        event(delta(toolCalls=[call('{"a": "' + "\\ud83d" * n)])) + END
    ),
}
ANSWERS: dict[str, Callable[[int], bytes]] = {
    "a name in capitals": lambda n: answered(**{"A" * n: 1}),
    "a name of many words": lambda n: answered(**{"aB" * n: 1}),
    "an open list": lambda n: answered(toolCalls=[call('{"a": [' + "1," * n)]),
    "deep": lambda n: b'{"code": 200, "data": ' + b"[" * n,
    "digits": lambda n: b'{"code": ' + b"9" * n + b"}",
    "halves of surrogates": lambda n: answered("\ud83d" * n),
    "no UTF-8": lambda n: b"\xff" * n,
}
ERRORS: dict[str, Callable[[int], bytes]] = {
    "tags": lambda n: b"<a" * n,
    "bodies": lambda n: b"<body" * n,
    "a message": lambda n: error_body(message="input token count too many " * n),
    "controls": lambda n: error_body(message="\x1b" * n),
    "beginnings of a key": lambda n: error_body(message=(KEY[:20] + "*") * n),
    "a list as trace id": lambda n: error_body(traceId=[1] * n),
}
CASES = [
    *(("stream", 200, name, make) for name, make in STREAMS.items()),
    *(("invoke", 200, name, make) for name, make in ANSWERS.items()),
    *(("invoke", 400, name, make) for name, make in ERRORS.items()),
]


@pytest.mark.parametrize("way", WAYS)
def test_our_frames_do_not_keep_what_was_handed_out(way: str) -> None:
    echo = Echo(event(delta(content="@A@")) + b"data: {\n\n")
    outcome = ask(echo.model(), way)
    assert isinstance(outcome, PmockError)
    assert_no_secret(outcome, echo)


def cpu_time(way: str, status: int, body: bytes, size: int) -> float:
    """The lesser of two, because the garbage collector may have a full pass in one."""
    return min(cpu_time_once(way, status, body, size) for _ in range(2))


def cpu_time_once(way: str, status: int, body: bytes, size: int) -> float:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    model = Echo(*pieces, status=status).model()
    model.access_key = KEY
    began = time.process_time()
    outcome = ask(model, way)
    spent = time.process_time() - began
    assert isinstance(outcome, (AIMessage, PmockError)), repr(outcome)
    return spent


@pytest.mark.parametrize(
    ("way", "status", "make"),
    [case[:2] + case[3:] for case in CASES],
    ids=[f"{way} {status} {name}" for way, status, name, _ in CASES],
)
def test_cpu_time_is_linear(
    way: str, status: int, make: Callable[[int], bytes]
) -> None:
    few = cpu_time(way, status, make(5_000), 65_536)
    # Eight times the size: what is quadratic takes 64 times as long.
    assert cpu_time(way, status, make(40_000), 65_536) < 24 * few + 0.2


def test_cpu_time_of_single_bytes_is_linear() -> None:
    def body(n: int) -> bytes:
        return event(delta(content="x" * n)).replace(b"\n", b"\r\n") + END

    few = cpu_time("stream", 200, body(2_000), 1)
    assert cpu_time("stream", 200, body(16_000), 1) < 24 * few + 0.2
