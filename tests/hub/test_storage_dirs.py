"""The storage directories that hubs have worked in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelexec.hub import storage_dirs
from kernelexec.recording.opened_records import find_opened_records


def test_the_one_used_last_comes_first(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "zwölf\udcff"
    state = tmp_path / "state"
    assert storage_dirs.known(state) == []
    for path in (one, two, one):
        storage_dirs.remember(state, path)
    assert storage_dirs.known(state) == [one, two]


@pytest.mark.parametrize("text", ["", "{}", "[1, null]", "["])
def test_a_list_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "storage-directories.json").write_text(text)
    assert storage_dirs.known(tmp_path) == []
    storage_dirs.remember(tmp_path, tmp_path)
    assert storage_dirs.known(tmp_path) == [tmp_path]


def test_a_state_directory_that_cannot_be_written_keeps_nobody_from_working(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    storage_dirs.remember(tmp_path / "file", tmp_path)


def test_what_is_no_file_in_the_lists_place_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "storage-directories.json")
    assert storage_dirs.known(tmp_path) == []
    storage_dirs.remember(tmp_path, tmp_path)
    assert storage_dirs.known(tmp_path) == [tmp_path]


def test_a_pipe_in_a_journals_place_keeps_no_notebook_from_being_found(tmp_path: Path) -> None:
    (tmp_path / ".kernelexec").mkdir()
    os.mkfifo(tmp_path / ".kernelexec" / "sales@analysis.jsonl")
    assert find_opened_records(tmp_path / "mine.ipynb", [tmp_path]) is None
