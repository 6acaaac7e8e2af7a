"""Scripted answers: replies, tool calls and faults."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter
from pydantic.dataclasses import dataclass

if TYPE_CHECKING:
    from langchain_pmock.testing._body import Body

_STRICT = ConfigDict(strict=True, extra="forbid")
WITHOUT_BODY = {204, 205, 304}  # HTTP statuses


def _has_body(status: int) -> int:
    if status in WITHOUT_BODY:
        message = "a response with this status has no body"
        raise ValueError(message)
    return status


_is_json = AfterValidator(TypeAdapter(JsonValue).validate_python)
Json = Annotated[Mapping[str, Any], _is_json]
Status = Annotated[int, Field(ge=200, le=599), AfterValidator(_has_body)]
Events = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
HeaderText = Annotated[str, Field(pattern=r"^[ -~]*$")]


@plain_dataclass
class RecordedRequest:
    """A received request and the status of its response.

    Args:
        headers: The headers; case does not matter.
        body: The parsed body; empty if it was not a JSON object.
        status: The HTTP status of the response; `None` if there was none.
        code: The code of the envelope; `None` if there was none. For a stream, the code
            of its last event.
    """

    headers: Mapping[str, str]
    body: dict[str, Any]
    status: int | None = None
    code: int | None = None


@dataclass(frozen=True, config=_STRICT)
class ToolCall:
    """A tool call of a scripted reply.

    Args:
        name: The name of the tool.
        arguments: The arguments; or their JSON text, which is sent unchanged and may be
            invalid.
        id: The id of the call: `"auto"` generates one, `None` leaves it out.
        extra: Additional fields of the call, such as `extra_content`.
    """

    name: str
    arguments: Json | str = Field(default_factory=dict)
    id: str | None = "auto"
    extra: Json = Field(default_factory=dict)

    @property
    def arguments_text(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Reply:
    """A scripted reply. Fields that are left out are generated.

    Args:
        text: The content of the message.
        tool_calls: The tool calls of the message.
        reasoning: The reasoning, sent before the text.
        refusal: The refusal of the model.
        finish_reason: By default `"tool_calls"` with tool calls, else `"stop"`.
        usage: The `usage` object to send. By default the tokens are counted.
        logprobs: The `logprobs` object of the choice. In a stream, the last chunk has
            it.
        chunks: The chunks of a stream: pieces of text, or deltas to send unchanged.
            Without `text`, an answer that is not streamed has the pieces' text.
        raw: The bytes of a stream, each item written separately, with nothing added.
    """

    text: str = ""
    tool_calls: Sequence[ToolCall] = ()
    reasoning: str = ""
    refusal: str = ""
    finish_reason: str | None = None
    usage: Json | None = None
    logprobs: Json | None = None
    chunks: Sequence[str | Json] | None = None
    raw: Sequence[bytes] | None = None


@dataclass(frozen=True, kw_only=True, config=_STRICT)
class Fault:
    """A fault of the response to one request.

    Args:
        status: The HTTP status, with an envelope of the same code.
        code: The code of the envelope. Without `status` it comes with HTTP 200; in a
            stream it is an event, which ends the stream.
        message: The message of the envelope.
        retry_after: The `Retry-After` header: seconds, or its text, such as an HTTP
            date.
        stall: Seconds to wait before anything is sent.
        after: Number of events of a stream before `code` or `stall`, which happen
            before [DONE] at the latest. With 0, only the head of the response is sent
            before.
        cut_after: Number of events after which a stream ends without [DONE], as a
            complete HTTP response. Other answers end in the middle.
        reset_after: Number of events after which the connection is reset, before [DONE]
            at the latest. With 0, it is reset before the response; otherwise an answer
            that is not streamed is sent in half.
        body: The body of the response; HTTP 200 unless `status` is set.
        content_type: The content type of `body`.
    """

    status: Status | None = None
    code: int | None = None
    message: str = "a fault made on purpose"
    retry_after: Seconds | HeaderText | None = None
    stall: Seconds = 0.0
    after: Events | None = None
    cut_after: Events | None = None
    reset_after: Events | None = None
    body: bytes | None = None
    content_type: HeaderText = "application/json"

    def __post_init__(self) -> None:
        """Refuse a fault without an effect."""
        if not (self.prevents_answer or self.stall):
            message = (
                "a fault needs one of status, code, stall, cut_after, reset_after, body"
            )
            raise ValueError(message)
        if self.after is not None and not self.stall and self.code is None:
            message = "after needs code or stall"
            raise ValueError(message)

    @property
    def prevents_answer(self) -> bool:
        """Whether the client does not receive the complete regular answer."""
        given = (self.status, self.code, self.cut_after, self.reset_after, self.body)
        return any(each is not None for each in given)


Answer = str | Reply | Fault
Scriptable = Answer | Callable[[RecordedRequest], Answer]


@plain_dataclass(frozen=True)
class Line:
    """An entry of a script, and the requests that it is for."""

    answer: Scriptable
    model: str | None
    message: str

    def __post_init__(self) -> None:
        """Refuse an entry that is not an answer; an unused class is a mistake."""
        if isinstance(self.answer, type) or not callable(self.answer):
            _reply_or_fault(self.answer)

    def matches(self, body: Body) -> bool:
        is_in_message = any((self.message or "") in m.text for m in body.messages)
        return self.model in {None, body.model} and is_in_message

    def resolve(self, request: RecordedRequest) -> Reply | Fault:
        given = self.answer(request) if callable(self.answer) else self.answer
        return _reply_or_fault(given)


def _reply_or_fault(given: object) -> Reply | Fault:
    if isinstance(given, str):
        return Reply(text=given)
    if not isinstance(given, (Reply, Fault)):
        problem = f"a script has no use for {given!r}: it is no str, Reply or Fault"
        raise ValueError(problem)  # noqa: TRY004 - as pydantic's
    return given
