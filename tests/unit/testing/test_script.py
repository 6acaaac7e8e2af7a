from typing import Any

import pytest

from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall
from langchain_pmock.testing._http import Abort, Step
from tests.support.on_the_wire import respond


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"status": 600}, "status\n.*less than or equal to 599"),
        ({"status": 204}, "status\n.*has no body"),
        ({"status": "500"}, "status\n.*valid integer"),
        ({"code": "500"}, "code\n.*valid integer"),
        ({"body": "text"}, "body\n.*valid bytes"),
        ({"code": 500, "after": -1}, "after\n.*greater than or equal to 0"),
        ({"cut_after": -1}, "cut_after\n.*greater than"),
        ({"stall": -1}, "stall\n.*greater than or equal to 0"),
        ({"stall": float("nan")}, "stall\n.*"),
        ({"status": 503, "retry_after": -5}, "retry_after"),
        ({"status": 503, "retry_after": "a\nb"}, "retry_after"),
        ({"body": b"", "content_type": "clé"}, "content_type\n.*match pattern"),
        ({"after": 3, "cut_after": 3}, "after needs code or stall"),
        ({"retry_after": 3}, "a fault needs one of status"),
        ({"statsu": 3}, "statsu"),
        ({"status": 500, "times": 0}, "times=0 must be at least 1"),
    ],
    ids=str,
)
def test_invalid_faults(fault: dict[str, Any], problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        PmockServer().fail(**fault)
    if "times" not in fault:
        with pytest.raises((ValueError, TypeError), match=problem):
            Fault(**fault)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 5},
        {"tool_calls": ["f"]},
        {"tool_calls": ToolCall("f")},
        {"chunks": "text"},
        {"chunks": [5]},
        {"raw": ["text"]},
        {"usage": {"promptTokens": b"no JSON"}},
        {"finish_reason": 1},
        {"txet": "x"},
    ],
    ids=str,
)
def test_invalid_replies(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Reply(**fields)


def test_arguments_that_are_not_json() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    wrong: list[Any] = [deep, {"a": object()}, 5]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"JSON|string"):
            ToolCall("f", arguments)


@pytest.mark.parametrize(
    "entry", [{"content": "x"}, None, ToolCall("f"), 5, b"x", ["x"], Reply], ids=repr
)
def test_invalid_entries_of_a_script(entry: Any) -> None:
    server = PmockServer()
    with pytest.raises(ValueError, match="a script has no use for"):
        server.script("fine", entry)
    server.assert_all_used()


def test_reply_is_restored_for_a_client_that_left() -> None:
    server = PmockServer()
    server.script("one", "two")
    server.fail(stall=5)
    respond(server).restore()
    assert b'"content":"one"' in respond(server).content


# --- Faults --------------------------------------------------------------------------

RESET = Abort.RESET


@pytest.mark.parametrize(
    ("fault", "stream", "steps"),
    [
        (Fault(stall=5), True, [5.0, "data", "data"]),
        (Fault(stall=5, after=0), True, ["", 5.0, "data", "data"]),
        (Fault(stall=5, after=1), True, ["", "data", 5.0, "data"]),
        (Fault(stall=5, status=500), True, [5.0, '{"co']),
        (Fault(cut_after=1), True, ["data"]),
        (Fault(cut_after=0), True, []),
        (Fault(reset_after=1), True, ["data", RESET]),
        (Fault(reset_after=0), True, [RESET]),
        (Fault(reset_after=0), False, [RESET]),
        (Fault(reset_after=1), False, ['{"co', RESET]),
        (Fault(cut_after=0), False, ['{"co', Abort.CLOSE]),
        (Fault(code=500, cut_after=0), True, []),
        (Fault(code=500, after=1, cut_after=9), True, ["data", "data"]),
        (Fault(reset_after=9), True, ["data", "data", RESET]),
        (Fault(body=b"ab", stall=5), True, [5.0, "ab"]),
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
@pytest.mark.parametrize("kind", ["code", "stall", "cut_after", "reset_after"])
def test_all_faults_are_before_the_end_of_a_stream(
    kind: str, newline: str, position: int
) -> None:
    server = PmockServer()
    server.newline = newline
    right = respond(server, stream=True).steps
    assert len(right) == 7
    faults: dict[str, dict[str, Any]] = {
        "code": {"code": 500, "after": position},
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
