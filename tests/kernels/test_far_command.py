"""Commands that lead nowhere, or somewhere that does not do as it should: what is said of each."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from kernelexec.kernels import far_command
from kernelexec.kernels.far_command import FarCommand, FarPython, FarTrouble
from tests.fakes import run, settled

_HERE = FarPython("program", sys.executable)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that says nothing is given up earlier."""
    monkeypatch.setattr(far_command, "_END_SECONDS", 0.5)


def looked(script: str, home: Path, python: FarPython = _HERE, **others: str) -> Mapping[str, Any]:
    """What is said of the Python to which `sh -c SCRIPT` leads."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(home), **others}
    command = FarCommand(shlex.join(["sh", "-c", script]))
    return run(command.ask(python, {"want": "look"}, environ))


def trouble(script: str, home: Path, python: FarPython = _HERE, **others: str) -> FarTrouble:
    with pytest.raises(FarTrouble) as raised:
        looked(script, home, python, **others)
    assert "Traceback" not in raised.value.what
    return raised.value


@pytest.mark.parametrize(
    "greeting",
    [
        "echo hello; printf 'no end of a line'",
        "head -c 2500000 /dev/zero",
        "printf '%0500000d' 1 >&2",
        "printf '\\377\\000\\n'",
    ],
)
def test_whatever_it_greets_with_it_is_reached(greeting: str, tmp_path: Path) -> None:
    assert looked(f"{greeting}; exec sh", tmp_path)["executable"] == sys.executable


def test_a_shell_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert looked("exec sh", tmp_path, SHELL="/nowhere/bash")["executable"] == sys.executable


@pytest.mark.parametrize("script", ["cat >/dev/null", "read -r line", "unset HOME", "set -eu"])
def test_whatever_its_login_script_does_it_is_reached(script: str, tmp_path: Path) -> None:
    (tmp_path / ".profile").write_text(f"{script}\n")
    assert looked("exec sh", tmp_path, SHELL="/bin/sh")["executable"] == sys.executable


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "did not reach a shell: it ended with status 3."),
        ("echo 'No route to host' >&2; exit 255", "did not reach a shell: No route to host."),
        ("echo 'This account is not available.'; exit 1", "a shell: This account is not available."),
        ("exec >&-; cat >/dev/null", "did not reach a shell: it runs, and has closed its output."),
    ],
)
def test_why_there_is_no_shell_is_said(script: str, why: str, tmp_path: Path) -> None:
    said = trouble(script, tmp_path)
    assert said.what.endswith(why)
    assert said.what.startswith(f"`sh -c {shlex.quote(script)}`"), "as it can be typed"
    assert said.next_step == f"Try it in a terminal: sh -c {shlex.quote(script)} true"


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exec sleep 60", "did not reach a shell within 1 s."),
        ("printf 'Password: '; exec sleep 60", "did not reach a shell within 1 s: Password:"),
        ("exec cat", "a shell within 1 s: it gives back what it is sent, and runs none of it."),
    ],
)
def test_one_that_hangs_is_told_with_how_long_it_did(
    script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(far_command, "CONNECT_SECONDS", 1.0)
    assert trouble(script, tmp_path).what.endswith(why)


def test_what_a_command_has_started_ends_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(far_command, "CONNECT_SECONDS", 1.0)
    trouble(f"sleep 60 & echo $! >{tmp_path}/pid; wait", tmp_path)
    child = int((tmp_path / "pid").read_text())
    run(settled(lambda: not _lives(child)))


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_an_answer_that_was_changed_on_its_way_is_told_as_that(tmp_path: Path) -> None:
    said = trouble("sh | sed -u 's/\"executable\":/?/'", tmp_path)
    assert "was changed on its way: {? " in said.what


def test_programs_that_cannot_be_written_there_are_told_with_where(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    said = trouble("exec sh", tmp_path, XDG_DATA_HOME=str(in_the_way))
    assert said.what.startswith(f"Programs of kernelexec cannot be written to {in_the_way}/kernelexec/")
    assert said.what.endswith(" there: Not a directory.")
    assert "XDG_DATA_HOME" in said.next_step
    assert said.refused


def test_a_python_that_is_too_old_is_told_with_which_it_is(tmp_path: Path) -> None:
    # A real one that says it is older: its loader asks nothing else.
    old = tmp_path / "python"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 7, 1)\n$2"\n')
    old.chmod(0o755)
    said = trouble("exec sh", tmp_path, FarPython("program", str(old)))
    assert said.what == f"Python 3.7 is too old: {sys.executable} there."
    assert "3.8 or newer" in said.next_step
