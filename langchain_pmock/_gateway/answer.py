"""Reading of one answer: bytes, events, chunks, and the end.

`Answer` has the state of a response, whole or streamed; `read` and `aread` are all that
differs between sync and async.

How an answer ends:

* a whole body at its end: with the envelope's data, or the error that it has.
* `[DONE]`, or the finish reason and the end of the body: the stream is complete.
* the end of the body before either: `PmockStreamInterruptedError`.
* an event with an error's envelope: that error.
* no chunk for `stream_chunk_timeout` seconds: `PmockTimeoutError`.
* more than `max_response_bytes`: `PmockResponseError`.
* the consumer stops, by `break`, an exception or cancellation: the response is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import os
import re
import sys
import threading
import time
import types
from enum import Enum, auto
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._gateway import deadline
from langchain_pmock._gateway.attempt import LONGEST_BODY
from langchain_pmock._gateway.sse import OtherEvent, SSEDecoder
from langchain_pmock._json import UnreadableError, decode

if TYPE_CHECKING:
    from collections.abc import (
        Awaitable,
        Coroutine,
        Generator,
        Iterator,
        Mapping,
    )
    from typing import TypeGuard

    from langchain_pmock._gateway.attempt import Attempt
    from langchain_pmock._gateway.pools import Lease

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")
ItemT_co = TypeVar("ItemT_co", covariant=True)

logger = logging.getLogger("langchain_pmock")

ACCEPT_ENCODING = "gzip, deflate"
"""The accepted encodings of whole answers.

zlib expands data by a factor of 1,032 at most. There is no such bound for Brotli and
Zstandard, so they are refused.
"""

_OK = 200
_OKS = (_OK, str(_OK))
_SUCCESSES = range(200, 300)
_DECODED = ("", "identity", "gzip", "deflate")
_LONGEST_ENCODING = 200  # characters of its name
_LARGEST_ERROR_BODY = 2**20  # bytes
# Seconds to wait for the end of the body, which must be read before the connection can
# be reused. After the finish reason, the token usage may follow.
_AFTER_DONE = 0.5
_AFTER_FINISH = 5.0

_SEND = {"auth": None, "follow_redirects": False, "stream": True}
_DONE_DATA = b"[DONE]"
# Matches a line of an event stream: a comment or a field.
_FIELD = rb"(?:^|[\r\n])(?::|(?:data|event|id|retry)(?:[:\r\n]|$))"
_TRANSPORTS = ("httpx", "httpcore", "httpx2", "httpcore2")


class Parser(Protocol[ItemT_co]):
    """Converts the envelopes of one answer to chunks, or to one result.

    Its methods raise `UnreadableError` for an envelope without the documented
    structure.

    Attributes:
        finished: Whether an event had the finish reason.
        trace_id: The service's id of the request, once an event had it.
    """

    finished: bool
    trace_id: str | None

    def event(self, envelope: Mapping[str, Any], /) -> ItemT_co | None:
        """Convert an event's envelope; return the chunk, if any."""

    def end(self) -> ItemT_co | None:
        """Return the last chunk, if any."""


class _State(Enum):
    OPEN = auto()
    FINISHED = auto()  # the finish reason was received
    DONE = auto()  # [DONE] was received, and the last chunk was made
    ENDED = auto()


# For each token four are looked up, each ten times as fast as an attribute of the enum.
_OPEN, _FINISHED, _DONE, _ENDED = _State


class Answer(Generic[ItemT]):
    """The answer to one attempt.

    Attributes:
        attempt: The attempt.
        first: The chunks that `start` has received.
    """

    def __init__(  # noqa: PLR0913 - the settings of a call
        self,
        attempt: Attempt,
        lease: Lease[Any],
        parser: Parser[ItemT],
        *,
        is_stream: bool,
        chunk_timeout: float | None,
        max_bytes: int,
    ) -> None:
        """Initialize the state before the request is sent."""
        self.attempt = attempt
        self._lease = lease
        self._parser = parser
        self._is_stream = is_stream  # requested; the answer may be whole
        self._is_whole = not is_stream
        self._chunk_timeout = chunk_timeout
        self._max_bytes = max_bytes
        self._interruption: type[errors.PmockError] = (
            errors.PmockStreamInterruptedError
            if is_stream
            else errors.PmockConnectionError
        )
        self._response: Any = None  # of either line
        self._source: Any = None  # of its bytes
        self._state = _OPEN
        self._decoder = SSEDecoder()
        self._events = 0
        self._size = 0
        # A list of small pieces would take 30 times the room.
        self._body = bytearray()  # whole, or the head of a stream without events
        self.first: Iterator[ItemT] = iter(())
        self._idle_since: float | None = None
        self._ends_at: float | None = None
        self._process = os.getpid()
        self._uses_tasks = lease.is_own and _is_httpx(lease.client)
        self._task: asyncio.Future[Any] | None = None

    # --- Sync ------------------------------------------------------------------------

    def start(self) -> None:
        """Send the request, and read up to the first chunk.

        Raises:
            PmockError: If there are no chunks.
        """
        try:
            self._send()
            while not self._starts(self.feed(self.read())):
                pass
        except BaseException:
            self.close()
            raise

    def chunks(self) -> Iterator[ItemT]:
        """Yield the chunks, reading as needed.

        Raises:
            PmockError: If the answer fails.
        """
        yield from self.first
        while self._state is not _ENDED:
            yield from self.feed(self.read())

    def _send(self) -> None:
        try:
            self._response = self._lease.client.send(self.attempt.request, **_SEND)
        except Exception as error:  # noqa: BLE001 - raises others
            failure = self.attempt.transport_failure(error)
        except BaseException:
            self._lease.retire()
            raise
        else:
            self._source = self._opened("iter")
            return
        raise failure

    def read(self) -> bytes:
        """Read the next bytes; empty at the end of the body or after the deadline."""
        try:
            if self._state is _OPEN:
                return next(self._source, b"")
            if self._state is _DONE and self._response.http_version == "HTTP/2":
                return b""  # it has no socket of its own to abort
            return self._or_end(
                deadline.read_within(self._time_left(), self._source, self._response)
            )
        except Exception as error:  # noqa: BLE001 - raises others
            failure = self._failure_of(error)
        except BaseException:
            self._lease.retire()
            raise
        return self._end_with(failure)

    def close(self) -> None:
        """Close the response and release the client.

        The garbage collector may call this at any moment, even while this thread holds
        a lock of the transport, so that closing would deadlock. Only then, or after an
        interruption that may have left the lock held, it is closed in another thread.
        In a forked child, the connection is the parent's.
        """
        if os.getpid() != self._process:
            return
        if self._response is None:
            self._lease.release()
            return
        is_open = self._state is not _ENDED
        if not (self._lease.is_retired or (is_open and _is_inside_transport())):
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
        except BaseException as error:
            if not isinstance(error, Exception):
                self._lease.retire()
            raise
        finally:
            self._lease.release()

    # --- Async -----------------------------------------------------------------------

    async def astart(self) -> None:
        """Async version of `start`."""
        try:
            await self._asend()
            data = await _unhooked(self.aread())
            while not self._starts(self.feed(data)):
                data = await self.aread()
        except BaseException:
            await self.aclose()
            raise

    async def _asend(self) -> None:
        try:
            work = self._lease.client.send(self.attempt.request, **_SEND)
            self._response = await self._finish(work)
        except Exception as error:  # noqa: BLE001 - raises others
            failure = self.attempt.transport_failure(error)
        else:
            self._source = self._opened("aiter")
            return
        raise failure

    async def aread(self) -> bytes:
        """Async version of `read`."""
        try:
            if self._state is _OPEN:
                if self._uses_tasks:
                    return await self._finish(anext(self._source, b""))
                return await anext(self._source)  # cheaper than with a default
            data = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._time_left()):
                    data = await self._finish(anext(self._source, b""))
            return self._or_end(data)
        except StopAsyncIteration:
            return b""
        except Exception as error:  # noqa: BLE001 - raises others
            failure = self._failure_of(error)
        return self._end_with(failure)

    async def aclose(self) -> None:
        """Async version of `close`.

        It goes on in a task of its own if this one is cancelled, even several times.
        """
        if self._task is None and (self._response is None or self._response.is_closed):
            self._lease.release()
        else:
            await asyncio.shield(asyncio.ensure_future(self._aclose()))

    async def _aclose(self) -> None:
        try:
            if (task := self._task) is not None:
                task.cancel()
                await asyncio.wait([task])
                if not (self._response or task.cancelled() or task.exception()):
                    self._response = task.result()
            if self._source is not None:
                await self._source.aclose()
            if self._response is not None:
                await self._response.aclose()
        finally:
            self._lease.release()

    async def _finish(self, work: Awaitable[ResultT]) -> ResultT:
        """Wait for the HTTP library, with httpx in a task that is cancelled only once.

        httpx 0.28 leaks its connection if it is cancelled again while it closes it.
        """
        if not self._uses_tasks:
            return await work
        self._task = task = asyncio.ensure_future(work)
        result = await asyncio.shield(task)
        self._task = None
        return result

    # --- Without I/O -----------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to read."""
        return self._state is _ENDED

    def feed(self, data: bytes) -> Iterator[ItemT]:
        """Process the next bytes, or the end, and yield the chunks."""
        if self._state is _DONE:
            self._state = _ENDED  # nothing follows [DONE]
            return iter(())
        if not data:
            return self._end()
        self._size += len(data)
        if self._size > self._max_bytes:
            return self._at_limit(data)
        if self._is_whole:
            self._body += data
            return iter(())
        if not self._events:
            self._body += data[: max(0, LONGEST_BODY - len(self._body))]
        return self._read_events(data)

    def _read_events(self, data: bytes) -> Iterator[ItemT]:
        is_idle = True
        for payload in self._decoder.feed(data):
            self._events += 1
            try:
                envelope = from_json(payload)
            except ValueError:
                envelope = None
            # Not in the except block: an error's context would hold this frame, and
            # with it what was received.
            if envelope is not None:
                chunk = self._chunk(envelope, payload)
                if chunk is not None:
                    is_idle = False
                    yield chunk
                continue
            for item in self._lines(payload):
                is_idle = False
                yield item
            if self._state is _DONE:
                return
        if self._parser.finished:
            self._state = _FINISHED
            if not is_idle:
                self._ends_at = None  # some services send a reason with each chunk
        else:
            self._check_progress(is_idle=is_idle)

    def _at_limit(self, data: bytes) -> Iterator[ItemT]:
        """Read no further: an error where the outcome is not determined yet."""
        if self._state is _OPEN and not self._is_refusal:
            raise self._error(
                errors.PmockResponseError,
                f"it is larger than max_response_bytes={self._max_bytes}",
            )
        self._body += data[: self._max_bytes]
        yield from self._end()

    def _opened(self, iterate: str) -> Any:
        """Return an iterator over the raw or the decoded body.

        Raises:
            PmockResponseError: If the body of a success is encoded in another way.
        """
        response = self._response
        if not self._is_whole:
            content_type = response.headers.get("content-type", "").lower()
            is_stream = not re.search("json|html", content_type)
            self._is_whole = response.status_code != _OK or not is_stream
        if self._is_refusal:
            self._max_bytes = _LARGEST_ERROR_BODY
        encoding = response.headers.get("content-encoding", "")
        kind = "raw"
        if encoding.lower() in _DECODED:
            # Each layer above the raw bytes takes about 3 % of the time of a token. A
            # hook of the user's client may have read the body already.
            kind = "bytes" if encoding or response.is_stream_consumed else "raw"
        elif self._is_refusal:
            self._max_bytes = 0
        else:
            shown = self.attempt.text(encoding, _LONGEST_ENCODING)
            raise self._error(
                errors.PmockResponseError,
                f"it is encoded with {shown!r}, and only {ACCEPT_ENCODING} is accepted",
            )
        return getattr(response, f"{iterate}_{kind}")()

    @property
    def _is_refusal(self) -> bool:
        """Whether the status alone determines that there is no answer."""
        return self._response.status_code not in _SUCCESSES

    def _starts(self, chunks: Iterator[ItemT]) -> bool:
        """Store the chunks, and return whether the answer has started."""
        for first in chunks:
            self.first = chain((first,), chunks)
            return True
        return self._state is _ENDED

    def _time_left(self) -> float:
        """Return the seconds to wait for the end of the body."""
        if self._state is _DONE:
            return _AFTER_DONE
        now = time.monotonic()
        self._ends_at = self._ends_at or now + _AFTER_FINISH
        return max(0.0, self._ends_at - now)

    def _or_end(self, data: bytes | None) -> bytes:
        """Return the bytes, or none after the deadline."""
        if self._state is _FINISHED and (data is None or not self._time_left()):
            data = None
            logger.warning(
                "The service left the stream open for %g s after the finish reason. It "
                "was ended without [DONE]; the token usage may be missing.",
                _AFTER_FINISH,
            )
        return data or b""

    def _failure_of(self, error: Exception) -> errors.PmockError:
        progress = f"it ended after {self._events} events"
        if self._is_whole:
            progress = f"the answer was cut off after {self._size} bytes"
        return self.attempt.transport_failure(
            error,
            interruption=self._interruption,
            progress=progress,
            response=self._response,
            trace_id=self._parser.trace_id,
        )

    def _end_with(self, failure: errors.PmockError) -> bytes:
        """Raise the failure, unless the outcome is determined already."""
        if self._state is _OPEN and not self._is_refusal:
            raise failure
        return b""

    def _error(self, cls: type[errors.PmockError], reason: str) -> errors.PmockError:
        trace_id = self._parser.trace_id
        return self.attempt.error(cls, reason, self._response, trace_id)

    def _failure(self, payload: bytes, reason: str | None = None) -> errors.PmockError:
        return self.attempt.failure(
            payload, self._response, reason=reason, trace_id=self._parser.trace_id
        )

    def _check_progress(self, *, is_idle: bool) -> None:
        """Raise an error if there was no chunk for too long, though bytes arrive."""
        if not is_idle:
            self._idle_since = None
            return
        now, limit = time.monotonic(), self._chunk_timeout
        # Excludes the time that the consumer takes between two chunks.
        self._idle_since = self._idle_since or now
        if limit is not None and now - self._idle_since > limit:
            raise self._error(
                errors.PmockTimeoutError,
                f"no chunk for stream_chunk_timeout={limit:g} s, though the connection "
                "is alive",
            )

    def _lines(self, payload: bytes) -> Iterator[ItemT]:
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
            chunk = self._chunk(_parsed(line), line)
            if chunk is not None:
                yield chunk

    def _chunk(self, envelope: object, payload: bytes) -> ItemT | None:
        reason = None
        if _is_success(envelope):
            if envelope.get("data") is None:
                return None  # a keep-alive
            if type(data := envelope["data"]) is dict and not data.get("error"):
                try:
                    return self._parser.event(envelope)
                except UnreadableError as error:
                    reason = str(error)
        elif isinstance(payload, OtherEvent) and not (
            isinstance(envelope, dict) and "code" in envelope
        ):
            return None  # such as `event: ping`
        raise self._failure(payload, reason)

    def _last(self) -> Iterator[ItemT]:
        try:
            last = self._parser.end()
        except UnreadableError as error:
            reason = str(error)
        else:
            if last is not None:
                yield last
            return
        raise self._failure(bytes(self._body), reason)

    def _end(self) -> Iterator[ItemT]:
        """Process the end of the body."""
        is_stream = self._is_stream and self._response.status_code == _OK
        if self._is_whole and is_stream and re.match(_FIELD, self._body):
            self._is_whole = False  # whatever the content type says
            yield from self._read_events(bytes(self._body))
        if self._is_whole:
            yield from self._whole()
        elif not self._parser.finished and (rest := self._decoder.unfinished()):
            try:
                yield from self._lines(rest)
            except errors.PmockResponseError:
                # An event that is cut off is reported as an interrupted stream.
                if self._state is _DONE:
                    raise
        if self._parser.finished and self._state is _OPEN:
            self._state = _FINISHED
        if self._state is _FINISHED:
            yield from self._last()
        elif self._state is _OPEN:
            is_stream = self._events or re.search(_FIELD, self._body)
            if self._body.strip() and not is_stream:
                raise self._failure(bytes(self._body))
            raise self._error(
                errors.PmockStreamInterruptedError,
                f"it ended after {self._events} events",
            )
        self._state = _ENDED

    def _whole(self) -> Iterator[ItemT]:
        """Process a body that is a whole answer, or an error."""
        payload = bytes(self._body)
        envelope = None
        if self._response.status_code == _OK:
            envelope = _parsed(payload)
        elif re.match(_FIELD, payload):  # the envelope of an error as an event
            payload, *_ = (*SSEDecoder().feed(payload + b"\n\n"), payload)
        if not _is_success(envelope) or envelope.get("data") is None:
            raise self._failure(payload)
        first = self._chunk(envelope, payload)
        self._state = _DONE
        if first is not None:
            yield first
        yield from self._last()


def _parsed(payload: bytes) -> object:
    """Parse JSON; `None` if it is none."""
    with contextlib.suppress(ValueError):
        return decode(payload)
    return None


def _is_success(envelope: object) -> TypeGuard[dict[str, Any]]:
    """Check whether a JSON value is an envelope with code 200."""
    return type(envelope) is dict and envelope.get("code") in _OKS


@types.coroutine
def _unhooked(work: Coroutine[Any, Any, bytes]) -> Generator[Any, Any, bytes]:
    """Do not register the generators that are started in the first step with the loop.

    At its end, an event loop closes all generators at once, and logs an error for each
    of a body's nested ones that the one around it is closing already. The answer closes
    them in order instead.
    """
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=None)
    try:
        waits_for = work.send(None)
    except StopIteration as result:
        data: bytes = result.value
        return data
    finally:
        sys.set_asyncgen_hooks(*hooks)
    while True:
        try:
            sent = yield waits_for
        except BaseException as error:  # noqa: BLE001 - thrown into the coroutine
            step = partial(work.throw, error)
        else:
            step = partial(work.send, sent)
        try:
            waits_for = step()
        except StopIteration as result:
            data = result.value
            return data


def _is_httpx(client: object) -> bool:
    """Return whether a client sends over httpx's own transport, not over httpx2's."""
    packages = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    return "httpx" in packages and "httpx_aiohttp" not in packages


def _is_inside_transport() -> bool:
    """Return whether this thread is executing a function of a transport."""
    frame = inspect.currentframe()
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _TRANSPORTS:
            return True
        frame = frame.f_back
    return False
