"""The service without its network: what it answers to which request, and why."""

from __future__ import annotations

import hmac
import secrets
import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing._body import Body, InvalidBodyError, parse, validate
from langchain_pmock.testing._completion import Completion, choices, make_id
from langchain_pmock.testing._faults import spoil
from langchain_pmock.testing._replies import Fault, Reply
from langchain_pmock.testing._rules import reply_to
from langchain_pmock.testing._wire import (
    SUCCESS,
    Answer,
    Pause,
    Step,
    chunk_envelope,
    envelope,
    event,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_EVENT_STREAM = "text/event-stream"


@dataclass
class RecordedRequest:
    """A request as it came in, and how it was answered.

    Args:
        headers: The headers; their names in lower case.
        body: The parsed body; empty if it was no JSON object.
        status: The HTTP status of the response; `None` if there was none.
        code: The code of the envelope; `None` if there was none. Of a stream it is the
            code of its last event.
    """

    headers: Mapping[str, str]
    body: dict[str, Any]
    status: int | None = None
    code: int | None = None


class _RefusedError(Exception):
    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(message)


class Service:
    """What `PmockServer` does apart from the network."""

    def __init__(
        self,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        clock: Callable[[], float] = time.time,
        delay: float = 0.0,
    ) -> None:
        """Start without a script, without faults, and with nothing recorded."""
        suffix = secrets.token_hex(4)
        self.access_key = access_key or f"ak-test-{suffix}"
        self.secret_key = secret_key or f"sk-test-{suffix}"
        self.clock_offset = 0.0
        self.delay = delay
        self.newline = "\n"
        self.requests: list[RecordedRequest] = []
        self._clock = clock
        self._script: list[Reply | Fault] = []
        self._faults: list[Fault] = []
        self._count = 0

    def script(self, *replies: str | Reply | Fault) -> None:
        """Answer the next requests with these, one after another, then by the rules.

        A reply comes as it is: `stop`, `maxTokens` and the like do not change it. Only
        a request that gets it whole uses it up.

        Args:
            replies: Texts, replies with tool calls and more, and faults.
        """
        self._script += [
            Reply(text=reply) if isinstance(reply, str) else reply for reply in replies
        ]

    def fail(  # noqa: PLR0913 - one keyword for each way to fail
        self,
        *,
        times: int = 1,
        status: int | None = None,
        code: int | None = None,
        message: str = Fault.message,
        retry_after: float | str | None = None,
        stall: float = 0.0,
        after: int | None = None,
        cut_after: int | None = None,
        reset_after: int | None = None,
        garbage: bool = False,
        html: bool = False,
        body: bytes | None = None,
        content_type: str = Fault.content_type,
        byte_by_byte: bool = False,
    ) -> None:
        """Let the next requests fail, before the script goes on.

        A request that is refused anyway (401, 400) does not use a fault up.

        Args:
            times: How many requests.
            status: See `Fault` for this and all that follow.
            code: The code of the envelope.
            message: The message of the envelope.
            retry_after: The `Retry-After` header: seconds, or its text.
            stall: Seconds to wait.
            after: Events of a stream that come before `code`, `garbage` or `stall`.
            cut_after: Events after which a stream ends, without [DONE].
            reset_after: Events after which the connection is reset.
            garbage: Send what is no JSON.
            html: Send a web page.
            body: Send these bytes.
            content_type: The content type of `body`.
            byte_by_byte: Send the right answer, but each byte on its own.

        Raises:
            ValueError: If there is no such fault, or nobody would notice it.

        Example:
            ```python
            server.fail(status=429, retry_after=1)  # one request is turned away
            server.fail(reset_after=3, times=2)  # two streams break off
            ```
        """
        if times < 1:
            problem = f"times={times!r} must be at least 1"
            raise ValueError(problem)
        fault = Fault(
            status=status,
            code=code,
            message=message,
            retry_after=retry_after,
            stall=stall,
            after=after,
            cut_after=cut_after,
            reset_after=reset_after,
            garbage=garbage,
            html=html,
            body=body,
            content_type=content_type,
            byte_by_byte=byte_by_byte,
        )
        self._faults += [fault] * times

    def reset(self) -> None:
        """Forget the script, the faults and the recorded requests."""
        self._script.clear()
        self._faults.clear()
        self.requests.clear()

    def respond(self, headers: Mapping[str, str], content: bytes) -> Answer:
        """Answer one request.

        Args:
            headers: Its headers; their names in lower case.
            content: The bytes of its body.
        """
        self._count += 1
        request = RecordedRequest(headers, {})
        self.requests.append(request)
        try:
            self._authenticate(headers)
            body = _read(request, content)
        except _RefusedError as error:
            answer = self.refuse(error.code, error.message)
        else:
            answer = self._answer(body)
        # A connection that is reset at once has no status.
        if any(isinstance(step, bytes) for step in answer.steps):
            request.status, request.code = answer.status, answer.code
        answer.headers = {**answer.headers, "Date": self._date()}
        return answer

    def refuse(self, code: int, message: str) -> Answer:
        """Answer with an HTTP status and an envelope of the same code.

        Args:
            code: The code.
            message: Why.
        """
        answer = Answer(
            [envelope(code, message, None, self._trace_id())], status=code, code=code
        )
        answer.headers["Date"] = self._date()
        return answer

    def _now(self) -> float:
        return self._clock() + self.clock_offset

    def _date(self) -> str:
        return formatdate(self._now(), usegmt=True)

    def _trace_id(self) -> str:
        return make_id("", self._count)

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        token = sign(self.access_key, self.secret_key, self._now())
        for header, right, problem in (
            (ACCESS_KEY_HEADER, self.access_key, "is not a known access key"),
            (ACCESS_TOKEN_HEADER, token, "is not the signature of this minute"),
        ):
            if header not in headers:
                raise _RefusedError(_UNAUTHORIZED, f"the header {header} is missing")
            # The framework decodes headers as Latin-1, but keys are UTF-8.
            given = headers[header].encode("latin-1")
            if not hmac.compare_digest(given, right.encode()):
                raise _RefusedError(_UNAUTHORIZED, f"the header {header} {problem}")

    def _answer(self, body: Body) -> Answer:
        fault, reply, give_back = self._take()
        scripted = [reply] * body.n if reply else None
        replies = scripted or choices(reply_to(body), body)
        completion = Completion(body, replies, self._count, int(self._now()))
        if body.stream:
            steps = self._events(completion)
            headers = {"Content-Type": _EVENT_STREAM}
            answer = Answer(steps, code=SUCCESS, headers=headers)
        else:
            data = envelope(SUCCESS, "success", completion.whole(), self._trace_id())
            answer = Answer([data], code=SUCCESS)
        answer.give_back = give_back
        if fault is not None:
            answer = spoil(
                answer,
                fault,
                is_stream=body.stream,
                newline=self.newline,
                trace_id=self._trace_id(),
            )
        if self.delay and body.stream and not (fault and fault.byte_by_byte):
            answer.steps = _slowed(answer.steps, self.delay)
        return answer

    def _events(self, completion: Completion) -> list[Step]:
        raw = completion.replies[0].raw
        if raw is not None:
            return [*raw]
        chunks = (chunk_envelope(chunk) for chunk in completion.chunks())
        return [event(data, self.newline) for data in (*chunks, b"[DONE]")]

    def _take(self) -> tuple[Fault | None, Reply | None, Callable[[], None]]:
        """The next fault and the next reply, and a way to put the reply back."""
        first = self._script[0] if self._script else None
        fault = None
        if self._faults:
            fault = self._faults.pop(0)
        elif isinstance(first, Fault):
            fault = first
            del self._script[0]
        reply = next((r for r in self._script if isinstance(r, Reply)), None)
        if reply is None or (fault and fault.spoils):
            return fault, reply, lambda: None
        self._script.remove(reply)
        return fault, reply, lambda: self._script.insert(0, reply)


def _read(request: RecordedRequest, content: bytes) -> Body:
    """Parse and check a request, and record its body."""
    kind = request.headers.get("content-type", "")
    if kind.partition(";")[0].strip().lower() != "application/json":
        message = "the header content-type should be application/json"
        raise _RefusedError(_BAD_REQUEST, message)
    try:
        parsed = parse(content)
        if isinstance(parsed, dict):
            request.body = parsed
        body = validate(parsed)
    except InvalidBodyError as error:
        raise _RefusedError(_BAD_REQUEST, str(error)) from None
    if body.stream and _EVENT_STREAM not in request.headers.get("accept", ""):
        message = f"a stream needs the header accept: {_EVENT_STREAM}"
        raise _RefusedError(_BAD_REQUEST, message)
    return body


def _slowed(steps: list[Step], delay: float) -> list[Step]:
    slowed: list[Step] = []
    for step in steps:
        if slowed and isinstance(step, bytes):
            slowed.append(Pause(delay))
        slowed.append(step)
    return slowed
