"""Tools and tool choice, written in OpenAI's shapes."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_pmock.errors import PmockInvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_core.tools import BaseTool

    ToolLike = Mapping[str, Any] | type | Callable[..., Any] | BaseTool

_WORDS = {"auto": "auto", "none": "none", "any": "required", "required": "required"}
_FORCED = ("function", "tool")  # OpenAI's and Anthropic's word for it


def tools_to_wire(
    tools: Iterable[ToolLike], *, strict: bool | None = None
) -> list[dict[str, Any]]:
    """Write tools as the wire has them.

    Args:
        tools: Whatever LangChain calls a tool.
        strict: Whether calls must keep to the schemas; `None` leaves it to the service.

    Returns:
        The request's `tools`.

    Raises:
        PmockInvalidRequestError: If something is no tool. The text names its place.
    """
    if isinstance(tools, (str, Mapping)) or not isinstance(tools, Iterable):
        msg = f"tools={reprlib.repr(tools)} is not valid: it must be a list of tools."
        raise PmockInvalidRequestError(msg)
    return [
        tool_to_wire(tool, f"tools[{index}]", strict=strict)
        for index, tool in enumerate(tools)
    ]


def tool_to_wire(tool: ToolLike, place: str, *, strict: bool | None) -> dict[str, Any]:
    """Write one tool; the error names the place."""
    try:
        return _tool(tool, strict=strict)
    except Exception as error:
        msg = f"{place}={reprlib.repr(tool)} is not valid: {error}"
        raise PmockInvalidRequestError(msg) from error


def choice_to_wire(
    choice: str | bool | Mapping[str, Any],  # noqa: FBT001 - LangChain's own form
    tools: Sequence[Mapping[str, Any]],
) -> str | dict[str, Any] | None:
    """Write the choice among tools as the wire has it.

    Args:
        choice: `"auto"`, `"none"`, `"any"` or `"required"` or `True` for at least one
            call, a tool's name, a dict as OpenAI or Anthropic write it, or `False`.
        tools: The request's `tools`.

    Returns:
        The request's `toolChoice`; `None` if there is none to send.

    Raises:
        PmockInvalidRequestError: If it is none of these, or names a tool that is not
            there.
    """
    if choice is False:
        return None
    name: object = "required" if choice is True else choice
    if isinstance(choice, Mapping):
        kind = str(choice.get("type"))
        function = choice.get("function")
        name = (function if isinstance(function, Mapping) else choice).get("name")
        if name is None and kind in _WORDS:
            return _WORDS[kind]
        if kind not in _FORCED:
            return dict(choice)  # a kind of its own: the service judges
    elif isinstance(name, str) and name in _WORDS:
        if _WORDS[name] == "required" and not tools:
            msg = f"tool_choice={choice!r} is not valid without tools."
            raise PmockInvalidRequestError(msg)
        return _WORDS[name]
    names = [known for tool in tools if (known := _name(tool)) is not None]
    if name not in names:
        msg = (
            f"tool_choice={choice!r} is not valid: the tools are {names}; also allowed "
            "are 'auto', 'none', 'any', 'required', True and False."
        )
        raise PmockInvalidRequestError(msg)
    return {"type": "function", "function": {"name": name}}


def parallel_tool_calls(choice: object) -> bool | None:
    """Read from a choice what Anthropic writes there, and the wire beside it."""
    if isinstance(choice, Mapping) and "disable_parallel_tool_use" in choice:
        return not choice["disable_parallel_tool_use"]
    return None


def _tool(tool: ToolLike, *, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, dict) and tool.get("type") == "function":
        # In OpenAI's form already; langchain-core would drop `strict`.
        if strict is None or "function" not in tool:
            return tool
        return {**tool, **convert_to_openai_tool(tool["function"], strict=strict)}
    written = convert_to_openai_tool(tool, strict=strict)
    # Anthropic's mark, for the Claude models; LangChain has it in a tool's extras.
    marked = tool if isinstance(tool, dict) else getattr(tool, "extras", None)
    if isinstance(marked, dict) and "cache_control" in marked:
        written = {**written, "cache_control": marked["cache_control"]}
    return written


def _name(tool: Mapping[str, Any]) -> str | None:
    name = (tool.get("function") or tool).get("name")
    return name if isinstance(name, str) else None
