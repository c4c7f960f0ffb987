"""Where kernelspecs are looked for, held against Jupyter in an environment of the client's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from venv import EnvBuilder

import jupyter_client
import pytest

from kernelexec.environments.foreign import read_spec
from kernelexec.environments.jupyter_paths import find_kernelspec, kernel_dirs, kernelspecs
from kernelexec.environments.our_kernelspecs import our_kernelspecs, remove
from kernelexec.errors import EnvironmentUnusable
from tests.environments.test_foreign import write
from tests.environments.test_kernelspec import LAUNCHER, found_in, install

_PRINT = "import json\nfrom jupyter_client.kernelspec import KernelSpecManager\n"
_PRINT += "print(json.dumps(KernelSpecManager().kernel_dirs))"


@pytest.fixture(scope="module")
def client_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with Jupyter in it."""
    folder = tmp_path_factory.mktemp("client") / "venv"
    EnvBuilder(symlinks=True).create(folder)
    site = folder / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(str(Path(jupyter_client.__file__).parents[1]))
    (folder / "share" / "jupyter" / "kernels").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"JUPYTER_PREFER_ENV_PATH": "0"},
        {"JUPYTER_PREFER_ENV_PATH": "1"},
        {"JUPYTER_PREFER_ENV_PATH": ""},
        {"JUPYTER_PATH": "HOME/b:HOME/a:HOME/gone"},
        {"JUPYTER_DATA_DIR": "HOME/a"},
        {"XDG_DATA_HOME": "HOME/share", "IPYTHONDIR": "HOME/b"},
    ],
    ids=str,
)
def test_the_folders_and_their_order_are_those_of_the_clients_own_jupyter(
    client_venv: Path, tmp_path: Path, variables: dict[str, str]
) -> None:
    for folder in ("a", "b", "share/jupyter", ".local/share/jupyter", ".ipython"):
        (tmp_path / folder / "kernels").mkdir(parents=True)
    own = {name: value.replace("HOME", str(tmp_path)) for name, value in variables.items()}
    environ = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "VIRTUAL_ENV": str(client_venv), **own}
    python = client_venv / "bin" / "python"
    said = subprocess.run(
        [python, "-c", _PRINT], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    looked = [Path(folder) for folder in json.loads(said.stdout)]
    assert kernel_dirs(environ) == [folder for folder in looked if folder.is_dir()]


def test_neither_the_hubs_variables_nor_its_own_environment_have_a_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "hub", "hubs")
    write(tmp_path / "client", "clients")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "hub"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "hub"))
    found = kernelspecs({"HOME": str(tmp_path), "PATH": "", "JUPYTER_PATH": str(tmp_path / "client")})
    assert "clients" in found
    assert "hubs" not in found
    assert not [folder for folder in found.values() if folder.is_relative_to(sys.prefix)]


def test_what_jupyter_refuses_in_a_kernelspec_is_refused(tmp_path: Path) -> None:
    for fields in ({"interrupt_mode": "shout"}, {"argv": "python {connection_file}"}, {"env": ["A=1"]}):
        folder = write(tmp_path / str(len(list(tmp_path.iterdir()))), "odd", **fields)
        with pytest.raises(EnvironmentUnusable, match=r"kernel\.json"):
            read_spec(folder)


def test_a_kernelspec_of_ours_that_jupyter_cannot_read_leads_nowhere(tmp_path: Path) -> None:
    made = install(found_in(tmp_path / "analysis"), tmp_path / "kernels", LAUNCHER, None)
    file = tmp_path / "kernels" / made.kernelspec / "kernel.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "argv": "edited by hand"}))
    [spec] = our_kernelspecs(tmp_path / "kernels")
    assert (spec.name, spec.problem) == ("kernelexec-analysis", "its kernel.json cannot be read")
    assert spec.is_stale


def test_removing_a_kernelspec_that_is_a_link_leaves_what_it_leads_to(tmp_path: Path) -> None:
    made = install(found_in(tmp_path / "analysis"), tmp_path / "elsewhere", LAUNCHER, None)
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (kernels / made.kernelspec).symlink_to(tmp_path / "elsewhere" / made.kernelspec)
    remove(made.kernelspec, kernels)
    assert not list(kernels.iterdir())
    assert (tmp_path / "elsewhere" / made.kernelspec / "kernel.json").exists()


def test_a_kernelspec_in_no_folder_is_refused_and_the_folders_are_told(tmp_path: Path) -> None:
    write(tmp_path / "a", "mine")
    with pytest.raises(EnvironmentUnusable, match="no Jupyter kernelspec called 'yours'") as refused:
        find_kernelspec("yours", {"HOME": str(tmp_path), "PATH": "", "JUPYTER_PATH": str(tmp_path / "a")})
    assert str(tmp_path / "a" / "kernels") in refused.value.next_step


_PREPARE = """
import asyncio, sys
from pathlib import Path
import kernelexec.daemon.process
from kernelexec.environments import catalog
from kernelexec.environments.venv import Venv
environ = {"HOME": sys.argv[2], "PATH": "/usr/bin:/bin"}
for _ in range(2):  # first written, then known
    asyncio.run(catalog.prepare(Venv(Path(sys.argv[1])), environ, print))
print(*sorted({"jupyter_client", "nbformat", "yaml"} & set(sys.modules)))
"""


def test_neither_the_hubs_start_nor_an_environment_of_ours_waits_for_jupyters_packages(
    client_venv: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", _PREPARE, str(client_venv), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.splitlines()[-1] == ""
    assert len(list(tmp_path.glob(".local/share/jupyter/kernels/kernelexec-*/kernel.json"))) == 1
