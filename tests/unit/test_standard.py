"""LangChain's standard unit tests, all of them."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_pmock import ChatPmock


class TestChatPmock(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatPmock

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": "gpt-5.1",
            # The suite itself passes an api_key.
            "api_key": "ak-example",
            "api_secret": "sk-example",
        }

    @property
    def init_from_env_params(
        self,
    ) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return (
            {
                "PMOCK_ACCESS_KEY": "ak-env",
                "PMOCK_SECRET_KEY": "sk-env",
                "PMOCK_BASE_URL": "https://env.invalid/api",
            },
            {"model": "gpt-5.1"},
            {
                "access_key": "ak-env",
                "secret_key": "sk-env",
                "base_url": "https://env.invalid/api",
            },
        )
