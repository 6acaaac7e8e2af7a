"""What an answer means: data, or which error, and that no error shows a secret."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_pmock._gateway.envelope import (
    failure,
    is_success,
    read_answer,
)

from langchain_pmock import (
    PmockAPIError,
    PmockAuth,
    PmockContextOverflowError,
    PmockError,
    PmockInvalidRequestError,
    PmockNotFoundError,
    PmockPermissionDeniedError,
    PmockRateLimitError,
    PmockResponseError,
)
from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER
from tests.support.service import ACCESS_KEY, BASE_URL, SECRET_KEY
from tests.support.wire import dump, envelope

AUTH = PmockAuth(ACCESS_KEY, SECRET_KEY)


def response_of(status: int = 200, body: bytes = b"", **headers: str) -> httpx.Response:
    request = httpx.Request("POST", BASE_URL, headers={"x-mine": "1"}, json={})
    AUTH.sign_request(request)
    return httpx.Response(status, content=body, headers=headers, request=request)


def fail(payload: Any, status: int = 200, **headers: str) -> PmockError:
    body = payload if isinstance(payload, bytes) else dump(payload)
    return failure(body, response_of(status, body, **headers), AUTH)


@pytest.mark.parametrize("code", [200, "200", 200.0], ids=repr)
@pytest.mark.parametrize("data", [{}, {"choices": []}])
def test_success(code: object, data: dict[str, Any]) -> None:
    answer = {**envelope(data), "code": code}
    assert is_success(answer)
    assert read_answer(dump(answer), response_of(), AUTH, dict) == answer


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        [],
        "200",
        {},
        {"code": 200},
        {"data": {}},
        {"code": 200, "data": None},
        {"code": 200, "data": []},
        {"code": 200, "data": "x"},
        {"code": 201, "data": {}},
        {"code": [200], "data": {}},
        {"code": True, "data": {}},
    ],
)
def test_no_success(value: object) -> None:
    assert not is_success(value)
    with pytest.raises(PmockError):
        read_answer(dump(value), response_of(), AUTH, dict)


def test_no_success_of_another_http_status() -> None:
    with pytest.raises(PmockAPIError):
        read_answer(dump(envelope({})), response_of(500), AUTH, dict)
    with pytest.raises(PmockResponseError):
        read_answer(dump(envelope({})), response_of(201), AUTH, dict)


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (200, 429, PmockRateLimitError),
        (200, "503", PmockAPIError),
        (429, 429, PmockRateLimitError),
        (429, None, PmockRateLimitError),
        (429, 200, PmockRateLimitError),
        # The envelope knows better than the status, unless it follows no status.
        (500, 404, PmockNotFoundError),
        (403, 10001, PmockPermissionDeniedError),
        (200, 10001, PmockError),
        (200, None, PmockResponseError),
        (200, 200, PmockResponseError),
        (204, None, PmockResponseError),
        (302, None, PmockResponseError),
        (418, None, PmockInvalidRequestError),
        (504, None, PmockAPIError),
    ],
)
def test_class_by_status_and_code(
    status: int, code: int | str | None, cls: type[PmockError]
) -> None:
    error = fail({"code": code, "message": "no", "traceId": "trace-1"}, status)
    assert type(error) is cls
    assert error.status_code == status
    assert error.code == (code and int(code))
    assert error.trace_id == "trace-1"
    assert "Trace id: trace-1." in str(error)


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"code": 400, "message": "bad field"}, "bad field"),
        ({"code": 400, "message": {"message": "inner"}}, "inner"),
        ({"code": 400, "message": {"reason": "x"}}, "{'reason': 'x'}"),
        ({"error": {"message": "an OpenAI-shaped error"}}, "an OpenAI-shaped error"),
        ({"error": "plain"}, "plain"),
        ({"code": 400, "message": None}, "(400)."),
        ({}, "(400): {}."),
        ([1, 2], "(400): [1,2]."),
        (b"", "(400): Bad Request."),
        (b"<h1>Bad   Request</h1>", "(400): Bad Request."),
        (b"<head><style>\nh1 {}\n</style></head><body><p>a<br>b", ": a b."),
        ({"code": 400, "message": "a\nFAKE: b\x1b[31m\x00"}, "a FAKE: b\\x1b[31m\\x00"),
        (b"x" * 1000, "x" * 200 + "..."),
        (b"\xff", "\ufffd"),
    ],
)
def test_what_was_said(payload: object, said: str) -> None:
    error = fail(payload, 400)
    assert type(error) is PmockInvalidRequestError
    assert said in str(error)
    assert len(str(error)) < 500


def test_a_long_message_is_cut() -> None:
    error = fail({"code": 400, "message": "x" * 10_000})
    assert "x" * 2000 + "..." in str(error)
    assert len(str(error)) < 2200
    assert error.response is not None
    assert "x" * 10_000 in error.response.text


@pytest.mark.parametrize(
    "body",
    [
        b"<" * 400_000,
        b"<script>" * 60_000,
        dump({"code": 400, "message": "input token count " * 40_000}),
        b"x" * 5_000_000,
    ],
    ids=["brackets", "scripts", "message", "long"],
)
def test_no_body_keeps_the_process_busy(body: bytes) -> None:
    began = time.process_time()
    error = fail(body, 400)
    assert time.process_time() - began < 2  # some of these took half a minute
    assert len(str(error)) < 5_000
    assert error.response is not None
    assert len(error.response.content) <= 200_000


def test_context_overflow() -> None:
    message = "This model's maximum context length is 100 tokens."
    assert type(fail({"code": 400, "message": message})) is PmockContextOverflowError
    # A proxy before the service may answer in OpenAI's dialect.
    error = fail({"error": {"message": message}}, 400)
    assert type(error) is PmockContextOverflowError


@pytest.mark.parametrize(
    "code", [float("inf"), float("-inf"), float("nan"), "9" * 5000, [], {}, "x"]
)
def test_a_code_that_is_no_number(code: object) -> None:
    error = fail({"code": code, "message": "no"})
    assert error.code is None
    assert type(error) is PmockResponseError


def test_trace_id_in_snake_case() -> None:
    assert fail({"code": 400, "trace_id": "trace-1"}).trace_id == "trace-1"


def test_a_redirect_is_an_error_that_says_where_to() -> None:
    error = fail(b"", 302, location="https://elsewhere.invalid/")
    assert type(error) is PmockResponseError
    assert "redirected to https://elsewhere.invalid/" in str(error)


@pytest.mark.parametrize(
    ("offset", "hint"),
    [
        (0, ""),
        (5, ""),
        (90, "clock is 90 s behind the service's"),
        (-90, "clock is 90 s ahead of the service's"),
    ],
)
def test_a_wrong_clock_is_hinted_at(
    offset: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1768809934.5)
    date = formatdate(1768809934 + offset, usegmt=True)
    text = str(fail({"code": 401, "message": "no"}, date=date))
    assert hint in text
    assert ("s clock is 9" in text) == bool(hint)
    assert "clock is 9" not in str(fail({"code": 403, "message": "no"}, date=date))


def test_a_trace_id_cannot_forge_a_log() -> None:
    error = fail(
        {"code": 500, "message": "no", "traceId": "t\nERROR forged" + "x" * 999}
    )
    assert error.trace_id is not None
    assert error.trace_id.startswith("t ERROR forged")
    assert len(error.trace_id) < 210
    assert error.request_id == error.trace_id


@pytest.mark.parametrize("status", [200, 401])
def test_no_secret_in_what_an_error_holds(status: int) -> None:
    response = response_of(status)
    token = response.request.headers[ACCESS_TOKEN_HEADER]
    secrets = (ACCESS_KEY, SECRET_KEY, token)
    echo = " ".join(secrets)
    response.headers["x-echo"] = echo
    response.headers["location"] = f"https://elsewhere.invalid/?{echo}"
    body = dump({"code": status + 200, "message": echo, "traceId": echo})
    for payload in (body, echo.encode(), f"<p>{echo}</p>".encode()):
        error = failure(payload, response, AUTH)
        assert error.response is not None
        held = [
            str(error),
            error.trace_id,
            error.response.text,
            error.response.headers.raw,
            error.response.request.headers.raw,
        ]
        assert not any(secret in str(held) for secret in secrets)
        assert "***" in str(error)


def test_no_secret_in_an_echoed_reason() -> None:
    request = httpx.Request("POST", BASE_URL)
    AUTH.sign_request(request)
    token = request.headers[ACCESS_TOKEN_HEADER]
    reason = f"no {token} {ACCESS_KEY}".encode()
    extensions = {"reason_phrase": reason}
    response = httpx.Response(500, request=request, extensions=extensions)
    error = failure(b"", response, AUTH)
    assert "no *** ***" in str(error)
    assert token not in repr(error.__dict__)


def test_no_secret_in_an_echoed_trace_id() -> None:
    error = fail({"code": 500, "message": "no", "traceId": f"t-{ACCESS_KEY}"})
    assert error.trace_id == "t-***"
    assert ACCESS_KEY not in str(error)


def test_the_response_of_an_error_is_a_readable_copy_without_the_signature() -> None:
    body = dump({"code": 429, "message": "no"})
    headers = {"retry-after": "1", "content-encoding": "gzip", "content-length": "5"}
    response = response_of(429)
    response.headers.update(headers)
    error = failure(body, response, AUTH)
    copy = error.response
    assert copy is not None
    assert copy is not response
    assert copy.status_code == 429
    assert copy.json() == json.loads(body)
    assert copy.headers["retry-after"] == "1"
    assert "content-encoding" not in copy.headers
    assert copy.request.method == "POST"
    assert copy.request.url == BASE_URL
    assert "x-mine" not in copy.request.headers  # it may be a secret of its own
    for name in (ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER):
        assert name not in copy.request.headers
        assert name in response.request.headers


_REQUEST = httpx.Request("POST", BASE_URL)


@given(body=st.binary(), status=st.integers(200, 599))
def test_any_body_of_any_status_is_one_of_our_errors(body: bytes, status: int) -> None:
    assert isinstance(fail(body, status), PmockError)
