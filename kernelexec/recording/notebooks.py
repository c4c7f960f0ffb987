"""The notebooks of a session: written behind what happens, off the path of the replies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, Kind
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording.cells import cells_of, shown_outputs
from kernelexec.recording.history import load_executions
from kernelexec.recording.journal import Journal
from kernelexec.recording.ledger import Ledger
from kernelexec.recording.notebook import Notebook
from kernelexec.recording.notebook_format import MISSING, Cell, Change, Found, NewOutputs
from kernelexec.recording.records import Records
from kernelexec.recording.shared_file import NotebookBusy

_log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.1  # gathers the cells of a burst
_IDLE_SECONDS = 1.5  # without an event, after which nobody is disturbed; cells are then at most 2 s behind
_WRITING_SHARE = 20  # while the session is busy, writing takes at most a twentieth of the time
_RETRY_SECONDS = 5.0  # after a full disk
# How soon a person's save is noticed. A look is one lstat; what would tell (inotify, kqueue) is in no
# standard library and on no network file system.
_LOOK_SECONDS = 2.0


@dataclass
class _Book:
    """One generation's notebook and what is still to be written to it."""

    generation: int
    notebook: Notebook
    ledger: Ledger = field(default_factory=Ledger)
    new: list[Execution] = field(default_factory=list)
    being_written: list[Execution] = field(default_factory=list)
    changed: dict[int, Execution] = field(default_factory=dict)
    widgets: WidgetStates = field(default_factory=WidgetStates)
    widgets_changed: bool = False
    look: bool = False  # whether all that was written is still there

    @property
    def is_due(self) -> bool:
        return bool(self.new or self.changed or self.look or (self.widgets_changed and self.ledger))


class Notebooks:
    """Writes the notebooks of one session. To be used on the event loop; files are written in threads."""

    def __init__(self, session: str, storage_dir: Path, journal: Journal) -> None:
        self.problem: str | None = None  # why the notebook is not current
        self.set_aside: list[str] = []  # names of unreadable notebooks that nobody was told of
        self._session = session
        self._storage_dir = storage_dir
        self._journal = journal
        self._books: dict[int, _Book] = {}  # by generation
        self._early: list[Execution] = []  # of generations that have not begun
        self._touched = self._wanted = 0.0  # when something happened last; what is due since when
        self._pause_until = self._written = self._took = 0.0
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._look_handle: asyncio.TimerHandle | None = None

    def path(self, generation: int) -> Path:
        return Records(self._storage_dir, self._session, generation).notebook

    # --- what is to be written -------------------------------------------------

    def begin(self, generation: int, metadata: Mapping[str, Any]) -> None:
        """The cells of this generation go to a notebook of its own, which gets this metadata."""
        self._books[generation] = _Book(generation, Notebook(self.path(generation), dict(metadata)))
        early, self._early = self._early, []
        for execution in early:
            self.add(execution)

    def restore(self, ledgers: Mapping[int, Ledger]) -> None:
        """What earlier hubs have written. Notebooks that were changed since are looked at: whoever saved
        them may not have seen all of it."""
        for generation, ledger in ledgers.items():
            book = self._book(generation)
            book.ledger = ledger
            book.look = book.notebook.was_changed_after(ledger.written)
        if self._due():
            self._write_soon()
        elif ledgers:
            self._look_later()

    def add(self, execution: Execution) -> None:
        """The execution's cell is to be written, if it is not there already."""
        if execution.kind is not Kind.CODE and execution.generation not in self._books:
            self._early.append(execution)
            return
        self._book(execution.generation).new.append(execution)
        self._write_soon()

    def change(self, execution: Execution) -> None:
        """The execution has other outputs than its cell.

        Raises:
            StorageFailed: a hub that comes after this one will not know it.
        """
        book = self._book(execution.generation)
        if execution in book.new or execution.number in book.changed:
            return
        book.changed[execution.number] = execution
        self._write_soon()
        self._journal.write("outdated", n=execution.number)

    def show_widgets(self, generation: int, widgets: WidgetStates) -> None:
        """The notebook's metadata has the state of these."""
        self._book(generation).widgets = widgets

    def widgets_changed(self, generation: int) -> None:
        """Their state is to be written, with a cell of that notebook at the earliest."""
        book = self._book(generation)
        book.widgets_changed = True
        if book.is_due:
            self._write_soon()

    def touch(self) -> None:
        """The session is not idle."""
        self._touched = time.monotonic()

    def is_written(self, execution: Execution) -> bool:
        """Whether all of a finished execution is on disk, so that memory need not hold it."""
        book = self._books.get(execution.generation)
        if book is None:
            return execution not in self._early
        waiting = execution in (*book.new, *book.being_written) or execution.number in book.changed
        return not waiting

    async def flush(self) -> None:
        """Write now; what cannot be written now is tried again later."""
        self._hurry.set()
        if self._due():
            self._write_soon()
        if self._writer is not None:
            await self._writer
        self._hurry.clear()
        if self._due():
            self._write_soon()

    def close(self) -> None:
        if self._look_handle is not None:
            self._look_handle.cancel()
        if self._writer is not None:
            self._writer.cancel()

    def _book(self, generation: int) -> _Book:
        if generation not in self._books:  # its metadata was lost with a part of the journal
            self._books[generation] = _Book(generation, Notebook(self.path(generation), {}))
        return self._books[generation]

    def _due(self) -> list[_Book]:
        return [
            self._books[generation] for generation in sorted(self._books) if self._books[generation].is_due
        ]

    # --- when --------------------------------------------------------------------

    def _write_soon(self) -> None:
        if self._writer is None or self._writer.done():
            self._wanted = time.monotonic()
            self._writer = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while books := self._due():
            await self._until_due()
            began = time.monotonic()
            try:
                for book in books:
                    await self._write(book)
                self.problem = None
                self._pause_until = 0.0
            except NotebookBusy as busy:
                self._pause_until = time.monotonic() + busy.retry_after
            except Exception as error:  # noqa: BLE001 - without the writer no cell would ever follow
                if self.problem is None:
                    _log.exception("the notebook of %s cannot be written", self._session)
                self.problem = str(error) or repr(error)
                if self._hurry.is_set():
                    return  # the journal has it; the next hub writes it
                self._pause_until = time.monotonic() + _RETRY_SECONDS
            self._written = self._wanted = time.monotonic()
            self._took = self._written - began
        self._look_later()

    async def _until_due(self) -> None:
        while (seconds := self._seconds_left()) > 0:
            try:
                await asyncio.wait_for(self._hurry.wait(), seconds)
            except (asyncio.TimeoutError, TimeoutError):
                continue
            # Hurrying, but JupyterLab may be saving: its own short pause is kept.
            await asyncio.sleep(min(seconds, _GATHER_SECONDS))
            return

    def _seconds_left(self) -> float:
        """Until the next write."""
        share = self._written + self._took * _WRITING_SHARE
        idle = self._touched + _IDLE_SECONDS
        due = max(self._wanted + _GATHER_SECONDS, min(share, idle), self._pause_until)
        return due - time.monotonic()

    def _look_later(self) -> None:
        if self._look_handle is not None:
            self._look_handle.cancel()
        self._look_handle = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Whether somebody else has saved a notebook, and lost cells of ours that he had not seen."""
        for book in self._books.values():
            if book.ledger and not book.notebook.is_as_left:
                book.look = True
        if self._due():
            self._write_soon()
        else:
            self._look_later()

    # --- one write -----------------------------------------------------------------

    async def _write(self, book: _Book) -> None:
        if not self._journal.is_in_place:
            raise StorageFailed(f"{self._storage_dir} was moved or replaced; nothing is written there.")
        # Taken out before the write: what changes during it is a new change.
        new, changed = book.new, book.changed
        book.new, book.changed, book.being_written = [], {}, [*new, *changed.values()]
        # One that an earlier hub ran may be there twice, and is newer where it was changed.
        widgets_changed, book.widgets_changed = book.widgets_changed, False
        update = _Update(
            self, book, [changed.get(each.number, each) for each in new], changed, widgets_changed
        )
        try:
            written = await asyncio.to_thread(book.notebook.write, update, bool(new))
        except BaseException:  # cancelled, too: it may or may not be written
            book.new, book.changed = [*new, *book.new], {**changed, **book.changed}
            book.widgets_changed |= widgets_changed
            raise
        finally:
            book.being_written = []
        book.look = False
        if written.set_aside is not None:
            _log.warning("a notebook that cannot be read was set aside: %s", written.set_aside)
            self._journal.write("set_aside", file=written.set_aside.name)
            self.set_aside.append(written.set_aside.name)
        self._enter(book, update)

    def _enter(self, book: _Book, update: _Update) -> None:
        if not (update.added or update.changed):
            return
        book.ledger.write(update.revision, update.added, update.changed)
        self._journal.write(
            "written",
            generation=book.generation,
            revision=update.revision,
            numbers=update.added,
            changed=update.changed,
        )
        for number in book.changed:  # changed again meanwhile: what was just said is not true of it
            self._journal.write("outdated", n=number)

    def take_set_aside(self) -> list[str]:
        """What unreadable notebooks are called now; told once."""
        names, self.set_aside = self.set_aside, []
        if names:
            with suppress(StorageFailed):  # then the next hub tells it once more
                self._journal.write("told_set_aside")
        return names

    def load(self, numbers: Iterable[int]) -> dict[int, Execution]:
        """Executions of the past, with their outputs."""
        return load_executions(self._journal, self._session, self._storage_dir, numbers)


class _Update:
    """What one write is to do, decided when the notebook that is there is known; called in a thread.

    The cells are made before, on the event loop: outputs may come while a thread would read them.
    """

    def __init__(
        self,
        notebooks: Notebooks,
        book: _Book,
        new: list[Execution],
        changed: Mapping[int, Execution],
        widgets_changed: bool,
    ) -> None:
        self._notebooks = notebooks
        self._ledger = book.ledger
        self._storage_dir = notebooks._storage_dir
        self._new = {execution.number: self._cells(execution) for execution in new}
        self._changed = {execution.cell_id: _new_outputs(execution) for execution in changed.values()}
        self._changed_numbers = list(changed)
        self._widgets = book.widgets.to_metadata()
        self._widgets_changed = widgets_changed
        self.revision = 0
        self.added: list[int] = []
        self.changed: list[int] = []

    def __call__(self, found: Found) -> Change:
        self.added, self.changed = list(self._new), list(self._changed_numbers)
        cells, outputs = dict(self._new), dict(self._changed)
        self.revision = max(self._ledger.revision, found.revision or 0) + 1
        if found.ids is not None:
            cells, outputs = self._merge(found, found.ids)
        new = [cell for made in cells.values() for cell in made]
        change = Change(new, outputs, self._marks(), self._widgets_changed and found != MISSING)
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
        again = self._notebooks.load([*lost, *older]) if lost or older else {}
        self.added += [number for number in lost if number in again]
        self.changed += [number for number in older if number in again]
        outputs = {again[n].cell_id: _new_outputs(again[n]) for n in older if n in again}
        return {
            **{number: self._cells(again[number]) for number in lost if number in again},
            **cells,
        }, {**outputs, **self._changed}

    def _cells(self, execution: Execution) -> list[dict[str, Any]]:
        return cells_of(execution, self._storage_dir)

    def _marks(self) -> dict[str, Any]:
        marks: dict[str, Any] = {"kernelexec": {"revision": self.revision}}
        return {**marks, "widgets": self._widgets} if self._widgets else marks


def _is_ours(name: list[str]) -> bool:
    return len(name) == 2 and name[0] == "kernelexec" and name[1].isdecimal() and len(name[1]) < 20


def _new_outputs(execution: Execution) -> NewOutputs:
    outputs: list[Cell] = list(shown_outputs(execution))
    return NewOutputs(outputs, execution.execution_count)
