"""Messages of every kind and dialect, and what the service gets of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from tests.unit.request.test_content import image, text

if TYPE_CHECKING:
    from tests.support.wire import Json

URL = "https://example.com/cat.png"
CACHE = {"type": "ephemeral"}
SIGNATURE = {"google": {"thought_signature": "c2ln"}}
CALL = tool_call(name="look_up", args={"city": "Zürich"}, id="call_1")
WIRE_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "look_up", "arguments": '{"city":"Zürich"}'},
}


def wire_call(arguments: str, id_: str = "call_1", name: str = "look_up") -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": id_, "type": "function", "function": function}


INVALID = wire_call('{"invalid":"{"}')


def ai(content: Any = "", **fields: Any) -> AIMessage:
    return AIMessage(content=content, **fields)


def tool(content: Any, **fields: Any) -> ToolMessage:
    return ToolMessage(content=content, tool_call_id="call_1", **fields)


def anthropic_result(**fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": "call_1", **fields}


# As langchain-anthropic, -openai, -google-genai and langchain-core name them.
PROVIDER_RUN: list[Json] = [
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
    {"type": "bash_code_execution_tool_result", "tool_use_id": "srv_1"},
    {"type": "mcp_tool_use", "id": "mcp_1", "name": "f", "input": {}},
    {"type": "mcp_tool_result", "tool_use_id": "mcp_1", "content": []},
    {"type": "container_upload", "file_id": "file_1"},
    {"type": "compaction", "content": "They talked."},
    {"type": "redacted_thinking", "data": "c2ln"},
    {"type": "server_tool_call", "id": "srv_1", "name": "web_search", "args": {}},
    {"type": "server_tool_call_chunk", "id": "srv_1", "args": "{"},
    {"type": "server_tool_result", "tool_call_id": "srv_1", "status": "success"},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0KGgo="},
    {"type": "code_interpreter_call", "id": "ci_1", "code": "1"},
    {"type": "apply_patch_call_output", "call_id": "call_9", "output": ""},
    {"type": "mcp_list_tools", "id": "mcpl_1", "tools": []},
    {"type": "tool_search_output", "id": "tso_1", "tools": []},
    {"type": "executable_code", "executable_code": "1", "language": "PYTHON"},
    {"type": "code_execution_result", "code_execution_result": "1", "outcome": 1},
    {"type": "function_call_signature", "signature": "c2ln", "index": 0},
]

MESSAGES: dict[str, tuple[BaseMessage, Json | list[Json]]] = {
    "human": (HumanMessage("Hi"), {"role": "user", "content": "Hi"}),
    "human with a name": (
        HumanMessage("Hi", name="ann"),
        {"role": "user", "content": "Hi", "name": "ann"},
    ),
    "human with blocks": (
        HumanMessage(["Look", text("here"), {"type": "image", "url": URL}]),
        {"role": "user", "content": [text("Look"), text("here"), image(URL)]},
    ),
    "human without blocks": (HumanMessage([]), {"role": "user", "content": ""}),
    "empty human": (HumanMessage(""), {"role": "user", "content": ""}),
    "system": (SystemMessage("Be brief"), {"role": "system", "content": "Be brief"}),
    "system with blocks": (
        SystemMessage([text("Be brief")]),
        {"role": "system", "content": [text("Be brief")]},
    ),
    "developer": (
        SystemMessage("Hi", additional_kwargs={"__openai_role__": "developer"}),
        {"role": "developer", "content": "Hi"},
    ),
    **{
        f"chat as {role}": (
            ChatMessage(content="Hi", role=role),
            {"role": wire_role, "content": "Hi"},
        )
        for role, wire_role in {
            "user": "user",
            "human": "user",
            "assistant": "assistant",
            "ai": "assistant",
            "system": "system",
            "developer": "developer",
        }.items()
    },
    "assistant": (ai("Hi"), {"role": "assistant", "content": "Hi"}),
    "assistant with a name": (
        ai("Hi", name="bob"),
        {"role": "assistant", "content": "Hi", "name": "bob"},
    ),
    "assistant's chunk": (
        AIMessageChunk(content="Hi", chunk_position="last"),
        {"role": "assistant", "content": "Hi"},
    ),
    "empty assistant": (ai(""), {"role": "assistant", "content": ""}),
    "assistant with blocks": (
        ai(["Well", text("then")]),
        {"role": "assistant", "content": [text("Well"), text("then")]},
    ),
    "tool call": (
        ai("Wait", tool_calls=[CALL]),
        {"role": "assistant", "content": "Wait", "toolCalls": [WIRE_CALL]},
    ),
    "tool call without arguments": (
        ai(tool_calls=[{**CALL, "args": {}}]),
        {"role": "assistant", "content": "", "toolCalls": [wire_call("{}")]},
    ),
    "invalid tool call": (
        ai(
            tool_calls=[CALL],
            invalid_tool_calls=[
                invalid_tool_call(name="look_up", args='{"city": ', id="2", error="x"),
                invalid_tool_call(name=None, args=None, id="3", error="x"),
            ],
        ),
        {
            "role": "assistant",
            "content": "",
            "toolCalls": [
                WIRE_CALL,
                wire_call(r'{"invalid":"{\"city\": "}', "2"),
                wire_call("{}", "3", "unknown"),
            ],
        },
    ),
    "streamed tool call": (
        AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(name="look_up", args='{"city": "Z"}', id="call_1")
            ],
        ),
        {
            "role": "assistant",
            "content": "",
            "toolCalls": [wire_call('{"city":"Z"}')],
        },
    ),
    "v1 tool call, also in the content": (
        ai([text("Wait"), {**CALL, "index": 0}], tool_calls=[CALL]),
        {"role": "assistant", "content": [text("Wait")], "toolCalls": [WIRE_CALL]},
    ),
    "Anthropic's tool call, also in the content": (
        ai(
            [{"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}}],
            tool_calls=[CALL],
        ),
        {"role": "assistant", "content": "", "toolCalls": [WIRE_CALL]},
    ),
    # Another provider's message that LangChain has not read the calls out of.
    "Anthropic's tool call in the content alone": (
        ai(
            [
                {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
                text("Wait"),
                {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}},
            ]
        ),
        {
            "role": "assistant",
            "content": [text("Wait")],
            "toolCalls": [wire_call("{}")],
        },
    ),
    "Anthropic's tool call as it is streamed, in the content alone": (
        ai(
            [
                {
                    "type": "tool_use",
                    "id": "call_1",
                    "name": "look_up",
                    "input": {},
                    "partial_json": '{"city":"Z"}',
                }
            ]
        ),
        {
            "role": "assistant",
            "content": "",
            "toolCalls": [wire_call('{"city":"Z"}')],
        },
    ),
    "non-standard tool call in the content alone": (
        ai([{"type": "non_standard", "value": {**CALL}}]),
        {"role": "assistant", "content": "", "toolCalls": [WIRE_CALL]},
    ),
    "v1 invalid tool call in the content alone": (
        ai([invalid_tool_call(name="look_up", args="{", id="call_1", error="x")]),
        {"role": "assistant", "content": "", "toolCalls": [INVALID]},
    ),
    "other fields of a tool call": (
        ai(
            tool_calls=[CALL, {**CALL, "id": "call_2"}],
            additional_kwargs={
                "tool_call_extras": {
                    "call_1": {"extra_content": SIGNATURE, "id": "call_9"},
                    "call_3": {"extra_content": {}},
                }
            },
        ),
        {
            "role": "assistant",
            "content": "",
            "toolCalls": [
                {"extra_content": SIGNATURE, **WIRE_CALL},
                {**WIRE_CALL, "id": "call_2"},
            ],
        },
    ),
    # The message has no field for a refusal.
    "refusal": (
        ai(additional_kwargs={"refusal": "No."}),
        {"role": "assistant", "content": "No."},
    ),
    "refusal in the middle of a text": (
        ai("Well", additional_kwargs={"refusal": "No."}),
        {"role": "assistant", "content": [text("Well"), text("No.")]},
    ),
    "refusal as a block": (
        ai([{"type": "refusal", "refusal": "No."}]),
        {"role": "assistant", "content": [text("No.")]},
    ),
    "refusal as a non-standard block, and beside it": (
        ai(
            [{"type": "non_standard", "value": {"type": "refusal", "refusal": "No."}}],
            additional_kwargs={"refusal": "No."},
        ),
        {"role": "assistant", "content": [text("No.")]},
    ),
    **{
        f"what a provider ran: {block['type']}": (
            ai([text("So"), block, {"type": "non_standard", "value": block}, text("")]),
            {"role": "assistant", "content": [text("So")]},
        )
        for block in PROVIDER_RUN
    },
    "tool": (
        tool("sunny"),
        {"role": "tool", "toolCallId": "call_1", "content": "sunny"},
    ),
    "tool with a name": (
        tool("sunny", name="look_up", artifact={"kept": "here"}),
        {
            "role": "tool",
            "toolCallId": "call_1",
            "content": "sunny",
            "name": "look_up",
        },
    ),
    "tool with an image": (
        tool([text("see"), {"type": "image", "url": URL}]),
        {"role": "tool", "toolCallId": "call_1", "content": [text("see"), image(URL)]},
    ),
    "tool that failed": (
        tool("no such city", status="error"),
        {"role": "tool", "toolCallId": "call_1", "content": "Error: no such city"},
    ),
    "tool that failed and says so": (
        tool("ValueError: no", status="error"),
        {"role": "tool", "toolCallId": "call_1", "content": "ValueError: no"},
    ),
    "tool that failed with an image": (
        tool([{"type": "image", "url": URL}], status="error"),
        {
            "role": "tool",
            "toolCallId": "call_1",
            "content": [text("Error:"), image(URL)],
        },
    ),
    "tool without a result": (
        tool([]),
        {"role": "tool", "toolCallId": "call_1", "content": ""},
    ),
    "Anthropic's results": (
        HumanMessage(
            [
                anthropic_result(content="sunny"),
                text("And now?"),
                anthropic_result(content=[text("no"), {"type": "image", "url": URL}]),
                anthropic_result(content="no", is_error=True),
                anthropic_result(),
            ],
            name="ann",
        ),
        [
            {"role": "tool", "toolCallId": "call_1", "content": "sunny"},
            {
                "role": "tool",
                "toolCallId": "call_1",
                "content": [text("no"), image(URL)],
            },
            {"role": "tool", "toolCallId": "call_1", "content": "Error: no"},
            {"role": "tool", "toolCallId": "call_1", "content": ""},
            {"role": "user", "content": [text("And now?")], "name": "ann"},
        ],
    ),
    **{
        f"Anthropic's result, cached: {content}": (
            HumanMessage([anthropic_result(content=content, cache_control=CACHE)]),
            {
                "role": "tool",
                "toolCallId": "call_1",
                "content": [*parts, text("sunny") | {"cache_control": CACHE}],
            },
        )
        for content, parts in (
            ("sunny", []),
            (["It is", "sunny"], [text("It is")]),
            ([text("It is"), text("sunny")], [text("It is")]),
        )
    },
    "Anthropic's result alone": (
        HumanMessage([anthropic_result(content="sunny")]),
        [{"role": "tool", "toolCallId": "call_1", "content": "sunny"}],
    ),
    "function": (
        FunctionMessage(content="sunny", name="look_up"),
        {"role": "function", "content": "sunny", "name": "look_up"},
    ),
}

# What is sent of reasoning where `Wire` names a field for it; else nothing is.
REASONING: dict[str, tuple[BaseMessage, Json]] = {
    "reasoning": (
        ai("So", additional_kwargs={"reasoning_content": "Hm."}),
        {"role": "assistant", "content": "So", "thoughts": "Hm."},
    ),
    "v1 reasoning": (
        ai([{"type": "reasoning", "reasoning": "Hm. "}, text("So")]),
        {"role": "assistant", "content": [text("So")], "thoughts": "Hm. "},
    ),
    "reasoning in several blocks": (
        ai([{"type": "reasoning", "reasoning": r} for r in ("Hm", ". ")]),
        {"role": "assistant", "content": "", "thoughts": "Hm. "},
    ),
    "OpenAI's reasoning": (
        ai([{"type": "reasoning", "summary": [{"text": "A"}, {"text": "B"}]}]),
        {"role": "assistant", "content": "", "thoughts": "A\n\nB"},
    ),
    "Bedrock's reasoning": (
        ai([{"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}]),
        {"role": "assistant", "content": "", "thoughts": "Hm."},
    ),
    "Bedrock's reasoning, redacted": (
        ai([{"type": "reasoning_content", "reasoning_content": {}}, text("So")]),
        {"role": "assistant", "content": [text("So")]},
    ),
    "reasoning without text": (
        ai([{"type": "reasoning", "id": "rs_1"}, text("So")]),
        {"role": "assistant", "content": [text("So")]},
    ),
    "reasoning of an unknown kind": (
        ai("So", additional_kwargs={"reasoning_content": {"deep": "Hm."}}),
        {"role": "assistant", "content": "So"},
    ),
    "reasoning beside a tool call": (
        ai(
            [{"type": "thinking", "thinking": "Hm.", "signature": "sig"}],
            tool_calls=[CALL],
        ),
        {
            "role": "assistant",
            "content": "",
            "toolCalls": [WIRE_CALL],
            "thoughts": "Hm.",
        },
    ),
}
