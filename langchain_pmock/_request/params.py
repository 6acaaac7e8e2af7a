"""Parameters of a request: each is declared once, as a field of `RequestParams`.

Its name on the wire, and the validation of what is assigned or given to a call, are
derived from the fields of each class.
"""

from __future__ import annotations

import difflib
import reprlib
import warnings
from collections.abc import Iterable, Mapping  # noqa: TC003 - pydantic evaluates them
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from langchain_core.language_models import BaseChatModel
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict, override

from langchain_pmock._wire import camel_case, snake_case
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from _typeshed import SupportsItems

    # A dict[int, int] is not a dict[str | int, float], but has items of that type.
    _LogitBias = dict[str | int, float] | SupportsItems[str | int, float]
else:
    _LogitBias = dict[str | int, FiniteFloat]

ModelName = Literal[
    "gpt-5.1",
    "gpt-5.1-all",
    "gpt-5.1-thinking",
    "gpt-5.1-thinking-all",
    "gpt-5.2",
    "gemini-3-pro",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-3-flash",
    "claude-4.5",
]
"""The models that the service documents. Other names can be sent too."""

T = TypeVar("T")

SENT = "sent in the request"
"""Marks a field as a parameter of the request. Its name on the wire is in camelCase."""

Param = Annotated[T | None, SENT]
"""Type of a parameter of the request; `None`, the default, sends nothing.

A field of this type in a subclass of `ChatPmock` is sent, validated by its type (not by
a `field_validator`, except in the constructor), and accepted by calls and `bind`:

```python
class MyModel(ChatPmock):
    top_k: Param[int] = None  # sent as topK
```
"""

ALIASES = {
    "model_name": "model",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
    "extra_body": "model_kwargs",
}
"""Alternative names of parameters, as in other LangChain packages."""

# Advice for names of other packages, and for parameters of other methods.
_HINTS = {
    name: hint
    for names, hint in {
        "tools tool_choice response_format": "use bind_tools, bind or the call.",
        "strict": "use bind_tools or with_structured_output.",
        "openai_api_key anthropic_api_key": "use access_key and secret_key.",
        "openai_api_base anthropic_api_url": "use base_url.",
        "headers": "use default_headers, or extra_headers at the call.",
        "extra_headers": "use default_headers.",
        "default_headers": "For one call use extra_headers.",
        "stream_options stream_usage": "the service always reports the usage of a "
        "stream.",
        "effort reasoning reasoning_effort thinking verbosity": "the service documents "
        "no such field. Choose a model that reasons, such as 'gpt-5.1-thinking', or "
        "try a field of model_kwargs.",
        "top_k": "the service documents no such field. Try model_kwargs={'topK': ...}.",
    }.items()
    for name in names.split()
}
# Parameters of calls alone, which are validated by their conversion.
_CONVERTED = ("tools", "tool_choice", "response_format")

_CLOSE = 0.75  # minimum similarity of a suggested name; typos have about 0.9
# Type checkers accept them only with literal arguments.
_Annotated: Any = Annotated
_TypedDict: Any = TypedDict


def _check_model_kwargs(value: dict[str, Any]) -> dict[str, Any]:
    if "stream" in value:
        msg = "model_kwargs must not have 'stream': use stream, or streaming=True."
        raise ValueError(msg)
    for name in value:
        if "_" in name.strip("_") and name.islower():
            msg = (
                f"model_kwargs has {name!r}: the service's names are in camelCase. Did "
                f"you mean {camel_case(name)!r}?"
            )
            warnings.warn(msg, stacklevel=5)  # at the call of the constructor
    return value


class RequestParams(BaseModel):
    """The parameters of a request, as fields of a chat model."""

    # Only the ranges that the service documents are enforced.

    model: Annotated[ModelName | str, SENT] = Field(min_length=1)
    """Name of the model, such as `"gpt-5.1"`; also `model_name`.

    The service documents the names in `ModelName`. Other names are sent unchanged.
    """

    temperature: Param[float] = Field(default=None, ge=0, le=2)
    """Sampling temperature, 0 to 2."""

    max_tokens: Param[int] = None
    """Maximum number of tokens in the answer."""

    max_completion_tokens: Param[int] = None
    """Maximum number of tokens in the answer, including reasoning."""

    top_p: Param[FiniteFloat] = None
    """Nucleus sampling: the probability mass to sample from."""

    frequency_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens in proportion to how often they occurred, -2 to 2."""

    presence_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens that occurred at least once, -2 to 2."""

    stop: Param[str | list[str]] = None
    """Sequences that end the answer; also `stop_sequences`."""

    n: Param[int] = None
    """Number of answers. More than one requires `generate` and cannot be streamed."""

    seed: Param[int] = None
    """Seed for sampling, as far as the model is deterministic."""

    user: Param[str] = None
    """Your identifier of the end user."""

    logprobs: Param[bool] = None
    """Whether to return log probabilities, in `response_metadata["logprobs"]`."""

    top_logprobs: Param[int] = None
    """Number of alternatives to return for each token."""

    logit_bias: Param[_LogitBias] = None
    """Bias to add to the logits of tokens, by token id."""

    parallel_tool_calls: Param[bool] = None
    """Whether the model may call several tools at once."""

    model_kwargs: Annotated[dict[str, Any], AfterValidator(_check_model_kwargs)] = (
        Field(default_factory=dict)
    )
    """Other fields of the request, and other values of its fields; also `extra_body`.

    They are sent unchanged. The service's names are in camelCase.
    """

    model_config = ConfigDict(
        populate_by_name=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
        defer_build=True,  # until the first model: a third of the import's time
    )

    # What calls accept besides the fields that are sent, and the type of each.
    _call_types: ClassVar[Mapping[str, Any]] = {}
    # Derived from the fields of each class.
    _types: ClassVar[Mapping[str, Any]] = {}
    _wire_names: ClassVar[Mapping[str, str]] = {}
    _adapter: ClassVar[TypeAdapter[dict[str, Any]]]

    @classmethod
    @override
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        types = {**dict.fromkeys(_CONVERTED, Any), **cls._call_types}
        sent = [*_CONVERTED]
        bases = cls.__mro__[1:]
        inherited = {n for base in bases for n in getattr(base, "_wire_names", ())}
        for name, field in cls.model_fields.items():
            if name not in BaseChatModel.model_fields:  # LangChain validates its fields
                types[name] = _Annotated[(field.annotation, name, *field.metadata)]
            # A subclass may declare a parameter anew, for another default.
            if SENT in field.metadata or name in inherited:
                sent.append(name)
        cls._types, cls._wire_names = types, {name: camel_case(name) for name in sent}
        values = _TypedDict("Values", types, total=False)
        config = ConfigDict(defer_build=True, arbitrary_types_allowed=True)
        values.__pydantic_config__ = config
        cls._adapter = TypeAdapter(values)

    @classmethod
    def _checked(cls, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate values of fields, or of a call: one error describes all problems."""
        try:
            return cls._adapter.validate_python(given)
        except ValidationError as error:
            found = [(str(each["loc"][0]), each["msg"]) for each in error.errors()]
        problems = [cls._describe(name, given[name], msg) for name, msg in found]
        raise PmockInvalidRequestError("; ".join(dict.fromkeys(problems)))

    @classmethod
    def _describe(cls, name: str, value: object, message: str) -> str:
        """Describe an invalid value, without the value if it may be secret."""
        reason = message.removeprefix("Value error, ")
        if cls._is_redacted(name):
            # Messages of our own have the name.
            return reason if reason != message else f"{name} is not valid: {reason}"
        return f"{name}={reprlib.repr(value)} is not valid: {reason}"

    @classmethod
    def _is_redacted(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        return not (field and field.repr) or name in ("base_url", "model_kwargs")

    def _set_params(self) -> dict[str, Any]:
        """Collect the parameters that are set."""
        fields = self.__dict__
        found = {
            name: value
            for name in self._wire_names
            if (value := fields.get(name)) is not None and value not in ({}, [])
        }
        if self.model_kwargs:
            found["model_kwargs"] = self.model_kwargs
        return found

    def _merged(
        self, own: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Validate the parameters of a call, and merge them with the model's own.

        `None` unsets the model's value, except that of `model`, which is required.
        """
        if not given:
            return {**own}
        named = {ALIASES.get(name, name): value for name, value in given.items()}
        others = ("model_kwargs", *self._call_types)
        if refused := [n for n in named if not (n in self._wire_names or n in others)]:
            raise PmockInvalidRequestError("; ".join(map(self._refusal, refused)))
        unset = {n for n, v in named.items() if v is None}
        checked = self._checked({n: v for n, v in named.items() if n not in unset})
        kept = {n: v for n, v in own.items() if n not in unset or n == "model"}
        if "model_kwargs" in checked:
            own_kwargs = kept.get("model_kwargs", {})
            checked["model_kwargs"] = {**own_kwargs, **checked["model_kwargs"]}
        merged = {**kept, **checked}
        return {n: v for n, v in merged.items() if v not in ([], {})}

    @classmethod
    def _refusal(cls, name: str) -> str:
        """Describe a name that a call does not accept."""
        if name not in cls._types:
            return unknown(name, (*cls._wire_names, "model_kwargs", *cls._call_types))
        hint = f" {_HINTS[name]}" if name in _HINTS else ""
        return f"{name!r} cannot be given to a call: set it in the constructor.{hint}"

    def _to_wire(
        self, params: Mapping[str, Any], messages: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Convert parameters and messages to the body of a request."""
        names = self._wire_names
        body = {names[name]: value for name, value in params.items() if name in names}
        return {**body, "messages": messages, **params.get("model_kwargs", {})}


def unknown(name: str, names: Iterable[str]) -> str:
    """Describe an unknown parameter, with a suggestion."""
    if name in _HINTS:
        return f"Unknown parameter {name!r}: {_HINTS[name]}"
    close = difflib.get_close_matches(
        snake_case(name), [*names, *ALIASES], n=1, cutoff=_CLOSE
    )
    hint = f"did you mean {close[0]!r}?" if close else "there is no such parameter."
    return (
        f"Unknown parameter {name!r}: {hint} A field of the service that this version "
        "does not have can be sent with model_kwargs."
    )
