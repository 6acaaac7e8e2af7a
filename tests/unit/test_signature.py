"""Signatures, and the service's clock."""

import time
from email.utils import formatdate

import pytest
from pydantic import SecretStr

from langchain_pmock import sign
from langchain_pmock._signature import Signer, read_date

NOW = 1768809934.0

KEYS = ("ak-example", "sk-example")
# Computed with the JDK's javax.crypto.Mac.
VECTORS = [
    (*KEYS, NOW, "SiPDz8a4ffruqG3CHXdVl8k0AvfeVKQOmgXyft0Iwgg="),
    (*KEYS, NOW - 34, "SiPDz8a4ffruqG3CHXdVl8k0AvfeVKQOmgXyft0Iwgg="),
    (*KEYS, NOW - 35, "/1ODnAUuL/w+SCPSjZEIKawGbt/5a6Vy/9B2cTUo5o0="),
    ("clé", "秘密", 59.999, "CkpgdDRG3E6i6fCCgvCdz3640E1jK0IHWcrxm9bYEQQ="),
]


@pytest.mark.parametrize(("access_key", "secret_key", "timestamp", "token"), VECTORS)
def test_signature_vectors(
    access_key: str, secret_key: str, timestamp: float, token: str
) -> None:
    assert sign(access_key, secret_key, timestamp) == token


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [NOW]
    monkeypatch.setattr(time, "time", lambda: clock[-1])
    return clock


def test_token_is_that_of_the_minute_and_the_keys(clock: list[float]) -> None:
    keys = ["ak", "sk"]
    signer = Signer(lambda: keys[0], lambda: SecretStr(keys[1]))
    for access_key, secret_key, now, offset in (
        ("ak", "sk", NOW, 0.0),
        ("ak", "sk", NOW + 1, 0.0),
        ("ak", "sk", NOW + 60, 0.0),
        ("ak", "sk", NOW + 60, -100.0),
        ("ak-2", "sk", NOW + 60, -100.0),
        ("ak-2", "sk-2", NOW + 60, -100.0),
    ):
        keys[:] = access_key, secret_key
        clock.append(now)
        token = sign(access_key, secret_key, now + offset)
        signature = signer.sign(offset)
        assert signature.secrets == (access_key, secret_key, token)
        assert signature.headers == {
            b"wuinai-access-key": access_key.encode(),
            b"wuinai-access-token": token.encode(),
        }
    signer.offset = 500.0
    assert signer.sign().offset == 500.0


def date(offset: float) -> str:
    return formatdate(NOW + offset, usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds", "before", "measured"),
    [
        # A second of the answer's date, and the time that the request took.
        (date(0), 0, 0, 0),
        (date(-1), 0, 0, 0),
        (date(-2), 0, 0, -1.5),
        (date(1), 0, 0, 1.5),
        (date(1), 1, 0, 0),
        (date(5), 1, 0, 5),
        (date(3600), 0, 0, 3600.5),
        # The present offset is kept if it is consistent, and dropped if 0 is.
        (date(3600), 0, 3600.9, 3600.9),
        (date(3600), 0, 3602, 3600.5),
        (date(0), 0, 3600, 0),
        # Without a usable date.
        *((text, 0, 7, 7) for text in ("", "yesterday", "Thu, 99 Foo 2026 25:61:61")),
        # For no other day.
        (date(86_399), 0, 0, 86_399.5),
        (date(86_401), 0, 0, 0),
        (date(-86_402), 0, 0, 0),
        (date(400 * 86_400), 0, 7, 0),
    ],
)
def test_measured_offset(
    header: str, seconds: float, before: float, measured: float, clock: list[float]
) -> None:
    signature = Signer("ak", "sk").sign(before)
    clock.append(NOW + seconds)
    assert signature.measured_offset(header) == measured


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Mon, 19 Jan 2026 08:05:34 GMT", NOW),
        ("Mon, 19 Jan 2026 08:05:34 -0000", NOW),
        ("Mon, 19 Jan 2026 08:05:34", NOW),
        ("Mon, 19 Jan 2026 10:05:34 +0200", NOW),
        ("", None),
        ("Thu", None),
        (f"1 Jan {'9' * 20} 00:00:00 GMT", None),
        ("1 Jan 9999 00:00:00 -9999", None),
    ],
)
def test_date_is_in_utc_whatever_the_zone_of_this_machine(
    value: str, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        if hasattr(time, "tzset"):
            context.setenv("TZ", "JST-9")
            time.tzset()
        assert read_date(value) == expected
    if hasattr(time, "tzset"):
        time.tzset()
