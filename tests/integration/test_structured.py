"""Structured output end to end: what is asked for, and what becomes of the answer."""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from langchain_pmock.testing import Reply, ToolCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_pmock import ChatPmock
    from langchain_pmock.testing import PmockServer
    from tests.support.calls import Calls


Method = Literal["json_schema", "function_calling", "json_mode"]


class Kind(Enum):
    CITY = "city"
    RIVER = "river"


class Place(BaseModel):
    """A place, with the places in it."""

    name: str
    kind: Kind
    size: int | float | None = None
    names: list[str] = Field(default_factory=list)
    inside: list[Place] = Field(default_factory=list)


class PlaceDict(TypedDict):
    """A place."""

    name: Annotated[str, ..., "Its name."]
    kind: Literal["city", "river"]


SMALL = {"name": "東京", "kind": "city"}
PLACE = {
    **SMALL,
    "size": 2194.5,
    "names": ["Tokyo", "Edo"],
    "inside": [{"name": "隅田川", "kind": "river"}],
}
METHODS: list[Method] = ["json_schema", "function_calling"]


def reply(method: str, name: str, answer: Mapping[str, Any]) -> Reply:
    """Answer as the method has it: by text, or by a call."""
    if method == "function_calling":
        return Reply(tool_calls=[ToolCall(name, answer)])
    return Reply(text=json.dumps(answer, ensure_ascii=False))


@pytest.mark.parametrize("method", [*METHODS, "json_mode"])
def test_objects(
    server: PmockServer, model: ChatPmock, calls: Calls, method: Method
) -> None:
    runnable = model.with_structured_output(Place, method=method)
    server.script(*[reply(method, "Place", PLACE)] * 2)
    place = calls.invoke(runnable, "Where?")
    assert place == Place.model_validate(PLACE)
    assert calls.stream(runnable, "Where?") == [place]


@pytest.mark.parametrize("method", METHODS)
def test_dicts(
    server: PmockServer, model: ChatPmock, calls: Calls, method: Method
) -> None:
    runnable = model.with_structured_output(PlaceDict, method=method)
    server.script(*[reply(method, "PlaceDict", SMALL)] * 2)
    assert calls.invoke(runnable, "Where?") == SMALL
    parts = calls.stream(runnable, "Where?")
    assert parts[-1] == SMALL
    assert {"name": "東"} in parts
    assert {"name": "東京"} in parts


@pytest.mark.parametrize("method", METHODS)
def test_default_answer_matches_the_schema(
    model: ChatPmock, calls: Calls, method: Method
) -> None:
    runnable = model.with_structured_output(Place, method=method)
    place = calls.invoke(runnable, "Tell me about the river 'Seine'.")
    assert isinstance(place, Place)
    assert (place.name, place.kind) == ("Seine", Kind.RIVER)
