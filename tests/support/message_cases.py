"""Content blocks and messages of every dialect, and what is sent for each."""

from __future__ import annotations

import base64
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

if TYPE_CHECKING:
    from tests.support.wire import Json

PNG = base64.b64encode(b"\x89PNG").decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
WAV = base64.b64encode(b"RIFF").decode()
TEXT = base64.b64encode("Grüße 你好".encode()).decode()
URL = "https://example.com/cat.png"
CACHE = {"type": "ephemeral"}


def text(text: str) -> Json:
    return {"type": "text", "text": text}


def image(url: str, **fields: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def audio(format_: str) -> Json:
    return {"type": "input_audio", "input_audio": {"data": WAV, "format": format_}}


def file(**fields: str) -> Json:
    return {"type": "file", "file": fields}


def pdf(filename: str) -> Json:
    data = f"data:application/pdf;base64,{PDF}"
    return file(filename=filename, file_data=data)


PNG_URL = f"data:image/png;base64,{PNG}"
V0_BASE64 = {"source_type": "base64", "data": PDF, "mime_type": "application/pdf"}
V1_PNG = {"type": "image", "base64": PNG, "mime_type": "image/png"}
V1_PDF = {"type": "file", "base64": PDF, "mime_type": "application/pdf"}
V1_AUDIO = {"type": "audio", "base64": WAV}
ANTHROPIC_PNG = {"type": "base64", "media_type": "image/png", "data": PNG}
ANTHROPIC_PDF = {"type": "base64", "media_type": "application/pdf", "data": PDF}
TEXT_SOURCE = {"type": "text", "media_type": "text/plain", "data": "Hello"}
CALL_BLOCK = {"type": "tool_use", "id": "call_1", "name": "look_up", "input": {}}
VIDEO = {"type": "video_url", "video_url": {"url": URL}}

SEARCH_RESULT = {
    "type": "search_result",
    "source": URL,
    "content": [text("They purr.")],
}


def each(part: Json, *blocks: str | Json) -> list[tuple[str | Json, Json]]:
    return [(block, part) for block in blocks]


# Blocks of each dialect, by the part that is sent for them.
BLOCKS: list[tuple[str | Json, Json]] = [
    *each(
        text("Hello"),
        "Hello",
        text("Hello"),
        {"text": "Hello"},  # Google's and Bedrock's
        text("Hello") | {"annotations": [{"type": "citation"}], "id": "1"},
        text("Hello") | {"cache_control": None},
        {"type": "text-plain", "text": "Hello"},
        {"type": "document", "source": {"content": "Hello"}},
        {"type": "document", "source": {"content": [text("Hello")]}},
        {"type": "guard_content", "text": "Hello"},
        {"type": "file", "source_type": "text", "text": "Hello"},
        {"type": "file", "source_type": "text", "url": "Hello"},
        {"type": "output_text", "text": "Hello", "annotations": []},
        {"type": "input_text", "text": "Hello"},
        {"type": "custom_tool_call_output", "output": "Hello"},
        {"type": "refusal", "refusal": "Hello"},
    ),
    *each(text(""), text(""), {"type": "text"}, {"type": "text", "text": None}),
    *each(
        text("T\n\nC\n\nHello"),
        {"type": "text-plain", "text": "Hello", "title": "T", "context": "C"},
        {"type": "document", "source": TEXT_SOURCE, "title": "T", "context": "C"},
    ),
    *each(
        text("Grüße 你好"),
        {"type": "text-plain", "base64": TEXT, "mime_type": "text/plain"},
    ),
    *each(
        text(f"Cats\n{URL}\n\nThey purr.\n\nThey nap."),
        SEARCH_RESULT
        | {"title": "Cats", "content": [text("They purr."), text("They nap.")]},
    ),
    *each(text(f"{URL}\n\nThey purr."), SEARCH_RESULT),
    *each(
        text('{"city":"Zürich","days":[1,2]}'),
        {"type": "json", "json": {"city": "Zürich", "days": [1, 2]}},
    ),
    *each(
        image(URL),
        image(URL) | {"id": "1"},
        {"type": "image_url", "image_url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "url": URL, "id": "lc_1"},
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "media", "mime_type": "image/png", "file_uri": URL},
    ),
    *each(
        image(URL, detail="low"),
        image(URL, detail="low"),
        {"type": "image", "url": URL, "detail": "low"},
        {"type": "image", "url": URL, "extras": {"detail": "low"}},
        {"type": "input_image", "image_url": URL, "detail": "low"},
    ),
    *each(
        image(PNG_URL),
        image(PNG_URL),
        {"type": "image", **V0_BASE64, "data": PNG, "mime_type": "image/png"},
        V1_PNG,
        {"type": "image", "source": ANTHROPIC_PNG},
        {"type": "media", "mime_type": "image/png", "data": PNG},
    ),
    *each(
        file(file_id="file-1"),
        file(file_id="file-1"),
        {"type": "image", "source_type": "id", "id": "file-1"},
        {"type": "image", "file_id": "file-1"},
        {"type": "image", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "file", "source_type": "id", "id": "file-1"},
        {"type": "file", "file_id": "file-1"},
        {"type": "text-plain", "file_id": "file-1"},
        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "input_image", "file_id": "file-1"},
        {"type": "input_file", "file_id": "file-1"},
    ),
    *each(
        audio("wav"),
        audio("wav"),
        {"type": "non_standard", "value": audio("wav")},
        {"type": "audio", **V0_BASE64, "data": WAV, "mime_type": "audio/wav"},
        V1_AUDIO | {"mime_type": "audio/x-wav"},
        {"type": "media", "data": WAV, "mime_type": "audio/vnd.wave"},
    ),
    *each(audio("mp3"), V1_AUDIO | {"mime_type": "audio/mpeg"}),
    *each(audio("ogg"), V1_AUDIO | {"mime_type": "audio/ogg; codecs=opus"}),
    *each(
        pdf("document.pdf"),
        {"type": "file", **V0_BASE64},
        V1_PDF | {"url": URL},
        {"type": "document", "source": ANTHROPIC_PDF},
        {"type": "media", "mime_type": "application/pdf", "data": PDF},
    ),
    *each(
        pdf("a.pdf"),
        pdf("a.pdf"),
        {"type": "file", **V0_BASE64, "filename": "a.pdf"},
        {"type": "file", **V0_BASE64, "metadata": {"filename": "a.pdf"}},
        V1_PDF | {"extras": {"filename": "a.pdf"}},
        {"type": "document", "source": ANTHROPIC_PDF, "title": "a.pdf"},
        {"type": "document", "source": ANTHROPIC_PDF, "title": "a"},
        {"type": "input_file", **pdf("a.pdf")["file"]},
    ),
    *each(
        file(filename="document.txt", file_data="data:text/plain;base64,SGk="),
        {"type": "file", "base64": "SGk=", "mime_type": "text/plain"},
    ),
    *each(
        text("Hello") | {"cache_control": CACHE},
        text("Hello") | {"cache_control": CACHE},
        text("Hello") | {"extras": {"cache_control": CACHE}},
    ),
    *each(image(PNG_URL) | {"cache_control": CACHE}, V1_PNG | {"cache_control": CACHE}),
    *each(VIDEO, VIDEO),  # not documented, but OpenAI's form
]

# Blocks that cannot be sent, by the reason in the error.
_UNSENDABLE: dict[str, list[Json]] = {
    "supported types are audio, ": [
        {"type": "video", "url": URL},
        {"type": "input_audio"},
        {"type": ["text"]},
        {"type": "computer_call", "call_id": "call_1", "action": {}},
        {"type": "non_standard", "value": "x"},
        {"a": 1, "b": 2},
    ],
    "text=5 must be a string": [{"type": "text", "text": 5}],
    "text=b'xxxxxxxxxxx...xxxxxxxxxxxxx' must be a string": [
        {"type": "text", "text": b"x" * 1000},
        {"type": "search_result", "content": [{"type": "text", "text": b"x" * 1000}]},
    ],
    "refusal=None must be a string": [{"type": "refusal"}],
    "title=5 must be a string": [{"type": "text-plain", "text": "Hi", "title": 5}],
    "content must be a list of blocks": [
        {"type": "search_result", "content": 5},
        {"type": "document", "source": {"type": "content", "content": ["x"]}},
    ],
    "base64=b'x' must be a string, such as base64.b64encode(data).decode()": [
        {**V1_PNG, "base64": b"x"},
        {"type": "text-plain", "base64": b"x"},
    ],
    "data=b'x' must be a string, such as base64.b64encode(data).decode()": [
        {"type": "media", "mime_type": "image/png", "data": b"x"},
        {"type": "image", "source": {**ANTHROPIC_PNG, "data": b"x"}},
    ],
    "is no URL, and the service cannot read files of this machine. Send the file's": [
        image(path)
        for path in ("cat.png", "/home/cat.png", r"C:\cat.png", "file:///cat.png")
    ]
    + [{"type": "image", "url": "~/cat.png"}],
    "url=None must be a string": [{"type": "image_url", "image_url": {}}],
    "it needs a URL, base64 data or a file id": [
        {"type": "image"},
        {"type": "document", "source": "x"},
        {"type": "text-plain"},
    ],
    "it needs 'file_data' or 'file_id'": [{"type": "input_file", "file_url": URL}],
    "base64 data needs a mime_type": [
        {"type": "image", "base64": PNG},
        {"type": "media", "data": PNG},
    ],
    "can only be sent as base64": [
        {"type": "audio", "url": URL},
        {"type": "document", "source": {"type": "url", "url": URL}},
    ],
    "its base64 data is not UTF-8 text": [
        {"type": "text-plain", "base64": "ä"},
        {"type": "text-plain", "base64": "/w=="},
    ],
    "json.a=b'x' cannot be written as JSON": [{"type": "json", "json": {"a": b"x"}}],
}
UNSENDABLE = [(block, why) for why, blocks in _UNSENDABLE.items() for block in blocks]

SIGNATURE = {"google": {"thought_signature": "c2ln"}}
CALL = tool_call(name="look_up", args={"city": "Zürich"}, id="call_1")


def wire_call(
    arguments: str = '{"city":"Zürich"}', id_: str | None = "call_1", **function: str
) -> Json:
    function = {"name": "look_up", "arguments": arguments, **function}
    call = {"type": "function", "function": function}
    return call if id_ is None else {"id": id_, **call}


def ai(content: Any = "", **fields: Any) -> AIMessage:
    return AIMessage(content=content, **fields)


def tool(content: Any, **fields: Any) -> ToolMessage:
    return ToolMessage(content=content, tool_call_id="call_1", **fields)


def anthropic_result(**fields: Any) -> Json:
    return {"type": "tool_result", "tool_use_id": "call_1", **fields}


def assistant(content: Any = "", *calls: Json, **fields: Any) -> Json:
    more = {"toolCalls": list(calls)} if calls else {}
    return {"role": "assistant", "content": content, **more, **fields}


def user(content: Any, **fields: Any) -> Json:
    return {"role": "user", "content": content, **fields}


def result(content: Any, **fields: Any) -> Json:
    return {"role": "tool", "toolCallId": "call_1", "content": content, **fields}


def with_raw_calls(*calls: Any) -> AIMessage:
    """Add calls as OpenAI's API has them to a message, which LangChain then ignores."""
    message = ai()
    message.additional_kwargs["tool_calls"] = list(calls)
    return message


# As langchain-anthropic, -openai, -google-genai and langchain-core name them.
PROVIDER_RUN: list[Json] = [
    {"type": "server_tool_call", "id": "srv_1", "name": "web_search", "args": {}},
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []},
    {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    {"type": "apply_patch_call_output", "call_id": "call_9", "output": ""},
    {"type": "mcp_list_tools", "id": "mcpl_1", "tools": []},
    {"type": "executable_code", "executable_code": "1", "language": "PYTHON"},
    {"type": "reference", "reference_ids": [1]},
]
# No content: dropped from messages of every role.
REASONING_BLOCKS: list[Json] = [
    {"type": "thinking", "thinking": "Hm.", "signature": "sig"},
    {"type": "thinking", "thinking": [text("Hm.")]},  # Mistral's
    {"type": "redacted_thinking", "data": "c2ln"},
    {"type": "reasoning", "reasoning": "Hm."},
    {"type": "reasoning_content", "reasoning_content": {"text": "Hm."}},
]

CACHE_POINT: Json = {"cachePoint": {"type": "default"}}  # Bedrock's

# What is sent for a message: one message, or several.
MESSAGES: list[tuple[BaseMessage, Json | list[Json]]] = [
    (HumanMessage(["cachePoint"]), user([text("cachePoint")])),
    (HumanMessage("Hi", name="ann"), user("Hi", name="ann")),
    (
        HumanMessage(["Look", text("here"), {"type": "image", "url": URL}]),
        user([text("Look"), text("here"), image(URL)]),
    ),
    (
        SystemMessage("Hi", additional_kwargs={"__openai_role__": "developer"}),
        {"role": "developer", "content": "Hi"},
    ),
    *(
        (ChatMessage(content="Hi", role=role), {"role": wire_role, "content": "Hi"})
        for role, wire_role in {
            "user": "user",
            "human": "user",
            "ai": "assistant",
            "system": "system",
        }.items()
    ),
    (
        FunctionMessage(content="sunny", name="look_up"),
        {"role": "function", "content": "sunny", "name": "look_up"},
    ),
    *(
        (
            make([text("Hi"), block, {"type": "non_standard", "value": block}]),
            {"role": role, "content": [text("Hi")]},
        )
        for make, role in ((HumanMessage, "user"), (SystemMessage, "system"))
        for block in [*REASONING_BLOCKS, CALL_BLOCK, {**CALL}, CACHE_POINT]
    ),
    (
        ChatMessage(content=[text("Hi"), CALL_BLOCK, PROVIDER_RUN[0]], role="ai"),
        assistant([text("Hi")], wire_call("{}")),
    ),
    (ai("Hi", name="bob"), assistant("Hi", name="bob")),
    (ai(["Well", text("then")]), assistant([text("Well"), text("then")])),
    (ai("Wait", tool_calls=[CALL]), assistant("Wait", wire_call())),
    # No rule of the service's page: it is sent, and the service judges.
    (ai(tool_calls=[{**CALL, "id": None}]), assistant("", wire_call(id_=None))),
    (
        ai([{"type": "tool_use", "id": "call_1", "input": {}}]),
        assistant("", wire_call("{}", name="unknown")),
    ),
    # An invalid call without an id can have no result.
    (
        ai(
            [invalid_tool_call(name="look_up", args="{", id=None, error="x")],
            tool_calls=[CALL],
            invalid_tool_calls=[
                invalid_tool_call(name="look_up", args='{"city": ', id="2", error="x"),
                invalid_tool_call(name=None, args=None, id="3", error="x"),
                invalid_tool_call(name="look_up", args="{", id=None, error="x"),
            ],
        ),
        assistant(
            "",
            wire_call(),
            wire_call(r'{"invalid":"{\"city\": "}', "2"),
            wire_call("{}", "3", name="unknown"),
        ),
    ),
    (
        AIMessageChunk(
            content="",
            tool_call_chunks=[
                tool_call_chunk(name="look_up", args='{"city": "Z"}', id="call_1")
            ],
        ),
        assistant("", wire_call('{"city":"Z"}')),
    ),
    (
        with_raw_calls(wire_call('{"city": "Z"}'), wire_call("{", "2") | {"index": 1}),
        assistant("", wire_call('{"city": "Z"}'), wire_call('{"invalid":"{"}', "2")),
    ),
    # The content still has a call that filter_messages removed.
    (
        ai([CALL_BLOCK, {**CALL_BLOCK, "id": "call_2"}], tool_calls=[CALL]),
        assistant("", wire_call()),
    ),
    # LangChain has not parsed the calls of these.
    (
        ai([REASONING_BLOCKS[0], text("Wait"), CALL_BLOCK]),
        assistant([text("Wait")], wire_call("{}")),
    ),
    (
        ai([{**CALL_BLOCK, "partial_json": '{"city":"Z"}'}]),
        assistant("", wire_call('{"city":"Z"}')),
    ),
    (ai([{"type": "non_standard", "value": {**CALL}}]), assistant("", wire_call())),
    (
        ai([invalid_tool_call(name="look_up", args="{", id="call_1", error="x")]),
        assistant("", wire_call('{"invalid":"{"}')),
    ),
    (
        ai(
            tool_calls=[CALL, {**CALL, "id": "call_2"}],
            additional_kwargs={
                "tool_call_extras": {
                    "call_1": {"extra_content": SIGNATURE, "id": "call_9"},
                    "call_3": {"extra_content": {}},
                }
            },
        ),
        assistant(
            "", {"extra_content": SIGNATURE, **wire_call()}, wire_call(id_="call_2")
        ),
    ),
    # The message has no field for a refusal.
    (ai(additional_kwargs={"refusal": "No."}), assistant("No.")),
    (
        ai("Well", additional_kwargs={"refusal": "No."}),
        assistant([text("Well"), text("No.")]),
    ),
    (
        ai(
            [{"type": "non_standard", "value": {"type": "refusal", "refusal": "No."}}],
            additional_kwargs={"refusal": "No."},
        ),
        assistant([text("No.")]),
    ),
    *(
        (
            ai([text("So"), block, {"type": "non_standard", "value": block}, text("")]),
            assistant([text("So")]),
        )
        for block in PROVIDER_RUN
    ),
    (
        tool("sunny", name="look_up", artifact={"kept": "here"}),
        result("sunny", name="look_up"),
    ),
    (tool("no such city", status="error"), result("Error: no such city")),
    # The text already has it.
    (tool("ValueError: no", status="error"), result("ValueError: no")),
    (
        tool([{"type": "image", "url": URL}], status="error"),
        result([text("Error:"), image(URL)]),
    ),
    (
        tool([text("So"), anthropic_result(content="no", is_error=True)]),
        result([text("So"), text("Error: no")]),
    ),
    (
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
            result("sunny"),
            result([text("no"), image(URL)]),
            result("Error: no"),
            result(""),
            user([text("And now?")], name="ann"),
        ],
    ),
    *(
        (
            HumanMessage([anthropic_result(content=content, cache_control=CACHE)]),
            result([*parts, text("sunny") | {"cache_control": CACHE}]),
        )
        for content, parts in (("sunny", []), (["It is", "sunny"], [text("It is")]))
    ),
]

# What is sent of reasoning if `Wire` names a field for it; otherwise nothing is.
REASONING: list[tuple[BaseMessage, Json]] = [
    (
        ai("So", additional_kwargs={"reasoning_content": "Hm."}),
        assistant("So", thoughts="Hm."),
    ),
    *(
        (ai([block, text("So")]), assistant([text("So")], thoughts="Hm."))
        for block in REASONING_BLOCKS
        if "data" not in block
    ),
    (
        ai([{"type": "reasoning", "reasoning": r} for r in ("Hm", ". ")]),
        assistant(thoughts="Hm. "),
    ),
    (
        ai([{"type": "reasoning", "summary": [{"text": "A"}, {"text": "B"}]}]),
        assistant(thoughts="A\n\nB"),
    ),
    (ai([{"type": "reasoning_content", "reasoning_content": {}}]), assistant()),
    (ai([{"type": "reasoning", "id": "rs_1"}]), assistant()),
    (ai("So", additional_kwargs={"reasoning_content": {"a": 1}}), assistant("So")),
    (
        ai([REASONING_BLOCKS[0]], tool_calls=[CALL]),
        assistant("", wire_call(), thoughts="Hm."),
    ),
]
