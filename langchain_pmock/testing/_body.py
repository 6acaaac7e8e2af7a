"""Validation of request bodies.

pmock's own fields are in camelCase. Content blocks, tools, tool choice and response
format are in OpenAI's format, with snake_case fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, Json, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

_INT32 = 2**31
_LONGEST_VALUE = 80


class RefusedError(ValueError):
    """The request is refused; the text has the reason."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


class Strict(BaseModel, extra="forbid", strict=True, allow_inf_nan=False):
    """An object without additional fields, whose values are not converted."""


class CamelCase(Strict):
    model_config = ConfigDict(alias_generator=to_camel)  # type: ignore[pydantic-alias]


Text = Annotated[str, Field(min_length=1)]
Url = Annotated[str, Field(pattern="^(?i:https?://.|data:.)")]
Name = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Count = Annotated[int, Field(ge=1, lt=_INT32)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


# --- Messages ------------------------------------------------------------------------


class ImageUrl(Strict):
    url: Url
    detail: Text = "auto"


class InputAudio(Strict):
    data: Text
    format: Text


class File(Strict):
    """A file; one of `file_data` and `file_id` is required."""

    file_data: Text = ""
    file_id: Text = ""
    filename: Text = ""


class Block(Strict):
    """A content block, with the field that its type names; the defaults are unused."""

    type: Literal["text", "image_url", "input_audio", "file"]
    text: str = ""
    image_url: ImageUrl = ImageUrl(url="data:-")
    input_audio: InputAudio = InputAudio(data="-", format="-")
    file: File = File()
    cache_control: dict[str, Any] = {}


class CalledFunction(Strict):
    name: Text
    arguments: Json[dict[str, Any]]


class ToolCall(Strict, extra="allow"):
    """A tool call, which may have additional fields from the model."""

    id: Text
    type: Literal["function"]
    function: CalledFunction


class Message(CamelCase):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | Annotated[list[Block], Field(min_length=1)] = ""
    name: Text = ""
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] = []
    reasoning_content: str = ""
    refusal: str = ""
    tool_call_id: Text = ""

    @property
    def blocks(self) -> list[Block]:
        if isinstance(self.content, str):
            return [Block(type="text", text=self.content)]
        return self.content

    @property
    def text(self) -> str:
        return "\n".join(block.text for block in self.blocks if block.type == "text")


_FIELDS_OF_ALL = {"role", "content", "name"}
_FIELDS_OF_ROLES = {
    "assistant": {"tool_calls", "reasoning_content", "refusal"},
    "tool": {"tool_call_id"},
}


# --- Tools and response format -------------------------------------------------------


class Function(Strict):
    name: Name
    description: str = ""
    parameters: dict[str, Any] = {}
    strict: bool = False


class FunctionTool(Strict):
    type: Literal["function"]
    function: Function
    cache_control: dict[str, Any] = {}


class OtherTool(Strict, extra="allow", regex_engine="python-re"):
    """A tool that the service runs, such as web search; only its type is checked."""

    type: Annotated[str, Field(pattern="^(?!function$)")]


class JsonSchema(Strict):
    name: Name
    schema_: dict[str, Any] = Field(alias="schema")
    description: str = ""
    strict: bool = False


class ResponseFormat(Strict):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema = JsonSchema(name="any", schema={})


# --- The body ------------------------------------------------------------------------


class Body(CamelCase):
    """A chat request; no default is None, so null is refused as a wrong type."""

    messages: Annotated[list[Message], Field(min_length=1)]
    model: Text
    stream: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    max_tokens: Count = _INT32 - 1
    max_completion_tokens: Count = _INT32 - 1
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    frequency_penalty: Penalty = 0.0
    presence_penalty: Penalty = 0.0
    stop: Text | list[Text] = []
    n: Annotated[int, Field(ge=1, le=128)] = 1
    seed: Annotated[int, Field(ge=-_INT32, lt=_INT32)] = 0
    user: str = ""
    tools: Annotated[list[FunctionTool | OtherTool], Field(min_length=1)] = []
    tool_choice: Literal["auto", "none", "required"] | FunctionTool = "auto"
    response_format: ResponseFormat = ResponseFormat(type="text")
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] = 0
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] = {}
    parallel_tool_calls: bool = True

    @property
    def functions(self) -> list[Function]:
        return [t.function for t in self.tools if isinstance(t, FunctionTool)]


def parse(content: bytes) -> Any:
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise RefusedError(message) from None


def validate(body: Any, *, allow_reasoning: bool = False) -> Body:
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
        where = f"messages[{index}]"
        yield from _problems_of(message, where)
        called |= {call.id for call in message.tool_calls}
        if message.role == "tool" and (call_id := message.tool_call_id) not in called:
            yield f"{where}.toolCallId is {call_id!r}, but no call before has that id"
        if message.reasoning_content and not allow_reasoning:
            yield f"{where}.reasoningContent: Not a documented field"
    names = [function.name for function in body.functions]
    if isinstance(body.tool_choice, FunctionTool):
        if (name := body.tool_choice.function.name) not in names:
            yield f"toolChoice.function.name is {name!r}, but the tools are: {names}"
    elif body.tool_choice == "required" and not body.tools:
        yield "toolChoice is 'required', but there are no tools"
    needed = {"json_schema"} & {body.response_format.type}
    yield from _problems_of_type(body.response_format, needed, "responseFormat")
    if body.stream and body.n > 1:
        yield f"n is {body.n}, but a stream has one choice only: n should be 1"


def _problems_of(message: Message, where: str) -> Iterator[str]:
    given, role = message.model_fields_set, message.role
    for field in sorted(given - _FIELDS_OF_ALL - _FIELDS_OF_ROLES.get(role, set())):
        yield f"{where}.{to_camel(field)}: Not a field of the role {role}"
    if role != "assistant" and "content" not in given:
        yield f"{where}.content: Field required"
    elif not given & {"content", "tool_calls", "refusal"}:
        yield f"{where} has neither content nor toolCalls nor refusal"
    for position, block in enumerate(message.blocks):
        at = f"{where}.content[{position}]"
        yield from _problems_of_type(block, {block.type}, at)
        if block.type == "file" and not block.file.file_data + block.file.file_id:
            yield f"{at}.file: Should have file_data or file_id"


def _problems_of_type(
    value: Block | ResponseFormat, needed: set[str], where: str
) -> Iterator[str]:
    """Check that the fields needed for a type are set, and no other ones."""
    given = value.model_fields_set - {"type", "cache_control"}
    for field in sorted(needed - given):
        yield f"{where}.{field}: Field required"
    for field in sorted(given - needed):
        yield f"{where}.{field}: Not a field of the type {value.type}"


def _explain(error: ErrorDetails, body: Any) -> str:
    text = f"{_path(error['loc'], body) or 'the body'}: {error['msg']}"
    if error["type"] in {"missing", "extra_forbidden"}:
        return text
    return f"{text}; it is {shown(to_json(error['input'], fallback=repr).decode())}"


def shown(text: str) -> str:
    """Shorten a text for a message."""
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + "…"


def _path(loc: tuple[int | str, ...], value: Any) -> str:
    """Format a path, without the names of a union's members."""
    path = ""
    for position, part in enumerate(loc, 1):
        if isinstance(value, list) and isinstance(part, int):
            path, value = f"{path}[{part}]", value[part]
        elif isinstance(value, dict) and (part in value or position == len(loc)):
            path, value = f"{path}.{part}", value.get(part)
    return path.removeprefix(".")
