"""What the documented models can do."""

import subprocess
import sys
from typing import Any, get_args, get_type_hints

import pytest
from langchain_core.language_models import ModelProfile

from langchain_pmock import ModelName
from langchain_pmock.data import _profiles
from langchain_pmock.data._profiles import get_profile

DOCUMENTED = get_args(ModelName)


def profile_of(model: str) -> dict[str, Any]:
    """The profile of a documented model, as a plain dict."""
    profile = get_profile(model)
    assert profile is not None
    return dict(profile)


@pytest.mark.parametrize("model", DOCUMENTED)
def test_profile_is_complete_and_valid(model: str) -> None:
    profile = profile_of(model)
    declared = get_type_hints(ModelProfile)
    for key, value in profile.items():
        assert type(value) is declared[key], key
    assert profile["name"].lower().replace(" ", "-") == model
    modalities = {
        f"{modality}_{way}"
        for modality in ("text", "image", "audio", "video")
        for way in ("inputs", "outputs")
    }
    assert modalities <= profile.keys()
    # The request has no block for videos, and a tool message has only text. A missing
    # key would let deepagents send images there.
    for key in ("video_inputs", "image_tool_message", "pdf_tool_message"):
        assert profile[key] is False


@pytest.mark.parametrize(
    ("key", "models"),
    [
        ("structured_output", [m for m in DOCUMENTED if m != "claude-4.5"]),
        ("pdf_inputs", [m for m in DOCUMENTED if m.startswith("gpt-5")]),
        ("temperature", [m for m in DOCUMENTED if "thinking" not in m]),
    ],
)
def test_feature_is_claimed_where_it_is_documented(key: str, models: list[str]) -> None:
    assert [m for m in DOCUMENTED if profile_of(m)[key]] == models


def test_profile_is_a_copy() -> None:
    assert get_profile("GPT-5.1") is None
    mine = get_profile("gpt-5.1")
    assert mine is not None
    mine["max_input_tokens"] = 1
    assert profile_of("gpt-5.1")["max_input_tokens"] == 272_000


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = (
        "import importlib.util, sys;"
        f"spec = importlib.util.spec_from_file_location('p', {_profiles.__file__!r});"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec));"
        "print({'pydantic', 'langchain_core', 'httpx', 'httpx2'} & set(sys.modules))"
    )
    found = subprocess.run(  # noqa: S603 - our own interpreter and our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "set()"
