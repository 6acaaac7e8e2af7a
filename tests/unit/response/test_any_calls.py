"""Any tool calls, cut anywhere and interleaved, merge to those of the whole answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.response.test_chunks import whole
from tests.unit.response.test_streamed_calls import calls_of, delta_of, stream

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

    from tests.support.wire import Json

_arguments = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(st.text(max_size=3), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    max_size=3,
)


@st.composite
def _cut_calls(draw: st.DrawFn) -> tuple[list[Json], list[Json]]:
    """Some calls as a whole answer has them, and the same cut and interleaved."""
    calls: list[Json] = []
    queues: list[list[Json]] = []
    repeated, ascii_only = draw(st.booleans()), draw(st.booleans())
    for index in range(draw(st.integers(1, 4))):
        name = draw(st.sampled_from(["f", "g"]))
        text = json.dumps(draw(_arguments), ensure_ascii=ascii_only)
        calls.append(delta_of(text, name, id=f"call_{index}"))
        places = draw(st.lists(st.integers(0, len(text)), max_size=6))
        ends = [*sorted(places), len(text)]
        pieces = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
        head = {"name": name, "id": f"call_{index}"}
        rest = head if repeated else {}
        queues.append(
            [
                delta_of(piece, index=index, **(rest if number else head))
                for number, piece in enumerate(pieces)
            ]
        )
    deltas: list[Json] = []
    while queues:
        queue = queues[draw(st.integers(0, len(queues) - 1))]
        deltas.append(queue.pop(0))
        queues = [queue for queue in queues if queue]
    return calls, deltas


@given(cut=_cut_calls())
def test_any_split_of_any_calls_in_any_order(
    cut: tuple[list[Json], list[Json]],
) -> None:
    calls, deltas = cut
    message = stream(*deltas)
    answer = whole({"content": "", "toolCalls": calls}, "tool_calls")

    def by_id(message: AIMessage) -> list[Any]:
        return sorted(calls_of(message), key=lambda call: call[0])

    assert by_id(message) == by_id(answer)
