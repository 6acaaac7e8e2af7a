"""The messages of a request and what is in them.

Fields of pmock's own are camelCase; the content blocks, which pmock passes through, are
in OpenAI's shapes, snake_case inside.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

_DATA_URL = re.compile(r"data:[\w.+-]+/[\w.+-]+(?:;[\w.=+-]+)*?;base64,(.*)", re.DOTALL)

# No Field here: before pydantic 2.8 the fields of one alias shared their defaults.
Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


def _check_base64(value: str) -> str:
    try:
        decoded = base64.b64decode(value, validate=True)
    except ValueError:
        decoded = b""
    if not decoded:
        raise PydanticCustomError("base64", "should be valid base64 and not empty")  # noqa: EM101 - the type of a pydantic error
    return value


def _check_data_url(value: str) -> str:
    match = _DATA_URL.fullmatch(value)
    if match is None:
        message = "should look like data:<media type>;base64,<data>"
        raise PydanticCustomError("data_url", message)  # noqa: EM101 - as above
    _check_base64(match[1])
    return value


def _check_url(value: str) -> str:
    if value.startswith("data:"):
        return _check_data_url(value)
    if not re.match(r"https?://[^\s/]", value):
        message = "should start with https://, http:// or data:"
        raise PydanticCustomError("url", message)  # noqa: EM101 - as above
    return value


Base64 = Annotated[str, AfterValidator(_check_base64)]
DataUrl = Annotated[str, AfterValidator(_check_data_url)]
Url = Annotated[str, AfterValidator(_check_url)]


class Strict(BaseModel):
    """An object without other fields, and whose values are converted from nothing."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, value: Any) -> Any:
        # Pydantic's own error does not say which fields there are.
        if isinstance(value, dict) and cls.model_config.get("extra") == "forbid":
            allowed = [field.alias or key for key, field in cls.model_fields.items()]
            for field in value:
                if field not in allowed:
                    raise PydanticCustomError(
                        "unknown_field",  # noqa: EM101 - as above
                        "is not a known field; allowed: {allowed}",
                        {"field": field, "allowed": ", ".join(allowed)},
                    )
        return value


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
            message = "should have either file_data or file_id"
            raise PydanticCustomError("file", message)  # noqa: EM101 - as above
        return self


class FileBlock(Strict):
    type: Literal["file"]
    file: File


class UnknownBlock(BaseModel):
    """Stands for every other type, so that the error names the field `type`."""

    type: Literal["text", "image_url", "input_audio", "file"]


_BLOCKS = {"text", "image_url", "input_audio", "file"}


# Tags of unions are in angle brackets, to be told from the fields in an error's path.
def _tag_block(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else None
    return f"<{kind}>" if isinstance(kind, str) and kind in _BLOCKS else "<unknown>"


Block = Annotated[
    Annotated[TextBlock, Tag("<text>")]
    | Annotated[ImageBlock, Tag("<image_url>")]
    | Annotated[AudioBlock, Tag("<input_audio>")]
    | Annotated[FileBlock, Tag("<file>")]
    | Annotated[UnknownBlock, Tag("<unknown>")],
    Discriminator(_tag_block),
]


def text_or(kind: type, allowed: str) -> Discriminator:
    """Tell a string (tag `<text>`) from a value of another type (tag `<other>`).

    Args:
        kind: The other type.
        allowed: What there may be, in words.
    """
    tags: dict[type, str] = {str: "<text>", kind: "<other>"}

    def tag(value: object) -> str | None:
        return tags.get(type(value))

    return Discriminator(
        tag, custom_error_type="type", custom_error_message=f"should be {allowed}"
    )


Content = Annotated[
    Annotated[str, Tag("<text>")]
    | Annotated[list[Block], Tag("<other>"), Field(min_length=1)],
    text_or(list, "a string or a list of content blocks"),
]


# --- Messages ------------------------------------------------------------------------


class Function(Strict):
    name: Text
    arguments: str


class ToolCall(Strict):
    id: Text
    type: Literal["function"]
    function: Function


class Message(Strict):
    content: Content
    name: Text = ""

    @property
    def text(self) -> str:
        """The text of the message, without its other blocks."""
        if isinstance(self.content, str):
            return self.content
        texts = (block.text for block in self.content if isinstance(block, TextBlock))
        return "\n".join(texts)

    @property
    def blocks(self) -> list[Block]:
        """The blocks of the message; none if it is plain text."""
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
            message = "should have content, toolCalls or refusal"
            raise PydanticCustomError("assistant", message)  # noqa: EM101 - as above
        return self


class ToolMessage(Message):
    role: Literal["tool"]
    tool_call_id: Text = Field(alias="toolCallId")


class UnknownMessage(Message):
    """Stands for every other role, so that the error names the field `role`."""

    model_config = ConfigDict(extra="ignore")

    content: Any = ""
    name: Any = ""
    role: Literal["system", "developer", "user", "assistant", "tool"]


_ROLES = {
    "system": "<system>",
    "developer": "<system>",
    "user": "<user>",
    "assistant": "<assistant>",
    "tool": "<tool>",
}


def _tag_message(value: Any) -> str:
    role = value.get("role") if isinstance(value, dict) else None
    return _ROLES.get(role, "<unknown>") if isinstance(role, str) else "<unknown>"


AnyMessage = Annotated[
    Annotated[SystemMessage, Tag("<system>")]
    | Annotated[UserMessage, Tag("<user>")]
    | Annotated[AssistantMessage, Tag("<assistant>")]
    | Annotated[ToolMessage, Tag("<tool>")]
    | Annotated[UnknownMessage, Tag("<unknown>")],
    Discriminator(_tag_message),
]
