"""`ChatPmock`, the LangChain chat model for the pmock gateway."""

# Annotations are evaluated: LangChain calls typing.get_type_hints on public methods.
import importlib.util
import warnings
from collections import UserDict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeVar, cast, overload

import httpx2 as httpx
from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
    Callbacks,
)
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable, RunnableMap
from langchain_core.tools import BaseTool
from langchain_core.utils import from_env, secret_from_env
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from typing_extensions import override

from langchain_pmock._gateway.client import PmockClient
from langchain_pmock._gateway.endpoint import (
    DEFAULT_BASE_URL,
    check_base_url,
    check_headers,
)
from langchain_pmock._request import params as _params
from langchain_pmock._request import tools as _tools
from langchain_pmock._request.messages import to_wire
from langchain_pmock._request.params import PER_CALL, SENT, ModelName, Param
from langchain_pmock._response import content_blocks as _translator
from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import (
    PROVIDER,
    chat_result,
    combined_llm_output,
)
from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.data._profiles import get_profile
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from _typeshed import SupportsItems

    # A dict[int, int] is not a dict[str | int, float], but has items of that type.
    _LogitBias = dict[str | int, float] | SupportsItems[str | int, float]
else:
    _LogitBias = dict[str | int, FiniteFloat]

ModelT = TypeVar("ModelT", bound=BaseModel)

_translator.register()

_ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool
_Method = Literal["json_schema", "function_calling", "json_mode"]

_ALIASES = {
    **_params.ALIASES,
    "api_key": "access_key",  # the names in the service's own sample code
    "api_secret": "secret_key",
}
_KEYS = ("access_key", "secret_key")
_RETRIES = 2
# Fields whose values may be shown in errors, besides the parameters.
_SHOWN = {
    "timeout",
    "max_retries",
    "streaming",
    "stream_chunk_timeout",
    "max_response_bytes",
    "async_transport",
}


def _read_timeout(value: object) -> object:
    """Accept a serialized `httpx.Timeout`, and that of httpx2."""
    if not isinstance(value, httpx.Timeout) and hasattr(value, "as_dict"):
        value = value.as_dict()
    if not isinstance(value, dict):
        return value
    try:
        return httpx.Timeout(**value)
    except (TypeError, ValueError) as error:
        raise ValueError(str(error)) from None


_Timeout = Annotated[PositiveFloat | httpx.Timeout, BeforeValidator(_read_timeout)]


def _check_model_kwargs(value: dict[str, Any]) -> dict[str, Any]:
    wire_names = _PARAMS.wire_names
    taken = {"messages", "stream", *wire_names, *wire_names.values()}
    if found := sorted(value.keys() & taken):
        msg = f"model_kwargs must not have {found}: pass them as parameters."
        raise ValueError(msg)
    for name, meant in _params.snake_case_names(value).items():
        msg = (
            f"model_kwargs has {name!r}: the service's names are in camelCase. Did "
            f"you mean {meant!r}?"
        )
        warnings.warn(msg, stacklevel=5)  # at the call of the constructor
    return value


class ChatPmock(BaseChatModel):
    """Chat models of the pmock gateway: GPT, Gemini and Claude behind one endpoint.

    Setup:
        Install the package and set the two keys:

        ```bash
        pip install langchain-pmock
        export PMOCK_ACCESS_KEY="your access key"
        export PMOCK_SECRET_KEY="your secret key"
        ```

    Instantiate:
        ```python
        from langchain_pmock import ChatPmock

        model = ChatPmock(model="gpt-5.1", temperature=0, max_tokens=500)
        ```

    Invoke:
        ```python
        message = model.invoke([("system", "You are terse."), ("human", "Hello")])
        print(message.text, message.usage_metadata)
        ```

    Stream:
        ```python
        for chunk in model.stream("Tell me a story."):
            print(chunk.text, end="")
        ```

    Async:
        ```python
        import asyncio


        async def main() -> None:
            print((await model.ainvoke("Hello")).text)
            async for chunk in model.astream("Hello"):
                print(chunk.text, end="")


        asyncio.run(main())
        ```

    Tools:
        ```python
        from langchain_core.tools import tool


        @tool
        def get_weather(city: str) -> str:
            '''Get the weather in a city.'''
            return f"Sunny in {city}"


        with_tools = model.bind_tools([get_weather])
        print(with_tools.invoke("What is the weather in Paris?").tool_calls)
        ```

    Structured output:
        ```python
        from pydantic import BaseModel


        class Joke(BaseModel):
            setup: str
            punchline: str


        joke = model.with_structured_output(Joke).invoke("Tell me a joke about cats.")
        assert isinstance(joke, Joke)
        ```

    Key init args - completion params:
        | Param | Type | Description |
        | --- | --- | --- |
        | `model` | `str` | Name of the model; see `ModelName`. |
        | `temperature` | `float` | Sampling temperature, 0 to 2. |
        | `max_tokens` | `int` | Maximum number of tokens in the answer. |
        | `max_completion_tokens` | `int` | The same, including reasoning. |
        | `top_p` | `float` | Nucleus sampling: probability mass, 0 to 1. |
        | `frequency_penalty` | `float` | Penalty by number of occurrences, -2 to 2. |
        | `presence_penalty` | `float` | Penalty on tokens that occurred, -2 to 2. |
        | `stop` | `str`, `list[str]` | Sequences that end the answer. |
        | `n` | `int` | Number of answers that `generate` returns. |
        | `seed` | `int` | Seed for sampling. |
        | `user` | `str` | Your identifier of the end user. |
        | `logprobs` | `bool` | Whether to return log probabilities. |
        | `top_logprobs` | `int` | Number of alternatives per token, 0 to 20. |
        | `logit_bias` | `dict` | Bias to add to logits, by token id. |
        | `parallel_tool_calls` | `bool` | Whether to allow parallel tool calls. |
        | `model_kwargs` | `dict` | Other fields of the request; also `extra_body`. |

    Key init args - client params:
        | Param | Type | Description |
        | --- | --- | --- |
        | `access_key` | `SecretStr`, `str` | Default: `PMOCK_ACCESS_KEY`. |
        | `secret_key` | `SecretStr`, `str` | Default: `PMOCK_SECRET_KEY`. Never sent. |
        | `base_url` | `str` | Default: `PMOCK_BASE_URL`, else the service. |
        | `timeout` | `float`, `httpx.Timeout` | Default: 30 s to connect, else 600. |
        | `stream_chunk_timeout` | `float` | Maximum time without a chunk: 600 s. |
        | `max_response_bytes` | `int` | Maximum size of an answer: 64 MiB. |
        | `max_retries` | `int` | Maximum number of retries: 2. |
        | `streaming` | `bool` | Whether `invoke` streams internally. |
        | `async_transport` | `"httpx"`, `"aiohttp"` | HTTP library of async requests. |
        | `wire` | `Wire` | Names of request fields that are not documented. |
        | `default_headers` | `Mapping[str, str]` | Additional headers. |
        | `http_client` | `httpx.Client` | Your own client for sync requests. |
        | `http_async_client` | `httpx.AsyncClient` | The same for async requests. |

    Calls and `bind` accept the completion params, `timeout` and `extra_headers`. `None`
    unsets the constructor's value; for `stop`, for which LangChain passes `None` by
    default, use `[]`. Only parameters that are set are sent.
    """

    # --- Fields: parameters of the request -------------------------------------------
    # The service documents the ranges of temperature and of the penalties. The others
    # are assumed.

    model: Annotated[ModelName | str, SENT] = Field(min_length=1)
    """Name of the model, such as `"gpt-5.1"`; also `model_name`.

    The service documents the names in `ModelName`. Other names are sent unchanged.
    """

    temperature: Param[float] = Field(default=None, ge=0, le=2)
    """Sampling temperature, 0 to 2."""

    max_tokens: Param[int] = Field(default=None, ge=1)
    """Maximum number of tokens in the answer."""

    max_completion_tokens: Param[int] = Field(default=None, ge=1)
    """Maximum number of tokens in the answer, including reasoning."""

    top_p: Param[float] = Field(default=None, ge=0, le=1)
    """Nucleus sampling: the probability mass to sample from, 0 to 1."""

    frequency_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens in proportion to how often they occurred, -2 to 2."""

    presence_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens that occurred at least once, -2 to 2."""

    stop: Param[str | list[str]] = None
    """Sequences that end the answer; also `stop_sequences`."""

    n: Param[int] = Field(default=None, ge=1)
    """Number of answers. More than one requires `generate` and cannot be streamed."""

    seed: Param[int] = None
    """Seed for sampling, as far as the model is deterministic."""

    user: Param[str] = None
    """Your identifier of the end user."""

    logprobs: Param[bool] = None
    """Whether to return log probabilities, in `response_metadata["logprobs"]`."""

    top_logprobs: Param[int] = Field(default=None, ge=0, le=20)
    """Number of alternatives to return for each token, 0 to 20."""

    logit_bias: Param[_LogitBias] = None
    """Bias to add to the logits of tokens, by token id."""

    parallel_tool_calls: Param[bool] = None
    """Whether the model may call several tools at once."""

    model_kwargs: Annotated[
        dict[str, Any], SENT, AfterValidator(_check_model_kwargs)
    ] = Field(default_factory=dict)
    """Request fields without a parameter of their own; also `extra_body`.

    They are sent unchanged. The service's names are in camelCase.
    """

    # --- Fields: the client ----------------------------------------------------------

    access_key: SecretStr | str = Field(
        default_factory=secret_from_env("PMOCK_ACCESS_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """Access key; read from `PMOCK_ACCESS_KEY` if not given; also `api_key`."""

    secret_key: SecretStr | str = Field(
        default_factory=secret_from_env("PMOCK_SECRET_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """Secret key; read from `PMOCK_SECRET_KEY` if not given; also `api_secret`.

    It signs requests and is never sent.
    """

    base_url: str = Field(
        default_factory=from_env("PMOCK_BASE_URL", default=DEFAULT_BASE_URL),
        validate_default=True,
    )
    """URL of the service; read from `PMOCK_BASE_URL` if not given."""

    timeout: Annotated[_Timeout | None, PER_CALL] = None
    """Timeout in seconds, or an `httpx.Timeout`; also `request_timeout`.

    The default is 30 s to connect and 600 s between two reads.
    """

    stream_chunk_timeout: PositiveFloat | None = 600.0
    """Maximum seconds without a chunk of a stream; `None` for no limit.

    Keep-alives are not chunks.
    """

    max_response_bytes: PositiveInt = 64 * 2**20
    """Maximum decoded size of an answer or an event in bytes; 64 MiB by default.

    At its peak, a call takes up to six times as much memory for text, and fifty times
    as much for JSON that consists of empty objects.
    """

    max_retries: int | None = Field(default=_RETRIES, ge=0)
    """Maximum number of retries after a temporary failure; `None` for 2.

    A stream is retried only before its first chunk.
    """

    streaming: bool | None = None
    """Whether `invoke` streams internally; `False` disables streaming altogether."""

    async_transport: Literal["httpx"] = "httpx"
    """HTTP library for async requests; `"aiohttp"` needs the extra of that name."""

    wire: Wire = Wire()
    """Names of request fields that the service does not document."""

    default_headers: Mapping[str, str] | None = Field(
        default=None, exclude=True, repr=False
    )
    """Additional headers for each request; in no repr, trace or serialized form."""

    http_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own client for sync calls, which you close yourself.

    Its timeout applies if `timeout` is not set, unless it is httpx's default of 5 s. By
    default all models of the process share their connections.
    """

    http_async_client: Any = Field(default=None, exclude=True, repr=False)
    """Your own client for async calls; it can be used in one event loop.

    By default all models in an event loop share their connections.
    """

    # The constructor accepts the aliases too. `model_name` is not declared, because
    # type checkers require `model`.
    if TYPE_CHECKING:
        api_key: SecretStr | str = ""
        api_secret: SecretStr | str = ""
        request_timeout: Annotated[_Timeout | None, PER_CALL] = None
        stop_sequences: Param[str | list[str]] = None
        extra_body: Annotated[
            dict[str, Any], SENT, AfterValidator(_check_model_kwargs)
        ] = {}
    else:
        api_key = property(attrgetter("access_key"))
        api_secret = property(attrgetter("secret_key"))
        request_timeout = property(attrgetter("timeout"))
        stop_sequences = property(attrgetter("stop"))
        extra_body = property(attrgetter("model_kwargs"))

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @property
    def model_name(self) -> str:
        """Alias of `model`, as in other integrations."""
        return self.model

    # --- Validation ------------------------------------------------------------------

    @classmethod
    def _rename(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace aliases by the names of the fields."""
        named: dict[str, Any] = {}
        used: dict[str, str] = {}
        for given, value in values.items():
            name = _ALIASES.get(given, given)
            if name == "stream_usage" and value in (None, True):
                continue  # from other LangChain packages: usage is always sent
            if name not in cls.model_fields:
                raise ValueError(_params.unknown(given, cls.model_fields))
            if name in named:
                msg = (
                    f"{used[name]!r} and {given!r} are the same parameter: pass only "
                    "one of them."
                )
                raise ValueError(msg)
            named[name] = value
            used[name] = given
        return named

    @field_validator(*_KEYS, mode="before")
    @classmethod
    def _validate_key(cls, value: object, info: ValidationInfo) -> SecretStr:
        return _secret(str(info.field_name), value)

    @field_validator("base_url")
    @classmethod
    def _validate_base_url(cls, value: str) -> str:
        return check_base_url(value)

    @field_validator("default_headers")
    @classmethod
    def _validate_headers(
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

    # Must be the last validator, or errors of the others would contain the input.
    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Validate, without the input in errors, which may contain secrets."""
        if not isinstance(values, dict):
            return handler(values)
        named: dict[str, Any] = {}
        try:
            named = cls._rename(values)
            return handler(named)
        except ValidationError as error:
            problems = [_without_secrets(each, named) for each in error.errors()]
        except ValueError as error:
            problems = [_problem("value_error", str(error))]
        # Outside the except block, so that the error's context has no input either.
        raise ValidationError.from_exception_data(cls.__name__, problems)

    # --- Copies and serialized forms -------------------------------------------------

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Names of the environment variables that the serialized form refers to."""
        return {"access_key": "PMOCK_ACCESS_KEY", "secret_key": "PMOCK_SECRET_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Fields with a custom serialized form."""
        attributes: dict[str, Any] = {"wire": asdict(self.wire)}
        if isinstance(self.timeout, httpx.Timeout):
            attributes["timeout"] = self.timeout.as_dict()
        return attributes

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether the model can be serialized.

        Returns:
            `True`.
        """
        return True

    @classmethod
    def get_lc_namespace(cls) -> list[str]:
        """Get the namespace of the class in serialized forms.

        Returns:
            The path of this module.
        """
        return ["langchain_pmock", "chat_models"]

    def __repr_args__(self) -> Any:
        """Leave defaults and fields set by LangChain out of the repr."""
        default = ("base_url", DEFAULT_BASE_URL)
        return [
            (name, value)
            for name, value in super().__repr_args__()
            if name not in {"profile", "metadata"}
            and value != {}
            and (name, value) != default
        ]

    @override
    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Copy the model.

        Args:
            update: Fields to change; they are validated as by assignment.
            deep: Whether to copy the values too, except your own clients.

        Returns:
            The copy.
        """
        twin = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            setattr(twin, name, value)
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the model and share the user's clients, which cannot be copied."""
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field, by its name or an alias."""
        name = _ALIASES.get(name, name)
        if name in _KEYS:
            value = _secret(name, value)
        elif name == "base_url":
            value = check_base_url(str(value))
        elif name == "default_headers" and isinstance(value, Mapping):
            value = check_headers(value)
        elif name in _PARAMS.settable:
            value = _PARAMS.check({name: value}).get(name)
        if name == "model" and self.profile == get_profile(self.model):
            super().__setattr__("profile", get_profile(str(value)))
        super().__setattr__(name, value)
        # Cached properties, such as the serialized form that caches and traces use.
        for cached in self.__dict__.keys() - type(self).model_fields.keys():
            del self.__dict__[cached]

    # --- Requests --------------------------------------------------------------------

    if not TYPE_CHECKING:  # the type of the result is LangChain's

        @override
        def bind(self, **kwargs: Any) -> Any:
            """Bind parameters of the call, as `Runnable.bind` does."""
            return super().bind(**_redacted(kwargs))

    @override
    def generate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Generate answers to several conversations.

        Args:
            messages: The conversations.
            stop: Sequences that end an answer.
            callbacks: Callbacks to run.
            **kwargs: Parameters of the call, or of `BaseChatModel.generate`.

        Returns:
            The answers to each conversation.
        """
        # langchain-core includes the parameters in cache keys.
        return super().generate(messages, stop, callbacks, **_redacted(kwargs))

    @override
    async def agenerate(
        self,
        messages: list[list[BaseMessage]],
        stop: list[str] | None = None,
        callbacks: Callbacks = None,
        **kwargs: Any,
    ) -> LLMResult:
        """Async version of `generate`."""
        return await super().agenerate(messages, stop, callbacks, **_redacted(kwargs))

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        (client, timeout, headers), body = self._prepare(messages, stop, kwargs)
        return client.post(body, chat_result, timeout=timeout, headers=headers)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        (client, timeout, headers), body = self._prepare(messages, stop, kwargs)
        return await client.apost(body, chat_result, timeout=timeout, headers=headers)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        (client, timeout, headers), body = self._prepare(
            messages, stop, kwargs, streamed=True
        )
        return client.stream(body, ChunkParser, timeout=timeout, headers=headers)

    @override
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        (client, timeout, headers), body = self._prepare(
            messages, stop, kwargs, streamed=True
        )
        return client.astream(body, ChunkParser, timeout=timeout, headers=headers)

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        streamed: bool = False,
    ) -> Any:
        """Create the client and the body of one request."""
        params = self._call_params(stop, kwargs)
        if streamed and params.get("n", 1) > 1:
            msg = (
                f"n={params['n']} cannot be streamed, because a stream has one answer: "
                "use generate."
            )
            raise PmockInvalidRequestError(msg)
        body = {**_PARAMS.to_wire(params), "messages": to_wire(messages, self.wire)}
        return self._client(params.get("timeout"), params.get("extra_headers")), body

    def _client(
        self,
        timeout: _Timeout | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Create a client from the current fields; it holds no connection."""
        headers = self.default_headers or {}
        if extra_headers:
            try:
                extra_headers = check_headers(extra_headers, "extra_headers")
            except ValueError as error:
                raise PmockInvalidRequestError(str(error)) from None
            replaced = {name.lower() for name in extra_headers}
            kept = {k: v for k, v in headers.items() if k.lower() not in replaced}
            headers = {**kept, **extra_headers}
        key = (
            self.base_url,
            self.max_retries,
            self.stream_chunk_timeout,
            self.max_response_bytes,
            id(self.http_client),
            id(self.http_async_client),
            self.access_key,
            self.secret_key,
        )
        c = self.__dict__.get("_c")
        if c is None or c[0] != key:
            c = (
                key,
                PmockClient(
                    access_key=self.access_key,
                    secret_key=self.secret_key,
                    base_url=self.base_url,
                    max_retries=_RETRIES
                    if self.max_retries is None
                    else self.max_retries,
                    stream_chunk_timeout=self.stream_chunk_timeout,
                    max_response_bytes=self.max_response_bytes,
                    http_client=self.http_client,
                    http_async_client=self.http_async_client,
                ),
            )
            self.__dict__["_c"] = c
        return c[1], (None if timeout is None else httpx.Timeout(timeout)), headers

    def _default_params(self) -> dict[str, Any]:
        return {
            name: value
            for name in _PARAMS.settable
            if (value := getattr(self, name)) is not None and value not in ({}, [])
        }

    def _call_params(
        self, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Merge the parameters of a call with those of the constructor."""
        params = self._default_params()
        if self.timeout is not None:
            params["timeout"] = self.timeout
        # LangChain's own switch between invoke and stream is not a parameter.
        given = {k: v for k, v in kwargs.items() if k != "stream"}
        if given.get("stream_usage") in (None, True):
            given.pop("stream_usage", None)
        if stop is not None:
            given["stop"] = stop
        if not given:
            return params
        if (tools := given.get("tools")) is not None:
            given["tools"] = _tools.tools_to_wire(tools)
        if (choice := given.get("tool_choice")) is not None:
            if (parallel := _tools.parallel_tool_calls(choice)) is not None:
                given.setdefault("parallel_tool_calls", parallel)
            given["tool_choice"] = _tools.choice_to_wire(
                choice, given.get("tools") or []
            )
        if (schema := given.get("response_format")) is not None:
            from langchain_pmock._request import schemas  # noqa: PLC0415 - slow to import

            given["response_format"] = schemas.response_format(schema, strict=None)
        return _PARAMS.merge(params, given)

    # --- Tools and structured output -------------------------------------------------

    @override
    def bind_tools(
        self,
        tools: Sequence[_ToolLike],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Args:
            tools: Functions, `BaseTool`s, pydantic classes, TypedDicts, JSON schemas,
                or tools in OpenAI's or Anthropic's format.
            tool_choice: `"auto"` or `"none"`; `"any"`, `"required"` or `True` for at
                least one call; a tool's name, or a dict in OpenAI's or Anthropic's
                format, for a call of that tool. `None` and `False` send nothing.
            strict: Whether calls must match the tools' schemas.
            parallel_tool_calls: Whether the model may call several tools at once.
            **kwargs: Other parameters to bind.

        Returns:
            The model with the tools bound to it.

        Raises:
            PmockInvalidRequestError: If an item is not a tool, or `tool_choice` is not
                valid.
        """
        bound = _tools.tools_to_wire(tools, strict=strict)
        if tool_choice is not None:
            choice = _tools.choice_to_wire(tool_choice, bound)
            if choice is not None:
                kwargs["tool_choice"] = choice
        if parallel_tool_calls is None:
            parallel_tool_calls = _tools.parallel_tool_calls(tool_choice)
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=bound, **kwargs)

    @overload
    def with_structured_output(
        self,
        schema: type[ModelT],
        *,
        method: _Method | None = ...,
        include_raw: Literal[False] = ...,
        strict: bool | None = ...,
        tools: None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, ModelT]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = ...,
        *,
        method: _Method | None = ...,
        include_raw: Literal[True],
        strict: bool | None = ...,
        tools: Sequence[_ToolLike] | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any]]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = ...,
        *,
        method: _Method | None = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        tools: Sequence[_ToolLike] | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]: ...

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: _Method | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[_ToolLike] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Let the model answer with a value that matches a schema.

        Args:
            schema: A pydantic class, a TypedDict, a JSON schema, or a function or tool
                in OpenAI's format. Optional with `"json_mode"`.
            method: `"json_schema"` sends the schema as `responseFormat`;
                `"function_calling"` as a tool that must be called; `"json_mode"`
                requests any JSON, so the prompt must describe it. The default is
                `"json_schema"`, or `"function_calling"` if `structured_output` is
                `False` in the model's profile, or for `tools` with Gemini before 3.
            include_raw: Whether to return a dict of `raw` (the message), `parsed` and
                `parsing_error` instead of raising if the answer cannot be parsed.
            strict: Whether the model must follow the schema; not for `"json_mode"`.
            tools: Tools that the model may call before it answers; not for
                `"json_mode"`. If it calls only these, the value is `None`.
            **kwargs: Other parameters to bind.

        Returns:
            A runnable that returns an object of the pydantic class, or else a dict. It
            streams partial dicts. A refusal raises `PmockRefusalError`; an answer that
            is cut off or does not match the schema raises `OutputParserException`.

        Raises:
            PmockInvalidRequestError: If an argument is not valid.
        """
        # Imported on first use: they are slow to import.
        from langchain_pmock._request import schemas  # noqa: PLC0415
        from langchain_pmock._response import parsers  # noqa: PLC0415

        method = method or self._structured_method(tools)
        schemas.check_arguments(schema, method=method, strict=strict, tools=tools)
        others = _tools.tools_to_wire(tools or [], strict=strict)
        bind: dict[str, Any] = {}
        if schema is not None:
            schema = schemas.named(schema)
        if method == "function_calling" and schema is not None:
            tool = schemas.answer_tool(schema, strict=strict)
            name = tool["function"]["name"]
            bind["tools"] = [*others, tool]
            if others:
                bind["tool_choice"] = "required"
            else:
                bind["tool_choice"] = {"type": "function", "function": {"name": name}}
                bind["parallel_tool_calls"] = False  # one answer is expected
            parser = parsers.from_call(schema, name, other_tools=bool(others))
        else:
            bind["response_format"] = (
                {"type": "json_object"}
                if method == "json_mode" or schema is None
                else schemas.response_format(schema, strict=strict)
            )
            if others:
                bind["tools"] = others
            parser = parsers.from_text(schema)
        if schema is not None:
            options = {
                "method": method,
                **({} if strict is None else {"strict": strict}),
            }
            # For LangSmith; langchain-core removes it from the call's parameters.
            bind["ls_structured_output_format"] = {"kwargs": options, "schema": schema}
        llm = self.bind(**{**bind, **kwargs})
        if include_raw:
            return RunnableMap(raw=llm) | parsers.beside_raw(parser)
        return llm | parser

    def _structured_method(self, tools: Sequence[_ToolLike] | None) -> _Method:
        name = self.model.lower()
        # Before version 3, Gemini refuses a JSON schema together with tools:
        # https://github.com/googleapis/python-genai/issues/867
        no_schema = tools and "gemini" in name and "gemini-3" not in name
        if no_schema or (self.profile or {}).get("structured_output") is False:
            return "function_calling"
        return "json_schema"

    # --- What LangChain asks of a model ----------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "pmock-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._default_params(), "base_url": self.base_url}

    @override
    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        # These are for traces, and headers may be secret.
        kwargs.pop("extra_headers", None)
        params = super()._get_invocation_params(**kwargs)
        params["stop"] = self._sent_stop(stop, kwargs)
        return params

    @override
    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        given = {_ALIASES.get(name, name): v for name, v in kwargs.items()}
        params = {**self._default_params(), **given}
        stops = self._sent_stop(stop, kwargs)
        found = {
            "ls_model_name": params.get("model") or self.model,
            "ls_temperature": params.get("temperature"),
            "ls_max_tokens": params.get("max_tokens")
            or params.get("max_completion_tokens"),
            "ls_stop": [stops] if isinstance(stops, str) else stops,
        }
        known = {name: value for name, value in found.items() if value is not None}
        ls_params = {"ls_provider": PROVIDER, "ls_model_type": "chat", **known}
        return cast("LangSmithParams", ls_params)

    def _sent_stop(
        self, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> str | list[str] | None:
        if stop is None:
            stop = kwargs.get("stop_sequences", self.stop)
        return stop or None

    @override
    def _combine_llm_outputs(
        self, llm_outputs: list[dict[str, Any] | None], /
    ) -> dict[str, Any]:
        return combined_llm_output(llm_outputs)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return get_profile(self.model)

    # --- Token counts ----------------------------------------------------------------

    @override
    def get_num_tokens(self, text: str) -> int:
        """Estimate the number of tokens of a text, without a tokenizer.

        Args:
            text: The text.

        Returns:
            An estimate of the number of tokens.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        from langchain_pmock._request import tokens as _tokens  # noqa: PLC0415 - slow to import

        return _tokens.count_text_tokens(text)

    @override
    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the number of tokens of messages, including images and tool calls.

        Args:
            messages: The conversation.
            tools: Tools bound to the model.

        Returns:
            An estimate of the number of tokens.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(list(messages), tools)
        from langchain_pmock._request import tokens as _tokens  # noqa: PLC0415 - slow to import

        return _tokens.count_message_tokens(list(messages), tools, self.wire)


def _redacted(kwargs: dict[str, Any]) -> dict[str, Any]:
    headers = kwargs.get("extra_headers")
    if not isinstance(headers, Mapping):
        return kwargs
    return {**kwargs, "extra_headers": _Headers(headers)}


class _Headers(UserDict[str, str]):
    """Headers whose values are neither in the repr nor serialized."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


def _secret(name: str, value: object) -> SecretStr:
    """Validate a key, without the key in errors."""
    key = value.get_secret_value() if isinstance(value, SecretStr) else value
    key = key.strip() if isinstance(key, str) else key
    if not key:
        msg = f"Set the environment variable PMOCK_{name.upper()}, or pass {name}."
        raise ValueError(msg)
    if not isinstance(key, str) or not key.isprintable():
        msg = f"{name} must be a string without control characters or line breaks."
        raise ValueError(msg)
    return SecretStr(key)


def _without_secrets(
    problem: ErrorDetails, values: Mapping[str, Any]
) -> InitErrorDetails:
    """Remove the input of a validation error unless it cannot be a secret."""
    kind, loc = problem["type"], problem["loc"]
    message = problem["msg"].removeprefix("Value error, ")
    name = str(loc[0]) if loc else ""
    if name not in values or name not in _SHOWN.union(_PARAMS.wire_names):
        return _problem(kind, message, loc)
    value = values[name]
    return _problem(kind, _params.invalid(name, value, message), (name,), value)


def _problem(
    kind: str, message: str, loc: tuple[int | str, ...] = (), value: object = None
) -> InitErrorDetails:
    # pydantic's built-in error types have fixed texts.
    return {"type": PydanticCustomError(kind, message), "loc": loc, "input": value}


_PARAMS = _params.Params(ChatPmock.model_fields)
