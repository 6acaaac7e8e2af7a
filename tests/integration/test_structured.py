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


PLACE = {
    "name": "東京",
    "kind": "city",
    "size": 2194.5,
    "names": ["Tokyo", "Edo"],
    "inside": [{"name": "隅田川", "kind": "river"}],
}
SMALL = {"name": "東京", "kind": "city"}
METHODS = ["json_schema", "function_calling"]
Method = Literal["json_schema", "function_calling", "json_mode"]


def reply(method: str, name: str, answer: Mapping[str, Any] | str) -> Reply:
    """Answer as the method has it: by text, or by a call."""
    if method == "function_calling":
        return Reply(tool_calls=[ToolCall(name, answer)])
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return Reply(text=text)


@pytest.mark.parametrize("method", [*METHODS, "json_mode"])
def test_objects(
    server: PmockServer, model: ChatPmock, calls: Calls, method: Method
) -> None:
    runnable = model.with_structured_output(Place, method=method)
    server.script(*[reply(method, "Place", PLACE)] * 2)
    place = calls.invoke(runnable, "Where?")
    assert place == Place.model_validate(PLACE)
    assert calls.stream(runnable, "Where?") == [place]

    sent = server.requests[0].body
    if method == "json_schema":
        defined = Place.model_json_schema()["$defs"]
        root = {k: v for k, v in defined["Place"].items() if k != "title"}
        assert sent["responseFormat"] == {
            "type": "json_schema",
            "json_schema": {
                "name": "Place",
                "description": "A place, with the places in it.",
                # A class that holds itself: pydantic's root is a reference.
                "schema": {**root, "$defs": defined},
            },
        }
        assert "tools" not in sent
    elif method == "json_mode":
        assert sent["responseFormat"] == {"type": "json_object"}
    else:
        (tool,) = sent["tools"]
        assert tool["function"]["name"] == "Place"
        assert sent["toolChoice"] == {"type": "function", "function": {"name": "Place"}}
        assert sent["parallelToolCalls"] is False


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("schema", "name"),
    [
        (PlaceDict, "PlaceDict"),
        (Place.model_json_schema(), "Place"),
        ({"type": "object", "properties": {"name": {"type": "string"}}}, "answer"),
    ],
    ids=["TypedDict", "JSON schema", "no title"],
)
def test_dicts(  # noqa: PLR0913, PLR0917 - parameters and fixtures
    server: PmockServer,
    model: ChatPmock,
    calls: Calls,
    schema: Any,
    name: str,
    method: Method,
) -> None:
    runnable = model.with_structured_output(schema, method=method)
    server.script(*[reply(method, name, SMALL)] * 2)
    assert calls.invoke(runnable, "Where?") == SMALL
    sent = server.requests[0].body
    if method == "json_schema":
        asked = sent["responseFormat"]["json_schema"]["schema"]
    else:
        asked = sent["tools"][0]["function"]["parameters"]
    assert "name" in asked["properties"]

    parts = calls.stream(runnable, "Where?")
    assert parts[-1] == SMALL
    assert {"name": "東"} in parts
    assert {"name": "東京"} in parts
    sizes = [len(str(part)) for part in parts]
    assert sizes == sorted(sizes)


@pytest.mark.parametrize("method", METHODS)
def test_default_answer_matches_the_schema(
    model: ChatPmock, calls: Calls, method: Method
) -> None:
    runnable = model.with_structured_output(Place, method=method)
    place = calls.invoke(runnable, "Tell me about the river 'Seine'.")
    assert isinstance(place, Place)
    assert (place.name, place.kind) == ("Seine", Kind.RIVER)


# --- Answers that are none -----------------------------------------------------------


# --- What else is asked for ----------------------------------------------------------
