"""Scripts in real folders; the names are checked as values."""

from __future__ import annotations

import errno
import os
import resource
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelexec.recording import script as module
from kernelexec.recording.script import SpareFile, label_of, numbered_scripts, script_name, write_script


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Writing beyond fails as on a full disk: Python ignores SIGXFSZ, so write(2) says EFBIG."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_name_is_the_number_and_the_label() -> None:
    assert script_name(1, None) == "0001.py"
    assert script_name(1, "load_data") == "0001-load_data.py"
    assert script_name(123456, "x", ".r") == "123456-x.r"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("load_data.py", "0007-load_data.py"),
        ("Load.PY ", "0007-Load.py"),
        ("src/models/fit.py", "0007-src_models_fit.py"),
        ("../../etc/passwd", "0007-etc_passwd.py"),
        ("/etc/cron.d/x", "0007-etc_cron.d_x.py"),
        ("C:\\Windows\\x", "0007-C_Windows_x.py"),
        ("a\0b\nc", "0007-a_b_c.py"),
        ("$(id); rm -rf ~", "0007-id_rm_-rf.py"),
        ("con", "0007-con.py"),
        ("..", "0007.py"),
        (".py", "0007.py"),
        ("📈📉", "0007.py"),
        ("", "0007.py"),
        ("Umsätze 2026", "0007-Umsätze_2026.py"),
        ("Umsa\u0308tze", "0007-Umsätze.py"),
        ("データ", "0007-データ.py"),
        ("trailing. . ", "0007-trailing.py"),
        ("\ud800x", "0007-x.py"),
        ("\u202egnp.exe", "0007-gnp.exe.py"),
    ],
)
def test_a_label_is_cleaned(label: str, name: str) -> None:
    assert script_name(7, label) == name


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 10**6), st.text(max_size=400))
def test_any_label_gives_a_portable_name(number: int, label: str) -> None:
    name = script_name(number, label)
    assert name.startswith(f"{number:04d}")
    assert name.endswith(".py")
    assert len(name.encode()) <= 255
    assert unicodedata.normalize("NFC", name) == name
    assert not set(name) & set('/\\\0:*?"<>|$`~; \n\t')
    assert all(unicodedata.category(c)[0] in "LNM" or c in "._-" for c in name)


def test_a_script_is_exactly_the_code(tmp_path: Path) -> None:
    code = "x = 'ä'\r\ny = 2\r# \0 \u2028 no newline at the end"
    path = write_script(tmp_path / "sales@analysis-1", "0001.py", code)
    assert path == tmp_path / "sales@analysis-1" / "0001.py"
    assert path.read_bytes() == code.encode()


def test_a_new_script_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    path = write_script(tmp_path / "a", "0001.py", "")
    (tmp_path / "other").touch()
    (tmp_path / "folder").mkdir()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    assert path.parent.stat().st_mode == (tmp_path / "folder").stat().st_mode


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    paths = [write_script(tmp_path, "0001-x.py", code) for code in ("first", "second", "third")]
    assert [path.name for path in paths] == ["0001-x.py", "0001-x-2.py", "0001-x-3.py"]
    assert [path.read_text() for path in paths] == ["first", "second", "third"]


def test_a_link_in_the_scripts_place_is_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside.py"
    folder.mkdir()
    (folder / "0001.py").symlink_to(outside)
    assert write_script(folder, "0001.py", "x").name == "0001-2.py"
    assert not outside.exists()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="folder"):
        write_script(tmp_path / "folder", "0001.py", "x")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_the_storage_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "storage").symlink_to(tmp_path / "real")
    write_script(tmp_path / "storage" / "main@env-1", "0001.py", "x")
    assert (tmp_path / "real" / "main@env-1" / "0001.py").read_text() == "x"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b.py", "../x.py", "/x.py", "a\0.py"])
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a plain file name"):
        write_script(tmp_path / "folder", name, "x")
    assert list(tmp_path.iterdir()) == []


def test_code_that_cannot_be_written_is_refused_before_anything_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 2 .* U\+D800.* escape \\ud800") as refusal:
        write_script(tmp_path / "folder", "0001.py", "x = 1\ny = '\ud800'")
    assert not isinstance(refusal.value, UnicodeError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 4096, 1_000_000])
def test_a_script_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    with files_no_larger_than(size // 2), pytest.raises(OSError, match="too large"):
        write_script(tmp_path, "0001.py", "x" * size)
    assert list(tmp_path.iterdir()) == []
    assert len(write_script(tmp_path, "0001.py", "x" * size).read_bytes()) == size


def test_no_file_descriptor_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    for _ in range(3):
        write_script(tmp_path, "0001.py", "x")
    assert len(os.listdir("/dev/fd")) == before


def spare_for(folder: Path) -> SpareFile:
    """A spare file, where this file system has any."""
    spare = SpareFile()
    spare.make(folder)
    file = spare.take()
    if file is None:
        pytest.skip("this file system has no files without a name")
    os.close(file)
    spare.make(folder)
    return spare


def test_a_spare_file_becomes_the_script_under_a_name_that_is_free(tmp_path: Path) -> None:
    write_script(tmp_path, "0001.py", "first")
    before = len(os.listdir("/dev/fd"))
    spare = spare_for(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["0001.py"]
    path = write_script(tmp_path, "0001.py", "second", spare)
    assert path.name == "0001-2.py"
    assert path.read_text() == "second"
    assert spare.take() is None
    (tmp_path / "other").touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "other").stat().st_mode)
    assert path.stat().st_nlink == 1
    assert len(os.listdir("/dev/fd")) == before


@pytest.mark.parametrize("size", [1, 4096, 1_000_000])
def test_a_spare_file_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path: Path, size: int) -> None:
    spare = spare_for(tmp_path)
    before = len(os.listdir("/dev/fd"))
    with files_no_larger_than(size // 2), pytest.raises(OSError, match="too large"):
        write_script(tmp_path, "0001.py", "x" * size, spare)
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/dev/fd")) == before - 1


def test_a_spare_file_that_cannot_have_a_name_there_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = spare_for(tmp_path)

    def on_another_file_system(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(module.os, "link", on_another_file_system)
    assert write_script(tmp_path, "0001.py", "x", spare).read_text() == "x"


def test_without_spare_files_scripts_are_written_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spare = SpareFile()
    spare.make(tmp_path / "missing")
    monkeypatch.setattr(module, "_UNNAMED", 0)  # macOS
    spare.make(tmp_path)
    assert write_script(tmp_path, "0001.py", "x", spare).read_text() == "x"


def test_a_spare_file_that_is_closed_is_not_made_again(tmp_path: Path) -> None:
    spare = spare_for(tmp_path)
    spare.close()
    spare.make(tmp_path)
    assert spare.take() is None


def test_numbered_scripts_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = ["10000-late.py", "0002.py", "0001-load.py", "0003-x.PY"]
    for name in [*names, "notes.py", "0004-data.csv", "123.py", "0005-x.r", "1234567890.py"]:
        (tmp_path / name).touch()
    (tmp_path / "0006-folder.py").mkdir()
    found = [path.name for path in numbered_scripts(tmp_path)]
    assert found == ["0001-load.py", "0002.py", "0003-x.PY", "10000-late.py"]
    assert [path.name for path in numbered_scripts(tmp_path, ".r")] == ["0005-x.r"]


@pytest.mark.parametrize("label", ["load", "load_data", "2026-plan", "x-2", "Umsätze"])
def test_a_label_is_found_again_in_a_scripts_name(label: str) -> None:
    assert label_of(Path(script_name(7, label))) == label


def test_a_script_without_a_label_has_none() -> None:
    assert label_of(Path(script_name(7, None))) is None
