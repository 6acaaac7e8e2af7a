"""The parameters of a request: their types and ranges, and their names on the wire.

The constructor and each call check what they are given here, so that both accept the
same and say the same of what they do not.
"""

from __future__ import annotations

import difflib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    TypeAdapter,
    ValidationError,
)
from typing_extensions import TypedDict

from langchain_pmock._wire import camel_case, snake_case

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic_core import ErrorDetails

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
"""The models that the service documents. It may know more: any name can be sent."""

# Documented: temperature and the two penalties. Assumed: the other ranges.
Model = ModelName | Annotated[str, Field(min_length=1)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Probability = Annotated[float, Field(ge=0, le=1)]
AtLeastOne = Annotated[int, Field(ge=1)]
TopLogprobs = Annotated[int, Field(ge=0, le=20)]
Stop = str | list[str]
LogitBias = dict[str | int, FiniteFloat]


def _check_model_kwargs(value: dict[str, Any]) -> dict[str, Any]:
    if taken := sorted(value.keys() & _TAKEN):
        msg = f"model_kwargs must not have {taken}: pass them by themselves."
        raise ValueError(msg)
    return value


ModelKwargs = Annotated[dict[str, Any], AfterValidator(_check_model_kwargs)]


class Params(TypedDict, total=False):
    """What a call may be given, each as in `ChatPmock`; `None` means not given."""

    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]

    model: Model
    temperature: Temperature
    max_tokens: AtLeastOne
    max_completion_tokens: AtLeastOne
    top_p: Probability
    frequency_penalty: Penalty
    presence_penalty: Penalty
    stop: Stop
    n: AtLeastOne
    seed: int
    user: str
    logprobs: bool
    top_logprobs: TopLogprobs
    logit_bias: LogitBias
    parallel_tool_calls: bool
    tools: list[dict[str, Any]]
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any]
    response_format: dict[str, Any]
    model_kwargs: ModelKwargs


CALL_ONLY = {"tools", "tool_choice", "response_format"}
"""Parameters that a call may be given and the constructor may not."""

CONSTRUCTOR_ONLY = {
    "access_key",
    "secret_key",
    "base_url",
    "timeout",
    "max_retries",
    "streaming",
    "default_headers",
    "http_client",
    "http_async_client",
}
"""Parameters that the constructor takes and a call may not be given."""

ALIASES = {"model_name": "model", "stop_sequences": "stop"}
"""Other names that LangChain's users know a parameter by."""

WIRE_NAMES = {
    name: camel_case(name) for name in Params.__annotations__ if name != "model_kwargs"
}
"""Name on the wire by name in Python: the service's are camelCase."""

# What model_kwargs cannot be used for: each has a place of its own.
_TAKEN = {"messages", "stream", *WIRE_NAMES, *WIRE_NAMES.values()}

_CLOSE = 0.75  # how alike a name must be to be proposed; typos are at 0.9
_SHOWN = 80  # characters of a bad value in an error


@cache
def _adapter() -> TypeAdapter[Params]:
    return TypeAdapter(Params)


def check(params: Mapping[str, Any]) -> dict[str, Any]:
    """Check parameters before anything is sent.

    Args:
        params: Value by name, in snake_case. `None` means not given.

    Returns:
        The parameters that were given.

    Raises:
        ValueError: If a name is not known, or a value is of the wrong type or out of
            range. The text names the parameter, the value and what is allowed.
    """
    named = {ALIASES.get(k, k): v for k, v in params.items()}
    known = Params.__annotations__
    given = {k: v for k, v in named.items() if v is not None or k not in known}
    try:
        return dict(_adapter().validate_python(given))
    except ValidationError as error:
        raise ValueError(explain(error.errors(), given)) from None


def merge(set_: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put what a call was given over what the constructor set.

    Args:
        set_: Checked parameters.
        given: Parameters to check; `None` takes back what was set.

    Returns:
        The parameters of the call.

    Raises:
        ValueError: As `check` does.
    """
    merged = dict(set_)
    for name, value in given.items():
        field = ALIASES.get(name, name)
        if value is None and field != "model":  # there is no request without one
            merged.pop(field, None)
    checked = check(given)
    if "model_kwargs" in checked and "model_kwargs" in merged:
        checked["model_kwargs"] = {**merged["model_kwargs"], **checked["model_kwargs"]}
    return {**merged, **checked}


def explain(
    problems: Iterable[Mapping[str, Any] | ErrorDetails], given: Mapping[str, Any]
) -> str:
    """Say what is wrong with parameters: which one, its value, what is allowed.

    Args:
        problems: What pydantic says of each; the first of its `loc` is the name.
        given: The parameters.

    Returns:
        The text.
    """
    return "; ".join(dict.fromkeys(_describe(each, given) for each in problems))


def unknown_name(name: str, known: Iterable[str]) -> str:
    """Say that there is no such parameter, and which one may have been meant.

    Args:
        name: The name that was given.
        known: The names that there are.

    Returns:
        What to do.
    """
    if name in CALL_ONLY:
        return f"{name!r} cannot be set here: use bind_tools, bind or the call."
    if name in CONSTRUCTOR_ONLY:
        return f"{name!r} cannot be given to a call: set it in the constructor."
    close = difflib.get_close_matches(
        snake_case(name), [*known, *ALIASES], n=1, cutoff=_CLOSE
    )
    hint = "ChatPmock has no such parameter."
    if close:
        hint = f"did you mean {close[0]!r}?"
    return (
        f"Unknown parameter {name!r}: {hint} A field of the service that this version "
        "does not know can be sent with model_kwargs."
    )


def to_wire(params: Mapping[str, Any]) -> dict[str, Any]:
    """Give parameters their names on the wire.

    Args:
        params: Checked parameters, by their names in snake_case.

    Returns:
        The fields of a request's body. Those of `model_kwargs` are sent as they are.
    """
    body = {
        WIRE_NAMES[name]: value
        for name, value in params.items()
        if name in WIRE_NAMES and value is not None and value not in ([], {})
    }
    return {**body, **(params.get("model_kwargs") or {})}


def _describe(
    problem: Mapping[str, Any] | ErrorDetails, given: Mapping[str, Any]
) -> str:
    name = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        return unknown_name(name, Params.__annotations__)
    value = repr(given[name])
    if len(value) > _SHOWN:
        value = value[:_SHOWN] + "..."
    return f"{name}={value} is not valid: {problem['msg']}"
