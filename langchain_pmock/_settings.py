"""What the user sets: the fields of `ChatPmock`, and what they may hold."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.utils import from_env, secret_from_env
from pydantic import (
    ConfigDict,
    Field,
    PositiveFloat,
    SecretStr,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from typing_extensions import Self

from langchain_pmock._gateway.endpoint import (
    DEFAULT_BASE_URL,
    check_base_url,
    check_headers,
)
from langchain_pmock._request import params as _params
from langchain_pmock._version import __version__

_ALIASES = {
    **_params.ALIASES,
    "api_key": "access_key",  # as the service's own sample names the two
    "api_secret": "secret_key",
    "request_timeout": "timeout",
}

# Fields that hold no secret: their values may be shown in errors.
_SHOWN = (
    *(name for name in _params.WIRE_NAMES if name not in _params.CALL_ONLY),
    "timeout",
    "max_retries",
    "streaming",
)


if TYPE_CHECKING:
    from _typeshed import SupportsItems

    # A dict[int, int] is no dict[str | int, float], but its items are of that type.
    _LogitBias = dict[str | int, float] | SupportsItems[str | int, float]
else:
    _LogitBias = _params.LogitBias


class PmockSettings(BaseChatModel):
    """The fields of `ChatPmock`; see there."""

    model: _params.Model
    """The model's name, such as `"gpt-5.1"`; also as `model_name`.

    The service documents the names of `ModelName`. Any other is sent as it is.
    """

    access_key: SecretStr | str = Field(
        default_factory=secret_from_env("PMOCK_ACCESS_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """The access key; read from `PMOCK_ACCESS_KEY` if not given; also as `api_key`."""

    secret_key: SecretStr | str = Field(
        default_factory=secret_from_env("PMOCK_SECRET_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """The secret key; read from `PMOCK_SECRET_KEY` if not given; also as `api_secret`.

    It only ever signs, and is never sent.
    """

    base_url: str = Field(
        default_factory=from_env("PMOCK_BASE_URL", default=DEFAULT_BASE_URL),
        validate_default=True,
    )
    """The service's URL; read from `PMOCK_BASE_URL` if not given."""

    temperature: _params.Temperature | None = None
    """How random the answer is, 0 to 2."""

    max_tokens: _params.AtLeastOne | None = None
    """The most tokens that the answer may have."""

    max_completion_tokens: _params.AtLeastOne | None = None
    """The most tokens that the answer may have, reasoning included."""

    top_p: _params.Probability | None = None
    """Choose among the tokens that make up this share of the probability, 0 to 1."""

    frequency_penalty: _params.Penalty | None = None
    """Penalty on tokens by how often they came already, -2 to 2."""

    presence_penalty: _params.Penalty | None = None
    """Penalty on tokens that came already, -2 to 2."""

    stop: _params.Stop | None = None
    """Text, or texts, at which the answer ends; also as `stop_sequences`."""

    n: _params.AtLeastOne | None = None
    """How many answers to make; more than one come from `generate`, not streamed."""

    seed: int | None = None
    """Ask for the same answer to the same request, as far as the model can."""

    user: str | None = None
    """Your identifier for the end user."""

    logprobs: bool | None = None
    """Whether to return log probabilities, in `response_metadata["logprobs"]`."""

    top_logprobs: _params.TopLogprobs | None = None
    """How many alternatives to return for each token, 0 to 20."""

    logit_bias: _LogitBias | None = None
    """What to add to the logits of tokens, by token id."""

    parallel_tool_calls: bool | None = None
    """Whether the model may call several tools at once."""

    model_kwargs: _params.ModelKwargs = Field(default_factory=dict)
    """Fields of the request that this version does not know; sent as they are."""

    timeout: PositiveFloat | httpx.Timeout | None = None
    """Seconds to wait for the service, or an `httpx.Timeout`; also `request_timeout`.

    By default 30 s to connect, and 600 s between two reads.
    """

    max_retries: int = Field(default=2, ge=0)
    """How many times to try again after a failure that may pass; 0 for never.

    A stream is tried again as long as nothing of it was handed on.
    """

    streaming: bool | None = None
    """Whether `invoke` streams inside; `False` turns off streaming altogether."""

    default_headers: Mapping[str, str] | None = Field(
        default=None, exclude=True, repr=False
    )
    """More headers for each request. They are in no repr, trace or serialized form."""

    http_client: httpx.Client | None = Field(default=None, exclude=True, repr=False)
    """Your own client for sync calls. It is used as it is, and never closed here.

    Its timeout counts if `timeout` is not set and it is not httpx's default of 5 s.

    By default all models of the process share their connections.
    """

    http_async_client: httpx.AsyncClient | None = Field(
        default=None, exclude=True, repr=False
    )
    """Your own client for async calls; good for one event loop.

    By default all models share their connections, separately in each event loop.
    """

    # The other names of fields, which the constructor takes for them. To type checkers
    # they are fields too; `model` has to be given there, so `model_name` is none.
    if TYPE_CHECKING:
        api_key: SecretStr | str = ""
        api_secret: SecretStr | str = ""
        request_timeout: PositiveFloat | httpx.Timeout | None = None
        stop_sequences: _params.Stop | None = None
    else:
        api_key = property(attrgetter("access_key"))
        api_secret = property(attrgetter("secret_key"))
        request_timeout = property(attrgetter("timeout"))
        stop_sequences = property(attrgetter("stop"))

    model_config = ConfigDict(
        defer_build=True,  # pydantic only ever needs the schema of `ChatPmock`
        extra="forbid",
        # pydantic would show the input, which may be a key.
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    # --- Validation ------------------------------------------------------------------

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Accept the other names that LangChain's users know a field by."""
        named: dict[str, Any] = {}
        for given, value in values.items():
            name = _ALIASES.get(given, given)
            if name not in cls.model_fields:
                raise ValueError(_params.unknown_name(given, cls.model_fields))
            if name in named:
                msg = f"{name!r} is given twice, once by another name of it."
                raise ValueError(msg)
            named[name] = value
        return named

    @field_validator(*_SHOWN, mode="wrap")
    @classmethod
    def _explain(
        cls,
        value: Any,
        handler: ValidatorFunctionWrapHandler,
        info: ValidationInfo,
    ) -> Any:
        """Show the value in the error, which is safe for these fields alone."""
        try:
            return handler(value)
        except ValidationError as error:
            name = str(info.field_name)
            where = [{**each, "loc": (name,)} for each in error.errors()]
            raise ValueError(_params.explain(where, {name: value})) from None

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, value: object) -> object:
        """Take the form in which LangChain writes an `httpx.Timeout` down."""
        return httpx.Timeout(**value) if isinstance(value, dict) else value

    @field_validator("access_key", "secret_key", mode="before")
    @classmethod
    def _check_key(cls, value: object, info: ValidationInfo) -> SecretStr:
        """Make a secret of it: a plain string is only for the caller's convenience."""
        name = str(info.field_name)
        key = value.get_secret_value() if isinstance(value, SecretStr) else value
        key = key.strip() if isinstance(key, str) else key
        if not key:
            msg = f"Set the environment variable PMOCK_{name.upper()}, or pass {name}."
            raise ValueError(msg)
        # What is wrong with a key is said without showing it.
        if not isinstance(key, str) or not key.isprintable():
            msg = f"{name} must be a string without control characters or line breaks."
            raise ValueError(msg)
        return SecretStr(key)

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str) -> str:
        return check_base_url(value)

    @field_validator("default_headers")
    @classmethod
    def _check_headers(
        cls, value: Mapping[str, str] | None
    ) -> Mapping[str, str] | None:
        return None if value is None else check_headers(value)

    @model_validator(mode="after")
    def _check_streaming(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            msg = (
                f"n={self.n} is not valid with streaming=True: a stream has one answer"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _set_pmock_version(self) -> Self:
        self._add_version("langchain-pmock", __version__)
        return self

    # --- Copies and serialized forms -------------------------------------------------

    @property
    def lc_secrets(self) -> dict[str, str]:
        """The fields that are written as names of environment variables."""
        return {"access_key": "PMOCK_ACCESS_KEY", "secret_key": "PMOCK_SECRET_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The fields that are written in another form than they have."""
        if isinstance(self.timeout, httpx.Timeout):
            return {"timeout": self.timeout.as_dict()}
        return {}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Tell LangChain that it can write the model down."""
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Tell LangChain where to find the class again."""
        return ["langchain_pmock", "chat_models"]

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but the user's clients, which cannot be copied."""
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            memo[id(client)] = client
        return _without_cache(super().__deepcopy__(memo))

    def __copy__(self) -> Self:
        """Copy the fields alone; `model_copy` changes them after."""
        return _without_cache(super().__copy__())

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field."""
        super().__setattr__(name, value)
        _without_cache(self)


ModelT = TypeVar("ModelT", bound=BaseChatModel)


def _without_cache(model: ModelT) -> ModelT:
    """Drop what langchain-core wrote of the model: caches and traces go by it."""
    model.__dict__.pop("_serialized", None)
    return model
