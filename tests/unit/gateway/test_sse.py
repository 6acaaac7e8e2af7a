"""The SSE decoder, by examples and against the text of the WHATWG standard."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_pmock._gateway.sse import OtherEvent, SSEDecoder
from tests.support.wire import pieces_of

BOM = b"\xef\xbb\xbf"
NEWLINES = ("\n", "\r\n", "\r")


def decode(*pieces: bytes) -> list[str]:
    """Decode a stream that comes in these pieces."""
    decoder = SSEDecoder()
    payloads = [payload for piece in pieces for payload in decoder.feed(piece)]
    return [payload.decode("utf-8", "replace") for payload in payloads]


def split_lines(stream: str) -> list[str]:
    """The complete lines of a stream: only CRLF, LF and CR end one."""
    lines, line, previous = [], "", ""
    for character in stream:
        if character not in "\r\n":
            line += character
        elif not (character == "\n" and previous == "\r"):
            lines.append(line)
            line = ""
        previous = character
    return lines


def reference(stream: bytes) -> list[str]:
    """The data of each event, by the steps of the standard's text."""
    text = stream.decode("utf-8", "replace")
    payloads, buffer = [], ""
    for line in split_lines(text.removeprefix("\ufeff")):
        if line == "":
            if buffer:
                payloads.append(buffer[:-1])
            buffer = ""
            continue
        field, _, value = line.partition(":")
        if field == "data":
            buffer += value.removeprefix(" ") + "\n"
    return payloads


CASES = {
    "one event": ("data: a\n\n", ["a"]),
    "no space": ("data:a\n\n", ["a"]),
    "only the first space goes": ("data:  a \n\n", [" a "]),
    "a tab stays": ("data:\ta\n\n", ["\ta"]),
    "two events": ("data: a\n\ndata: b\n\n", ["a", "b"]),
    "several data lines": ("data: a\ndata: b\ndata\ndata: c\n\n", ["a\nb\n\nc"]),
    "more blank lines": ("\n\n\ndata: a\n\n\n\ndata: b\n\n\n", ["a", "b"]),
    "a comment": (": hello\n\n:\ndata: a\n:data: b\n\n", ["a"]),
    "other fields": ("event: x\nid: 1\nretry: 5\nfoo: y\ndata: a\n\n", ["a"]),
    "data between other fields": ("id: 1\ndata: a\nevent: x\n\n", ["a"]),
    "no data": ("event: ping\n\nid: 1\n\nretry: 5\n\ndata: a\n\n", ["a"]),
    "empty data": ("data\n\ndata:\n\ndata: \n\ndata\ndata\n\n", ["", "", "", "\n"]),
    "names like data": ("Data: a\ndata : b\n data: c\ndatab: d\n\n", []),
    "colons in the value": ("data: {a: b}\n\n", ["{a: b}"]),
    "no blank line at the end": ("data: a\n\ndata: b\n", ["a"]),
    "no line at the end": ("data: a\n\ndata: b", ["a"]),
    "unicode": ("data: 你好 👋🏽 é\n\n", ["你好 👋🏽 é"]),
    # str.splitlines would break a line at each of these; an event stream does not.
    "other line separators": (
        "data: \x0b\x0c\x1c\x85\u2028\u2029\n\n",
        ["\x0b\x0c\x1c\x85\u2028\u2029"],
    ),
    "a BOM": ("\ufeffdata: a\n\n", ["a"]),
    "two BOMs": ("\ufeff\ufeffdata: a\n\n", []),  # the second belongs to the name
    "a BOM later": ("data: a\n\n\ufeffdata: b\n\n", ["a"]),
    "a BOM in the value": ("data: \ufeff\n\n", ["\ufeff"]),
    "nothing": ("", []),
}


@pytest.mark.parametrize("newline", NEWLINES, ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("case", CASES)
def test_standard_under_every_cut(case: str, newline: str) -> None:
    text, expected = CASES[case]
    stream = text.replace("\n", newline).encode()
    assert reference(stream) == expected
    for place in range(len(stream) + 1):
        assert decode(stream[:place], b"", stream[place:]) == expected
    assert decode(*(bytes([byte]) for byte in stream)) == expected


# Reads of whole events, of parts of a line's end, and of nothing.
READS: list[tuple[list[bytes], list[str]]] = [
    # A CR ends a line, also in a read that looks like one event.
    ([b"data: x\n\n", b"data: a\rdata: b\n\n"], ["x", "a\nb"]),
    ([b"data: x\n\n", b"data: a\r\n\n"], ["x", "a"]),
    ([b"data: x\n\n", b"data: a\ndata: b\n\n"], ["x", "a\nb"]),
    ([b"data: x\n\n", b"data: a", b"data: b\n\n"], ["x", "adata: b"]),
    ([b"data: x\r\r", b"data: a\n\n", b"\ndata: b\n\n"], ["x", *"ab"]),
    ([b"data: a\r", b"\ndata: b\n\n"], ["a\nb"]),
    ([b"data: a\r", b"\ndata: b\r", b"\r"], ["a\nb"]),
    ([b"data: a\r", b"\r", b"\n"], ["a"]),
    ([b"data: a\r", b"\n", b"\n"], ["a"]),
    ([b"data: a\n", b"\n"], ["a"]),
    ([b"data: a\n\n", b"data: b\n\n"], [*"ab"]),
    ([BOM[:2], b"data: a\n\n"], []),
    ([BOM[:1]], []),
    ([BOM], []),
    ([b"data: a\r\n\ndata: b\n\r\ndata: c\r\rdata: d\n\n"], [*"abcd"]),
]


@pytest.mark.parametrize(("reads", "expected"), READS)
def test_reads(reads: list[bytes], expected: list[str]) -> None:
    assert reference(b"".join(reads)) == expected
    assert decode(*reads) == expected
    for empty in ([b""], [b"", b""]):
        assert decode(*(part for read in reads for part in (*empty, read))) == expected


_value = st.text(
    st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8
)
_name = st.sampled_from(
    ["data", "event", "id", "retry", "", "x", "data ", "\ufeffdata"]
)
_line = st.one_of(
    st.builds("data: {}".format, _value),
    st.builds("{}{}{}".format, _name, st.sampled_from([":", ": ", ":  "]), _value),
    _name,
)
_newline = st.sampled_from(NEWLINES)
_lines = st.lists(st.tuples(st.one_of(_line, st.just("")), _newline), max_size=20)
# Most of a real stream: each event begins with its data, and ends with two LF.
_event = st.tuples(
    st.builds("data: {}".format, _value),
    st.lists(st.builds("{}{}".format, _newline, _line), max_size=1).map("".join),
    st.just("\n\n"),
)
_stream = st.one_of(_lines, st.lists(_event, max_size=5)).map(
    lambda parts: "".join("".join(part) for part in parts).encode()
)


@st.composite
def in_pieces(draw: st.DrawFn, streams: st.SearchStrategy[bytes]) -> list[bytes]:
    """A stream as it may be read: by events, up to a line's end, nothing, anything."""
    stream = draw(streams)
    line_ends = [i for i, byte in enumerate(stream, start=1) if byte in b"\r\n"]
    place = st.integers(min_value=0, max_value=len(stream))
    if line_ends:
        place = st.sampled_from(line_ends) | place
    # The same place twice is an empty read.
    twice = st.lists(st.tuples(place, st.booleans()), max_size=12)
    places = [p for p, again in draw(twice) for _ in range(1 + again)]
    if draw(st.booleans()):
        places += [found.end() for found in re.finditer(rb"\n\n", stream)]
    return pieces_of(stream, places)


_bytes = st.binary(max_size=80) | st.lists(
    st.sampled_from([b"data", b":", b" ", b"\r", b"\n", BOM, b"\xff", b"\xe4", b"a"]),
    max_size=40,
).map(b"".join)


@given(pieces=in_pieces(st.tuples(st.sampled_from([b"", BOM]), _stream).map(b"".join)))
def test_any_well_formed_stream_under_any_cut(pieces: list[bytes]) -> None:
    assert decode(*pieces) == reference(b"".join(pieces))


@given(pieces=in_pieces(_bytes))
def test_any_bytes_under_any_cut(pieces: list[bytes]) -> None:
    assert decode(*pieces) == reference(b"".join(pieces))


TYPES = [b"", b"event:\n", b"event: message\n", b"event: error\n"]
OTHER_TYPES = [b"event: %s\n" % name for name in (b"ping", b"Message", b" message")]


@pytest.mark.parametrize("line", [*TYPES, *OTHER_TYPES])
def test_event_of_another_type_than_message(line: bytes) -> None:
    (data,) = SSEDecoder().feed(line + b"data: a\n\n")
    assert data == b"a"
    assert isinstance(data, OtherEvent) == (line in OTHER_TYPES)
