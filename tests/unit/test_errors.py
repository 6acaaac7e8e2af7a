"""The tree of errors: classes, the matching classes of LangChain, texts."""

import copy
import pickle
import re
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage

import langchain_pmock
from langchain_pmock import errors
from langchain_pmock.errors import (
    PmockContextOverflowError,
    PmockError,
    PmockInvalidRequestError,
    PmockRefusalError,
    error_class,
)

# Class, matching class of LangChain, whether it is retryable.
TREE = [
    ("PmockError", "ModelError", False),
    ("PmockAuthenticationError", "ModelAuthenticationError", False),
    ("PmockPermissionDeniedError", "ModelPermissionDeniedError", False),
    ("PmockPaymentRequiredError", "ModelPermissionDeniedError", False),
    ("PmockInvalidRequestError", "ModelInvalidRequestError", False),
    ("PmockContextOverflowError", "ContextOverflowError", False),
    ("PmockNotFoundError", "ModelNotFoundError", False),
    ("PmockRateLimitError", "ModelRateLimitError", True),
    ("PmockAPIError", "ModelAPIError", True),
    ("PmockConnectionError", "ModelConnectionError", True),
    ("PmockStreamInterruptedError", "ModelConnectionError", True),
    ("PmockTimeoutError", "ModelTimeoutError", True),
    ("PmockResponseError", "ModelError", False),
    ("PmockRefusalError", "ModelRefusalError", False),
]
CLASSES: list[type[PmockError]] = [getattr(errors, name) for name, _, _ in TREE]
CODES = {
    "PmockInvalidRequestError": [400, 405, 413, 422, 499],
    "PmockAuthenticationError": [401],
    "PmockPaymentRequiredError": [402],
    "PmockPermissionDeniedError": [403],
    "PmockNotFoundError": [404],
    "PmockConnectionError": [407],
    "PmockTimeoutError": [408],
    "PmockRateLimitError": [429],
    "PmockAPIError": [409, 500, 503, 529, 599],
    "PmockError": [600, 10001, 0, -1, 302],
}


def pickled(error: PmockError) -> PmockError:
    other: PmockError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return other


def test_tree_and_docstring_have_every_public_class() -> None:
    public = [name for name in langchain_pmock.__all__ if name.endswith("Error")]
    assert sorted(name for name, _, _ in TREE) == sorted(public)
    assert sorted(re.findall(r"[*·x] (\w+)", errors.__doc__ or "")) == sorted(public)


@pytest.mark.parametrize(("name", "meaning", "retryable"), TREE)
def test_tree(name: str, meaning: str, retryable: bool) -> None:
    cls = getattr(errors, name)
    # ModelRefusalError is in langchain-core since 1.7.5.
    assert issubclass(cls, getattr(core, meaning, core.ModelError))
    assert issubclass(cls, PmockError)
    assert cls.is_retryable is retryable


@pytest.mark.parametrize("name", CODES)
def test_class_by_code(name: str) -> None:
    assert {error_class(code).__name__ for code in CODES[name]} == {name}


# The vendors' wordings; their sources are beside the patterns in errors.py.
OVERFLOWS = [
    # OpenAI
    "This model's maximum context length is 272000 tokens, yours are 300001.",
    "Input tokens exceed the configured limit of 272000 tokens. Your messages ...",
    "Your input exceeds the context window of this model. Please adjust your input.",
    "error code: context_length_exceeded",
    # Anthropic
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    # Google
    "The input token count (1048999) exceeds the maximum number of tokens allowed.",
    "The request exceeds the input token limit of 1048576.",
    # Bedrock, xAI, Mistral, llama.cpp, LM Studio, Kimi, vLLM, TGI, LiteLLM
    "Too many input tokens.",
    "Input is too long for requested model.",
    "This model's maximum prompt length is 131072 but the request contains 537812.",
    "Prompt contains 9 tokens, too large for model with 8 maximum context length",
    "the request exceeds the available context size, try increasing it",
    "tokens to keep from the initial prompt is greater than the context length",
    "Your request exceeded model token limit: 9 (requested: 10)",
    "the prompt is longer than the maximum model length of 4096",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
    "`inputs` must have less than 1024 tokens. Given: 2000",
    "litellm.ContextWindowExceededError: AnthropicException",
]
OTHERS = [
    "max_tokens exceeds the output token limit of 8192.",
    "Invalid 'user': string too long. Expected a maximum length of 64.",
    "Too many tools.",
    "messages[0].content is too long",
    "",
]


@pytest.mark.parametrize("message", OVERFLOWS)
def test_context_overflow_by_its_message(message: str) -> None:
    for code in (400, 413, 422, 500, 502):
        assert error_class(code, f"upstream:\n{message}") is PmockContextOverflowError
    assert error_class(400, message.upper()) is PmockContextOverflowError
    for code in (401, 404, 429, 10001):
        assert error_class(code, message) is error_class(code)


@pytest.mark.parametrize("message", OTHERS)
def test_other_bad_requests_are_no_context_overflow(message: str) -> None:
    assert error_class(400, message) is PmockInvalidRequestError


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("trace_id", ["trace-1", "", None])
def test_text_of_an_error(cls: type[PmockError], trace_id: str | None) -> None:
    text = str(cls.of("the reason", code=418, trace_id=trace_id))
    what, rest = text.split(" (418): ")
    assert what
    assert rest.startswith("the reason.")
    assert rest.endswith(".")
    assert "  " not in text
    if trace_id:
        assert " Trace id: trace-1." in rest
    else:  # no advice to pass on what is missing
        assert "trace" not in text.lower()


@pytest.mark.parametrize(
    ("reason", "attributes", "text"),
    [
        ("", {}, "."),
        ("no", {}, ": no."),
        ("no.", {}, ": no."),
        ("why?", {}, ": why?"),
        ("不行。", {}, ": 不行。"),
        ("no", {"code": 429, "status_code": 200}, " (429): no."),
        ("no", {"code": 200, "status_code": 503}, " (503): no."),
        ("no", {"status_code": 503}, " (503): no."),
        ("no", {"code": 200, "status_code": 200}, ": no."),
    ],
)
def test_number_and_full_stop(
    reason: str, attributes: dict[str, Any], text: str
) -> None:
    shown = str(PmockError.of(reason, **attributes))
    assert shown == f"pmock reported an error{text}"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("cls", CLASSES)
def test_copies_and_pickles_keep_everything(
    cls: type[PmockError], duplicate: Callable[[PmockError], PmockError]
) -> None:
    request = httpx2.Request("POST", "https://gateway.invalid", json={"a": 1})
    response = httpx2.Response(418, text="body", request=request)
    error = cls("text", code=1, status_code=2, trace_id="3", response=response)
    if isinstance(error, PmockRefusalError):
        error.raw_message = AIMessage("", additional_kwargs={"refusal": "No."})
    other = duplicate(error)
    assert type(other) is cls
    assert str(other) == "text"
    assert other.response is not None
    assert other.response.text == "body"
    kept = {k: v for k, v in vars(other).items() if k != "response"}
    assert kept == {k: v for k, v in vars(error).items() if k != "response"}
