"""Output that is too large for a notebook."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelexec.model.outputs import CellOutputs
from kernelexec.recording.output_folder import OutputFolder
from kernelexec.recording.overflow import OverflowFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g-1" / "outputs" / "0007.txt"


@pytest.fixture
def file(tmp_path: Path, path: Path) -> Iterator[OverflowFile]:
    folder = OutputFolder(path.parent, tmp_path, lambda: True)
    overflow = OverflowFile(folder, "0007.txt", limit=100)
    yield overflow
    overflow.close()


def printed(*texts: str) -> CellOutputs:
    outputs = CellOutputs()
    for number, text in enumerate(texts):
        outputs.add("stream", {"name": ("stdout", "stderr")[number % 2], "text": text})
    return outputs


def test_what_fits_a_notebook_needs_no_file(file: OverflowFile, path: Path) -> None:
    assert file.split("x" * 10, 10) == ("x" * 10, "")
    assert file.split("x", 1) == ("x", "")
    assert file.split("x", 0) == ("", "x")
    assert file.split("abc", 2) == ("ab", "c"), "one message may be more than all that a cell shows"
    assert file.close() is None
    assert not path.exists()


def test_the_file_has_all_the_text_also_what_the_notebook_shows(
    file: OverflowFile, path: Path, tmp_path: Path
) -> None:
    outputs = printed("before\n", "and\n")
    file.write(outputs, "after\n")
    assert file.split("x", 10) == ("", "x"), "once begun, all goes there"
    file.write(outputs, "end\n")
    kept = file.close()
    assert path.read_text() == "before\nand\nafter\nend\n"
    assert kept is not None
    assert (kept.file, kept.size, kept.left_out) == ("g-1/outputs/0007.txt", 21, 0)
    assert kept.tail.endswith("after\nend\n")
    assert tmp_path / kept.file == path


def test_beyond_the_limit_bytes_are_counted_and_the_tail_is_still_the_end(
    file: OverflowFile, path: Path
) -> None:
    for _ in range(5):
        file.write(printed(), "ä" * 30)  # 60 bytes
    file.write(printed(), "the end")
    kept = file.close()
    assert kept is not None
    assert (kept.size, kept.left_out) == (100, 5 * 60 + 7 - 100)
    assert path.stat().st_size == 100
    assert kept.tail.endswith("the end")
    assert f"{kept.left_out:,} bytes more" in kept.notice()


def test_characters_that_cannot_be_encoded_are_escaped(file: OverflowFile, path: Path) -> None:
    file.write(printed(), "a\ud800b")
    file.close()
    assert path.read_text() == "a\\ud800b"


def test_the_tail_is_short(file: OverflowFile) -> None:
    for _ in range(10):
        file.write(printed(), "x" * 5_000)
    kept = file.close()
    assert kept is not None
    assert len(kept.tail) <= 8_000


def test_a_file_that_cannot_be_made_is_an_error_each_time(file: OverflowFile, tmp_path: Path) -> None:
    (tmp_path / "g-1").touch()
    for _ in range(2):
        with pytest.raises(OSError, match="g-1"):
            file.write(printed(), "x" * 11)
    assert file.close() is None


def test_what_a_full_disk_did_not_take_is_counted(
    file: OverflowFile, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(printed(), "x" * 11)
    descriptor = os.open("/dev/full", os.O_WRONLY)
    kept_open = os.dup(file._file.fileno())  # type: ignore[union-attr]
    os.dup2(descriptor, file._file.fileno())  # type: ignore[union-attr]
    with pytest.raises(OSError, match="No space left"):
        file.write(printed(), "lost!")
    os.dup2(kept_open, file._file.fileno())  # type: ignore[union-attr]
    for each in (descriptor, kept_open):
        os.close(each)
    file.write(printed(), "end")
    kept = file.close()
    assert path.read_text() == "x" * 11 + "end"
    assert kept is not None
    assert (kept.size, kept.left_out) == (14, 5)
