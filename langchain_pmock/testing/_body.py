"""The body of a request as the contract has it: what is not in it is refused.

Tools, tool choice and response format pass through pmock, so they are in OpenAI's
shapes, snake_case inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import PydanticCustomError, from_json, to_json

from langchain_pmock.testing._messages import (
    AnyMessage,
    AssistantMessage,
    Name,
    Strict,
    Text,
    ToolMessage,
    text_or,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

_INT32 = 2**31
_LONGEST_VALUE = 80

# Where pydantic's own words speak of Python and not of JSON.
_PROBLEMS = {
    "model_type": "should be an object",
    "string_too_short": "should not be empty",
    "too_short": "should not be empty",
}

Count = Annotated[int, Field(ge=1, lt=_INT32)]
Penalty = Annotated[float, Field(ge=-2, le=2)]


class InvalidBodyError(ValueError):
    """The body breaks the contract; the text names the field and what is allowed."""


# --- Tools ---------------------------------------------------------------------------


def _check_parameters(schema: dict[str, Any]) -> dict[str, Any]:
    if (
        schema.get("type", "object") != "object"
        or not isinstance(schema.get("properties", {}), dict)
        or not isinstance(schema.get("required", []), list)
    ):
        message = "should be a JSON schema of an object"
        raise PydanticCustomError("parameters", message)  # noqa: EM101 - an error's type
    return schema


class Function(Strict):
    name: Name
    description: str = ""
    parameters: Annotated[dict[str, Any], AfterValidator(_check_parameters)] = Field(
        default={}
    )
    strict: bool = False


class FunctionTool(Strict):
    type: Literal["function"]
    function: Function
    cache_control: dict[str, Any] = Field(default={})


class OtherTool(BaseModel):
    """A tool of the model's own, such as web search: only its type is looked at."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: Text


def _tag_tool(value: Any) -> str:
    is_function = isinstance(value, dict) and value.get("type") == "function"
    return "<function>" if is_function else "<other>"


Tool = Annotated[
    Annotated[FunctionTool, Tag("<function>")] | Annotated[OtherTool, Tag("<other>")],
    Discriminator(_tag_tool),
]


class ToolName(Strict):
    name: Name


class NamedToolChoice(Strict):
    type: Literal["function"]
    function: ToolName


ToolChoice = Annotated[
    Annotated[Literal["auto", "none", "required"], Tag("<text>")]
    | Annotated[NamedToolChoice, Tag("<other>")],
    text_or(dict, "'auto', 'none', 'required', or an object that names a function"),
]


# --- Response format -----------------------------------------------------------------


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


class UnknownFormat(BaseModel):
    """Stands for every other type, so that the error names the field `type`."""

    type: Literal["text", "json_object", "json_schema"]


def _tag_format(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_schema":
        return "<schema>"
    return "<plain>" if kind in ("text", "json_object") else "<unknown>"


ResponseFormat = Annotated[
    Annotated[SchemaFormat, Tag("<schema>")]
    | Annotated[PlainFormat, Tag("<plain>")]
    | Annotated[UnknownFormat, Tag("<unknown>")],
    Discriminator(_tag_format),
]


# --- The body ------------------------------------------------------------------------


class Body(Strict):
    """A chat request.

    A default stands for a field that was left out. None is never one: what a client
    has nothing to say about it should leave out, so null is refused like any other
    value of the wrong type.
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
    stop: Annotated[
        Annotated[Text, Tag("<text>")] | Annotated[list[Text], Tag("<other>")],
        text_or(list, "a string or a list of strings"),
    ] = Field(default=[])
    n: Count = 1
    seed: Annotated[int, Field(ge=-_INT32, lt=_INT32)] = 0
    user: str = ""
    tools: Annotated[list[Tool], Field(min_length=1)] = Field(default=[])
    tool_choice: ToolChoice = Field(default="auto", alias="toolChoice")
    response_format: ResponseFormat = Field(
        default=PlainFormat(type="text"), alias="responseFormat"
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
        """The bound tools that a client has to run."""
        return [t.function for t in self.tools if isinstance(t, FunctionTool)]

    @property
    def stops(self) -> list[str]:
        """The stop sequences."""
        return [self.stop] if isinstance(self.stop, str) else self.stop

    @property
    def limit(self) -> int:
        """The most tokens that the answer may have."""
        return min(self.max_tokens, self.max_completion_tokens)


def parse(content: bytes) -> Any:
    """Parse a request's bytes.

    Raises:
        InvalidBodyError: They are no JSON.
    """
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError as error:
        message = f"the body is not JSON: {error}"
        raise InvalidBodyError(message) from None


def validate(body: Any) -> Body:
    """Check a parsed body against the contract.

    Args:
        body: The parsed JSON.

    Returns:
        The body as an object, with defaults for what was left out.

    Raises:
        InvalidBodyError: Something in it is not as it should be; the first one is told.
    """
    try:
        valid = Body.model_validate(body)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        raise InvalidBodyError(_explain(details)) from None
    for problem in _problems_across(valid):
        raise InvalidBodyError(problem)
    return valid


def _problems_across(body: Body) -> Iterator[str]:
    called: set[str] = set()
    for index, message in enumerate(body.messages):
        if isinstance(message, AssistantMessage):
            called |= {call.id for call in message.tool_calls}
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


def _explain(error: ErrorDetails) -> str:
    path = _path(error)
    if error["type"] == "missing":
        return f"{path} is missing"
    problem = _PROBLEMS.get(error["type"])
    if problem is None:
        problem = error["msg"].removeprefix("Input ").replace("String ", "")
    if error["type"] == "unknown_field":
        return f"{path} {problem}"
    value = to_json(error["input"], fallback=repr).decode()
    if len(value) > _LONGEST_VALUE:
        value = value[:_LONGEST_VALUE] + "…"
    return f"{path or 'the body'} {problem}; it is {value}"


def _path(error: ErrorDetails) -> str:
    parts = [part for part in error["loc"] if not str(part).startswith("<")]
    if error["type"] == "unknown_field":
        parts.append(error["ctx"]["field"])
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}"
    return path.removeprefix(".")
