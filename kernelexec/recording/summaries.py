"""What has been done in a session so far, one entry for each submission, from its journal.

Reads only the lines that are wanted: of outputs, which make up most of a journal, no more than their
beginning, and of those only errors are parsed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelexec.model.clock import Times
from kernelexec.model.execution import Kind, State, seconds_of
from kernelexec.model.first_line import first_line
from kernelexec.model.shown_errors import error_names
from kernelexec.recording.journal_index import OUTPUT_PREFIX, is_error
from kernelexec.recording.journal_lines import parsed, whole_lines

_LONGEST_NOTE = 10_000  # characters that are looked at
# Events that are of no use here and can be long: the notebook's metadata, the lists of cells.
_WANTED = ("submitted", "sent", "begun", "finished", "kernel", "died", "other", "output")


@dataclass(eq=False)
class Summary:
    """One submission, or something else that happened (then without a number)."""

    time: datetime
    text: str  # the first line of its code, or what happened
    number: int | None = None
    generation: int = 0
    kind: Kind = Kind.CODE
    label: str | None = None
    note: str | None = None  # its first line
    state: State | None = None
    error: str | None = None  # the exception's name
    seconds: float | None = None


def read_summaries(path: Path) -> list[Summary]:
    """All that happened, in order.

    Raises:
        OSError: the journal cannot be read.
    """
    found: list[Summary] = []
    by_number: dict[int, Summary] = {}
    for record in _records(path):
        _take(record, found, by_number)
    return found


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    for line in whole_lines(path, but_bulk=True):
        if line.startswith(OUTPUT_PREFIX) and not is_error(line):
            continue
        record = parsed(line)
        if record is not None and record["event"] in _WANTED:
            yield record


def _take(record: Mapping[str, Any], found: list[Summary], by_number: dict[int, Summary]) -> None:
    event, number = record["event"], record.get("n", 0)
    if event == "submitted":
        by_number[number] = _submitted(record)
        found.append(by_number[number])
    elif event == "kernel":
        # Before what it was started for, which had been submitted by then.
        place = len(found)
        while place and _waits_for_a_kernel(found[place - 1]):
            place -= 1
        found.insert(place, _happened(record, f"a new kernel was started, generation {record['generation']}"))
    elif event == "died":
        found.append(_happened(record, f"the kernel ended: {record['cause']}"))
    elif event == "other":
        code = first_line(record.get("code") or "")
        found.append(_happened(record, f"another client ran: {code}"))
    elif number in by_number:
        _change(by_number[number], record)


def _waits_for_a_kernel(summary: Summary) -> bool:
    if summary.number is None:
        return False
    is_whole = summary.kind in (Kind.REPLAY, Kind.CELLS) and summary.state is State.RUNNING  # its parts wait
    return is_whole or summary.state is State.QUEUED


def _change(summary: Summary, record: Mapping[str, Any]) -> None:
    event = record["event"]
    if event in ("sent", "begun"):
        summary.state = State.RUNNING
    elif event == "output":
        summary.error = (
            next(error_names([{"output_type": "error", **record["content"]}]), "") or summary.error
        )
    elif event == "finished":
        summary.state = State.read(record["state"])
        summary.error = record.get("error") or summary.error
        if record["started"] and record["finished"]:
            began, ended = map(datetime.fromisoformat, (record["started"], record["finished"]))
            times = Times(record.get("timing") or {})
            summary.seconds = seconds_of(times, summary.time, began, ended)  # what the reply said


def _submitted(record: Mapping[str, Any]) -> Summary:
    return Summary(
        time=datetime.fromisoformat(record["time"]),
        text=first_line(record["code"]),
        number=record["n"],
        generation=record["generation"],
        kind=Kind.read(record.get("kind", "")),
        label=record.get("source") or record.get("label"),
        note=_heading(record.get("note") or ""),
        state=State.QUEUED,
    )


def _happened(record: Mapping[str, Any], text: str) -> Summary:
    return Summary(datetime.fromisoformat(record["time"]), text)


def _heading(note: str) -> str | None:
    lines = (line.strip().lstrip("#").strip() for line in note[:_LONGEST_NOTE].splitlines())
    return next((line for line in lines if line), None)
