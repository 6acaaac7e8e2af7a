"""The tree of errors: classes, the matching classes of LangChain, texts."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from langchain_core import exceptions as core
from langchain_core.messages import AIMessage

from langchain_pmock import errors
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
    error_class,
)

if TYPE_CHECKING:
    from collections.abc import Callable

# Class: its parent, the matching class of LangChain, whether it is retryable.
TREE: dict[type[PmockError], tuple[type, type, bool]] = {
    PmockError: (core.ModelError, core.ModelError, False),
    PmockAuthenticationError: (PmockError, core.ModelAuthenticationError, False),
    PmockPermissionDeniedError: (PmockError, core.ModelPermissionDeniedError, False),
    PmockPaymentRequiredError: (
        PmockPermissionDeniedError,
        core.ModelPermissionDeniedError,
        False,
    ),
    PmockInvalidRequestError: (PmockError, core.ModelInvalidRequestError, False),
    PmockContextOverflowError: (
        PmockInvalidRequestError,
        core.ContextOverflowError,
        False,
    ),
    PmockNotFoundError: (PmockError, core.ModelNotFoundError, False),
    PmockRateLimitError: (PmockError, core.ModelRateLimitError, True),
    PmockAPIError: (PmockError, core.ModelAPIError, True),
    PmockConnectionError: (PmockError, core.ModelConnectionError, True),
    PmockStreamInterruptedError: (
        PmockConnectionError,
        core.ModelConnectionError,
        True,
    ),
    PmockTimeoutError: (PmockError, core.ModelTimeoutError, True),
    PmockResponseError: (PmockError, core.ModelError, False),
    PmockRefusalError: (
        PmockError,
        getattr(core, "ModelRefusalError", core.ModelError),
        False,
    ),
}


def pickled(error: PmockError) -> PmockError:
    other: PmockError = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    return other


def test_tree_and_docstring_have_every_public_class() -> None:
    assert {cls.__name__ for cls in TREE} == set(errors.__all__)
    drawn = re.findall(r"[*·x] (\w+)", errors.__doc__ or "")
    assert sorted(drawn) == sorted(errors.__all__)


@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_tree(cls: type[PmockError]) -> None:
    parent, meaning, retryable = TREE[cls]
    assert issubclass(cls, parent)
    assert issubclass(cls, meaning)
    assert issubclass(cls, core.ModelError)
    assert cls.is_retryable is retryable
    bullet = "*·x"[_depth(cls)]
    assert re.search(rf"{re.escape(bullet)} {cls.__name__}\b", errors.__doc__ or "")


def _depth(cls: type) -> int:
    depth = 0
    while cls is not PmockError:
        cls = TREE[cls][0]
        depth += 1
    return depth


@pytest.mark.parametrize(
    ("code", "cls"),
    [
        (400, PmockInvalidRequestError),
        (401, PmockAuthenticationError),
        (402, PmockPaymentRequiredError),
        (403, PmockPermissionDeniedError),
        (404, PmockNotFoundError),
        (405, PmockInvalidRequestError),
        (408, PmockTimeoutError),
        (409, PmockAPIError),
        (413, PmockInvalidRequestError),
        (422, PmockInvalidRequestError),
        (429, PmockRateLimitError),
        (499, PmockInvalidRequestError),
        (500, PmockAPIError),
        (503, PmockAPIError),
        (529, PmockAPIError),
        (599, PmockAPIError),
        (600, PmockError),
        (10001, PmockError),
        (0, PmockError),
        (-1, PmockError),
        (302, PmockError),
    ],
)
def test_class_by_code(code: int, cls: type[PmockError]) -> None:
    assert error_class(code) is cls


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
    "max_tokens is too large: 999999.",
    "max_tokens exceeds the output token limit of 8192.",
    "Invalid 'user': string too long. Expected a maximum length of 64.",
    "Unrecognized field temprature.",
    "Too many tools.",
    "messages[0].content is too long",
    "",
]


@pytest.mark.parametrize("message", OVERFLOWS)
def test_context_overflow_by_its_message(message: str) -> None:
    for code in (400, 413, 422):
        assert error_class(code, f"upstream:\n{message}") is PmockContextOverflowError
    assert error_class(400, message.upper()) is PmockContextOverflowError
    for code in (401, 404, 429, 500, 10001):
        assert error_class(code, message) is error_class(code)


@pytest.mark.parametrize("message", OTHERS)
def test_other_bad_requests_are_no_context_overflow(message: str) -> None:
    assert error_class(400, message) is PmockInvalidRequestError


@pytest.mark.parametrize("cls", TREE)
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
    ("reason", "text"),
    [
        ("", "pmock reported an error."),
        ("no", "pmock reported an error: no."),
        ("no.", "pmock reported an error: no."),
        ("no!", "pmock reported an error: no!"),
        ("why?", "pmock reported an error: why?"),
        ("不行。", "pmock reported an error: 不行。"),
    ],
)
def test_text_ends_in_one_full_stop(reason: str, text: str) -> None:
    assert str(PmockError.of(reason)) == text


@pytest.mark.parametrize(
    ("attributes", "number"),
    [
        ({"code": 429, "status_code": 200}, " (429)"),
        ({"code": 200, "status_code": 503}, " (503)"),
        ({"status_code": 503}, " (503)"),
        ({"code": 200, "status_code": 200}, ""),
        ({}, ""),
    ],
)
def test_text_has_the_number_of_the_failure(
    attributes: dict[str, Any], number: str
) -> None:
    text = str(PmockError.of("no", **attributes))
    assert text.startswith(f"pmock reported an error{number}: no.")


def response() -> httpx2.Response:
    request = httpx2.Request("POST", "https://gateway.invalid", json={"a": 1})
    return httpx2.Response(418, text="body", headers={"x": "y"}, request=request)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_copies_and_pickles_keep_everything(
    cls: type[PmockError], duplicate: Callable[[PmockError], PmockError]
) -> None:
    error = cls("text", code=1, status_code=2, trace_id="3", response=response())
    if isinstance(error, PmockRefusalError):
        error.raw_message = AIMessage("", additional_kwargs={"refusal": "No."})
    other = duplicate(error)
    assert type(other) is cls
    assert str(other) == "text"
    assert other.response is not None
    assert other.response.text == "body"
    kept = {k: v for k, v in vars(other).items() if k != "response"}
    assert kept == {k: v for k, v in vars(error).items() if k != "response"}


def test_missing_attributes_are_none() -> None:
    error = PmockRefusalError("text")
    assert (error.code, error.status_code, error.trace_id) == (None, None, None)
    assert (error.response, error.request_id, error.raw_message) == (None, None, None)
