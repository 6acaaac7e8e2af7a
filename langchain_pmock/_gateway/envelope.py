"""Conversion of envelopes to results or errors."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._json import UnreadableError, decode
from langchain_pmock.auth import SIGNED_AT, measure_clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeGuard

    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

_OK = 200
_OKS = (_OK, str(_OK))
_CLOCK_IS_OFF = 30  # seconds of offset from which on errors mention it
_EXCERPT = 200  # characters of a body that is not an envelope
_LOOKED_AT = 10_000  # characters of a message that are searched
_LONGEST_REASON = 2_000  # characters of a message; the response has more of it
_LONGEST_TRACE_ID = 200
_LONGEST_BODY = 200_000  # bytes of a body that an error keeps
# Takes linear time, unlike a pattern that searches for the end of an element.
_TAGS = r"<[^<>]*>"
# These describe the body as it was sent; that of the copy is decoded.
_ENCODING = (b"content-encoding", b"content-length", b"transfer-encoding")


def read_answer(
    payload: bytes,
    response: httpx.Response,
    auth: PmockAuth,
    parse: Callable[[Mapping[str, Any]], ResultT],
) -> ResultT:
    """Convert the body of a whole answer.

    Raises:
        PmockError: If the status, the envelope's code or its structure is not that of a
            success, or the answer cannot be parsed.
    """
    reason = None
    if response.status_code == _OK:
        with contextlib.suppress(ValueError):
            envelope = parse_json(payload)
            if is_success(envelope):
                try:
                    return parse(envelope)
                except UnreadableError as error:
                    reason = describe(error)
    raise failure(payload, response, auth, reason=reason)


def parse_json(payload: bytes) -> object:
    """Parse JSON; lone surrogates and control characters are accepted.

    Raises:
        ValueError: If it is not JSON.
    """
    try:
        return from_json(payload)
    except ValueError:
        return decode(payload)


def is_success(envelope: object) -> TypeGuard[dict[str, Any]]:
    """Check whether a JSON value is an envelope with code 200 and an object as data."""
    return (
        type(envelope) is dict
        and envelope.get("code") in _OKS
        and type(envelope.get("data")) is dict
    )


def is_empty(envelope: object) -> bool:
    """Check whether a JSON value is an envelope with code 200 and without data."""
    return (
        type(envelope) is dict
        and envelope.get("code") in _OKS
        and envelope.get("data") is None
    )


def describe(error: Exception) -> str | None:
    """Return why an answer cannot be parsed; `None` if that would not help a user."""
    return str(error) if isinstance(error, UnreadableError) else None


def failure(
    payload: bytes,
    response: httpx.Response,
    auth: PmockAuth,
    *,
    reason: str | None = None,
    trace_id: str | None = None,
) -> errors.PmockError:
    """Create the error for an answer."""
    payload = auth.redact(payload, response.request)
    safe_response = safe_copy(response, payload, auth)
    envelope: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        parsed = parse_json(payload)
        envelope = parsed if isinstance(parsed, dict) else {}
    message = redacted(_message(envelope), response.request, auth)[:_LOOKED_AT]
    code = _code(envelope)
    trace_id = envelope.get("traceId") or envelope.get("trace_id") or trace_id
    cls = _error_class(code, response.status_code, message)
    if reason is None:
        reason = message
        if cls is errors.PmockResponseError:
            location = safe_response.headers.get("location")
            reason = f"redirected to {location}" if location else _excerpt(payload)
        elif not envelope:
            reason = _excerpt(payload) or redacted(
                response.reason_phrase, response.request, auth
            )
    reason = readable(reason, _LONGEST_REASON)
    if cls is errors.PmockAuthenticationError:
        reason += _clock_hint(response)
    return cls.of(
        reason,
        code=code,
        status_code=response.status_code,
        trace_id=safe_trace_id(trace_id, response.request, auth),
        response=safe_response,
    )


def redacted(text: str, request: httpx.Request, auth: PmockAuth) -> str:
    """Redact the credentials in a text."""
    payload = text.encode("utf-8", "backslashreplace")
    return auth.redact(payload, request).decode()


def readable(text: str, longest: int = _LONGEST_REASON) -> str:
    """Sanitize a received text for logs: one line, control characters escaped, cut."""
    cut = " ".join(text[: longest + 1].split())
    if not cut.isprintable():
        cut = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut
        )
    return cut if len(text) <= longest else f"{cut[:longest]}..."


def safe_trace_id(
    trace_id: object, request: httpx.Request, auth: PmockAuth
) -> str | None:
    """Sanitize and redact a received trace id."""
    if not trace_id:
        return None
    return readable(redacted(str(trace_id), request, auth), _LONGEST_TRACE_ID)


def safe_copy(
    response: httpx.Response, payload: bytes, auth: PmockAuth
) -> httpx.Response:
    """Copy a response without the request's headers, and redact echoed credentials."""
    request = response.request
    return httpx.Response(
        response.status_code,
        headers=[
            (name, auth.redact(value, request))
            for name, value in response.headers.raw
            if name.lower() not in _ENCODING
        ],
        content=payload[:_LONGEST_BODY],
        request=httpx.Request(
            request.method,
            request.url,
            extensions={SIGNED_AT: request.extensions.get(SIGNED_AT)},
        ),
    )


def _clock_hint(response: httpx.Response) -> str:
    offset = round(measure_clock(response))
    if abs(offset) < _CLOCK_IS_OFF:
        return ""
    where = "behind" if offset > 0 else "ahead of"
    return f" (this machine's clock is {abs(offset)} s {where} the service's)"


def _error_class(
    code: int | None, status: int, message: str
) -> type[errors.PmockError]:
    """Choose the class by the envelope's code, or else by the HTTP status."""
    if code is not None and code != _OK:
        by_code = errors.error_class(code, message)
        if by_code is not errors.PmockError:
            return by_code
    if status >= httpx.codes.BAD_REQUEST:
        return errors.error_class(status, message)
    if status >= httpx.codes.MULTIPLE_CHOICES:
        return errors.PmockResponseError
    if code is not None and code != _OK:
        return errors.PmockError
    return errors.PmockResponseError


def _code(envelope: Mapping[str, Any]) -> int | None:
    try:
        return int(envelope["code"])
    except (KeyError, OverflowError, TypeError, ValueError):
        return None


def _message(envelope: Mapping[str, Any]) -> str:
    """Return the service's message; a proxy may send errors in OpenAI's format."""
    message = envelope.get("message") or envelope.get("error")
    if isinstance(message, dict):
        message = message.get("message") or message
    return "" if message is None else str(message)


def _excerpt(payload: bytes) -> str:
    text = payload[:_LONGEST_BODY].decode("utf-8", "replace")
    text = text[max(0, text.find("<body")) :]  # skips a web page's head
    return readable(re.sub(_TAGS, " ", text).strip(), _EXCERPT)
