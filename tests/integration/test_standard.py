"""LangChain's standard tests, with every capability on and nothing expected to fail.

They run against a local server; with `PMOCK_LIVE=1`, `PMOCK_ACCESS_KEY` and
`PMOCK_SECRET_KEY` in the environment, against the service.
"""

from __future__ import annotations

from functools import partialmethod
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

# Kind of usage details, their name in LangChain, and their fields in an answer.
DETAILS: list[tuple[str, str, dict[str, int]]] = [
    ("audio_input", "audio", {"textTokens": 30, "audioTokens": 9}),
    ("audio_output", "audio", {"contentTokens": 10, "audioTokens": 9}),
    ("reasoning_output", "reasoning", {"contentTokens": 50, "reasoningTokens": 9}),
    # The cached tokens are among those of the text.
    ("cache_read_input", "cache_read", {"textTokens": 100, "cachedTokens": 9}),
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

    # --- Usage details: those that the wire has a place for --------------------------

    @property
    def supported_usage_metadata_details(
        self,
    ) -> dict[Literal["invoke", "stream"], Any]:
        # What a model gives of these is its own affair.
        details: Any = [] if self.server is None else [kind for kind, _, _ in DETAILS]
        return {"invoke": details, "stream": details}

    def _ask(
        self, kind: str, name: str, fields: dict[str, int], *, stream: bool = False
    ) -> AIMessage:
        assert self.server is not None
        totals = {"promptTokens": 100, "completionTokens": 50, "totalTokens": 150}
        way = kind.rpartition("_")[2]
        details = {"input": "promptTokensDetails", "output": "completionTokensDetails"}
        usage = {**totals, details[way]: fields}
        self.server.script(Reply(text="Hello!", usage=usage))
        model = self.chat_model_class(**self.chat_model_params)
        message = merge([*model.stream("Hello")]) if stream else model.invoke("Hello")
        assert message.usage_metadata is not None
        usage_metadata: dict[str, Any] = {**message.usage_metadata}
        assert usage_metadata["total_tokens"] == 150
        assert usage_metadata[f"{way}_token_details"][name] == 9
        return message


for _name in (
    "supports_json_mode",
    "supports_image_inputs",
    "supports_image_urls",
    "supports_pdf_inputs",
    "supports_audio_inputs",
    "supports_image_tool_message",
    "supports_pdf_tool_message",
    "supports_anthropic_inputs",
):
    setattr(Standard, _name, True)
for _kind, _name, _fields in DETAILS:
    _asked = partialmethod(Standard._ask, _kind, _name, _fields)
    setattr(Standard, f"invoke_with_{_kind}", _asked)


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
