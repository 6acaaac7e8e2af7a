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
    code = fault.status if fault.code is None else fault.code
    error = envelope(code or 0, fault.message, None, trace_id)
    response = _replaced(right, fault, error, is_stream=is_stream)
    if response is right:
        steps = right.steps
        if is_stream and fault.code is not None:
            steps = [*steps[: after or 0], event(error, newline)]
            response = replace(right, code=code)
        elif is_stream and fault.garbage:
            steps = [*steps[: after or 0], event(_GARBAGE, newline)]
        steps = _broken_off(steps, fault, most, is_stream=is_stream)
        response = replace(response, steps=steps)
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
    right: Response, fault: Fault, error: bytes, *, is_stream: bool
) -> Response:
    """Return a response that replaces the regular one, or else the regular one."""
    status = fault.status or 200
    if fault.html:
        status = fault.status or _BAD_GATEWAY
        return Response([_WEB_PAGE], status=status, type="text/html")
    if fault.body is not None:
        return Response([fault.body], status=status, type=fault.content_type)
    if fault.status is not None or (fault.code is not None and not is_stream):
        code = fault.status if fault.code is None else fault.code
        return Response([error], status=status, code=code)
    return Response([_GARBAGE]) if fault.garbage and not is_stream else right


def _broken_off(
    steps: list[Step], fault: Fault, most: int, *, is_stream: bool
) -> list[Step]:
    """Cut a stream after some events, and another answer in the middle."""
    end = fault.reset_after if fault.cut_after is None else fault.cut_after
    if end is None:
        return steps
    is_reset = fault.reset_after is not None
    if is_stream:
        return [*steps[: min(end, most)], *[Abort.RESET] * is_reset]
    content = b"".join(step for step in steps if isinstance(step, bytes))
    # Two steps, so that no Content-Length is sent.
    half = [] if is_reset and end == 0 else [content[: len(content) // 2]]
    return [*half, Abort.RESET if is_reset else Abort.CLOSE]


def _bytes_of(step: Step) -> list[Step]:
    if not isinstance(step, bytes) or not step:
        return [step]
    return [step[i : i + 1] for i in range(len(step))]
