"""Parser for server-sent events, without I/O.

See the WHATWG standard:
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class OtherEvent(bytes):
    """The data of an event of a type other than `message`, the default, or `error`."""


class SSEDecoder:
    """Splits a byte stream into events, independently of the boundaries of reads.

    Comments, the fields `id` and `retry`, and events without data are ignored, as in
    the standard.
    """

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        # What was received since the last blank line. A list of small pieces would take
        # 30 times the room.
        self._rest = bytearray()
        self._at_start = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Process bytes, and return the data of each complete event, in order."""
        if (
            chunk[:6] == b"data: "
            and chunk.find(b"\n") == len(chunk) - 2  # the first of two at its end
            and chunk[-1:] == b"\n"
            and not (self._rest or self._at_start or self._after_cr)
            and b"\r" not in chunk
        ):
            # Fast path: most reads are one event with one line of data.
            return [chunk[6:-2]]
        if self._at_start:
            chunk = self._skip_bom(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._newlines(chunk)
        rest = self._rest
        if b"\n\n" not in chunk and not (chunk[:1] == b"\n" and rest[-1:] == b"\n"):
            rest += chunk
            return []
        if rest:
            rest += chunk
            chunk = bytes(rest)
        *events, last = chunk.split(b"\n\n")
        self._rest = bytearray(last)
        payloads = []
        for event in events:
            # Fast path: most events have one line of data.
            if event[:6] == b"data: " and b"\n" not in event:
                payloads.append(event[6:])
            elif (data := _data(event)) is not None:
                payloads.append(data)
        return payloads

    def unfinished(self) -> bytes | None:
        """Return the last event, if the stream ended before its blank line.

        The standard discards such an event.
        """
        return _data(bytes(self._rest))

    def _skip_bom(self, chunk: bytes) -> bytes:
        chunk = bytes(self._rest + chunk)
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._rest = bytearray(chunk)
            return b""
        self._rest = bytearray()
        self._at_start = False
        return chunk.removeprefix(_BOM)

    def _newlines(self, chunk: bytes) -> bytes:
        if self._after_cr and chunk[:1] == b"\n":
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk[-1:] == b"\r"
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _data(event: bytes) -> bytes | None:
    """Join the values of an event's `data` lines; `None` if it has none."""
    values = []
    kind = b""
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
        elif name == b"event":
            kind = value.removeprefix(b" ")
    if not values:
        return None
    data = b"\n".join(values)
    return data if kind in (b"", b"message", b"error") else OtherEvent(data)
