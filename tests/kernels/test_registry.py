"""The registry of running kernels, on disk."""

from __future__ import annotations

import json
import logging
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from kernelexec.kernels.registry import KernelEntry, Registry
from tests.fakes import environment

ENTRY = KernelEntry(
    kernel_id="1a2b3c4d",
    place={"directory": "/tmp/kernelexec-7/k/1a2b3c4d", "boot": "boot", "keeper_pid": 10, "kernel_pid": None},
    started="2026-11-23T10:00:00+00:00",
    generation=1,
    session_name="sales",
    storage_dir="/data/\udcff",
    kernel_dir="/data",
    project=None,
    environment=environment().to_json(),
)


def test_an_entry_is_found_by_the_next_hub(tmp_path: Path) -> None:
    Registry(tmp_path / "kernels").write(ENTRY)
    assert Registry(tmp_path / "kernels").entries() == [ENTRY]


def test_an_entry_is_written_again_when_more_is_known(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.write(ENTRY)
    known = replace(ENTRY, place={**ENTRY.place, "kernel_pid": 11}, project="/home/ann/ä")
    registry.write(known)
    assert registry.entries() == [known]
    assert [path.name for path in tmp_path.iterdir()] == ["1a2b3c4d.json"]


def test_an_entry_is_flat_as_other_programs_and_earlier_hubs_read_it(tmp_path: Path) -> None:
    Registry(tmp_path).write(ENTRY)
    written = json.loads((tmp_path / "1a2b3c4d.json").read_text())
    assert written["format"] == 1
    assert (written["directory"], written["keeper_pid"]) == (ENTRY.place["directory"], 10)
    assert (written["kernel_id"], written["session_name"]) == ("1a2b3c4d", "sales")
    assert "place" not in written


def test_a_removed_entry_is_gone_and_removing_it_again_is_no_error(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    registry.write(ENTRY)
    registry.remove(ENTRY.kernel_id)
    registry.remove(ENTRY.kernel_id)
    assert registry.entries() == []


def test_entries_are_the_users_alone(tmp_path: Path) -> None:
    Registry(tmp_path / "kernels").write(ENTRY)
    [path] = (tmp_path / "kernels").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"5",
        b"\xff",
        b'{"format": 1}',
        b'{"format": 2}',
        json.dumps({"format": 1, "unknown": 1}).encode(),
    ],
)
def test_an_entry_that_cannot_be_read_is_left_alone_and_logged(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry(tmp_path)
    (tmp_path / "0.json").write_bytes(content)
    registry.write(ENTRY)
    with caplog.at_level(logging.WARNING):
        assert registry.entries() == [ENTRY]
    assert "0.json" in caplog.text
    assert (tmp_path / "0.json").read_bytes() == content


def test_a_directory_in_place_of_an_entry_is_no_entry(tmp_path: Path) -> None:
    (tmp_path / "0.json").mkdir()
    assert Registry(tmp_path).entries() == []
