"""The exceptions of this package.

* PmockError
  · PmockAuthenticationError          401
  · PmockPermissionDeniedError        403
    x PmockPaymentRequiredError       402
  · PmockInvalidRequestError          400, 422, other 4xx; refused before sending
    x PmockContextOverflowError       the input is longer than the model's context
  · PmockNotFoundError                404
  · PmockRateLimitError               429
  · PmockAPIError                     5xx, and 409
  · PmockConnectionError              the service could not be reached, and 407
    x PmockStreamInterruptedError     a stream ended before the answer was complete
  · PmockTimeoutError                 no data in time, and 408
  · PmockResponseError                an answer without the documented structure
  · PmockRefusalError                 the model declined to give a structured answer

Each is also the matching class of `langchain_core.exceptions`, so code that catches
`ModelRateLimitError` works with every provider. The class does not depend on how the
error was reported: as an HTTP status, as HTTP 200 with another `code` in the envelope,
as the first event of a stream or in the middle of one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core import exceptions as core

if TYPE_CHECKING:
    from typing import Self

    import httpx
    import httpx2
    from langchain_core.messages import BaseMessage

_OK = 200

# langchain-core has it since 1.7.5.
_ModelRefusalError: Any = getattr(core, "ModelRefusalError", core.ModelError)


class PmockError(core.ModelError):
    """Base class of all errors of this package.

    Attributes:
        code: The envelope's `code`; `None` without an envelope.
        status_code: The HTTP status; `None` without a response.
        trace_id: The service's id of the request, for its support.
        response: The response, or `None`. Its request has no headers.
        is_retryable: Whether the same request may succeed if it is sent again.
    """

    _what: ClassVar[str] = "pmock reported an error"
    _advice: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        status_code: int | None = None,
        trace_id: str | None = None,
        response: httpx.Response | httpx2.Response | None = None,
    ) -> None:
        """Store the text, and the attributes of the class."""
        super().__init__(message)
        self.code = code
        self.status_code = status_code
        self.trace_id = trace_id
        self.response = response

    @property
    def request_id(self) -> str | None:
        """The trace id, under the name that langchain-core reads for traces."""
        return self.trace_id

    @classmethod
    def of(cls, reason: str = "", **attributes: Any) -> Self:
        """Create an error whose text has the cause, reason, trace id and advice.

        Args:
            reason: The message of the service or the transport.
            **attributes: As for the constructor.
        """
        code, trace_id = attributes.get("code"), attributes.get("trace_id")
        number = attributes.get("status_code") if code in (None, _OK) else code
        what = cls._what + (f" ({number})" if number not in (None, _OK) else "")
        what += f": {reason}" if reason else ""
        texts = [what if what.endswith((".", "!", "?", "。")) else f"{what}."]
        if trace_id:
            texts.append(f"Trace id: {trace_id}.")
        texts.append(cls._advice)
        if trace_id and issubclass(PmockAPIError, cls):
            texts.append("If it persists, give the trace id to pmock's support.")
        return cls(" ".join(filter(None, texts)), **attributes)


class PmockAuthenticationError(PmockError, core.ModelAuthenticationError):
    """The access key does not exist, or the signature is wrong (401)."""

    _what = "pmock refused the access key or its signature"
    _advice = (
        "Check PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY, and that this machine's clock "
        "is right: a signature is valid for one minute."
    )


class PmockPermissionDeniedError(PmockError, core.ModelPermissionDeniedError):
    """The access key does not permit the request (403)."""

    _what = "pmock did not permit the request"
    _advice = "Check which models this access key may use."


class PmockPaymentRequiredError(PmockPermissionDeniedError):
    """The account has no credit left (402)."""

    _what = "pmock refused the request because the account has no credit left"
    _advice = "Check the account's balance."


class PmockInvalidRequestError(PmockError, core.ModelInvalidRequestError, ValueError):
    """The request is not valid: refused before it is sent, or by the service (4xx).

    An error raised before sending has neither `status_code` nor `response`. The class
    is a `ValueError` too, which Python's own functions raise for invalid arguments.
    """

    _what = "pmock did not accept the request"
    _advice = "Change the request: it will fail again if it is sent unchanged."


class PmockContextOverflowError(PmockInvalidRequestError, core.ContextOverflowError):
    """The input is longer than the model's context window."""

    _what = "The input is longer than the model's context window"
    _advice = "Shorten it, for example with langchain_core.messages.trim_messages."


class PmockNotFoundError(PmockError, core.ModelNotFoundError):
    """There is no such model, or no such endpoint (404)."""

    _what = "pmock has no such model or endpoint"
    _advice = "Check the model's name and base_url."


class PmockRateLimitError(PmockError, core.ModelRateLimitError):
    """Too many requests or tokens in a short time (429)."""

    _what = "pmock's rate limit was reached"
    _advice = "Wait, raise max_retries, or use a rate_limiter."


class PmockAPIError(PmockError, core.ModelAPIError):
    """The service failed (5xx), or the request conflicts with another one (409)."""

    _what = "pmock failed to answer"
    _advice = "Try again later."


class PmockConnectionError(PmockError, core.ModelConnectionError):
    """The service could not be reached, or the connection broke."""

    _what = "The connection to pmock failed"
    _advice = "Check the network, the proxy settings and base_url."


class PmockStreamInterruptedError(PmockConnectionError):
    """A stream ended before the answer was complete."""

    _what = "The stream was cut off before the answer was complete"
    _advice = "Send the request again: the text received so far is incomplete."


class PmockTimeoutError(PmockError, core.ModelTimeoutError):
    """No data was received in time, or the service itself timed out (408)."""

    _what = "pmock did not answer in time"
    _advice = "Raise timeout, or try again later."


class PmockResponseError(PmockError):
    """The answer does not have the documented structure: HTML, no JSON, no choices."""

    _what = "The answer does not have the documented structure"
    _advice = "Check base_url, and whether a proxy answered instead of the service."


class PmockRefusalError(PmockError, _ModelRefusalError):  # type: ignore[misc]
    """The model declined to give the structured answer that was asked for.

    Attributes:
        raw_message: The message with the refusal.
    """

    _what = "The model refused to give the structured answer"
    _advice = "Rephrase the prompt."
    is_retryable = False

    def __init__(
        self, message: str, *, raw_message: BaseMessage | None = None, **kwargs: Any
    ) -> None:
        """Store the text, the message and the attributes of `PmockError`."""
        super().__init__(message, **kwargs)
        self.raw_message = raw_message


# Assumed: the envelope's codes follow HTTP's.
_BY_CODE: dict[int, type[PmockError]] = {
    401: PmockAuthenticationError,
    402: PmockPaymentRequiredError,
    403: PmockPermissionDeniedError,
    404: PmockNotFoundError,
    407: PmockConnectionError,  # from a proxy, as for CONNECT
    408: PmockTimeoutError,
    409: PmockAPIError,
    429: PmockRateLimitError,
}

# Assumed: the service passes on the vendors' messages about inputs that are too long.
_CONTEXT_OVERFLOW = (
    # OpenAI: langchain-openai, `_handle_openai_bad_request` and `..._api_error`;
    # github.com/cline/cline/issues/5474, github.com/earendil-works/pi/issues/3641
    "context_length_exceeded|maximum context length|exceeds? the context window"
    "|input tokens exceed the configured limit"
    # Anthropic: langchain-anthropic, `_handle_anthropic_bad_request`;
    # github.com/anthropics/claude-code/issues/408
    "|prompt is too long|exceed context limit"
    # Google: langchain-google-genai, `_handle_client_error`;
    # github.com/google-gemini/gemini-cli/issues/6678
    r"|exceeds the maximum number of tokens allowed|(input|exceed\w*|model) token limit"
    # Bedrock, xAI, Mistral, llama.cpp, TGI, vLLM, LiteLLM: `_is_context_overflow` of
    # deepagents, packages/ai/src/utils/overflow.ts of github.com/badlogic/pi-mono,
    # `ExceptionCheckers` of LiteLLM
    "|input is too long for requested model|maximum (prompt|model) length"
    "|context.?(length|window|limit) exceeded|exceeds the available context size"
    "|(greater|longer) than the (model's )?context length|context window exceeds limit"
    "|token limit exceeded|too many (input )?tokens|ContextWindowExceededError"
    r"|`inputs` (tokens .{0,80}must be <=|must have less than)"
)


def error_class(code: int, message: str = "") -> type[PmockError]:
    """Find the class by the code (or HTTP status) and the message of the service."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    kind = {4: PmockInvalidRequestError, 5: PmockAPIError}.get(code // 100, PmockError)
    # Gateways pass the vendors' messages on with codes of their own.
    is_error = kind is not PmockError
    if is_error and re.search(_CONTEXT_OVERFLOW, message, re.IGNORECASE):
        return PmockContextOverflowError
    return kind
