"""pmock in five steps: invoke, stream, an agent with a tool, a typed result, usage.

First it shows a request and its response. Run it with `make demo`, or with
`python examples/quickstart.py`.
"""

import json
from typing import Any

import httpx2
from _service import service
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_pmock import ChatPmock


def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


class Trip(BaseModel):
    """A trip that somebody has in mind."""

    city: str
    days: int


def show_the_wire(pmock: dict[str, Any]) -> None:
    """Print one request and its response, without the key and the signature."""
    responses: list[httpx2.Response] = []

    def keep(response: httpx2.Response) -> None:
        response.read()
        responses.append(response)

    with httpx2.Client(event_hooks={"response": [keep]}) as client:
        ChatPmock(model="gpt-5.1", http_client=client, **pmock).invoke("Hello.")
    response = responses[-1]
    request = response.request
    signed = [name for name in request.headers if name.startswith("wuinai-")]
    envelope = {**response.json(), "data": {}}  # `data` is as in OpenAI's API.

    print("\nEach request is signed for one minute, each answer is in an envelope")
    print(f"   {request.method} {request.url}  {' '.join(f'{n}: ***' for n in signed)}")
    print("  ", request.content.decode())
    print("   =>", json.dumps(envelope).replace("{}", "{...}"))


def main() -> None:
    """Run the five steps."""
    with service() as pmock:
        show_the_wire(pmock)
        model = ChatPmock(model="gpt-5.1", **pmock)

        print("\n1. Invoke")
        answer = model.invoke("Greet a newcomer in five words.")
        print("  ", answer.text)

        print("\n2. Stream, token by token")
        print("   ", end="")
        for chunk in model.stream("A prompt goes down, tokens come up. 一问一答 🌊"):
            print(chunk.text, end="", flush=True)
        print()

        print("\n3. An agent that calls a tool")
        agent = create_agent(model, tools=[multiply])
        question = HumanMessage("Multiply 127 by 46.")
        for message in agent.invoke({"messages": [question]})["messages"]:
            if isinstance(message, ToolMessage):
                print("   tool result:", message.text)
            elif isinstance(message, AIMessage) and message.tool_calls:
                for call in message.tool_calls:
                    print("   tool call:  ", call["name"], call["args"])
            elif isinstance(message, AIMessage):
                print("   answer:     ", message.text)

        print("\n4. A typed result")
        trip = model.with_structured_output(Trip).invoke("I go to Kyoto for 3 days.")
        print("  ", repr(trip))

        print("\n5. Usage and trace id of step 1")
        if usage := answer.usage_metadata:
            print(
                f"   tokens:   {usage['input_tokens']} in, {usage['output_tokens']} out"
            )
        print("   trace id:", answer.response_metadata.get("trace_id"))


if __name__ == "__main__":
    main()
