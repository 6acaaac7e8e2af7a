"""What the documented models can do."""

import subprocess
import sys
import warnings
from typing import Any, get_type_hints

import pytest
from langchain_core.language_models import ModelProfile
from langchain_core.language_models.fake_chat_models import FakeListChatModel

from langchain_pmock.data import _profiles
from langchain_pmock.data._profiles import get_profile

DOCUMENTED = [
    "gpt-5.1",
    "gpt-5.1-all",
    "gpt-5.1-thinking",
    "gpt-5.1-thinking-all",
    "gpt-5.2",
    "gemini-3-pro",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-3-flash",
    "claude-4.5",
]
MODALITIES = ("text", "image", "audio", "video")


def profile_of(model: str) -> dict[str, Any]:
    """The profile of a documented model, as a plain dict."""
    profile = get_profile(model)
    assert profile is not None
    return dict(profile)


def test_every_documented_model_has_a_profile_and_no_other() -> None:
    assert list(_profiles._PROFILES) == DOCUMENTED


@pytest.mark.parametrize("model", DOCUMENTED)
def test_keys_and_types_are_those_that_langchain_declares(model: str) -> None:
    declared = get_type_hints(ModelProfile)
    for key, value in profile_of(model).items():
        assert type(value) is declared[key], key


@pytest.mark.parametrize("model", DOCUMENTED)
def test_langchain_accepts_the_profile_without_a_warning(model: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chat = FakeListChatModel(responses=[], profile=get_profile(model))
    assert chat.profile == profile_of(model)


@pytest.mark.parametrize("model", DOCUMENTED)
def test_limits_are_plausible(model: str) -> None:
    profile = profile_of(model)
    assert 0 < profile["max_output_tokens"] <= profile["max_input_tokens"]


@pytest.mark.parametrize("model", DOCUMENTED)
def test_every_modality_is_answered_both_ways(model: str) -> None:
    profile = profile_of(model)
    for modality in MODALITIES:
        assert f"{modality}_inputs" in profile
        assert f"{modality}_outputs" in profile
    # The request has no block for a video, whatever the model can watch.
    assert not profile["video_inputs"]
    assert profile["text_inputs"]
    assert profile["text_outputs"]


@pytest.mark.parametrize("model", DOCUMENTED)
def test_names_tell_the_models_apart(model: str) -> None:
    """The name is the model's own, in the vendor's spelling."""
    spelled = profile_of(model)["name"].lower().replace(" ", "-")
    assert spelled == model


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gpt-5.1", (272_000, 128_000)),
        ("gpt-5.2", (272_000, 128_000)),
        ("gemini-3-pro", (1_048_576, 65_536)),
        ("claude-4.5", (200_000, 64_000)),
    ],
)
def test_limits_are_the_vendors(model: str, expected: tuple[int, int]) -> None:
    profile = profile_of(model)
    assert (profile["max_input_tokens"], profile["max_output_tokens"]) == expected


def test_native_structured_output_is_claimed_only_where_a_schema_is_honoured() -> None:
    without = [m for m in DOCUMENTED if not profile_of(m)["structured_output"]]
    assert without == ["claude-4.5"]


@pytest.mark.parametrize("model", DOCUMENTED)
def test_a_tool_message_holds_text_alone(model: str) -> None:
    # A missing key would let deepagents send images there.
    profile = profile_of(model)
    assert profile["image_tool_message"] is False
    assert profile["pdf_tool_message"] is False


def test_pdfs_are_claimed_only_where_a_file_part_is_documented() -> None:
    claimed = [m for m in DOCUMENTED if profile_of(m)["pdf_inputs"]]
    assert claimed == [m for m in DOCUMENTED if m.startswith("gpt-5")]


def test_temperature_is_claimed_only_where_reasoning_is_off_by_default() -> None:
    without = [m for m in DOCUMENTED if not profile_of(m)["temperature"]]
    assert without == ["gpt-5.1-thinking", "gpt-5.1-thinking-all"]


@pytest.mark.parametrize("model", ["", "gpt-4o", "GPT-5.1", "gpt-5.1-mini"])
def test_an_unknown_model_has_no_profile(model: str) -> None:
    assert get_profile(model) is None


def test_a_profile_belongs_to_the_caller() -> None:
    mine = get_profile("gpt-5.1")
    assert mine is not None
    mine["max_input_tokens"] = 1
    assert profile_of("gpt-5.1")["max_input_tokens"] == 272_000
    assert profile_of("gpt-5.2")["max_input_tokens"] == 272_000


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = (
        "import importlib.util, sys;"
        f"spec = importlib.util.spec_from_file_location('p', {_profiles.__file__!r});"
        "spec.loader.exec_module(importlib.util.module_from_spec(spec));"
        "print({'pydantic', 'langchain_core', 'httpx'} & set(sys.modules))"
    )
    found = subprocess.run(  # noqa: S603 - our own interpreter and our own code
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "set()"
