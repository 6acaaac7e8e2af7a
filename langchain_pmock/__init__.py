"""LangChain's chat model for the pmock AI gateway: GPT, Gemini and Claude."""

from typing import TYPE_CHECKING

from langchain_pmock._request.params import ModelName, Param
from langchain_pmock._signature import sign
from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.chat_models import ChatPmock
from langchain_pmock.errors import (
    PmockAPIError,
    PmockAuthenticationError,
    PmockConnectionError,
    PmockContextOverflowError,
    PmockError,
    PmockInvalidRequestError,
    PmockNotFoundError,
    PmockPaymentRequiredError,
    PmockPermissionDeniedError,
    PmockRateLimitError,
    PmockRefusalError,
    PmockResponseError,
    PmockStreamInterruptedError,
    PmockTimeoutError,
)

if TYPE_CHECKING:
    from langchain_pmock.auth import PmockAuth

__all__ = [
    "ChatPmock",
    "ModelName",
    "Param",
    "PmockAPIError",
    "PmockAuth",
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
    "Wire",
    "__version__",
    "sign",
]


def __getattr__(name: str) -> object:
    """Import `PmockAuth` on first use: it takes httpx, which is slow to import."""
    if name == "PmockAuth":
        from langchain_pmock.auth import PmockAuth  # noqa: PLC0415

        return PmockAuth
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
