"""What calls leave behind: descriptors, threads, entries of connection pools."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from langchain_pmock._gateway import pools

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

uvloop: Any
try:
    import uvloop
except ImportError:
    uvloop = None

PATIENCE = 30.0  # seconds; much more than anything takes on a busy machine


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll for something that happens in another thread."""
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


async def until(condition: Callable[[], bool]) -> None:
    """Async version of `wait_until`."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def usage() -> tuple[int, int]:
    """Count the descriptors and the threads of this process."""
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def pool_entries(*clients: Any) -> list[str]:
    """List what is not idle in the pools of clients; there is no public view of it."""
    found = []
    for client in clients:
        pool = client._transport._pool
        found += [repr(request) for request in pool._requests]
        found += [repr(each) for each in pool.connections if not each.is_idle()]
    return found


@pytest.fixture
def nothing_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that descriptors and threads are back to where they began."""
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc to count descriptors")
    for run in (asyncio.run, *([uvloop.run] if uvloop else [])):
        run(asyncio.sleep(0))  # each keeps some descriptors after its first loop
    pools.close_shared_pools()
    gc.collect()
    before = usage()
    yield
    pools.close_shared_pools()
    gc.collect()
    until = time.monotonic() + PATIENCE
    while not all(now <= then for now, then in zip(usage(), before, strict=True)):
        assert time.monotonic() < until, (before, usage(), threading.enumerate())
        time.sleep(0.005)
    # asyncio logs errors and tasks that nobody looked at.
    assert [record for record in caplog.records if record.name == "asyncio"] == []
