"""Conversion of content blocks to the parts of a message's content.

The parts are OpenAI's: `text`, `image_url`, `input_audio`, `file`. The blocks are
LangChain's standard ones (v0 and v1), OpenAI's, Anthropic's, Google's and Bedrock's,
because histories can move between providers. Unsupported blocks are errors.
"""

from __future__ import annotations

import base64
import reprlib
from typing import TYPE_CHECKING, Any

from langchain_pmock._json import encode
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Part = dict[str, Any]
Content = str | list[str | dict[str, Any]]

_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav"}


def content_part(block: str | Mapping[str, Any]) -> Part:
    """Convert a content block of any supported format to a part."""
    block = unwrap(block)
    if isinstance(block, str):
        return {"type": "text", "text": block}
    write = _WRITERS.get(str(block.get("type")))
    if write is None:
        msg = f"supported types are {', '.join(sorted(_WRITERS))}"
        raise _cannot_send(block, msg)
    try:
        part = write(block)
    except (AttributeError, LookupError, TypeError) as error:
        raise _cannot_send(block, f"a field is of the wrong type ({error})") from error
    # Claude accepts a cache breakpoint on any part.
    mark = block.get("cache_control") or _extras(block).get("cache_control")
    return {**part, "cache_control": mark} if mark else part


def unwrap(block: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
    """Unwrap a block of type `non_standard`."""
    if isinstance(block, str) or block.get("type") != "non_standard":
        return block
    value = block.get("value")
    return value if isinstance(value, dict) else block


def required(block: Mapping[str, Any], name: str) -> str:
    """Return a field of a block that must be a string."""
    value = block.get(name)
    if not isinstance(value, str):
        raise _cannot_send(block, f"{name}={reprlib.repr(value)} must be a string")
    return value


def _text(block: Mapping[str, Any]) -> Part:
    return {"type": "text", "text": required(block, "text")}


def _plain_text(block: Mapping[str, Any]) -> Part:
    """Convert a text document, preceded by its title and context."""
    text = block.get("text")
    if text is None and block.get("base64"):
        text = _decode(block, block["base64"])
    if text is None:
        return _file(block)
    head = [block[name] for name in ("title", "context") if block.get(name)]
    return {"type": "text", "text": "\n\n".join([*head, text])}


def _image_url(block: Mapping[str, Any]) -> Part:
    image: Any = block.get("image_url")
    if isinstance(image, str):
        image = {"url": image}
    if not _has(image, "url"):
        raise _cannot_send(block, "'image_url' must be a URL or have a 'url'")
    return {"type": "image_url", "image_url": dict(image)}


def _image(block: Mapping[str, Any]) -> Part:
    source = _source(block)
    if "file_id" in source:
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    image = {"url": source["url"] if "url" in source else _data_url(block, source)}
    detail = block.get("detail") or _extras(block).get("detail")
    return {
        "type": "image_url",
        "image_url": {**image, **({"detail": detail} if detail else {})},
    }


def _input_image(block: Mapping[str, Any]) -> Part:
    return _image({**block, "url": block.get("image_url")})


def _input_audio(block: Mapping[str, Any]) -> Part:
    audio: Any = block.get("input_audio")
    if not _has(audio, "data") or not _has(audio, "format"):
        raise _cannot_send(block, "'input_audio' must have 'data' and 'format'")
    return {"type": "input_audio", "input_audio": dict(audio)}


def _audio(block: Mapping[str, Any]) -> Part:
    source = _source(block)
    if "data" not in source:
        raise _cannot_send(block, "audio can only be sent as base64")
    subtype = _mime_type(block, source).partition("/")[2].partition(";")[0]
    format_ = _AUDIO_FORMATS.get(subtype, subtype)
    return {
        "type": "input_audio",
        "input_audio": {"data": source["data"], "format": format_},
    }


def _file(block: Mapping[str, Any]) -> Part:
    file: Any = block.get("file")  # OpenAI's
    if _has(file, "file_data") or _has(file, "file_id"):
        return {"type": "file", "file": dict(file)}
    if block.get("source_type") == "text":  # v0 may have the text in `url`
        return _plain_text({**block, "text": block.get("text", block.get("url", ""))})
    source = _source(block)
    if "file_id" in source:
        return {"type": "file", "file": {"file_id": source["file_id"]}}
    if "url" in source:
        msg = "a file can only be sent as base64 or by id, not by URL"
        raise _cannot_send(block, msg)
    extras = _extras(block)
    name = block.get("filename") or extras.get("filename") or block.get("title")
    mime_type = _mime_type(block, source)
    # OpenAI requires a file name, of which only the extension matters.
    name = name or f"document.{mime_type.rpartition('/')[2]}"
    data = _data_url(block, source)
    return {"type": "file", "file": {"filename": name, "file_data": data}}


def _input_file(block: Mapping[str, Any]) -> Part:
    fields = ("filename", "file_data", "file_id")
    file = {field: block[field] for field in fields if block.get(field)}
    return _file({"type": "input_file", "file": file, "url": block.get("file_url")})


def _document(block: Mapping[str, Any]) -> Part:
    """Convert Anthropic's document, whose source may be text."""
    source = block.get("source") or {}
    if source.get("type") == "text":
        return _plain_text({**block, "text": source.get("data")})
    if isinstance(source.get("content"), str):
        return _plain_text({**block, "text": source["content"]})
    return _file(block)


def _media(block: Mapping[str, Any]) -> Part:
    """Convert Google's block for data of any type."""
    kind = str(block.get("mime_type")).partition("/")[0]
    return {"image": _image, "audio": _audio}.get(kind, _file)(block)


def _json(block: Mapping[str, Any]) -> Part:
    return {"type": "text", "text": encode(block.get("json"), "json").decode()}


def _search_result(block: Mapping[str, Any]) -> Part:
    """Convert a search result: title, source and texts."""
    texts = [required(part, "text") for part in block.get("content") or ()]
    head = [block[name] for name in ("title", "source") if block.get(name)]
    return {"type": "text", "text": "\n\n".join(["\n".join(head), *texts])}


def _custom_output(block: Mapping[str, Any]) -> Part:
    return {"type": "text", "text": required(block, "output")}


_WRITERS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text": _text,
    "text-plain": _plain_text,
    "image_url": _image_url,
    "image": _image,
    "input_audio": _input_audio,
    "audio": _audio,
    "file": _file,
    "document": _document,
    "search_result": _search_result,  # Anthropic's
    "json": _json,  # Bedrock's
    "media": _media,  # Google's
    "input_text": _text,  # OpenAI's Responses API, like the following
    "output_text": _text,
    "input_image": _input_image,
    "input_file": _input_file,
    "custom_tool_call_output": _custom_output,
}


def _source(block: Mapping[str, Any]) -> dict[str, str]:
    """Return a block's source: `url`, `file_id`, or `data` with its `mime_type`."""
    place = block
    if isinstance(block.get("source"), dict):  # Anthropic's
        place = {**block["source"], "mime_type": block["source"].get("media_type")}
    is_id = place.get("source_type") == "id"
    found = {
        "url": place.get("url"),
        "file_id": place.get("file_id") or (place.get("id") if is_id else None),
        "data": place.get("base64") or place.get("data"),
        "mime_type": place.get("mime_type"),
    }
    source = {name: value for name, value in found.items() if isinstance(value, str)}
    if not source.keys() & {"url", "file_id", "data"}:
        raise _cannot_send(block, "it needs a URL, base64 data or a file id")
    return source


def _mime_type(block: Mapping[str, Any], source: Mapping[str, str]) -> str:
    if "mime_type" not in source:
        raise _cannot_send(block, "base64 data needs a mime_type")
    return source["mime_type"]


def _data_url(block: Mapping[str, Any], source: Mapping[str, str]) -> str:
    return f"data:{_mime_type(block, source)};base64,{source['data']}"


def _decode(block: Mapping[str, Any], data: str) -> str:
    try:
        return base64.b64decode(data, validate=True).decode()
    except ValueError as error:
        raise _cannot_send(block, "its base64 data is not UTF-8 text") from error


def _has(fields: Any, name: str) -> bool:
    """Whether a field is a non-empty string."""
    value = fields.get(name) if isinstance(fields, dict) else None
    return isinstance(value, str) and value != ""


def _extras(block: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the provider-specific fields of a standard block (v1, then v0)."""
    extras = block.get("extras") or block.get("metadata")
    return extras if isinstance(extras, dict) else {}


def _cannot_send(block: Mapping[str, Any], why: str) -> PmockInvalidRequestError:
    kind = block.get("type")
    named = f"type {kind!r}" if kind else f"no type and the keys {sorted(block)}"
    return PmockInvalidRequestError(
        f"A content block of {named} cannot be sent: {why}."
    )
