"""Validation of request bodies.

pmock's own fields are in camelCase. Content blocks, tools, tool choice and response
format are in OpenAI's format, with snake_case fields.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import LiteralString

    from pydantic_core import ErrorDetails

_INT32 = 2**31
_LONGEST_VALUE = 80
_MOST_CHOICES = 128  # OpenAI's limit
_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.=+-]+)*?;base64,(.*)", re.DOTALL)


class RefusedError(ValueError):
    """The request is refused; the text has the reason."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


def _must(check: Callable[[Any], bool], problem: LiteralString) -> AfterValidator:
    def validate(value: Any) -> Any:
        if not check(value):
            kind = "contract"
            raise PydanticCustomError(kind, problem)
        return value

    return AfterValidator(validate)


def _is_base64(value: str) -> bool:
    try:
        return bool(base64.b64decode(value, validate=True))
    except ValueError:
        return False


def _is_data_url(value: str) -> bool:
    match = _DATA_URL.fullmatch(value)
    return match is not None and _is_base64(match[1])


def _is_url(value: str) -> bool:
    return _is_data_url(value) or re.match(r"https?://[^\s/]", value) is not None


def _is_object(text: str) -> bool:
    try:
        return isinstance(from_json(text), dict)
    except ValueError:
        return False


def _is_object_schema(schema: dict[str, Any]) -> bool:
    return (
        schema.get("type", "object") == "object"
        and isinstance(schema.get("properties", {}), dict)
        and isinstance(schema.get("required", []), list)
    )


Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Count = Annotated[int, Field(ge=1, lt=_INT32)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Base64 = Annotated[str, _must(_is_base64, "Should be valid base64 and not empty")]
DataUrl = Annotated[
    str, _must(_is_data_url, "Should look like data:<media type>;base64,<data>")
]
Url = Annotated[
    str,
    _must(_is_url, "Should look like https://... or data:<media type>;base64,<data>"),
]
Parameters = Annotated[
    dict[str, Any], _must(_is_object_schema, "Should be a JSON schema of an object")
]
Arguments = Annotated[str, _must(_is_object, "Should be the JSON text of an object")]
OtherType = Annotated[
    Text, _must(lambda kind: kind != "function", "Should not be function")
]


class Strict(BaseModel):
    """An object without additional fields, whose values are not converted."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


# --- Content -------------------------------------------------------------------------


class TextBlock(Strict):
    type: Literal["text"]
    text: str
    cache_control: dict[str, Any] = {}


class ImageUrl(Strict):
    url: Url
    detail: Literal["auto", "low", "high"] = "auto"


class ImageBlock(Strict):
    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(Strict):
    data: Base64
    format: Literal[
        "wav", "mp3", "flac", "ogg", "opus", "aac", "aiff", "m4a", "webm", "pcm16"
    ]


class AudioBlock(Strict):
    type: Literal["input_audio"]
    input_audio: InputAudio


class File(Strict):
    file_data: DataUrl = ""
    file_id: Text = ""
    filename: Text = ""

    @model_validator(mode="after")
    def _has_one_source(self) -> File:
        if bool(self.file_data) == bool(self.file_id):
            kind, message = "file", "Should have either file_data or file_id"
            raise PydanticCustomError(kind, message)
        return self


class FileBlock(Strict):
    type: Literal["file"]
    file: File


Block = Annotated[
    TextBlock | ImageBlock | AudioBlock | FileBlock, Discriminator("type")
]
Content = str | Annotated[list[Block], Field(min_length=1)]


# --- Messages ------------------------------------------------------------------------


class CalledFunction(Strict):
    name: Text
    arguments: Arguments


class ToolCall(Strict):
    """A tool call, which may have additional fields from the model."""

    model_config = ConfigDict(extra="allow")

    id: Text
    type: Literal["function"]
    function: CalledFunction


class Message(Strict):
    content: Content
    name: Text = ""

    @property
    def text(self) -> str:
        """The text of the message."""
        if isinstance(self.content, str):
            return self.content
        texts = (block.text for block in self.content if isinstance(block, TextBlock))
        return "\n".join(texts)

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the message; empty for a plain text."""
        return [] if isinstance(self.content, str) else self.content


class SystemMessage(Message):
    role: Literal["system", "developer"]


class UserMessage(Message):
    role: Literal["user"]


class AssistantMessage(Message):
    role: Literal["assistant"]
    content: Content = ""
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] = Field(
        default=[], alias="toolCalls"
    )
    reasoning_content: str = Field(default="", alias="reasoningContent")
    refusal: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> AssistantMessage:
        if not self.model_fields_set & {"content", "tool_calls", "refusal"}:
            kind, message = "assistant", "Should have content, toolCalls or refusal"
            raise PydanticCustomError(kind, message)
        return self


class ToolMessage(Message):
    role: Literal["tool"]
    tool_call_id: Text = Field(alias="toolCallId")


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Discriminator("role")
]


# --- Tools and response format -------------------------------------------------------


class Function(Strict):
    name: Name
    description: str = ""
    parameters: Parameters = Field(default={})
    strict: bool = False


class FunctionTool(Strict):
    type: Literal["function"]
    function: Function
    cache_control: dict[str, Any] = Field(default={})


class OtherTool(Strict):
    """A tool that the service runs, such as web search; only its type is checked."""

    model_config = ConfigDict(extra="allow")

    type: OtherType


class ToolName(Strict):
    name: Name


class NamedToolChoice(Strict):
    type: Literal["function"]
    function: ToolName


class JsonSchema(Strict):
    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    description: str = ""
    strict: bool = False


class SchemaFormat(Strict):
    type: Literal["json_schema"]
    json_schema: JsonSchema


class PlainFormat(Strict):
    type: Literal["text", "json_object"]


# --- The body ------------------------------------------------------------------------


class Body(Strict):
    """A chat request.

    No default is None, so that null is refused like any other value of a wrong type.
    """

    messages: Annotated[list[AnyMessage], Field(min_length=1)]
    model: Text
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    max_tokens: Count = Field(default=_INT32 - 1, alias="maxTokens")
    max_completion_tokens: Count = Field(
        default=_INT32 - 1, alias="maxCompletionTokens"
    )
    top_p: Annotated[float, Field(ge=0, le=1)] = Field(default=1.0, alias="topP")
    frequency_penalty: Penalty = Field(default=0.0, alias="frequencyPenalty")
    presence_penalty: Penalty = Field(default=0.0, alias="presencePenalty")
    stop: Text | list[Text] = Field(default=[])
    n: Annotated[int, Field(ge=1, le=_MOST_CHOICES)] = 1
    seed: Annotated[int, Field(ge=-_INT32, lt=_INT32)] = 0
    user: str = ""
    tools: Annotated[list[FunctionTool | OtherTool], Field(min_length=1)] = Field(
        default=[]
    )
    tool_choice: Literal["auto", "none", "required"] | NamedToolChoice = Field(
        default="auto", alias="toolChoice"
    )
    response_format: Annotated[SchemaFormat | PlainFormat, Discriminator("type")] = (
        Field(default=PlainFormat(type="text"), alias="responseFormat")
    )
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = Field(
        default=0, alias="topLogprobs"
    )
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default={}, alias="logitBias"
    )
    parallel_tool_calls: bool = Field(default=True, alias="parallelToolCalls")

    @property
    def functions(self) -> list[Function]:
        """The functions that the client runs."""
        return [t.function for t in self.tools if isinstance(t, FunctionTool)]

    @property
    def stops(self) -> list[str]:
        """The stop sequences."""
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def limit(self) -> int:
        """The maximum number of tokens of the answer."""
        return min(self.max_tokens, self.max_completion_tokens)


def parse(content: bytes) -> Any:
    """Parse the JSON of a request."""
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise RefusedError(message) from None


def validate(body: Any, *, allow_reasoning: bool = False) -> Body:
    """Validate a parsed body."""
    try:
        valid = Body.model_validate(body)
    except ValidationError as error:
        # Of the errors for a union's members, the deepest is for the intended member.
        details = error.errors(include_url=False)
        worst = max(details, key=lambda detail: len(detail["loc"]))
        raise RefusedError(_explain(worst, body)) from None
    for problem in _problems_across(valid, allow_reasoning=allow_reasoning):
        raise RefusedError(problem)
    return valid


def _problems_across(body: Body, *, allow_reasoning: bool) -> Iterator[str]:
    called: set[str] = set()
    for index, message in enumerate(body.messages):
        if isinstance(message, AssistantMessage):
            called |= {call.id for call in message.tool_calls}
            if message.reasoning_content and not allow_reasoning:
                yield f"messages[{index}].reasoningContent: Not a documented field"
        elif isinstance(message, ToolMessage) and message.tool_call_id not in called:
            yield (
                f"messages[{index}].toolCallId is {message.tool_call_id!r}, but no "
                f"assistant message before it has a tool call with that id"
            )
    names = [function.name for function in body.functions]
    if isinstance(body.tool_choice, NamedToolChoice):
        name = body.tool_choice.function.name
        if name not in names:
            yield (
                f"toolChoice.function.name is {name!r}, but the tools are: "
                f"{', '.join(names) or 'none'}"
            )
    elif body.tool_choice == "required" and not body.tools:
        yield "toolChoice is 'required', but there are no tools"
    if body.stream and body.n > 1:
        yield f"n is {body.n}, but a stream has one choice only: n should be 1"


def _explain(error: ErrorDetails, body: Any) -> str:
    text = f"{_path(error['loc'], body) or 'the body'}: {error['msg']}"
    if error["type"] in {"missing", "extra_forbidden"}:
        return text
    value = to_json(error["input"], fallback=repr).decode()
    shown = value if len(value) <= _LONGEST_VALUE else value[:_LONGEST_VALUE] + "…"
    return f"{text}; it is {shown}"


def _path(loc: tuple[int | str, ...], value: Any) -> str:
    """Format a path, without the parts that are tags of a union."""
    path, past_tag = "", False
    for position, part in enumerate(loc):
        if isinstance(value, list) and isinstance(part, int):
            path, value, past_tag = f"{path}[{part}]", value[part], False
        elif isinstance(value, dict):
            tag = value.get("type", value.get("role"))
            if part == tag != "function" and not past_tag:
                past_tag = True
            elif part in value or position == len(loc) - 1:
                path, value, past_tag = f"{path}.{part}", value.get(part), False
    return path.removeprefix(".")
