"""A model in other processes: forked, spawned, pickled, and at the end of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from langchain_pmock import ChatPmock, errors
from langchain_pmock.testing import Reply
from tests.support import wire
from tests.support.leaks import wait_until
from tests.support.processes import python
from tests.support.raw_server import RawServer, stream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from langchain_pmock.testing import PmockServer
    from tests.integration.conftest import MakeModel

HELLO = "You said: Hello"
OPTIONS = ("-Wignore", "-Werror::ResourceWarning", "-Werror::RuntimeWarning")

IN_A_FORK = """
    import asyncio, os, sys
    from langchain_pmock import ChatPmock

    model = ChatPmock(model="gpt-5.1", max_retries=0)

    def ask(who):
        for i in range(20):
            question = f"I am {who} {i}"
            assert model.invoke(question).text == f"You said: {question}"
        assert asyncio.run(model.ainvoke("Hello")).text == "You said: Hello"

    # Concurrent: over one connection, each would receive the other's answers.
    ask("alone")
    child = os.fork()
    if child == 0:
        ask("the child")
        sys.exit(0)
    ask("the parent")
    _, status = os.waitpid(child, 0)
    assert status == 0, status

    async def fork_inside():
        assert (await model.ainvoke("Hello")).text == "You said: Hello"
        child = os.fork()
        if child == 0:
            os._exit(0 if model.invoke("Hello").text == "You said: Hello" else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0, status
        # The child has not closed the parent's connections.
        assert (await model.ainvoke("Hello")).text == "You said: Hello"

    asyncio.run(fork_inside())
"""

A_STREAM_IN_A_FORK = """
    import os
    from langchain_pmock import ChatPmock

    stream = ChatPmock(model="gpt-5.1").stream("Hello")
    assert next(stream).text == "Hel"
    child = os.fork()
    if child == 0:
        del stream
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    # The child has dropped the stream, and has not closed the parent's connection.
    assert "".join(chunk.text for chunk in stream) == "lo"
"""

AT_EXIT = """
    import asyncio
    from langchain_pmock import ChatPmock

    async def main():
        assert (await model.ainvoke("Hello")).text
        chunks = model.astream("Hello")
        await anext(chunks)
        left.append(chunks)

    model, left = ChatPmock(model="gpt-5.1"), []
    assert model.invoke("Hello").text
    # Streams that are never read to their end.
    left.append(model.stream("Hello"))
    next(left[0])
    asyncio.run(main())
"""


def run_script(script: str, env: Mapping[str, str]) -> None:
    done = python(*OPTIONS, "-c", textwrap.dedent(script), env=env)
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_forked_process(server: PmockServer) -> None:
    run_script(IN_A_FORK, server.env)
    # A minute may end meanwhile; then requests are signed again.
    answered = [request for request in server.requests if request.status == 200]
    assert len(answered) == 3 * 21 + 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_stream_survives_a_fork() -> None:
    first, *rest = wire.HELLO
    steps = stream(first, 0.5, *rest)
    with RawServer(steps) as server:
        credentials = (server.access_key, server.secret_key, server.url)
        names = ("PMOCK_ACCESS_KEY", "PMOCK_SECRET_KEY", "PMOCK_BASE_URL")
        run_script(A_STREAM_IN_A_FORK, dict(zip(names, credentials, strict=True)))


def test_process_ends_quietly_though_streams_are_left(server: PmockServer) -> None:
    server.delay = 0.01
    long = Reply(chunks=["word "] * 5000)
    server.script("Hello", long, "Hello", long)
    run_script(AT_EXIT, server.env)
    wait_until(lambda: server.open_connections == 0)


def ask_in_a_process(model: ChatPmock) -> list[str]:
    streamed = "".join(chunk.text for chunk in model.stream("Hello"))
    return [
        model.invoke("Hello").text,
        asyncio.run(model.ainvoke("Hello")).text,
        streamed,
    ]


def error_of_a_process(model: ChatPmock) -> errors.PmockError:
    with pytest.raises(errors.PmockError) as caught:
        model.invoke("Hello")
    return caught.value


def test_model_and_error_are_pickled_to_and_from_a_process(
    server: PmockServer, make_model: MakeModel
) -> None:
    model = make_model(temperature=0.5, stop=["x"])
    assert model.invoke("Hello").text == HELLO
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(ask_in_a_process, [model]) == [HELLO] * 3
        server.fail(status=429, message="slow down", retry_after=3)
        error = pool.apply(error_of_a_process, [model])
    assert type(error) is errors.PmockRateLimitError
    assert (error.code, error.status_code) == (429, 429)
    assert error.response is not None
    assert error.response.headers["retry-after"] == "3"
    assert "slow down" in str(error)
    assert {request.body["temperature"] for request in server.requests} == {0.5}
