"""Tools and the choice among them, in OpenAI's shapes as the wire has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.utils.function_calling import convert_to_openai_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

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
    """
    return [_tool(tool, strict=strict) for tool in tools]


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
        ValueError: If it is none of these, or names a tool that is not there.
    """
    if isinstance(choice, bool):
        return choice_to_wire("required", tools) if choice else None
    if isinstance(choice, str) and choice in _WORDS:
        if _WORDS[choice] == "required" and not tools:
            msg = f"tool_choice={choice!r} is not valid without tools."
            raise ValueError(msg)
        return _WORDS[choice]
    name: object = choice
    if isinstance(choice, Mapping):
        kind = choice.get("type")
        function = choice.get("function")
        name = (function if isinstance(function, Mapping) else choice).get("name")
        if name is None and kind in _WORDS:
            return _WORDS[kind]
        if kind not in _FORCED:
            return dict(choice)  # a kind of its own: the service judges
    names = [known for tool in tools if (known := _name(tool)) is not None]
    if name not in names:
        msg = (
            f"tool_choice={choice!r} is not valid: the tools are {names}; also allowed "
            "are 'auto', 'none', 'any', 'required', True and False."
        )
        raise ValueError(msg)
    return {"type": "function", "function": {"name": name}}


def parallel_tool_calls(choice: object) -> bool | None:
    """Find what Anthropic writes into the choice, and the wire beside it.

    Args:
        choice: The choice among tools, as the caller wrote it.

    Returns:
        The request's `parallelToolCalls`; `None` if the choice does not say.
    """
    if isinstance(choice, Mapping) and "disable_parallel_tool_use" in choice:
        return not choice["disable_parallel_tool_use"]
    return None


def _tool(tool: ToolLike, *, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, dict) and tool.get("type") == "function":
        # Written already; langchain-core would leave `strict` out of it.
        if strict is None or "function" not in tool:
            return tool
        return {**tool, **convert_to_openai_tool(tool["function"], strict=strict)}
    written = convert_to_openai_tool(tool, strict=strict)
    if isinstance(tool, dict) and "cache_control" in tool:
        # Anthropic's mark on a tool, for the Claude models.
        written = {**written, "cache_control": tool["cache_control"]}
    return written


def _name(tool: Mapping[str, Any]) -> str | None:
    name = (tool.get("function") or tool).get("name")
    return name if isinstance(name, str) else None
