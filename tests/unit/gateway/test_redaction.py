"""Keys and tokens are replaced in whatever a service or a proxy echoes."""

from __future__ import annotations

import json
import time

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import PmockAuth
from langchain_pmock.auth import ACCESS_TOKEN_HEADER

ACCESS_KEY = 'ak/ex"ample+clé=='
SECRET_KEY = "sk-<秘密>&👋"
AUTH = PmockAuth(ACCESS_KEY, SECRET_KEY)


def signed() -> tuple[httpx.Request, str]:
    """A signed request, and its token."""
    request = httpx.Request("POST", "https://gateway.invalid")
    AUTH.sign_request(request)
    return request, request.headers[ACCESS_TOKEN_HEADER]


@pytest.mark.parametrize("is_escaped", [False, True])
@pytest.mark.parametrize("which", ["access key", "secret key", "token"])
def test_secrets_are_replaced(which: str, is_escaped: bool) -> None:
    request, token = signed()
    secrets = {"access key": ACCESS_KEY, "secret key": SECRET_KEY, "token": token}
    echoed = json.dumps(secrets[which])[1:-1] if is_escaped else secrets[which]
    payload = f"no: {echoed}, {echoed}!".encode()
    assert AUTH.redact(payload, request) == b"no: ***, ***!"


def test_all_of_them_at_once() -> None:
    request, token = signed()
    payload = f"{ACCESS_KEY}:{SECRET_KEY}:{token}".encode()
    assert AUTH.redact(payload, request) == b"***:***:***"


@pytest.mark.parametrize("key", ["", "a", "abc"])
def test_what_is_too_short_for_a_key_is_left(key: str) -> None:
    request, _ = signed()
    assert PmockAuth(key, key).redact(b"an abc of it", request) == b"an abc of it"


def test_a_request_without_a_token() -> None:
    request = httpx.Request("POST", "https://gateway.invalid")
    assert AUTH.redact(b"text", request) == b"text"


@given(payload=st.binary())
def test_everything_else_stays(payload: bytes) -> None:
    request, _ = signed()
    assert AUTH.redact(payload, request) == payload


def test_every_prefix_of_a_key_takes_linear_time() -> None:
    key = "ak-0123456789abcdef0123456789abcdef0123456789abcdef"
    auth = PmockAuth(key, key.replace("ak", "sk"))
    request = httpx.Request("POST", "https://gateway.invalid")
    auth.sign_request(request)
    began = time.process_time()
    for length in range(1, len(key)):
        text = (key[:length] + "***").encode() * 1_000
        assert auth.redact(text, request) == text
    # Seen: 0.01 s. A pattern that backtracks took 14 s for one text of 14 characters.
    assert time.process_time() - began < 2
