"""Whether a working directory that is gone is seen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.kernelspecs.test_live_kernel import load


def test_a_working_directory_that_is_gone_is_seen_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = load("kernel", "working_directory").lost_directory
    folder = tmp_path / "a\nfolder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert look() is None
    folder.rmdir()
    name = str(folder) if sys.platform == "linux" else None
    assert look() == {"path": name, "another": False}
    folder.mkdir()
    assert look() == {"path": name, "another": name is not None}
    monkeypatch.chdir(folder)
    assert look() is None
