import random
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

_UNIT = Path(__file__).parent / "unit"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # Unit tests get no socket at all; pyproject.toml keeps the others on loopback.
    for item in items:
        if item.path.is_relative_to(_UNIT):
            item.add_marker(pytest.mark.disable_socket)


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the random waits between attempts zero."""
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)
