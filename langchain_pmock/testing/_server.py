"""`PmockServer`: what it answers to which request, and why."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import Counter
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing._body import Body, RefusedError, parse, validate
from langchain_pmock.testing._completion import Completion, choices, make_id
from langchain_pmock.testing._faults import spoil
from langchain_pmock.testing._http import HOST, Running
from langchain_pmock.testing._rules import reply_to
from langchain_pmock.testing._script import (
    Fault,
    Line,
    RecordedRequest,
    Reply,
    check,
)
from langchain_pmock.testing._tapes import Recorder, Tape
from langchain_pmock.testing._upstream import Upstream
from langchain_pmock.testing._wire import (
    EVENT_STREAM,
    SUCCESS,
    Pause,
    Response,
    Step,
    chunk_envelope,
    envelope,
    event,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from typing_extensions import Self

    from langchain_pmock.testing._http import Request
    from langchain_pmock.testing._script import Scriptable

_BASE_PATH = "/api"
_CHAT_PATH = _BASE_PATH + "/ai/chat/completions"
_BODIES_COUNTED = 10_000  # to number equal requests
_MODELS = {
    *("gpt-5.1", "gpt-5.1-all", "gpt-5.1-thinking", "gpt-5.1-thinking-all", "gpt-5.2"),
    *("gemini-3-pro", "gemini-3-flash", "gemini-2.5-pro", "gemini-2.5-flash"),
    "claude-4.5",
}


class PmockServer:
    """A real HTTP server on this machine that speaks pmock's contract strictly.

    It verifies the access key and the signature of each request, refuses each body that
    the contract does not allow (and says which field is wrong), and answers or streams
    in the documented shapes. Nothing leaves the machine unless there is an `upstream`.

    What it answers, in this order:

    * what `fail` and `script` say, one request after another;
    * what was recorded on a tape, with `replay`;
    * what another server answers, with `upstream`;
    * by rules: a call of the bound tools that the user's last message is about, by the
      words of their names, or else of their descriptions; JSON for a `responseFormat`;
      what the tools returned; or else what it was told: `"You said: Hello"`. Arguments
      and JSON are made of the numbers, quoted phrases, names and options of an enum
      that the message mentions, or else of defaults that fit the schema.

    `stop`, `maxTokens` and `n` do what they should; a token is a word with the space
    before it, or a single other character. Models whose name ends with `thinking` or
    `thinking-all` send reasoning too. The same requests get the same answers, whatever
    the time and the machine; so do their ids, which also count equal requests.

    Attributes:
        access_key: The access key that it accepts.
        secret_key: The secret key that belongs to it.
        requests: The requests so far, each with `headers`, `body`, `status` and `code`.
        clock_offset: Seconds to add to the clock; a signature is good for its minute.
        delay: Seconds between two events of a stream; not of an upstream's.
        newline: What ends a line of a stream.

    Example:
        ```python
        from langchain_pmock import ChatPmock
        from langchain_pmock.testing import PmockServer

        with PmockServer() as server:
            model = ChatPmock(
                model="gpt-5.1",
                base_url=server.url,
                access_key=server.access_key,
                secret_key=server.secret_key,
            )
            server.script("Hi there!")
            assert model.invoke("Hello").text == "Hi there!"
            assert server.requests[0].body["messages"][0]["content"] == "Hello"
        ```

        As a pytest fixture:

        ```python
        import pytest


        @pytest.fixture
        def pmock():
            with PmockServer() as server:
                yield server
        ```
    """

    def __init__(  # noqa: PLR0913 - independent settings, by keyword
        self,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.time,
        delay: float = 0.0,
        upstream: str | None = None,
        upstream_model: str | None = None,
        upstream_key: str | tuple[str, str] | None = None,
        record: str | os.PathLike[str] | None = None,
        replay: str | os.PathLike[str] | None = None,
        documented_models_only: bool = False,
        allow_reasoning: bool = False,
        keep_requests: int | None = None,
    ) -> None:
        """Prepare a server; it listens once it is started.

        Args:
            access_key: The access key that it accepts; a made-up one by default.
            secret_key: The secret key that belongs to it; a made-up one by default.
            port: The port to listen on; 0 takes a free one.
            clock: Tells the Unix time in seconds.
            delay: Seconds between two events of a stream.
            upstream: The base URL of an OpenAI-compatible server, such as
                `http://localhost:11434/v1`, or of pmock itself.
            upstream_model: The model to ask there; by default that of the request.
            upstream_key: The bearer key for the upstream. A pair of access key and
                secret key says that the upstream is pmock: requests are signed with
                them, and go there and come back byte for byte.
            record: A file to keep the upstream's answers in; it is replaced, unless it
                is also the one to `replay`, which is added to.
            replay: A file that was recorded. A request that is not in it goes to the
                upstream, or is refused if there is none.
            documented_models_only: Refuse other models' names, with 404.
            allow_reasoning: Take `reasoningContent` in requests, which is not
                documented.
            keep_requests: How many requests `requests` holds at most, the last ones;
                `None` for all.

        Raises:
            ValueError: Settings contradict each other, or `replay` is not a tape.
            OSError: `replay` cannot be read.
        """
        if upstream is None and (upstream_model or upstream_key or record):
            message = "upstream_model, upstream_key and record need an upstream"
            raise ValueError(message)
        suffix = secrets.token_hex(4)
        self.access_key = access_key or f"ak-test-{suffix}"
        self.secret_key = secret_key or f"sk-test-{suffix}"
        self.clock_offset = 0.0
        self.delay = delay
        self.newline = "\n"
        self.requests: list[RecordedRequest] = []
        self._port = port
        self._clock = clock
        self._documented_models_only = documented_models_only
        self._allow_reasoning = allow_reasoning
        self._keep_requests = keep_requests
        self._upstream = (
            Upstream(upstream, upstream_model, upstream_key) if upstream else None
        )
        self._tape = Tape(replay) if replay is not None else None
        self._recorder = Recorder(record, replay) if record is not None else None
        self._script: list[Line] = []
        self._faults: list[Fault] = []
        self._seen: Counter[str] = Counter()
        self._running: Running | None = None

    def __repr__(self) -> str:
        """Show the address, and no keys."""
        where = f"url={self.url!r}" if self._running else "stopped"
        return f"{type(self).__name__}({where})"

    # --- What it is told to answer ---------------------------------------------------

    def script(
        self,
        *replies: Scriptable,
        model: str | None = None,
        message: str | None = None,
    ) -> None:
        """Answer the next requests with these, one after another.

        A reply comes as it is: `stop`, `maxTokens` and the like do not change it. Only
        a request that gets it whole uses it up.

        Args:
            replies: Texts, replies with tool calls and more, faults, and functions that
                take the `RecordedRequest` and return one of these.
            model: Answer only requests for this model.
            message: Answer only requests with a message whose text contains this.

        Raises:
            ValueError: Something else was given.

        Example:
            ```python
            server.script("I send it to Ann.", message="You are the supervisor")
            server.script("Done.", "Done again.", message="You are Ann")
            server.script(lambda request: request.body["model"].upper())
            ```
        """
        self._script += [Line(check(reply), model, message) for reply in replies]

    def fail(self, *, times: int = 1, **fault: Any) -> None:
        """Let the next requests fail, before the script goes on.

        A request that is refused anyway (401, 400) does not use a fault up.

        Args:
            times: How many requests.
            fault: The fields of a `Fault`.

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
        self._faults += [Fault(**fault)] * times

    def assert_all_used(self) -> None:
        """Assert that nothing is left of what `script` and `fail` said.

        Raises:
            AssertionError: Something is left; the message shows it.
        """
        left = [*self._faults, *(line.answer for line in self._script)]
        if left:
            shown = "\n".join(f"  {answer!r}" for answer in left)
            problem = f"{len(left)} of the script and the faults not used:\n{shown}"
            raise AssertionError(problem)

    def reset(self) -> None:
        """Forget the script, the faults and the requests, and rewind the tape."""
        self._script.clear()
        self._faults.clear()
        self._seen.clear()
        self.requests.clear()
        if self._tape is not None:
            self._tape.rewind()

    # --- Start and stop --------------------------------------------------------------

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the server."""
        self.stop()

    def start(self) -> None:
        """Listen on 127.0.0.1, and answer in a thread of its own.

        Raises:
            OSError: The port is taken.
        """
        if self._running is None:
            self._running = Running(self._port, self._serve, self._refuse)
            self._running.start()

    def stop(self) -> None:
        """Stop at once; what is being sent is broken off."""
        if self._running is not None:
            self._running.stop()
            self._running = None

    @property
    def url(self) -> str:
        """The base URL: `http://127.0.0.1:<port>/api`.

        Raises:
            RuntimeError: The server is not started.
        """
        return f"http://{HOST}:{self._started.port}{_BASE_PATH}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that `ChatPmock` reads."""
        return {
            "PMOCK_ACCESS_KEY": self.access_key,
            "PMOCK_SECRET_KEY": self.secret_key,
            "PMOCK_BASE_URL": self.url,
        }

    @property
    def open_connections(self) -> int:
        """How many connections clients hold open, in use or not."""
        return self._started.open_connections

    @property
    def _started(self) -> Running:
        if self._running is None:
            message = "the server is not started: use `with PmockServer() as server:`"
            raise RuntimeError(message)
        return self._running

    # --- Answers ---------------------------------------------------------------------

    async def _serve(self, request: Request) -> Response:
        if request.path != _CHAT_PATH:
            return self._refuse(404, "Not Found")
        if request.method != "POST":
            return self._refuse(405, "Method Not Allowed")
        return await self._respond(request.headers, bytes(request.body))

    async def _respond(self, headers: Mapping[str, str], content: bytes) -> Response:
        request = RecordedRequest(headers, {})
        self.requests.append(request)
        if self._keep_requests is not None:
            del self.requests[: len(self.requests) - self._keep_requests]
        seed = self._number(content)
        try:
            self._authenticate(headers)
            body = self._read(request, content)
            response = await self._answer(request, content, body, seed)
        except RefusedError as error:
            response = self._refuse(error.code, str(error), seed)
        # A connection that is reset at once has no status.
        if response.live or any(isinstance(step, bytes) for step in response.steps):
            request.status, request.code = response.status, response.code
        response.headers = {**response.headers, "Date": self._date()}
        return response

    def _refuse(self, code: int, message: str, seed: str = "") -> Response:
        """Answer with an HTTP status and an envelope of the same code."""
        content = envelope(code, message, None, make_id("", seed))
        response = Response([content], status=code, code=code)
        response.headers["Date"] = self._date()
        return response

    def _now(self) -> float:
        return self._clock() + self.clock_offset

    def _date(self) -> str:
        return formatdate(self._now(), usegmt=True)

    def _number(self, content: bytes) -> str:
        """What the ids of an answer are made from: the body, and how often it came."""
        digest = hashlib.sha256(content).hexdigest()
        self._seen[digest] += 1
        if len(self._seen) > _BODIES_COUNTED:
            del self._seen[next(iter(self._seen))]
        return f"{digest}:{self._seen[digest]}"

    def _authenticate(self, headers: Mapping[str, str]) -> None:
        token = sign(self.access_key, self.secret_key, self._now())
        for header, right, problem in (
            (ACCESS_KEY_HEADER, self.access_key, "is not a known access key"),
            (ACCESS_TOKEN_HEADER, token, "is not the signature of this minute"),
        ):
            if header not in headers:
                message = f"the header {header} is missing"
                raise RefusedError(message, 401)
            if not hmac.compare_digest(headers[header].encode(), right.encode()):
                message = f"the header {header} {problem}"
                raise RefusedError(message, 401)

    def _read(self, request: RecordedRequest, content: bytes) -> Body:
        """Parse and check a request, and record its body."""
        kind = request.headers.get("content-type", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            message = "the header content-type should be application/json"
            raise RefusedError(message)
        parsed = parse(content)
        if isinstance(parsed, dict):
            request.body = parsed
        body = validate(parsed, allow_reasoning=self._allow_reasoning)
        if body.stream and EVENT_STREAM not in request.headers.get("accept", ""):
            message = f"a stream needs the header accept: {EVENT_STREAM}"
            raise RefusedError(message)
        if self._documented_models_only and body.model not in _MODELS:
            message = f"there is no model {body.model!r}"
            raise RefusedError(message, 404)
        return body

    async def _answer(
        self, request: RecordedRequest, content: bytes, body: Body, seed: str
    ) -> Response:
        fault, reply, give_back = self._take(request)
        if fault is None and reply is None:
            if self._tape is not None and (found := self._tape.take(request.body)):
                return self._slowed(found)
            if self._upstream is not None:
                response = await self._upstream.ask(request, content)
                recorder = self._recorder
                return recorder.keep(request, response) if recorder else response
            if self._tape is not None:
                raise RefusedError(self._tape.explain(request.body))
        replies = [reply] * body.n if reply else choices(reply_to(body), body)
        completion = Completion(body, replies, seed, int(self._now()))
        trace_id = make_id("", seed)
        if body.stream:
            headers = {"Content-Type": EVENT_STREAM}
            events = self._events(completion)
            response = Response(events, code=SUCCESS, headers=headers)
        else:
            data = envelope(SUCCESS, "success", completion.whole(), trace_id)
            response = Response([data], code=SUCCESS)
        response.give_back = give_back
        if fault is not None:
            response = spoil(response, fault, body.stream, self.newline, trace_id)
        is_slow = body.stream and not (fault and fault.byte_by_byte)
        return self._slowed(response) if is_slow else response

    def _take(
        self, request: RecordedRequest
    ) -> tuple[Fault | None, Reply | None, Callable[[], None]]:
        """The fault and the reply for a request, and a way to put the reply back."""
        fault = self._faults.pop(0) if self._faults else None
        for line in [line for line in self._script if line.suits(request.body)]:
            try:
                answer = line.resolve(request)
            except Exception as error:  # noqa: BLE001 - the user's function
                self._script.remove(line)
                problem = f"{type(error).__name__}: {error}"
                message = f"the script's function raised {problem}"
                raise RefusedError(message) from None
            if isinstance(answer, Reply):
                if fault is not None and fault.spoils:
                    return fault, answer, lambda: None
                self._script.remove(line)
                return fault, answer, partial(self._script.insert, 0, line)
            if fault is None:
                fault = answer
                self._script.remove(line)
        return fault, None, lambda: None

    def _events(self, completion: Completion) -> list[Step]:
        raw = completion.replies[0].raw
        if raw is not None:
            return [*raw]
        chunks = (chunk_envelope(chunk) for chunk in completion.chunks())
        return [event(data, self.newline) for data in (*chunks, b"[DONE]")]

    def _slowed(self, response: Response) -> Response:
        """Put a pause between two writes."""
        if self.delay and response.steps:
            first, *others = response.steps
            pause = Pause(self.delay)
            response.steps = [first]
            for step in others:
                between = [pause] if isinstance(step, bytes) else []
                response.steps += [*between, step]
        return response
