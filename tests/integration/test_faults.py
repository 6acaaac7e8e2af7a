"""What the service reports, in each of its ways, and what the user sees of it.

The rest of what goes wrong is in `test_faults_answers.py` (answers of another shape),
`test_faults_connections.py`, `test_faults_streams.py` and `test_faults_clock.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core import exceptions as core

from langchain_pmock import errors

if TYPE_CHECKING:
    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel
    from tests.support.asking import Ask, Outcome

pytestmark = pytest.mark.usefixtures("fast_retries")

HELLO = "You said: Hello"


@dataclass(frozen=True)
class Kind:
    """A code, and the error that it stands for."""

    code: int
    error: type[errors.PmockError]
    twin: type[core.ModelError]
    passes: bool = False  # whether the same request may succeed later
    says: str = "made on purpose"

    def __str__(self) -> str:
        return f"{self.code}-{self.error.__name__}"

    @property
    def requests(self) -> int:
        """How many requests two retries make of it."""
        if self.code == 401:
            return 2
        return 3 if self.passes else 1


KINDS = (
    Kind(400, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(
        400,
        errors.PmockContextOverflowError,
        core.ContextOverflowError,
        says="This model's maximum context length is 8192 tokens.",
    ),
    Kind(401, errors.PmockAuthenticationError, core.ModelAuthenticationError),
    Kind(402, errors.PmockPaymentRequiredError, core.ModelPermissionDeniedError),
    Kind(403, errors.PmockPermissionDeniedError, core.ModelPermissionDeniedError),
    Kind(404, errors.PmockNotFoundError, core.ModelNotFoundError),
    Kind(408, errors.PmockTimeoutError, core.ModelTimeoutError, passes=True),
    Kind(409, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(413, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(422, errors.PmockInvalidRequestError, core.ModelInvalidRequestError),
    Kind(429, errors.PmockRateLimitError, core.ModelRateLimitError, passes=True),
    Kind(500, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(502, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(503, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(504, errors.PmockAPIError, core.ModelAPIError, passes=True),
    Kind(529, errors.PmockAPIError, core.ModelAPIError, passes=True),
)
each_kind = pytest.mark.parametrize("kind", KINDS, ids=str)


def check(outcome: Outcome, kind: Kind, *, status: int) -> None:
    error = outcome.error
    assert type(error) is kind.error, error
    assert isinstance(error, kind.twin)
    assert isinstance(error, core.ModelError)
    assert error.is_retryable is kind.passes
    assert (error.code, error.status_code) == (kind.code, status)
    assert error.response is not None
    assert error.response.status_code == status
    assert error.trace_id
    assert error.trace_id == error.response.json()["traceId"]
    for part in (kind.says, f"({kind.code})", f"Trace id: {error.trace_id}."):
        assert part in str(error)


# --- Errors that the service reports -------------------------------------------------


@each_kind
def test_an_http_status(
    server: PmockServer, make_model: MakeModel, ask: Ask, kind: Kind
) -> None:
    server.fail(status=kind.code, message=kind.says, times=9)
    outcome = ask(make_model(max_retries=2))
    check(outcome, kind, status=kind.code)
    assert len(server.requests) == kind.requests
    assert outcome.pieces == []


@each_kind
def test_a_code_in_an_envelope_of_http_200(
    server: PmockServer, make_model: MakeModel, ask: Ask, kind: Kind
) -> None:
    # Of a stream, it is the first event.
    server.fail(code=kind.code, message=kind.says, times=9)
    outcome = ask(make_model(max_retries=2))
    check(outcome, kind, status=200)
    assert len(server.requests) == kind.requests
    assert outcome.pieces == []


@each_kind
def test_a_code_in_the_middle_of_a_stream(
    server: PmockServer, make_model: MakeModel, ask_stream: Ask, kind: Kind
) -> None:
    server.fail(code=kind.code, message=kind.says, after=3, times=9)
    outcome = ask_stream(make_model(max_retries=2))
    check(outcome, kind, status=200)
    assert len(server.requests) == 1
    assert outcome.pieces == ["You", " said"]


@pytest.mark.parametrize("by", ["status", "code"])
@pytest.mark.parametrize("max_retries", [0, 1, 2])
def test_retries_stop_where_they_should(
    server: PmockServer, make_model: MakeModel, ask: Ask, max_retries: int, by: str
) -> None:
    fault: dict[str, Any] = {by: 503}
    if max_retries:
        server.fail(**fault, times=max_retries)
    outcome = ask(make_model(max_retries=max_retries))
    assert outcome.text == HELLO
    assert len(server.requests) == max_retries + 1
    server.reset()
    server.fail(**fault, times=9)
    outcome = ask(make_model(max_retries=max_retries))
    assert type(outcome.error) is errors.PmockAPIError
    assert len(server.requests) == max_retries + 1


def test_the_last_error_is_the_one_that_is_raised(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.fail(status=503)
    server.fail(reset_after=0)
    server.fail(code=404, message="no such model")
    outcome = ask(make_model(max_retries=5))
    assert type(outcome.error) is errors.PmockNotFoundError
    assert "no such model" in str(outcome.error)
    assert len(server.requests) == 3


def test_the_status_counts_if_the_code_is_none_of_http(
    server: PmockServer, make_model: MakeModel, ask: Ask
) -> None:
    server.fail(status=429, code=10013)
    server.fail(code=10013)
    limited, unknown = ask(make_model()), ask(make_model())
    assert type(limited.error) is errors.PmockRateLimitError
    assert limited.error.code == 10013
    assert limited.error.status_code == 429
    assert type(unknown.error) is errors.PmockError
    assert unknown.error.code == 10013
