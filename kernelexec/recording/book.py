"""One notebook as the recorder sees it: what is in it, and what one write adds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.model.execution import Execution, State
from kernelexec.model.widgets import WidgetStates, notebook_metadata
from kernelexec.recording.cells import cells_of
from kernelexec.recording.ledger import Ledger
from kernelexec.recording.notebook import Notebook
from kernelexec.recording.notebook_format import MISSING, Change, Found, NewOutputs
from kernelexec.recording.trust import Trust


@dataclass
class Book:
    """A notebook and what is still to be written to it."""

    number: int  # the generation of the first kernel whose cells are in it
    notebook: Notebook
    ledger: Ledger = field(default_factory=Ledger)
    new: list[Execution] = field(default_factory=list)
    being_written: list[Execution] = field(default_factory=list)
    changed: dict[int, Execution] = field(default_factory=dict)
    headings: dict[int, dict[str, Any]] = field(default_factory=dict)  # by generation, of the later kernels
    directory: str | None = None  # where the last kernel works
    widgets: dict[int, WidgetStates] = field(default_factory=dict)  # by generation
    widgets_changed: bool = False
    look: bool = False  # whether all that was written is still there
    trust: Trust = field(init=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # of who writes it

    def __post_init__(self) -> None:
        self.trust = Trust(self.notebook.path)

    @property
    def is_due(self) -> bool:
        return bool(self.new or self.changed or self.look or (self.widgets_changed and self.ledger))

    def enter(self, update: Update) -> dict[str, Any]:
        """The update was written; what the journal is to say of it."""
        began = {generation: number for generation, number in update.began.items() if number in update.added}
        self.ledger.write(update.revision, update.added, update.changed)
        self.ledger.began.update(began)
        return {
            "generation": self.number,
            "revision": update.revision,
            "numbers": update.added,
            "changed": update.changed,
            **({"began": list(began.items())} if began else {}),
            **({} if self.trust.good is None else {"trusted": list(self.trust.good)}),
        }


@dataclass(frozen=True)
class Changes:
    """What one write brings: new executions, those with other outputs, and whether widgets changed."""

    new: Sequence[Execution]
    changed: Mapping[int, Execution]
    widgets: bool


class Update:
    """What one write is to do, decided when the notebook that is there is known; called in a thread.

    The cells are made before, on the event loop: outputs may come while a thread would read them.
    """

    def __init__(
        self,
        book: Book,
        changes: Changes,
        storage_dir: Path,
        load: Callable[[Iterable[int]], Mapping[int, Execution]],
    ) -> None:
        self._load = load
        self._ledger = book.ledger
        self._storage_dir = storage_dir
        self._headings = book.headings
        self._directory = {} if book.directory is None else {"directory": book.directory}
        self.began = _first_of_each(changes.new, book)
        self._new = {execution.number: self._cells(execution) for execution in changes.new}
        self._changed = {each.cell_id: _new_outputs(self._cells(each)) for each in changes.changed.values()}
        self._changed_numbers = list(changes.changed)
        self._withdrawn = _texts(each for each in changes.changed.values() if each.state is State.NOT_RUN)
        self._widgets = notebook_metadata(book.widgets.values())
        self._widgets_changed = changes.widgets
        self.revision = 0
        self.added: list[int] = []
        self.changed: list[int] = []

    @property
    def shows(self) -> bool:
        """Whether cells get more than printed text."""
        made = [cell.get("outputs", ()) for cells in self._new.values() for cell in cells]
        outputs = [*made, *(new.outputs for new in self._changed.values())]
        return any("data" in output for each in outputs for output in each)

    def __call__(self, found: Found) -> Change:
        self.added, self.changed = list(self._new), list(self._changed_numbers)
        cells, outputs = dict(self._new), dict(self._changed)
        self.revision = max(self._ledger.revision, found.revision or 0) + 1
        if found.ids is not None:
            cells, outputs = self._merge(found, found.ids)
        new = [cell for made in cells.values() for cell in made]
        only_metadata = self._widgets_changed and found != MISSING
        change = Change(new, outputs, self._marks(), only_metadata, self._withdrawn)
        if change.is_empty and found.revision is not None:
            self.revision = found.revision  # what is new to the journal stands in this one
        return change

    def _merge(
        self, found: Found, ids: frozenset[str]
    ) -> tuple[dict[int, list[dict[str, Any]]], dict[str, NewOutputs]]:
        """What is to be added and changed in a notebook that somebody else has written."""
        present = {int(name[1]) for name in (cell.split("-", 1) for cell in ids) if _is_ours(name)}
        cells = {number: made for number, made in self._new.items() if number not in present}
        if found == MISSING:
            return cells, {}  # it was deleted, or is made for the first time
        lost, older = self._ledger.unseen(found.revision, present)
        again = self._load([*lost, *older]) if lost or older else {}
        self.added += [number for number in lost if number in again]
        self.changed += [number for number in older if number in again]
        outputs = {again[n].cell_id: _new_outputs(self._cells(again[n])) for n in older if n in again}
        # Whoever was told of these ended before saying that they are there, perhaps as their runs began.
        there = [made for number, made in self._new.items() if number in present]
        outputs.update((made[-1]["id"], _new_outputs(made)) for made in there)
        return {
            **{number: self._cells(again[number]) for number in lost if number in again},
            **cells,
        }, {**outputs, **self._changed}

    def _cells(self, execution: Execution) -> list[dict[str, Any]]:
        heading = self._headings.get(execution.generation)
        first = {**self._ledger.began, **self.began}.get(execution.generation)
        above = [] if heading is None or first != execution.number else [heading]
        return [*above, *cells_of(execution, self._storage_dir)]

    def _marks(self) -> dict[str, Any]:
        marks: dict[str, Any] = {"kernelexec": {"revision": self.revision, **self._directory}}
        return {**marks, "widgets": self._widgets} if self._widgets else marks


def _first_of_each(new: Sequence[Execution], book: Book) -> dict[int, int]:
    """The first execution of each later kernel that had none in the notebook, by generation."""
    first: dict[int, int] = {}
    for execution in new:
        if execution.generation in book.headings and execution.generation not in book.ledger.began:
            first.setdefault(execution.generation, execution.number)
    return first


def _texts(executions: Iterable[Execution]) -> dict[str, str]:
    """What the cells of these say, by id."""
    texts: dict[str, str] = {}
    for each in executions:
        texts |= {each.cell_id: each.code, f"{each.cell_id}-note": each.note or ""}
    return texts


def _is_ours(name: list[str]) -> bool:
    return len(name) == 2 and name[0] == "kernelexec" and name[1].isdecimal() and len(name[1]) < 20


def _new_outputs(made: Sequence[Mapping[str, Any]]) -> NewOutputs:
    """What the cells of an execution show."""
    cell = made[-1]  # a note comes before
    return NewOutputs(cell.get("outputs", ()), cell.get("execution_count"), cell["metadata"])
