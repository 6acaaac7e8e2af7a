"""Answers that are not of the documented shape, and redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from langchain_pmock import errors
from tests.support.odd import Odd, odd_model
from tests.support.raw_server import RawServer, head, stream, whole
from tests.support.wire import answer, envelope

if TYPE_CHECKING:
    from tests.support.asking import Ask

pytestmark = pytest.mark.usefixtures("fast_retries")

HTML = b"<html><head><title>x</title></head><body>Bad Gateway</body></html>"
WEB_PAGE = {"Content-Type": "text/html; charset=utf-8"}

TRACED = {"traceId": "trace-1"}
ODD_ANSWERS = (
    Odd("web page with 200", whole(HTML, headers=WEB_PAGE), says="Bad Gateway"),
    Odd(
        "web page with 502",
        whole(HTML, "502 Bad Gateway", WEB_PAGE),
        errors.PmockAPIError,
        says="Bad Gateway",
        passes=True,
    ),
    Odd(
        "web page with 404",
        whole(HTML, "404 Not Found", WEB_PAGE),
        errors.PmockNotFoundError,
    ),
    Odd(
        "web page as an event stream",
        whole(HTML, headers={"Content-Type": "text/event-stream"}),
        says="Bad Gateway",
    ),
    Odd("text", whole(b"upstream is down"), says="upstream is down"),
    Odd("no content", [head("204 No Content", length=0)], says="204"),
    Odd("empty", whole(b"")),
    Odd("no json", whole(b"{'code': 200}"), says="{'code': 200}"),
    Odd("half of json", whole(b'{"code": 200, "data"'), says="200"),
    Odd("json that nests too deep", whole(b"[" * 100_000)),
    Odd("json list", whole(b"[1, 2]"), says="[1, 2]"),
    Odd("json null", whole(b"null"), says="null"),
    Odd("no code", whole({"data": {"choices": []}}), says="choices"),
    Odd("a code that is a word", whole(envelope(None, "E1")), says="E1"),
    Odd("200 without data", whole({"code": 200, "message": "hm"}), says="hm"),
    Odd("data null", whole(envelope(None, **TRACED)), says="Trace id: trace-1."),
    Odd("data list", whole(envelope([], **TRACED)), says="Trace id: trace-1."),
    Odd("no choices", whole(envelope({"id": "1"})), says="no choices"),
    Odd("choices empty", whole(envelope({"choices": []})), says="no choices"),
    Odd("choices null", whole(envelope({"choices": None})), says="no choices"),
    Odd("choice null", whole(envelope({"choices": [None]}))),
    Odd("choices of another type", whole(envelope({"choices": {"a": 1}}))),
    Odd("message of another type", whole(envelope({"choices": [{"message": "x"}]}))),
    Odd("gzip garbage", whole(b"not gzip", headers={"Content-Encoding": "gzip"})),
    Odd(
        "gzip garbage as a stream",
        stream(b"not gzip", headers={"Content-Encoding": "gzip"}),
    ),
    Odd("unknown encoding", whole(b"\xff\xfe", headers={"Content-Encoding": "rot13"})),
)


@pytest.mark.parametrize("odd", ODD_ANSWERS, ids=str)
def test_an_odd_answer(ask: Ask, odd: Odd) -> None:
    with odd_model(odd) as (model, server):
        outcome = ask(model)
    assert type(outcome.error) is odd.error_of(ask), outcome.error
    assert odd.says in str(outcome.error)
    assert len(server.requests) == 1 + odd.passes
    assert outcome.pieces == []


def test_a_whole_answer_in_place_of_a_stream(ask: Ask) -> None:
    with odd_model(Odd("whole", whole(answer("Hello")))) as (model, _):
        assert ask(model).pieces == ["Hello"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(ask: Ask, status: int) -> None:
    with RawServer(whole(answer("caught"))) as elsewhere:
        target = f"{elsewhere.url}/ai/chat/completions"
        redirect = whole(b"", f"{status} Elsewhere", {"Location": target})
        with odd_model(Odd("redirect", redirect)) as (model, server):
            outcome = ask(model)
    assert type(outcome.error) is errors.PmockResponseError
    assert outcome.error.status_code == status
    assert f"redirected to {target}" in str(outcome.error)
    assert len(server.requests) == 1
    assert elsewhere.requests == []
