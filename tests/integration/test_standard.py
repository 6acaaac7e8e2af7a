"""LangChain's standard tests, with every capability on and nothing expected to fail.

They run against a local server; with `PMOCK_LIVE=1`, `PMOCK_ACCESS_KEY` and
`PMOCK_SECRET_KEY` in the environment, against the service.
"""

from __future__ import annotations

import struct
import wave
import zlib
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_pmock import ChatPmock
from langchain_pmock.testing import PmockServer, Reply
from tests.integration.conftest import LIVE
from tests.support.calls import merge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

pytestmark = [pytest.mark.enable_socket] if LIVE else []

Detail = Literal[
    "audio_input",
    "audio_output",
    "reasoning_output",
    "cache_read_input",
    "cache_creation_input",
]


# --- What the suite downloads, made here ----------------------------------------------


def pdf() -> bytes:
    """A page with one line of text."""
    text = b"BT /F1 24 Tf 72 720 Td (Dummy PDF file) Tj ET"
    page = b"/Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page %b /Resources << /Font << /F1 5 0 R >> >> >>" % page,
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    file = b"%PDF-1.4\n"
    table = b"0000000000 65535 f \n"
    for number, body in enumerate(objects, 1):
        table += b"%010d 00000 n \n" % len(file)
        file += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    trailer = b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return file + b"xref\n0 6\n" + table + trailer % len(file)


def wav() -> bytes:
    """A tenth of a second of silence."""
    file = BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(1600))
    return file.getvalue()


def png() -> bytes:
    """A square, 16 pixels wide, all red."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    rows = (b"\0" + 16 * b"\xff\0\0") * 16
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )


DOWNLOADS = {".pdf": pdf, ".wav": wav, ".png": png}


class Standard(ChatModelIntegrationTests):
    server: PmockServer | None
    transport: Literal["httpx", "aiohttp"] = "httpx"
    fields: ClassVar[dict[str, Any]] = {"model": "gpt-5.1"}

    @pytest.fixture(autouse=True)
    def _local_files(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Serve what the suite downloads from the web."""
        monkeypatch.setenv("LANGCHAIN_TESTS_USER_AGENT", "langchain-pmock tests")

        def get(url: str, **_: Any) -> httpx.Response:
            ending = url[-4:]
            return httpx.Response(200, content=DOWNLOADS[ending]())

        monkeypatch.setattr(httpx, "get", get)

    @pytest.fixture(autouse=True)
    def _service(self, request: pytest.FixtureRequest) -> Iterator[None]:
        self.server = None if LIVE else request.getfixturevalue("server")
        yield
        if self.server is not None:
            # Each request was well-formed: the server is strict about it.
            assert {request.code for request in self.server.requests} <= {200}

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatPmock

    @property
    def chat_model_params(self) -> dict[str, Any]:
        fields = {**self.fields, "async_transport": self.transport}
        if self.server is None:
            return fields
        return {
            **fields,
            "base_url": self.server.url,
            "access_key": self.server.access_key,
            "secret_key": self.server.secret_key,
        }

    @property
    def model_override_value(self) -> str:
        return "gemini-2.5-flash"

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return True

    @property
    def supports_pdf_inputs(self) -> bool:
        return True

    @property
    def supports_audio_inputs(self) -> bool:
        return True

    @property
    def supports_image_tool_message(self) -> bool:
        return True

    @property
    def supports_pdf_tool_message(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    # --- Usage details: those that the wire has a place for --------------------------

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], list[Detail]]:
        details: list[Detail] = [
            "audio_input",
            "audio_output",
            "reasoning_output",
            "cache_read_input",
        ]
        if self.server is None:  # What a model gives of these is its own affair.
            details = []
        return {"invoke": details, "stream": details}

    def invoke_with_audio_input(self, *, stream: bool = False) -> AIMessage:
        usage = {"promptTokensDetails": {"textTokens": 30, "audioTokens": 70}}
        message = self._ask(usage, stream=stream)
        assert self._details(message, "input_token_details")["audio"] == 70
        return message

    def invoke_with_audio_output(self, *, stream: bool = False) -> AIMessage:
        usage = {"completionTokensDetails": {"contentTokens": 10, "audioTokens": 40}}
        message = self._ask(usage, stream=stream)
        assert self._details(message, "output_token_details")["audio"] == 40
        return message

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        usage = {"completionTokensDetails": {"contentTokens": 50, "reasoningTokens": 9}}
        message = self._ask(usage, stream=stream)
        assert self._details(message, "output_token_details")["reasoning"] == 9
        return message

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        # The cached tokens are among those of the text.
        usage = {"promptTokensDetails": {"textTokens": 100, "cachedTokens": 64}}
        message = self._ask(usage, stream=stream)
        assert self._details(message, "input_token_details")["cache_read"] == 64
        return message

    def _ask(self, details: dict[str, dict[str, int]], *, stream: bool) -> AIMessage:
        assert self.server is not None
        totals = {"promptTokens": 100, "completionTokens": 50, "totalTokens": 150}
        self.server.script(Reply(text="Hello!", usage={**totals, **details}))
        model = self.chat_model_class(**self.chat_model_params)
        message = merge([*model.stream("Hello")]) if stream else model.invoke("Hello")
        assert message.usage_metadata is not None
        assert message.usage_metadata["total_tokens"] == 150
        return message

    def _details(self, message: AIMessage, name: str) -> dict[str, int]:
        assert message.usage_metadata is not None
        details: dict[str, int] = message.usage_metadata[name]  # type: ignore[literal-required]
        return details


class TestJsonSchema(Standard):
    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "json_schema"}


class TestFunctionCalling(Standard):
    transport = "aiohttp"

    @property
    def structured_output_kwargs(self) -> dict[str, Any]:
        return {"method": "function_calling"}


class TestOutputVersion1(Standard):
    fields: ClassVar[dict[str, Any]] = {"model": "gpt-5.1", "output_version": "v1"}


class TestStreaming(Standard):
    fields: ClassVar[dict[str, Any]] = {"model": "gpt-5.1", "streaming": True}


class TestClaude(Standard):
    """With the default method of structured output, which is another one for it."""

    fields: ClassVar[dict[str, Any]] = {"model": "claude-4.5"}
