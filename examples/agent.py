"""A LangGraph agent with two tools and a memory, streamed, with a typed last answer.

Run it with `python examples/agent.py`; `make demo` installs what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from _service import service
from langchain.agents import AgentState, create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from langchain_pmock import ChatPmock

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph


class Luggage(AgentState[Any]):
    """What the agent remembers beside the messages."""

    items: list[str]


class Trip(BaseModel):
    """A trip and what to take along."""

    destination: str
    days: int
    items: list[str]


@tool
def add_items(items: list[str], runtime: ToolRuntime) -> Command[None]:
    """Add items to the luggage."""
    luggage = [*runtime.state.get("items", []), *items]
    told = ToolMessage(f"Added {len(items)}.", tool_call_id=runtime.tool_call_id)
    return Command(update={"items": luggage, "messages": [told]})


@tool
def show_luggage(runtime: ToolRuntime) -> list[str]:
    """Show what is in the luggage."""
    return runtime.state.get("items", [])
