"""Keys and tokens are taken out of whatever a service or a proxy echoes."""

from __future__ import annotations

import html
import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock import PmockAuth
from langchain_pmock.auth import ACCESS_TOKEN_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

ACCESS_KEY = 'ak/ex"ample+clé=='
SECRET_KEY = "sk-<秘密>&👋"
AUTH = PmockAuth(ACCESS_KEY, SECRET_KEY)


def signed() -> tuple[httpx.Request, str]:
    """A signed request, and its token."""
    request = httpx.Request("POST", "https://gateway.invalid")
    AUTH.sign_request(request)
    return request, request.headers[ACCESS_TOKEN_HEADER]


def in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON": in_json,
    "in JSON, not escaped": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "in JSON, in capitals": lambda text: in_json(text).upper().replace("\\U", "\\u"),
    "in JSON with slashes escaped": lambda text: in_json(text).replace("/", "\\/"),
    "in HTML": html.escape,
    "in HTML by numbers": lambda text: "".join(f"&#{ord(c)};" for c in text),
    "in a URL": lambda text: quote(text, safe=""),
    "in lower case": str.lower,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("which", ["access key", "secret key", "token"])
def test_secrets_are_hidden_however_they_are_spelled(which: str, spelling: str) -> None:
    request, token = signed()
    secrets = {"access key": ACCESS_KEY, "secret key": SECRET_KEY, "token": token}
    echoed = SPELLINGS[spelling](secrets[which])
    payload = f"no: {echoed}, {echoed}!".encode()
    assert AUTH.hide(payload, request) == b"no: ***, ***!"


def test_all_of_them_at_once() -> None:
    request, token = signed()
    payload = f"{ACCESS_KEY}:{SECRET_KEY}:{token}".encode()
    assert AUTH.hide(payload, request) == b"***:***:***"


@pytest.mark.parametrize("key", ["", "a", "abc"])
def test_what_is_too_short_for_a_key_is_left(key: str) -> None:
    request, _ = signed()
    assert PmockAuth(key, key).hide(b"an abc of it", request) == b"an abc of it"


def test_a_request_without_a_token() -> None:
    request = httpx.Request("POST", "https://gateway.invalid")
    assert AUTH.hide(b"text", request) == b"text"


@given(payload=st.binary())
def test_everything_else_stays(payload: bytes) -> None:
    request, _ = signed()
    assert AUTH.hide(payload, request) == payload
