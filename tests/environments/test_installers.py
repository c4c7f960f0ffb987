"""Which program installs, and how it is called."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.environments import installers
from kernelexec.environments.installers import Installer, installer_of, installer_variables
from kernelexec.environments.requirements import Requirement
from kernelexec.errors import EnvironmentUnusable
from tests.fakes import environment

NUMPY, HTTPX = Requirement("numpy", (), (">=2",)), Requirement("httpx", ("http2",))
PYTHON = "/home/ann/analysis/bin/python"


def tool(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(0o755)
    return folder / name


def test_a_virtual_environment_uses_its_pip(tmp_path: Path) -> None:
    installer = installer_of(environment(), True, {"HOME": str(tmp_path)})
    assert installer.name == "pip"
    assert installer.command_for([NUMPY]) == [PYTHON, "-m", "pip", "install", "--", "numpy>=2"]


def test_where_there_is_no_pip_uv_installs_also_when_it_is_not_on_the_path(tmp_path: Path) -> None:
    uv = tool(tmp_path / ".local" / "bin", "uv")
    installer = installer_of(environment(), False, {"HOME": str(tmp_path), "PATH": "/usr/bin"})
    assert installer.name == "uv pip"
    assert installer.command_for([NUMPY]) == [str(uv), "pip", "install", "--python", PYTHON, "--", "numpy>=2"]


def test_an_environment_of_uv_uses_uv_although_it_has_pip(tmp_path: Path) -> None:
    tool(tmp_path, "uv")
    found = installer_of(environment(kind="venv-uv"), True, {"HOME": "/x", "PATH": str(tmp_path)})
    assert found.name == "uv pip"


def test_without_pip_and_uv_the_reply_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installers.shutil, "which", lambda *arguments, **options: None)
    with pytest.raises(EnvironmentUnusable, match="-m ensurepip"):
        installer_of(environment(), False, {"HOME": str(tmp_path)})


def test_a_conda_environment_uses_the_tool_that_it_belongs_to(tmp_path: Path) -> None:
    conda = tool(tmp_path / "miniconda3" / "bin", "conda")
    prefix = tmp_path / "miniconda3" / "envs" / "analysis"
    for folder in (tmp_path / "miniconda3", prefix):
        (folder / "conda-meta").mkdir(parents=True)
        (folder / "conda-meta" / "history").touch()
    installer = installer_of(environment(kind="conda", prefix=prefix), True, {"HOME": str(tmp_path)})
    assert installer.command_for([NUMPY]) == [
        *(str(conda), "install", "--yes", "--prefix", str(prefix), "--", "numpy[version='>=2']")
    ]
    assert installer.takes(NUMPY)
    assert not installer.takes(HTTPX)


CONDA_SAYS = """
PackagesNotFoundError: The following packages are not available from current channels:

  - nosuchpkg
  - kx-words[version='>=5']

Current channels:

  - file:///tmp/channel/linux-64
"""
MAMBA_SAYS = """
error    libmamba Could not solve for environment specs
    The following packages are incompatible
    ├─ nosuchpkg =* * does not exist (perhaps a typo or a missing channel);
    └─ kx-words >=5 * does not exist (perhaps a typo or a missing channel).
critical libmamba Could not solve for environment specs
"""


@pytest.mark.parametrize(("name", "output"), [("conda", CONDA_SAYS), ("micromamba", MAMBA_SAYS)])
def test_what_the_channels_do_not_have_is_read_from_the_tools_words(name: str, output: str) -> None:
    missing, old, known = Requirement("NoSuchPkg"), Requirement("kx-words", (), (">=5",)), Requirement("six")
    assert Installer(name, ("x",)).not_found(output, [missing, known, old]) == [missing, old]
    assert Installer("pip", ("x",)).not_found(output, [missing]) == []


def test_the_clients_index_and_proxy_are_kept_and_what_leads_astray_is_not() -> None:
    variables = installer_variables(
        {
            "PIP_INDEX_URL": "https://mirror/simple",
            "HTTPS_PROXY": "http://proxy",
            "PIP_TARGET": "/elsewhere",
            "PIP_USER": "1",
            "UV_PYTHON": "3.8",
            "PYTHONPATH": "/evil",
            "KERNELEXEC_SESSION": "x",
        }
    )
    assert variables["PIP_INDEX_URL"] == "https://mirror/simple"
    assert variables["HTTPS_PROXY"] == "http://proxy"
    assert variables["PIP_USER"] == "0"
    assert not variables.keys() & {"PIP_TARGET", "UV_PYTHON", "PYTHONPATH", "KERNELEXEC_SESSION"}
