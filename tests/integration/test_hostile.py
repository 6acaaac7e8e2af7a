"""The memory that answers take, however large they are."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import python
from tests.support.raw_server import RawServer, head, stream, whole
from tests.support.wire import HELLO, answer

if TYPE_CHECKING:
    from tests.support.raw_server import Step

LIMIT = 16  # MiB
ASK = """
import sys
from langchain_pmock import ChatPmock, PmockError

url, way, limit = sys.argv[1:]
settings = {"base_url": url, "access_key": "ak-example", "secret_key": "sk-example"}
limits = {"max_retries": 0, "max_response_bytes": int(limit) * 2**20}
model = ChatPmock(model="gpt-5.1", **settings, **limits)


def ask():
    try:
        if way == "invoke":
            model.invoke("Hello")
        else:
            for _ in model.stream("Hello"):
                pass
    except PmockError as error:
        return type(error).__name__
    return "an answer"


def peak():
    # ru_maxrss of a new process starts at that of the process that forked it.
    with open("/proc/self/status") as status:
        (line,) = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


assert ask() == "an answer"
before = peak()
print(ask(), peak() - before)
"""


def bomb(wbits: int) -> bytes:
    """Return 300 MB that are encoded in 300 kB."""
    packed = zlib.compressobj(9, zlib.DEFLATED, wbits)
    pieces = [packed.compress(b'{"code": 200, "message": "')]
    pieces += [packed.compress(b"x" * 2**20) for _ in range(300)]
    return b"".join([*pieces, packed.flush()])


GZIP, DEFLATE = bomb(31), bomb(15)
EVENTS = head(headers={"Content-Type": "text/event-stream"})
BLOCK = b"%x\r\n%s\r\n" % (2**16, b"x" * 2**16)
ENDLESS = [BLOCK] * 8_000  # 500 MB
FINISHED = stream(*HELLO[:3])[:-1]
RESPONSE = "PmockResponseError"
OBJECTS = b'{"code": 200, "data": {"x": [{}' + b",{}" * 5 * 2**20 + b"]}}"


def encoded(encoding: str, body: bytes, status: str = "200 OK") -> list[Step]:
    return whole(body, status, {"Content-Encoding": encoding})


# The body, the outcome, and the maximum of memory as a multiple of the limit:
# docs/faults.md has it for the default limit.
BODIES: dict[str, tuple[str, list[Step], str, float]] = {
    "event": ("stream", [EVENTS, b"6\r\ndata: \r\n", *ENDLESS], RESPONSE, 2),
    "after the finish reason": ("stream", [*FINISHED, *ENDLESS], "an answer", 2),
    "answer": ("invoke", [head(), *ENDLESS], RESPONSE, 2),
    "error": ("invoke", [head("500 No"), *ENDLESS], "PmockAPIError", 1),
    # One read of 64 kB is up to 66 MB decoded, in two copies.
    "deflate": ("stream", encoded("deflate", DEFLATE), "PmockResponseError", 10),
    "error in gzip": ("invoke", encoded("gzip", GZIP, "500 No"), "PmockAPIError", 18),
    "br": ("invoke", encoded("br", GZIP), "PmockResponseError", 1),
    "zstd": ("stream", encoded("zstd", GZIP, "402 No"), "PmockPaymentRequiredError", 1),
    "long text": ("invoke", whole(answer("x" * 15 * 2**20)), "an answer", 7),
    "empty objects": ("invoke", whole(OBJECTS), "PmockResponseError", 55),
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status")
@pytest.mark.parametrize(
    ("way", "steps", "expected", "bound"), BODIES.values(), ids=BODIES
)
def test_memory_is_bounded(
    way: str, steps: list[Step], expected: str, bound: float
) -> None:
    with RawServer(whole(answer("Hello")), steps) as server:
        done = python("-c", ASK, server.url, way, LIMIT)
    outcome, _, taken = done.stdout.rpartition(" ")
    assert outcome == expected
    assert float(taken) < bound * LIMIT + 5
