"""make sets up an environment, and makes one anew that it cannot use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"

# As the Makefile's, without what takes long.
CREATE = 'create="$$python" -m venv --without-pip --clear $(1)'
INSTALL = "install=touch $(@D)/installed"


def make(
    venv: Path, *variables: str, target: str = ".demo", fails: bool = False
) -> str:
    found = shutil.which("make") or pytest.skip("there is no make")
    # A make that runs these tests must not tell this one what to do.
    env = {k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "PYTHON"}}
    done = subprocess.run(  # noqa: S603 - our own command
        [found, f"VENV={venv}", CREATE, INSTALL, *variables, f"{venv}/{target}"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, output
    return output


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    return tmp_path / "venv"


def test_an_environment_is_made_once(venv: Path) -> None:
    assert f"Creating {venv} with Python {THIS}\n" in make(
        venv, f"PYTHON={sys.executable}"
    )
    assert (venv / "installed").exists()
    assert "is up to date" in make(venv, f"PYTHON={sys.executable}")
    # Without PYTHON it stays what it is.
    assert "is up to date" in make(venv)


def test_a_python_that_is_too_old_is_named(venv: Path, tmp_path: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text('#!/bin/sh\necho "3.9 $0"\nexit 1\n')
    old.chmod(0o755)
    output = make(venv, f"PYTHON={old}", fails=True)
    assert f"{old} is Python 3.9, and this package needs 3.11 or newer.\n" in output
    assert not venv.exists()
    # What was there before is still there.
    make(venv, f"PYTHON={sys.executable}")
    make(venv, f"PYTHON={old}", fails=True)
    assert "is up to date" in make(venv)


def test_a_python_that_is_not_there_is_named(venv: Path) -> None:
    output = make(venv, "PYTHON=python4", fails=True)
    assert "There is no Python 3.11 or newer: looked for python4.\n" in output
    assert not venv.exists()


def test_an_environment_of_another_python_is_made_anew(venv: Path) -> None:
    make(venv, f"PYTHON={sys.executable}")
    (venv / f".python-{THIS}").rename(venv / ".python-3.9")
    assert "Creating" in make(venv, f"PYTHON={sys.executable}")
    assert not (venv / ".python-3.9").exists()
    assert (venv / "installed").exists()


def test_an_environment_whose_python_is_gone_is_made_anew(venv: Path) -> None:
    make(venv, f"PYTHON={sys.executable}")
    python = venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python")
    assert "Creating" in make(venv, f"PYTHON={sys.executable}")
    assert (venv / "installed").exists()


@pytest.mark.parametrize(
    "interrupted", [f"{CREATE}; kill -9 $$$$", "install=kill -9 $$$$"]
)
def test_an_interrupted_environment_is_made_anew(interrupted: str, venv: Path) -> None:
    make(venv, f"PYTHON={sys.executable}", interrupted, fails=True)
    (venv / "half").touch()
    assert "Creating" in make(venv, f"PYTHON={sys.executable}")
    assert not (venv / "half").exists()
    assert (venv / "installed").exists()


def test_an_installation_that_fails_leaves_the_environment(venv: Path) -> None:
    """As pip does without a network."""
    make(venv, f"PYTHON={sys.executable}", "install=false", fails=True)
    (venv / "kept").touch()
    assert "Creating" not in make(venv, f"PYTHON={sys.executable}")
    assert (venv / "kept").exists()


def test_no_other_folder_is_emptied(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    output = make(tmp_path, f"PYTHON={sys.executable}", fails=True)
    assert f"{tmp_path} is no virtual environment" in output
    assert (tmp_path / "thesis.txt").exists()


# --- .ci/test-pythons -----------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A copy of the scripts, for a machine that has no Python yet."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for minor in range(10, 15):
        install_python(tmp_path, f"3.{minor}", "exit 127")
    return tmp_path


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def install_python(machine: Path, version: str, does: str = "") -> None:
    script(machine / "bin" / f"python{version}", does or f'echo "{version} $0"')
    script(machine / f".venv-{version}" / "bin" / "pytest", 'echo "tested: $@"')


def run_pythons(machine: Path, *arguments: str, ci: bool = False) -> tuple[int, str]:
    done = subprocess.run(  # noqa: S603 - our own command
        [machine / ".ci" / "test-pythons", *arguments],
        env={
            "PATH": f"{machine / 'bin'}:{os.environ['PATH']}",
            "PYTHON": "python3.12",
            "PYENV_ROOT": "/nowhere",
            "UV_PYTHON_INSTALL_DIR": "/nowhere",
            "MAKE": "true",
            "CI": "true" if ci else "",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_pythons_that_are_there_are_tested(machine: Path) -> None:
    for version in ("3.11", "3.12", "3.14"):
        install_python(machine, version)
    status, output = run_pythons(machine, "-k", "some", ci=True)
    assert status == 0
    assert output.count("tested: -k some\n") == 3
    assert "Passed on Python 3.11 3.12 3.14.\nNot found: Python 3.13.\n" in output


def test_a_python_on_which_tests_fail_is_named(machine: Path) -> None:
    for version in ("3.11", "3.12", "3.14"):
        install_python(machine, version)
    script(machine / ".venv-3.11" / "bin" / "pytest", "exit 1")
    status, output = run_pythons(machine)
    assert status == 1
    assert "Passed on Python 3.12 3.14.\nFailed on Python 3.11.\n" in output


@pytest.mark.parametrize("ci", [False, True])
def test_ci_wants_more_than_the_default_python(ci: bool, machine: Path) -> None:
    install_python(machine, "3.12")
    status, output = run_pythons(machine, ci=ci)
    assert status == int(ci)
    assert ("no other Python than the default" in output) is ci


def test_one_other_python_is_tested_where_there_is_one(machine: Path) -> None:
    install_python(machine, "3.12")
    status, output = run_pythons(machine, "--one", "tests/unit", ci=True)
    assert status == 0
    assert "tested" not in output

    for version in ("3.13", "3.14"):
        install_python(machine, version)
    status, output = run_pythons(machine, "--one", "tests/unit", ci=True)
    assert status == 0
    assert output.count("tested: tests/unit\n") == 1
    assert "Passed on Python 3.13.\n" in output
