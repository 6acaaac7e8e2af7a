"""The tree of errors: classes, LangChain's classes of the same meaning, texts."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING, Any

import httpx
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

# Class: its parent, LangChain's class of the same meaning, whether to try again.
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


def test_every_public_class_is_in_the_tree_above_and_in_the_drawing() -> None:
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


# As the makers of the models say it.
OVERFLOWS = [
    "This model's maximum context length is 272000 tokens, yours are 300001.",
    "Your input exceeds the context window of this model.",
    "error code: context_length_exceeded",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000",
    "The input token count (1048999) exceeds the maximum number of tokens allowed.",
    "Too many input tokens.",
    "Input is too long for requested model.",
    # llama.cpp, vLLM and TGI.
    "the request exceeds the available context size, try increasing it",
    "the prompt is longer than the maximum model length of 4096",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
    "`inputs` must have less than 1024 tokens. Given: 2000",
]
NO_OVERFLOWS = [
    "max_tokens is too large: 999999.",
    "Unknown field temprature.",
    "Too many tools.",
    "messages[0].content is too long",
    "",
]


@pytest.mark.parametrize("said", OVERFLOWS)
@pytest.mark.parametrize("code", [400, 413, 422])
def test_context_overflow_is_told_by_what_the_service_says(
    code: int, said: str
) -> None:
    assert error_class(code, said) is PmockContextOverflowError
    assert error_class(code, said.upper()) is PmockContextOverflowError
    assert error_class(code, f"upstream:\n{said}") is PmockContextOverflowError


@pytest.mark.parametrize("said", NO_OVERFLOWS)
def test_other_bad_requests_are_no_context_overflow(said: str) -> None:
    assert error_class(400, said) is PmockInvalidRequestError


@pytest.mark.parametrize("code", [401, 404, 429, 500, 10001])
def test_only_a_bad_request_can_be_a_context_overflow(code: int) -> None:
    assert error_class(code, OVERFLOWS[0]) is error_class(code)


@pytest.mark.parametrize("cls", TREE)
def test_a_text_says_what_happened_and_what_to_do(cls: type[PmockError]) -> None:
    text = str(cls.of("the reason", code=418, trace_id="trace-1"))
    what, rest = text.split(" (418): ")
    assert what
    said, advice = rest.split(" Trace id: trace-1. ")
    assert said == "the reason."
    assert advice.endswith(".")


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ("", "pmock reported an error."),
        ("no", "pmock reported an error: no."),
        ("no.", "pmock reported an error: no."),
        ("no!", "pmock reported an error: no!"),
        ("why?", "pmock reported an error: why?"),
        ("不行。", "pmock reported an error: 不行。"),
    ],
)
def test_a_text_ends_in_one_full_stop(said: str, what: str) -> None:
    assert str(PmockError.of(said)).startswith(f"{what} If it persists")


@pytest.mark.parametrize(
    ("known", "number"),
    [
        ({"code": 429, "status_code": 200}, " (429)"),
        ({"code": 200, "status_code": 503}, " (503)"),
        ({"status_code": 503}, " (503)"),
        ({"code": 200, "status_code": 200}, ""),
        ({}, ""),
    ],
)
def test_a_text_gives_the_number_of_the_failure(
    known: dict[str, Any], number: str
) -> None:
    text = str(PmockError.of("no", **known))
    assert text.startswith(f"pmock reported an error{number}: no.")


def response() -> httpx.Response:
    request = httpx.Request("POST", "https://gateway.invalid", json={"a": 1})
    return httpx.Response(418, text="body", headers={"x": "y"}, request=request)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickled])
@pytest.mark.parametrize("cls", TREE, ids=lambda cls: cls.__name__)
def test_copies_and_pickles_keep_everything(
    cls: type[PmockError], duplicate: Callable[[PmockError], PmockError]
) -> None:
    error = cls("text", code=1, status_code=2, trace_id="3", response=response())
    other = duplicate(error)
    assert type(other) is cls
    assert str(other) == "text"
    assert (other.code, other.status_code, other.trace_id) == (1, 2, "3")
    assert other.response is not None
    assert other.response.status_code == 418
    assert other.response.text == "body"
    assert other.response.headers["x"] == "y"
    assert other.is_retryable == error.is_retryable


def test_a_refusal_keeps_the_message() -> None:
    message = AIMessage("", additional_kwargs={"refusal": "No."})
    error = PmockRefusalError("text", raw_message=message, trace_id="3")
    other = pickled(error)
    assert isinstance(other, PmockRefusalError)
    assert other.raw_message == message
    assert other.trace_id == "3"


def test_what_is_not_known_is_none() -> None:
    error = PmockError("text")
    assert (error.code, error.status_code, error.trace_id) == (None, None, None)
    assert error.response is None
    assert PmockRefusalError("text").raw_message is None
