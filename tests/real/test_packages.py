"""Installing into real environments and looking at what is there, as a client has it done."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conda.tool import Conda
from tests.real.conftest import Connect
from tests.real.home import Home
from tests.real.wheels import make_slow_sdist, make_wheel

UV = str(Path(sys.executable).parent / "uv")


@dataclass
class Shelf:
    """A folder that pip and uv take for all of PyPI, and the variables that tell them so."""

    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        return {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.folder),
            "UV_NO_INDEX": "1",
            "UV_FIND_LINKS": str(self.folder),
            "UV_OFFLINE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "KX_SLOW": str(self.folder / "slow"),
        }

    @property
    def slow(self) -> Path:
        return self.folder / "slow"


@pytest.fixture(scope="module")
def shelf(place: Path) -> Shelf:
    folder = place / "shelf"
    for version in ("1.0", "2.0"):
        make_wheel(folder, "kx-words", version)
    make_wheel(folder, "kx-niche", "0.1")
    make_slow_sdist(folder, "kx-slow", "1.0")
    return Shelf(folder)


@pytest.fixture
def slow(shelf: Shelf) -> Shelf:
    shutil.rmtree(shelf.slow, ignore_errors=True)
    shelf.slow.mkdir()
    return shelf


# --- each kind of environment -------------------------------------------------------


def _venv(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([sys.executable, "-m", "venv", place / "with pip"], check=True)
    return {"ENV_TYPE": "venv", "VENV_PATH": str(place / "with pip")}


def _venv_without_pip(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", place / "no pip"], check=True)
    return {"ENV_TYPE": "venv", "VENV_PATH": str(place / "no pip")}


def _uv_venv(place: Path, conda: Conda) -> dict[str, str]:
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, place / "of uv"], check=True)
    return {"ENV_TYPE": "venv-uv", "UV_VENV_PATH": str(place / "of uv"), "VENV_PATH": ""}


def _default(place: Path, conda: Conda) -> dict[str, str]:
    return {"ENV_TYPE": "default", "VENV_PATH": "", "XDG_DATA_HOME": str(place / "data of its own")}


def _conda(place: Path, conda: Conda) -> dict[str, str]:
    prefix = conda.create(place / "conda of its own")
    return {
        "ENV_TYPE": "conda",
        "CONDA_ENV_NAME": str(prefix),
        "VENV_PATH": "",
        "CONDA_EXE": str(conda.command),
    }


def _kernelspec(place: Path, conda: Conda) -> dict[str, str]:
    """A kernelspec as somebody else installed it, of an environment with an ipykernel of its own."""
    prefix = place / "with ipykernel"
    subprocess.run([sys.executable, "-m", "venv", prefix], check=True)
    site = prefix / "lib" / f"python3.{sys.version_info[1]}" / "site-packages"
    (site / "ours.pth").write_text(next(path for path in sys.path if path.endswith("site-packages")))
    made = [
        prefix / "bin" / "python",
        "-m",
        "ipykernel",
        "install",
        "--prefix",
        place / "jupyter",
        "--name",
        "theirs",
    ]
    subprocess.run(made, check=True, capture_output=True)
    return {
        "ENV_TYPE": "kernelspec",
        "KERNEL_NAME": "theirs",
        "VENV_PATH": "",
        "JUPYTER_PATH": str(place / "jupyter" / "share" / "jupyter"),
    }


@pytest.fixture(
    params=[
        (_venv, "pip"),
        (_venv_without_pip, "uv pip"),
        (_uv_venv, "uv pip"),
        (_default, "pip"),
        (_conda, "conda"),
        (_kernelspec, "pip"),
    ],
    ids=lambda param: param[0].__name__.strip("_"),
)
def configured(request: pytest.FixtureRequest, tmp_path: Path, conda: Conda) -> tuple[dict[str, str], str]:
    """The variables that configure a fresh environment of one kind, and its installer's name."""
    make, installer = request.param
    return make(tmp_path, conda), installer


def test_a_package_is_installed_and_imported_in_the_kernel_that_was_running(
    configured: tuple[dict[str, str], str], connect: Connect, new_home: Callable[..., Home], shelf: Shelf
) -> None:
    variables, installer = configured
    home = new_home(**shelf.variables, **variables)
    client = connect(home)
    assert "ModuleNotFoundError" in client.execute("kept = 1\nimport kx_words").verdict
    installed = client.call("install_dependencies", {"packages": ["kx-words<2"]})
    assert installed.state == "OK", installed.text
    assert f"Installed kx-words 1.0 with {installer}." in installed.text
    assert "without a restart" in installed.text
    assert client.execute("import kx_words\nkx_words.VERSION, kept").block("result") == "('1.0', 1)"

    renewed = client.call("install_dependencies", {"packages": ["kx_words>=2"]})
    assert "kx_words 2.0 (before: 1.0)" in renewed.text
    assert "kx-words 1.0 imported: restart it to use kx-words 2.0" in renewed.text

    checked = client.call("check_installed_packages", {"packages": ["kx-words", "kx_words", "nothing"]})
    assert "Not installed" in checked.verdict
    assert "kx-words: 2.0, in " in checked.text
