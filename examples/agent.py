"""A LangGraph agent with two tools, memory, streaming and a typed final answer.

Run it with `python examples/agent.py`; `make demo` installs what it needs.
"""

import operator
from typing import Annotated, Any

from _service import service
from langchain.agents import AgentState, create_agent
from langchain.tools import ToolRuntime, tool
from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command
from pydantic import BaseModel

from langchain_pmock import ChatPmock

# A checkpointer keeps the messages and the state of each thread.
THREAD: RunnableConfig = {"configurable": {"thread_id": "my trip"}}


class Packing(AgentState[Any]):
    """The state of the agent, besides the messages."""

    luggage: Annotated[list[str], operator.add]


@tool
def add_items(items: list[str], runtime: ToolRuntime[None, Packing]) -> Command[Any]:
    """Add items to the luggage."""
    result = ToolMessage(f"Added {len(items)}.", tool_call_id=runtime.tool_call_id)
    return Command(update={"luggage": items, "messages": [result]})


@tool
def show_luggage(runtime: ToolRuntime[None, Packing]) -> list[str]:
    """Show all items in the luggage."""
    return runtime.state["luggage"]


class Trip(BaseModel):
    """A trip and what to take along."""

    destination: str
    days: int
    items: list[str]


def talk(agent: CompiledStateGraph[Any, Any, Any, Any], text: str) -> None:
    """Send a message to an agent, and print its messages as they are streamed."""
    print(f"\nYou:   {text}")
    print("Agent: ", end="")
    turn = {"messages": [HumanMessage(text)]}
    for message, _ in agent.stream(turn, THREAD, stream_mode="messages"):
        if isinstance(message, ToolMessage):
            print(f"({message.name}: {message.text})", end="\n       ")
        elif isinstance(message, AIMessageChunk):
            print(message.text, end="", flush=True)
    print()


def main() -> None:
    """Pack for a trip."""
    with service() as pmock:
        model = ChatPmock(model="gpt-5.1", **pmock)
        tools, memory = [add_items, show_luggage], InMemorySaver()
        agent = create_agent(model, tools, state_schema=Packing, checkpointer=memory)
        talk(agent, 'Add my "passport", a "rain jacket" and the "camera".')
        talk(agent, "What is in my luggage so far?")

        # Another agent with the same memory and a typed answer.
        planner = create_agent(
            model,
            tools,
            state_schema=Packing,
            checkpointer=memory,
            response_format=Trip,
        )
        text = "My destination is Kyoto, for 4 days. Look into the luggage and sum up."
        print(f"\nYou:   {text}")
        turn: Any = {"messages": [HumanMessage(text)]}
        print("Agent:", repr(planner.invoke(turn, THREAD)["structured_response"]))


if __name__ == "__main__":
    main()
