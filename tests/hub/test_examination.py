"""The doctor finds what is wrong and says how to mend it, and leaves alone what is well."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from venv import EnvBuilder

import ipykernel
import pytest

from kernelexec.environments import catalog
from kernelexec.environments.venv import Venv
from kernelexec.hub import examination
from kernelexec.hub.examination import Finding, Level, examine, is_well, summary
from kernelexec.recording import validity
from kernelexec.recording.notebook_format import new_document
from kernelexec.recording.records import journal_path
from tests.fakes import run

HUB = Finding(Level.OK, "hub", "it runs")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "KERNELEXEC_RUNTIME_DIR": str(tmp_path / "run"),
    }


def make_venv(folder: Path) -> Path:
    """A virtual environment that has an ipykernel of its own, which takes no time."""
    EnvBuilder(symlinks=True).create(folder)
    (site_packages(folder) / "ours.pth").write_text(str(Path(ipykernel.__file__).parents[1]))
    return folder


def site_packages(venv: Path) -> Path:
    return venv / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"


def found(environ: Mapping[str, str], cwd: Path, subject: str) -> list[Finding]:
    return [finding for finding in run(examine(environ, str(cwd), HUB)) if finding.subject == subject]


def problems(environ: Mapping[str, str], cwd: Path) -> list[Finding]:
    return [f for f in run(examine(environ, str(cwd), HUB)) if f.level is Level.PROBLEM]


def test_a_fresh_home_is_well(environ: dict[str, str], tmp_path: Path) -> None:
    findings = run(examine(environ, str(tmp_path), HUB))
    assert is_well(findings)
    assert findings[0] is HUB
    assert summary(findings).startswith("All is well.\nok       hub")
    assert not list(tmp_path.iterdir())  # it makes nothing for nobody


def test_where_code_runs_elsewhere_is_not_said(environ: dict[str, str], tmp_path: Path) -> None:
    storage = {"CODE_STORAGE_DIR": str(tmp_path / "storage"), "KERNELEXEC_CWD": "."}
    assert [each.what for each in found({**environ, **storage}, tmp_path, "directory")] == [
        f"code runs in {tmp_path}"
    ]
    elsewhere = {"GATEWAY_URL": "http://127.0.0.1:1"}
    assert found({**environ, **storage, **elsewhere}, tmp_path, "directory") == []


def test_an_environment_that_works_is_told_with_its_installer(
    environ: dict[str, str], tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "words")
    [finding] = found({**environ, "VENV_PATH": str(venv)}, tmp_path, "environment")
    assert finding.level is Level.OK, finding
    assert "words (venv, Python 3." in finding.what
    assert "VENV_PATH" in finding.what
    assert "packages are installed with pip" in finding.what
    [spec] = found(environ, tmp_path, "kernelspec")
    assert spec.level is Level.OK
    assert spec.what.endswith(str(venv))


def test_a_setting_that_is_wrong_is_a_problem_with_what_mends_it(
    environ: dict[str, str], tmp_path: Path
) -> None:
    [missing] = problems({**environ, "VENV_PATH": "/nowhere"}, tmp_path)
    assert "/nowhere" in missing.what
    assert "-m venv /nowhere" in missing.mend
    [wrong] = problems({**environ, "ENV_TYPE": "docker"}, tmp_path)
    assert "docker" in wrong.what


def test_a_kernelspec_whose_environment_is_gone_is_to_be_removed(
    environ: dict[str, str], tmp_path: Path
) -> None:
    venv = make_venv(tmp_path / "gone")
    run(catalog.prepare(Venv(venv), environ, lambda _: None))
    shutil.rmtree(venv)
    [problem] = problems(environ, tmp_path)
    assert problem.mend == "kernelexec kernelspecs remove kernelexec-gone"
    assert not is_well([problem])


def test_an_ipykernel_that_cannot_be_imported_is_found(environ: dict[str, str], tmp_path: Path) -> None:
    venv = make_venv(tmp_path / "broken")
    site = site_packages(venv)
    (site / "ipykernel-7.0.dist-info").mkdir()
    (site / "ipykernel").mkdir()
    (site / "ipykernel" / "__init__.py").write_text("import zmq_that_is_not_there")
    [problem] = problems({**environ, "VENV_PATH": str(venv)}, tmp_path)[:1]
    assert "with its ipykernel" in problem.what
    assert "zmq_that_is_not_there" in problem.what
    assert "--reinstall ipykernel pyzmq" in problem.mend  # with uv: it has no pip


def test_sockets_that_others_could_reach_are_a_problem(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    [problem] = problems(environ, tmp_path)
    assert problem.mend == f"chmod 700 {tmp_path / 'run'}"
    (tmp_path / "run").chmod(0o700)
    assert not problems(environ, tmp_path)
    too_long = {**environ, "KERNELEXEC_RUNTIME_DIR": "/tmp/" + "x" * 120}
    assert "longer than" in problems(too_long, tmp_path)[0].what


def test_a_file_in_the_place_of_a_folder_is_a_problem(environ: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    [problem] = problems({**environ, "CODE_STORAGE_DIR": str(tmp_path / "file" / "inside")}, tmp_path)
    assert f"{tmp_path / 'file'} is not a directory" in problem.what


@pytest.mark.parametrize(("free", "level"), [(50_000_000, Level.PROBLEM), (500_000_000, Level.NOTE)])
def test_a_disk_without_room_is_told(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    [finding] = found(environ, tmp_path, "storage")
    assert finding.level is level


def jupyter_that_looks_into(folder: Path) -> Callable[[Path], None]:
    def make(bin_dir: Path) -> None:
        bin_dir.mkdir()
        said = json.dumps({"data": [str(folder)]})
        (bin_dir / "jupyter").write_text(f"#!/bin/sh\necho '{said}'\n")
        (bin_dir / "jupyter").chmod(0o755)

    return make


def test_a_jupyter_that_looks_elsewhere_is_a_problem(environ: dict[str, str], tmp_path: Path) -> None:
    jupyter_that_looks_into(tmp_path / "other")(tmp_path / "bin")
    with_jupyter = {**environ, "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin"}
    [problem] = problems(with_jupyter, tmp_path)
    assert f"export JUPYTER_PATH={tmp_path / 'jupyter'}" in problem.mend
    shutil.rmtree(tmp_path / "bin")
    jupyter_that_looks_into(tmp_path / "jupyter")(tmp_path / "bin")
    assert not problems(with_jupyter, tmp_path)


def test_a_half_made_side_directory_is_noted(environ: dict[str, str], tmp_path: Path) -> None:
    own = {**environ, "XDG_DATA_HOME": str(tmp_path / "data")}
    half = tmp_path / "data" / "kernelexec" / "ipykernel" / "cpython-312-abc.xyz"
    half.mkdir(parents=True)
    [finding] = found(own, tmp_path, "ipykernel")
    assert finding.mend == f"rm -r {half}"


def notebook(storage_dir: Path, name: str, data: bytes, age: float = 60) -> Path:
    storage_dir.mkdir(exist_ok=True)
    path = storage_dir / name
    path.write_bytes(data)
    os.utime(path, (1, time.time() - age))
    return path


def journal_of(storage_dir: Path, session: str) -> None:
    journal = journal_path(storage_dir, session)
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.touch()


VALID = new_document({}).to_bytes()


def test_notebooks_that_jupyter_can_open_are_well(environ: dict[str, str], tmp_path: Path) -> None:
    storage = tmp_path / "kernelexec"
    notebook(storage, "sales@analysis-1.ipynb", VALID)
    notebook(storage, "sales@analysis-1.unreadable.ipynb", b"{")  # which was told, and set aside
    (storage / "elsewhere.ipynb").symlink_to("/etc/passwd")
    [finding] = found(environ, tmp_path, "notebooks")
    assert (finding.level, finding.what) == (Level.OK, "1 looked at, all valid")


def test_a_notebook_that_jupyter_cannot_open_is_a_problem_with_the_command_that_makes_it_anew(
    environ: dict[str, str], tmp_path: Path
) -> None:
    storage = tmp_path / "kernelexec"
    journal_of(storage, "sales@analysis")
    cut = notebook(storage, "sales@analysis-1.ipynb", VALID[:-20])
    wrong = notebook(storage, "sales@analysis-2.ipynb", VALID.replace(b"[]", b'[{"cell_type": "code"}]'))
    own = notebook(storage, "mine.ipynb", b"")
    young = notebook(storage, "sales@analysis-3.ipynb", b"", age=1)
    by_path = {
        finding.what.split(" is not valid: ")[0]: finding for finding in found(environ, tmp_path, "notebooks")
    }
    assert by_path.keys() == {str(cut), str(wrong), str(own), str(young)}
    assert by_path[str(cut)].level is by_path[str(wrong)].level is Level.PROBLEM
    assert by_path[str(cut)].mend.startswith(f"kernelexec rebuild {cut} ")
    assert "no JSON" in by_path[str(cut)].what
    assert "at cells/0: " in by_path[str(wrong)].what
    assert by_path[str(own)].level is by_path[str(young)].level is Level.NOTE
    assert "no journal" in by_path[str(own)].what
    assert "being saved" in by_path[str(young)].what


def test_only_the_newest_notebooks_and_no_huge_one_are_looked_at(
    environ: dict[str, str], tmp_path: Path
) -> None:
    storage = tmp_path / "kernelexec"
    for number in range(1, 26):
        notebook(storage, f"s@e-{number}.ipynb", b"{" if number <= 5 else VALID, age=1000 - number)
    os.truncate(notebook(storage, "huge@e-1.ipynb", b""), validity.LARGEST + 1)
    [finding] = found(environ, tmp_path, "notebooks")
    assert finding.level is Level.OK, finding
    assert finding.what.endswith("6 that are older or too large were not looked at")


def test_what_has_several_lines_stays_in_its_column() -> None:
    text = Finding(Level.PROBLEM, "environment", "none could be lent:\nerror: no network", "try again").text()
    assert text.splitlines() == [
        "problem  environment  none could be lent:",
        "                      error: no network",
        "                      mend: try again",
    ]


def test_the_number_of_problems_comes_first() -> None:
    bad = Finding(Level.PROBLEM, "storage", "it is full", "make room")
    assert summary([HUB, bad]).splitlines() == [
        "1 problem found.",
        "ok       hub          it runs",
        "problem  storage      it is full",
        "                      mend: make room",
    ]
    assert summary([bad, bad]).startswith("2 problems found.")
