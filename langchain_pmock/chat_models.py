"""`ChatPmock`: LangChain's chat model over the pmock gateway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx
from pydantic import ConfigDict
from typing_extensions import override

from langchain_pmock._binding import PmockBinding
from langchain_pmock._gateway.client import PmockClient
from langchain_pmock._request import params as _params
from langchain_pmock._request import tools as _tools
from langchain_pmock._request.messages import to_wire
from langchain_pmock._response import content_blocks as _translator
from langchain_pmock._response.chunks import ChunkParser
from langchain_pmock._response.messages import PROVIDER, chat_result
from langchain_pmock._settings import PmockSettings
from langchain_pmock.auth import PmockAuth
from langchain_pmock.data._profiles import get_profile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import (
        LangSmithParams,
        ModelProfile,
    )
    from langchain_core.messages import BaseMessage
    from langchain_core.outputs import ChatGenerationChunk, ChatResult

_translator.register()

# The parameters that the constructor takes. pydantic is slow to say that it has no such
# field, and this is asked three times in each call.
_SETTABLE = [
    n for n in _params.Params.__annotations__ if n in PmockSettings.model_fields
]


class ChatPmock(PmockBinding):
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

    model_config = ConfigDict(defer_build=False)

    @property
    def model_name(self) -> str:
        """The model's name, by the name that other integrations have for it."""
        return self.model

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
        """Make the client from the fields as they are now; it costs next to nothing."""
        return PmockClient(
            auth=PmockAuth(self.access_key, self.secret_key),
            base_url=self.base_url,
            timeout=None if self.timeout is None else httpx.Timeout(self.timeout),
            max_retries=self.max_retries,
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
            raise ValueError(msg)
        return {**_params.to_wire(params), "messages": to_wire(messages)}

    def _default_params(self) -> dict[str, Any]:
        """Give the parameters that the constructor set, under their names."""
        values = {name: getattr(self, name) for name in _SETTABLE}
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
        return _params.merge(params, given)

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
        given = {_params.ALIASES.get(name, name): v for name, v in kwargs.items()}
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

        return _tokens.count_message_tokens(list(messages), tools)
