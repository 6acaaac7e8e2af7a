"""An OpenAI-compatible server, as strict as OpenAI's own and as odd as others.

It accepts snake_case names only. It streams as
vLLM and llama.cpp do: nulls, comments, the usage in a chunk of its own, and line
separators of Unicode unescaped. It ignores a tool choice by name, as llama.cpp does.
Its answers come from the rules of `PmockServer`; its shapes are written here.
"""

from __future__ import annotations

import json
import select
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._body import validate
from langchain_pmock.testing._completion import choices, tokens
from langchain_pmock.testing._rules import reply_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from langchain_pmock.testing import Reply

Json = dict[str, Any]

KEY = "sk-example"

# The accepted names, and those of pmock.
_FIELDS = {
    **{name: name for name in ("messages", "model", "stream", "temperature", "stop")},
    **{name: name for name in ("n", "seed", "user", "tools", "logprobs")},
    "max_tokens": "maxTokens",
    "max_completion_tokens": "maxCompletionTokens",
    "top_p": "topP",
    "frequency_penalty": "frequencyPenalty",
    "presence_penalty": "presencePenalty",
    "tool_choice": "toolChoice",
    "response_format": "responseFormat",
    "top_logprobs": "topLogprobs",
    "logit_bias": "logitBias",
    "parallel_tool_calls": "parallelToolCalls",
    "stream_options": "",
}
_MESSAGE_FIELDS = {
    **{name: name for name in ("role", "content", "name", "refusal")},
    "tool_calls": "toolCalls",
    "tool_call_id": "toolCallId",
}


class OpenAIServer:
    """Answers `POST /v1/chat/completions`.

    Attributes:
        requests: The bodies so far.
        answer: Makes the bytes of an answer in place of the rules: the pieces to write,
            and seconds to wait.
        status: The HTTP status of what `answer` makes.
        content_type: Its content type.
        headers: More headers of it.
        delay: Seconds between two events, and before an answer that is not streamed.
        left: How many clients left before they had their answer.
    """

    def __init__(self) -> None:
        self.requests: list[Json] = []
        self.answer: Callable[[Json], Iterator[bytes | float]] | None = None
        self.status = 200
        self.content_type = "text/event-stream"
        self.headers: Mapping[str, str] = {}
        self.delay = 0.0
        self.left = 0
        self.active = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                with outer.lock:
                    outer.active += 1
                try:
                    _Exchange(outer, self).run()
                except (BrokenPipeError, ConnectionResetError):
                    with outer.lock:
                        outer.left += 1
                    self.close_connection = True
                finally:
                    with outer.lock:
                        outer.active -= 1

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 512
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.005}
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Exchange:
    def __init__(self, server: OpenAIServer, handler: BaseHTTPRequestHandler) -> None:
        self.server, self.handler = server, handler

    def run(self) -> None:
        length = int(self.handler.headers["Content-Length"])
        body = json.loads(self.handler.rfile.read(length))
        if self.handler.path != "/v1/chat/completions":
            return self.fail(404, "no such path")
        if self.handler.headers.get("Authorization") not in {None, f"Bearer {KEY}"}:
            return self.fail(401, "wrong key: " + self.handler.headers["Authorization"])
        self.server.requests.append(body)
        if self.server.answer is not None:
            self.head(self.server.status, self.server.content_type)
            return self.pieces(self.server.answer(body))
        try:
            valid = validate(_translated(body))
        except ValueError as error:
            return self.fail(400, str(error))
        replies = choices(reply_to(valid), valid)
        if body.get("stream"):
            self.head(200, "text/event-stream; charset=utf-8")
            return self.pieces(self.events(body, replies[0]))
        self.wait(self.server.delay)
        return self.whole(200, _completion(body, replies))

    def fail(self, status: int, message: str) -> None:
        error = {"message": message, "type": "invalid_request_error", "code": None}
        self.whole(status, {"error": error})

    def head(self, status: int, content_type: str, length: int | None = None) -> None:
        self.handler.send_response(status)
        self.handler.send_header("Content-Type", content_type)
        self.handler.send_header("X-Request-Id", "req-1")
        for name, value in self.server.headers.items():
            self.handler.send_header(name, value)
        if length is None:
            self.handler.send_header("Connection", "close")
        else:
            self.handler.send_header("Content-Length", str(length))
        self.handler.end_headers()

    def whole(self, status: int, answer: Json) -> None:
        content = json.dumps(answer).encode()
        self.head(status, "application/json", len(content))
        self.handler.wfile.write(content)

    def pieces(self, pieces: Iterator[bytes | float]) -> None:
        for piece in pieces:
            if isinstance(piece, bytes):
                self.handler.wfile.write(piece)
            else:
                self.wait(piece)

    def wait(self, seconds: float) -> None:
        """Wait; raises BrokenPipeError when the client leaves."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.handler.connection], [], [], left)
            if readable and not self.handler.connection.recv(1, socket.MSG_PEEK):
                raise BrokenPipeError

    def events(self, body: Json, reply: Reply) -> Iterator[bytes | float]:
        yield b": welcome\n\n"
        asks_usage = (body.get("stream_options") or {}).get("include_usage")
        last = {"finish_reason": _finish(reply), "delta": {}}
        for choice in [*_deltas(body, reply), last]:
            chunk = {"index": 0, "logprobs": None, "finish_reason": None, **choice}
            data = _data(body, [chunk], "chat.completion.chunk")
            data |= {"usage": None} if asks_usage else {}
            yield _event(data)
            yield self.server.delay
        if asks_usage:
            usage = _usage(reply)
            yield _event(_data(body, [], "chat.completion.chunk") | {"usage": usage})
        yield b"data: [DONE]\r\n\r\n"


def _translated(body: Json) -> Json:
    """The request for the rules.

    Raises:
        ValueError: A field is not accepted.
    """
    unknown = body.keys() - _FIELDS.keys()
    for message in body["messages"]:
        unknown |= message.keys() - _MESSAGE_FIELDS.keys()
    if unknown:
        problem = f"unknown fields: {sorted(unknown)}"
        raise ValueError(problem)
    messages = [
        {_MESSAGE_FIELDS[name]: value for name, value in message.items()}
        for message in body["messages"]
    ]
    renamed = {_FIELDS[k]: v for k, v in body.items() if _FIELDS[k]}
    if isinstance(renamed.get("toolChoice"), dict):
        del renamed["toolChoice"]
    return {**renamed, "messages": messages}


def _data(body: Json, its_choices: list[Json], kind: str) -> Json:
    return {
        "id": f"chatcmpl-{hash(json.dumps(body['messages']))}",
        "object": kind,
        "created": 1768809934,
        "model": f"{body['model']}.gguf",
        "system_fingerprint": None,
        "choices": its_choices,
    }


def _completion(body: Json, replies: list[Reply]) -> Json:
    made = []
    for index, reply in enumerate(replies):
        message = {
            "role": "assistant",
            "content": reply.text or None,
            "refusal": None,
            "reasoning_content": reply.reasoning or None,
            "tool_calls": _calls(reply) or None,
        }
        choice = {"index": index, "message": message, "finish_reason": _finish(reply)}
        logprobs = {"content": [_logprob(token, body) for token in tokens(reply.text)]}
        made.append({**choice, "logprobs": logprobs if body.get("logprobs") else None})
    usage = _usage(replies[0])
    return _data(body, made, "chat.completion") | {"usage": usage}


def _deltas(body: Json, reply: Reply) -> Iterator[Json]:
    yield {"delta": {"role": "assistant", "content": None}}
    # Both names are in use.
    name = "reasoning" if "gpt" in body["model"] else "reasoning_content"
    for token in tokens(reply.reasoning):
        yield {"delta": {name: token}}
    for token in tokens(reply.text):
        logprobs = (
            {"content": [_logprob(token, body)]} if body.get("logprobs") else None
        )
        yield {"delta": {"content": token}, "logprobs": logprobs}
    for index, call in enumerate(_calls(reply)):
        arguments = call["function"]["arguments"]
        head = {**call, "index": index}
        head["function"] = {**call["function"], "arguments": ""}
        yield {"delta": {"tool_calls": [head]}}
        for token in tokens(arguments):
            piece = {"index": index, "function": {"arguments": token}}
            yield {"delta": {"tool_calls": [piece]}}


def _calls(reply: Reply) -> list[Json]:
    return [
        {
            "id": f"call_openai_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text},
            "extra_content": {"google": {"thought_signature": "c2ln"}},
        }
        for index, call in enumerate(reply.tool_calls)
    ]


def _finish(reply: Reply) -> str:
    return reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")


def _logprob(token: str, body: Json) -> Json:
    entry = {"token": token, "logprob": -0.1, "bytes": list(token.encode())}
    return {**entry, "top_logprobs": [entry] * body.get("top_logprobs", 0)}


def _usage(reply: Reply) -> Json:
    reasoning = len(tokens(reply.reasoning))
    completion = len(tokens(reply.text)) + reasoning + 10 * len(reply.tool_calls)
    return {
        "prompt_tokens": 7,
        "completion_tokens": completion,
        "total_tokens": 7 + completion,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }


def _event(data: Json) -> bytes:
    return b"data:" + json.dumps(data, ensure_ascii=False).encode() + b"\r\n\r\n"
