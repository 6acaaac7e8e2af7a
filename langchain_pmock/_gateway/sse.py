"""From bytes to the data of each server-sent event, as the WHATWG standard has it.

No I/O: feed bytes as they come, get the payloads of the events that they complete. See
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from __future__ import annotations

_BOM = b"\xef\xbb\xbf"


class SSEDecoder:
    """Cuts a byte stream into events, whatever the boundaries between two reads.

    Only `data` matters to this package: comments and the fields `event`, `id` and
    `retry` are read over, and an event without data is none.
    """

    def __init__(self) -> None:
        """Start at the beginning of a stream."""
        self._pieces: list[bytes] = []  # what has come since the last blank line
        self._at_start = True
        self._after_cr = False

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take in some bytes.

        Args:
            chunk: The next bytes of the stream, cut anywhere.

        Returns:
            The data of each event that is now complete, UTF-8, in order.
        """
        if (
            chunk[:6] == b"data: "
            and chunk[-2:] == b"\n\n"
            and chunk.count(b"\n") == 2  # noqa: PLR2004 - those at its end
            and not (self._pieces or self._at_start or self._after_cr)
            and b"\r" not in chunk
        ):
            # Most reads are one event, whole. Seeing that is half the work of cutting.
            return [chunk[6:-2]]
        if self._at_start:
            chunk = self._skip_bom(chunk)
        if self._after_cr or b"\r" in chunk:
            chunk = self._newlines(chunk)
        pieces = self._pieces
        if b"\n\n" not in chunk and not (
            chunk[:1] == b"\n" and pieces and pieces[-1][-1:] == b"\n"
        ):
            if chunk:
                pieces.append(chunk)
            return []
        if pieces:
            pieces.append(chunk)
            chunk = b"".join(pieces)
        *events, rest = chunk.split(b"\n\n")
        self._pieces = [rest] if rest else []
        payloads = []
        for event in events:
            # Nearly every event is one line of data: no need to look at it by lines.
            if event[:6] == b"data: " and b"\n" not in event:
                payloads.append(event[6:])
            elif (data := _data(event)) is not None:
                payloads.append(data)
        return payloads

    def unfinished(self) -> bytes | None:
        """Look at the last event, if the stream ended before its blank line.

        The standard drops such an event. It is given here, so that a caller who knows
        better than the standard what is complete can use it.

        Returns:
            The data in it, its last line perhaps cut, or `None`.
        """
        return _data(b"".join(self._pieces))

    def _skip_bom(self, chunk: bytes) -> bytes:
        chunk = b"".join([*self._pieces, chunk])
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._pieces = [chunk] if chunk else []
            return b""
        self._pieces = []
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
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            values.append(value.removeprefix(b" "))
    return b"\n".join(values) if values else None
