"""Blocking reads that must end."""

import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from langchain_pmock._gateway.deadline import abort, read_within


class Connection:
    """A connection that counts how often it is shut down."""

    def __init__(self, http_version: str = "HTTP/1.1", *, broken: bool = False) -> None:
        self.http_version = http_version
        self.broken = broken
        self.extensions: dict[str, Any] = {
            "network_stream": SimpleNamespace(get_extra_info=lambda _: self)
        }
        self.aborted: list[int] = []

    def shutdown(self, how: int) -> None:
        self.aborted.append(how)
        if self.broken:
            msg = "it is closed"
            raise OSError(msg)


@pytest.mark.parametrize("error", [OSError("reset"), KeyboardInterrupt()])
def test_exception_of_a_read_is_raised(error: BaseException) -> None:
    def source() -> Iterator[bytes]:
        yield b""
        raise error

    broken = source()
    assert read_within(60, broken, Connection()) == b""
    with pytest.raises(type(error)) as caught:
        read_within(60, broken, Connection())
    assert caught.value is error


@pytest.mark.parametrize("is_broken", [False, True])
def test_read_that_takes_too_long_is_aborted(*, is_broken: bool) -> None:
    release = threading.Event()

    def source() -> Iterator[bytes]:
        release.wait(60)
        yield b"late"

    connection = Connection(broken=is_broken)
    assert read_within(0.01, source(), connection) is None
    assert connection.aborted == [socket.SHUT_RDWR]
    release.set()


def test_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        msg = "can't start new thread"
        raise RuntimeError(msg)

    monkeypatch.setattr(threading.Thread, "start", start)
    connection = Connection()
    assert read_within(60, iter([b"a"]), connection) is None
    assert connection.aborted == [socket.SHUT_RDWR]


def test_connection_that_is_shared_or_closed_is_not_aborted() -> None:
    shared = Connection("HTTP/2")
    abort(shared)
    assert shared.aborted == []
    abort(SimpleNamespace(extensions={}, http_version="HTTP/1.1"))
    closed = SimpleNamespace(get_extra_info=lambda _: None)
    abort(SimpleNamespace(extensions={"network_stream": closed}, http_version=""))
