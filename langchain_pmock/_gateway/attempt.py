"""One signed request, and what an error may show of it.

Whatever leaves the package about a request passes through `Attempt`: it redacts the
credentials that a service or a proxy echoed, and creates the errors.
"""

from __future__ import annotations

import contextlib
import html
import json
import re
from functools import cached_property
from html.entities import html5
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx2

from langchain_pmock import errors
from langchain_pmock._json import decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from langchain_pmock._signature import Signature

    Request = httpx2.Request | httpx.Request
    Response = httpx2.Response | httpx.Response

_OK = 200
_CLOCK_IS_OFF = 30  # seconds of offset from which on errors mention it
_EXCERPT = 200  # characters of a body that is not an envelope
_LONGEST_REASON = 2_000  # characters of a message; the response has more of it
_LONGEST_TRACE_ID = 200
_LONGEST_BODY = 200_000  # bytes of a body that an error keeps
LONGEST_BODY = _LONGEST_BODY + 10_000
"""Bytes of a body that are read for an error: more, so that no secret in it is cut."""
# Takes linear time, unlike a pattern that searches for the end of an element.
_TAGS = r"<[^<>]*>"
_USERINFO = r"(?<=//)[^/@\s]+(?=@)"
_BAD_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's name
# These describe the body as it was sent; that of the copy is decoded.
_ENCODING = (b"content-encoding", b"content-length", b"transfer-encoding")

_ASCII = b"".join(bytes([byte, byte]) for byte in range(32, 127))

_FEW = "{0,8}"  # repetitions of an escape, so that matching takes linear time
_LONG_SECRET = 500  # characters; compiling all forms of 8,000 takes a second
_SHORTEST_SECRET = 4  # characters; shorter ones would match in any text
_SHORTEST_HEADER = 8
_PUBLIC_HEADERS = {
    b"accept",
    b"accept-encoding",
    b"connection",
    b"content-length",
    b"content-type",
    b"host",
    b"user-agent",
}


class Attempt:
    """One signed request.

    Attributes:
        request: The request, with the signature in its headers.
        signature: Its signature.
    """

    def __init__(self, request: Request, signature: Signature) -> None:
        """Store the request, which has the headers of the signature."""
        self.request = request
        self.signature = signature
        request.headers.encoding = "utf-8"  # httpx assumes ASCII

    # --- Redaction -------------------------------------------------------------------

    def redact(self, payload: bytes) -> bytes:
        """Replace the keys, the token and the values of the user's headers by `***`.

        They are found as they are, and as JSON, URLs and HTML escape them, in linear
        time.
        """
        return self._secrets.sub(b"***", payload)

    def text(self, value: object, longest: int = _LONGEST_REASON) -> str:
        """Return a received text for errors: redacted, in one line, not too long."""
        payload = str(value)[:_LONGEST_BODY].encode("utf-8", "backslashreplace")
        return _readable(self.redact(payload).decode(), longest)

    @cached_property
    def _secrets(self) -> re.Pattern[bytes]:
        secrets = {s for s in self.signature.secrets if len(s) >= _SHORTEST_SECRET}
        secrets |= {
            value.decode("utf-8", "replace")
            for name, value in self.request.headers.raw
            if name.lower() not in _PUBLIC_HEADERS and len(value) >= _SHORTEST_HEADER
        }
        # One may be the beginning of another.
        ordered = sorted(secrets, key=len, reverse=True)
        pattern = "|".join(map(_pattern, ordered)) or "(?!)"
        return re.compile(pattern.encode("latin-1"))

    # --- Errors ----------------------------------------------------------------------

    def error(
        self,
        cls: type[errors.PmockError],
        reason: str,
        response: Response,
        trace_id: object = None,
    ) -> errors.PmockError:
        """Create an error about an answer that is being received."""
        return cls.of(
            reason,
            status_code=response.status_code,
            trace_id=self._trace_id(trace_id),
            response=self.copy(response),
        )

    def failure(
        self,
        payload: bytes,
        response: Response,
        *,
        reason: str | None = None,
        trace_id: object = None,
    ) -> errors.PmockError:
        """Create the error of an answer, or an event, that is not a success.

        With a reason, it is one that cannot be read.
        """
        envelope: dict[str, Any] = {}
        with contextlib.suppress(ValueError):
            parsed = decode(payload)
            envelope = parsed if isinstance(parsed, dict) else {}
        data = envelope.get("data")
        if isinstance(data, dict) and data.get("error"):  # a vendor's, passed on
            envelope = {"error": data["error"], "traceId": envelope.get("traceId")}
        payload = self.redact(payload[:LONGEST_BODY])
        safe_response = self.copy(response, payload[:_LONGEST_BODY])
        message, code = self.text(_message(envelope)), _code(envelope)
        trace_id = envelope.get("traceId") or envelope.get("trace_id") or trace_id
        is_error = code not in (None, _OK) or bool(envelope.get("error"))
        cls = _error_class(code or 0, response.status_code, message, is_error=is_error)
        if reason is None:
            reason = message
            if cls is errors.PmockResponseError:
                location = safe_response.headers.get("location")
                reason = f"redirected to {location}" if location else _excerpt(payload)
            elif not envelope:
                reason = _excerpt(payload) or self.text(response.reason_phrase)
        reason = _readable(reason)
        if cls is errors.PmockAuthenticationError:
            reason += self._clock_hint(response)
        elif cls is errors.PmockNotFoundError:
            reason += f" ({self.request.method} {self.request.url})"
        return cls.of(
            reason,
            code=code,
            status_code=response.status_code,
            trace_id=self._trace_id(trace_id),
            response=safe_response,
        )

    def transport_failure(
        self,
        error: Exception,
        *,
        interruption: type[errors.PmockError] = errors.PmockConnectionError,
        progress: str = "",
        response: Response | None = None,
        trace_id: object = None,
    ) -> errors.PmockError:
        """Create the error for an exception of the HTTP library; raise any other.

        Its cause is a copy of the exception, because the original holds the signed
        request and must not be changed. If the body is cut off, its class is that of
        an `interruption`.
        """
        kinds = _kinds(error)
        if "HTTPStatusError" in kinds:  # raised by a hook of the user's client
            refused: Response = error.response  # type: ignore[attr-defined]
            return self.failure(_read_so_far(refused), refused)
        is_of_aiohttp = type(error).__module__.startswith("aiohttp")
        if not (is_of_aiohttp or "RequestError" in kinds):
            raise error
        text = re.sub(_USERINFO, "***", self.text(error))
        cls, is_retryable = interruption, True
        if "TimeoutException" in kinds:
            cls = errors.PmockTimeoutError
        elif "DecodingError" in kinds:
            cls = errors.PmockResponseError
        reason = f"{text} ({kinds[0]})" if text else kinds[0]
        if "PoolTimeout" in kinds:
            is_retryable = False
            reason += ": all connections of your own client were in use"
        if _BAD_CERTIFICATE in text:
            reason += (
                ": to trust a private CA, set SSL_CERT_FILE, or pass http_client and "
                "http_async_client"
            )
        reason = f"{progress}; {reason}" if progress else reason
        found = (
            cls.of(reason)
            if response is None
            else self.error(cls, reason, response, trace_id)
        )
        if not is_retryable:
            found.is_retryable = False
        copied = getattr(httpx2, kinds[0], httpx2.TransportError)
        found.__cause__ = copied(text)
        return found

    def copy(self, response: Response, payload: bytes = b"") -> httpx2.Response:
        """Copy a response without the request's headers, and redact its own."""
        copied = httpx2.Response(
            response.status_code,
            headers=[
                (name, self.redact(value))
                for name, value in response.headers.raw
                if name.lower() not in _ENCODING
            ],
            content=payload,
            request=httpx2.Request(self.request.method, str(self.request.url)),
        )
        if not _decodes(payload, copied.encoding):
            copied.encoding = "utf-8"  # so that `text` can be read
        return copied

    def _trace_id(self, trace_id: object) -> str | None:
        return self.text(trace_id, _LONGEST_TRACE_ID) if trace_id else None

    def _clock_hint(self, response: Response) -> str:
        date = response.headers.get("date", "")
        offset = round(self.signature.measured_offset(date))
        if abs(offset) < _CLOCK_IS_OFF:
            return ""
        where = "behind" if offset > 0 else "ahead of"
        return f" (this machine's clock is {abs(offset)} s {where} the service's)"


def _pattern(secret: str) -> str:
    """Match a secret, and the escapes of what is neither a letter nor a digit."""
    if len(secret) > _LONG_SECRET:  # such as JSON in a header
        forms = {secret, json.dumps(secret)[1:-1], quote(secret), html.escape(secret)}
        return "|".join(re.escape(form.encode().decode("latin-1")) for form in forms)
    return "".join(
        char if char.isascii() and char.isalnum() else f"(?:{'|'.join(_forms(char))})"
        for char in secret
    )


def _forms(char: str) -> Iterator[str]:
    """List how a character is written, as patterns of bytes in Latin-1."""
    code, utf8, utf16 = ord(char), char.encode(), char.encode("utf-16-be")
    yield rf"\\{_FEW}{re.escape(utf8.decode('latin-1'))}"  # also as `\/`
    # JSON within JSON doubles the backslashes.
    yield "".join(rf"\\{_FEW}\\(?i:u{unit})" for unit in utf16.hex(" ", 2).split())
    yield "".join(rf"%(?:25){_FEW}(?i:{byte:02x})" for byte in utf8)
    yield rf"&\#0{_FEW}{code};"
    yield rf"&\#(?i:x0{_FEW}{code:x});"
    names = (name for name, value in html5.items() if value == char)
    yield from (f"&{name}" for name in names if name.endswith(";"))


def _kinds(error: Exception) -> list[str]:
    """Name the classes of an exception that are of an HTTP library.

    The names are the same in httpx and httpx2. A transport of aiohttp does not convert
    all errors.
    """
    return [
        cls.__name__
        for cls in type(error).__mro__
        if cls.__module__.partition(".")[0] in {"httpx", "httpx2", "aiohttp"}
    ]


def _read_so_far(response: Response) -> bytes:
    try:
        return response.content
    except RuntimeError:  # ResponseNotRead, of either library
        return b""


def _decodes(payload: bytes, encoding: str | None) -> bool:
    """Check that bytes can be decoded, and that no secret can be in them unredacted."""
    try:
        payload.decode(encoding or "utf-8", "replace")
        return _ASCII.decode(encoding or "utf-8") == _ASCII.decode()
    except (LookupError, ValueError):
        return False


def _readable(text: str, longest: int = _LONGEST_REASON) -> str:
    """Sanitize a received text for logs: one line, control characters escaped, cut."""
    cut = " ".join(text[: longest + 1].split())
    if not cut.isprintable():
        cut = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut
        )
    return cut if len(text) <= longest else f"{cut[:longest]}..."


def _error_class(
    code: int, status: int, message: str, *, is_error: bool
) -> type[errors.PmockError]:
    """Choose the class by the code of an error, or else by the HTTP status."""
    by_code = errors.error_class(code, message)
    if is_error and by_code is not errors.PmockError:
        return by_code
    if status >= httpx2.codes.BAD_REQUEST:
        return errors.error_class(status, message)
    is_redirect = status >= httpx2.codes.MULTIPLE_CHOICES
    return by_code if is_error and not is_redirect else errors.PmockResponseError


def _code(envelope: Mapping[str, Any]) -> int | None:
    sources: list[Any] = [envelope, envelope.get("error")]
    for fields in sources:
        with contextlib.suppress(KeyError, OverflowError, TypeError, ValueError):
            return int(fields["code"])
    return None


def _message(envelope: Mapping[str, Any]) -> str:
    """Return the service's message; a proxy may send errors in OpenAI's format."""
    message = envelope.get("message") or envelope.get("error")
    if isinstance(message, dict):
        message = message.get("message") or message
    return "" if message is None else str(message)


def _excerpt(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    text = text[max(0, text.find("<body")) :]  # skips a web page's head
    return _readable(re.sub(_TAGS, " ", text).strip(), _EXCERPT)
