"""Reading of streamed answers: bytes, events, chunks, and the end.

`Stream` has the state, and the sync and async methods that read.

How a stream ends:

* `[DONE]`, or the finish reason and the end of the body: the answer is complete.
* the end of the body before either: `PmockStreamInterruptedError`.
* an event with an error's envelope: that error.
* no chunk for `stream_chunk_timeout` seconds: `PmockTimeoutError`.
* the consumer stops, by `break`, an exception or cancellation: the response is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import re
import threading
import time
from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import httpx
from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._gateway import deadline
from langchain_pmock._gateway.body import WholeBody, async_pieces, pieces
from langchain_pmock._gateway.envelope import (
    describe,
    failure,
    is_empty,
    is_success,
    parse_json,
    read_answer,
    safe_copy,
    safe_trace_id,
)
from langchain_pmock._gateway.exceptions import TransportErrors
from langchain_pmock._gateway.sse import OtherEvent, SSEDecoder
from langchain_pmock._json import UnreadableError

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Generator,
        Iterable,
        Iterator,
        Mapping,
    )

    from langchain_pmock._gateway.pools import Lease
    from langchain_pmock.auth import PmockAuth

    ChunkT_co = TypeVar("ChunkT_co", covariant=True)

    class Parser(Protocol[ChunkT_co]):
        """Converts the events of one stream to chunks."""

        @property
        def finished(self) -> bool:
            """Whether an event had the finish reason."""
            ...

        @property
        def trace_id(self) -> str | None:
            """The service's id of the request, once an event had it."""
            ...

        def event(self, envelope: Mapping[str, Any], /) -> ChunkT_co | None:
            """Convert an event's envelope; return the chunk, if any."""
            ...

        def end(self) -> ChunkT_co:
            """Return the last chunk."""
            ...


ChunkT = TypeVar("ChunkT")

logger = logging.getLogger("langchain_pmock")

# Seconds to wait for the end of the body, which must be read before the connection can
# be reused. After the finish reason, the token usage may follow.
_AFTER_DONE = 0.5
_AFTER_FINISH = 5.0

_DONE_DATA = b"[DONE]"
_HEAD = 10_000  # bytes of a body without events that an error includes
_GATHERED = 2 * _HEAD  # so that no credential is cut before it is redacted
# Matches a line of an event stream: a comment or a field.
_FIELD = rb"(?:^|[\r\n])(?::|(?:data|event|id|retry)(?:[:\r\n]|$))"
_TRANSPORTS = ("httpx", "httpcore")


class _State(Enum):
    OPEN = auto()
    FINISHED = auto()  # the finish reason was received
    DONE = auto()  # [DONE] was received, and the last chunk was made
    ENDED = auto()


# For each token four are looked up, each ten times as fast as an attribute of the enum.
_OPEN, _FINISHED, _DONE, _ENDED = _State


class Stream(Generic[ChunkT]):
    """One attempt at a streamed answer.

    Attributes:
        interruption: The class of the error if the body is cut off.
    """

    interruption = errors.PmockStreamInterruptedError

    def __init__(  # noqa: PLR0913 - the settings of a call
        self,
        response: httpx.Response,
        lease: Lease[Any],
        auth: PmockAuth,
        parser: Parser[ChunkT],
        *,
        chunk_timeout: float | None,
        max_bytes: int,
    ) -> None:
        """Initialize the state before the first byte of the body."""
        self._response = response
        self._lease = lease
        self._auth = auth
        self._parser = parser
        self._chunk_timeout = chunk_timeout
        self._max_bytes = max_bytes
        self._state = _OPEN
        self._decoder = SSEDecoder()
        self._events = 0
        self._head = b""
        self._first: Iterator[ChunkT] = iter(())
        self._idle_since: float | None = None
        self._patience = _AFTER_FINISH
        self._process = os.getpid()
        self._errors = TransportErrors(auth, response.request, self)
        content_type = response.headers.get("content-type", "").lower()
        self._is_whole = response.status_code != httpx.codes.OK or (
            "json" in content_type or "html" in content_type
        )

    # --- Sync ------------------------------------------------------------------------

    def start(self) -> None:
        """Read up to the first chunk.

        Raises:
            PmockError: If there are no chunks.
        """
        if self._is_whole:
            self._first = self._whole(self._whole_body().read())
            return
        self._source = pieces(self._response, self._auth)
        while not self._starts(self._feed(self._read())):
            pass

    def chunks(self) -> Generator[ChunkT, None, None]:
        """Yield the chunks, reading as needed.

        Raises:
            PmockError: If the stream fails.
        """
        yield from self._first
        while self._state is not _ENDED:
            yield from self._feed(self._read())

    def _read(self) -> bytes:
        """Read the next bytes; empty at the end of the body or after the deadline."""
        with self._errors:
            if self._state is _OPEN:
                return next(self._source, b"")
            seconds = self._time_left()
            if self._state is _DONE and not deadline.can_abort(self._response):
                return b""
            if seconds > 0:
                began = time.monotonic()
                data = deadline.read_within(seconds, self._source, self._response)
                self._patience -= time.monotonic() - began
                if data is not None:
                    return data
            self._warn()
        return b""

    def close(self) -> None:
        """Close the response and release the client.

        The garbage collector may call this at any moment, even while this thread holds
        the lock of httpcore's pool, so that closing would deadlock. Only then it is
        closed in another thread. In a forked child, the connection is the parent's.
        """
        if os.getpid() != self._process:
            return
        if self._state is _ENDED or not _is_inside_transport():
            self._close()
            return
        deadline.abort(self._response)
        try:
            threading.Thread(target=self._close, daemon=True).start()
        except RuntimeError:  # no thread can be started
            self._lease.release()

    def _close(self) -> None:
        try:
            self._response.close()
        finally:
            self._free()

    # --- Async -----------------------------------------------------------------------

    async def astart(self) -> None:
        """Async version of `start`."""
        if self._is_whole:
            self._first = self._whole(await self._whole_body().aread())
            return
        self._asource = async_pieces(self._response, self._auth)
        while not self._starts(self._feed(await self._aread())):
            pass

    async def achunks(self) -> AsyncGenerator[ChunkT, None]:
        """Async version of `chunks`."""
        for chunk in self._first:
            yield chunk
        while self._state is not _ENDED:
            for chunk in self._feed(await self._aread()):
                yield chunk

    async def _aread(self) -> bytes:
        with self._errors:
            if self._state is _OPEN:
                return await anext(self._asource, b"")
            seconds = self._time_left()
            if seconds > 0:
                began = time.monotonic()
                with contextlib.suppress(asyncio.TimeoutError):
                    data = await _within(seconds, self._asource)
                    self._patience -= time.monotonic() - began
                    return data
            self._warn()
        return b""

    async def aclose(self) -> None:
        """Async version of `close`."""
        try:
            await self._response.aclose()
        finally:
            self._free()

    # --- Without I/O -----------------------------------------------------------------

    @property
    def is_decided(self) -> bool:
        """Whether the answer is complete, so that errors can be ignored."""
        return self._state is not _OPEN

    def progress(self) -> str:
        """Describe how much was received."""
        return f"it ended after {self._events} events"

    def error_context(self) -> dict[str, Any]:
        """Return the context of an error about this answer."""
        response = self._response
        return {
            "status_code": response.status_code,
            "trace_id": safe_trace_id(
                self._parser.trace_id, response.request, self._auth
            ),
            "response": safe_copy(response, b"", self._auth),
        }

    def _free(self) -> None:
        self._lease.release()
        break_reference_cycle(self._response)
        del self._errors  # it refers to this stream

    def _starts(self, chunks: Iterator[ChunkT]) -> bool:
        """Store the chunks, and return whether the stream has started."""
        for first in chunks:
            self._first = chain((first,), chunks)
            return True
        return self._state is _ENDED

    def _time_left(self) -> float:
        """Return the seconds to wait for the end of the body."""
        return _AFTER_DONE if self._state is _DONE else self._patience

    def _warn(self) -> None:
        if self._state is _FINISHED:
            logger.warning(
                "The service left the stream open for %g s after the finish reason. It "
                "was ended without [DONE]; the token usage may be missing.",
                _AFTER_FINISH,
            )

    def _feed(self, data: bytes) -> Iterator[ChunkT]:
        """Process the next bytes, or the end, and yield the chunks."""
        if self._state is _DONE:
            self._state = _ENDED  # nothing follows [DONE]
            return
        if not data:
            yield from self._end()
            return
        if not self._events and len(self._head) < _GATHERED:
            self._head += data[:_GATHERED]
        is_idle = True
        for payload in self._decoder.feed(data):
            self._events += 1
            for chunk in self._event(payload):
                is_idle = False
                yield chunk
            if self._state is _DONE:
                return
        if self._parser.finished:
            self._state = _FINISHED
        if not is_idle:
            self._idle_since = None
        elif not self._is_within_limits():
            yield from self._end()

    def _event(self, payload: bytes) -> Iterable[ChunkT]:
        """Process the data of an event, and return the chunks."""
        try:
            envelope = from_json(payload)
        except ValueError:
            return self._lines(payload)
        chunk = self._chunk(envelope, payload)
        return () if chunk is None else (chunk,)

    def _is_within_limits(self) -> bool:
        """Tell whether to read on though the bytes make no chunk.

        They may be keep-alives, or an endless event, which is an error before the
        finish reason. After it, the time to read is limited anyway.
        """
        is_large = self._decoder.pending > self._max_bytes
        if self._state is _FINISHED:
            return not is_large
        now, limit = time.monotonic(), self._chunk_timeout
        # Excludes the time that the consumer takes between two chunks.
        self._idle_since = self._idle_since or now
        is_late = limit is not None and now - self._idle_since > limit
        if is_large:
            msg = f"an event is larger than max_response_bytes={self._max_bytes}"
            raise errors.PmockResponseError.of(msg, **self.error_context())
        if is_late:
            msg = (
                f"no chunk for stream_chunk_timeout={self._chunk_timeout:g} s, though "
                "the connection is alive"
            )
            raise errors.PmockTimeoutError.of(msg, **self.error_context())
        return True

    def _whole_body(self) -> WholeBody:
        body = WholeBody(self._response, self._auth, self._max_bytes)
        body.interruption = self.interruption
        return body

    def _whole(self, payload: bytes) -> Iterator[ChunkT]:
        """Return the chunks of a body that is a whole answer, not an event stream."""
        self._head = payload
        first = read_answer(payload, self._response, self._auth, self._parser.event)
        self._state = _ENDED
        chunks = () if first is None else (first,)
        return chain(chunks, self._last())

    def _end(self) -> Iterator[ChunkT]:
        """Process the end of the body."""
        if not self._parser.finished and (rest := self._decoder.unfinished()):
            try:
                yield from self._lines(rest)
            except errors.PmockResponseError:
                # An event that is cut off is reported as an interrupted stream.
                if self._state is _DONE:
                    raise
        if self._state is _OPEN and self._parser.finished:
            self._state = _FINISHED
        if self._state is _FINISHED:
            yield from self._last()
        elif self._state is _OPEN:
            is_stream = self._events or re.search(_FIELD, self._head)
            if self._head.strip() and not is_stream:
                raise self._failure(self._redacted_head())
            raise errors.PmockStreamInterruptedError.of(
                self.progress(), **self.error_context()
            )
        self._state = _ENDED

    def _lines(self, payload: bytes) -> Iterator[ChunkT]:
        """Process the data of an event that is not a single JSON text.

        It is `[DONE]`, or has several lines: the service's documentation shows events
        without blank lines between them, which are one event according to the standard.
        """
        for line in payload.split(b"\n"):
            if line.strip() == _DONE_DATA:
                self._state = _DONE
                yield from self._last()
                return
            if not line or isinstance(payload, OtherEvent):
                continue
            envelope = None
            with contextlib.suppress(ValueError):
                envelope = parse_json(line)
            chunk = self._chunk(envelope, line)
            if chunk is not None:
                yield chunk

    def _chunk(self, envelope: object, payload: bytes) -> ChunkT | None:
        reason = None
        if is_success(envelope):
            try:
                return self._parser.event(envelope)
            except UnreadableError as error:
                reason = describe(error)
        elif is_empty(envelope):
            return None
        elif isinstance(payload, OtherEvent) and not (
            isinstance(envelope, dict) and "code" in envelope
        ):
            return None  # such as `event: ping`
        raise self._failure(payload, reason)

    def _last(self) -> Iterator[ChunkT]:
        try:
            last = self._parser.end()
        except UnreadableError as error:
            reason = describe(error)
        else:
            yield last
            return
        raise self._failure(self._redacted_head(), reason)

    def _redacted_head(self) -> bytes:
        return self._auth.redact(self._head, self._response.request)[:_HEAD]

    def _failure(self, payload: bytes, reason: str | None = None) -> errors.PmockError:
        return failure(
            payload,
            self._response,
            self._auth,
            reason=reason,
            trace_id=self._parser.trace_id,
        )


def break_reference_cycle(response: httpx.Response) -> None:
    """Break a reference cycle, so that a closed response is freed immediately.

    In httpx, a response and its stream refer to each other. Without this, they and the
    request would be kept until the next run of the garbage collector.
    """
    response.stream = _NOTHING


_NOTHING = httpx.ByteStream(b"")


def _is_inside_transport() -> bool:
    """Return whether this thread is executing a function of a transport."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _TRANSPORTS:
            return True
        frame = frame.f_back
    return False


async def _within(seconds: float, source: AsyncIterator[bytes]) -> bytes:
    read = anext(source, b"")
    async with asyncio.timeout(seconds):  # without a task of its own
        return await read
