"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.openai_server import KEY, OpenAIServer
from tests.support.processes import python

INI = """
[pytest]
addopts = -p langchain_pmock_pytest -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
"""
TESTS = """
import pytest
from langchain_pmock import ChatPmock

pytestmark = pytest.mark.pmock_tape


@pytest.fixture
def model():
    return ChatPmock(model="gpt-5.1")


@pytest.mark.parametrize("text", ["plain", "a/b", "a:b", "x" * 300], ids=str)
def test_text(model, text):
    assert model.invoke(text).text == f"You said: {text}"


class TestMany:
    async def test_async(self, model, pmock_server):
        assert (await model.ainvoke("x")).text == "You said: x"
        assert len(pmock_server.requests) == 1


def test_no_request():
    pass
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    for name in ("UPSTREAM", "UPSTREAM_MODEL", "UPSTREAM_KEY"):
        monkeypatch.delenv(f"PMOCK_{name}", raising=False)
    pytester.makeini(INI)
    return pytester


def test_tapes_are_recorded_once_and_replayed(
    run: pytest.Pytester, openai: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    test = run.makepyfile(test_it=TESTS)
    tapes = test.parent / "tapes" / "test_it"
    result = run.runpytest()
    result.assert_outcomes(passed=1, failed=5)
    result.stdout.fnmatch_lines(["*there is no tape *: `pytest --pmock-record=once` *"])
    result = run.runpytest("--pmock-record=once")
    result.assert_outcomes(errors=6)
    result.stdout.fnmatch_lines(["recording needs an upstream: set pmock_upstream *"])

    monkeypatch.setenv("PMOCK_UPSTREAM", openai.url)
    monkeypatch.setenv("PMOCK_UPSTREAM_KEY", KEY)
    run.runpytest("--pmock-record=once").assert_outcomes(passed=6)
    assert len(openai.requests) == 5
    names = {tape.name for tape in tapes.iterdir()}
    assert len(names) == 5
    assert {"TestMany.test_async.jsonl", "test_text[plain].jsonl"} < names
    assert all(len(name) < 200 for name in names)
    assert KEY not in "".join(tape.read_text() for tape in tapes.iterdir())

    tape = tapes / "test_text[plain].jsonl"
    before = tape.read_bytes()
    tape.write_bytes(before.replace(b"You said: plain", b"You said: other"))
    (tapes / "TestMany.test_async.jsonl").unlink()
    # A tape that is there is replayed; one that is missing is recorded.
    run.runpytest("--pmock-record=once").assert_outcomes(passed=5, failed=1)
    assert len(openai.requests) == 6
    run.runpytest("--pmock-record=all").assert_outcomes(passed=6)
    assert len(openai.requests) == 11
    assert json.loads(tape.read_bytes())["request"] == json.loads(before)["request"]
    monkeypatch.delenv("PMOCK_UPSTREAM")
    run.runpytest().assert_outcomes(passed=6)
    assert {tape.name for tape in tapes.iterdir()} == names


def test_a_tape_survives_when_the_upstream_is_down(
    run: pytest.Pytester, openai: OpenAIServer
) -> None:
    run.makeini(f"{INI}\npmock_upstream = {openai.url}\npmock_upstream_model = qwen")
    test = run.makepyfile(
        test_it="""
        import pytest
        from langchain_pmock import ChatPmock

        @pytest.fixture
        def answer():
            return ChatPmock(model="gpt-5.1", max_retries=0).invoke("Hi")

        @pytest.mark.pmock_tape
        def test_it(answer):
            assert answer.text
        """
    )
    run.runpytest("--pmock-record=all").assert_outcomes(passed=1)
    assert openai.requests[0]["model"] == "qwen"
    (tape,) = (test.parent / "tapes" / "test_it").iterdir()
    before = tape.read_bytes()
    run.makeini(f"{INI}\npmock_upstream = http://127.0.0.1:9/v1")
    run.runpytest("--pmock-record=all").assert_outcomes(errors=1)
    assert tape.read_bytes() == before


def test_server_without_a_tape(run: pytest.Pytester) -> None:
    run.makepyfile(
        """
        import os, pytest
        from langchain_pmock import ChatPmock

        def test_script(pmock_server):
            pmock_server.script("scripted")
            assert ChatPmock(model="gpt-5.1").invoke("x").text == "scripted"

        def test_environment_is_restored():
            assert "PMOCK_BASE_URL" not in os.environ

        @pytest.mark.pmock_tape("x.jsonl")
        def test_arguments():
            pass
        """
    )
    result = run.runpytest("-W", "error::pytest.PytestUnknownMarkWarning")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the marker pmock_tape takes no arguments"])


def test_names_do_not_depend_on_node_ids(run: pytest.Pytester) -> None:
    from langchain_pmock_pytest import tape_of  # noqa: PLC0415 - as pytest loads it

    test = run.makepyfile(test_it=TESTS)
    items, _ = run.inline_genitems()
    first = [tape_of(item) for item in items]
    assert len({*first}) == 6
    items, _ = run.inline_genitems("--rootdir=/", str(test))
    assert [tape_of(item) for item in items] == first
    assert {tape.parent for tape in first} == {test.parent / "tapes" / "test_it"}


def test_a_run_that_does_not_use_it_imports_nothing(run: pytest.Pytester) -> None:
    run.makepyfile("def test_it(): pass")
    command = """if True:
        import sys, pytest
        sys.modules["aiohttp"] = sys.modules["httpx2"] = None  # not to be imported
        code = pytest.main(["-p", "langchain_pmock_pytest"])
        heavy = {"langchain_pmock", "langchain_core", "pydantic"}
        print("loaded:", sorted(heavy & {*sys.modules}), int(code))
    """
    root = Path(__file__).parents[2]
    env = {"PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = python("-c", command, env=env)
    assert "1 passed" in done.stdout
    assert "loaded: [] 0" in done.stdout


def test_without_the_extra_the_error_names_it(run: pytest.Pytester) -> None:
    run.makeconftest("import sys; sys.modules['aiohttp'] = None")
    run.makepyfile("def test_it(pmock_server): pass")
    result = run.runpytest_subprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(['*pip install "langchain-pmock?testing?"'])
