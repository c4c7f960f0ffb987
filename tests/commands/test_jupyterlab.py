"""Which notebook `kernelexec lab` opens, and what it says where JupyterLab is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from kernelexec.commands import jupyterlab
from kernelexec.commands.jupyterlab import Target, choose
from kernelexec.errors import BadRequest


def session(
    folder: Path, name: str, *, state: str = "idle", idle: int = 0, written: bool = True
) -> dict[str, Any]:
    folder.mkdir(exist_ok=True)
    notebook = folder / f"{name}-1.ipynb"
    if written:
        notebook.write_text("{}")
    return {
        "session": name,
        "state": state,
        "idle_seconds": idle,
        "storage_dir": str(folder),
        "notebook": str(notebook),
    }


def test_the_session_that_was_used_last_is_opened(tmp_path: Path) -> None:
    sessions = [session(tmp_path, "a@x", idle=50), session(tmp_path, "b@x", idle=3)]
    assert choose(sessions, None, tmp_path, given=True) == Target(
        tmp_path, tmp_path / "b@x-1.ipynb", "b@x", True
    )


def test_a_live_kernel_comes_before_one_that_was_used_later_and_is_gone(tmp_path: Path) -> None:
    sessions = [session(tmp_path, "a@x", idle=50), session(tmp_path, "b@x", state="no kernel")]
    assert choose(sessions, None, tmp_path, given=True).session == "a@x"


def test_a_storage_directory_that_is_given_leaves_others_out(tmp_path: Path) -> None:
    sessions = [session(tmp_path / "one", "a@x", idle=50), session(tmp_path / "two", "b@x")]
    assert choose(sessions, None, tmp_path / "one", given=True).session == "a@x"
    assert choose(sessions, None, tmp_path / "one", given=False).session == "b@x"


def test_without_a_session_the_folder_is_opened(tmp_path: Path) -> None:
    assert choose([], None, tmp_path, given=False) == Target(tmp_path, None)
    unwritten = session(tmp_path, "a@x", written=False)
    assert choose([unwritten], None, tmp_path, given=False) == Target(tmp_path, None)


@pytest.mark.parametrize("wanted", ["a@x", "a"])
def test_a_session_is_named_in_full_or_by_its_name(tmp_path: Path, wanted: str) -> None:
    sessions = [session(tmp_path / "one", "a@x"), session(tmp_path / "two", "b@x")]
    target = choose(sessions, wanted, tmp_path, given=False)
    assert (target.session, target.folder, target.is_live) == ("a@x", tmp_path / "one", True)


def test_an_ambiguous_name_is_refused_with_commands_that_are_not(tmp_path: Path) -> None:
    sessions = [session(tmp_path / "one", "a@x"), session(tmp_path / "two", "a@x")]
    with pytest.raises(BadRequest) as refused:
        choose(sessions, "a", tmp_path, given=False)
    exact = f"{tmp_path / 'two'}:a@x"
    assert f"kernelexec lab {exact}" in str(refused.value)
    assert choose(sessions, exact, tmp_path, given=False).folder == tmp_path / "two"


def test_the_last_notebook_of_a_session_without_a_hub_is_found(tmp_path: Path) -> None:
    for name in ("a@x-2.ipynb", "a@x-10.ipynb", "a@x-copy.ipynb", "aa@x-11.ipynb"):
        (tmp_path / name).write_text("{}")
    for wanted in ("a@x", "a"):
        target = choose([], wanted, tmp_path, given=False)
        assert (target.notebook, target.is_live) == (tmp_path / "a@x-10.ipynb", False)


def test_an_unknown_session_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="b@x"):
        choose([session(tmp_path, "b@x")], "[", tmp_path, given=False)
    with pytest.raises(BadRequest, match="no notebooks yet"):
        choose([], "a", tmp_path / "empty", given=False)


@pytest.mark.parametrize(
    ("mark", "command"),
    [
        ("uv-receipt.toml", "uv tool install 'kernelexec[lab]'"),
        ("pipx_metadata.json", "pipx inject kernelexec jupyterlab jupyter-collaboration"),
    ],
)
def test_the_command_that_installs_it_fits_the_installation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: str, command: str
) -> None:
    (tmp_path / mark).touch()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert jupyterlab.install_command() == command


def test_in_an_environment_of_pip_or_uvx_it_names_those(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sys.executable in jupyterlab.install_command()
    monkeypatch.setattr(sys, "prefix", os.path.join("/cache/uv/archive-v0/abc"))
    assert jupyterlab.install_command() == "uvx --from 'kernelexec[lab]' kernelexec lab"
