"""Where the examples find pmock: the live service, or a server on this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_SERVICE = "https://ai.pmock.com/api"


@contextmanager
def service() -> Iterator[dict[str, Any]]:
    """Choose the service, and print which one it is.

    With the two keys in the environment it is the live service, and `ChatPmock` finds
    them there by itself. Without them it is a `PmockServer`, which answers by simple
    rules and says in most cases what it was told.

    Yields:
        What `ChatPmock` has to be told to reach the service.
    """
    if os.environ.get("PMOCK_ACCESS_KEY") and os.environ.get("PMOCK_SECRET_KEY"):
        url = os.environ.get("PMOCK_BASE_URL") or LIVE_SERVICE
        print(f"Service: live, {url}")
        yield {}
        return

    # Only here: a live run does not need the extra `testing`.
    from langchain_pmock.testing import PmockServer  # noqa: PLC0415 - as said

    print("Service: a PmockServer on this machine. It repeats what it hears; for real")
    print("         answers set PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY.")
    with PmockServer(delay=0.03) as server:
        yield {
            "base_url": server.url,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
        }
