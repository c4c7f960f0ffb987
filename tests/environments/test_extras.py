"""What is recommended where an extra is missing, in each kind of installation."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shlex
import sys
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kernelexec.environments import extras

_METADATA = """Metadata-Version: 2.4
Name: kernelexec
Version: 0
Requires-Dist: mcp<3,>=2.3
Requires-Dist: tomli>=2; python_version < "3.11"
Provides-Extra: lab
Requires-Dist: jupyter-collaboration<6,>=4; extra == "lab"
Requires-Dist: jupyterlab<5,>=4.4; extra == "lab"
Provides-Extra: pdf
Requires-Dist: pypdfium2<6,>=5; extra == "pdf"
"""
_LAB = "'jupyter-collaboration<6,>=4' 'jupyterlab<5,>=4.4'"


@pytest.fixture
def info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installer has noted about this installation, which came from an index."""
    folder = tmp_path / "kernelexec-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(_METADATA)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: PathDistribution(folder))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return folder


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without what the tests' own environment has of the extras."""
    monkeypatch.setattr(extras, "_EXTRAS", {"pdf": "no_such_module"})


def comes_from(info: Path, url: str) -> None:
    (info / "direct_url.json").write_text(f'{{"url": "{url}", "dir_info": {{}}}}')


def test_a_tool_of_uvs_is_installed_again_with_the_extra(info: Path, bare: None) -> None:
    (info.parent / "uv-receipt.toml").touch()
    assert extras.install_command("lab") == "uv tool install 'kernelexec[lab]'"


def test_what_came_from_a_clone_or_a_wheel_comes_from_there_again(info: Path, bare: None) -> None:
    (info.parent / "uv-receipt.toml").touch()
    comes_from(info, "file:///home/me/my%20clone")
    command = extras.install_command("console")
    assert command == "uv tool install 'kernelexec[console] @ file:///home/me/my%20clone'"
    asked = Requirement(shlex.split(command)[-1])
    assert (asked.name, asked.extras, asked.url) == ("kernelexec", {"console"}, "file:///home/me/my%20clone")


def test_what_uvx_runs_is_run_again_with_the_extra(info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "prefix", "/home/me/.cache/uv/archive-v0/abc")
    assert extras.is_of_uvx()
    assert extras.install_command("lab") == "uvx --from 'kernelexec[lab]' kernelexec lab"
    comes_from(info, "file:///tmp/kernelexec-0.1.0-py3-none-any.whl")
    assert extras.itself() == "kernelexec @ file:///tmp/kernelexec-0.1.0-py3-none-any.whl"


def test_pipx_adds_the_packages_and_no_others(info: Path) -> None:
    (info.parent / "pipx_metadata.json").touch()
    assert extras.install_command("lab") == f"pipx inject kernelexec {_LAB}"


def test_an_environment_gets_the_packages_with_what_it_has(
    info: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = shlex.quote(sys.executable)
    assert extras.install_command("lab") == f"{python} -m pip install {_LAB}"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert extras.install_command("lab") == f"uv pip install --python {python} {_LAB}"


def test_a_tool_of_uvs_keeps_the_extras_that_it_has(info: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (info.parent / "uv-receipt.toml").touch()
    monkeypatch.setattr(extras, "_EXTRAS", {"console": "json", "pdf": "no_such_module"})
    assert extras.install_command("lab") == "uv tool install 'kernelexec[console,lab]'"


def test_every_extra_of_pyproject_is_known() -> None:
    assert {
        name for name in importlib.metadata.distribution("kernelexec").metadata.get_all("Provides-Extra")
    } == set(extras._EXTRAS)


@pytest.mark.parametrize("extra", ["console", "lab", "pdf", "remote"])
def test_every_extra_of_this_installation_names_packages(extra: str) -> None:
    assert [Requirement(each) for each in shlex.split(extras.install_command(extra))[4:]]
