"""Validation of what the user sets for the client: keys, URL, headers, timeout."""

from __future__ import annotations

import ipaddress
import math
import re
import sys
import warnings
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic import SecretStr

from langchain_pmock import _signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

    Timeout = float | httpx2.Timeout | httpx.Timeout
    SyncClient = httpx2.Client | httpx.Client
    AsyncClient = httpx2.AsyncClient | httpx.AsyncClient
else:  # httpx is imported only by users who pass its objects
    Timeout = SyncClient = AsyncClient = Any

DEFAULT_BASE_URL = "https://ai.pmock.com/api"

# Container networks have underscores in host names, unlike DNS.
_HOST = r"([a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?"
_PORTS = range(1, 65536)
# Set by this package, or by HTTP itself.
_RESERVED = {
    _signature.ACCESS_KEY_HEADER,
    _signature.ACCESS_TOKEN_HEADER,
    "connection",
    "content-length",
    "expect",
    "host",
    "transfer-encoding",
}
_HEADER_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110's token


def check_key(name: str, alias: str, value: object) -> object:
    """Validate a key, or accept a function that returns it."""
    key = value.get_secret_value() if isinstance(value, SecretStr) else value
    if isinstance(key, str) and not key.strip():
        msg = (
            f"Set the environment variable PMOCK_{name.upper()}, or pass {name} "
            f"(or {alias})."
        )
        raise ValueError(msg)
    return value if callable(value) else _signature.check_key(value, name)


def check_base_url(value: str) -> str:
    """Validate and normalize the service's URL."""
    value = value.strip().rstrip("/") or DEFAULT_BASE_URL
    # User info may have a password, and a query may have a key.
    can_be_shown = not set("@?#") & set(value)
    try:
        url = httpx2.URL(value)
        host, raw_host = url.host, url.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError) as error:
        msg = "base_url is not a URL" + (f": {error}" if can_be_shown else "")
        raise ValueError(msg) from None
    shown = f"base_url={value!r}" if can_be_shown else "base_url"
    is_web = url.scheme in {"http", "https"} and host
    # A host with a colon is an IPv6 address, which httpx2 has validated.
    is_host = ":" in raw_host or re.fullmatch(_HOST, raw_host)
    problems = {
        "must not have credentials in it: use access_key, secret_key": url.userinfo
        or ("@" in value and not is_web),
        "must have neither a query nor a fragment": url.query or url.fragment,
        "must start with https:// (or http://) and a host": not is_web,
        "has an invalid host": not is_host,
        "has an invalid port: it must be 1 to 65535": url.port is not None
        and url.port not in _PORTS,
    }
    for problem, is_found in problems.items():
        if is_found:
            msg = f"{shown} {problem}"
            raise ValueError(msg)
    if url.scheme == "http" and not _is_loopback(host):
        msg = (
            f"{shown} is not encrypted: prompts, answers and the access key can be "
            "read by others on the network. Use https://."
        )
        warnings.warn(msg, stacklevel=5)  # at the call of the constructor
    return value


def check_headers(field: str, headers: Mapping[str, str]) -> dict[str, str]:
    """Validate the user's headers, and strip their values."""
    for position, (name, value) in enumerate(headers.items(), start=1):
        if not re.fullmatch(_HEADER_NAME, name):
            # The name is not shown: it may contain the value.
            msg = f"{field}: the name at place {position} is not a header's name"
        elif name.lower() in _RESERVED:
            msg = f"{field} must not have {name!r}: it is set for each request"
        elif not (value.strip().isascii() and value.strip().isprintable()):
            msg = f"{field}[{name!r}] must be ASCII without control characters"
        else:
            continue
        raise ValueError(msg)
    return {name: value.strip() for name, value in headers.items()}


def check_timeout(value: object) -> float | httpx2.Timeout:
    """Validate a timeout: seconds, or a `Timeout` of httpx2 or httpx, or its dict."""
    given: Any = value.as_dict() if hasattr(value, "as_dict") else value
    is_dict = isinstance(given, dict)
    try:
        timeout = httpx2.Timeout(**given) if is_dict else httpx2.Timeout(float(given))
        limits = [limit for limit in timeout.as_dict().values() if limit is not None]
        if all(0 < limit < math.inf for limit in limits):
            return timeout if is_dict else float(given)
    except (OverflowError, TypeError, ValueError):
        pass
    msg = "it must be a positive number of seconds, or an httpx2.Timeout of such limits"
    raise ValueError(msg)


def check_client(field: str, name: str, value: object) -> object:
    """Validate the user's own client, which is one of httpx2 or of httpx."""
    # Who has a client of httpx has imported it.
    libraries = [httpx2, *filter(None, [sys.modules.get("httpx")])]
    if value is None or any(isinstance(value, getattr(m, name)) for m in libraries):
        return value
    package = type(value).__module__.partition(".")[0]
    msg = (
        f"{field} must be an httpx2.{name} or an httpx.{name}, not a {package}."
        f"{type(value).__qualname__}."
    )
    raise ValueError(msg)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
