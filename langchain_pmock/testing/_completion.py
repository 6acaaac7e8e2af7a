"""Conversion of a reply to a response, and injection of a fault into it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._http import (
    EVENT_STREAM,
    SUCCESS,
    Response,
    chunk_envelope,
    envelope,
    event,
    make_id,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from langchain_pmock.testing._body import Body
    from langchain_pmock.testing._script import Fault, Reply, ToolCall

Json = dict[str, Any]

# A word with the space before it, or another character, such as a Chinese one.
_TOKEN = re.compile(r"\s*(?:\w+|.)", re.DOTALL | re.ASCII)
_IMAGE_TOKENS = 85
_AUDIO_TOKENS = 50


def tokens(text: str) -> list[str]:
    """Split a text into words with the space before them, and other characters."""
    return _TOKEN.findall(text)


def choices(reply: Reply, body: Body) -> list[Reply]:
    """Make `n` replies from one, with numbers, and apply `stop` and `maxTokens`."""
    ends = ["", *(f" ({number})" for number in range(2, body.n + 1))]
    texts = [reply.text and reply.text + end for end in ends]
    return [_cut(replace(reply, text=text), body) for text in texts]


def _cut(reply: Reply, body: Body) -> Reply:
    stops = [body.stop] if isinstance(body.stop, str) else body.stop
    if ends := [reply.text.find(stop) for stop in stops if stop in reply.text]:
        reply = replace(reply, text=reply.text[: min(ends)], finish_reason="stop")
    pieces, most = tokens(reply.text), min(body.max_tokens, body.max_completion_tokens)
    if len(pieces) > most:
        reply = replace(reply, text="".join(pieces[:most]), finish_reason="length")
    return reply


@dataclass(frozen=True)
class Completion:
    body: Body
    replies: Sequence[Reply]  # one for each choice
    seed: str  # of the ids
    created: int  # Unix time in seconds

    def response(self, newline: str, trace_id: str) -> Response:
        if not self.body.stream:
            return envelope(SUCCESS, "success", trace_id, self.whole())
        chunks = (chunk_envelope(chunk) for chunk in self.chunks())
        events = [event(data, newline) for data in (*chunks, b"[DONE]")]
        raw = self.replies[0].raw
        steps = events if raw is None else raw
        return Response([*steps], code=SUCCESS, type=EVENT_STREAM)

    def whole(self) -> Json:
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", **self._message(reply)},
                **self._end(reply, _texts(reply)["content"]),
            }
            for index, reply in enumerate(self.replies)
        ]
        return {**self._answer("chat.completion", choices), "usage": self._usage()}

    def chunks(self) -> Iterator[Json]:
        """Yield the chunks of a stream, which has one choice."""
        reply = self.replies[0]
        for delta in self._deltas(reply):
            text = delta.get("content") if reply.logprobs is None else None
            logprobs = self._logprobs(text) if isinstance(text, str) else {}
            yield self._chunk({"delta": delta, **logprobs})
        end = self._chunk({"delta": {}, **self._end(reply, "")})
        yield end | {"usage": self._usage()}

    def _answer(self, kind: str, choices: list[Json]) -> Json:
        made = {"id": make_id("chatcmpl-", self.seed), "object": kind}
        head = {"created": self.created, "model": self.body.model}
        return {**made, **head, "choices": choices}

    def _chunk(self, choice: Json) -> Json:
        return self._answer("chat.completion.chunk", [{"index": 0, **choice}])

    def _message(self, reply: Reply) -> Json:
        texts = _texts(reply).items()
        message = {name: text for name, text in texts if text or name == "content"}
        calls = [
            self._tool_call(index, call, call.arguments_text)
            for index, call in enumerate(reply.tool_calls)
        ]
        return {**message, "toolCalls": calls} if calls else {**message}

    def _deltas(self, reply: Reply) -> Iterator[Json]:
        yield {"role": "assistant", "content": ""}
        if reply.chunks is not None:
            for piece in reply.chunks:
                yield {"content": piece} if isinstance(piece, str) else {**piece}
            return
        for name, text in _texts(reply).items():
            for token in tokens(text):
                yield {name: token}
        for index, call in enumerate(reply.tool_calls):
            yield {"toolCalls": [{"index": index, **self._tool_call(index, call, "")}]}
            for token in tokens(call.arguments_text):
                piece = {"index": index, "function": {"arguments": token}}
                yield {"toolCalls": [piece]}

    def _tool_call(self, index: int, call: ToolCall, arguments: str) -> Json:
        call_id = make_id("call_", self.seed, index) if call.id == "auto" else call.id
        return {
            **({"id": call_id} if call_id is not None else {}),
            "type": "function",
            "function": {"name": call.name, "arguments": arguments},
            **call.extra,
        }

    def _end(self, reply: Reply, text: str) -> Json:
        reason = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
        if reply.logprobs is not None:
            return {"finishReason": reason, "logprobs": reply.logprobs}
        return {"finishReason": reason, **self._logprobs(text)}

    def _logprobs(self, text: str) -> Json:
        """Return the field `logprobs` for a text, if the request asks for it."""
        if not text or not self.body.logprobs:
            return {}
        made = [
            {"token": token, "logprob": -0.1, "bytes": [*token.encode()]}
            for token in tokens(text)
        ]
        most = min(self.body.top_logprobs, 1)
        content = [{**each, "topLogprobs": [each][:most]} for each in made]
        return {"logprobs": {"content": content}}

    def _usage(self) -> Mapping[str, Any]:
        if (given := self.replies[0].usage) is not None:
            return given
        blocks = [b.type for message in self.body.messages for b in message.blocks]
        prompt = {
            "textTokens": _count(message.text for message in self.body.messages),
            "imageTokens": _IMAGE_TOKENS * blocks.count("image_url"),
            "audioTokens": _AUDIO_TOKENS * blocks.count("input_audio"),
            "cachedTokens": 0,
        }
        texts = [_texts(reply) for reply in self.replies]
        reasoning = _count(each.pop("reasoningContent") for each in texts)
        calls = [call for reply in self.replies for call in reply.tool_calls]
        completion = {
            "contentTokens": _count(text for each in texts for text in each.values())
            + _count(call.name + call.arguments_text for call in calls),
            "reasoningTokens": reasoning,
            "audioTokens": 0,
        }
        inputs, outputs = sum(prompt.values()), sum(completion.values())
        return {
            "promptTokens": inputs,
            "completionTokens": outputs,
            "totalTokens": inputs + outputs,
            "promptTokensDetails": prompt,
            "completionTokensDetails": completion,
        }


def _texts(reply: Reply) -> dict[str, str]:
    pieces = [piece for piece in reply.chunks or [] if isinstance(piece, str)]
    return {
        "reasoningContent": reply.reasoning,
        "content": reply.text or "".join(pieces),
        "refusal": reply.refusal,
    }


def _count(texts: Iterable[str]) -> int:
    return sum(len(tokens(text)) for text in texts)


# --- Faults --------------------------------------------------------------------------


def inject(right: Response, fault: Fault, newline: str, trace_id: str) -> Response:
    is_stream = right.type == EVENT_STREAM
    # Clients read nothing after [DONE], so all happens before.
    most = len(right.steps) - (right.steps[-1:] == [event(b"[DONE]", newline)])
    after = None if fault.after is None else min(fault.after, most)
    status = fault.status or SUCCESS
    code = fault.status if fault.code is None else fault.code
    error = envelope(code or 0, fault.message, trace_id)
    if fault.body is not None:
        response = Response([fault.body], status=status, type=fault.content_type)
    elif fault.status is not None or (code is not None and not is_stream):
        response = replace(error, status=status)
    else:
        response = replace(right, steps=[*right.steps])
        if code is not None:  # in a stream
            response.code = code
            response.steps[after or 0 :] = [event(error.content, newline)]
        _break_off(response, fault, most)
    if fault.stall:
        # Empty bytes send the status and the headers.
        early = [] if after is None else [b"", *response.steps[:after]]
        response.steps = [*early, fault.stall, *response.steps[after or 0 :]]
    if (wait := fault.retry_after) is not None:
        if not isinstance(wait, str):  # a number there cannot have an exponent
            wait = f"{wait:.6f}".rstrip("0").rstrip(".")
        response.headers = {**response.headers, "Retry-After": wait}
    return response


def _break_off(response: Response, fault: Fault, most: int) -> None:
    """Cut a stream after some events, and another answer in the middle."""
    is_reset = fault.reset_after is not None
    end = fault.reset_after if fault.cut_after is None else fault.cut_after
    if end is None:
        return
    if response.type == EVENT_STREAM:
        response.steps[min(end, most) :] = ["reset"] if is_reset else []
    else:
        # Two steps, so that no Content-Length is sent.
        half = response.content[: len(response.content) // 2]
        response.steps = [half, "reset" if is_reset else "close"]
        del response.steps[: is_reset and end == 0]
