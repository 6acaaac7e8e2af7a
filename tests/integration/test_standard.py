"""LangChain's standard tests, with every capability on and nothing expected to fail.

The details of a usage are in tests/unit/response.

They run against a local server; with `PMOCK_LIVE=1`, `PMOCK_ACCESS_KEY` and
`PMOCK_SECRET_KEY` in the environment, against the service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import httpx
import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from langchain_pmock import ChatPmock
from tests.integration.conftest import LIVE
from tests.support.files import pdf, png, wav

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_core.language_models import BaseChatModel

    from langchain_pmock.testing import PmockServer

pytestmark = [pytest.mark.enable_socket] if LIVE else []

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
