"""A large journal's index, kept beside it: the next hub passes over what was printed, and misses nothing."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernelexec.recording import journal as module
from kernelexec.recording import journal_lines
from kernelexec.recording.journal import Journal
from kernelexec.recording.journal_index import index_path
from kernelexec.recording.journal_lines import read
from kernelexec.recording.summaries import read_summaries

TIME = "2026-09-01T10:00:00+00:00"
SUBMITTED = {"generation": 1, "code": "x", "label": None, "note": None, "script": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".kernelexec" / "sales@analysis.jsonl"


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is written at each megabyte."""
    monkeypatch.setattr(module, "_INDEX_EVERY", 1_000_000)


@pytest.fixture
def read_bytes(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How much of journals was read since this was asked last."""
    size = 0

    class Counted:
        def __init__(self, file: Any) -> None:
            self._file = file

        def readline(self, limit: int) -> bytes:
            nonlocal size
            line: bytes = self._file.readline(limit)
            size += len(line)
            return line

        def __enter__(self) -> Counted:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    def asked() -> int:
        nonlocal size
        so_far, size = size, 0
        return so_far

    def opened(descriptor: int, mode: str) -> Counted:
        return Counted(builtins.open(descriptor, mode))

    monkeypatch.setattr(journal_lines, "open", opened, raising=False)
    return asked


def printed(journal: Journal, number: int, size: int, **content: Any) -> None:
    journal.keep("output", n=number, type="stream", content={"text": size * "x", **content})


def runs(journal: Journal, number: int, size: int = 100_000) -> None:
    for each in range(1, number + 1):
        journal.write("submitted", n=each, **SUBMITTED)
        printed(journal, each, size)
    list(journal.records())


def begun_anew(path: Path) -> Iterator[Mapping[str, Any]]:
    journal = Journal(path)
    try:
        yield from journal.records(with_displays=True)
    finally:
        journal.close()


def test_the_next_hub_reads_of_a_large_journal_what_happened_only(
    path: Path, read_bytes: Callable[[], int]
) -> None:
    journal = Journal(path)
    assert not list(journal.records())
    runs(journal, 50)
    journal.write("output", n=3, type="error", content={"ename": "KeyError"})
    runs(journal, 20)
    journal.close()
    whole = path.stat().st_size
    read_bytes()
    assert len([record for record in begun_anew(path) if record["event"] == "submitted"]) == 70
    assert read_bytes() < 1_200_000 < whole / 5  # what was written since the index was
    assert len(list(read(path))) == 70
    assert read_summaries(path)[2].error == "KeyError"
    assert read_bytes() < 2_400_000
    journal = Journal(path)
    assert [r["event"] for r in journal.records_of([7])].count("output") == 2  # nothing is missing
    journal.close()


def test_a_small_journal_has_no_index_beside_it(path: Path) -> None:
    journal = Journal(path)
    runs(journal, 5)
    journal.close()
    assert os.listdir(path.parent) == [path.name]


def test_a_journal_of_an_earlier_version_gets_an_index_when_it_is_first_read(path: Path) -> None:
    journal = Journal(path)
    journal.write("submitted", n=1, **SUBMITTED)
    printed(journal, 1, 2_000_000)
    journal.close()
    assert not index_path(path).exists()
    list(begun_anew(path))
    assert index_path(path).exists()
    assert index_path(path).stat().st_mode & 0o777 == 0o600


def edited(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"code":"x"', b'"code":"longer"', 1))


def older(path: Path) -> None:
    """A backup was put back, and the session went on from there."""
    lines = path.read_bytes().splitlines(keepends=True)
    other = b'{"v":1,"event":"told","n":1}\n'
    path.write_bytes(b"".join(lines[:3]) + other * 200_000)


def shorter(path: Path) -> None:
    """A power cut has taken the end."""
    os.truncate(path, 300_000)


@pytest.mark.parametrize("change", [edited, older, shorter])
def test_an_index_of_another_journal_than_this_counts_for_nothing(
    path: Path, change: Callable[[Path], None]
) -> None:
    journal = Journal(path)
    list(journal.records())
    runs(journal, 20)
    journal.close()
    change(path)
    told = [(r["event"], r["n"], r.get("code")) for r in begun_anew(path)]
    index_path(path).unlink()
    assert told == [(r["event"], r["n"], r.get("code")) for r in begun_anew(path)]


@pytest.mark.parametrize("where", [0, 70, 200, -1])
def test_a_torn_or_changed_index_counts_for_nothing(path: Path, where: int) -> None:
    journal = Journal(path)
    list(journal.records())
    runs(journal, 20)
    journal.close()
    told = list(begun_anew(path))
    whole = bytearray(index_path(path).read_bytes())
    for damaged in (whole[:where], whole[:where] + bytes([whole[where] ^ 1]) + whole[where:][1:]):
        index_path(path).write_bytes(damaged)
        assert list(begun_anew(path)) == told


@pytest.mark.timeout(20)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/etc/passwd", path)])
def test_what_is_no_file_in_the_indexs_place_is_left_and_never_waited_for(
    path: Path, make: Callable[[Path], None]
) -> None:
    path.parent.mkdir()
    make(index_path(path))
    journal = Journal(path)
    list(journal.records())
    runs(journal, 20)
    journal.close()
    assert len(list(begun_anew(path))) == 20
    assert not index_path(path).is_file() or index_path(path).is_symlink()


_LINES = st.tuples(
    st.integers(1, 4),
    st.sampled_from([10, 9_000, 400_000]),
    st.sampled_from(["submitted", "stream", "shown", "error", "torn"]),
)


def _write(journal: Journal, number: int, size: int, kind: str) -> None:
    if kind == "submitted":
        journal.write("submitted", n=number, **{**SUBMITTED, "code": size * "x"})
    elif kind == "torn":
        os.write(journal._descriptor, b'{"v":1,"event":"output",' + size * b"x" + b"\n")
    else:
        content = {"text": size * "x", **({"transient": {"display_id": "d"}} if kind == "shown" else {})}
        journal.keep("output", n=number, type=kind, content=content)


@given(st.lists(st.lists(_LINES, max_size=8), max_size=4))
@settings(max_examples=60, deadline=None)
def test_with_and_without_an_index_the_same_is_read(hubs: list[list[tuple[int, int, str]]]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "j.jsonl"
        for lines in hubs:
            journal = Journal(path)
            list(journal.records())
            for number, size, kind in lines:
                _write(journal, number, size, kind)
            journal.close()
        journal = Journal(path)
        by_index = list(journal.records(with_displays=True))
        of_each = [list(journal.records_of([number])) for number in range(1, 5)]
        everything = list(journal.records(outputs_of=None))
        journal.close()
        index_path(path).unlink(missing_ok=True)
        assert by_index == list(read(path, with_displays=True))
        assert everything == list(read(path, outputs_of=None))
        assert of_each == [[r for r in everything if r["n"] == number] for number in range(1, 5)]


def test_lines_that_another_program_wrote_anew_are_found_too(path: Path) -> None:
    journal = Journal(path)
    for n in (1, 2):
        journal.write("submitted", n=n, **SUBMITTED)
        journal.write("output", n=n, type="stream", content={"name": "stdout", "text": f"{n}\n"})
    journal.close()
    lines = [json.dumps(json.loads(line), sort_keys=True) for line in path.read_text().splitlines()]
    path.write_text("".join(line + "\n" for line in lines))
    journal = Journal(path)
    found = list(journal.records_of([2]))
    journal.close()
    assert [(each["event"], each["n"]) for each in found] == [("submitted", 2), ("output", 2)]
