"""The journal: real files, whole and torn."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.errors import SessionTaken, StorageFailed
from kernelexec.plain_file import NotPlain
from kernelexec.recording import journal_lines as module
from kernelexec.recording.journal import Journal, is_taken
from kernelexec.recording.journal_lines import first_record, last_opened, read, whole_lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".kernelexec" / "sales@analysis.jsonl"


def events(path: Path) -> list[str]:
    return [record["event"] for record in read(path)]


def test_what_was_written_is_read_in_order_with_format_and_time(path: Path) -> None:
    journal = Journal(path)
    journal.write("begun", n=1, code="x = 'ä\n\ud800'")
    journal.write("told", n=1)
    first, second = journal.records()
    assert (first["v"], first["event"], first["n"], first["code"]) == (1, "begun", 1, "x = 'ä\n\ud800'")
    assert second["event"] == "told"
    assert datetime.fromisoformat(first["time"]).tzinfo is not None
    assert path.read_bytes().count(b"\n") == 2
    journal.close()


def test_a_line_is_with_the_system_when_write_returns(path: Path) -> None:
    journal = Journal(path)
    journal.write("begun", n=1)
    assert events(path) == ["begun"]
    journal.sync()
    journal.close()


def numbered(journal: Journal, *numbers: int) -> list[tuple[str, int]]:
    return [(record["event"], record["n"]) for record in journal.records_of(numbers)]


def test_one_execution_is_read_without_the_others(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    for number in (1, 2, 3):
        journal.write("begun", n=number)
        journal.write("output", n=number, type="stream", content={"text": "x" * 1_000_000})
    journal.write("told")
    assert numbered(journal, 2) == [("begun", 2), ("output", 2)]
    journal.write("output", n=1, type="stream", content={})  # late
    read_bytes = 0

    def pread(descriptor: int, length: int, offset: int) -> bytes:
        nonlocal read_bytes
        read_bytes += length
        return real(descriptor, length, offset)

    real = os.pread
    monkeypatch.setattr(os, "pread", pread)
    monkeypatch.setattr("builtins.open", None)
    assert numbered(journal, 1) == [("begun", 1), ("output", 1), ("output", 1)]
    assert read_bytes < 1_100_000
    assert numbered(journal, 4) == []
    assert numbered(journal, 1, 3)[2:] == [("begun", 3), ("output", 3), ("output", 1)]
    monkeypatch.undo()
    journal.close()


def test_what_an_earlier_hub_wrote_is_found_too_also_after_a_torn_line(path: Path) -> None:
    journal = Journal(path)
    journal.write("begun", n=1)
    journal.close()
    path.write_bytes(path.read_bytes() + b'{"v":1,"event":"begun","n":2,')
    journal = Journal(path)
    assert numbered(journal, 1, 2) == [("begun", 1)]
    journal.write("begun", n=3)
    assert numbered(journal, 1, 3) == [("begun", 1), ("begun", 3)]
    journal.close()


@given(
    st.lists(st.tuples(st.integers(1, 5), st.sampled_from([10, 100_000])), max_size=20), st.integers(0, 20)
)
@settings(max_examples=40, deadline=None)
def test_the_index_finds_what_a_whole_reading_finds(lines: list[tuple[int, int]], at: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j.jsonl"
        journal = Journal(path)
        for place, (number, size) in enumerate(lines):
            if place == at:
                numbered(journal, 1)  # from now on it is kept up
            journal.write("begun", n=number, text=size * "x", place=place)
        for number in range(1, 6):
            found = [record["place"] for record in journal.records_of([number])]
            assert found == [place for place, (of, _) in enumerate(lines) if of == number]
        journal.close()


def test_outputs_are_read_only_for_who_asks_for_them(path: Path) -> None:
    journal = Journal(path)
    for number in (1, 2, 12, 1):
        journal.write("output", n=number, type="stream", content={})
    journal.write("told", n=1)
    assert [r["event"] for r in journal.records()] == ["told"]
    assert [r["n"] for r in journal.records(outputs_of=frozenset({1}))] == [1, 1, 1]
    assert [r["n"] for r in journal.records(outputs_of=frozenset({2, 12}))] == [2, 12, 1]
    journal.close()


def test_a_journal_and_its_folder_are_the_users_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        Journal(path).close()
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_journal_has_one_owner_at_a_time_who_is_named(path: Path) -> None:
    first = Journal(path)
    first.write("opened", hub=4711)
    with pytest.raises(SessionTaken, match="process 4711") as refused:
        Journal(path)
    assert refused.value.next_step
    first.close()
    Journal(path).close()


def test_an_owner_that_has_written_nothing_yet_is_told_without_a_name(path: Path) -> None:
    first = Journal(path)
    with pytest.raises(SessionTaken, match=r"another kernelexec hub\."):
        Journal(path)
    first.close()


def test_a_refused_owner_holds_no_descriptor(path: Path) -> None:
    first = Journal(path)
    before = os.listdir("/dev/fd")
    with pytest.raises(SessionTaken):
        Journal(path)
    assert len(os.listdir("/dev/fd")) == len(before)
    first.close()


def test_a_link_in_the_journals_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / "outside").touch()
    path.symlink_to(tmp_path / "outside")
    with pytest.raises(StorageFailed, match="it is a symbolic link, not a plain file") as refused:
        Journal(path)
    assert "move it away" in refused.value.next_step


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_in_the_journals_place_is_told_and_never_waited_for(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(path)
    with pytest.raises(StorageFailed, match=f"{path} cannot be used: it is a .*, not a plain file"):
        Journal(path)
    with pytest.raises(NotPlain):
        list(read(path))
    assert first_record(path) == last_opened(path) == {}
    assert not is_taken(path)


@pytest.mark.parametrize("content", [b"x" * 1_000_001, (b"x" * 99 + b"\n") * 10_001, b"\0" * 1_000_001])
def test_a_megabyte_of_something_else_is_no_journal(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    before = os.listdir("/dev/fd")
    with pytest.raises(StorageFailed, match="is no journal: it has 1,0") as refused:
        Journal(path)
    assert "Move it away" in refused.value.next_step
    assert path.read_bytes() == content
    assert len(os.listdir("/dev/fd")) == len(before)


@pytest.mark.parametrize("begin", [b"", b"{"])
def test_a_line_longer_than_any_of_ours_is_passed_over_in_parts(
    path: Path, monkeypatch: pytest.MonkeyPatch, begin: bytes
) -> None:
    monkeypatch.setattr(module, "_PART", 200)
    monkeypatch.setattr(module, "_LONGEST_LINE", 500)
    journal = Journal(path)
    journal.write("opened", hub=1)
    with open(path, "ab") as file:
        file.write(begin + b"x" * 1200 + b"\n")
    journal.write("adopted", generation=2)
    with open(path, "ab") as file:
        file.write(begin + b"x" * 1200)
    assert events(path) == ["opened", "adopted"]
    assert len(list(whole_lines(path))) == 2
    journal.close()


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed, match="file") as refused:
        Journal(tmp_path / "file" / "x.jsonl")
    assert "CODE_STORAGE_DIR" in refused.value.next_step


@given(st.binary(max_size=200))
@settings(max_examples=50)
def test_after_any_torn_end_the_next_event_is_whole(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.mktemp("journal") / "x.jsonl"
    path.write_bytes(b'{"v":1,"event":"opened"}\n' + tail)
    journal = Journal(path)
    journal.write("begun", n=1)
    journal.write("told", n=1)
    journal.close()
    assert events(path) == ["opened", "begun", "told"]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"5",
        b"null",
        b'"x"',
        b"\xff\xfe",
        b'{"event":"no format"}',
        b"<<<<<<< HEAD",
        b"\x00" * 100,
        b'{"v":1}',
    ],
)
def test_a_line_that_is_none_of_ours_is_passed_over(path: Path, line: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"v":1,"event":"a"}\n' + line + b'\n{"v":1,"event":"b"}\n')
    assert events(path) == ["a", "b"]


class Disk:
    """os.write, a few bytes at a time, full after so many."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        room: int,
        at_once: int = 1 << 20,
        only: Path | None = None,  # this file's disk
    ) -> None:
        self.room = room
        self._only = only
        self._at_once = at_once
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: Any) -> int:
        if self._only is not None and not os.path.samestat(os.fstat(descriptor), self._only.stat()):
            return self._write(descriptor, data)
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, bytes(data)[: min(self.room, self._at_once)])
        self.room -= written
        return written


def test_a_write_in_many_pieces_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    Disk(monkeypatch, room=1 << 20, at_once=3)
    journal.write("begun", n=1, code="x" * 100)
    [record] = journal.records()
    assert record["code"] == "x" * 100
    journal.close()


def test_wherever_a_disk_becomes_full_the_lines_before_and_after_are_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Journal(path).close()
    for room in range(80):
        path.write_bytes(b"")
        journal = Journal(path)
        journal.write("before")
        with monkeypatch.context() as patch:
            disk = Disk(patch, room)
            with pytest.raises(StorageFailed, match=r"No space left on device") as refused:
                journal.write("begun", code="x" * 30)
            assert str(path) in refused.value.what
            disk.room = 1 << 20
            journal.write("after")
        journal.close()
        assert events(path) == ["before", "after"], f"full after {room} bytes"


def test_a_line_that_lacks_only_its_end_counts_as_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote it was told that it failed."""
    journal = Journal(path)
    journal.write("lost")
    size = path.stat().st_size
    path.write_bytes(b"")
    with monkeypatch.context() as patch:
        Disk(patch, size - 1)
        with pytest.raises(StorageFailed):
            journal.write("lost")
    journal.write("after")
    journal.close()
    assert events(path) == ["after"]


def test_a_line_that_lacks_its_fields_is_no_event(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"v":1,"event":"finished","n":1}\n{"v":1,"event":7}\n{"v":1,"event":"begun","n":1}\n')
    assert events(path) == ["begun"]


@pytest.mark.parametrize("content", [None, b"", b"torn", b'{"v":1,"event":"opened","project":"/p"}\n{"v":1'])
def test_the_first_event_tells_whose_session_it_is(path: Path, content: bytes | None) -> None:
    path.parent.mkdir()
    if content is not None:
        path.write_bytes(content)
    found = first_record(path)
    assert found.get("project") == ("/p" if content and b"/p" in content else None)


def test_10_000_events_are_read_in_well_under_a_second(path: Path) -> None:
    path.parent.mkdir()
    line = json.dumps({"v": 1, "event": "output", "n": 1, "content": "x" * 1000}, separators=(",", ":"))
    path.write_text((line + "\n") * 10_000 + '{"v":1,"event":"told"}\n')
    assert events(path) == ["told"]
