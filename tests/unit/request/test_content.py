"""The content blocks of every dialect, as parts of a message."""

import copy

import pytest
from pydantic import TypeAdapter

from langchain_pmock import PmockInvalidRequestError
from langchain_pmock._request.content import content_part
from langchain_pmock.testing import _body as validator
from tests.support.message_cases import BLOCKS, UNSENDABLE, VIDEO
from tests.support.wire import Json


@pytest.mark.parametrize(("block", "part"), BLOCKS)
def test_block_becomes_part(block: str | Json, part: Json) -> None:
    before = copy.deepcopy(block)
    written = content_part(block)
    assert written == part
    if written["type"] != "text" and block != VIDEO:
        # The strict validator knows cache_control on texts only.
        plain = {k: v for k, v in written.items() if k != "cache_control"}
        TypeAdapter(validator.Block).validate_python(plain)
    written[written["type"]] = {"changed": "later"}
    assert block == before


@pytest.mark.parametrize(("block", "why"), UNSENDABLE)
def test_block_that_cannot_be_sent_is_named(block: Json, why: str) -> None:
    with pytest.raises(PmockInvalidRequestError) as caught:
        content_part(block)
    assert why in str(caught.value)
    if "content" not in block and "json" not in block:  # those of an inner block
        value = block.get("value")
        kind = (value if isinstance(value, dict) else block).get("type")
        named = f"type {kind!r}" if kind else "no type and the keys ['a', 'b']"
        assert f"A content block of {named} cannot be sent" in str(caught.value)
