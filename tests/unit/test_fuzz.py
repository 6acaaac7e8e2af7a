"""Any answer ends in a right message or a `PmockError`, and reveals no key.

Everything goes through the front door: the model receives bytes, headers and broken
connections from a mock transport.
"""

import copy
import json
import time
from collections.abc import Callable, Iterator
from functools import reduce
from operator import add
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from langchain_core.messages import AIMessage

from langchain_pmock import PmockError
from tests.support.calls import WAYS, Ask
from tests.support.service import Echo, Pieces
from tests.support.wire import (
    Json,
    choice_of,
    chunk_of,
    data_of,
    dump,
    envelope,
    event,
    pieces_of,
)


def answering(
    *pieces: bytes | Exception,
    status: int = 200,
    headers: list[tuple[str, bytes]] | None = None,
    content_type: str = "text/event-stream",
) -> Echo:
    raw = [("content-type", content_type.encode()), *(headers or [])]
    named = [(name.encode(), value) for name, value in raw]
    return Echo(lambda: httpx2.Response(status, headers=named, stream=Pieces(*pieces)))


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


# --- Anything -------------------------------------------------------------------------

texts = st.text(max_size=8) | st.sampled_from(
    [
        *("@A@", "@S@", "@M@", "@T@", "a @S@ b", "\ud83d", "[DONE]", "null"),
        *("non_standard", "v1", "lc_1", "text", "0"),
        *('{"a": [1', "1e999", "NaN", "{}", "\x1b[31m\nforged", "401"),
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**300, -1, 0, 200, 401, 429, "402", float("inf"), float("nan")]),
    texts,
)
NAMES = [
    *("code", "message", "data", "traceId", "trace_id", "choices", "delta", "content"),
    *("toolCalls", "function", "name", "arguments", "id", "index", "type", "model"),
    *("finishReason", "usage", "promptTokens", "completionTokens", "totalTokens"),
    *("promptTokensDetails", "cachedTokens", "reasoningContent", "refusal", "role"),
    *("logprobs", "created", "error", "annotations", "value", "modelProvider", "text"),
    *("output_version", "toolCallExtras"),
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


def enveloped(data: Json) -> Json:
    return envelope(data, traceId="trace-1")


def whole(content: object = "Hello", **message: Any) -> Json:
    return enveloped(data_of(choice_of({"content": content, **message}), usage=USAGE))


def delta(finish: str = "", **fields: Any) -> Json:
    return enveloped(chunk_of(fields, finish))


USAGE = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}
WHOLE = whole(reasoningContent="Hm", toolCalls=[call('{"a": 1}')])
EVENTS = [
    delta(role="assistant", content="Hel"),
    delta(content="lo", reasoningContent="Hm"),
    delta(toolCalls=[call('{"a"')]),
    delta(toolCalls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
    delta(content=[{"type": "text", "text": "!", "index": 0, "id": "1"}]),
    delta("stop"),
    enveloped(chunk_of(None, usage=USAGE)),
]
EVENTS[0]["data"]["choices"][0]["logprobs"] = {"content": [{"token": "Hel"}]}
KEY = 'ak/ex"ample+clé=='  # with characters that may be escaped
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
        tokens = st.sampled_from([b"data: ", b"\n", b"\n\n", b"\r", b"[DONE]", END])
        lines = st.lists(tokens | st.binary(max_size=20), max_size=15).map(b"".join)
        body = draw(st.one_of(lines, texts.map(encoded)))
    if not draw(st.integers(0, 5)):
        body = body[: draw(st.integers(0, len(body)))]
    pieces: list[Any] = pieces_of(
        body, draw(st.lists(st.integers(0, 9_999), max_size=3))
    )
    if not draw(st.integers(0, 5)):
        broken = [httpx2.ReadError, httpx2.ReadTimeout, httpx2.DecodingError]
        pieces.append(draw(st.sampled_from(broken))(draw(texts)))
    return pieces


dates = st.text(max_size=30) | st.lists(
    st.sampled_from(["Mon,", "01", "Jan", "2035", "00:00:00", "-9999", "+08", "."]),
    max_size=8,
).map(" ".join)
names = st.sampled_from(["location", "retry-after", "x-echo", "set-cookie"])
links = st.sampled_from(["http://[", "//@T@", "9" * 400])
encodings = st.sampled_from(["gzip", "deflate", "br", "@S@", "\x1b"])
headers = st.lists(
    st.tuples(st.just("date"), dates.map(encoded))
    | st.tuples(names, (texts | links).map(encoded))
    | st.tuples(st.just("content-encoding"), encodings.map(encoded)),
    max_size=2,
)
statuses = st.just(200) | st.sampled_from(
    [200, 201, 204, 302, 400, 401, 402, 404, 407, 408, 429, 500, 599, 999]
)


def merged(messages: list[Any]) -> Any:
    first, *others = messages
    return first + others if others else first


@settings(max_examples=250, suppress_health_check=[HealthCheck.too_slow])
@given(
    status=statuses,
    headers=st.just([]) | headers,
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
    outcomes: dict[Ask, type[Exception] | str] = {}
    for ask in WAYS:
        echo = answering(
            *pieces, status=status, headers=headers, content_type=content_type
        )
        outcome = ask(echo.model(streaming=streaming))
        if (error := outcome.error) is None:
            message: Any = reduce(add, outcome.messages)
            at_once = merged(outcome.messages)
            assert isinstance(message, AIMessage)
            assert message.model_dump()
            assert isinstance(message.content_blocks, list)
            assert at_once.text == message.text
            assert status == 200
            outcomes[ask] = repr(message.content)
            continue
        assert isinstance(error, PmockError), repr(error)
        assert str(error).isprintable()
        assert len(str(error)) < 3_000
        assert echo.leaked(error) == []
        outcomes[ask] = type(error)
    whole, stream, awhole, astream = outcomes.values()
    assert (whole, stream) == (awhole, astream)


# --- CPU time -------------------------------------------------------------------------


def answered(content: object = "x", **message: Any) -> bytes:
    return json.dumps(whole(content, **message)).encode()


def arguments(text: str) -> bytes:
    return event(delta(toolCalls=[call(text)])) + END


PIECE = event(delta(toolCalls=[{"index": 0, "function": {"arguments": "x"}}]))
STREAMS: dict[str, Callable[[int], bytes]] = {
    "comments": lambda n: b": \n" * n + END,
    "line breaks": lambda n: b"\r" * n + END,
    "lines of data": lambda n: b"data: 1\n" * n + b"\n",
    "empty lines of data": lambda n: b"data:\n" * n + b"\n" + END,
    "no events": lambda n: b"\ndata" * n,
    "texts": lambda n: event(delta(content="x")) * (n // 50) + END,
    "reasoning": lambda n: event(delta(reasoningContent="x")) * (n // 50) + END,
    "arguments in pieces": lambda n: (
        arguments('{"a": "').removesuffix(END) + PIECE * (n // 50) + END
    ),
    "an open list": lambda n: arguments('{"a": [' + "1," * n),
    "an open string": lambda n: arguments('{"a": "' + '\\"' * n),
    "open brackets": lambda n: arguments("[" * n),
    "arguments that are no JSON": lambda n: arguments("word " * (n // 5)),
    "open objects": lambda n: arguments('{"a":' * n),
    "halves of surrogates": lambda n: arguments('{"a": "' + "\\ud83d" * n),
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
    "beginnings of a key": lambda n: (KEY[:9] + "*").encode() * n,
    "backslashes": lambda n: b"ak" + b"\\" * n,
    "units": lambda n: b"ak" + b"\\u002" * n,
    "percents": lambda n: b"ak" + b"%25" * n,
    "zeros": lambda n: b"ak&#" + b"0" * n + b"&#x" + b"0" * n,
    "names": lambda n: b"ak&sol;" * n,
    "brackets": lambda n: b"<" * n,
    "tags": lambda n: b"<script>" * n,
    "bodies": lambda n: b"<body" * n,
    "overflows": lambda n: dump({"message": "input token count too many " * n}),
    "controls": lambda n: dump({"code": 400, "message": "\x1b" * n}),
    "a list": lambda n: dump({"code": 400, "traceId": [1] * n}),
}
CASES = {
    **{f"stream, {name}": (WAYS[1], make, 200) for name, make in STREAMS.items()},
    **{f"invoke, {name}": (WAYS[0], make, 200) for name, make in ANSWERS.items()},
    **{f"error, {name}": (WAYS[0], make, 400) for name, make in ERRORS.items()},
}


def cpu_time(ask: Ask, body: bytes, size: int = 65_536, status: int = 200) -> float:
    """The lesser of two, because the garbage collector may have a full pass in one."""
    spent = []
    for _ in range(2):
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        service = answering(*pieces, status=status)
        service.access_key = KEY
        model = service.model()
        began = time.process_time()
        outcome = ask(model)
        if outcome.error is None:
            merged(outcome.messages)
        spent.append(time.process_time() - began)
        assert outcome.error is None or isinstance(outcome.error, PmockError)
    return min(spent)


@pytest.mark.parametrize("case", CASES)
def test_cpu_time_is_linear(case: str) -> None:
    ask, make, status = CASES[case]
    few = cpu_time(ask, make(5_000), status=status)
    # Eight times the size: what is quadratic takes 64 times as long.
    assert cpu_time(ask, make(40_000), status=status) < 24 * few + 0.2


def test_cpu_time_of_single_bytes_is_linear() -> None:
    def body(n: int) -> bytes:
        return event(delta(content="x" * n)).replace(b"\n", b"\r\n") + END

    few = cpu_time(WAYS[1], body(2_000), 1)
    assert cpu_time(WAYS[1], body(16_000), 1) < 24 * few + 0.2
