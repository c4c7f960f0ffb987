"""Journals with lines that another version wrote, or that somebody changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kernelexec.model.execution import Kind, State
from kernelexec.model.limits import Limits
from kernelexec.recording.history import (
    load_execution,
    load_notebook,
    read_directory,
    read_history,
    unwritten_numbers,
)
from kernelexec.recording.journal import Journal
from kernelexec.recording.journal_lines import first_record, last_opened, parsed
from kernelexec.recording.other_runs import read_other_runs
from kernelexec.recording.replayable import read_runs
from kernelexec.recording.summaries import read_summaries
from kernelexec.session.journal_events import read_past

SESSION = "sales@analysis"
DATE = "2026-11-23T10:00:00+00:00"
METADATA = {"kernelexec": {"generation": 1, "directory": "/d"}, "kernelspec": {}, "language_info": {}}
LIMITS = {"cell": 1_000, "run": 2_000}
OVERFLOW = {"file": "f", "size": 1, "left_out": 0, "tail": "t", "characters": 1}
ENDED: dict[str, Any] = {
    "state": "ok",
    "problem": None,
    "error": "E",
    "execution_count": 1,
    "started": DATE,
    "finished": DATE,
    "timing": {"a": DATE},
    "overflow": OVERFLOW,
}
# One line of each kind, with all that it may have.
LINES: list[dict[str, Any]] = [
    {"event": "opened", "session": SESSION, "project": "/p", "environment": "/e", "described": {}, "hub": 1},
    {"event": "caller", "caller": "ann", "client": "claude", "directory": "/p"},
    {
        "event": "kernel",
        "generation": 1,
        "interpreter": "/p",
        "directory": "/d",
        "kernel_id": "k",
        "notebook": 1,
        "notebook_metadata": METADATA,
    },
    {
        "event": "submitted",
        "n": 1,
        "generation": 1,
        "kind": "code",
        "script": f"{SESSION}-1/0001.py",
        "label": "a",
        "source": "a.py",
        "note": "# b",
        "code": "x",
        "caller": "ann",
        "cell": "c",
        "after": "",
        "request": "7",
        "max_seconds": 1.5,
        "limits": LIMITS,
    },
    {"event": "sent", "n": 1, "msg_id": "m_1"},
    {"event": "output", "n": 1, "type": "stream", "content": {"name": "stdout", "text": "x"}, "s": 3},
    {
        "event": "output",
        "n": 1,
        "type": "display_data",
        "content": {"data": {"text/plain": "d"}, "metadata": {}, "transient": {"display_id": "i"}},
        "s": 4,
    },
    {"event": "overflow", "n": 1, "overflow": OVERFLOW},
    {"event": "interrupt_asked", "n": 1, "why": "Enough."},
    {"event": "finished", "n": 1, **ENDED},
    {"event": "outdated", "n": 1},
    {
        "event": "written",
        "generation": 1,
        "revision": 1,
        "numbers": [1],
        "changed": [1],
        "began": [[1, 1]],
        "trusted": [1, 2, 3],
    },
    {
        "event": "comm",
        "content": {"comm_id": "w", "data": {"state": {}}},
        "buffers": [],
        "parent": "m_1",
        "s": 5,
    },
    {"event": "captured", "comm": "w", "type": "stream", "content": {}, "parent": "m_1"},
    {"event": "other", "msg_id": "o", "client": "lab", "count": 3, "code": "y"},
    {"event": "other_ended", "msg_id": "o", "outputs": [], "left_out": 0},
    {"event": "told", "caller": "ann", "generation": 1, "introduced": True},
    {"event": "reply_lost", "caller": "ann", "n": 1, "why": "cancelled"},
    {"event": "set_aside", "file": "f"},
    {
        "event": "died",
        "generation": 1,
        "cause": "it is gone",
        "names": ["x"],
        "number": 1,
        "begun": "m_1",
        "by": "ann",
    },
    {"event": "notebook", "path": "/n.ipynb", "by": "ann"},
    {
        "event": "submitted",
        "n": 2,
        "generation": 1,
        "kind": "replay",
        "script": None,
        "label": None,
        "note": None,
        "code": "",
    },
    {"event": "begun", "n": 2, "numbers": [1]},
    {
        "event": "submitted",
        "n": 3,
        "generation": 1,
        "script": None,
        "label": None,
        "note": None,
        "code": "x",
        "within": 2,
    },
    {"event": "sent", "n": 3, "msg_id": "m_3"},
    {"event": "aborted", "n": 3},
    {"event": "adopted", "generation": 1},
]
VALUES: list[Any] = [None, True, -1, 1.5, "later", [], ["later"], {"later": 1}]


def line_of(record: dict[str, Any]) -> str:
    return json.dumps({"v": 1, "time": DATE, **record}) + "\n"


def changed(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The line with each of its fields missing or another, one at a time; also one level further down."""
    whole = {"time": DATE, **record}
    for name, value in whole.items():
        if name != "event":
            yield from ({**whole, name: other} for other in VALUES)
            yield {key: kept for key, kept in whole.items() if key != name}
        if isinstance(value, dict):
            yield {**whole, name: {**value, "later": {"a": 1}}}
            for inner in value:
                yield from ({**whole, name: {**value, inner: other}} for other in VALUES)
                yield {**whole, name: {key: kept for key, kept in value.items() if key != inner}}


def read_by_all(path: Path) -> None:
    """Whoever reads journals reads this one."""
    journal = Journal(path)
    try:
        read_past(journal, SESSION, path.parent)
        read_history(journal, SESSION, path.parent)
        for number in range(1, 4):
            load_execution(journal, SESSION, path.parent, number)
        read_runs(journal)
    finally:
        journal.close()
    load_notebook(path, SESSION, path.parent, 1)
    read_summaries(path)
    read_directory(path, 1)
    unwritten_numbers(path, 1)
    read_other_runs(path, 1)
    first_record(path)
    last_opened(path)


def test_the_lines_of_this_test_are_all_understood() -> None:
    assert all(parsed(line_of(record).encode()) is not None for record in LINES)


@pytest.mark.parametrize("place", range(len(LINES)), ids=[f"{n}-{r['event']}" for n, r in enumerate(LINES)])
def test_no_line_costs_a_session_its_past(tmp_path: Path, place: int) -> None:
    path = tmp_path / "sales@analysis.jsonl"
    for n, record in enumerate(changed(LINES[place])):
        lines = [line_of(each) for each in LINES]
        lines[place] = json.dumps({"v": 1, **record}) + "\n"
        path.write_text("".join(lines))
        try:
            read_by_all(path)
        except Exception as error:
            error.add_note(f"change {n}: {lines[place]}")
            raise
    path.write_text("".join(line_of(record) for at, record in enumerate(LINES) if at != place))
    read_by_all(path)


def test_what_only_a_later_version_knows_is_read_as_what_comes_nearest(tmp_path: Path) -> None:
    path = tmp_path / "sales@analysis.jsonl"
    submitted = {**LINES[3], "kind": "later", "limits": {"cell": 7, "later": {}}}
    finished = {**LINES[9], "state": "later", "overflow": {**OVERFLOW, "later": {}}}
    unknown = {"event": "submitted", "n": 9, "code": {"later": "x"}}
    lines = [
        LINES[2],
        submitted,
        finished,
        {"event": "later", "n": 1},
        unknown,
        {"event": "sent", "n": 9, "msg_id": "m_9"},
    ]
    path.write_text("".join(map(line_of, lines)))
    journal = Journal(path)
    try:
        past = read_past(journal, SESSION, tmp_path)
        execution = load_execution(journal, SESSION, tmp_path, 1)
    finally:
        journal.close()
    assert execution is not None
    assert execution.state is State.UNKNOWN
    assert execution.kind is Kind.CODE
    assert execution.overflow is not None
    assert past.history.limits == Limits(cell=7)
    assert past.history.last_number == 9, "its number is not given again"
    assert past.history.unfinished == []
    assert [summary.state for summary in read_summaries(path)][-1] is State.UNKNOWN


def test_of_lines_of_a_later_format_it_is_known_that_they_are_there(tmp_path: Path) -> None:
    path = tmp_path / "sales@analysis.jsonl"
    later = [
        {**LINES[3], "v": 2, "n": 7},
        {"v": 2, "event": "kernel", "generation": 5},
        {"v": 3, "event": [], "n": "seven", "generation": None},
        {"v": "2", "event": "submitted", "n": 90},
    ]
    path.write_text("".join([line_of(LINES[2]), *(json.dumps(line) + "\n" for line in later)]))
    read_by_all(path)
    journal = Journal(path)
    try:
        history = read_past(journal, SESSION, tmp_path).history
    finally:
        journal.close()
    assert history.later == 3
    assert (history.last_number, history.generation) == (7, 5), "they are not given again"
    path.write_text("".join(json.dumps({"v": 2, "text": "x" * 1_000}) + "\n" for _ in range(2_000)))
    Journal(path).close()  # a journal, though not one line of it is understood
