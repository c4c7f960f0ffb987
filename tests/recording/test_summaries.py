"""What has been done in a session, from its journal."""

from __future__ import annotations

import json
from pathlib import Path

from kernelexec.model.execution import State
from kernelexec.recording.summaries import read_summaries

TIME = "2026-11-23T10:00:00+00:00"
SUBMITTED = {"v": 1, "event": "submitted", "n": 1, "generation": 1, "code": "x = 1", "label": None}
SUBMITTED |= {"note": None, "script": None, "time": TIME}
FINISHED = {"v": 1, "event": "finished", "n": 1, "state": "ok", "problem": None, "execution_count": 1}
FINISHED |= {"started": TIME, "finished": TIME, "timing": {}, "overflow": None, "time": TIME}


def journal(folder: Path, *lines: str) -> Path:
    path = folder / "sales@analysis.jsonl"
    path.write_text("".join(lines))
    return path


def line(record: dict[str, object], **changes: object) -> str:
    return json.dumps({**record, **changes}, separators=(",", ":")) + "\n"


def without(record: dict[str, object], field: str) -> str:
    return line({name: value for name, value in record.items() if name != field})


def test_what_was_submitted_is_told_with_its_end(tmp_path: Path) -> None:
    [summary] = read_summaries(journal(tmp_path, line(SUBMITTED), line(FINISHED)))
    assert (summary.number, summary.text, summary.state) == (1, "x = 1", State.OK)


def test_a_note_is_told_by_its_first_line(tmp_path: Path) -> None:
    noted = line(SUBMITTED, note="\n## Load the data\nfrom the survey")
    [summary] = read_summaries(journal(tmp_path, noted))
    assert summary.note == "Load the data"


def test_a_line_that_was_changed_by_hand_or_torn_is_passed_over(tmp_path: Path) -> None:
    changed = [without(SUBMITTED, "code"), without(FINISHED, "state"), line(FINISHED, v=2), "[1]\n", "x\n"]
    torn = line(FINISHED)[:-1]
    [summary] = read_summaries(journal(tmp_path, *changed, line(SUBMITTED), torn))
    assert (summary.number, summary.state) == (1, State.QUEUED)
