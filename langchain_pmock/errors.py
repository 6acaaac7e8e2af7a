"""Everything that can go wrong when talking to pmock.

* PmockError
  · PmockAuthenticationError          401
  · PmockPermissionDeniedError        403
    x PmockPaymentRequiredError       402
  · PmockInvalidRequestError          400, 422, every other 4xx; refused unsent
    x PmockContextOverflowError       the input is longer than the model's context
  · PmockNotFoundError                404
  · PmockRateLimitError               429
  · PmockAPIError                     5xx, and 409
  · PmockConnectionError              the service could not be reached
    x PmockStreamInterruptedError     a stream ended before its answer did
  · PmockTimeoutError                 nothing came in time, and 408
  · PmockResponseError                an answer that is not of the documented shape
  · PmockRefusalError                 the model declined to give a structured answer

Each is also the class of the same meaning in `langchain_core.exceptions`, so code that
catches `ModelRateLimitError` works with every provider. The class does not depend on
how the error came: as an HTTP status, as HTTP 200 with another `code` in the envelope,
as the first event of a stream or in its middle.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core import exceptions as core

if TYPE_CHECKING:
    import httpx
    from langchain_core.messages import BaseMessage
    from typing_extensions import Self

__all__ = [
    "PmockAPIError",
    "PmockAuthenticationError",
    "PmockConnectionError",
    "PmockContextOverflowError",
    "PmockError",
    "PmockInvalidRequestError",
    "PmockNotFoundError",
    "PmockPaymentRequiredError",
    "PmockPermissionDeniedError",
    "PmockRateLimitError",
    "PmockRefusalError",
    "PmockResponseError",
    "PmockStreamInterruptedError",
    "PmockTimeoutError",
]

_OK = 200

# langchain-core has it since 1.7.5.
_ModelRefusalError: Any = getattr(core, "ModelRefusalError", core.ModelError)


class PmockError(core.ModelError):
    """Base of all errors of this package.

    Attributes:
        code: The envelope's `code`, where there was an envelope.
        status_code: The HTTP status, where there was a response.
        trace_id: The service's id of the request; its support will ask for it.
        response: The response, where there was one. Its request has no headers.
        is_retryable: Whether the same request may succeed if it is sent again.
    """

    @property
    def request_id(self) -> str | None:
        """The trace id, by the name under which langchain-core puts it into traces."""
        return self.trace_id

    _what: ClassVar[str] = "pmock reported an error"
    _advice: ClassVar[str] = "If it persists, give the trace id to pmock's support."

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status_code: int | None = None,
        trace_id: str | None = None,
        response: httpx.Response | None = None,
    ) -> None:
        """Keep what is known of the failure.

        Args:
            message: What happened, what the service said, and what to do.
            code: The envelope's `code`.
            status_code: The HTTP status.
            trace_id: The service's id of the request.
            response: The response.
        """
        super().__init__(message)
        self.code = code
        self.status_code = status_code
        self.trace_id = trace_id
        self.response = response

    @classmethod
    def of(
        cls,
        said: str = "",
        *,
        code: int | None = None,
        status_code: int | None = None,
        trace_id: str | None = None,
        response: httpx.Response | None = None,
    ) -> Self:
        """Make the error, and write its text.

        Args:
            said: What the service or the transport said.
            code: The envelope's `code`.
            status_code: The HTTP status.
            trace_id: The service's id of the request.
            response: The response.

        Returns:
            An error that says what happened, what was said, the trace id, and what to
            do.
        """
        number = status_code if code in (None, _OK) else code
        what = cls._what + (f" ({number})" if number not in (None, _OK) else "")
        if said:
            what += f": {said}"
        if not what.endswith((".", "!", "?", "。")):
            what += "."
        trace = f"Trace id: {trace_id}." if trace_id else ""
        text = " ".join(part for part in (what, trace, cls._advice) if part)
        return cls(
            text,
            code=code,
            status_code=status_code,
            trace_id=trace_id,
            response=response,
        )


class PmockAuthenticationError(PmockError, core.ModelAuthenticationError):
    """The access key is unknown, or the signature does not fit it (401)."""

    _what = "pmock refused the access key or its signature"
    _advice = (
        "Check PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY, and that this machine's clock "
        "is right: a signature is good for one minute."
    )


class PmockPermissionDeniedError(PmockError, core.ModelPermissionDeniedError):
    """The access key is known but may not do this (403)."""

    _what = "pmock did not permit the request"
    _advice = "Check which models this access key may use."


class PmockPaymentRequiredError(PmockPermissionDeniedError):
    """The account has no credit left (402)."""

    _what = "pmock refused the request for want of credit"
    _advice = "Check the account's balance."


class PmockInvalidRequestError(PmockError, core.ModelInvalidRequestError, ValueError):
    """The request is not valid: refused before it is sent, or by the service (4xx).

    What is refused before it is sent has neither `status_code` nor `response`. It is a
    `ValueError` too, as Python's own functions raise for such arguments.
    """

    _what = "pmock did not accept the request"
    _advice = "Change the request: sent again as it is, it will fail again."


class PmockContextOverflowError(PmockInvalidRequestError, core.ContextOverflowError):
    """The input is longer than the model's context window."""

    _what = "The input is longer than the model's context window"
    _advice = "Shorten it, for example with langchain_core.messages.trim_messages."


class PmockNotFoundError(PmockError, core.ModelNotFoundError):
    """There is no such model, or no such endpoint (404)."""

    _what = "pmock knows no such model or endpoint"
    _advice = "Check the model's name and base_url."


class PmockRateLimitError(PmockError, core.ModelRateLimitError):
    """Too many requests or tokens in a short time (429)."""

    _what = "pmock's rate limit was reached"
    _advice = "Wait, raise max_retries, or use a rate_limiter."


class PmockAPIError(PmockError, core.ModelAPIError):
    """The service failed (5xx), or was in another request's way (409)."""

    _what = "pmock failed to answer"
    _advice = "Try again later; if it persists, give the trace id to pmock's support."


class PmockConnectionError(PmockError, core.ModelConnectionError):
    """The service could not be reached, or the connection broke."""

    _what = "The connection to pmock failed"
    _advice = "Check the network, the proxy settings and base_url."


class PmockStreamInterruptedError(PmockConnectionError):
    """A stream ended before its answer did: the text so far is not the whole."""

    _what = "The stream was cut off before the answer was complete"
    _advice = "Ask again; what has come so far is not the whole answer."


class PmockTimeoutError(PmockError, core.ModelTimeoutError):
    """Nothing came in time, or the service itself timed out (408)."""

    _what = "pmock did not answer in time"
    _advice = "Raise timeout, or try again later."


class PmockResponseError(PmockError):
    """The answer is not of the documented shape: HTML, no JSON, no choices."""

    _what = "The answer is not of the documented shape"
    _advice = "Check base_url, and whether a proxy answered instead of the service."


class PmockRefusalError(PmockError, _ModelRefusalError):  # type: ignore[misc]
    """The model declined to give the structured answer that was asked for.

    Attributes:
        raw_message: The message with the refusal.
    """

    _what = "The model refused to give the structured answer"
    _advice = "Ask for it in another way."
    is_retryable = False

    def __init__(
        self, message: str, *, raw_message: BaseMessage | None = None, **kwargs: Any
    ) -> None:
        """Keep the refusal.

        Args:
            message: What happened, and the refusal's text.
            raw_message: The message with the refusal.
            **kwargs: As for `PmockError`.
        """
        super().__init__(message, **kwargs)
        self.raw_message = raw_message


# Assumed: the envelope's codes follow HTTP's.
_BY_CODE: dict[int, type[PmockError]] = {
    401: PmockAuthenticationError,
    402: PmockPaymentRequiredError,
    403: PmockPermissionDeniedError,
    404: PmockNotFoundError,
    408: PmockTimeoutError,
    409: PmockAPIError,
    429: PmockRateLimitError,
}

_CLIENT_ERRORS = range(400, 500)
_SERVER_ERRORS = range(500, 600)

# Assumed: the service passes on what the models' makers say of an input too long.
_CONTEXT_OVERFLOW = (
    r"(?i)context.?(length|window|limit|size)|maximum (context|model) "
    r"|prompt is too long|input token count .{0,80}exceeds|too many (input )?tokens"
    r"|input is too long|inputs.? tokens .{0,80}must be <=|inputs.? must have less than"
)


def error_class(code: int, message: str = "") -> type[PmockError]:
    """Find the class of an error.

    Args:
        code: The envelope's `code`, or the HTTP status where there is no envelope.
        message: What the service said; it tells a context overflow from other 400s.

    Returns:
        The class; the base class for a code that follows no HTTP status.
    """
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code in _CLIENT_ERRORS:
        if re.search(_CONTEXT_OVERFLOW, message):
            return PmockContextOverflowError
        return PmockInvalidRequestError
    return PmockAPIError if code in _SERVER_ERRORS else PmockError
