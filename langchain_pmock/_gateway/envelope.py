"""Out of the envelope: its data, or the error that it or the HTTP answer stands for."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._json import UNREADABLE, UnreadableError, decode
from langchain_pmock.auth import SIGNED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeGuard

    from langchain_pmock.auth import PmockAuth

ResultT = TypeVar("ResultT")

_OK = 200
_OKS = (_OK, str(_OK))
_EXCERPT = 200  # characters of a body that is no envelope
_LOOKED_AT = 4_000  # characters to look for tags or reasons in, which takes long
_LONGEST_SAYING = 2_000  # characters of a message; more of it is in the response
_LONGEST_BODY = 200_000  # bytes of a body that an error keeps
_NO_REQUEST = httpx.Request("POST", "")
_TAGS = r"(?si)<(style|script|head)\b.*?</\1>|<[^>]*>"
# Said of the body as it was sent; the copy's is decoded.
_ENCODING = (b"content-encoding", b"content-length", b"transfer-encoding")


def read_envelope(
    payload: bytes, response: httpx.Response, auth: PmockAuth
) -> Mapping[str, Any]:
    """Read a whole answer, or the whole answer that came in place of a stream.

    Args:
        payload: The body.
        response: The response that it came with.
        auth: What signed the request; it knows what must not be shown.

    Returns:
        The envelope of a success; its `data` is an object.

    Raises:
        PmockError: If the status, the envelope's code or its shape is not that of a
            success.
    """
    if response.status_code == _OK:
        with contextlib.suppress(ValueError):
            envelope = _parse(payload)
            if is_success(envelope):
                return envelope
    raise failure(payload, response, auth)


def read_answer(
    response: httpx.Response,
    auth: PmockAuth,
    parse: Callable[[Mapping[str, Any]], ResultT],
) -> ResultT:
    """Read a whole answer.

    Args:
        response: The response, its body read.
        auth: What signed the request; it knows what must not be shown.
        parse: Makes the result from the envelope.

    Returns:
        The result.

    Raises:
        PmockError: If it is not the envelope of a success, or cannot be parsed.
    """
    payload = response.content
    envelope = read_envelope(payload, response, auth)
    try:
        return parse(envelope)
    except UNREADABLE as error:
        raise failure(payload, response, auth, error) from error


def _parse(payload: bytes) -> object:
    try:
        return from_json(payload)
    except ValueError:
        return decode(payload)


def is_success(envelope: object) -> TypeGuard[dict[str, Any]]:
    """Tell whether a JSON value is the envelope of a success.

    Args:
        envelope: The value.

    Returns:
        Whether its code is 200 and its data is an object.
    """
    return (
        type(envelope) is dict
        and envelope.get("code") in _OKS
        and type(envelope.get("data")) is dict
    )


def is_empty(envelope: object) -> bool:
    """Tell whether a JSON value is the envelope of an event that says nothing.

    Args:
        envelope: The value.

    Returns:
        Whether its code is 200 and it has no data.
    """
    return (
        type(envelope) is dict
        and envelope.get("code") in _OKS
        and envelope.get("data") is None
    )


def failure(
    payload: bytes,
    response: httpx.Response,
    auth: PmockAuth,
    unreadable: Exception | None = None,
    trace_id: str | None = None,
) -> errors.PmockError:
    """Make the error that an answer stands for.

    Args:
        payload: The body, or the data of one event.
        response: The response that it came with.
        auth: What signed the request; it knows what must not be shown.
        unreadable: What reading it raised.
        trace_id: The id that came before, in another event.

    Returns:
        The error, with a copy of the response that holds no secret.
    """
    safe_response = safe_copy(response, payload, auth)
    payload = safe_response.content
    status = response.status_code
    envelope: dict[str, Any] = {}
    said = ""
    with contextlib.suppress(ValueError):
        parsed = _parse(payload)
        envelope = parsed if isinstance(parsed, dict) else {}
        said = _message(envelope)[:_LOOKED_AT]
    code = _code(envelope)
    trace_id = envelope.get("traceId") or envelope.get("trace_id") or trace_id
    cls = _error_class(code, status, said)
    if isinstance(unreadable, UnreadableError):
        said = str(unreadable)
    elif cls is errors.PmockResponseError:
        location = safe_response.headers.get("location")
        said = f"redirected to {location}" if location else _excerpt(payload)
    elif not envelope:
        said = _excerpt(payload) or response.reason_phrase
    if cls is errors.PmockAuthenticationError and (offset := round(auth.clock_offset)):
        where = "behind" if offset > 0 else "ahead of"
        said += f" (this machine's clock is {abs(offset)} s {where} the service's)"
    if len(said) > _LONGEST_SAYING:
        said = f"{said[:_LONGEST_SAYING]}..."
    return cls.of(
        hidden(said.strip(), auth, response.request),
        code=code,
        status_code=status,
        trace_id=hidden(str(trace_id), auth, response.request) if trace_id else None,
        response=safe_response,
    )


def hidden(text: str, auth: PmockAuth, request: httpx.Request | None) -> str:
    """Take the credentials out of a text.

    Args:
        text: The text.
        auth: What signed the request.
        request: The request, if it is known.

    Returns:
        The text.
    """
    payload = text.encode("utf-8", "backslashreplace")
    return auth.redact(payload, request or _NO_REQUEST).decode()


def _error_class(code: int | None, status: int, said: str) -> type[errors.PmockError]:
    """Let the envelope's code decide, unless only the HTTP status tells of an error."""
    if code is not None and code != _OK:
        by_code = errors.error_class(code, said)
        if by_code is not errors.PmockError:
            return by_code
    if status >= httpx.codes.BAD_REQUEST:
        return errors.error_class(status, said)
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
    """Find what the service said; a proxy before it may speak OpenAI's dialect."""
    message = envelope.get("message") or envelope.get("error")
    if isinstance(message, dict):
        message = message.get("message") or message
    return "" if message is None else str(message)


def _excerpt(payload: bytes) -> str:
    text = payload[:_LOOKED_AT].decode("utf-8", "replace")
    text = " ".join(re.sub(_TAGS, " ", text).split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."


def safe_copy(
    response: httpx.Response, payload: bytes, auth: PmockAuth
) -> httpx.Response:
    """Copy a response without its request's headers, and without keys it echoes.

    Args:
        response: The response.
        payload: What its body is, or what is known of it.
        auth: What signed the request; it knows what must not be shown.

    Returns:
        The copy.
    """
    request = response.request
    payload = auth.redact(payload[:_LONGEST_BODY], request)
    return httpx.Response(
        response.status_code,
        headers=[
            (name, auth.redact(value, request))
            for name, value in response.headers.raw
            if name.lower() not in _ENCODING
        ],
        content=payload,
        request=httpx.Request(
            request.method,
            request.url,
            extensions={SIGNED_AT: request.extensions.get(SIGNED_AT)},
        ),
    )
