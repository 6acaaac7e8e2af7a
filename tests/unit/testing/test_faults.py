from typing import Any

import pytest

from langchain_pmock.testing import Fault, PmockServer, Reply
from langchain_pmock.testing._http import Abort, Step
from tests.support.on_the_wire import respond

RESET = Abort.RESET


@pytest.mark.parametrize(
    ("fault", "stream", "steps"),
    [
        (Fault(stall=5), True, [5.0, "data", "data"]),
        (Fault(stall=5, after=0), True, ["", 5.0, "data", "data"]),
        (Fault(stall=5, after=1), True, ["", "data", 5.0, "data"]),
        (Fault(stall=5, status=500), True, [5.0, '{"co']),
        (Fault(stall=5, html=True), True, [5.0, "<htm"]),
        (Fault(cut_after=1), True, ["data"]),
        (Fault(cut_after=0), True, []),
        (Fault(reset_after=1), True, ["data", RESET]),
        (Fault(reset_after=0), True, [RESET]),
        (Fault(reset_after=0), False, [RESET]),
        (Fault(reset_after=1), False, ['{"co', RESET]),
        (Fault(cut_after=0), False, ['{"co', Abort.CLOSE]),
        (Fault(garbage=True), False, ['{"co']),
        (Fault(code=500, cut_after=0), True, []),
        (Fault(code=500, after=1, cut_after=9), True, ["data", "data"]),
        (Fault(reset_after=9), True, ["data", "data", RESET]),
        (Fault(body=b"ab", stall=5, byte_by_byte=True), True, [5.0, "a", "b"]),
    ],
    ids=repr,
)
def test_steps(fault: Fault, steps: list[Step | str], *, stream: bool) -> None:
    server = PmockServer()
    server.script(fault, Reply(raw=[b"data: 1\n\n", b"data: 2\n\n"]))
    made = respond(server, stream=stream).steps
    assert [s[:4].decode() if isinstance(s, bytes) else s for s in made] == steps


@pytest.mark.parametrize("position", [6, 7, 99])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "kind", ["code", "garbage", "stall", "cut_after", "reset_after"]
)
def test_all_faults_are_before_the_end_of_a_stream(
    kind: str, newline: str, position: int
) -> None:
    server = PmockServer()
    server.newline = newline
    right = respond(server, stream=True).steps
    assert len(right) == 7
    faults: dict[str, dict[str, Any]] = {
        "code": {"code": 500, "after": position},
        "garbage": {"garbage": True, "after": position},
        "stall": {"stall": 5, "after": position},
    }
    server.fail(**faults.get(kind, {kind: position}))
    made = [step for step in respond(server, stream=True).steps if step]
    ends = [step for step in made if isinstance(step, bytes) and b"[DONE]" in step]
    if kind == "stall":
        assert made[-2:] == [5, ends[0]]
    else:
        assert not ends
    assert isinstance(made[5], bytes)
    assert b'"finishReason":"stop"' in made[5]


@pytest.mark.parametrize("stream", [True, False])
def test_code_0(*, stream: bool) -> None:
    server = PmockServer()
    server.fail(code=0)
    answer = respond(server, stream=stream)
    assert b'"code":0' in answer.content
    assert answer.code == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0"), (60, "60"), (1.5, "1.5"), (1e6, "1000000"), (1e-7, "0"), ("-5", "-5")],
)
def test_retry_after_has_no_exponent(seconds: float | str, text: str) -> None:
    server = PmockServer()
    server.fail(status=503, retry_after=seconds)
    assert respond(server).headers["Retry-After"] == text
