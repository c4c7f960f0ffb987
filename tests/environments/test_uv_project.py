"""What of an installation a uv project is told not to know."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.environments.requirements import Requirement
from kernelexec.environments.uv_project import uv_project

NUMPY = Requirement("NumPy", (), (">=2",))
PROJECT = '[project]\ndependencies = ["pandas[excel]>=2", "NumPy; python_version > \'3\'"]\n'
LOCK = '[[package]]\nname = "numpy"\nversion = "2.4.6"\n'


def advice(prefix: Path, version: str = "2.4.6", *, prefers_uv: bool = False, **environ: str) -> str | None:
    project = uv_project(prefix, environ, prefers_uv=prefers_uv)
    return project and project.advice_on(prefix, [NUMPY], {"numpy": version})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "a project"
    (folder / ".venv").mkdir(parents=True)
    (folder / "pyproject.toml").write_text('[project]\nname = "ours"\n')
    (folder / "uv.lock").write_text("version = 1\n")
    return folder


def test_what_the_project_does_not_know_is_told_with_the_command_that_adds_it(project: Path) -> None:
    assert advice(project / ".venv") == (
        f"pyproject.toml and uv.lock of {project} do not know NumPy, and `uv sync` would undo this. "
        f"If the project needs it: uv add --project '{project}' 'NumPy>=2'"
    )


def test_what_the_lock_has_in_this_version_is_known(project: Path) -> None:
    (project / "uv.lock").write_text(LOCK)
    assert advice(project / ".venv") is None
    assert "do not know NumPy" in str(advice(project / ".venv", "2.5"))


def test_without_a_lock_what_pyproject_declares_is_known(project: Path) -> None:
    (project / "uv.lock").unlink()
    assert "pyproject.toml of" in str(advice(project / ".venv", prefers_uv=True))
    (project / "pyproject.toml").write_text(PROJECT)
    assert advice(project / ".venv", prefers_uv=True) is None
    (project / "pyproject.toml").write_text('[project]\n[dependency-groups]\ndev = ["numpy", {}]\n')
    assert advice(project / ".venv", prefers_uv=True) is None


def test_a_project_is_uvs_by_its_lock_its_table_or_who_made_the_environment(project: Path) -> None:
    (project / "uv.lock").unlink()
    assert advice(project / ".venv") is None  # anybody's
    (project / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nuv = 0.12.22\n")
    assert advice(project / ".venv")
    (project / ".venv" / "pyvenv.cfg").unlink()
    (project / "pyproject.toml").write_text('[project]\nname = "ours"\n[tool.uv]\n')
    assert advice(project / ".venv")


def test_an_environment_beside_the_projects_own_is_told_where_the_command_installs(project: Path) -> None:
    assert f"(in its {project}/.venv): uv add --project" in str(advice(project / "other"))
    assert advice(project / "tools" / "venv") is None
    assert "would undo this" in str(advice(project / "tools" / "venv", UV_PROJECT_ENVIRONMENT="tools/venv"))


def test_a_workspace_without_a_project_of_its_own_is_told_of_its_members(project: Path) -> None:
    (project / "pyproject.toml").write_text('[tool.uv.workspace]\nmembers = ["a"]\n')
    assert "in the folder of the workspace's member that needs it: uv add 'NumPy>=2'" in str(
        advice(project / ".venv")
    )


def test_broken_files_keep_no_reply_back(project: Path) -> None:
    (project / "pyproject.toml").write_text("[project\n")
    (project / "uv.lock").write_text("package = 3\n")
    assert "uv add 'NumPy>=2'" in str(advice(project / ".venv"))
    assert advice(project.parent / "nowhere") is None
