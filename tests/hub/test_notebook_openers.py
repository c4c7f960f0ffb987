"""Which session's notebook each caller has opened last, also while another hub ran."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernelexec.hub.notebook_openers import NotebookOpeners


def test_the_notebook_opened_last_is_known_by_caller_and_storage_directory(tmp_path: Path) -> None:
    one = NotebookOpeners(tmp_path / "state")
    assert one.session_of("a", "/s") is None
    one.remember("a", "/s", "first@e")
    one.remember("a", "/zwölf\udcff", "other@e")
    one.remember("a", "/s", "second@e")
    for known in (one, NotebookOpeners(tmp_path / "state")):
        assert known.session_of("a", "/s") == "second@e"
        assert known.session_of("a", "/zwölf\udcff") == "other@e"
        assert known.session_of("b", "/s") is None


def test_only_the_last_ones_are_remembered(tmp_path: Path) -> None:
    openers = NotebookOpeners(tmp_path)
    for number in range(510):
        openers.remember(f"c{number}", "/s", "n@e")
    openers.remember("c15", "/s", "again@e")
    known = NotebookOpeners(tmp_path)
    assert [known.session_of(f"c{n}", "/s") for n in (9, 10, 15, 509)] == [None, "n@e", "again@e", "n@e"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": 2, "opened": [["a", "/s", "n@e"]]}', '{"format": 1}']
)
def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "opened-notebooks.json").write_text(text)
    openers = NotebookOpeners(tmp_path)
    assert openers.session_of("a", "/s") is None
    openers.remember("a", "/s", "n@e")
    assert NotebookOpeners(tmp_path).session_of("a", "/s") == "n@e"


def test_a_state_directory_that_cannot_be_written_keeps_nobody_from_working(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    openers = NotebookOpeners(tmp_path / "file")
    openers.remember("a", "/s", "n@e")
    assert openers.session_of("a", "/s") == "n@e"
