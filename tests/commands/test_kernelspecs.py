"""`kernelexec kernelspecs`, as the person calls it."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from venv import EnvBuilder

import ipykernel
import pytest

from kernelexec.commands import cli


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("JUPYTER_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "ENV_TYPE", "VENV_PATH"):
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "words"
    EnvBuilder(symlinks=True).create(folder)
    site = folder / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(str(Path(ipykernel.__file__).parents[1]))
    return folder


def kernelspecs(*arguments: object) -> int:
    return cli.main(["kernelspecs", *map(str, arguments)])


def test_what_is_installed_is_listed_and_removed(
    venv: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kernelspecs("install", "--venv", venv) == 0
    folder = elsewhere / ".local/share/jupyter/kernels/kernelexec-words"
    assert capsys.readouterr().out.rstrip().endswith(str(folder))
    assert kernelspecs("list") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["NAME", "RUNS", "IPYKERNEL", "ENVIRONMENT"]
    assert row.startswith("kernelexec-words  Python 3.")
    assert kernelspecs("list", "--json") == 0
    [said] = json.loads(capsys.readouterr().out)
    assert (said["name"], said["environment"], said["problem"]) == ("kernelexec-words", str(venv), "")
    assert kernelspecs("remove", "kernelexec-words") == 0
    assert not folder.exists()


def test_a_kernelspec_that_jupyter_finds_before_the_one_just_written_is_told(
    venv: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert kernelspecs("install", "--venv", venv) == 0
    own = elsewhere / ".local/share/jupyter/kernels/kernelexec-words"
    shutil.copytree(own, elsewhere / "other/kernels/kernelexec-words")
    monkeypatch.setenv("JUPYTER_PATH", str(elsewhere / "other"))
    capsys.readouterr()
    assert kernelspecs("install", "--venv", venv) == 1
    said = capsys.readouterr()
    assert str(elsewhere / "other/kernels/kernelexec-words") in said.out
    assert said.err.endswith(f"instead of {own}\n")
