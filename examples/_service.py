"""The service that the examples use: the live one, or a local server."""

from __future__ import annotations

import ipaddress
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_pmock import PmockError

if TYPE_CHECKING:
    from collections.abc import Iterator

LIVE_SERVICE = "https://ai.pmock.com/api"
KEYS = ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY")


@contextmanager
def service() -> Iterator[dict[str, Any]]:
    """Choose the service, and print which one it is.

    With the two keys in the environment, it is the service at `PMOCK_BASE_URL`, by
    default the live one; `ChatPmock` reads these variables itself. Without keys, it is
    a `PmockServer`, which answers by simple rules.

    A `PmockError` ends the script with one line instead of a traceback.

    Yields:
        The arguments that `ChatPmock` needs to reach the service.
    """
    try:
        with _service() as arguments:
            yield arguments
    except PmockError as error:
        sys.exit(f"Stopped: {error}")


@contextmanager
def _service() -> Iterator[dict[str, Any]]:
    url = os.environ.get("PMOCK_BASE_URL")
    missing = [name for name in KEYS if not os.environ.get(name)]
    if not missing:
        url = url or LIVE_SERVICE
        print(f"Service: {'on this machine' if is_loopback(url) else 'live'}, {url}")
        yield {}
        return
    if url or len(missing) < len(KEYS):
        sys.exit(
            f"Stopped: {' and '.join(missing)} not set. Set both keys, or unset all "
            "PMOCK_ variables to use a server on this machine."
        )

    # Imported here, because a live run does not need the extra `testing`.
    from langchain_pmock.testing import PmockServer  # noqa: PLC0415

    print("Service: a PmockServer on this machine, which mostly repeats its input.")
    print("  For real answers set PMOCK_ACCESS_KEY and PMOCK_SECRET_KEY. Without keys,")
    print("  put it in front of a model of yours (Ollama, vLLM, llama.cpp), in another")
    print("  shell, and export the variables that it prints:")
    print("  python -m langchain_pmock.testing --upstream http://localhost:11434/v1")
    with PmockServer(delay=0.03) as server:
        yield {
            "base_url": server.url,
            "access_key": server.access_key,
            "secret_key": server.secret_key,
        }


def is_loopback(url: str) -> bool:
    """Return whether the host of a URL is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
