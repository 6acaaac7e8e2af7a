"""What a fault makes of a right answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_pmock.testing._wire import (
    Response,
    Abort,
    Pause,
    Step,
    envelope,
    event,
)

if TYPE_CHECKING:
    from langchain_pmock.testing._script import Fault

_GARBAGE = b'{"code": 200, \xff this is no JSON'
_WEB_PAGE = b"""<html>
<head><title>502 Bad Gateway</title></head>
<body><center><h1>502 Bad Gateway</h1></center></body>
</html>
"""
_BAD_GATEWAY = 502


def spoil(
    right: Response, fault: Fault, *, is_stream: bool, newline: str, trace_id: str
) -> Response:
    """Make the answer of a request that meets a fault.

    Args:
        right: What would have been answered.
        fault: What goes wrong.
        is_stream: Whether each step of the right answer is an event.
        newline: What ends a line of a stream.
        trace_id: The id of the request.

    Returns:
        Another answer.
    """
    answer = _replaced(right, fault, is_stream=is_stream, trace_id=trace_id)
    if answer is right:
        fault = _before_done(fault, right.steps)
        steps = right.steps
        if is_stream:
            steps = _with_bad_event(steps, fault, newline, trace_id)
        steps = _broken_off(steps, fault, is_stream=is_stream)
        code = right.code if fault.code is None else fault.code
        answer = replace(right, steps=steps, code=code)
    if fault.stall:
        answer.steps = _stalled(answer.steps, fault)
    if fault.byte_by_byte:
        answer.steps = _one_by_one(answer.steps)
    if fault.retry_after is not None:
        after = fault.retry_after
        text = after if isinstance(after, str) else _decimal(after)
        answer.headers = {**answer.headers, "Retry-After": text}
    return answer


def _replaced(
    right: Response, fault: Fault, *, is_stream: bool, trace_id: str
) -> Response:
    """A response of another kind; or the right one, if this fault leaves its kind."""
    if fault.html:
        headers = {"Content-Type": "text/html"}
        return Response(
            [_WEB_PAGE], status=fault.status or _BAD_GATEWAY, headers=headers
        )
    if fault.body is not None:
        headers = {"Content-Type": fault.content_type}
        return Response([fault.body], status=fault.status or 200, headers=headers)
    code = fault.status if fault.code is None else fault.code
    if code is not None and (fault.status is not None or not is_stream):
        body = envelope(code, fault.message, None, trace_id)
        return Response([body], status=fault.status or 200, code=code)
    if fault.garbage and not is_stream:
        return Response([_GARBAGE])
    return right


def _before_done(fault: Fault, steps: list[Step]) -> Fault:
    """Let it happen before [DONE] at the latest: what comes after, nobody reads."""
    last = steps[-1] if steps else b""
    most = len(steps)
    if isinstance(last, bytes) and last.rstrip().endswith(b"data: [DONE]"):
        most -= 1
    counts = {
        name: min(count, most)
        for name in ("after", "cut_after", "reset_after")
        if (count := getattr(fault, name)) is not None
    }
    return replace(fault, **counts)


def _with_bad_event(
    steps: list[Step], fault: Fault, newline: str, trace_id: str
) -> list[Step]:
    if fault.code is not None:
        bad = envelope(fault.code, fault.message, None, trace_id)
    elif fault.garbage:
        bad = _GARBAGE
    else:
        return steps
    return [*steps[: fault.after or 0], event(bad, newline)]


def _broken_off(steps: list[Step], fault: Fault, *, is_stream: bool) -> list[Step]:
    events = fault.reset_after if fault.cut_after is None else fault.cut_after
    if events is None:
        return steps
    reset = fault.reset_after is not None
    if is_stream:
        return [*steps[:events], *([Abort(reset=True)] if reset else [])]
    if reset and not events:
        return [Abort(reset=True)]
    body = b"".join(step for step in steps if isinstance(step, bytes))
    # Two writes, so that the length is not told at the start.
    return [body[: len(body) // 2], Abort(reset=reset)]


def _stalled(steps: list[Step], fault: Fault) -> list[Step]:
    pause = Pause(fault.stall)
    if fault.after is None:
        return [pause, *steps]
    # Empty bytes send the status and the headers.
    return [b"", *steps[: fault.after], pause, *steps[fault.after :]]


def _one_by_one(steps: list[Step]) -> list[Step]:
    single: list[Step] = []
    for step in steps:
        if isinstance(step, bytes) and step:
            single += [step[i : i + 1] for i in range(len(step))]
        else:
            single.append(step)
    return single


def _decimal(seconds: float) -> str:
    """Write seconds without an exponent, which a `Retry-After` cannot have."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
