"""Where things are kept, and who may enter."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest
from jupyter_core.paths import jupyter_data_dir

import kernelexec
from kernelexec import paths
from kernelexec.errors import HubUnavailable

linux = pytest.mark.skipif(sys.platform != "linux", reason="the places of Linux")
HOME = {"HOME": "/home/ann"}


@linux
def test_the_runtime_directory_depends_on_nothing_but_the_user_and_its_own_variable() -> None:
    desktop = {"XDG_RUNTIME_DIR": "/run/user/7", "TMPDIR": "/var/tmp", "HOME": "/other"}
    assert paths.runtime_dir(desktop) == paths.runtime_dir({}) == f"/tmp/kernelexec-{os.getuid()}"
    assert paths.runtime_dir({"KERNELEXEC_RUNTIME_DIR": "/run/x"}) == "/run/x"
    assert paths.runtime_dir({"KERNELEXEC_RUNTIME_DIR": "x"}) == os.path.abspath("x")


@linux
@pytest.mark.parametrize(
    ("find", "variable", "usual"),
    [
        (paths.state_dir, "XDG_STATE_HOME", "/home/ann/.local/state/kernelexec"),
        (paths.data_dir, "XDG_DATA_HOME", "/home/ann/.local/share/kernelexec"),
        (paths.jupyter_data_dir, "XDG_DATA_HOME", "/home/ann/.local/share/jupyter"),
    ],
)
def test_directories_follow_the_xdg_specification(find: object, variable: str, usual: str) -> None:
    assert callable(find)
    assert find(HOME) == usual
    assert find({**HOME, variable: "/xdg"}) == f"/xdg/{Path(usual).name}"
    assert find({**HOME, variable: "relative"}) == usual


@linux
@pytest.mark.parametrize("variables", [{}, {"XDG_DATA_HOME": "/xdg"}, {"JUPYTER_DATA_DIR": "/jupyter"}])
def test_jupyters_data_directory_is_where_jupyter_looks(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "JUPYTER_DATA_DIR", "JUPYTER_PLATFORM_DIRS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert paths.jupyter_data_dir(os.environ) == jupyter_data_dir()


def test_the_log_is_in_the_state_directory() -> None:
    assert paths.log_file(HOME) == os.path.join(paths.state_dir(HOME), "hub.log")


def test_the_import_root_has_the_package() -> None:
    assert Path(paths.import_root(), "kernelexec", "__init__.py").samefile(kernelexec.__file__)


def test_the_templates_and_the_launcher_are_where_they_are_said_to_be() -> None:
    folder = Path(paths.kernelspec_templates())
    assert (folder / "launcher" / "launcher.py").is_file()
    assert (folder / "venv" / "kernel.json").is_file()


def test_a_home_is_found_without_the_variable() -> None:
    assert os.path.isabs(paths.home({}))
    assert paths.home({"HOME": "/home/ann"}) == "/home/ann"


def test_a_private_directory_can_be_entered_by_its_user_alone(tmp_path: Path) -> None:
    place = tmp_path / "a" / "b"
    paths.make_private_dir(str(place))
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    paths.make_private_dir(str(place))


def test_a_directory_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    paths.make_private_dir(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_directory_that_was_closed_to_its_user_is_opened(tmp_path: Path) -> None:
    tmp_path.chmod(0o000)
    paths.make_private_dir(str(tmp_path))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_link_in_place_of_the_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(HubUnavailable, match="not a directory"):
        paths.make_private_dir(str(tmp_path / "link"))


@pytest.mark.parametrize("below", ["file", "file/below"])
def test_a_file_in_the_way_is_named(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HubUnavailable, match="file") as refused:
        paths.make_private_dir(str(tmp_path / below))
    assert refused.value.next_step


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: tmp_path.stat().st_uid + 1)
    with pytest.raises(HubUnavailable, match="another user") as refused:
        paths.make_private_dir(str(tmp_path))
    assert "KERNELEXEC_RUNTIME_DIR" in refused.value.next_step
