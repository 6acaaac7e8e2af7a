"""make sets up environments, and runs all parts even if one fails."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.processes import execute

ROOT = Path(__file__).parents[2]
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHON = f"PYTHON={sys.executable}"

# As in the Makefile, without what takes long.
CREATE = 'create="$$python" -m venv --without-pip --clear $(1)'
INSTALL = "install=echo $(1) >> $(@D)/installed"
KILL = "kill -9 $$$$"


@pytest.fixture(autouse=True)
def _no_outer_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """A make that runs these tests must not control theirs."""
    for name in ("MAKEFLAGS", "PYTHON"):
        monkeypatch.delenv(name, raising=False)


def run(*command: str | Path, **variables: str) -> tuple[int, str]:
    done = execute(*command, cwd=ROOT, env=variables, fails=None)
    return done.returncode, done.stdout + done.stderr


def make(
    venv: Path, *variables: str, groups: str = "examples", fails: bool = False
) -> str:
    found = shutil.which("make") or pytest.skip("there is no make")
    target = f"{venv}/{groups}.installed"
    status, output = run(found, f"VENV={venv}", CREATE, INSTALL, *variables, target)
    assert (status != 0) is fails, output
    return output


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return tmp_path / "venv"


def test_each_group_is_installed_once(venv: Path) -> None:
    output = make(venv, PYTHON)
    assert f"Creating {venv} with Python {THIS}\n" in output
    assert "dependency groups examples into" in output
    assert "packages, " in output
    assert "is up to date" in make(venv, PYTHON)
    # Without PYTHON it stays what it is.
    assert "is up to date" in make(venv)

    # A failed installation, as without a network, keeps what is there.
    make(venv, "install=false", groups="test+docs", fails=True)
    assert "Creating" not in make(venv, groups="test+docs")
    assert "is up to date" in make(venv)
    first, second = (venv / "installed").read_text().splitlines()
    assert first == "--editable .[testing] --group examples"
    assert second == "--editable .[testing] --group test --group docs"


LARGE = re.compile("ray|playwright|matplotlib|pyright")


@pytest.mark.parametrize("target", ["demo", "test", "lint", "test-lowest"])
def test_usual_targets_install_no_large_dependency(target: str, tmp_path: Path) -> None:
    variables = [f"{name}={tmp_path}" for name in ("VENV", "VENV_LINT", "VENV_LOWEST")]
    # With another MAKE, `make --dry-run test` does not run the parts.
    _, output = run("make", "--dry-run", *variables, "MAKE=true", target)
    groups = set(re.findall(r"--group (\S+?)[\s;]", output))
    assert groups
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contents = {name: str(it) for name, it in project["dependency-groups"].items()}
    for _ in contents:  # as deep as groups can include each other
        for group in list(groups):
            groups |= set(re.findall(r"'include-group': '(\S+)'", contents[group]))
    assert not [group for group in groups if LARGE.search(contents[group])]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}/python3.9", "{}/python3.9 is Python 3.9, and this package needs 3.11"),
        ("python4", "There is no Python 3.11 or newer: looked for python4.\n"),
    ],
)
def test_unusable_pythons_are_named(
    name: str, message: str, venv: Path, tmp_path: Path
) -> None:
    script(tmp_path / "python3.9", 'echo "3.9 $0"\nexit 1')
    other = f"PYTHON={name.format(tmp_path)}"
    assert message.format(tmp_path) in make(venv, other, fails=True)
    assert not venv.exists()
    # An environment that exists is kept.
    make(venv, PYTHON)
    make(venv, other, fails=True)
    assert "is up to date" in make(venv)


@pytest.mark.parametrize(
    "cause", ["no Python", "another Python", f"{CREATE}; {KILL}", f"install={KILL}"]
)
def test_unusable_environments_are_created_anew(cause: str, venv: Path) -> None:
    is_killed = KILL in cause
    make(venv, PYTHON, cause if is_killed else INSTALL, fails=is_killed)
    if cause == "no Python":
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/nowhere/python")
    elif cause == "another Python":
        (venv / f".python-{THIS}").rename(venv / ".python-3.9")
    (venv / "unusable").touch()
    assert "Creating" in make(venv, PYTHON)
    assert not (venv / "unusable").exists()
    assert not (venv / ".python-3.9").exists()
    assert (venv / "installed").exists()


def test_other_folders_are_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    output = make(tmp_path, PYTHON, fails=True)
    assert f"{tmp_path} is no virtual environment" in output
    assert (tmp_path / "thesis.txt").exists()


# --- .ci ------------------------------------------------------------------------------


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_all_parts_run_and_the_end_names_their_results(
    jobs: str, tmp_path: Path
) -> None:
    script(tmp_path / "make", 'echo "$2 runs"\ntest "$2" != bad')
    each = ROOT / ".ci" / "each"
    fake = str(tmp_path / "make")
    status, output = run(each, "--jobs", jobs, "good", "bad", "last", MAKE=fake)
    assert status == 1
    *_, good, bad, last = output.splitlines()
    assert re.fullmatch(r"good +passed in \d+ s", good)
    assert re.fullmatch(r"bad +FAILED in \d+ s", bad)
    assert re.fullmatch(r"last +passed in \d+ s", last)
    assert output.count(" runs\n") == 3
    assert run(each, "good", "last", MAKE=fake)[0] == 0


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the scripts, for a machine that has no Python yet."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for minor in range(10, 15):
        install_python(tmp_path, f"3.{minor}", "exit 127")
    return tmp_path


def install_python(machine: Path, version: str, does: str = "") -> None:
    script(machine / "bin" / f"python{version}", does or f'echo "{version} $0"')
    script(machine / f".venv-{version}" / "bin" / "pytest", 'echo "tested: $@"')


def run_pythons(machine: Path, *arguments: str, ci: str = "true") -> tuple[int, str]:
    return run(
        machine / ".ci" / "test-pythons",
        *arguments,
        PATH=f"{machine / 'bin'}:{os.environ['PATH']}",
        PYTHON="python3.12",
        PYENV_ROOT="/nowhere",
        UV_PYTHON_INSTALL_DIR="/nowhere",
        MAKE="true",
        CI=ci,
    )


def test_installed_pythons_are_tested(machine: Path) -> None:
    install_python(machine, "3.12")
    # The default alone is not enough for CI.
    assert run_pythons(machine, ci="")[0] == 0
    status, output = run_pythons(machine)
    assert status == 1
    assert "no other Python than the default" in output
    assert run_pythons(machine, "--one")[0] == 0

    for version in ("3.11", "3.14"):
        install_python(machine, version)
    status, output = run_pythons(machine, "-k", "some")
    assert status == 0
    assert output.count("tested: -k some\n") == 3
    assert "Passed on Python 3.11 3.12 3.14.\nNot found: Python 3.13.\n" in output
    _, output = run_pythons(machine, "--one", "tests/unit")
    assert output.count("tested: tests/unit\n") == 1
    assert "Passed on Python 3.11.\n" in output

    script(machine / ".venv-3.11" / "bin" / "pytest", "exit 1")
    status, output = run_pythons(machine)
    assert status == 1
    assert "Passed on Python 3.12 3.14.\nFailed on Python 3.11.\n" in output
