"""What the person ran on a session's kernel, from the journal: the notebook need not have it any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelexec.model.shown_errors import is_error
from kernelexec.recording.history import kernels_of_notebook
from kernelexec.recording.journal_lines import read


@dataclass(frozen=True)
class OtherRun:
    """One cell of another client."""

    code: str
    count: int | None  # the kernel's
    after: int  # the last execution of ours that was submitted before it, 0 for none
    outputs: Sequence[Mapping[str, Any]] = ()
    ended: bool = False

    @property
    def succeeded(self) -> bool:
        return self.ended and not any(map(is_error, self.outputs))


def read_other_runs(path: Path, number: int) -> list[OtherRun]:
    """Those on the kernels whose cells are in one notebook, in order.

    Raises:
        OSError: the journal cannot be read.
    """
    found: dict[str, OtherRun] = {}
    kernels = kernels_of_notebook(path, number)
    present = last = 0
    for record in read(path):
        event = record["event"]
        if event == "kernel":
            present = record["generation"]
            last = last if present in kernels else 0
        elif event == "submitted" and record["generation"] in kernels:
            last = record["n"]
        elif event == "other" and present in kernels and isinstance(record.get("code"), str):
            found[str(record.get("msg_id"))] = OtherRun(record["code"], record.get("count"), last)
        elif event == "other_ended" and str(record.get("msg_id")) in found:
            name = str(record["msg_id"])
            found[name] = replace(found[name], outputs=record.get("outputs", ()), ended=True)
    return list(found.values())
