"""`ChatPmock`: LangChain's chat model over the pmock gateway."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations
from dataclasses import asdict
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast, overload

import httpx
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableMap
from langchain_core.utils import from_env, secret_from_env
from pydantic import (
    AfterValidator,
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
from pydantic_core import InitErrorDetails, PydanticCustomError
from typing_extensions import Self, override

from langchain_pmock._gateway.client import PmockClient
from langchain_pmock._gateway.endpoint import (
    DEFAULT_BASE_URL,
    check_base_url,
    check_headers,
)
from langchain_pmock._request import params as _params
from langchain_pmock._request import tools as _tools
from langchain_pmock._request.messages import to_wire
from langchain_pmock._request.params import SENT, ModelName, Param
from langchain_pmock._response import content_blocks as _translator
from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import PROVIDER, chat_result
from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.auth import PmockAuth
from langchain_pmock.data._profiles import get_profile
from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from _typeshed import SupportsItems
    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import (
        LangSmithParams,
        LanguageModelInput,
        ModelProfile,
    )
    from langchain_core.messages import AIMessage, BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from pydantic import BaseModel
    from pydantic.functional_validators import ModelWrapValidatorHandler
    from pydantic_core import ErrorDetails

    # A dict[int, int] is no dict[str | int, float], but its items are of that type.
    _LogitBias = dict[str | int, float] | SupportsItems[str | int, float]
else:
    _LogitBias = dict[str | int, FiniteFloat]

ModelT = TypeVar("ModelT", bound="BaseModel")

_translator.register()

_ALIASES = {
    **_params.ALIASES,
    "api_key": "access_key",  # as the service's own sample names the two
    "api_secret": "secret_key",
    "request_timeout": "timeout",
}
_KEYS = ("access_key", "secret_key")
# The fields besides the parameters whose values may be shown in errors.
_SHOWN = {
    "timeout",
    "max_retries",
    "streaming",
    "stream_chunk_timeout",
    "max_response_bytes",
    "async_transport",
}


def _check_model_kwargs(value: dict[str, Any]) -> dict[str, Any]:
    wire_names = _PARAMS.wire_names
    taken = {"messages", "stream", *wire_names, *wire_names.values()}
    if found := sorted(value.keys() & taken):
        msg = f"model_kwargs must not have {found}: pass them by themselves."
        raise ValueError(msg)
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
    from pydantic.functional_validators import ModelWrapValidatorHandler
    from pydantic_core import ErrorDetails


        class Joke(BaseModel):
            setup: str
            punchline: str


        joke = model.with_structured_output(Joke).invoke("Tell me a joke about cats.")
        assert isinstance(joke, Joke)
        ```

    Key init args, generation:
        model: The model's name. The documented ones: `langchain_pmock.ModelName`.
        temperature: How random the answer is, 0 to 2.
        max_tokens: The most tokens that the answer may have.
        max_completion_tokens: The same, reasoning included.
        top_p: Choose among the tokens that make up this share of the probability.
        frequency_penalty: Penalty on tokens by how often they came, -2 to 2.
        presence_penalty: Penalty on tokens that came already, -2 to 2.
        stop: Text, or texts, at which the answer ends.
        n: How many answers `generate` makes.
        seed: Ask for the same answer to the same request.
        user: Your identifier for the end user.
        logprobs, top_logprobs: Return log probabilities, with so many alternatives.
        logit_bias: What to add to the logits of tokens, by token id.
        parallel_tool_calls: Whether the model may call several tools at once.
        model_kwargs: Other fields of the request, by their names on the wire.

    Key init args, client:
        access_key: By default the environment variable `PMOCK_ACCESS_KEY`.
        secret_key: By default `PMOCK_SECRET_KEY`. It only signs, and is never sent.
        base_url: By default `PMOCK_BASE_URL`, or else the service.
        timeout: Seconds, or an `httpx.Timeout`; by default 30 s to connect, and 600 s
            between two reads.
        max_retries: How often to try again; 2 by default.
        streaming: Whether `invoke` streams inside.
        default_headers: More headers for each request.
        http_client, http_async_client: Your own httpx clients.

    Each generation parameter can also be given with `bind` and at the call, by the same
    name. Only what was asked for is sent. Pass `None` to unset what the constructor
    set; for `stop`, which LangChain passes as `None` if it is not given, pass `[]`.
    """

    # --- Fields: parameters of the request -------------------------------------------
    # Documented ranges: temperature and the two penalties. The others are assumed.

    model: Annotated[ModelName | str, SENT] = Field(min_length=1)
    """Name of the model, such as `"gpt-5.1"`; also `model_name`.

    The service documents the names of `ModelName`. Any other is sent as it is.
    """

    temperature: Param[float] = Field(default=None, ge=0, le=2)
    """Sampling temperature, 0 to 2."""

    max_tokens: Param[int] = Field(default=None, ge=1)
    """Maximum number of tokens in the answer."""

    max_completion_tokens: Param[int] = Field(default=None, ge=1)
    """Maximum number of tokens in the answer, reasoning included."""

    top_p: Param[float] = Field(default=None, ge=0, le=1)
    """Nucleus sampling: the probability mass to sample from, 0 to 1."""

    frequency_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens in proportion to how often they occurred, -2 to 2."""

    presence_penalty: Param[float] = Field(default=None, ge=-2, le=2)
    """Penalty on tokens that occurred at all, -2 to 2."""

    stop: Param[str | list[str]] = None
    """Sequences that end the answer; also `stop_sequences`."""

    n: Param[int] = Field(default=None, ge=1)
    """Number of answers. More than one need `generate`, and cannot be streamed."""

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
    """Fields of the request that this version does not know; sent as they are."""

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

    timeout: PositiveFloat | httpx.Timeout | None = None
    """Timeout in seconds, or an `httpx.Timeout`; also `request_timeout`.

    By default 30 s to connect, and 600 s between two reads.
    """

    stream_chunk_timeout: PositiveFloat | None = 600.0
    """Seconds that a stream may go without a chunk; `None` for no limit.

    Keep-alives are not chunks.
    """

    max_response_bytes: PositiveInt = 64 * 2**20
    """Maximum decoded size of an answer in bytes; 64 MiB by default."""

    max_retries: int = Field(default=2, ge=0)
    """Maximum number of retries after an error that may be temporary.

    A stream is retried only before its first chunk.
    """

    streaming: bool | None = None
    """Whether `invoke` streams internally; `False` disables streaming altogether."""

    async_transport: Literal["httpx", "aiohttp"] = "httpx"
    """HTTP library for async requests; `"aiohttp"` needs the extra of that name."""

    wire: Wire = Wire()
    """How requests are written where the service's documentation leaves it open."""

    default_headers: Mapping[str, str] | None = Field(
        default=None, exclude=True, repr=False
    )
    """Additional headers for each request. No repr, trace or dump contains them."""

    http_client: httpx.Client | None = Field(default=None, exclude=True, repr=False)
    """Your own client for sync calls. It is never closed here.

    Its timeout applies if `timeout` is not set and it is not httpx's default of 5 s.
    By default all models of the process share their connections.
    """

    http_async_client: httpx.AsyncClient | None = Field(
        default=None, exclude=True, repr=False
    )
    """Your own client for async calls; it can serve one event loop.

    By default all models share their connections, separately in each event loop.
    """

    # The constructor takes the aliases too. Type checkers require `model`, so there
    # `model_name` is none.
    if TYPE_CHECKING:
        api_key: SecretStr | str = ""
        api_secret: SecretStr | str = ""
        request_timeout: PositiveFloat | httpx.Timeout | None = None
        stop_sequences: Param[str | list[str]] = None
    else:
        api_key = property(attrgetter("access_key"))
        api_secret = property(attrgetter("secret_key"))
        request_timeout = property(attrgetter("timeout"))
        stop_sequences = property(attrgetter("stop"))

    model_config = ConfigDict(
        extra="forbid",
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    @property
    def model_name(self) -> str:
        """Name of the model, under the name that other integrations use."""
        return self.model

    # --- Validation ------------------------------------------------------------------

    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Validate without the input in errors: it may contain secrets."""
        if isinstance(values, cls):
            return handler(values)
        named: dict[str, Any] = {}
        try:
            named = cls._rename(values)
            return handler(named)
        except ValidationError as error:
            problems = [_without_secrets(each, named) for each in error.errors()]
        except ValueError as error:
            problems = [_problem("value_error", str(error))]
        # Not inside the except block: the context would still have the input.
        raise ValidationError.from_exception_data(cls.__name__, problems)

    @classmethod
    def _rename(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace aliases by the names of the fields."""
        named: dict[str, Any] = {}
        used: dict[str, str] = {}
        for given, value in values.items():
            name = _ALIASES.get(given, given)
            if name not in cls.model_fields:
                raise ValueError(_params.unknown(given, cls.model_fields))
            if name in named:
                msg = (
                    f"{used[name]!r} and {given!r} are the same parameter: pass one "
                    "of them."
                )
                raise ValueError(msg)
            named[name] = value
            used[name] = given
        return named

    @field_validator("timeout", mode="before")
    @classmethod
    def _read_timeout(cls, value: object) -> object:
        """Accept the serialized form of an `httpx.Timeout`."""
        return httpx.Timeout(**value) if isinstance(value, dict) else value

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

    @field_validator("async_transport")
    @classmethod
    def _validate_transport(cls, value: str) -> str:
        if value == "aiohttp" and importlib.util.find_spec("httpx_aiohttp") is None:
            msg = 'it needs an extra: pip install "langchain-pmock[aiohttp]".'
            raise ValueError(msg)
        return value

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
        """Environment variables that replace the keys in the serialized form."""
        return {"access_key": "PMOCK_ACCESS_KEY", "secret_key": "PMOCK_SECRET_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Fields with a serialized form of their own."""
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

    @override
    def model_copy(
        self, *, update: Mapping[str, Any] | None = None, deep: bool = False
    ) -> Self:
        """Copy the model.

        Args:
            update: Fields to change, as by assignment.
            deep: Whether to copy the values too. Your own clients are always shared.

        Returns:
            The copy.
        """
        twin = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            setattr(twin, name, value)
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but the user's clients, which cannot be copied."""
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field, by its name or an alias."""
        name = _ALIASES.get(name, name)
        if name in _KEYS:
            value = _secret(name, value)
        super().__setattr__(name, value)
        # Cached properties, such as the serialized form that caches and traces use.
        for cached in self.__dict__.keys() - type(self).model_fields.keys():
            del self.__dict__[cached]

    # --- Requests --------------------------------------------------------------------

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._client().post(self._body(messages, stop, kwargs), chat_result)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        body = self._body(messages, stop, kwargs)
        return await self._client().apost(body, chat_result)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs, streamed=True)
        return self._client().stream(body, ChunkParser)

    @override
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        body = self._body(messages, stop, kwargs, streamed=True)
        return self._client().astream(body, ChunkParser)

    def _client(self) -> PmockClient:
        """Make the client from the fields as they are now; it holds no connection."""
        return PmockClient(
            auth=PmockAuth(self.access_key, self.secret_key),
            base_url=self.base_url,
            timeout=None if self.timeout is None else httpx.Timeout(self.timeout),
            max_retries=self.max_retries,
            stream_chunk_timeout=self.stream_chunk_timeout,
            max_response_bytes=self.max_response_bytes,
            async_transport=self.async_transport,
            headers=self.default_headers or {},
            http_client=self.http_client,
            http_async_client=self.http_async_client,
        )

    def _body(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: Mapping[str, Any],
        *,
        streamed: bool = False,
    ) -> dict[str, Any]:
        params = self._call_params(stop, kwargs)
        if streamed and params.get("n", 1) > 1:
            msg = (
                f"n={params['n']} cannot be streamed, because a stream carries one "
                "answer: use generate."
            )
            raise PmockInvalidRequestError(msg)
        return {**_PARAMS.to_wire(params), "messages": to_wire(messages, self.wire)}

    def _default_params(self) -> dict[str, Any]:
        """Give the parameters that the constructor set, under their names."""
        values = {name: getattr(self, name) for name in _PARAMS.settable}
        return {k: v for k, v in values.items() if v is not None and v not in ({}, [])}

    def _call_params(
        self, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Put what a call was given over what the constructor set."""
        params = self._default_params()
        # LangChain's own switch between invoke and stream, which it has acted upon.
        given = {k: v for k, v in kwargs.items() if k != "stream"}
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
            from langchain_pmock._request import schemas  # noqa: PLC0415 - slow to load

            given["response_format"] = schemas.response_format(schema, strict=None)
        return _PARAMS.merge(params, given)

    # --- Tools and structured output -------------------------------------------------

    @override
    def bind_tools(
        self,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | Mapping[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools.

        Args:
            tools: Functions, `BaseTool`s, pydantic classes, TypedDicts, JSON schemas,
                or tools as OpenAI or Anthropic write them.
            tool_choice: `"auto"` or `"none"`; `"any"`, `"required"` or `True` for at
                least one call; a tool's name, or a dict as OpenAI or Anthropic write
                it, for a call of that tool. `None` and `False` send nothing.
            strict: Whether calls must keep to the tools' schemas.
            parallel_tool_calls: Whether the model may call several tools at once.
            **kwargs: More parameters to bind.

        Returns:
            The model with the tools bound to it.

        Raises:
            ValueError: If something is no tool, or `tool_choice` is none of the above.
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
        method: Literal["json_schema", "function_calling", "json_mode"] = ...,
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
        method: Literal["json_schema", "function_calling", "json_mode"] = ...,
        include_raw: Literal[True],
        strict: bool | None = ...,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool]
        | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any]]: ...

    @overload
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = ...,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = ...,
        include_raw: bool = ...,
        strict: bool | None = ...,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool]
        | None = ...,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]: ...

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        tools: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool]
        | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, dict[str, Any] | BaseModel]:
        """Let the model answer in the form of a schema.

        Args:
            schema: A pydantic class, a TypedDict, a JSON schema, or a function or tool
                as OpenAI writes it. May only be left out with `"json_mode"`.
            method: `"json_schema"` sends the schema as `responseFormat`;
                `"function_calling"` as a tool that must be called, for models whose
                profile has no `structured_output`; `"json_mode"` asks for any JSON, so
                the prompt must say which.
            include_raw: Whether to return a dict of `raw` (the message), `parsed` and
                `parsing_error` instead of raising if the answer cannot be parsed.
            strict: Whether the model must keep to the schema; not for `"json_mode"`.
            tools: Tools that the model may call before it answers; only with
                `"json_schema"`. If it does, `parsed` is `None`.
            **kwargs: More parameters to bind.

        Returns:
            A runnable that gives an object of the pydantic class, or else a dict. It
            streams partial dicts. A refusal raises `PmockRefusalError`; an answer that
            is cut or does not fit the schema, `OutputParserException`.

        Raises:
            ValueError: If an argument is not one of the above.
        """
        # Slow to load, and not every program needs them.
        from langchain_pmock._request import schemas  # noqa: PLC0415
        from langchain_pmock._response import parsers  # noqa: PLC0415

        schemas.check_arguments(schema, method=method, strict=strict, tools=tools)
        bind: dict[str, Any] = {}
        if schema is not None:
            schema = schemas.named(schema)
        if method == "function_calling" and schema is not None:
            schema = schemas.tool_schema(schema)
            tool = schemas.answer_tool(schema, strict=strict)
            function = {"name": tool["function"]["name"]}
            bind["tools"] = [tool]
            bind["tool_choice"] = {"type": "function", "function": function}
            bind["parallel_tool_calls"] = False  # one answer was asked for
            parser = parsers.from_call(schema, function["name"])
        else:
            bind["response_format"] = (
                {"type": "json_object"}
                if method == "json_mode" or schema is None
                else schemas.response_format(schema, strict=strict)
            )
            parser = parsers.from_text(schema)
        if tools:
            bind["tools"] = _tools.tools_to_wire(tools, strict=strict)
        if schema is not None:
            options = {
                "method": method,
                **({} if strict is None else {"strict": strict}),
            }
            # LangSmith shows it beside the answer; langchain-core takes it out again.
            bind["ls_structured_output_format"] = {"kwargs": options, "schema": schema}
        llm = self.bind(**{**bind, **kwargs})
        if include_raw:
            return RunnableMap(raw=llm) | parsers.beside_raw(parser)
        return llm | parser

    # --- What LangChain asks of a model ----------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "pmock-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**self._default_params(), "base_url": self.base_url}

    @override
    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        given = {_ALIASES.get(name, name): v for name, v in kwargs.items()}
        params = {**self._default_params(), **given}
        stop = params.get("stop") if stop is None else stop
        found = {
            "ls_model_name": params.get("model") or self.model,
            "ls_temperature": params.get("temperature"),
            "ls_max_tokens": params.get("max_tokens")
            or params.get("max_completion_tokens"),
            "ls_stop": [stop] if isinstance(stop, str) else stop or None,
        }
        known = {name: value for name, value in found.items() if value is not None}
        ls_params = {"ls_provider": PROVIDER, "ls_model_type": "chat", **known}
        return cast("LangSmithParams", ls_params)

    def _resolve_model_profile(self) -> ModelProfile | None:
        return get_profile(self.model)

    # --- Token counts ----------------------------------------------------------------

    @override
    def get_num_tokens(self, text: str) -> int:
        """Estimate the tokens of a text, without a tokenizer.

        Args:
            text: The text.

        Returns:
            About as many tokens as the model will count.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        from langchain_pmock._request import tokens as _tokens  # noqa: PLC0415 - slow to load

        return _tokens.count_text_tokens(text)

    @override
    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the tokens of messages: text, images, tool calls and all.

        Args:
            messages: The conversation.
            tools: The tools that are bound to the model.

        Returns:
            About as many tokens as the model will count.
        """
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(list(messages), tools)
        from langchain_pmock._request import tokens as _tokens  # noqa: PLC0415 - slow to load

        return _tokens.count_message_tokens(list(messages), tools, self.wire)


def _secret(name: str, value: object) -> SecretStr:
    """Check a key. No error shows it."""
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
    """Keep the input of a validation error only where it cannot be a secret."""
    kind, loc = problem["type"], problem["loc"]
    message = problem["msg"].removeprefix("Value error, ")
    name = str(loc[0]) if loc else ""
    if name not in values or name not in _SHOWN.union(_PARAMS.settable):
        return _problem(kind, message, loc)
    value = values[name]
    return _problem(kind, _params.invalid(name, value, message), (name,), value)


def _problem(
    kind: str, message: str, loc: tuple[int | str, ...] = (), value: object = None
) -> InitErrorDetails:
    # pydantic's own types have fixed texts.
    return {"type": PydanticCustomError(kind, message), "loc": loc, "input": value}


_PARAMS = _params.Params(ChatPmock.model_fields)
