"""What an error shows: its class, its text, its response, and no secret."""

import html
import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import (
    PmockAPIError,
    PmockConnectionError,
    PmockContextOverflowError,
    PmockError,
    PmockInvalidRequestError,
    PmockNotFoundError,
    PmockPermissionDeniedError,
    PmockRateLimitError,
    PmockResponseError,
    PmockTimeoutError,
)
from langchain_pmock._gateway.attempt import Attempt
from langchain_pmock._signature import Signer
from tests.support.service import (
    ACCESS_KEY,
    BASE_URL,
    POST,
    Echo,
    Service,
    Way,
    all_about,
    streams,
    whole,
)
from tests.support.wire import chunk_of, dump, envelope, event

NOW = 1768809934.5


def fail(payload: Any, status: int = 200, **headers: str) -> PmockError:
    with pytest.raises(PmockError) as caught:
        POST(Service(whole(payload, status, headers)))
    return caught.value


# --- Classes and texts ---------------------------------------------------------------


NO_CODES: tuple[Any, ...] = (None, float("inf"), float("nan"), "9" * 5000, [], {}, "x")
# The HTTP status, codes in the body, and the class of the error.
CLASSES: list[tuple[int, tuple[Any, ...], type[PmockError]]] = [
    (200, (429,), PmockRateLimitError),
    (200, ("503",), PmockAPIError),
    (429, (429, None, 200), PmockRateLimitError),
    # The envelope has priority over the status, unless it follows no status.
    (500, (404,), PmockNotFoundError),
    (403, (10001,), PmockPermissionDeniedError),
    (200, (10001,), PmockError),
    (200, (200, *NO_CODES), PmockResponseError),
    (204, (None,), PmockResponseError),
    (204, (10001,), PmockError),
    (300, (10001,), PmockResponseError),
    (302, (None,), PmockResponseError),
    (399, (None,), PmockResponseError),
    (400, (None,), PmockInvalidRequestError),
    (418, (None,), PmockInvalidRequestError),
    (504, (None,), PmockAPIError),
]


@pytest.mark.parametrize(("status", "codes", "cls"), CLASSES)
def test_class_by_status_and_code(
    status: int, codes: tuple[Any, ...], cls: type[PmockError]
) -> None:
    for code in codes:
        error = fail({"code": code, "message": "no", "traceId": "trace-1"}, status)
        assert type(error) is cls
        assert error.status_code == status
        assert error.code == (None if code in NO_CODES else int(code))
        assert error.trace_id == error.request_id == "trace-1"
        assert "Trace id: trace-1." in str(error)


OVERFLOW = "This model's maximum context length is 100 tokens."


@pytest.mark.parametrize(
    ("payload", "shown"),
    [
        ({"code": 400, "message": "bad field"}, ": bad field. "),
        ({"code": 400, "message": {"message": "inner"}}, ": inner. "),
        ({"code": 400, "message": {"reason": "x"}}, "{'reason': 'x'}"),
        ({"error": {"message": "in OpenAI's format"}}, "in OpenAI's format"),
        ({"error": "plain"}, "plain"),
        ({"code": 400, "message": None}, "(400). Trace id: trace-1. Change"),
        ({}, "(400): {}."),
        ([1, 2], "(400): [1,2]."),
        (b"", "(400): Bad Request."),
        (b"<h1>Bad   Request</h1>", "(400): Bad Request."),
        (b"<head><style>\nh1 {}\n</style></head><body><p>a<br>b", ": a b."),
        ({"code": 400, "message": "a\nFAKE: b\x1b[31m\x00"}, "a FAKE: b\\x1b[31m\\x00"),
        ({"code": 400, "message": "x" * 2000}, ": " + "x" * 2000 + ". "),
        ({"code": 400, "message": "x" * 2001}, ": " + "x" * 2000 + "... "),
        (b"x" * 200, "(400): " + "x" * 200 + ". "),
        (b"x" * 201, "(400): " + "x" * 200 + "... "),
        (b"\xff", "\ufffd"),
        ({"code": 400, "trace_id": "t\nERROR forged"}, "Trace id: t ERROR forged. "),
        ({"code": 400, "traceId": "t" * 201}, f"Trace id: {'t' * 200}.... "),
        ({"error": {"message": OVERFLOW}}, f"model's context window (400): {OVERFLOW}"),
    ],
)
def test_text_of_an_error(payload: object, shown: str) -> None:
    error = fail(payload, 400)
    assert isinstance(error, PmockInvalidRequestError)
    assert isinstance(error, PmockContextOverflowError) == (OVERFLOW in shown)
    assert shown in str(error)
    assert str(error).isprintable()
    assert error.response is not None
    sent = payload if isinstance(payload, bytes) else dump(payload)
    assert error.response.content == sent


def test_long_body_is_cut() -> None:
    error = fail(b"x" * 500_000, 400)
    assert error.response is not None
    assert len(error.response.content) == 200_000


@pytest.mark.parametrize("status", [200, 404])
def test_404_shows_the_url(way: Way, status: int) -> None:
    with pytest.raises(PmockNotFoundError) as caught:
        way(Service(whole({"code": 404, "message": "no"}, status)))
    assert f": no (POST {BASE_URL}/ai/chat/completions)." in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "hint"),
    [
        (0, ""),
        (29, ""),
        (30, "(this machine's clock is 30 s behind the service's)"),
        (90, "(this machine's clock is 90 s behind the service's)"),
        (-90, "(this machine's clock is 90 s ahead of the service's)"),
    ],
)
def test_wrong_clock_is_shown(
    offset: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: NOW)
    date = formatdate(NOW + offset, usegmt=True)
    text = str(fail({"code": 401, "message": "no"}, date=date))
    assert hint in text
    assert ("s clock is " in text.replace("that this machine's", "")) == bool(hint)
    assert "clock" not in str(fail({"code": 403, "message": "no"}, date=date))


def test_response_of_an_error_is_a_readable_copy_without_the_signature() -> None:
    body = dump({"code": 429, "message": "no"})
    headers: Any = {"content_type": "application/json", "retry_after": "1", "x_a": "b"}
    headers |= {"content_encoding": "identity", "transfer_encoding": "chunked"}
    with pytest.raises(PmockError) as caught:
        POST(Service(streams(body, **headers)), call={"headers": {"x-mine": "1"}})
    copy = caught.value.response
    assert isinstance(copy, httpx2.Response)
    assert (copy.status_code, copy.content) == (200, body)
    assert (copy.headers["retry-after"], copy.headers["x-a"]) == ("1", "b")
    assert not {"content-encoding", "transfer-encoding"} & {*copy.headers}
    assert copy.request.method == "POST"
    assert copy.request.url == f"{BASE_URL}/ai/chat/completions"
    assert not [name for name in copy.request.headers if name[:2] in ("x-", "wu")]


CHARSETS = [
    *("rot13", "idna", "undefined", "punycode", "zip", "uu", "quopri", "none", ""),
    *("utf-7", "utf-16", "unicode_escape", "cp037", "utf-8-sig", "hz"),
]


@pytest.mark.parametrize("charset", CHARSETS)
def test_text_of_a_response_with_an_odd_charset(charset: str) -> None:
    content_type = {"content-type": f"text/plain; charset={charset}"}
    # Keys are found in UTF-8, and not in what another charset would make of bytes.
    for body in (b"no \xff\\x61k-example\\", ACCESS_KEY.encode("utf-16-le")):
        error = fail(body, 400, **content_type)
        assert error.response is not None
        assert ACCESS_KEY not in f"{error.response.text} {error}"


def test_text_of_a_response_with_another_charset() -> None:
    content_type = {"content-type": "text/html; charset=gb2312"}
    error = fail("<p>网关错误".encode("gb18030"), 502, **content_type)
    assert error.response is not None
    assert error.response.text == "<p>网关错误"


# --- Exceptions of the transport -----------------------------------------------------

ADVICE = "all connections of your own client were in use"


SSL = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED]")
# An exception; the class of the error, the attempts, and what the error shows.
EXCEPTIONS: list[tuple[Exception, type[PmockError], int, str]] = [
    (httpx2.ConnectError("refused"), PmockConnectionError, 3, "refused (ConnectError)"),
    (httpx2.ConnectError(""), PmockConnectionError, 3, "failed: ConnectError. "),
    (httpx2.RemoteProtocolError("bye"), PmockConnectionError, 3, "bye (RemoteProtocol"),
    (httpx2.UnsupportedProtocol("x"), PmockConnectionError, 3, "x (UnsupportedProto"),
    (httpx2.ConnectTimeout("slow"), PmockTimeoutError, 3, "slow (ConnectTimeout)"),
    (httpx2.PoolTimeout("slow"), PmockTimeoutError, 1, f"(PoolTimeout): {ADVICE}."),
    (httpx2.DecodingError("gzip"), PmockResponseError, 1, "gzip (DecodingError)"),
    (SSL, PmockConnectionError, 3, "to trust a private CA, set SSL_CERT_FILE"),
    (httpx2.ProxyError("//u:p@x/"), PmockConnectionError, 3, ": //***@x/ (ProxyError)"),
]


@pytest.mark.usefixtures("fast_retries")
@pytest.mark.parametrize(("error", "cls", "attempts", "shown"), EXCEPTIONS, ids=repr)
def test_exception_of_the_transport(
    way: Way, error: Exception, cls: type[PmockError], attempts: int, shown: str
) -> None:
    service = Service(error)
    with pytest.raises(PmockError) as caught:
        way(service, max_retries=2)
    assert type(caught.value) is cls
    assert len(service.requests) == attempts
    assert shown in str(caught.value)
    cause = caught.value.__cause__
    assert type(cause) is type(error)
    assert str(cause) == str(error).replace("u:p", "***")
    assert caught.value.response is None


def test_exception_of_another_class_propagates(way: Way) -> None:
    for error in (KeyError("x"), way.library.InvalidURL("x")):
        with pytest.raises(type(error), match="x"):
            way(Service(error), max_retries=2)


def test_cause_of_an_exception_that_cannot_be_changed_is_made_anew(way: Way) -> None:
    class FrozenError(way.library.ConnectError):  # type: ignore[misc, name-defined]
        args = property(lambda _: ("refused",))

    aiohttp = pytest.importorskip("aiohttp")
    for error, cls in (
        (FrozenError("refused"), httpx2.ConnectError),
        (aiohttp.ClientPayloadError("refused"), httpx2.TransportError),
    ):
        with pytest.raises(PmockConnectionError, match=r"refused \(") as caught:
            way(Service(error))
        assert type(caught.value.__cause__) is cls


@pytest.mark.parametrize("is_read", [False, True])
def test_hook_that_raises_for_the_status(way: Way, *, is_read: bool) -> None:
    def hook(response: Any) -> None:
        if is_read:
            response.read()
        response.raise_for_status()

    async def ahook(response: Any) -> None:
        if is_read:
            await response.aread()
        response.raise_for_status()

    service = Service(whole({"message": "slow"}, 429))
    hooks = {"response": [ahook if way.is_async else hook]}
    clients = service.clients(way.library, event_hooks=hooks)
    shown = "slow" if is_read else "Too Many Requests"
    with pytest.raises(PmockRateLimitError, match=shown) as caught:
        way(service, **clients)
    assert caught.value.__context__ is None
    assert caught.value.response is not None
    assert caught.value.response.status_code == 429


def test_exceptions_and_frames_of_the_caller_are_not_changed(way: Way) -> None:
    mine, other = KeyError("mine"), RuntimeError("other")
    mine.__cause__, other.__context__ = other, mine  # a cycle
    failures = [way.library.ConnectError(ACCESS_KEY), KeyError("of a hook")]
    clients = Service().clients(way.library, event_hooks=hooks_of(way, failures))
    try:
        raise mine
    except KeyError:
        before = mine.__traceback__
        with pytest.raises(PmockConnectionError) as caught:
            way(Service(), **clients)
    assert mine.__traceback__ is before is not None
    assert ACCESS_KEY not in all_about(caught.value.__cause__ or caught.value)
    with pytest.raises(KeyError) as hooked:
        way(Service(), **clients)
    assert hooked.traceback[-1].frame.f_locals["of_the_user"] == "still here"


def hooks_of(way: Way, failures: list[Exception]) -> dict[str, Any]:
    def hook(_: object) -> None:
        of_the_user = "still here"
        raise failures.pop(0) from ValueError(of_the_user)

    async def ahook(request: object) -> None:
        hook(request)

    return {"request": [ahook if way.is_async else hook]}


# --- Redaction -----------------------------------------------------------------------

ALL = b"no @A@ @S@ @T@ @M@"
NO = ALL.decode()
FIRST = event(envelope(chunk_of({"content": NO})))
FAILED = {"code": 500, "message": NO, "traceId": NO}
ECHOES: dict[str, Any] = {
    "message": whole(FAILED),
    "message and status": whole({**FAILED, "code": 401}, 401),
    "trace id": whole({**FAILED, "message": "***"}),
    "text": whole(ALL),
    "HTML": whole(b"<p>%s</p>" % ALL, 500),
    "event": streams(event(FAILED)),
    "event after a chunk": streams(FIRST, event(FAILED)),
    "unreadable event after a chunk": streams(FIRST, b"data: {" + ALL + b"\n\n"),
    "unreadable choices": streams(event(envelope({"choices": NO}))),
    "cut after a chunk": streams(FIRST, httpx2.ReadError(NO)),
    "headers": streams(ALL, location=NO, x_echo=NO, status=302),
    "reason": streams(b"", status=500, extensions={"reason_phrase": ALL}),
    "encoding": streams(ALL, content_encoding=f"br, {NO}"),
    "exception": httpx2.RemoteProtocolError(f"illegal header line: b'{NO}'"),
    "exception with an event": streams(b"data: ", httpx2.ReadError(NO)),
    "many": streams(b"x" * 199_985 + ALL * 999),
    "many events": streams(b"x" * 19_985 + ALL * 999),
}


@pytest.mark.parametrize("case", ECHOES)
def test_no_secret_in_an_error(way: Way, case: str) -> None:
    echo = Echo(ECHOES[case])
    with pytest.raises(PmockError) as caught:
        echo.ask(way)
    assert echo.leaked(caught.value) == []
    assert "***" in all_about(caught.value)


@pytest.mark.parametrize("case", ["message", "event after a chunk", "exception"])
def test_traceback_begins_in_the_client(way: Way, case: str) -> None:
    echo = Echo(ECHOES[case])
    with pytest.raises(PmockError) as caught:
        echo.ask(way)
    names = [entry.name for entry in caught.traceback]
    assert names[-1] == ("asend" if way.is_async else "send")
    files = {str(entry.path).rpartition("/")[2] for entry in caught.traceback}
    assert files <= {
        *("test_attempt.py", "service.py", "client.py"),
        *("runners.py", "base_events.py", "futures.py"),
    }


KEYS = ('ak/ex"ample+clé==', "sk-<秘密>&👋%\\")


def escaped(text: str, form: str) -> str:
    """Escape what is neither a letter nor a digit."""
    return "".join(
        c if c.isascii() and c.isalnum() else form.format(ord(c)) for c in text
    )


def in_json(text: str, times: int = 1) -> str:
    for _ in range(times):
        text = json.dumps(text)[1:-1]
    return text


def upper_units(text: str) -> str:
    pieces = in_json(text).split("\\u")
    rest = [piece[:4].upper() + piece[4:] for piece in pieces[1:]]
    return "\\u".join([pieces[0], *rest])


NAMES = {"/": "sol", "+": "plus", "=": "equals", "\\": "bsol", "&": "amp"}


def with_slashes(text: str) -> str:
    return in_json(text).replace("/", "\\/")


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": in_json,
    "JSON in UTF-8": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "JSON in JSON": lambda s: in_json(s, 2),
    "JSON, three times": lambda s: in_json(s, 3),
    "JSON, capitals": upper_units,
    "JSON, slashes": with_slashes,
    "JSON, slashes in JSON": lambda s: in_json(with_slashes(s)),
    "JSON, equals": lambda s: in_json(s).translate({61: "\\u003d", 38: "\\u0026"}),
    "percent": lambda s: quote(s, safe=""),
    "percent, lower": lambda s: quote(s, safe="").lower(),
    "percent, twice": lambda s: quote(quote(s, safe=""), safe=""),
    "HTML": html.escape,
    "HTML, decimal": lambda s: escaped(s, "&#{};"),
    "HTML, decimal with zeros": lambda s: escaped(s, "&#{:08d};"),
    "HTML, hexadecimal": lambda s: escaped(s, "&#x{:x};"),
    "HTML, hexadecimal capitals": lambda s: escaped(s, "&#X{:04X};"),
    "HTML, names": lambda s: "".join(f"&{NAMES[c]};" if c in NAMES else c for c in s),
}


def attempt_with(*keys: str, **headers: str) -> Attempt:
    request = httpx2.Request("POST", BASE_URL, headers=headers)
    return Attempt(request, Signer(*keys).sign())


@pytest.mark.parametrize("form", FORMS)
def test_secrets_are_redacted_however_they_are_written(form: str) -> None:
    attempt = attempt_with(*KEYS, authorization="Bearer a/b=c")
    secrets = [*attempt.signature.secrets, "Bearer a/b=c"]
    for secret in secrets:
        write = str.lower if form == "percent, lower" else str
        if write(secret) != secret:  # letters are not escaped
            continue
        written = FORMS[form](secret)
        text = f"no: {written}, {written}!".encode()
        assert attempt.redact(text) == b"no: ***, ***!", written
    together = ":".join(secrets).encode()
    assert attempt.redact(together) == b"***:***:***:***"


def test_long_secret_is_redacted() -> None:
    value = json.dumps({f"k{n}": "é/<" for n in range(100)})
    attempt = attempt_with("ak", "sk", x_json=value)
    for write in (str, in_json, quote, html.escape):
        assert attempt.redact(f"no: {write(value)}!".encode()) == b"no: ***!"


@pytest.mark.parametrize("key", ["a", "abc"])
def test_short_secret_is_not_redacted(key: str) -> None:
    attempt = attempt_with(key, key, x_mine="1234567")
    text = b"an abc of 1234567, application/json"
    assert attempt.redact(text) == text
    assert attempt_with("abcd", "x").redact(b"an abcd") == b"an ***"
    assert attempt_with("x", "x", x_mine="12345678").redact(b"12345678") == b"***"


def test_public_header_is_not_redacted() -> None:
    public = {"accept": "text/event-stream", "connection": "keep-alive"}
    text = ", ".join(public.values()).encode()
    assert attempt_with(*KEYS, **public).redact(text) == text


@given(payload=st.binary())
def test_other_bytes_are_not_redacted(payload: bytes) -> None:
    assert attempt_with(*KEYS).redact(payload) == payload
