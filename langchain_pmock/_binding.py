"""What is bound to the model: tools, and the form of its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from langchain_core.runnables import RunnableMap
from typing_extensions import override

from langchain_pmock._request import tools as _tools
from langchain_pmock._settings import PmockSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound="BaseModel")


class PmockBinding(PmockSettings):
    """The part of `ChatPmock` that makes other runnables of it."""

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
