"""Virtual environments, found and made."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kernelexec.environments.default import Default
from kernelexec.environments.kernelspec import kernel_variables
from kernelexec.environments.source import Found
from kernelexec.environments.venv import Venv
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import environment, run


def make(folder: Path) -> Path:
    """A virtual environment of this Python, without any package."""
    (folder / "bin").mkdir(parents=True)
    home = Path(sys._base_executable).parent  # type: ignore[attr-defined]
    (folder / "pyvenv.cfg").write_text(f"home = {home}\ninclude-system-site-packages = false\n")
    (folder / "bin" / "python").symlink_to(home / Path(sys._base_executable).name)  # type: ignore[attr-defined]
    return folder


def find(path: Path, environ: Mapping[str, str] = os.environ) -> Found:
    return run(Venv(path).find(environ, lambda text: None))


def test_a_venv_is_found_with_its_name_and_its_activation(tmp_path: Path) -> None:
    folder = make(tmp_path / "analysis")
    found = find(folder)
    assert (found.kind, found.label, found.prefix) == ("venv", "analysis", folder)
    assert found.interpreter.executable == folder / "bin" / "python"
    assert found.interpreter.prefix == folder
    assert found.interpreter.ipykernel is None
    assert dict(found.variables) == {"PATH": f"{folder}/bin:${{PATH}}", "VIRTUAL_ENV": str(folder)}


def test_a_venv_in_a_project_is_called_after_the_project(tmp_path: Path) -> None:
    assert find(make(tmp_path / "sales" / ".venv")).label == "sales"


def variables_in(folder: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a kernel that is started in this venv."""
    return kernel_variables(environment(variables=find(folder).variables), environ)


@pytest.mark.parametrize("name", ["a$HOME", "$$", "${PATH}", "$", "my env's"])
def test_a_dollar_in_a_path_is_a_dollar(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / name)
    variables = variables_in(folder, {"HOME": "/home/ann", "PATH": "/usr/bin"})
    assert variables["VIRTUAL_ENV"] == str(folder)
    assert variables["PATH"] == f"{folder}/bin:/usr/bin"


def test_without_a_path_the_environments_own_is_all_there_is(tmp_path: Path) -> None:
    folder = make(tmp_path / "analysis")
    assert variables_in(folder, {})["PATH"].rstrip(":") == f"{folder}/bin"


def test_the_clients_own_python_variables_do_not_reach_the_venv(tmp_path: Path) -> None:
    hostile = {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent", "VIRTUAL_ENV": "/other"}
    folder = make(tmp_path / "analysis")
    assert find(folder, {**os.environ, **hostile}).interpreter.prefix == folder


def test_a_folder_that_is_missing_is_told_with_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnusable, match="does not exist") as refused:
        find(tmp_path / "none")
    assert f"python3 -m venv {tmp_path}/none" in refused.value.next_step


def test_a_path_to_the_interpreter_is_told_to_be_the_wrong_one(tmp_path: Path) -> None:
    folder = make(tmp_path / "analysis")
    with pytest.raises(EnvironmentUnusable, match="which is a file"):
        find(folder / "bin" / "python")


@pytest.mark.parametrize(
    ("made", "named"),
    [("p/.venv", "p"), ("p/venv", "p"), ("p/env", "p"), ("p", "p/bin"), ("p", "p/lib/x")],
)
def test_a_venv_nearby_is_proposed(tmp_path: Path, made: str, named: str) -> None:
    make(tmp_path / made)
    (tmp_path / named).mkdir(parents=True, exist_ok=True)
    with pytest.raises(EnvironmentUnusable, match=r"no pyvenv\.cfg") as refused:
        find(tmp_path / named)
    assert refused.value.next_step == f"Did you mean VENV_PATH={tmp_path / made}?"


def test_a_path_to_the_python_of_one_is_told_as_such(tmp_path: Path) -> None:
    folder = make(tmp_path / "analysis")
    with pytest.raises(EnvironmentUnusable, match="which is a file") as refused:
        find(folder / "bin" / "python")
    assert refused.value.next_step == f"Did you mean VENV_PATH={folder}?"


def test_the_python_of_another_environment_is_not_its_own(tmp_path: Path) -> None:
    folder, shims = make(tmp_path / "analysis"), tmp_path / "shims"
    shims.mkdir()
    (shims / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (shims / "python").chmod(0o755)
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to(shims / "python")
    with pytest.raises(EnvironmentUnusable, match=f"starts the Python of {sys.prefix} instead"):
        find(folder)


def test_a_venv_whose_python_is_gone_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "analysis")
    (folder / "bin" / "python").unlink()
    (folder / "bin" / "python").symlink_to("/gone/python3.8")
    with pytest.raises(EnvironmentUnusable, match="gone") as refused:
        find(folder)
    told = f"Make it anew with: mv {folder} {folder}-broken && python3 -m venv {folder} "
    assert refused.value.next_step.startswith(told)  # --clear would remove whatever is in there
    (folder / "analysis.py").touch()
    with pytest.raises(EnvironmentUnusable) as refused:
        find(folder)
    assert refused.value.next_step == (
        f"Make another with: python3 -m venv {folder}/.venv    and set VENV_PATH={folder}/.venv"
    )


# --- the default environment --------------------------------------------------------


@pytest.fixture
def quick_venv(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """`python -m venv` without pip, which would take seconds; counts its calls."""
    quick = tmp_path / "python-that-makes-venvs"
    real = sys._base_executable  # type: ignore[attr-defined]
    quick.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\nexec {real} -m venv --without-pip "$3"\n')
    quick.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(quick))
    return tmp_path / "calls"


def default(prefix: Path, said: list[str] | None = None) -> Found:
    return run(Default(prefix).find(os.environ, (said if said is not None else []).append))


def test_the_default_environment_is_made_once_and_says_so(tmp_path: Path, quick_venv: Path) -> None:
    said: list[str] = []
    prefix = tmp_path / "data" / "default"
    found = default(prefix, said)
    assert (found.kind, found.label, found.prefix) == ("default", "default", prefix)
    assert len(said) == 1
    assert "first use only" in said[0]
    assert default(prefix, said) == found
    assert len(said) == 1
    assert quick_venv.read_text().splitlines() == [f"-m venv {prefix}"]


def test_a_half_made_default_environment_is_made_anew(tmp_path: Path, quick_venv: Path) -> None:
    prefix = tmp_path / "default"
    make(prefix)
    (prefix / "leftover").touch()
    default(prefix)
    assert not (prefix / "leftover").exists()


def test_a_default_environment_that_cannot_be_made_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = tmp_path / "python"
    failing.write_text('#!/bin/sh\nmkdir -p "$3"\necho "ensurepip is not available"\nexit 1\n')
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "_base_executable", str(failing))
    with pytest.raises(EnvironmentUnusable, match="ensurepip is not available") as refused:
        default(tmp_path / "default")
    assert "VENV_PATH" in refused.value.next_step
    assert not (tmp_path / "default").exists()


def test_a_place_where_no_environment_can_be_made_is_an_error_of_ours(
    tmp_path: Path, quick_venv: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentUnusable, match="file"):
        default(tmp_path / "file" / "default")
