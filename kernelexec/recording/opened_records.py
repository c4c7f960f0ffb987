"""What the journals of sessions say of a notebook of the person's, which carries no marks of ours itself."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kernelexec.plain_file import open_plain
from kernelexec.recording.journal_lines import read
from kernelexec.recording.other_runs import OtherRun
from kernelexec.recording.records import journal_path, sessions_in

_EVENT = b'"notebook"'
_FIRST = 4_000_000  # bytes of a journal that are looked through at once


@dataclass
class OpenedRecords:
    """The records of a session since it works in a notebook."""

    storage_dir: Path
    journal: Path
    directory: str | None = None  # where its last kernel works, or worked
    others: dict[str, OtherRun] = field(default_factory=dict)  # by the request
    numbers: dict[str, int] = field(default_factory=dict)  # of the last run of each cell

    @property
    def other_runs(self) -> list[OtherRun]:
        return list(self.others.values())


def find_opened_records(notebook: Path, storage_dirs: Iterable[Path]) -> OpenedRecords | None:
    """Those of the session that has worked in this notebook last; None if none has."""
    real, found = os.path.realpath(notebook), []
    for storage_dir in storage_dirs:
        for session in sessions_in(storage_dir):
            journal = journal_path(storage_dir, session)
            try:
                if _may_name(journal):
                    found += [(journal.stat().st_mtime, each) for each in _read(storage_dir, journal, real)]
            except OSError:
                continue  # another user's, or just removed
    return max(found, key=lambda each: each[0])[1] if found else None


def _may_name(journal: Path) -> bool:
    """Whether any notebook was opened in it, without a look at each of its lines."""
    with open(open_plain(journal, os.O_RDONLY), "rb") as file:
        end = b""
        while block := file.read(_FIRST):
            if _EVENT in end + block:
                return True
            end = block[-len(_EVENT) :]
    return False


def _read(storage_dir: Path, journal: Path, notebook: str) -> list[OpenedRecords]:
    """One, or none if it was never opened there."""
    found: OpenedRecords | None = None
    present: Mapping[str, Any] = {}
    last = 0
    for record in read(journal):
        event = record["event"]
        if event == "kernel":
            present = record
        if event == "notebook":
            opens = os.path.realpath(record["path"]) == notebook
            found = (found or OpenedRecords(storage_dir, journal)) if opens else found
        elif found is None:
            continue
        elif event == "submitted":
            last = record["n"]
            if record.get("cell"):
                found.numbers[record["cell"]] = last
        elif event == "other" and isinstance(record.get("code"), str):
            run = OtherRun(record["code"], record.get("count"), last)
            found.others[str(record.get("msg_id"))] = run
        elif event == "other_ended" and str(record.get("msg_id")) in found.others:
            name = str(record["msg_id"])
            found.others[name] = replace(found.others[name], outputs=record.get("outputs", ()), ended=True)
    if found is None:
        return []
    found.directory = present.get("directory")
    return [found]
