"""LangChain's standard tests, with every capability on and nothing expected to fail.

They run against a local server; with `PMOCK_LIVE=1`, `PMOCK_ACCESS_KEY` and
`PMOCK_SECRET_KEY` in the environment, against the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_pmock import ChatPmock
from langchain_pmock.testing import PmockServer, Reply
from tests.integration.conftest import LIVE
from tests.support.calls import merge
from tests.support.files import pdf, png, wav

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


DOWNLOADS = {".pdf": pdf, ".wav": wav, ".png": png}


class Standard(ChatModelIntegrationTests):
    server: PmockServer | None
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
        if self.server is None:
            return self.fields
        return {
            **self.fields,
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
