"""Injection of faults into responses."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_pmock.testing._http import Abort, Response, Step, envelope, event

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
    right: Response, fault: Fault, newline: str, trace_id: str, *, is_stream: bool
) -> Response:
    """Inject a fault into the regular response."""
    # Clients read nothing after [DONE], so all happens before.
    most = len(right.steps) - (right.steps[-1:] == [event(b"[DONE]", newline)])
    after = None if fault.after is None else min(fault.after, most)
    response = _replaced(right, fault, trace_id, is_stream=is_stream)
    if response is right:
        steps = right.steps
        if is_stream and (code := fault.code) is not None:
            bad = envelope(code, fault.message, None, trace_id)
            steps = [*steps[: after or 0], event(bad, newline)]
            response = replace(right, code=code)
        elif is_stream and fault.garbage:
            steps = [*steps[: after or 0], event(_GARBAGE, newline)]
        broken = _cut(steps, fault, most) if is_stream else _halved(right, fault)
        response = replace(response, steps=broken)
    if fault.stall:
        # Empty bytes send the status and the headers.
        early = [] if after is None else [b"", *response.steps[:after]]
        response.steps = [*early, fault.stall, *response.steps[after or 0 :]]
    if fault.byte_by_byte:
        response.delay = 0.0
        response.steps = [piece for step in response.steps for piece in _bytes_of(step)]
    if (wait := fault.retry_after) is not None:
        if not isinstance(wait, str):  # a number there cannot have an exponent
            wait = f"{wait:.6f}".rstrip("0").rstrip(".")
        response.headers = {**response.headers, "Retry-After": wait}
    return response


def _replaced(
    right: Response, fault: Fault, trace_id: str, *, is_stream: bool
) -> Response:
    """Return a response that replaces the regular one, or else the regular one."""
    status = fault.status or 200
    if fault.html:
        status = fault.status or _BAD_GATEWAY
        return Response([_WEB_PAGE], status=status, type="text/html")
    if fault.body is not None:
        return Response([fault.body], status=status, type=fault.content_type)
    code = fault.status if fault.code is None else fault.code
    if code is not None and (fault.status is not None or not is_stream):
        body = envelope(code, fault.message, None, trace_id)
        return Response([body], status=status, code=code)
    if fault.garbage and not is_stream:
        return Response([_GARBAGE])
    return right


def _cut(steps: list[Step], fault: Fault, most: int) -> list[Step]:
    """Break off a stream."""
    if fault.cut_after is not None:
        steps = steps[: min(fault.cut_after, most)]
    elif fault.reset_after is not None:
        steps = steps[: min(fault.reset_after, most)]
    return steps if fault.reset_after is None else [*steps, Abort.RESET]


def _halved(right: Response, fault: Fault) -> list[Step]:
    """Break off an answer that is not streamed."""
    if fault.cut_after is None and fault.reset_after is None:
        return right.steps
    if fault.reset_after == 0 and fault.cut_after is None:
        return [Abort.RESET]
    half = right.content[: len(right.content) // 2]
    # Two steps, so that no Content-Length is sent.
    return [half, Abort.CLOSE if fault.reset_after is None else Abort.RESET]


def _bytes_of(step: Step) -> list[Step]:
    if not isinstance(step, bytes) or not step:
        return [step]
    return [step[i : i + 1] for i in range(len(step))]
