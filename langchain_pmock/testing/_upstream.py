"""Forwarding of requests to an OpenAI-compatible server or to pmock."""

from __future__ import annotations

import contextlib
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
from pydantic import SecretStr
from pydantic_core import from_json

from langchain_pmock.auth import ACCESS_KEY_HEADER, ACCESS_TOKEN_HEADER, sign
from langchain_pmock.testing._wire import (
    EVENT_STREAM,
    SUCCESS,
    Response,
    chunk_envelope,
    dump,
    envelope,
    event,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from langchain_pmock.testing._script import RecordedRequest

Json = dict[str, Any]

_BAD_GATEWAY = 502
_TIMEOUT = httpx.Timeout(600, connect=30)  # models may reason for minutes
_LONGEST_MESSAGE = 2000  # characters of an error that is not JSON
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
# What an answer with an unexpected structure can raise.
_BROKEN = (httpx.HTTPError, ValueError, TypeError, AttributeError)
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CASE_CHANGE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_UNDERSCORE = re.compile(r"_([a-z])")


class Upstream:
    """A server that answers in place of this one; pmock if there are two keys."""

    def __init__(
        self, url: str, model: str | None, key: str | tuple[str, str] | None
    ) -> None:
        self._is_pmock = isinstance(key, tuple)
        path = "/ai/chat/completions" if self._is_pmock else "/chat/completions"
        self._url = url.rstrip("/") + path
        self._model = model
        keys = key if isinstance(key, tuple) else (key,) * bool(key)
        self._keys = [SecretStr(key or "") for key in keys]
        self._ssl = httpx.create_ssl_context()

    async def ask(self, request: RecordedRequest, content: bytes) -> Response:
        """Forward a request; errors of the connection become a 502."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                # One client per request, so that nothing has to be closed later.
                client = await stack.enter_async_context(
                    httpx.AsyncClient(timeout=_TIMEOUT, verify=self._ssl)
                )
                sent = client.build_request(
                    "POST",
                    self._url,
                    content=self._request(request.body, content),
                    headers=self._headers(request.headers),
                )
                response = await client.send(sent, stream=True)
                stack.push_async_callback(response.aclose)
                kind = response.headers.get("content-type", "")
                if response.is_success and EVENT_STREAM in kind:
                    live = self._stream(response, request, stack.pop_all())
                    headers = {"Content-Type": kind}
                    return Response([], live, code=SUCCESS, headers=headers)
                return self._whole(response, await response.aread(), request.body)
            except _BROKEN as error:
                return _failure(_BAD_GATEWAY, f"{type(error).__name__}: {error}")

    def _headers(self, given: Mapping[str, str]) -> dict[str, str]:
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
        return headers

    def _request(self, body: Json, content: bytes) -> bytes:
        """Convert a request's body to the upstream's format."""
        if self._is_pmock:
            return dump({**body, "model": self._model}) if self._model else content
        sent = _renamed(body, _snake)
        sent["messages"] = [_renamed(message, _snake) for message in body["messages"]]
        sent["model"] = self._model or body["model"]
        if sent.get("stream"):
            sent["stream_options"] = {"include_usage": True}
        if isinstance(choice := sent.get("tool_choice"), dict):
            # llama.cpp does not support a choice by name.
            chosen = [t for t in sent["tools"] if _is_chosen(t, choice)]
            sent |= {"tools": chosen, "tool_choice": "required"}
        return dump(sent)

    def _whole(self, response: httpx.Response, content: bytes, body: Json) -> Response:
        status = response.status_code
        if not response.is_success:
            for key in self._keys:
                content = content.replace(key.get_secret_value().encode(), b"***")
        try:
            answer = from_json(content)
        except ValueError:
            answer = None
        if self._is_pmock:
            headers = {"Content-Type": response.headers.get("content-type", "")}
            result = Response([content], None, status, _code_of(answer), headers)
        elif not response.is_success:
            text = content[:_LONGEST_MESSAGE].decode(errors="replace")
            result = _failure(status, _message_of(answer) or text)
        elif isinstance(answer, dict):
            data = _data_of(answer, body["model"])
            trace_id = response.headers.get("x-request-id", "")
            result = Response([envelope(SUCCESS, "success", data, trace_id)])
            result.code = SUCCESS
        else:
            result = _failure(_BAD_GATEWAY, "its answer is not a JSON object")
        if after := response.headers.get("retry-after"):
            result.headers["Retry-After"] = after
        return result

    async def _stream(
        self,
        response: httpx.Response,
        request: RecordedRequest,
        stack: contextlib.AsyncExitStack,
    ) -> AsyncGenerator[bytes, None]:
        events = _events(response)
        answers = _as_is(events) if self._is_pmock else _translated(events, request)
        async with stack:
            try:
                async for code, sent in answers:
                    request.code = code
                    yield sent
            except _BROKEN as error:
                request.code = _BAD_GATEWAY
                message = f"upstream: {type(error).__name__}: {error}"
                yield event(envelope(_BAD_GATEWAY, message, None, ""), "\n")


def _is_chosen(tool: Json, choice: Json) -> bool:
    name: str = choice["function"]["name"]
    return bool(tool.get("function", {}).get("name") == name)


# --- Streams -------------------------------------------------------------------------


async def _events(response: httpx.Response) -> AsyncIterator[bytes]:
    """Yield the bytes of each event, including the blank line at its end."""
    buffer, searched = b"", 0
    async for piece in response.aiter_bytes():
        buffer += piece
        while end := _BLANK_LINE.search(buffer, searched):
            if end.end() == len(buffer) and buffer.endswith(b"\r"):
                break  # a line feed may follow
            yield buffer[: end.end()]
            buffer, searched = buffer[end.end() :], 0
        searched = max(0, len(buffer) - 3)
    if buffer:
        yield buffer


def _data(raw: bytes) -> bytes:
    """Return the data of an event; empty for a comment."""
    lines = [line for line in _LINE_END.split(raw) if line.startswith(b"data:")]
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)


async def _as_is(events: AsyncIterator[bytes]) -> AsyncIterator[tuple[int, bytes]]:
    """Yield pmock's events unchanged, with the codes of their envelopes."""
    async for raw in events:
        data = _data(raw)
        code = SUCCESS
        with contextlib.suppress(ValueError):
            code = _code_of(from_json(data)) or SUCCESS
        yield code, raw
        if data == b"[DONE]":
            return


async def _translated(
    events: AsyncIterator[bytes], request: RecordedRequest
) -> AsyncIterator[tuple[int, bytes]]:
    """Convert an OpenAI-compatible stream, with the usage in the last chunk."""
    last: Json | None = None
    usage: Json | None = None
    is_done = False
    async for raw in events:
        data = _data(raw)
        is_done = data == b"[DONE]"
        if is_done:
            break
        if not data:
            continue
        answer = from_json(data)
        if error := _message_of(answer):
            code = _code_of(answer["error"]) or _BAD_GATEWAY
            yield code, event(envelope(code, f"upstream: {error}", None, ""), "\n")
            return
        chunk = _data_of(answer, request.body["model"])
        usage = chunk.pop("usage", usage)
        if any("finishReason" in choice for choice in chunk["choices"]):
            last = chunk
        elif chunk["choices"]:
            yield SUCCESS, event(chunk_envelope(chunk), "\n")
    if last is not None:
        last |= {"usage": usage} if usage else {}
        yield SUCCESS, event(chunk_envelope(last), "\n")
    if is_done:
        yield SUCCESS, event(b"[DONE]", "\n")


# --- Names ---------------------------------------------------------------------------


def _snake(name: str) -> str:
    return _CASE_CHANGE.sub("_", name).lower()


def _camel(name: str) -> str:
    return _UNDERSCORE.sub(lambda match: match[1].upper(), name)


def _renamed(fields: Json, rename: Callable[[str], str]) -> Json:
    """Rename the fields of an object, without those that are null."""
    return {rename(name): value for name, value in fields.items() if value is not None}


def _deeply_renamed(value: Any) -> Any:
    if isinstance(value, list):
        return [_deeply_renamed(item) for item in value]
    if isinstance(value, dict):
        return {k: _deeply_renamed(v) for k, v in _renamed(value, _camel).items()}
    return value


def _data_of(answer: Json, model: str) -> Json:
    """Convert a completion or a chunk to the `data` of an envelope."""
    data = _renamed(answer, _camel) | {"model": model}
    if "usage" in data:
        data["usage"] = _deeply_renamed(data["usage"])
    data["choices"] = [_choice(choice) for choice in answer.get("choices") or []]
    return data


def _choice(choice: Json) -> Json:
    renamed = _renamed(choice, _camel)
    for part in renamed.keys() & {"message", "delta"}:
        message = _renamed(renamed[part], _camel)
        if reasoning := message.pop("reasoning", None):
            message.setdefault("reasoningContent", reasoning)
        renamed[part] = message
    if "logprobs" in renamed:
        renamed["logprobs"] = _deeply_renamed(renamed["logprobs"])
    return renamed


# --- Errors --------------------------------------------------------------------------


def _failure(code: int, message: str) -> Response:
    content = envelope(code, f"upstream: {message}", None, "")
    return Response([content], status=code, code=code)


def _message_of(answer: Any) -> str:
    """Return the message of an error, in the common formats; empty for no error."""
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return str(message or "")


def _code_of(answer: Any) -> int | None:
    """Return the code of an envelope or an error."""
    code = answer.get("code") if isinstance(answer, dict) else None
    return code if isinstance(code, int) else None
