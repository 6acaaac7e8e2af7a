"""The names on the wire, and what a user may set of them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from langchain_pmock import Wire
from langchain_pmock._wire import camel_case, snake_case


@pytest.mark.parametrize("field", ["tool_calls", "tool_call_id", "reasoning_content"])
@pytest.mark.parametrize("value", ["", 5, b"x", False])
def test_a_field_must_have_a_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^Wire: {field}={value!r} is not valid: "):
        Wire(**{field: value})


@pytest.mark.parametrize("field", ["tool_calls", "tool_call_id"])
def test_tool_calls_cannot_be_left_out(field: str) -> None:
    with pytest.raises(ValueError, match=r"it must be a name that is not empty\.$"):
        Wire(**{field: cast("str", None)})
    assert Wire(reasoning_content=None) == Wire()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("model", "model"),
        ("max_completion_tokens", "maxCompletionTokens"),
        ("top_p", "topP"),
        ("tool_call_id", "toolCallId"),
    ],
)
def test_names_go_both_ways(ours: str, theirs: str) -> None:
    assert camel_case(ours) == theirs
    assert snake_case(theirs) == ours
    assert snake_case(ours) == ours
