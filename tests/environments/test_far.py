"""An environment at the end of a command, as it is told where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelexec.environments.far import FarEnvironment
from kernelexec.environments.source import Places
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import run


def trouble(command: str, tmp_path: Path) -> EnvironmentUnusable:
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    places = Places(environ)
    with pytest.raises(EnvironmentUnusable) as raised:
        run(FarEnvironment(command, "venv", "~/envs/none").prepare(places, lambda text: None))
    return raised.value


@pytest.mark.parametrize("command", ["ssh 'gpu", "slurm --comment='x", "-T gpu"])
def test_what_is_no_command_is_told_as_that(command: str, tmp_path: Path) -> None:
    assert f"KERNELEXEC_VIA={command!r} is no command" in trouble(command, tmp_path).what


def test_a_command_that_reaches_no_shell_is_told_with_its_words(tmp_path: Path) -> None:
    said = trouble("sh -c 'echo Permission denied >&2; exit 255'", tmp_path)
    assert said.what.endswith("did not reach a shell: Permission denied.")
    assert "Try it in a terminal: " in said.next_step
