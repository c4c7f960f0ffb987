"""Lines that wait for room in a journal: none lost, none doubled, wherever a disk or a hub fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kernelexec.errors import StorageFailed
from kernelexec.recording import journal as module
from kernelexec.recording import kept_lines
from kernelexec.recording.journal import Journal
from kernelexec.recording.journal_lines import read
from kernelexec.recording.kept_lines import file_for, forget
from tests.recording.test_journal import Disk

ALL = ["before", "one", "two", "three", "after"]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERNELEXEC_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0.0)
    return tmp_path / ".kernelexec" / "sales@analysis.jsonl"


def events(path: Path) -> list[str]:
    return [record["event"] for record in read(path)]


def filled(path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> tuple[Journal, bytes]:
    """A journal whose disk became full: three lines wait, and what their file holds."""
    journal = Journal(path)
    journal.write("before")
    with monkeypatch.context() as patch:
        disk = Disk(patch, room, only=path)
        for event in ALL[1:4]:
            journal.keep(event)
        disk.room = 0
        with pytest.raises(StorageFailed, match="No space left on device"):
            journal.write("refused")
    return journal, file_for(path).read_bytes()


def test_what_waits_is_read_at_once_and_written_in_order_before_the_next_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in range(0, 180, 7):
        path.unlink(missing_ok=True)
        journal, _ = filled(path, monkeypatch, room)
        assert events(path) == ALL[:4]
        assert "No space left on device. What happened since waits in" in (journal.problem or "")
        journal.write("after")
        assert journal.problem is None
        assert not file_for(path).exists()
        assert events(path) == ALL
        journal.close()


def test_wherever_a_hub_is_killed_while_it_writes_them_none_is_lost_or_doubled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, kept = filled(path, monkeypatch, 0)
    before = path.read_bytes()
    journal.close()  # which writes them
    after = path.read_bytes()
    assert len(after) > len(before)
    for size in range(len(before), len(after) + 1):
        path.write_bytes(after[:size])
        file_for(path).write_bytes(kept)
        assert events(path) == ALL[:4], f"read with {size - len(before)} bytes of them there"
        journal = Journal(path)
        journal.write("after")
        journal.close()
        assert events(path) == ALL, f"written with {size - len(before)} bytes of them there"
        assert not file_for(path).exists()


def test_wherever_a_hub_is_killed_while_it_keeps_them_what_was_kept_is_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, kept = filled(path, monkeypatch, 0)
    before = path.read_bytes()
    journal.close()
    for size in range(0, len(kept) + 1, 5):
        path.write_bytes(before)
        file_for(path).write_bytes(kept[:size])
        whole = kept[:size].count(b"\n")
        journal = Journal(path)
        assert events(path) == ALL[: max(1, whole)]
        journal.close()


def test_after_a_torn_line_that_could_not_be_taken_back_they_are_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(path)
    journal.write("before")
    with monkeypatch.context() as patch:
        Disk(patch, 20, only=path)
        patch.setattr(os, "ftruncate", lambda *_: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        for event in ALL[1:4]:
            journal.keep(event)
        assert events(path) == ALL[:4]
    journal.write("after")
    assert events(path) == ALL
    journal.close()


def test_lines_of_another_journal_of_that_name_are_not_its_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, kept = filled(path, monkeypatch, 0)
    journal.close()
    path.unlink()
    other = Journal(path)
    other.write("another")
    other.close()
    file_for(path).write_bytes(kept)
    assert events(path) == ["another"]
    Journal(path).close()
    assert events(path) == ["another"]


def test_more_than_may_wait_is_refused_output_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_lines, "MOST", 3000)
    monkeypatch.setattr(kept_lines, "_SPARED", 1000)
    journal = Journal(path)
    with monkeypatch.context() as patch:
        Disk(patch, 0, only=path)
        for _ in range(10):
            journal.keep("output", n=1, type="stream", content={})
        with pytest.raises(StorageFailed):
            journal.keep("output", n=1, type="stream", content={"text": "x" * 1000})
        journal.keep("finished")
        assert file_for(path).stat().st_size < 3500
    journal.close()


def test_what_waits_for_a_journal_that_is_removed_goes_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, kept = filled(path, monkeypatch, 0)
    journal.close()
    file_for(path).write_bytes(kept)
    forget(path)
    forget(path)
    assert not file_for(path).exists()
