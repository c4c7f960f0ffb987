"""Commands that messages recommend, each run in the state in which it is recommended."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kernelexec.environments.inventory import inventory
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.uv_venv import UvVenv
from kernelexec.environments.venv import Venv
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import run

Broken = Callable[[Path], None]
_UV = Path(sys.executable).with_name("uv")
_PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A person's shell: with `python3`, whose environments are made without pip, which would take seconds."""
    programs = tmp_path / "programs"
    programs.mkdir()
    a_python(programs / "python3")
    (programs / "uv").symlink_to(_UV)
    home = tmp_path / "home of ann"
    home.mkdir()
    return {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home), "UV_PYTHON": str(_PYTHON)}


def a_python(path: Path) -> None:
    path.write_text(
        f'#!/bin/sh\n[ "$2" = venv ] && set -- "$@" --without-pip\nexec {shlex.quote(str(_PYTHON))} "$@"\n'
    )
    path.chmod(0o755)


def is_missing(folder: Path) -> None:
    pass


def is_empty(folder: Path) -> None:
    folder.mkdir()


def leads_nowhere(folder: Path) -> None:
    folder.symlink_to("not there")


def is_a_project(folder: Path) -> None:
    folder.mkdir()
    (folder / "analysis.py").write_text("precious")


def is_an_installation(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    a_python(folder / "bin" / "python3")
    (folder / "bin" / "precious").write_text("precious")


def has_lost_its_python(folder: Path) -> None:
    subprocess.run([_PYTHON, "-m", "venv", "--without-pip", folder], check=True)
    for python in (folder / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/gone/python3.8")


def is_a_project_that_has_lost_its_python(folder: Path) -> None:
    has_lost_its_python(folder)
    is_a_project_already = folder / "analysis.py"
    is_a_project_already.write_text("precious")


def starts_another_python(folder: Path) -> None:
    has_lost_its_python(folder)
    shims = folder.parent / "shims"
    shims.mkdir()
    a_python(shims / "python")
    for python in (folder / "bin").glob("python*"):
        python.unlink()
        python.symlink_to(shims / "python")


def command_in(next_step: str) -> str:
    """The command that a next step names: after a colon, up to four spaces."""
    return next_step.partition(": ")[2].partition("    ")[0].partition("\n")[0]


def follow(refused: EnvironmentUnusable, environ: dict[str, str]) -> str:
    """Do what the message says; where the setting is to lead then, if elsewhere."""
    command = command_in(refused.next_step)
    assert command, refused.next_step
    subprocess.run(["sh", "-c", command], env=environ, check=True, capture_output=True, timeout=60)
    return refused.next_step.partition("and set ")[2].partition("=")[2]


@pytest.mark.parametrize("kind", [Venv, UvVenv])
@pytest.mark.parametrize(
    "broken",
    [
        is_missing,
        is_empty,
        leads_nowhere,
        is_a_project,
        is_an_installation,
        has_lost_its_python,
        is_a_project_that_has_lost_its_python,
        starts_another_python,
    ],
)
def test_what_is_recommended_for_a_virtual_environment_mends_it_and_touches_nothing_else(
    tmp_path: Path, environ: dict[str, str], kind: type[Venv], broken: Broken
) -> None:
    folder = tmp_path / "my env's"
    broken(folder)
    precious = [file for file in folder.rglob("*") if file.name in ("analysis.py", "precious")]
    setting = folder
    for _ in range(2):  # a link that leads nowhere is first removed
        with pytest.raises(EnvironmentUnusable) as refused:
            run(kind(setting).find(environ, lambda text: None))
        setting = Path(follow(refused.value, environ) or setting)
        if os.path.lexists(setting):
            break
    found = run(kind(setting).find(environ, lambda text: None))
    assert os.path.samefile(found.interpreter.prefix, setting)
    assert [file.read_text() for file in precious] == ["precious"] * len(precious)


def test_what_is_recommended_for_a_program_that_must_not_run_lets_it_run(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    python = tmp_path / "my env's python"
    a_python(python)
    python.chmod(0o644)
    with pytest.raises(EnvironmentUnusable) as refused:
        run(probe(python, bare(environ)))
    subprocess.run(["sh", "-c", refused.value.next_step], check=True)
    assert run(probe(python, bare(environ))).version[:2] == sys.version_info[:2]


def test_what_is_recommended_for_a_uv_project_makes_its_environment(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    project = tmp_path / "my project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\nrequires-python = ">=3.10"\n'
    )
    (project / "uv.lock").write_text(
        'version = 1\nrequires-python = ">=3.10"\n\n'
        '[[package]]\nname = "x"\nversion = "1"\nsource = { virtual = "." }\n'
    )
    (listed,) = [one for one in inventory(environ, [project]) if one.prefix.parent == project]
    subprocess.run(["sh", "-c", command_in(listed.problem)], env=environ, check=True, capture_output=True)
    assert run(UvVenv(listed.prefix).find(environ, lambda text: None)).interpreter.prefix == listed.prefix
