"""Conversion of tools and the tool choice to OpenAI's format."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function

from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

_WORDS = {"auto": "auto", "none": "none", "any": "required", "required": "required"}
# Such as web_search_20250305: they are run by Anthropic, or have no schema.
_ANTHROPIC_TOOL = re.compile(r"\w+_20\d{6}")


def tools_to_wire(
    tools: Iterable[ToolLike], *, strict: bool | None = None
) -> list[dict[str, Any]]:
    """Convert tools to the request's tools."""
    if isinstance(tools, (str, Mapping)) or not isinstance(tools, Iterable):
        msg = f"tools={reprlib.repr(tools)} is not valid: it must be a list of tools."
        raise PmockInvalidRequestError(msg)
    return [
        tool_to_wire(tool, f"tools[{index}]", strict=strict)
        for index, tool in enumerate(tools)
    ]


def tool_to_wire(tool: ToolLike, place: str, *, strict: bool | None) -> dict[str, Any]:
    """Convert one tool; errors mention its place."""
    marked: Any = getattr(tool, "extras", None)  # LangChain's place for cache_control
    if isinstance(tool, Mapping):
        marked, kind = tool, tool.get("type")
        if isinstance(kind, str) and _ANTHROPIC_TOOL.fullmatch(kind):
            msg = (
                f"{place}={reprlib.repr(tool)} is not valid: pmock takes tools in "
                "OpenAI's format, which has no form for Anthropic's own tools."
            )
            raise PmockInvalidRequestError(msg)
        is_foreign = isinstance(kind, str) and kind not in ("function", "object")
        if is_foreign and "input_schema" not in tool:
            return dict(tool)  # OpenAI's own, such as web_search
        if isinstance(function := tool.get("function"), Mapping):
            if strict is not None:
                function = convert(function, place, strict=strict)
            # langchain-core would drop other fields.
            return _without_nulls({**tool, "function": _without_nulls(function)})
    written = {"type": "function", "function": convert(tool, place, strict=strict)}
    if isinstance(marked, Mapping) and (mark := marked.get("cache_control")):
        written["cache_control"] = mark  # for the Claude models
    return written


def convert(tool: Any, place: str, *, strict: bool | None) -> dict[str, Any]:
    """Convert a tool or schema to OpenAI's function, as langchain-core does."""
    plain = _without_nulls(tool) if isinstance(tool, Mapping) else tool
    try:
        return _without_nulls(convert_to_openai_function(plain, strict=strict))
    except Exception as error:  # of any type, since it runs code of the user's classes
        msg = f"{place}={reprlib.repr(tool)} is not valid: {error}"
        raise PmockInvalidRequestError(msg) from error


def choice_to_wire(
    choice: str | bool | Mapping[str, Any] | None,  # noqa: FBT001 - LangChain's API
    tools: Sequence[Mapping[str, Any]],
) -> str | dict[str, Any] | None:
    """Convert the tool choice to the request's; `None` to send none.

    It can be `"auto"`, `"none"`, `"any"`, `"required"` or `True` (the last three for at
    least one call), a tool's name, a dict in OpenAI's or Anthropic's format, or
    `False`.
    """
    if choice is None or choice is False:
        return None
    name: object = "required" if choice is True else choice
    if isinstance(choice, Mapping):
        kind = str(choice.get("type"))
        function = choice.get("function")
        name = (function if isinstance(function, Mapping) else choice).get("name")
        if name is None and kind in _WORDS:
            return _WORDS[kind]
        if kind not in ("function", "tool"):  # OpenAI's and Anthropic's
            return dict(choice)  # another type, which the service validates
    elif isinstance(name, str) and name in _WORDS:
        if _WORDS[name] == "required" and not tools:
            msg = f"tool_choice={choice!r} is not valid without tools."
            raise PmockInvalidRequestError(msg)
        return _WORDS[name]
    if name in [tool.get("type") for tool in tools if "function" not in tool]:
        return {"type": name}  # one of OpenAI's own tools
    names = [(tool.get("function") or tool).get("name") for tool in tools]
    names = [found for found in names if isinstance(found, str)]
    if name not in names:
        msg = (
            f"tool_choice={choice!r} is not valid: the tools are {names}; also allowed "
            "are 'auto', 'none', 'any', 'required', True and False."
        )
        raise PmockInvalidRequestError(msg)
    return {"type": "function", "function": {"name": name}}


def choice_params(choice: Any, tools: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Convert the tool choice to parameters; Anthropic's can have two."""
    params: dict[str, Any] = {"tool_choice": choice_to_wire(choice, tools)}
    if isinstance(choice, Mapping) and "disable_parallel_tool_use" in choice:
        params["parallel_tool_calls"] = not choice["disable_parallel_tool_use"]
    return params


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Drop nulls, and the empty description of a class without a docstring."""
    return {name: value for name, value in fields.items() if value not in (None, "")}
