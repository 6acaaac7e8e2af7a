"""Injection of faults into responses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_pmock.testing._http import (
    Abort,
    Pause,
    Response,
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


def inject(
    right: Response,
    fault: Fault,
    is_stream: bool,  # noqa: FBT001 - clear in the only call
    newline: str,
    trace_id: str,
) -> Response:
    """Inject a fault into the regular response."""
    bad = None  # an envelope or an event that is not regular
    code = fault.status if fault.code is None else fault.code
    if code is not None:
        bad = envelope(code, fault.message, None, trace_id)
    elif fault.garbage:
        bad = _GARBAGE
    if fault.html:
        response = Response([_WEB_PAGE], status=fault.status or _BAD_GATEWAY)
        response.headers = {"Content-Type": "text/html"}
    elif fault.body is not None:
        response = Response([fault.body], status=fault.status or 200)
        response.headers = {"Content-Type": fault.content_type}
    elif bad is not None and (fault.status is not None or not is_stream):
        response = Response([bad], status=fault.status or 200, code=code)
    else:
        fault = _before_done(fault, right.steps)
        steps = right.steps
        if bad is not None:
            steps = [*steps[: fault.after or 0], event(bad, newline)]
        steps = _broken_off(steps, fault, is_stream=is_stream)
        response = replace(right, steps=steps, code=right.code if bad is None else code)
    if fault.stall:
        # Empty bytes send the status and the headers.
        early = [] if fault.after is None else [b"", *response.steps[: fault.after]]
        later = response.steps[fault.after or 0 :]
        response.steps = [*early, Pause(fault.stall), *later]
    if fault.byte_by_byte:
        response.steps = [piece for step in response.steps for piece in _bytes_of(step)]
    if (after := fault.retry_after) is not None:
        if not isinstance(after, str):  # a number there cannot have an exponent
            after = f"{after:.6f}".rstrip("0").rstrip(".")
        response.headers = {**response.headers, "Retry-After": after}
    return response


def _bytes_of(step: Step) -> list[Step]:
    if not isinstance(step, bytes) or not step:
        return [step]
    return [step[i : i + 1] for i in range(len(step))]


def _before_done(fault: Fault, steps: list[Step]) -> Fault:
    """Limit the positions to before [DONE], after which clients read nothing."""
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
    # Two steps, so that no Content-Length is sent.
    return [body[: len(body) // 2], Abort(reset=reset)]
