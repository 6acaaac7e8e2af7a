"""Out of the envelope: its data, or the error that it or the HTTP answer stands for."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sys
from typing import TYPE_CHECKING, Any

import httpx
from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._json import decode
from langchain_pmock.auth import SIGNED_AT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeGuard

    from langchain_pmock.auth import PmockAuth

_OK = 200
_OKS = (_OK, str(_OK))
_EXCERPT = 200  # characters of a body that is no envelope
_LONGEST_SAYING = 2_000  # characters of a message; all of it is in the response
_TAGS = re.compile(r"<(style|script|head)\b.*?</\1>|<[^>]*>", re.DOTALL | re.IGNORECASE)
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


def failure(
    payload: bytes, response: httpx.Response, auth: PmockAuth
) -> errors.PmockError:
    """Make the error that an answer stands for.

    Args:
        payload: The body, or the data of one event.
        response: The response that it came with.
        auth: What signed the request; it knows what must not be shown.

    Returns:
        The error, with a copy of the response that holds no secret.
    """
    payload = auth.hide(payload, response.request)
    safe_response = _safe_copy(response, payload, auth)
    status = response.status_code
    envelope: dict[str, Any] = {}
    said = ""
    with contextlib.suppress(ValueError):
        parsed = _parse(payload)
        envelope = parsed if isinstance(parsed, dict) else {}
        said = _message(envelope)
    code = _code(envelope)
    trace_id = envelope.get("traceId") or envelope.get("trace_id") or None
    trace_id = trace_id and str(trace_id)
    cls = _error_class(code, status, said)
    if cls is errors.PmockResponseError:
        location = safe_response.headers.get("location")
        said = f"redirected to {location}" if location else _excerpt(payload)
    elif not envelope:
        said = _excerpt(payload) or response.reason_phrase
    if cls is errors.PmockAuthenticationError and (offset := round(auth.clock_offset)):
        where = "behind" if offset > 0 else "ahead of"
        said += f" (this machine's clock is {abs(offset)} s {where} the service's)"
    if len(said) > _LONGEST_SAYING:
        said = f"{said[:_LONGEST_SAYING]}..."
    shown = code if code not in (None, _OK) else status
    return cls(
        errors.describe(cls, said.strip(), code=shown, trace_id=trace_id),
        code=code,
        status_code=status,
        trace_id=trace_id,
        response=safe_response,
    )


@contextlib.contextmanager
def transport_errors(
    interrupted: Callable[[], str | None] = lambda: None,
) -> Iterator[None]:
    """Turn what httpx raises into this package's errors.

    Args:
        interrupted: Says what had come of a stream when it broke; `None` if it had not
            begun. An empty text: its answer was complete, and there is no error.

    Yields:
        Nothing.

    Raises:
        PmockTimeoutError: If nothing came in time.
        PmockStreamInterruptedError: If a stream broke.
        PmockConnectionError: If the service could not be reached.
        PmockResponseError: If the body could not be decoded.
    """
    try:
        yield
    except _transport_exceptions() as error:
        _forget_signature(error)
        progress = interrupted()
        if progress == "":
            return
        cls: type[errors.PmockError] = errors.PmockConnectionError
        origin = _origin(error)
        if isinstance(origin, (httpx.TimeoutException, asyncio.TimeoutError)):
            cls = errors.PmockTimeoutError
        elif isinstance(error, httpx.DecodingError):
            cls = errors.PmockResponseError
        elif progress:
            cls = errors.PmockStreamInterruptedError
        said = f"{origin} ({type(origin).__name__})" if str(origin) else repr(origin)
        if progress:
            said = f"{progress}; {said}"
        raise cls(errors.describe(cls, said, code=None, trace_id=None)) from error


def _transport_exceptions() -> tuple[type[Exception], ...]:
    """List what transports raise: httpx-aiohttp lets some of aiohttp's own through."""
    aiohttp = sys.modules.get("aiohttp")
    return (httpx.RequestError, *([aiohttp.ClientError] if aiohttp else []))


def _origin(error: Exception) -> BaseException:
    """Find what happened: httpx-aiohttp takes a lost connection for a timeout."""
    cause = error.__cause__
    if cause is not None and type(cause).__module__.startswith("aiohttp."):
        return cause
    return error


def _forget_signature(error: Exception) -> None:
    """Take the headers out of what a transport's error keeps of the request."""
    with contextlib.suppress(RuntimeError):  # there is no request
        if isinstance(error, httpx.RequestError):
            error.request.headers = httpx.Headers()
    if hasattr(error, "request_info"):  # aiohttp's
        error.request_info = error.request_info._replace(headers={})
        error.args = (error.request_info, *error.args[1:])
    # The transport's frames have the headers among their variables, which services
    # that collect errors collect too.
    link: BaseException | None = error
    while link is not None:
        link.__traceback__ = None
        link = link.__cause__ or link.__context__


def _error_class(code: int | None, status: int, said: str) -> type[errors.PmockError]:
    """Let the envelope's code decide, unless only the HTTP status tells of an error."""
    if code is not None and code != _OK:
        by_code = errors.error_class(code, said)
        if by_code is not errors.PmockError:
            return by_code
    if status >= httpx.codes.BAD_REQUEST:
        return errors.error_class(status, said)
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
    text = " ".join(_TAGS.sub(" ", payload.decode("utf-8", "replace")).split())
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}..."


def _safe_copy(
    response: httpx.Response, payload: bytes, auth: PmockAuth
) -> httpx.Response:
    """Copy a response without its request's headers, and without keys it echoes."""
    request = response.request
    return httpx.Response(
        response.status_code,
        headers=[
            (name, auth.hide(value, request))
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
