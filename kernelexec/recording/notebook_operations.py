"""What an assistant does to a notebook of the person's: several operations in one step, all or none. Pure.

The person may have changed the notebook meanwhile. What an operation would take away (text, a cell) has to
be what was seen of it; else it is refused with what is there now, and the person's text stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from kernelexec.errors import BadRequest
from kernelexec.model.excerpts import clip
from kernelexec.recording.looks import Look, Seen
from kernelexec.recording.notebook_text import KINDS, NotebookText, TextCell, new_cell, new_id

_SHOWN = 2_000  # characters of a cell in a refusal
_IDS_NAMED = 20


@dataclass(frozen=True)
class Operation:
    """One of them. What it does not need is left as it is here."""

    op: str
    id: str = ""
    after: str | None = None  # a cell's id; "" is the top, None the end
    source: str = ""
    old: str = ""
    new: str = ""
    kind: str = ""


@dataclass
class Step:
    """Operations being carried out on a notebook."""

    notebook: NotebookText
    look: Look  # as their author has seen it
    done: list[str] = field(default_factory=list)  # in words
    number: int = 0  # of the operation that is at hand, from 1
    last_touched: str | None = None  # the cell that it made or changed last
    _last_after: dict[str | None, str] = field(default_factory=dict)  # where several were inserted in order
    _own: set[str] = field(default_factory=set)  # cells that this step has changed itself

    def apply(self, operations: Sequence[Operation]) -> NotebookText:
        """The notebook after all of them.

        Raises:
            BadRequest: one of them cannot be done, or would undo what its author has not seen.
        """
        for self.number, operation in enumerate(operations, 1):
            work = _WORK.get(operation.op)
            if work is None:
                raise self._refused(f"is {operation.op!r}", f"There are: {', '.join(_WORK)}.")
            work(self, operation)
        return self.notebook

    # --- one of them ---------------------------------------------------------------

    def _insert(self, operation: Operation) -> None:
        kind = operation.kind or "code"
        self._check_kind(kind)
        anchor = operation.after
        if anchor:
            self._cell(anchor)
        name = new_id()
        while name in self.notebook.places:
            name = new_id()
        cell = new_cell(kind, operation.source, name, self.notebook.layout)
        self.notebook = self.notebook.with_new(self._last_after.get(anchor, anchor), cell)
        self._last_after[anchor] = self.last_touched = name
        self._own.add(name)
        where = "at the end" if anchor is None else f"after {anchor}" if anchor else "at the top"
        self.done.append(f"inserted {name} ({kind}) {where}")

    def _edit(self, operation: Operation) -> None:
        cell = self._cell(operation.id)
        found = cell.source.count(operation.old) if operation.old else int(not cell.source)
        if found != 1:
            what = _HOW_OFTEN[min(found, 2)] if operation.old else "needs `old`, as the cell is not empty"
            raise self._conflict(cell, what)
        source = cell.source.replace(operation.old, operation.new) if operation.old else operation.new
        self._put(cell.with_source(source, self.notebook.layout))
        self.done.append(f"edited {cell.id}")

    def _delete(self, operation: Operation) -> None:
        cell = self._seen(operation.id)
        self.notebook = self.notebook.with_cells(each for each in self.notebook.cells if each is not cell)
        self.done.append(f"deleted {cell.id}")

    def _move(self, operation: Operation) -> None:
        cell = self._cell(operation.id)
        if operation.after == cell.id:
            raise self._refused("would move a cell after itself")
        if operation.after:
            self._cell(operation.after)
        rest = self.notebook.with_cells(each for each in self.notebook.cells if each is not cell)
        self.notebook = rest.with_new(operation.after, cell)
        self.last_touched = cell.id
        where = "to the end" if operation.after is None else f"after {operation.after}"
        self.done.append(f"moved {cell.id} {where if operation.after != '' else 'to the top'}")

    def _convert(self, operation: Operation) -> None:
        self._check_kind(operation.kind)
        cell = self._seen(operation.id)
        if cell.kind != operation.kind:
            self._put(cell.with_kind(operation.kind, self.notebook.layout))
        self.done.append(f"converted {cell.id} to {operation.kind}")

    def _clear_outputs(self, operation: Operation) -> None:
        cell = self._cell(operation.id)
        if cell.kind == "code":
            self._put(cell.with_outputs([], None, self.notebook.layout))
        self.done.append(f"cleared the outputs of {cell.id}")

    # --- what they share -------------------------------------------------------------

    def _put(self, cell: TextCell) -> None:
        self.notebook = self.notebook.with_cell(cell)
        self.last_touched = cell.id
        self._own.add(cell.id)

    def _cell(self, cell_id: str) -> TextCell:
        cell = self.notebook.cell(cell_id)
        if cell is not None:
            return cell
        if cell_id in self.look.cells:
            raise self._refused(
                f"is about {cell_id}, which was deleted since you saw it",
                f"It said:\n{clip(self.look.cells[cell_id].source, _SHOWN, 'cut')}",
            )
        raise unknown_cell(self.notebook, cell_id, f"Nothing was changed: operation {self.number}: ")

    def _seen(self, cell_id: str) -> TextCell:
        """A cell that is as its author has seen it, or has changed it in this step."""
        cell = self._cell(cell_id)
        if cell.id not in self._own and not self.look.is_still(cell):
            what = "has changed since you saw it" if cell.id in self.look.cells else "you have not seen yet"
            raise self._conflict(cell, f"is about a cell that {what}")
        return cell

    def _check_kind(self, kind: str) -> None:
        if kind not in KINDS:
            raise self._refused(f"has kind {kind!r}", f"There are: {', '.join(KINDS)}.")

    def _conflict(self, cell: TextCell, what: str) -> BadRequest:
        seen = self.look.cells.get(cell.id)
        now = f"{cell.id} says now:\n{clip(cell.source, _SHOWN, 'read_cells has all of it')}"
        before = ""
        if seen is not None and seen.source != cell.source:
            before = f"\nYou have seen:\n{clip(seen.source, _SHOWN, 'cut')}"
        # It has been told now what is there: with that it may repeat the step.
        self.look = replace(self.look, cells={**self.look.cells, cell.id: Seen.of(cell)})
        return self._refused(what, now + before)

    def _refused(self, what: str, next_step: str = "") -> BadRequest:
        return BadRequest(f"Nothing was changed: operation {self.number} {what}.", next_step)


def unknown_cell(notebook: NotebookText, cell_id: str, before: str = "") -> BadRequest:
    """There is no such cell; says which there are."""
    names = [cell.id for cell in notebook.cells]
    more = f" and {len(names) - _IDS_NAMED:,} more (read_cells lists them)" if len(names) > _IDS_NAMED else ""
    listed = ", ".join(names[:_IDS_NAMED]) or "none"
    return BadRequest(f"{before}there is no cell {cell_id!r}.", f"Cells: {listed}{more}.")


_HOW_OFTEN = {0: "has an `old` that is not in the cell", 2: "has an `old` that is there more than once"}
_WORK: Mapping[str, Callable[[Step, Operation], None]] = {
    "insert": Step._insert,
    "edit": Step._edit,
    "delete": Step._delete,
    "move": Step._move,
    "convert": Step._convert,
    "clear_outputs": Step._clear_outputs,
}
OPERATIONS = tuple(_WORK)
