from typing import Any

import pytest

from langchain_pmock.testing import Fault, PmockServer, Reply, ToolCall


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({"status": 600}, "status\n.*less than or equal to 599"),
        ({"status": 204}, "status\n.*has no body"),
        ({"status": "500"}, "status\n.*valid integer"),
        ({"code": "500"}, "code\n.*valid integer"),
        ({"body": "text"}, "body\n.*valid bytes"),
        ({"code": 500, "after": -1}, "after\n.*greater than or equal to 0"),
        ({"cut_after": -1}, "cut_after\n.*greater than"),
        ({"stall": -1}, "stall\n.*greater than or equal to 0"),
        ({"stall": float("nan")}, "stall\n.*"),
        ({"status": 503, "retry_after": -5}, "retry_after"),
        ({"status": 503, "retry_after": "a\nb"}, "retry_after"),
        ({"body": b"", "content_type": "clé"}, "content_type\n.*match pattern"),
        ({"after": 3, "cut_after": 3}, "after needs code or stall"),
        ({"retry_after": 3}, "a fault needs one of status"),
        ({"statsu": 3}, "statsu"),
        ({"status": 500, "times": 0}, "times=0 must be at least 1"),
    ],
    ids=str,
)
def test_invalid_faults(fault: dict[str, Any], problem: str) -> None:
    with pytest.raises((ValueError, TypeError), match=problem):
        PmockServer().fail(**fault)
    if "times" not in fault:
        with pytest.raises((ValueError, TypeError), match=problem):
            Fault(**fault)


@pytest.mark.parametrize(
    "fields",
    [
        {"text": 5},
        {"tool_calls": ["f"]},
        {"tool_calls": ToolCall("f")},
        {"chunks": "text"},
        {"chunks": [5]},
        {"raw": ["text"]},
        {"usage": {"promptTokens": b"no JSON"}},
        {"finish_reason": 1},
        {"txet": "x"},
    ],
    ids=str,
)
def test_invalid_replies(fields: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Reply(**fields)


def test_arguments_that_are_not_json() -> None:
    deep: Any = {}
    for _ in range(100_000):
        deep = {"a": deep}
    wrong: list[Any] = [deep, {"a": object()}, 5]
    for arguments in wrong:
        with pytest.raises(ValueError, match=r"JSON|string"):
            ToolCall("f", arguments)


@pytest.mark.parametrize(
    "entry", [{"content": "x"}, None, ToolCall("f"), 5, b"x", ["x"], Reply], ids=repr
)
def test_invalid_entries_of_a_script(entry: Any) -> None:
    server = PmockServer()
    with pytest.raises(ValueError, match="a script has no use for"):
        server.script("fine", entry)
    server.assert_all_used()
