"""`ChatPmock`, the LangChain chat model for the pmock gateway."""

# Annotations are evaluated: LangChain calls typing.get_type_hints on public methods.
import hmac
import inspect
import json
from collections import UserDict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    cast,
    overload,
)

import httpx2
from langchain_core.callbacks import (
    AsyncCallbackManagerForLLMRun,
    CallbackManagerForLLMRun,
)
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding, RunnableMap
from langchain_core.utils import from_env, secret_from_env
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema
from typing_extensions import override

from langchain_pmock._gateway import endpoint as _endpoint
from langchain_pmock._gateway.client import Call, PmockClient
from langchain_pmock._request import params as _params
from langchain_pmock._request import schemas as _schemas
from langchain_pmock._request import tokens as _tokens
from langchain_pmock._request import tools as _tools
from langchain_pmock._request.messages import to_wire
from langchain_pmock._request.params import RequestParams
from langchain_pmock._response import content_blocks as _translator
from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import (
    PROVIDER,
    WholeParser,
    combined_llm_output,
)
from langchain_pmock._signature import Key, read_key
from langchain_pmock._version import __version__
from langchain_pmock._wire import Wire
from langchain_pmock.data._profiles import get_profile
from langchain_pmock.errors import PmockInvalidRequestError

ModelT = TypeVar("ModelT", bound=BaseModel)

_translator.register()

_Method = Literal["json_schema", "function_calling", "json_mode"]

_ALIASES = {
    **_params.ALIASES,
    "api_key": "access_key",  # the names in the service's own sample code
    "api_secret": "secret_key",
}
_RETRIES = 2
_CLIENT = tuple(inspect.signature(PmockClient).parameters)
# Names that LangChain itself passes to calls.
_LANGCHAINS = {"stream", "ls_structured_output_format", "structured_output_format"}

_Timeout = Annotated[_endpoint.Timeout, BeforeValidator(_endpoint.check_timeout)]


class _Masked:
    """Serializes a key, or the function that returns it, as asterisks.

    pydantic's `PlainSerializer` does the same; its module takes a tenth of the import.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, key: Any, handler: Any) -> Any:
        masked = core_schema.plain_serializer_function_ser_schema(
            lambda _: "**********", when_used="json"
        )
        return {**handler(key), "serialization": masked}


class _Headers(UserDict[str, str]):
    """Headers whose values are neither in the repr nor serialized.

    Error trackers record the repr of the local variables of each frame.
    """

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


class ChatPmock(RequestParams, BaseChatModel):
    """Chat models of the pmock gateway: GPT, Gemini and Claude behind one endpoint.

    Instantiate; the keys are read from `PMOCK_ACCESS_KEY` and `PMOCK_SECRET_KEY`:
        ```python
        from langchain_pmock import ChatPmock

        model = ChatPmock(model="gpt-5.1", temperature=0, max_tokens=500)
        ```

    Invoke and stream; `ainvoke` and `astream` are their async versions:
        ```python
        message = model.invoke([("system", "You are terse."), ("human", "Hello")])
        print(message.text, message.usage_metadata)

        for chunk in model.stream("Tell me a story."):
            print(chunk.text, end="")
        ```

    Tools and structured output:
        ```python
        from pydantic import BaseModel


        class Weather(BaseModel):
            '''The weather in a city.'''

            city: str


        print(model.bind_tools([Weather]).invoke("And in Paris?").tool_calls)
        print(model.with_structured_output(Weather).invoke("And in Paris?").city)
        ```

    Its parameters are its fields. Calls and `bind` accept those of the request,
    `timeout` and `extra_headers`. `None` unsets the constructor's value; for `stop`,
    for which LangChain passes `None` by default, use `[]`. Only parameters that are set
    are sent. A subclass adds a parameter as a field of type `Param`.
    """

    # --- Fields: the client. Those of the request are in RequestParams ---------------

    access_key: Annotated[
        Key,
        BeforeValidator(partial(_endpoint.check_key, "access_key", "api_key")),
        _Masked,
    ] = Field(
        default_factory=secret_from_env("PMOCK_ACCESS_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """Access key; read from `PMOCK_ACCESS_KEY` if not given; also `api_key`.

    It and the secret key may be functions without arguments that return the key. They
    are called for each attempt, so that keys can rotate.
    """

    secret_key: Annotated[
        Key,
        BeforeValidator(partial(_endpoint.check_key, "secret_key", "api_secret")),
        _Masked,
    ] = Field(
        default_factory=secret_from_env("PMOCK_SECRET_KEY", default=""),
        repr=False,
        validate_default=True,
    )
    """Secret key; read from `PMOCK_SECRET_KEY` if not given; also `api_secret`.

    It signs requests and is never sent.
    """

    base_url: Annotated[str, AfterValidator(_endpoint.check_base_url)] = Field(
        default_factory=from_env("PMOCK_BASE_URL", default=_endpoint.DEFAULT_BASE_URL),
        validate_default=True,
    )
    """URL of the service; read from `PMOCK_BASE_URL` if not given."""

    timeout: _Timeout | None = None
    """Timeout in seconds, or a `Timeout` of httpx2 or httpx; also `request_timeout`.

    The default is 30 s to connect and 600 s between two reads.
    """

    stream_chunk_timeout: PositiveFloat | None = 600.0
    """Maximum seconds without a chunk of a stream; `None` for no limit.

    Keep-alives are not chunks.
    """

    max_response_bytes: PositiveInt = 64 * 2**20
    """Maximum decoded size of an answer, also a streamed one, in bytes: 64 MiB.

    At its peak, a call takes up to six times as much memory for text, and fifty times
    as much for JSON that consists of empty objects.
    """

    max_retries: int | None = Field(default=_RETRIES, ge=0)
    """Maximum number of retries after a temporary failure; `None` for 2.

    A stream is retried only before its first chunk.
    """

    streaming: bool | None = None
    """Whether `invoke` streams internally; `False` disables streaming altogether."""

    wire: Wire = Wire()
    """Names of request fields that the service does not document."""

    default_headers: (
        Annotated[
            Mapping[str, str],
            AfterValidator(partial(_endpoint.check_headers, "default_headers")),
        ]
        | None
    ) = Field(default=None, exclude=True, repr=False)
    """Additional headers for each request; in no repr, trace or serialized form."""

    http_client: Annotated[
        _endpoint.SyncClient | None,
        BeforeValidator(partial(_endpoint.check_client, "http_client", "Client")),
    ] = Field(default=None, exclude=True, repr=False)
    """Your own client of httpx2 or httpx for sync calls, which you close yourself.

    Its timeout applies if `timeout` is not set, unless it is the library's default of
    5 s. By default all models of the process share their connections.
    """

    http_async_client: Annotated[
        _endpoint.AsyncClient | None,
        BeforeValidator(
            partial(_endpoint.check_client, "http_async_client", "AsyncClient")
        ),
    ] = Field(default=None, exclude=True, repr=False)
    """Your own client for async calls; it can be used in one event loop.

    By default all models in an event loop share their connections.
    """

    # The constructor accepts the aliases too. `model_name` is not declared, because
    # type checkers require `model`.
    if TYPE_CHECKING:
        api_key: Key = ""
        api_secret: Key = ""
        request_timeout: _endpoint.Timeout | None = None
        stop_sequences: str | list[str] | None = None
        extra_body: dict[str, Any] = {}

    _call_types: ClassVar[Mapping[str, Any]] = {
        "timeout": _Timeout,
        "extra_headers": Annotated[
            dict[str, str],
            AfterValidator(partial(_endpoint.check_headers, "extra_headers")),
            AfterValidator(_Headers),
        ],
    }

    @property
    def model_name(self) -> str:
        """Alias of `model`, as in other integrations."""
        return self.model

    # --- Validation ------------------------------------------------------------------

    @classmethod
    def _rename(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace aliases by the names of the fields."""
        named: dict[str, Any] = {}
        for given, value in values.items():
            name = _ALIASES.get(given, given)
            if name == "stream_usage" and value in (None, True):
                continue  # from other LangChain packages: usage is always sent
            if name not in cls.model_fields:
                raise ValueError(_params.unknown(given, cls.model_fields))
            if name in named:
                msg = f"{name!r} is given twice: by its name and by an alias."
                raise ValueError(msg)
            named[name] = value
        return named

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.streaming and (self.n or 1) > 1:
            msg = f"n={self.n} is not valid with streaming=True"
            raise ValueError(msg)
        self._add_version("langchain-pmock", __version__)
        return self

    # Must be the last validator, or errors of the others would contain the input.
    @model_validator(mode="wrap")
    @classmethod
    def _validate(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Validate, without the input in errors, which may contain secrets."""
        if not isinstance(values, dict):
            return handler(values)
        try:
            values = cls._rename(values)
            return handler(values)
        except ValidationError as error:
            found: Any = error.errors()
        except ValueError as error:
            found = [{"type": "value_error", "msg": str(error), "loc": ()}]
        # Outside the except block, so that the error's context has no input either.
        problems = [cls._without_secrets(each, values) for each in found]
        raise ValidationError.from_exception_data(cls.__name__, problems)

    @classmethod
    def _without_secrets(
        cls, problem: Mapping[str, Any], values: Mapping[str, Any]
    ) -> InitErrorDetails:
        """Remove the input of a validation error unless it cannot be a secret."""
        loc, message, value = problem["loc"][:1], problem["msg"], None
        name = "".join(map(str, loc))
        if name in values and name in cls._types:
            value = None if cls._is_redacted(name) else values[name]
            message = cls._describe(name, values[name], message)
        # pydantic's own types of errors have fixed texts.
        kind = PydanticCustomError(
            problem["type"], message.removeprefix("Value error, ")
        )
        return {"type": kind, "loc": loc, "input": value}

    # --- Copies and serialized forms -------------------------------------------------

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Environment variables that the serialized form refers to."""
        return {"access_key": "PMOCK_ACCESS_KEY", "secret_key": "PMOCK_SECRET_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """Fields with a custom serialized form."""
        attributes: dict[str, Any] = {"wire": asdict(self.wire)}
        if isinstance(self.timeout, httpx2.Timeout):
            attributes["timeout"] = self.timeout.as_dict()
        return attributes

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Whether the model can be serialized: it can."""
        return True

    def __repr_args__(self) -> Any:
        """Leave defaults and fields set by LangChain out of the repr."""
        default = ("base_url", _endpoint.DEFAULT_BASE_URL)
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
        """Copy the model; the fields of `update` are validated as by assignment."""
        twin = super().model_copy(deep=deep)
        for name, value in (update or {}).items():
            setattr(twin, name, value)
        return twin

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy the model and share its clients, which cannot be copied."""
        memo = {} if memo is None else memo
        own = self.__dict__.get("_client")
        for client in (self.http_client, self.http_async_client, own):
            memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        """Leave out what is made on first use, such as the client."""
        state = super().__getstate__()
        fields = type(self).model_fields
        kept = {name: v for name, v in state["__dict__"].items() if name in fields}
        return {**state, "__dict__": kept}

    def __setattr__(self, name: str, value: object) -> None:
        """Set a field, by its name or an alias."""
        name = _ALIASES.get(name, name)
        if name in self._types:
            value = self._checked({name: value})[name]
        if name == "model" and self.profile == get_profile(self.model):
            super().__setattr__("profile", get_profile(str(value)))
        super().__setattr__(name, value)
        # Cached properties, such as the serialized form that caches and traces use.
        for cached in self.__dict__.keys() - type(self).model_fields.keys():
            if cached != "_client" or name in _CLIENT:
                self.__dict__.pop(cached, None)

    # --- Requests --------------------------------------------------------------------

    if not TYPE_CHECKING:  # the type of the result is LangChain's

        @override
        def bind(self, **kwargs: Any) -> Any:
            """Bind parameters of calls, after validating them."""
            return _Binding(bound=self, kwargs=self._bindable(kwargs), config={})

        @override
        def with_config(self, config: Any = None, **kwargs: Any) -> Any:
            """Bind a config; what is bound to the result is validated too."""
            return self.bind().with_config(config, **kwargs)

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call: Call[ChatResult] = self._prepare(messages, stop, kwargs)
        [result] = self._client.send(call)
        return result

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call: Call[ChatResult] = self._prepare(messages, stop, kwargs)
        [result] = [result async for result in self._client.asend(call)]
        return result

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        return self._client.send(self._prepare(messages, stop, kwargs, streamed=True))

    @override
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        return self._client.asend(self._prepare(messages, stop, kwargs, streamed=True))

    def _prepare(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        kwargs: dict[str, Any],
        *,
        streamed: bool = False,
    ) -> Call[Any]:
        """Validate and convert what is sent for one call."""
        params = self._call_params(stop, kwargs)
        if "extra_headers" in kwargs:  # the one of the frame that called
            kwargs["extra_headers"] = params.get("extra_headers")
        if (timeout := params.get("timeout")) is not None:
            timeout = httpx2.Timeout(timeout)
        headers = self._headers(params.get("extra_headers"))
        body = self._to_wire(params, to_wire(messages, self.wire))
        if not streamed:
            return Call(body, WholeParser, timeout, headers)
        if (params.get("n") or 1) > 1:
            msg = f"n={params['n']} cannot be streamed: use generate."
            raise PmockInvalidRequestError(msg)
        return Call({**body, "stream": True}, ChunkParser, timeout, headers)

    def _call_params(
        self, stop: list[str] | None, kwargs: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Validate and convert the parameters of a call, and add those of the model."""
        own = {**self._set_params(), "timeout": self.timeout}
        if stop is None and not kwargs:
            return own
        given = {k: v for k, v in kwargs.items() if k not in _LANGCHAINS}
        if given.get("stream_usage") in (None, True):
            given.pop("stream_usage", None)
        if stop is not None:
            given["stop"] = stop
        if (tools := given.get("tools")) is not None:
            given["tools"] = _tools.tools_to_wire(tools)
        if given.get("tool_choice") is not None:
            choice = given.pop("tool_choice")
            given = {**_tools.choice_params(choice, given.get("tools") or []), **given}
        if (schema := given.get("response_format")) is not None:
            given["response_format"] = _schemas.response_format(schema, strict=None)
        return self._merged(own, given)

    def _bindable(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Validate what is bound, and redact its headers."""
        # A choice of a tool may be bound before the tools.
        omit = "" if kwargs.get("tools") else "tool_choice"
        self._call_params(None, {k: v for k, v in kwargs.items() if k != omit})
        if headers := kwargs.get("extra_headers"):
            kwargs["extra_headers"] = _Headers(headers)
        return kwargs

    def _headers(self, extra: Mapping[str, str] | None) -> Mapping[str, str] | None:
        """Merge the headers of the model and of a call."""
        if not (self.default_headers or extra):
            return None
        pairs = [*(self.default_headers or {}).items(), *(extra or {}).items()]
        return _Headers((name.lower(), value) for name, value in pairs)

    @cached_property
    def _client(self) -> PmockClient:
        """The client of this model: it is made on first use, and not copied."""
        fields = {name: getattr(self, name) for name in _CLIENT}
        if self.max_retries is None:
            fields["max_retries"] = _RETRIES
        return PmockClient(**fields)

    # --- Tools and structured output -------------------------------------------------

    @override
    def bind_tools(
        self,
        tools: Sequence[_tools.ToolLike],
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
        given = _tools.choice_params(tool_choice, bound)
        if parallel_tool_calls is not None:
            given["parallel_tool_calls"] = parallel_tool_calls
        set_ = {name: value for name, value in given.items() if value is not None}
        return self.bind(tools=bound, **set_, **kwargs)

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
        tools: Sequence[_tools.ToolLike] | None = ...,
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
        tools: Sequence[_tools.ToolLike] | None = ...,
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
        tools: Sequence[_tools.ToolLike] | None = None,
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
        from langchain_pmock._response import parsers  # noqa: PLC0415 - slow to import

        method = method or self._structured_method(tools)
        _schemas.check_arguments(schema, method=method, strict=strict, tools=tools)
        named: Any = _schemas.named(schema)
        others = _tools.tools_to_wire(tools or [], strict=strict)
        bind: dict[str, Any] = {"tools": others} if others else {}
        if method == "function_calling":
            tool = _schemas.answer_tool(named, strict=strict)
            name = tool["function"]["name"]
            bind["tools"] = [*others, tool]
            if others:
                bind["tool_choice"] = "required"
            else:
                bind["tool_choice"] = {"type": "function", "function": {"name": name}}
                bind["parallel_tool_calls"] = False  # one answer is expected
            parser = parsers.answer_parser(named, name, other_tools=bool(others))
        else:
            wanted = {"type": "json_object"} if method == "json_mode" else named
            bind["response_format"] = _schemas.response_format(wanted, strict=strict)
            parser = parsers.answer_parser(named)
        if named is not None:
            options = {"method": method, "strict": strict}
            # For LangSmith; langchain-core removes it from the call's parameters.
            bind["ls_structured_output_format"] = {"kwargs": options, "schema": named}
        llm = self.bind(**{**bind, **kwargs})
        if include_raw:
            return RunnableMap(raw=llm) | parsers.beside_raw(parser)
        return llm | parser

    def _structured_method(self, tools: Sequence[_tools.ToolLike] | None) -> _Method:
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
        return {**self._set_params(), "base_url": self.base_url}

    @override
    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        # LangChain calls this before callbacks, caches and traces see the parameters.
        stop = self._call_params(stop, kwargs).get("stop")
        kwargs.pop("extra_headers", None)  # they may be secret
        return super()._get_invocation_params(stop, **kwargs)

    @override
    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # The cache key. Headers are in it by a digest: they cannot be guessed from it.
        if headers := self._headers(kwargs.pop("extra_headers", None)):
            key = read_key(self.secret_key, "secret_key").encode()
            text = json.dumps(sorted(headers.items())).encode()
            kwargs["headers"] = hmac.digest(key, text, "sha256").hex()
        return super()._get_llm_string(stop, **kwargs)

    @override
    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        params = self._call_params(stop, kwargs)
        stops, limit = params.get("stop"), params.get("max_completion_tokens")
        found = {
            "ls_provider": PROVIDER,
            "ls_model_type": "chat",
            "ls_model_name": params["model"],
            "ls_temperature": params.get("temperature"),
            "ls_max_tokens": params.get("max_tokens") or limit,
            "ls_stop": [stops] if isinstance(stops, str) else stops,
        }
        found = {name: value for name, value in found.items() if value is not None}
        return cast("LangSmithParams", found)

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
        """Estimate the number of tokens of a text, without a tokenizer."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens(text)
        return _tokens.count_text_tokens(text)

    @override
    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Estimate the tokens of messages, images, tool calls and bound tools."""
        if self.custom_get_token_ids is not None:
            return super().get_num_tokens_from_messages(list(messages), tools)
        return _tokens.count_message_tokens(list(messages), tools, self.wire)


class _Binding(RunnableBinding[LanguageModelInput, AIMessage]):
    """A model with bound parameters; those that are bound to it are validated too."""

    model_config = ConfigDict(defer_build=True)  # as in RequestParams

    if not TYPE_CHECKING:

        @override
        def bind(self, **kwargs: Any) -> Any:
            kwargs = {**self.kwargs, **kwargs}
            return super().bind(**self.bound._bindable(kwargs))  # noqa: SLF001

    @classmethod
    @override
    def lc_id(cls) -> list[str]:
        return RunnableBinding.lc_id()


for _alias in sorted(_ALIASES.keys() - {"model_name"}):
    setattr(ChatPmock, _alias, property(attrgetter(_ALIASES[_alias])))

# LangChain asks for the signature at each call; computing it takes 3 % of an `invoke`.
_method: Any
for _method in (ChatPmock._generate, ChatPmock._agenerate):  # noqa: SLF001
    _method.__signature__ = inspect.signature(_method)
