"""Asking interpreters what they are: this one, and some that are none."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from kernelexec.environments import probe as module
from kernelexec.environments.probe import own_abi, probe, works_with_launcher
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import run

PYTHON = Path(sys.executable)


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_an_interpreter_says_what_it_is() -> None:
    found = run(probe(PYTHON, os.environ))
    assert found.executable == PYTHON
    assert found.prefix == Path(sys.prefix)
    assert found.version == sys.version_info[:3]
    assert found.abi == own_abi()
    assert found.ipykernel == version("ipykernel")


def test_a_bare_interpreter_has_no_ipykernel(tmp_path: Path) -> None:
    bare = program(tmp_path / "python", f'exec {PYTHON} -S "$@"')
    assert run(probe(bare, os.environ)).ipykernel is None


def test_no_module_in_the_way_and_no_variable_is_taken_for_the_environments_own(tmp_path: Path) -> None:
    (tmp_path / "ipykernel").mkdir()
    (tmp_path / "ipykernel-9.9.dist-info").mkdir()
    (tmp_path / "json.py").write_text("raise SystemExit('imported')")
    bare = program(tmp_path / "python", f'cd {tmp_path}; exec {PYTHON} -S "$@"')
    assert run(probe(bare, {**os.environ, "PYTHONPATH": str(tmp_path)})).ipykernel is None


def test_a_path_with_spaces_and_quotes_is_one_word(tmp_path: Path) -> None:
    folder = tmp_path / "my 'own' \"env\"; touch x $(id)"
    folder.mkdir()
    odd = program(folder / "python", f'exec {PYTHON} "$@"')
    assert run(probe(odd, os.environ)).executable == odd
    assert not Path("/x").exists()


def test_a_version_managers_stand_in_is_asked_in_the_clients_directory_which_python_it_means(
    tmp_path: Path,
) -> None:
    (tmp_path / "shims").mkdir()
    (tmp_path / "project").mkdir()
    choose = f'[ "$PWD" = {tmp_path}/project ] && exec {PYTHON} "$@"\nexit 9'
    shim = program(tmp_path / "shims" / "python3", choose)
    found = run(probe(shim, {**os.environ, "PWD": str(tmp_path / "project")}))
    assert found.executable == Path(PYTHON)
    with pytest.raises(EnvironmentUnusable, match="exit code 9"):
        run(probe(shim, {**os.environ, "PWD": "/"}))


def test_a_missing_interpreter_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnusable, match=f"no Python interpreter at {tmp_path}/python"):
        run(probe(tmp_path / "python", os.environ))


def test_a_link_to_a_python_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/gone/python")
    with pytest.raises(EnvironmentUnusable, match="a link to a Python that is gone"):
        run(probe(tmp_path / "python", os.environ))


def test_a_file_that_is_not_executable_is_told_with_the_command_that_mends_it(tmp_path: Path) -> None:
    (tmp_path / "python").touch(0o644)
    with pytest.raises(EnvironmentUnusable, match="not executable") as refused:
        run(probe(tmp_path / "python", os.environ))
    assert refused.value.next_step == f"chmod +x {tmp_path}/python"


def test_a_file_of_another_architecture_does_not_run(tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(57))
    other.chmod(0o755)
    with pytest.raises(EnvironmentUnusable, match="does not run"):
        run(probe(other, os.environ))


def test_a_python_that_fails_is_told_with_its_exit_code_and_stderr(tmp_path: Path) -> None:
    broken = program(tmp_path / "python", "echo 'No module named encodings' >&2; exit 3")
    with pytest.raises(EnvironmentUnusable, match=r"(?s)exit code 3.*No module named encodings"):
        run(probe(broken, os.environ))


@pytest.mark.parametrize("said", ['{"version": [2, 7, 18]}', '{"version": [3, 5, 2]}'])
def test_a_python_that_is_too_old_is_refused_with_its_version(tmp_path: Path, said: str) -> None:
    old = program(tmp_path / "python", f"echo '{said}'")
    with pytest.raises(EnvironmentUnusable, match=r"is Python (2\.7\.18|3\.5\.2); kernels need 3\.8"):
        run(probe(old, os.environ))


@pytest.mark.parametrize("said", ["[]", "5", "null", "{}", '{"version": "3.12"}', '{"version": [3, 12, 1]}'])
def test_something_that_is_no_python_is_refused_whatever_it_says(tmp_path: Path, said: str) -> None:
    other = program(tmp_path / "python", f"echo '{said}'")
    with pytest.raises(EnvironmentUnusable, match="python"):
        run(probe(other, os.environ))


def test_a_sitecustomize_that_prints_does_not_disturb(tmp_path: Path) -> None:
    chatty = program(tmp_path / "python", f'echo "Welcome!"; exec {PYTHON} "$@"')
    assert run(probe(chatty, os.environ)).version == sys.version_info[:3]


@pytest.mark.parametrize("last", ["exec sleep 60", "sleep 60; exit"], ids=["itself", "child"])
def test_a_python_that_never_answers_is_given_up_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.1)
    hanging = program(tmp_path / "python", f"echo $$ > {tmp_path}/pid; {last}")
    with pytest.raises(EnvironmentUnusable, match="did not answer within"):
        run(probe(hanging, os.environ))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("ipykernel", "works"),
    [
        ("7.4.0", True),
        ("6.29.0", True),
        ("6.29", True),
        ("6.28.9", False),
        ("5.5.6", False),
        ("10.0", True),
        ("7.0.0rc1", True),
        ("7.1.dev0", True),
        ("7", True),
        ("", False),
        ("unknown", False),
        (None, False),
    ],
)
def test_an_ipykernel_is_used_from_6_29_on(ipykernel: str | None, works: bool) -> None:
    assert works_with_launcher(ipykernel) is works
