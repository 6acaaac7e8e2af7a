"""LangChain's standard unit tests, all of them."""

import importlib
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_pmock import ChatPmock


@pytest.fixture(autouse=True)
def _listed_by_langchain_core(monkeypatch: pytest.MonkeyPatch) -> None:
    # The suite loads a model with allowed_objects="all", which stands for the classes
    # that langchain-core lists by name. It does not list this package, and whoever
    # loads a ChatPmock has to name the class, as test_copies.py does.
    load = importlib.import_module("langchain_core.load.load")
    path = tuple(ChatPmock.lc_id())
    monkeypatch.setitem(load.ALL_SERIALIZABLE_MAPPINGS, path, path)
    monkeypatch.setattr(load, "_default_class_paths_cache", {})


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
