"""Forwarding of requests to an OpenAI-compatible server or to pmock."""

from __future__ import annotations

import contextlib
import json
import re
import time
from typing import TYPE_CHECKING, Any

import httpx2
from pydantic import HttpUrl, SecretStr
from pydantic.alias_generators import to_camel, to_snake
from pydantic_core import from_json, to_json

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing._http import (
    EVENT_STREAM,
    SUCCESS,
    Response,
    chunk_envelope,
    envelope,
    event,
)
from langchain_pmock.testing._script import WITHOUT_BODY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from langchain_pmock.testing._script import RecordedRequest

    Pieces = AsyncIterator[bytes]

Json = dict[str, Any]

_BAD_GATEWAY = 502
_LARGEST_STATUS = 599
_TIMEOUT = httpx2.Timeout(600, connect=30)  # models may reason for minutes
_LONGEST_MESSAGE = 2000  # characters
_SHORTEST_SECRET = 8  # characters; a word such as "ollama" is not redacted
# What a connection raises, and an answer with an unexpected structure.
_BROKEN = (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError)
# Objects in a message that have the same names in pmock's format.
_UNCHANGED = {"annotations", "audio", "images", "tool_calls"}
# Whether a line feed follows a carriage return is yet to be seen at the end.
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r(?=[^\n]))")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class Upstream:
    """A server that answers in place of this one; pmock if there are two keys."""

    def __init__(self, url: str, model: str | None, key: object) -> None:
        self._keys = _checked_keys(key)
        self._is_pmock = len(self._keys) > 1
        path = "/ai/chat/completions" if self._is_pmock else "/chat/completions"
        self._url = _checked_url(url) + path
        self._model = model
        self._ssl = httpx2.create_ssl_context()

    async def ask(self, request: RecordedRequest, content: bytes) -> Response:
        """Forward a request; errors of the connection become a 502."""
        headers = self._headers(request.headers)
        content = self._request(request.body, content)
        async with contextlib.AsyncExitStack() as resources:
            try:
                # One client per request, so that nothing has to be closed later.
                client = httpx2.AsyncClient(timeout=_TIMEOUT, verify=self._ssl)
                await resources.enter_async_context(client)
                response = await resources.enter_async_context(
                    client.stream("POST", self._url, content=content, headers=headers)
                )
                status = response.status_code
                if status in WITHOUT_BODY or status > _LARGEST_STATUS:
                    return self._failure(_BAD_GATEWAY, f"its status is {status}")
                kind = _header(response, "content-type")
                if response.is_success and EVENT_STREAM in kind:
                    answer = Response([], self._stream(response, request), type=kind)
                    answer.code, answer.resources = SUCCESS, resources.pop_all()
                    return answer
                return self._whole(response, await response.aread(), request.body)
            except _BROKEN as error:
                return self._failure(_BAD_GATEWAY, f"{type(error).__name__}: {error}")

    def _headers(self, given: Mapping[str, str]) -> dict[bytes, bytes]:
        headers = {
            "Content-Type": "application/json",
            "Accept": given.get("accept", "*/*"),
            "Accept-Encoding": "identity",
        }
        keys = [key.get_secret_value() for key in self._keys]
        if self._is_pmock:
            headers[ACCESS_KEY_HEADER] = keys[0]
            headers[ACCESS_TOKEN_HEADER] = sign(keys[0], keys[1], time.time())
        elif keys:
            headers["Authorization"] = f"Bearer {keys[0]}"
        return {name.encode(): value.encode() for name, value in headers.items()}

    def _request(self, body: Json, content: bytes) -> bytes:
        if self._is_pmock:
            return to_json({**body, "model": self._model}) if self._model else content
        messages = [_in_snake_case(message) for message in body["messages"]]
        model = self._model or body["model"]
        sent = {**_in_snake_case(body), "messages": messages, "model": model}
        if sent.get("stream"):
            sent["stream_options"] = {"include_usage": True}
        if isinstance(choice := sent.get("tool_choice"), dict):
            # llama.cpp does not support a choice by name.
            name = choice["function"]["name"]
            tools = [
                t for t in body["tools"] if t.get("function", {}).get("name") == name
            ]
            sent |= {"tools": tools, "tool_choice": "required"}
        return to_json(sent)

    def _whole(self, response: httpx2.Response, content: bytes, body: Json) -> Response:
        status = response.status_code
        try:
            answer = from_json(content, allow_inf_nan=False)
        except ValueError:
            answer = None
        error = _message_of(answer)
        if self._is_pmock:
            result = Response([self._redacted(content)], status=status)
            result.code = _code_of(answer)
            result.type = _header(response, "content-type")
        elif error or not response.is_success:
            code = _BAD_GATEWAY if response.is_success else status
            result = self._failure(code, error or content.decode(errors="replace"))
        else:
            data = _data_of(answer, body["model"])
            if not data["choices"]:
                return self._failure(_BAD_GATEWAY, "its answer has no choices")
            trace_id = _header(response, "x-request-id")
            result = envelope(SUCCESS, "success", trace_id, data)
            result.steps = [self._redacted(result.content)]
        if after := _header(response, "retry-after"):
            result.headers["Retry-After"] = after
        return result

    async def _stream(
        self, response: httpx2.Response, request: RecordedRequest
    ) -> Pieces:
        convert = self._unchanged if self._is_pmock else self._translated
        try:
            async for sent in convert(_events(response), request.body["model"]):
                with contextlib.suppress(ValueError):
                    request.code = _code_of(from_json(_data(sent)))
                yield self._redacted(sent)
        except _BROKEN as error:
            failure = self._failure(_BAD_GATEWAY, f"{type(error).__name__}: {error}")
            request.code = failure.code
            yield event(failure.content)

    async def _unchanged(self, events: Pieces, _: str) -> Pieces:
        async for raw in events:
            yield raw
            if _data(raw) == b"[DONE]":
                return

    async def _translated(self, events: Pieces, model: str) -> Pieces:
        """Convert an OpenAI-compatible stream, with the usage in the last chunk."""
        last: Json = {}
        usage: Json = {}
        data = b""
        async for data in (_data(raw) async for raw in events):
            if data == b"[DONE]":
                break
            if not data:
                continue
            answer = from_json(data, allow_inf_nan=False)
            if error := _message_of(answer):
                code = _code_of(answer["error"])
                code = _BAD_GATEWAY if code in {None, SUCCESS} else code
                yield event(self._failure(code, error).content)
                return
            chunk = _data_of(answer, model)
            usage = {"usage": chunk.pop("usage")} if "usage" in chunk else usage
            if last and chunk["choices"]:  # which was not the last
                yield event(chunk_envelope(last))
                last = {}
            if any("finishReason" in choice for choice in chunk["choices"]):
                last = chunk
            elif chunk["choices"]:
                yield event(chunk_envelope(chunk))
        if last or usage:
            yield event(chunk_envelope({"choices": [], **last, **usage}))
        if data == b"[DONE]":
            yield event(b"[DONE]")

    def _failure(self, code: int, message: str) -> Response:
        redacted = self._redacted(message.encode(errors="replace")).decode()
        return envelope(code, f"upstream: {redacted[:_LONGEST_MESSAGE]}", "")

    def _redacted(self, content: bytes) -> bytes:
        for key in (key.get_secret_value() for key in self._keys):
            if len(key) >= _SHORTEST_SECRET:
                escaped = json.dumps(key)[1:-1]
                for form in (key, escaped, escaped.replace("/", r"\/")):
                    content = content.replace(form.encode(), b"***")
        return content


def _checked_keys(key: object) -> list[SecretStr]:
    """Check the keys, without showing them; there are none, one or two."""
    keys = key if isinstance(key, tuple) else (key,) * bool(key)
    stripped = [k.strip() if isinstance(k, str) else "" for k in keys]
    is_right = all(k and k.isprintable() and " " not in k for k in stripped)
    if not is_right or (isinstance(key, tuple) and len(key) != 2):  # noqa: PLR2004
        problem = "upstream_key must be a key, or a pair of keys, without white space"
        raise ValueError(problem)
    return [SecretStr(k) for k in stripped]


def _checked_url(text: str) -> str:
    with contextlib.suppress(ValueError):
        url = HttpUrl(text)
        if {url.username, url.password, url.query, url.fragment} == {None}:
            return str(url).rstrip("/")
    problem = "upstream must be a base URL like http://x:8000/v1, without credentials"
    raise ValueError(problem)


def _header(response: httpx2.Response, name: str) -> str:
    """Return a header with only those characters that may be sent on."""
    return re.sub(r"[^ -~]", "?", response.headers.get(name, ""))


# --- Streams -------------------------------------------------------------------------


async def _events(response: httpx2.Response) -> Pieces:
    """Yield the bytes of each event, including the blank line at its end."""
    buffer = b""
    async for piece in response.aiter_bytes():
        # A blank line has at most 4 bytes.
        searched, buffer = max(0, len(buffer) - 3), buffer + piece
        while end := _BLANK_LINE.search(buffer, searched):
            yield buffer[: end.end()]
            buffer, searched = buffer[end.end() :], 0
    if buffer:
        yield buffer


def _data(raw: bytes) -> bytes:
    """Return the data of an event; empty for a comment."""
    lines = [line for line in _LINE_END.split(raw) if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


# --- Names ---------------------------------------------------------------------------


def _in_snake_case(fields: Json) -> Json:
    return {to_snake(name): value for name, value in fields.items()}


def _in_camel_case(value: Any) -> Any:
    """Rename the fields of objects, without those that are null."""
    if isinstance(value, list):
        return [_in_camel_case(item) for item in value]
    if isinstance(value, dict):
        return {
            to_camel(name): field if name in _UNCHANGED else _in_camel_case(field)
            for name, field in value.items()
            if field is not None
        }
    return value


def _data_of(answer: Any, model: str) -> Json:
    """Convert a completion or a chunk to the `data` of an envelope."""
    data = _in_camel_case(_checked(answer, dict))
    data["choices"] = _checked(data.get("choices", []), list)
    for choice in data["choices"]:
        message = _checked(choice, dict).get("message", choice.get("delta", {}))
        if reasoning := _checked(message, dict).pop("reasoning", None):
            message.setdefault("reasoningContent", reasoning)
    return {**data, "model": model}


def _checked(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        problem = f"its answer has {to_json(value)[:40]!r}, not a {kind.__name__}"
        raise ValueError(problem)  # noqa: TRY004 - what is read is wrong, not the code
    return value


def _message_of(answer: Any) -> str:
    """Return the message of an error, in the common formats; empty for no error."""
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "")


def _code_of(answer: Any) -> int | None:
    """Return the code of an envelope or an error."""
    code = answer.get("code") if isinstance(answer, dict) else None
    return code if isinstance(code, int) else None
