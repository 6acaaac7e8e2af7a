"""Content blocks of every dialect, as parts of a message on the wire."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from pydantic import TypeAdapter

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock._request.content import content_part
from langchain_pmock.testing import _body as validator

PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
WAV = base64.b64encode(b"RIFF").decode()
TEXT = base64.b64encode("Grüße 你好".encode()).decode()
URL = "https://example.com/cat.png"
CACHE = {"type": "ephemeral"}

Block = dict[str, Any]


def text(text: str) -> Block:
    return {"type": "text", "text": text}


def image(url: str, **fields: str) -> Block:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def audio(format_: str) -> Block:
    return {"type": "input_audio", "input_audio": {"data": WAV, "format": format_}}


def file(**fields: str) -> Block:
    return {"type": "file", "file": fields}


def pdf(filename: str) -> Block:
    data = f"data:application/pdf;base64,{PDF}"
    return file(filename=filename, file_data=data)


PNG_URL = f"data:image/png;base64,{PNG}"
V0_BASE64 = {"source_type": "base64", "data": PDF, "mime_type": "application/pdf"}
V1_PDF = {"type": "file", "base64": PDF, "mime_type": "application/pdf"}
ANTHROPIC_PNG = {"type": "base64", "media_type": "image/png", "data": PNG}
ANTHROPIC_PDF = {"type": "base64", "media_type": "application/pdf", "data": PDF}
ANTHROPIC_TEXT = {"type": "text", "media_type": "text/plain", "data": "Hello"}

# What stands in a message, and what is sent.
BLOCKS: dict[str, tuple[str | Block, Block]] = {
    "a string": ("Hello", text("Hello")),
    "text": (text("Hello"), text("Hello")),
    "empty text": (text(""), text("")),
    # Annotations, ids and indexes are LangChain's own business.
    "v1 text with citations": (
        text("Hello") | {"annotations": [{"type": "citation"}], "id": "1", "index": 0},
        text("Hello"),
    ),
    "Anthropic text with citations": (
        text("Hello") | {"citations": [{"type": "char_location"}]},
        text("Hello"),
    ),
    "cache_control": (
        text("Hello") | {"cache_control": CACHE},
        text("Hello") | {"cache_control": CACHE},
    ),
    "no cache_control": (text("Hello") | {"cache_control": None}, text("Hello")),
    "OpenAI image": (image(URL, detail="low"), image(URL, detail="low")),
    "OpenAI image as data": (image(PNG_URL), image(PNG_URL)),
    "OpenAI image, short": ({"type": "image_url", "image_url": URL}, image(URL)),
    "v0 image by URL": (
        {"type": "image", "source_type": "url", "url": URL},
        image(URL),
    ),
    "v0 image": (
        {"type": "image", **V0_BASE64, "data": PNG, "mime_type": "image/png"},
        image(PNG_URL),
    ),
    "v0 image by id": (
        {"type": "image", "source_type": "id", "id": "file-1"},
        file(file_id="file-1"),
    ),
    "v1 image by URL": ({"type": "image", "url": URL, "id": "lc_1"}, image(URL)),
    "v1 image": (
        {"type": "image", "base64": PNG, "mime_type": "image/png"},
        image(PNG_URL),
    ),
    "v1 image by id": ({"type": "image", "file_id": "file-1"}, file(file_id="file-1")),
    "image with detail": (
        {"type": "image", "url": URL, "detail": "high"},
        image(URL, detail="high"),
    ),
    "v1 image with detail": (
        {"type": "image", "url": URL, "extras": {"detail": "high"}},
        image(URL, detail="high"),
    ),
    "Anthropic image": ({"type": "image", "source": ANTHROPIC_PNG}, image(PNG_URL)),
    "Anthropic image by URL": (
        {"type": "image", "source": {"type": "url", "url": URL}},
        image(URL),
    ),
    "Anthropic image by id": (
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        file(file_id="file-1"),
    ),
    "OpenAI audio": (audio("wav"), audio("wav")),
    "v0 audio": (
        {"type": "audio", **V0_BASE64, "data": WAV, "mime_type": "audio/wav"},
        audio("wav"),
    ),
    **{
        f"v1 audio {mime_type}": (
            {"type": "audio", "base64": WAV, "mime_type": mime_type},
            audio(format_),
        )
        for mime_type, format_ in {
            "audio/wav": "wav",
            "audio/x-wav": "wav",
            "audio/wave": "wav",
            "audio/vnd.wave": "wav",
            "audio/mpeg": "mp3",
            "audio/mp3": "mp3",
            "audio/ogg; codecs=opus": "ogg",
            "audio/flac": "flac",
        }.items()
    },
    "OpenAI file": (pdf("a.pdf"), pdf("a.pdf")),
    "OpenAI file by id": (file(file_id="file-1"), file(file_id="file-1")),
    "v0 file": ({"type": "file", **V0_BASE64}, pdf("document.pdf")),
    "v0 file with a name": (
        {"type": "file", **V0_BASE64, "filename": "a.pdf"},
        pdf("a.pdf"),
    ),
    "v0 file with a name in the metadata": (
        {"type": "file", **V0_BASE64, "metadata": {"filename": "a.pdf"}},
        pdf("a.pdf"),
    ),
    "v0 file by id": (
        {"type": "file", "source_type": "id", "id": "file-1"},
        file(file_id="file-1"),
    ),
    "v0 text file": ({"type": "file", "source_type": "text", "text": "Hi"}, text("Hi")),
    # langchain-core's own reading of the same block.
    "v0 text file as url": (
        {"type": "file", "source_type": "text", "url": "Hi"},
        text("Hi"),
    ),
    "v1 file": (V1_PDF, pdf("document.pdf")),
    "v1 file with a name": (V1_PDF | {"extras": {"filename": "a.pdf"}}, pdf("a.pdf")),
    "v1 file by id": ({"type": "file", "file_id": "file-1"}, file(file_id="file-1")),
    "v1 plain text": ({"type": "text-plain", "text": "Hello"}, text("Hello")),
    "v1 plain text, titled": (
        {"type": "text-plain", "text": "Hello", "title": "T", "context": "C"},
        text("T\n\nC\n\nHello"),
    ),
    "v1 plain text as base64": (
        {"type": "text-plain", "base64": TEXT, "mime_type": "text/plain"},
        text("Grüße 你好"),
    ),
    "v1 plain text by id": (
        {"type": "text-plain", "file_id": "file-1"},
        file(file_id="file-1"),
    ),
    "v1 non-standard": ({"type": "non_standard", "value": audio("mp3")}, audio("mp3")),
    "Anthropic document": (
        {"type": "document", "source": ANTHROPIC_PDF},
        pdf("document.pdf"),
    ),
    "Anthropic document, titled": (
        {"type": "document", "source": ANTHROPIC_PDF, "title": "a.pdf"},
        pdf("a.pdf"),
    ),
    "Anthropic text document": (
        {"type": "document", "source": ANTHROPIC_TEXT, "title": "T", "context": "C"},
        text("T\n\nC\n\nHello"),
    ),
    "Anthropic document of content": (
        {"type": "document", "source": {"type": "content", "content": "Hello"}},
        text("Hello"),
    ),
    "Anthropic document by id": (
        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
        file(file_id="file-1"),
    ),
    "OpenAI text of the responses API": (
        {"type": "output_text", "text": "Hello", "annotations": []},
        text("Hello"),
    ),
    "OpenAI text to the responses API": (
        {"type": "input_text", "text": "Hello"},
        text("Hello"),
    ),
    "OpenAI image to the responses API": (
        {"type": "input_image", "image_url": PNG_URL, "detail": "low"},
        image(PNG_URL, detail="low"),
    ),
    "OpenAI image by id to the responses API": (
        {"type": "input_image", "file_id": "file-1"},
        file(file_id="file-1"),
    ),
    "OpenAI file to the responses API": (
        {"type": "input_file", **pdf("a.pdf")["file"]},
        pdf("a.pdf"),
    ),
    "OpenAI file by id to the responses API": (
        {"type": "input_file", "file_id": "file-1"},
        file(file_id="file-1"),
    ),
    "OpenAI output of a custom tool": (
        {"type": "custom_tool_call_output", "output": "Hello"},
        text("Hello"),
    ),
    "Anthropic search result": (
        {
            "type": "search_result",
            "source": URL,
            "title": "Cats",
            "content": [text("They purr."), text("They nap.")],
            "citations": {"enabled": True},
        },
        text(f"Cats\n{URL}\n\nThey purr.\n\nThey nap."),
    ),
    "Anthropic search result without a title": (
        {"type": "search_result", "source": URL, "content": [text("They purr.")]},
        text(f"{URL}\n\nThey purr."),
    ),
    "Bedrock JSON": (
        {"type": "json", "json": {"city": "Zürich", "days": [1, 2]}},
        text('{"city":"Zürich","days":[1,2]}'),
    ),
    "Google image": (
        {"type": "media", "mime_type": "image/png", "data": PNG},
        image(PNG_URL),
    ),
    "Google audio": (
        {"type": "media", "mime_type": "audio/wav", "data": WAV},
        audio("wav"),
    ),
    "Google file": (
        {"type": "media", "mime_type": "application/pdf", "data": PDF},
        pdf("document.pdf"),
    ),
    "v1 text, cached": (
        text("Hello") | {"extras": {"cache_control": CACHE}},
        text("Hello") | {"cache_control": CACHE},
    ),
    "Anthropic image, cached": (
        {"type": "image", "source": ANTHROPIC_PNG, "cache_control": CACHE},
        image(PNG_URL) | {"cache_control": CACHE},
    ),
}

# What cannot be sent, and what the error says beside the block's type.
UNSENDABLE: dict[str, tuple[Block, str]] = {
    "video": ({"type": "video", "url": URL}, "supported types are audio, "),
    "a type of a provider's own": (
        {"type": "redacted_thinking"},
        "supported types are",
    ),
    "a server's tool call": (
        {"type": "server_tool_call", "name": "x"},
        "supported types are",
    ),
    "reasoning": ({"type": "reasoning", "reasoning": "x"}, "supported types are"),
    "a type that is no string": ({"type": ["text"]}, "supported types are"),
    "non-standard, unknown": (
        {"type": "non_standard", "value": {"type": "redacted_thinking"}},
        "supported types are",
    ),
    "non-standard, empty": (
        {"type": "non_standard", "value": "x"},
        "supported types are",
    ),
    "text without text": ({"type": "text"}, "text=None must be a string"),
    "text of another type": ({"type": "text", "text": 5}, "text=5 must be a string"),
    "text of bytes": (
        {"type": "text", "text": b"x" * 1000},
        "text=b'xxxxxxxxxxx...xxxxxxxxxxxxx' must be a string",
    ),
    "image without a source": ({"type": "image"}, "a URL, base64 data or a file id"),
    "image of bytes": ({"type": "image", "data": b"x"}, "a URL, base64 data or a"),
    "image without a MIME type": ({"type": "image", "base64": PNG}, "a mime_type"),
    "image_url without a URL": ({"type": "image_url"}, "must be a URL or have a 'url'"),
    "image_url, empty": ({"type": "image_url", "image_url": {}}, "must be a URL"),
    "input_audio, empty": ({"type": "input_audio"}, "must have 'data' and 'format'"),
    "input_audio without a format": (
        {"type": "input_audio", "input_audio": {"data": WAV}},
        "must have 'data' and 'format'",
    ),
    "audio by URL": ({"type": "audio", "url": URL}, "only be sent as base64"),
    "audio without a MIME type": ({"type": "audio", "base64": WAV}, "a mime_type"),
    "file by URL": ({"type": "file", "url": URL}, "not by URL"),
    "file without a source": ({"type": "file"}, "a URL, base64 data or a file id"),
    "file without a MIME type": ({"type": "file", "base64": PDF}, "a mime_type"),
    "document by URL": (
        {"type": "document", "source": {"type": "url", "url": URL}},
        "not by URL",
    ),
    "document of blocks": (
        {"type": "document", "source": {"type": "content", "content": [text("x")]}},
        "a URL, base64 data or a file id",
    ),
    "document with an odd source": (
        {"type": "document", "source": "x"},
        "a field is of the wrong type ('str' object has no attribute 'get')",
    ),
    "file by URL to the responses API": (
        {"type": "input_file", "file_url": URL},
        "not by URL",
    ),
    "file to the responses API without a source": (
        {"type": "input_file"},
        "a URL, base64 data or a file id",
    ),
    "document without a source": ({"type": "document"}, "a URL, base64 data or a"),
    "media without a MIME type": ({"type": "media", "data": PNG}, "a mime_type"),
    "plain text without text": ({"type": "text-plain"}, "a URL, base64 data or a"),
    "plain text, no base64": ({"type": "text-plain", "base64": "ä"}, "not UTF-8 text"),
    "plain text, no UTF-8": (
        {"type": "text-plain", "base64": "/w=="},
        "not UTF-8 text",
    ),
}


@pytest.mark.parametrize("case", BLOCKS)
def test_blocks_become_parts(case: str) -> None:
    block, part = BLOCKS[case]
    assert content_part(block) == part


@pytest.mark.parametrize("case", BLOCKS)
def test_parts_are_what_the_service_takes(case: str) -> None:
    part = content_part(BLOCKS[case][0])
    if "cache_control" in part and part["type"] != "text":
        part.pop("cache_control")  # only documented for texts
    TypeAdapter(validator.Block).validate_python(part)


@pytest.mark.parametrize("case", BLOCKS)
def test_the_users_block_stays_as_it_is(case: str) -> None:
    block, _ = BLOCKS[case]
    before = repr(block)
    part = content_part(block)
    for value in part.values():
        if isinstance(value, dict):
            value["added"] = "later"
    # What is marked for the cache is handed on as it is.
    assert "cache" in case or repr(block) == before


@pytest.mark.parametrize("case", UNSENDABLE)
def test_what_cannot_be_sent_is_named(case: str) -> None:
    block, why = UNSENDABLE[case]
    kind = block["type"]
    if case == "non-standard, unknown":
        kind = block["value"]["type"]
    with pytest.raises(PmockInvalidRequestError, match="cannot be sent") as caught:
        content_part(block)
    assert f"A content block of type {kind!r} cannot be sent: " in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ({"type": "json", "json": {"a": b"x"}}, r"json\.a=b'x' cannot be written"),
        (
            {"type": "search_result", "content": [{"type": "text", "text": b"x"}]},
            "text=b'x' must be a string",
        ),
    ],
)
def test_what_is_wrong_inside_a_block_is_named(block: Block, why: str) -> None:
    with pytest.raises(PmockInvalidRequestError, match=why):
        content_part(block)


def test_a_block_without_a_type_is_told_by_its_keys() -> None:
    with pytest.raises(
        PmockInvalidRequestError, match=r"of no type and the keys \['a', 'b'\]"
    ):
        content_part({"b": 1, "a": 2})
