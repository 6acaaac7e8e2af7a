"""What all unit tests share: no credentials from outside, and bounded examples."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

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
