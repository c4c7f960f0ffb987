"""What waits to be looked at: in order, most of it in a file, whatever becomes of that."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from kernelexec.kernels.reservoir import IN_MEMORY, Reservoir


@pytest.fixture
def reservoir(tmp_path: Path) -> Iterator[Reservoir]:
    made = Reservoir(tmp_path)
    yield made
    made.close()


def message(number: int, size: int = 1_000_000) -> list[bytes | memoryview]:
    return [b"%d" % number, b"", memoryview(bytes([number % 256]) * size)]


def taken(reservoir: Reservoir) -> list[int]:
    numbers = []
    while (frames := reservoir.take()) is not None:
        assert frames[1] == b""
        assert frames[2] == message(int(bytes(frames[0])), len(frames[2]))[2]
        numbers.append(int(bytes(frames[0])))
    return numbers


def in_file(reservoir: Reservoir) -> int:
    """Bytes of it, which has no name."""
    sizes = [
        os.fstat(int(link.name)).st_size
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and "(deleted)" in os.readlink(link)
    ]
    return max(sizes, default=0)


def test_messages_come_in_their_order_and_most_of_them_are_in_a_file(
    reservoir: Reservoir, tmp_path: Path
) -> None:
    for number in range(40):
        reservoir.add(message(number))
    assert in_file(reservoir) >= 40_000_000 - IN_MEMORY
    assert not list(tmp_path.iterdir())  # whoever ends leaves nothing
    assert taken(reservoir) == list(range(40))
    assert not reservoir
    assert in_file(reservoir) == 0


def test_messages_come_in_their_order_while_others_are_added(reservoir: Reservoir) -> None:
    numbers, added = [], 0
    for _ in range(60):
        for _ in range(2):
            reservoir.add(message(added, 300_000))
            added += 1
        frames = reservoir.take()
        assert frames is not None
        numbers.append(int(bytes(frames[0])))
    assert numbers + taken(reservoir) == list(range(120))


def test_without_room_on_the_disk_nothing_is_lost_and_no_more_is_wanted(reservoir: Reservoir) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_500_000, before[1]))  # a write that fails half-way, too
    try:
        for number in range(20):
            assert reservoir.is_full == (number > 10)
            reservoir.add(message(number))
        assert taken(reservoir) == list(range(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not reservoir.is_full
    for number in range(20):
        reservoir.add(message(number))
    assert not reservoir.is_full  # there is room again
    assert taken(reservoir) == list(range(20))


def test_where_its_folder_is_gone_messages_stay_in_memory(tmp_path: Path) -> None:
    reservoir = Reservoir(tmp_path / "gone")
    for number in range(20):
        reservoir.add(message(number))
    assert reservoir.is_full
    assert taken(reservoir) == list(range(20))


def test_what_cannot_be_read_any_more_is_left_out_and_the_rest_comes(
    reservoir: Reservoir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        reservoir.add(message(number))
    monkeypatch.setattr(os, "pread", lambda *_: b"")
    found = taken(reservoir)
    assert found == list(range(len(found)))
    assert 5 < len(found) < 8  # those in memory
    assert "cannot be read any more" in caplog.text
    monkeypatch.undo()
    for number in range(20):
        reservoir.add(message(number))
    assert taken(reservoir) == list(range(20))
