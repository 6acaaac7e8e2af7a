"""A test with the fixture `way` runs for each method and each HTTP library."""

import pytest

from tests.support.service import WAYS, Way


@pytest.fixture(params=WAYS, ids=str)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture(params=[way for way in WAYS if way.is_stream], ids=str)
def streaming(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen
