"""A notebook made from the journal: the one that the recorder would have written."""

from __future__ import annotations

from dataclasses import dataclass

from kernelexec.errors import BadRequest
from kernelexec.model.execution import State
from kernelexec.model.outputs import JSON
from kernelexec.recording.cells import cells_of, heading_of
from kernelexec.recording.history import PastNotebook, load_notebook
from kernelexec.recording.journal import is_taken, storage_failed
from kernelexec.recording.notebook_format import Change, Document, new_document
from kernelexec.recording.records import Records


@dataclass(frozen=True)
class Rebuilt:
    """A notebook, and what of its kernels' work is not in it."""

    document: Document
    executions: int  # whose cells it has
    running: int  # not ended yet: their cells follow when they are
    not_run: int
    waiting: int  # ended, and left to the hub, which is about to add them


def rebuild(records: Records, *, in_place: bool) -> Rebuilt:
    """The notebook of these records.

    In place, where the hub that has the session open goes on adding cells, it has only those that the hub
    knows to be written, for the others are still to come.

    Raises:
        BadRequest: the journal has no such notebook.
        StorageFailed: it cannot be read.
    """
    taken = is_taken(records.journal)
    try:
        past = load_notebook(records.journal, records.session, records.storage_dir, records.generation)
    except OSError as error:
        raise storage_failed(records.journal, error) from error
    if past is None:
        raise BadRequest(
            f"The journal {records.journal} has no notebook {records.generation} of {records.session}.",
            "A notebook has the number of its first kernel; the session's kernels are numbered from 1.",
        )
    if not taken:
        _end_unfinished(past)
    ended = [e for e in past.executions if e.is_final and e.state is not State.NOT_RUN]
    shown = [e for e in ended if e.number in past.written] if in_place and taken else ended
    cells: list[dict[str, JSON]] = []
    later = dict(past.later)
    for execution in shown:
        if execution.generation in later:
            cells.append(heading_of(execution.generation, later.pop(execution.generation)))
        cells += cells_of(execution, records.storage_dir)
    return Rebuilt(
        new_document(past.metadata).changed(Change(cells, metadata=past.marks)),
        executions=len(shown),
        running=sum(not e.is_final for e in past.executions),
        not_run=sum(e.state is State.NOT_RUN for e in past.executions),
        waiting=len(ended) - len(shown),
    )


def _end_unfinished(past: PastNotebook) -> None:
    """Without a hub nobody will see how these end; the next hub would say the same of them."""
    for execution in past.executions:
        if not execution.is_final:
            execution.state = State.NOT_RUN if execution.state is State.QUEUED else State.UNKNOWN
