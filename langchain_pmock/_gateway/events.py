"""From the bytes of one stream to chunks: events, envelopes, the end. No I/O."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pydantic_core import from_json

from langchain_pmock import errors
from langchain_pmock._gateway.envelope import (
    failure,
    hidden,
    is_empty,
    is_success,
    read_envelope,
    safe_copy,
)
from langchain_pmock._gateway.sse import SSEDecoder
from langchain_pmock._json import UNREADABLE, decode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import httpx

    from langchain_pmock.auth import PmockAuth

    ChunkT_co = TypeVar("ChunkT_co", covariant=True)

    class Parser(Protocol[ChunkT_co]):
        """Makes chunks from the events of one stream."""

        @property
        def finished(self) -> bool:
            """Whether an event gave the finish reason."""
            ...

        @property
        def trace_id(self) -> str | None:
            """The service's id of the request, once an event gave it."""
            ...

        def event(self, envelope: Mapping[str, Any], /) -> ChunkT_co | None:
            """Take in an event's envelope; give a chunk if there is one to hand on."""
            ...

        def end(self) -> ChunkT_co:
            """Take in the end of the answer; give the last chunk."""
            ...


ChunkT = TypeVar("ChunkT")

_DONE = b"[DONE]"
_HEAD = 10_000  # bytes of a body without events to look at
# A line that only an event stream has: a comment, or one of the fields.
_FIELD = rb"(?:^|[\r\n])(?::|(?:data|event|id|retry)(?:[:\r\n]|$))"


class EventReader(Generic[ChunkT]):
    """Reads one stream; one for each attempt."""

    def __init__(
        self, parser: Parser[ChunkT], response: httpx.Response, auth: PmockAuth
    ) -> None:
        """Start at the beginning of a stream.

        Args:
            parser: Makes the chunks.
            response: The response whose body is the stream.
            auth: What signed the request.
        """
        self.complete = False  # the finish reason or [DONE] has come
        self.done = False  # [DONE] has come, and the last chunk was made
        self._parser = parser
        self._response = response
        self._auth = auth
        self._decoder = SSEDecoder()
        self._events = 0
        self._head = b""

    def feed(self, data: bytes) -> Iterator[ChunkT]:
        """Take in some bytes.

        Args:
            data: The next bytes of the body, cut anywhere.

        Yields:
            The chunks that they complete.

        Raises:
            PmockError: If an event is the envelope of an error, or none at all.
        """
        if not self._events and len(self._head) < _HEAD:
            self._head += data[:_HEAD]
        for payload in self._decoder.feed(data):
            self._events += 1
            try:
                envelope = from_json(payload)
            except ValueError:
                yield from self._by_line(payload)
                if self.done:
                    return
                continue
            chunk = self._chunk(envelope, payload)
            if chunk is not None:
                yield chunk
        self.complete = self._parser.finished

    def whole(self, body: bytes) -> Iterator[ChunkT]:
        """Take in a body that is no event stream: an error, or a whole answer.

        Args:
            body: The body.

        Yields:
            The answer, as the chunks of a stream of one event.

        Raises:
            PmockError: If it is not the envelope of a success.
        """
        self._head = body
        chunk = self._chunk(read_envelope(body, self._response, self._auth), body)
        if chunk is not None:
            yield chunk
        self.done = self.complete = True
        yield self._last()

    def end(self) -> Iterator[ChunkT]:
        """Take in the end of the body.

        Yields:
            The last chunk, unless [DONE] has brought it.

        Raises:
            PmockStreamInterruptedError: If the answer is not complete.
            PmockResponseError: If the body was no event stream at all.
        """
        if self.done:
            return
        if not self._parser.finished and (rest := self._decoder.unfinished()):
            try:
                yield from self._by_line(rest)
            except errors.PmockResponseError:
                # A last event that is cut is no error of its own: the cut is.
                if self.done:
                    raise
            if self.done:
                return
        is_stream = self._events or re.search(_FIELD, self._head)
        if self._parser.finished:
            self.done = True
            yield self._last()
        elif self._head.strip() and not is_stream:
            raise self._failure(self._head)
        else:
            raise errors.PmockStreamInterruptedError.of(self.progress(), **self.known())

    def progress(self) -> str:
        """Say how much had come, for the text of an error.

        Returns:
            A few words.
        """
        return f"it ended after {self._events} events"

    def known(self) -> dict[str, Any]:
        """Give what is known of a stream that broke.

        Returns:
            Keyword arguments for an error.
        """
        request, trace_id = self._response.request, self._parser.trace_id
        return {
            "status_code": self._response.status_code,
            "trace_id": trace_id and hidden(str(trace_id), self._auth, request),
            "response": safe_copy(self._response, b"", self._auth),
        }

    def _chunk(self, envelope: object, payload: bytes) -> ChunkT | None:
        if not is_success(envelope):
            if is_empty(envelope):
                return None
            raise self._failure(payload)
        try:
            return self._parser.event(envelope)
        except UNREADABLE as error:
            raise self._failure(payload, error) from error

    def _last(self) -> ChunkT:
        try:
            return self._parser.end()
        except UNREADABLE as error:
            raise self._failure(self._head, error) from error

    def _failure(
        self, payload: bytes, error: Exception | None = None
    ) -> errors.PmockError:
        return failure(
            payload, self._response, self._auth, error, self._parser.trace_id
        )

    def _by_line(self, payload: bytes) -> Iterator[ChunkT]:
        """Read the data of an event that is no JSON as it stands: the end, or lines.

        The service's page shows its events without blank lines between them. To the
        standard that is one event, with a line of data for each.
        """
        for line in payload.split(b"\n"):
            if line.strip() == _DONE:
                self.done = self.complete = True
                yield self._last()
                return
            if not line:
                continue
            envelope = None
            with contextlib.suppress(ValueError):
                envelope = decode(line)
            chunk = self._chunk(envelope, line)
            if chunk is not None:
                yield chunk
