"""Test suites of LangChain and LangGraph, with `ChatPmock` for their fake models.

The suites come from the source distributions of the installed versions. `expected.toml`
lists the tests that fail, and why. Tests that fail with their own models too do not
count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

_HERE = Path(__file__).parent
_EXPECTED = tomllib.loads((_HERE / "expected.toml").read_text(encoding="utf-8"))
_SECONDS = 900
_SETTINGS = ("LANGCHAIN_", "LANGSMITH_", "PMOCK_")  # of the user's shell

# The tests that use fake chat models.
_SUITES = {
    "langchain": ["agents"],
    "langchain-core": [
        *("callbacks", "fake", "output_parsers", "prompts", "runnables"),
        "language_models/chat_models/test_base.py",
        "language_models/chat_models/test_cache.py",
    ],
    "langgraph-prebuilt": ["."],
}


@pytest.mark.parametrize("package", _SUITES)
def test_suite(package: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    root = _unpack(_download(package, request.config.cache.mkdir("sdists")), tmp_path)
    tests = root / "tests/unit_tests"
    tests = tests if tests.exists() else root / "tests"
    paths = [tests / path for path in _SUITES[package]]
    failed = _failed(root, *paths, "-p", "swap")
    failed -= _failed(root, *paths, "--last-failed")  # with their own models
    entries = _EXPECTED[package]
    expected = {test for entry in entries for test in entry["tests"]}
    flaky = {t for entry in entries if entry.get("flaky") for t in entry["tests"]}
    assert sorted(failed - expected) == [], "fail, and are not in expected.toml"
    assert sorted(expected - flaky - failed) == [], "pass, but are in expected.toml"


def _download(package: str, directory: Path) -> Path:
    """Return the source distribution of the installed version."""
    requirement = f"{package}=={version(package)}"
    pattern = f"{requirement.replace('-', '_').replace('==', '-')}.tar.gz"
    if not [*directory.glob(pattern)]:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        source = ["--no-binary", ":all:", "--no-build-isolation", requirement]
        subprocess.run([*pip, *source, "--dest", directory], check=True)  # noqa: S603
    return next(directory.glob(pattern))


def _unpack(sdist: Path, directory: Path) -> Path:
    """Unpack the tests, but not the package, which is installed."""
    with tarfile.open(sdist) as archive:
        members = [
            member
            for member in archive.getmembers()
            if Path(member.name).parts[1:2] in {("tests",), ("pyproject.toml",)}
        ]
        archive.extractall(directory, members, filter="data")
    return directory / sdist.name.removesuffix(".tar.gz")


def _failed(root: Path, *arguments: str | Path) -> set[str]:
    """Run tests in a process of their own, and return the ids of those that fail."""
    report = root / "report.xml"
    loopback = ["--allow-hosts=127.0.0.1,::1", "--allow-unix-socket"]
    # Long tracebacks of these suites meet a defect of Python 3.11's compiler.
    options = [*loopback, "--tb=native", f"--junitxml={report}"]
    command = [sys.executable, "-m", "pytest", *options]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)},
        "PYTHONPATH": str(_HERE),
        "HTTPS_PROXY": "http://127.0.0.1:9",  # Traces of the suites go nowhere.
        "NO_PROXY": "127.0.0.1",
    }
    subprocess.run(  # noqa: S603
        [*command, *arguments],
        cwd=root,
        env=environment,
        timeout=_SECONDS,
        stdout=subprocess.DEVNULL,
        check=False,
    )
    return {
        f"{_module(case)}::{case.get('name')}"
        for case in ET.parse(report).iter("testcase")  # noqa: S314 - written by pytest
        if case.find("failure") is not None or case.find("error") is not None
    }


def _module(case: ET.Element) -> str:
    return case.get("classname", "").removeprefix("tests.").removeprefix("unit_tests.")
