"""Profiles of the documented models.

pmock publishes only the models' names, so an entry has what the model's vendor
documents, as far as a chat request in OpenAI's format supports it. What the format or
the vendor does not support is `False`. A key without a source is left out, which means
unknown: `deepagents` treats a missing key as `True`, `langchain` as `False`. Limits of
the gateway itself are not documented.

Assumed, because pmock does not document it:

- `-all` is the same model with tools that the service runs.
- `-thinking` is the same model with reasoning enabled.
- `gemini-3-*` is Google's `gemini-3-*-preview`.
- `claude-4.5` is Sonnet, Opus or Haiku 4.5: the entry has what all three share.

Limits of the request format, for every model:

- It has no content block for video, so `video_inputs` is `False`, although all four
  Gemini models accept videos.
- A tool message can contain only text, so `image_tool_message` and `pdf_tool_message`
  are `False`: https://platform.openai.com/docs/api-reference/chat/create
- It has no field for the reasoning effort, so no levels are listed.

Most values are also in models.dev (https://models.dev), the source of the profiles in
LangChain's own packages. Differences are noted at the entry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_core.language_models import ModelProfile

_COMMON: ModelProfile = {
    "text_inputs": True,
    "image_inputs": True,
    "video_inputs": False,
    "image_tool_message": False,
    "pdf_tool_message": False,
    "text_outputs": True,
    "image_outputs": False,
    "audio_outputs": False,
    "video_outputs": False,
    "reasoning_output": True,
    "tool_calling": True,
    "tool_choice": True,
    "attachment": True,
}

# https://platform.openai.com/docs/models/gpt-5.1
# https://platform.openai.com/docs/models/gpt-5.2
# Of the context window of 400,000 tokens, 128,000 are reserved for the answer, which
# leaves 272,000 for the input (as in langchain-openai's profiles).
# PDFs: https://platform.openai.com/docs/guides/pdf-files
# temperature: accepted while the reasoning effort is "none", the default of both, see
# https://platform.openai.com/docs/guides/latest-model
_GPT_5: ModelProfile = {
    **_COMMON,
    "max_input_tokens": 272_000,
    "max_output_tokens": 128_000,
    "image_url_inputs": True,
    "pdf_inputs": True,
    "audio_inputs": False,
    "structured_output": True,
    "tool_call_streaming": True,
    "temperature": True,
}
# With reasoning enabled, OpenAI refuses a temperature.
_GPT_THINKING: ModelProfile = {**_GPT_5, "temperature": False}

# https://ai.google.dev/gemini-api/docs/models/gemini-3-pro-preview
# https://ai.google.dev/gemini-api/docs/models/gemini-3-flash-preview
# https://ai.google.dev/gemini-api/docs/models/gemini-2.5-pro
# https://ai.google.dev/gemini-api/docs/models/gemini-2.5-flash
# In OpenAI's format: https://ai.google.dev/gemini-api/docs/openai shows images (as
# data, so URLs are left out), `input_audio` and JSON schemas, and
# https://ai.google.dev/api/compatibility the choice of a tool. Neither these nor
# https://docs.cloud.google.com/vertex-ai/generative-ai/docs/migrate/openai/overview
# (`text`, `image_url` and `input_audio`) have the `file` part that PDFs are sent in.
# So, unlike in models.dev, `pdf_inputs` is False.
_GEMINI: ModelProfile = {
    **_COMMON,
    "max_input_tokens": 1_048_576,
    "max_output_tokens": 65_536,
    "pdf_inputs": False,
    "audio_inputs": True,
    "structured_output": True,
    "temperature": True,
}

# https://platform.claude.com/docs/en/models/sonnet-4-5/overview
# https://platform.claude.com/docs/en/models/opus-4-5/overview
# https://platform.claude.com/docs/en/models/haiku-4-5/overview
# In OpenAI's format:
# https://platform.claude.com/docs/en/cli-sdks-libraries/libraries/openai-sdk
# There the schema of an answer is silently ignored, and PDFs need Anthropic's own
# format. So, unlike in models.dev, `structured_output` is False (agents then use a tool
# call, which works), and so is `pdf_inputs`. A temperature above 1 is treated as 1.
_CLAUDE_4_5: ModelProfile = {
    **_COMMON,
    "name": "Claude 4.5",
    "max_input_tokens": 200_000,
    "max_output_tokens": 64_000,
    "image_url_inputs": True,
    "pdf_inputs": False,
    "audio_inputs": False,
    "structured_output": False,
    "tool_call_streaming": True,
    "temperature": True,
}

_PROFILES: dict[str, ModelProfile] = {
    "gpt-5.1": {**_GPT_5, "name": "GPT-5.1"},
    "gpt-5.1-all": {**_GPT_5, "name": "GPT-5.1 All"},
    "gpt-5.1-thinking": {**_GPT_THINKING, "name": "GPT-5.1 Thinking"},
    "gpt-5.1-thinking-all": {**_GPT_THINKING, "name": "GPT-5.1 Thinking All"},
    "gpt-5.2": {**_GPT_5, "name": "GPT-5.2"},
    "gemini-3-pro": {**_GEMINI, "name": "Gemini 3 Pro"},
    "gemini-2.5-pro": {**_GEMINI, "name": "Gemini 2.5 Pro"},
    "gemini-2.5-flash": {**_GEMINI, "name": "Gemini 2.5 Flash"},
    "gemini-3-flash": {**_GEMINI, "name": "Gemini 3 Flash"},
    "claude-4.5": _CLAUDE_4_5,
}


def get_profile(model: str) -> ModelProfile | None:
    """Return the profile of a model."""
    profile = _PROFILES.get(model)
    return None if profile is None else profile.copy()
