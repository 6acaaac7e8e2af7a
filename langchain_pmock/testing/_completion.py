"""Conversion of a reply to an answer: one object, or the chunks of a stream."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from langchain_pmock.testing._http import make_id
from langchain_pmock.testing._rules import CJK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from langchain_pmock.testing._body import Body
    from langchain_pmock.testing._script import Reply, ToolCall

Json = dict[str, Any]

# A word with the space before it, or another character.
_TOKEN = re.compile(rf"\s*(?:[^\W{CJK}]+|.)", re.DOTALL)
_IMAGE_TOKENS = 85
_AUDIO_TOKENS = 50


def tokens(text: str) -> list[str]:
    """Split a text into words with the space before them, and other characters."""
    return _TOKEN.findall(text)


def choices(reply: Reply, body: Body) -> list[Reply]:
    """Make `n` replies from one, and apply `stop` and `maxTokens`.

    From the second on, the text ends with the number of the reply.
    """
    numbered = [f"{reply.text} ({index})" for index in range(2, body.n + 1)]
    texts = [reply.text, *(numbered if reply.text else [""] * len(numbered))]
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
    """The answer to one request."""

    body: Body
    replies: Sequence[Reply]  # one for each choice
    seed: str  # of the ids
    created: int  # Unix time in seconds

    def whole(self) -> Json:
        """Return the answer as one object."""
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", **self._message(reply)},
                **self._end(reply, tokens(_text(reply))),
            }
            for index, reply in enumerate(self.replies)
        ]
        head = {"id": self._id, "model": self.body.model, "created": self.created}
        kind = {"object": "chat.completion", "usage": self._usage()}
        return {**head, **kind, "choices": choices}

    def chunks(self) -> Iterator[Json]:
        """Yield the chunks of a stream, which has one choice."""
        reply = self.replies[0]
        for delta in self._deltas(reply):
            text = delta.get("content") if reply.logprobs is None else None
            pieces = [text] if isinstance(text, str) else []
            yield self._chunk({"delta": delta, **self._logprobs(pieces)})
        end = self._chunk({"delta": {}, **self._end(reply, [])})
        yield end | {"usage": self._usage()}

    @cached_property
    def _id(self) -> str:
        return make_id("chatcmpl-", self.seed)

    def _message(self, reply: Reply) -> Json:
        texts = {"reasoningContent": reply.reasoning, "refusal": reply.refusal}
        message: Json = {"content": _text(reply)}
        message |= {name: text for name, text in texts.items() if text}
        if reply.tool_calls:
            message["toolCalls"] = [
                self._tool_call(index, call, call.arguments_text)
                for index, call in enumerate(reply.tool_calls)
            ]
        return message

    def _deltas(self, reply: Reply) -> Iterator[Json]:
        yield {"role": "assistant", "content": ""}
        if reply.chunks is not None:
            for piece in reply.chunks:
                yield {"content": piece} if isinstance(piece, str) else {**piece}
            return
        texts = {"reasoningContent": reply.reasoning, "content": reply.text}
        for name, text in {**texts, "refusal": reply.refusal}.items():
            for token in tokens(text):
                yield {name: token}
        for index, call in enumerate(reply.tool_calls):
            yield {"toolCalls": [{"index": index, **self._tool_call(index, call, "")}]}
            for token in tokens(call.arguments_text):
                piece = {"index": index, "function": {"arguments": token}}
                yield {"toolCalls": [piece]}

    def _chunk(self, choice: Json) -> Json:
        head = {"created": self.created, "model": self.body.model, "id": self._id}
        choices = [{**choice, "index": 0}]
        return {**head, "choices": choices, "object": "chat.completion.chunk"}

    def _end(self, reply: Reply, pieces: list[str]) -> Json:
        """Return what the end of an answer has."""
        reason = reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
        if reply.logprobs is not None:
            return {"finishReason": reason, "logprobs": reply.logprobs}
        return {"finishReason": reason, **self._logprobs(pieces)}

    def _tool_call(self, index: int, call: ToolCall, arguments: str) -> Json:
        call_id = make_id("call_", self.seed, index) if call.id == "auto" else call.id
        return {
            **({"id": call_id} if call_id is not None else {}),
            "type": "function",
            "function": {"name": call.name, "arguments": arguments},
            **call.extra,
        }

    def _logprobs(self, pieces: list[str]) -> Json:
        """Return the field `logprobs`, if the request asks for it."""
        made = [
            {"token": piece, "logprob": -0.1, "bytes": list(piece.encode())}
            for piece in pieces
            if piece
        ]
        if not made or not self.body.logprobs:
            return {}
        most = min(self.body.top_logprobs, 1)
        content = [{**each, "topLogprobs": [each][:most]} for each in made]
        return {"logprobs": {"content": content}}

    def _usage(self) -> Mapping[str, Any]:
        if (given := self.replies[0].usage) is not None:
            return given
        blocks = [b.type for message in self.body.messages for b in message.blocks]
        prompt = {
            "textTokens": sum(len(tokens(m.text)) for m in self.body.messages),
            "imageTokens": _IMAGE_TOKENS * blocks.count("image_url"),
            "audioTokens": _AUDIO_TOKENS * blocks.count("input_audio"),
            "cachedTokens": 0,
        }
        reasoning = sum(len(tokens(reply.reasoning)) for reply in self.replies)
        content = sum(len(tokens(text)) for r in self.replies for text in _written(r))
        completion = {
            "contentTokens": content,
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


def _text(reply: Reply) -> str:
    pieces = reply.chunks or []
    return reply.text or "".join(piece for piece in pieces if isinstance(piece, str))


def _written(reply: Reply) -> list[str]:
    calls = [call.name + call.arguments_text for call in reply.tool_calls]
    return [_text(reply), reply.refusal, *calls]
