"""Conversion of content blocks to the parts of a message's content.

The parts are OpenAI's: `text`, `image_url`, `input_audio`, `file`. The blocks are
LangChain's standard ones (v0 and v1), OpenAI's, Anthropic's, Google's and Bedrock's,
because histories can move between providers. Blocks without a form are errors.
"""

from __future__ import annotations

import base64
import mimetypes
import re
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

from langchain_pmock._json import encode
from langchain_pmock.errors import PmockInvalidRequestError

Block = Mapping[str, Any]
Part = dict[str, Any]

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}
_SOURCES = {
    **dict.fromkeys(("url", "image_url", "file_uri"), "url"),
    **dict.fromkeys(("base64", "data"), "data"),
    **dict.fromkeys(("mime_type", "media_type"), "mime_type"),  # the latter Anthropic's
    "file_id": "file_id",
}
_URL = re.compile(r"(?!file:)[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # not C:\cat.png


def content_part(block: str | Block) -> Part:
    """Convert a content block of any supported format to a part."""
    block = unwrap(block)
    kind = block_type(block)
    write, inner = _WRITERS.get(kind), block.get(kind)
    if isinstance(inner, dict) and (write is None or kind in ("file", "image_url")):
        part: Part = {"type": kind, kind: dict(inner)}  # OpenAI's
    elif write:
        part = write(block)
    else:
        types = ", ".join(sorted(_WRITERS))
        own = "OpenAI's, such as {'type': 'video_url', 'video_url': {...}}"
        raise _cannot_send(block, f"supported types are {types}, and {own}")
    if part["type"] == "image_url":
        _check_url(block, required(part["image_url"], "url", block))
    # Claude accepts a cache breakpoint on any part.
    mark = _extra(block, "cache_control")
    return {**part, "cache_control": mark} if mark else part


def text_part(text: str) -> Part:
    """Create a part with a text."""
    return {"type": "text", "text": text}


def unwrap(block: object) -> Block:
    """Return a block as a dict, also a string and the value of `non_standard`."""
    if isinstance(block, str):
        return text_part(block)
    if not isinstance(block, dict):
        msg = f"A content block must be a string or a dict, not {reprlib.repr(block)}."
        raise PmockInvalidRequestError(msg)
    value = block.get("value") if block.get("type") == "non_standard" else None
    return value if isinstance(value, dict) else block


def block_type(block: Block) -> str:
    """Return a block's type; Google's and Bedrock's blocks of text have none."""
    kind = block.get("type", "text" if "text" in block else "")
    return kind if isinstance(kind, str) else ""


def optional(fields: Block, name: str, block: Block | None = None) -> str:
    """Return a field that must be a string if it is set, else `""`."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    why = f"{name}={reprlib.repr(value)} must be a string"
    if isinstance(value, (bytes, bytearray)) and name != "text":
        why += ", such as base64.b64encode(data).decode()"
    raise _cannot_send(block or fields, why)


def required(fields: Block, name: str, block: Block | None = None) -> str:
    """Return a field that must be a string."""
    if fields.get(name) is None:
        raise _cannot_send(block or fields, f"{name}=None must be a string")
    return optional(fields, name, block)


def _text(block: Block, *fields: str) -> Part:
    texts = [optional(block, field) for field in fields or ("text",)]
    return text_part("\n\n".join(filter(None, texts)))


def _document(block: Block) -> Part:
    """Convert a file, or a text, preceded by its title and context."""
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    is_text = block_type(block) == "text-plain"
    text = block.get("text") if is_text else None
    if block.get("source_type") == "text":  # v0, also in the field `url`
        text = block.get("text", block.get("url", ""))
    elif source.get("type") == "text":
        text = source.get("data")
    elif "content" in source:
        text = _joined(block, source["content"])
    elif is_text and text is None and (data := optional(block, "base64")):
        try:
            text = base64.b64decode(data, validate=True).decode()
        except ValueError as error:
            raise _cannot_send(block, "its base64 data is not UTF-8 text") from error
    if text is None:
        return _data(block)
    return _text({**block, "text": text}, "title", "context", "text")


def _data(block: Block) -> Part:
    """Convert a block with an image, audio or a file, of LangChain or Anthropic."""
    source = _source(block)
    if id_ := source.get("file_id"):
        return {"type": "file", "file": {"file_id": id_}}
    mime_type, kind = source.get("mime_type", ""), block_type(block)
    if kind == "media":  # Google's, for any type
        kind = mime_type.partition("/")[0]
    is_image = kind in ("image", "image_url", "input_image")
    by_url = is_image and "url" in source
    if not (by_url or ("data" in source and mime_type)):
        why = "audio and files can only be sent as base64, files also by id"
        why = "base64 data needs a mime_type" if "data" in source else why
        raise _cannot_send(block, why)
    subtype = mime_type.partition("/")[2].partition(";")[0]
    if kind == "audio":
        format_ = _AUDIO_FORMATS.get(subtype, subtype)
        audio = {"data": source["data"], "format": format_}
        return {"type": "input_audio", "input_audio": audio}
    data = source["url"] if by_url else f"data:{mime_type};base64,{source['data']}"
    if is_image:
        detail = _extra(block, "detail")
        image = {"url": data, **({"detail": detail} if detail else {})}
        return {"type": "image_url", "image_url": image}
    # OpenAI requires a file name, of which only the extension matters.
    kind = mimetypes.guess_extension(mime_type.partition(";")[0]) or f".{subtype}"
    title = str(block.get("title") or "document")
    title = title if mimetypes.guess_type(title)[0] else f"{title}{kind}"
    name = _extra(block, "filename") or title
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _source(block: Block) -> dict[str, str]:
    """Return a block's source: `url`, `file_id`, or `data` with its `mime_type`."""
    place = block["source"] if isinstance(block.get("source"), dict) else block
    if place.get("source_type") == "id":  # v0
        place = {"file_id": place.get("id"), **place}
    source = {
        field: value
        for name, field in _SOURCES.items()
        if name in place and (value := optional(place, name, block))
    }
    if not source.keys() & {"url", "file_id", "data"}:
        raise _cannot_send(block, "it needs a URL, base64 data or a file id")
    return source


def _input_file(block: Block) -> Part:
    fields = ("filename", "file_data", "file_id")
    file = {field: block[field] for field in fields if block.get(field)}
    if not file.keys() & {"file_data", "file_id"}:
        raise _cannot_send(block, "it needs 'file_data' or 'file_id'")
    return {"type": "file", "file": file}


def _search_result(block: Block) -> Part:
    """Convert a search result: title, source and texts."""
    head = "\n".join(filter(None, (optional(block, n) for n in ("title", "source"))))
    return text_part(f"{head}\n\n{_joined(block, block.get('content') or [])}")


def _joined(block: Block, content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not all(isinstance(p, dict) for p in content):
        raise _cannot_send(block, "content must be a list of blocks")
    return "\n\n".join(required(part, "text") for part in content)


_WRITERS: dict[str, Callable[[Block], Part]] = {
    **dict.fromkeys(("text", "input_text", "output_text", "guard_content"), _text),
    **dict.fromkeys(("image", "image_url", "input_image", "audio", "media"), _data),
    **dict.fromkeys(("file", "document", "text-plain"), _document),
    "input_file": _input_file,  # of OpenAI's Responses API
    "search_result": _search_result,  # Anthropic's
    "refusal": lambda block: text_part(required(block, "refusal")),
    "custom_tool_call_output": lambda block: text_part(required(block, "output")),
    "json": lambda block: text_part(encode(block.get("json"), "json").decode()),
}


def _check_url(block: Block, url: str) -> None:
    if not _URL.match(url):
        why = (
            f"{reprlib.repr(url)} is no URL, and the service cannot read files of this "
            "machine. Send the file's bytes: {'type': 'image', 'mime_type': 'image/png'"
            ", 'base64': base64.b64encode(path.read_bytes()).decode()}"
        )
        raise _cannot_send(block, why)


def _extra(block: Block, name: str) -> Any:
    """Return a provider's field, which a standard block has in a dict (v1, then v0)."""
    extras = block.get("extras") or block.get("metadata")
    extra = extras.get(name) if isinstance(extras, dict) else None
    return block.get(name) or extra


def _cannot_send(block: Block, why: str) -> PmockInvalidRequestError:
    kind = block.get("type")
    named = f"type {kind!r}" if kind else f"no type and the keys {[*block]}"
    return PmockInvalidRequestError(
        f"A content block of {named} cannot be sent: {why}."
    )
