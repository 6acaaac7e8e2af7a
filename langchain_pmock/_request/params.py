"""Parameters of a request: validation and names on the wire.

Each is declared once, as a field of `ChatPmock` with the type `Param[...]`. Its name on
the wire and the validation of the parameters of calls are derived from these fields.
"""

from __future__ import annotations

import difflib
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from langchain_pmock._wire import camel_case, snake_case
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo
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
"""The models that the service documents. Other names can be sent too."""

T = TypeVar("T")

SENT = "sent in the request"
"""Marks a field as a parameter of the request. Its name on the wire is in camelCase."""

PER_CALL = "may be given to a call"
"""Marks a field that calls accept too, but that is not sent."""

Param = Annotated[T | None, SENT]
"""Type of a parameter of the request; `None`, the default, sends nothing."""

_CALL_ONLY: dict[str, Any] = {
    "tools": list[dict[str, Any]],
    "tool_choice": Literal["none", "auto", "required"] | dict[str, Any],
    "response_format": dict[str, Any],
}

ALIASES = {
    "model_name": "model",
    "stop_sequences": "stop",
    "request_timeout": "timeout",
    "extra_body": "model_kwargs",
}
"""Alternative names of parameters, as in other LangChain packages."""

# Advice for names of other packages, and for parameters of other methods.
_HINTS = {
    **dict.fromkeys(
        ("tools", "tool_choice", "response_format"), "use bind_tools, bind or the call."
    ),
    "strict": "use bind_tools or with_structured_output.",
    **dict.fromkeys(("functions", "function_call"), "use bind_tools."),
    **dict.fromkeys(
        ("response_mime_type", "response_schema", "response_json_schema"),
        "use with_structured_output.",
    ),
    **dict.fromkeys(
        ("openai_api_key", "anthropic_api_key", "google_api_key", "mistral_api_key"),
        "use access_key and secret_key.",
    ),
    **dict.fromkeys(
        ("openai_api_base", "anthropic_api_url", "api_base", "endpoint"),
        "use base_url.",
    ),
    **dict.fromkeys(
        ("openai_organization", "organization", "project"), "pmock has no such field."
    ),
    "openai_proxy": "set the environment variable HTTPS_PROXY, or use http_client.",
    "headers": "use default_headers, or extra_headers at the call.",
    "extra_headers": "use default_headers.",
    "default_headers": "For one call use extra_headers.",
    **dict.fromkeys(("max_output_tokens", "max_tokens_to_sample"), "use max_tokens."),
    **dict.fromkeys(
        ("stream_options", "stream_usage"),
        "the service always reports the usage of a stream.",
    ),
    "stream": "use streaming.",
    **dict.fromkeys(
        ("use_responses_api", "use_previous_response_id", "previous_response_id"),
        "this package uses the service's chat endpoint only.",
    ),
    **dict.fromkeys(
        (
            "effort",
            "include_thoughts",
            "reasoning",
            "reasoning_effort",
            "thinking",
            "thinking_budget",
            "thinking_level",
            "verbosity",
        ),
        "the service documents no such field. Choose a model that reasons, such as "
        "'gpt-5.1-thinking', or try a field of model_kwargs.",
    ),
    "top_k": "the service documents no such field. Try model_kwargs={'topK': ...}.",
    "cache_control": "put it on a content block or a tool.",
    "max_concurrency": "use the config: batch(inputs, {'max_concurrency': 5}).",
}
_CLOSE = 0.75  # minimum similarity of a suggested name; typos have about 0.9
_HIDDEN = {"extra_headers", "model_kwargs"}  # they may contain secrets
_SHOWN = 80  # characters of a bad value in an error

# Type checkers accept them only with literal arguments.
_Annotated: Any = Annotated
_TypedDict: Any = TypedDict


class Params:
    """The parameters of a request, derived from the fields of a model class.

    Attributes:
        settable: Names of the parameters that the constructor accepts.
        wire_names: Names on the wire by names in Python, without `model_kwargs`, whose
            items are sent under their own names.
    """

    def __init__(self, fields: Mapping[str, FieldInfo]) -> None:
        """Collect the parameters among the fields."""
        sent = {name: field for name, field in fields.items() if SENT in field.metadata}
        self.settable = tuple(sent)
        self.wire_names = {
            name: camel_case(name)
            for name in (*sent, *_CALL_ONLY)
            if name != "model_kwargs"
        }
        self._types = {**_CALL_ONLY, "extra_headers": dict[str, str]}
        for name, field in fields.items():
            if name in sent or PER_CALL in field.metadata:
                hint = (field.annotation, *field.metadata)
                self._types[name] = _Annotated[hint]
        self._constructor_only = fields.keys() - self._types.keys()

    @cached_property
    def _adapter(self) -> TypeAdapter[dict[str, Any]]:
        call = _TypedDict("Call", self._types, total=False)
        call.__pydantic_config__ = ConfigDict(
            extra="forbid", arbitrary_types_allowed=True
        )
        return TypeAdapter(call)

    def merge(
        self, set_: Mapping[str, Any], given: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge the parameters of a call with those of the constructor.

        Raises:
            PmockInvalidRequestError: As for `check`.
        """
        merged = dict(set_)
        for name, value in given.items():
            name = ALIASES.get(name, name)  # noqa: PLW2901 - replaces an alias
            if value is None and name != "model":  # required in each request
                merged.pop(name, None)
        checked = self.check(given)
        if "model_kwargs" in checked and "model_kwargs" in merged:
            kwargs = {**merged["model_kwargs"], **checked["model_kwargs"]}
            checked["model_kwargs"] = kwargs
        return {**merged, **checked}

    def check(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Validate parameters.

        Raises:
            PmockInvalidRequestError: If a name is unknown, or a value has the wrong
                type or is out of range. The text has the parameter, the value and what
                is allowed.
        """
        named = {ALIASES.get(name, name): value for name, value in given.items()}
        # An unknown name is an error even if its value is None.
        named = {
            k: v for k, v in named.items() if v is not None or k not in self._types
        }
        try:
            checked: dict[str, Any] = self._adapter.validate_python(named)
        except ValidationError as error:
            problems = error.errors()
        else:
            return checked
        raise PmockInvalidRequestError(self._explain(problems, named))

    def to_wire(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Convert parameters to the fields of a request."""
        body = {
            self.wire_names[name]: value
            for name, value in params.items()
            if name in self.wire_names and value is not None and value not in ([], {})
        }
        return {**body, **(params.get("model_kwargs") or {})}

    def _explain(
        self, problems: Iterable[ErrorDetails], given: Mapping[str, Any]
    ) -> str:
        texts = []
        for problem in problems:
            name = str(problem["loc"][0])
            if name in _HIDDEN:
                texts.append(f"{name} is not valid: {problem['msg']}")
            elif problem["type"] != "extra_forbidden":
                texts.append(invalid(name, given[name], problem["msg"]))
            elif name in self._constructor_only:
                hint = f" {_HINTS[name]}" if name in _HINTS else ""
                texts.append(
                    f"{name!r} cannot be given to a call: set it in the constructor."
                    f"{hint}"
                )
            else:
                texts.append(unknown(name, self._types))
        return "; ".join(dict.fromkeys(texts))


def invalid(name: str, value: object, problem: str) -> str:
    """Describe an invalid parameter."""
    shown = repr(value)
    if len(shown) > _SHOWN:
        shown = shown[:_SHOWN] + "..."
    return f"{name}={shown} is not valid: {problem}"


def unknown(name: str, known: Iterable[str]) -> str:
    """Describe an unknown parameter, with a suggestion."""
    if name in _HINTS:
        return f"Unknown parameter {name!r}: {_HINTS[name]}"
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


def snake_case_names(names: Iterable[str]) -> dict[str, str]:
    """Find names in snake_case, which the service does not use."""
    return {n: camel_case(n) for n in names if "_" in n.strip("_") and n.islower()}
