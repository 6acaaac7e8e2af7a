"""The names on the wire, and what a user may set of them."""

from typing import Any

import pytest

from langchain_pmock import Wire
from langchain_pmock._wire import camel_case, snake_case


@pytest.mark.parametrize("field", ["tool_calls", "tool_call_id", "reasoning_content"])
@pytest.mark.parametrize("value", ["", 5, b"x", False, None])
def test_a_field_must_have_a_name(field: str, value: Any) -> None:
    if field == "reasoning_content" and value is None:
        assert Wire(reasoning_content=None) == Wire()
        return
    with pytest.raises(ValueError, match=rf"^Wire: {field}={value!r} is not valid: "):
        Wire(**{field: value})


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("model", "model"), ("top_p", "topP"), ("tool_call_id", "toolCallId")],
)
def test_names_go_both_ways(ours: str, theirs: str) -> None:
    assert camel_case(ours) == theirs
    assert snake_case(theirs) == snake_case(ours) == ours
