"""Requests over a socket: memory and proxies."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import httpx2
import pytest
from langchain_core.messages import HumanMessage

from langchain_pmock import ChatPmock, PmockConnectionError
from tests.support.raw_server import RawServer, whole
from tests.support.wire import answer

if TYPE_CHECKING:
    from tests.integration.conftest import MakeModel
    from tests.support.calls import Ask, Calls


def test_memory_is_freed_without_the_garbage_collector(
    ask: Ask, model: ChatPmock
) -> None:
    image = "data:image/png;base64," + "A" * 1_000_000
    block = {"type": "image_url", "image_url": {"url": image}}

    def alive() -> int:
        return sum(
            isinstance(one, (httpx2.Request, httpx2.Response))
            for one in gc.get_objects()
        )

    gc.collect()
    gc.disable()
    try:
        before = alive()
        for _ in range(3):
            assert ask(model, [HumanMessage([block])]).text
        assert alive() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("attempts", [1, 2])
def test_proxy_of_the_environment_is_used(
    attempts: int, calls: Calls, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name)
    url = "http://127.0.0.1:1/api"
    with RawServer(whole(answer("by proxy"))) as proxy:
        model = make_model(base_url=url, max_retries=0)
        if attempts > 1:
            with pytest.raises(PmockConnectionError):
                calls.invoke(model, "Hello")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        if attempts == 1:
            model = make_model(base_url=url)
        assert calls.invoke(model, "Hello").text == "by proxy"
    (request,) = proxy.requests
    assert request.target == f"{url}/ai/chat/completions"
