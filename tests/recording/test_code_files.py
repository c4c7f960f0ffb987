"""Code files stay inside the storage directory, whatever their names are."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest

from kernelexec.errors import BadRequest, KernelexecError
from kernelexec.recording.code_files import LARGEST, CodeFiles


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage directory with a neighbour whose path begins alike."""
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "data-other").mkdir()
    (tmp_path / "data-other" / "x.py").write_text("secret")
    (tmp_path / "x.py").write_text("secret")
    return folder


@pytest.fixture
def files(storage: Path) -> CodeFiles:
    return CodeFiles(storage, (".py",))


def test_a_file_is_made_added_to_and_read(files: CodeFiles, storage: Path) -> None:
    path = files.create("my script.py", "a = 1")
    assert path.parent == storage
    assert re.fullmatch(r"my_script_[0-9a-f]{8}\.py", path.name)
    assert files.append(str(path), "b = 2\n") == (path, len("a = 1\nb = 2\n"))
    files.append(path.name, "\nc = 3")
    assert files.read(str(path)) == (path, "a = 1\nb = 2\n\nc = 3")


def test_two_files_of_one_name_are_two(files: CodeFiles) -> None:
    assert files.create("x", "1") != files.create("x", "2")


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "/etc/x",
        "a\0b",
        "$(id)",
        "`id`",
        "..",
        ".",
        "",
        "/",
        "x" * 500,
        "con",
        "\u202e",
        ".bashrc",
        None,
        "x.ipynb",
    ],
)
def test_a_file_is_made_inside_whatever_it_is_to_be_called(
    files: CodeFiles, storage: Path, name: str | None
) -> None:
    path = files.create(name, "1")
    assert path.parent == storage
    assert [entry.name for entry in storage.iterdir()] == [path.name]
    assert re.fullmatch(r"[^/\0$`. ][^/\0$`]*_[0-9a-f]{8}\.py", path.name)


@pytest.mark.parametrize(
    "path",
    [
        "../x.py",
        "../data-other/x.py",
        "{parent}/data-other/x.py",
        "{parent}/x.py",
        "/etc/passwd",
        "a/../../x.py",
        "",
        ".",
        "/",
        "x\x00.py",
        "~/x.py",
        "link.py",
        "folder/x.py",
        "folder_link/x.py",
        "pipe.py",
        "directory.py",
        ".kernelexec/s.py",
        "{storage}/.kernelexec/s@e.jsonl",
        "s@e-1.ipynb",
        "$(id).py",
        "missing.py",
        "x.py/y.py",
        "a" * 5000 + ".py",
        "file:///etc/passwd",
        "device.py",
    ],
)
def test_no_other_path_is_read_or_written(files: CodeFiles, storage: Path, path: str) -> None:
    (storage / "x.py").write_text("mine")
    (storage / "link.py").symlink_to(storage.parent / "x.py")
    (storage / "folder_link").symlink_to(storage.parent / "data-other")
    (storage / "device.py").symlink_to("/dev/zero")
    (storage / ".kernelexec").mkdir()
    (storage / ".kernelexec" / "s.py").write_text("x")
    (storage / ".kernelexec" / "s@e.jsonl").write_text("{}")
    (storage / "s@e-1.ipynb").write_text("{}")
    (storage / "directory.py").mkdir()
    os.mkfifo(storage / "pipe.py")
    before = contents(storage.parent)
    path = path.format(parent=storage.parent, storage=storage)
    for use in (lambda: files.read(path), lambda: files.append(path, "x")):
        with pytest.raises(BadRequest) as refused:
            use()
        assert "x.py" in str(refused.value)  # what there is
        assert "secret" not in str(refused.value)
    assert contents(storage.parent) == before


def contents(folder: Path) -> dict[str, bytes]:
    """All files below, without following links."""
    found = {}
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        found[str(path)] = path.read_bytes() if stat.S_ISREG(mode) else b""
    return found


@pytest.mark.parametrize("path", ["sub/x.py", "{storage}/sub/x.py", "sub/../sub/./x.py", "{real}/sub/x.py"])
def test_a_file_in_a_folder_of_the_storage_directory_is_found(tmp_path: Path, path: str) -> None:
    real = tmp_path / "real"
    (real / "sub").mkdir(parents=True)
    (real / "sub" / "x.py").write_text("found")
    (tmp_path / "data").symlink_to(real)  # the person's own link
    files = CodeFiles(tmp_path / "data", (".py",))
    named, text = files.read(path.format(storage=tmp_path / "data", real=real))
    assert (named, text) == (tmp_path / "data" / "sub" / "x.py", "found")


@pytest.fixture
def project(storage: Path) -> Path:
    folder = storage.parent / "project"
    (folder / "src").mkdir(parents=True)
    (folder / "src" / "train.py").write_text("the project's")
    (folder / "both.py").write_text("the project's")
    (storage / "both.py").write_text("the storage's")
    (storage / "own.py").write_text("the storage's")
    return folder


def test_a_file_of_the_project_is_read_too_and_a_relative_path_means_where_code_runs(
    storage: Path, project: Path
) -> None:
    files = CodeFiles(storage, (".py",), project)
    for path in ("src/train.py", "src/train", "./src/../src/train.py", str(project / "src" / "train.py")):
        assert files.read(path) == (project / "src" / "train.py", "the project's")
    assert files.read("both.py") == (storage / "both.py", "the storage's")
    assert files.read(str(project / "both.py"))[1] == "the project's"
    where_code_runs = CodeFiles(storage, (".py",), project, project_first=True)
    assert where_code_runs.read("both.py") == (project / "both.py", "the project's")
    assert where_code_runs.read("own.py") == (storage / "own.py", "the storage's")
    with pytest.raises(BadRequest) as missing:
        files.read("train.py")
    assert f"There is no train.py in {storage} or {project}." in str(missing.value)
    assert f"Code files in {project}: both.py." in str(missing.value)


def test_nothing_is_added_to_a_file_of_the_project(storage: Path, project: Path) -> None:
    for path in ("src/train.py", str(project / "both.py")):
        with pytest.raises(BadRequest, match="Only files of the storage directory are added to"):
            CodeFiles(storage, (".py",), project, project_first=True).append(path, "x")
    assert (project / "both.py").read_text() == (project / "src" / "train.py").read_text() == "the project's"


def test_links_in_the_project_are_followed_inside_and_not_out(storage: Path, project: Path) -> None:
    (project / ".venv").mkdir()
    (project / ".venv" / "x.py").write_text("hidden")
    (project / "notes.txt").write_text("no code")
    for name, target in {
        "inner.py": "src/train.py",
        "to_storage.py": storage / "own.py",
        "folder": "src",
        "out.py": storage.parent / "x.py",
        "folder_out": storage.parent / "data-other",
        "hidden.py": ".venv/x.py",
        "text.py": "notes.txt",
        "loop.py": "loop.py",
        "device.py": "/dev/zero",
    }.items():
        (project / name).symlink_to(target)
    files = CodeFiles(storage, (".py",), project, project_first=True)
    assert files.read("inner.py") == (project / "inner.py", "the project's")
    assert files.read("folder/train.py")[1] == "the project's"
    assert files.read("to_storage.py")[1] == "the storage's"
    for path in (
        *("out.py", "folder_out/x.py", "hidden.py", "text.py", "loop.py", "device.py"),
        *("../x.py", "../data-other/x.py", f"{storage.parent}/x.py", ".venv/x.py", "notes.txt", "src"),
    ):
        with pytest.raises(BadRequest) as refused:
            files.read(path)
        assert "secret" not in str(refused.value)


def test_a_project_that_is_reached_by_a_link_and_a_storage_directory_in_it(tmp_path: Path) -> None:
    (tmp_path / "real" / ".notes" / "s@e-1").mkdir(parents=True)
    (tmp_path / "real" / "x.py").write_text("x")
    (tmp_path / "real" / ".notes" / "s@e-1" / "0001.py").write_text("a run's")
    (tmp_path / "link").symlink_to("real")
    project, storage = tmp_path / "link", tmp_path / "link" / ".notes"
    files = CodeFiles(storage, (".py",), project, project_first=True)
    assert files.read(str(tmp_path / "real" / "x.py")) == (project / "x.py", "x")
    assert files.read("s@e-1/0001.py")[1] == files.read(str(storage / "s@e-1" / "0001.py"))[1] == "a run's"


def test_text_is_read_as_python_reads_it(files: CodeFiles, storage: Path) -> None:
    (storage / "bom.py").write_bytes("\ufeffx = 'ä'\r\n".encode())
    (storage / "latin.py").write_bytes("# -*- coding: latin-1 -*-\nx = 'ä'".encode("latin-1"))
    (storage / "broken.py").write_bytes(b"x = '\xff'")
    (storage / "unknown.py").write_bytes(b"# coding: nosuch\n")
    assert files.read("bom.py")[1] == "x = 'ä'\r\n"
    assert files.read("latin.py")[1].endswith("x = 'ä'")
    for name in ("broken.py", "unknown.py"):
        with pytest.raises(BadRequest, match="cannot be read as text"):
            files.read(name)


def test_what_is_too_much_or_no_text_is_refused_and_nothing_is_written(
    files: CodeFiles, storage: Path
) -> None:
    for content in ("\ud800", "x" * (LARGEST + 1)):
        with pytest.raises(BadRequest, match="nothing was written"):
            files.create("x", content)
    path = files.create("x", "x" * LARGEST)
    with pytest.raises(BadRequest, match="more than the limit"):
        files.append(path.name, "y")
    assert path.stat().st_size == LARGEST
    assert len(list(storage.iterdir())) == 1


def test_a_full_disk_leaves_no_half_of_an_addition(
    files: CodeFiles, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = files.create("x", "a = 1\n")

    class Full(CodeFiles):
        @staticmethod
        def _write_all(file: object, data: bytes, size: int) -> None:
            import io
            from typing import cast

            raw = cast(io.FileIO, file)

            class Small:
                def write(self, rest: bytes) -> int:
                    if raw.tell() > size:
                        raise OSError(28, "No space left on device")
                    return raw.write(rest[:2])

                truncate = raw.truncate

            CodeFiles._write_all(cast(io.FileIO, Small()), data, size)

    with pytest.raises(KernelexecError, match="No space left"):
        Full(storage, (".py",)).append(path.name, "b = 2\n")
    assert path.read_text() == "a = 1\n"
