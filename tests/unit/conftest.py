"""What all unit tests share: no credentials from outside, and bounded examples."""

import os
from collections.abc import Callable

import pytest
from hypothesis import settings

from langchain_pmock import ChatPmock

Change = Callable[[ChatPmock, str, object], ChatPmock]


# A slow machine is no failure; a hundred examples of each property are enough here.
settings.register_profile(
    "unit",
    deadline=None,
    max_examples=100,
    derandomize="PMOCK_FUZZ" not in os.environ,  # set it to search for new ones
)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def _no_credentials_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY", "PMOCK_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=["assignment", "copy", "deep copy"])
def change(request: pytest.FixtureRequest) -> Change:
    """Change one field of a model, or of its copy."""

    def assign(model: ChatPmock, name: str, value: object) -> ChatPmock:
        setattr(model, name, value)
        return model

    def copy(model: ChatPmock, name: str, value: object) -> ChatPmock:
        is_deep = request.param == "deep copy"
        return model.model_copy(update={name: value}, deep=is_deep)

    return assign if request.param == "assignment" else copy
