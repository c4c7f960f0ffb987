"""What is run in a person's notebook, brought into its cells as it comes, off the path of replies.

The same to a recorder as `notebooks.Notebooks`, but the notebook is one, whichever kernel runs, and the
person's: an execution goes to the cell that it was of, a new one gets a cell of its own, nothing else is
touched. What the person ran or deleted meanwhile stays so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernelexec.errors import BadRequest, NotFound, StorageFailed
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording.cell_place import CellPlace
from kernelexec.recording.cells import shown_outputs
from kernelexec.recording.journal import Journal
from kernelexec.recording.kept_looks import KeptLooks
from kernelexec.recording.ledger import Ledger
from kernelexec.recording.notebook_format import Cell
from kernelexec.recording.notebook_text import NotebookText, TextCell, new_cell, new_id
from kernelexec.recording.opened_page import Marks
from kernelexec.recording.opened_place import OpenedPlace
from kernelexec.recording.pages import Page, Pages

_log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.05  # gathers the cells of a burst; who looks at the page waits for them
_FILE_SECONDS = 2.0  # between two writes of what goes on, where no page shows it: each is a new file
_WRITING_SHARE = 20  # writing takes at most a twentieth of the time, while something runs
_REMEMBERED = 1_000  # ended executions that may still print
_RETRY_SECONDS = 5.0  # after a full disk, or what is no notebook any more


@dataclass(frozen=True)
class _Ready:
    """An execution's part of a write. The outputs are taken on the event loop: more may come meanwhile."""

    execution: Execution
    place: CellPlace
    outputs: list[Cell]
    is_first: bool  # else its cell has all outputs of it already
    is_live: bool = False  # it goes on
    is_waiting: bool = False  # it has not begun
    page: Page | None = None  # where it is shown

    @property
    def count(self) -> int | None:
        """What its cell says: one with a count has ended, to Jupyter; the kernel tells it before."""
        return None if self.is_live else self.execution.execution_count


@dataclass
class _Done:
    """What a write came to."""

    shown: list[_Ready] = field(default_factory=list)  # in their cells now
    gone: list[Execution] = field(default_factory=list)  # ended ones whose cells are not there

    def forget(self) -> None:
        """It is begun anew."""
        self.shown.clear()
        self.gone.clear()


class OpenedWriter:
    """Writes one person's notebook. To be used on the event loop; the file is written in threads."""

    def __init__(self, journal: Journal, path: Path, pages: Pages | None = None) -> None:
        self.problem: str | None = None  # why the notebook does not show what was run
        self.set_aside: list[str] = []  # nothing of a person's is
        self.notebook = OpenedPlace(path, pages)
        self.looks = KeptLooks(journal, path)  # of the callers at it, for the next hub
        self.last_touched: str | None = None  # the cell that the assistant ran, made or changed last
        # What was run in which notebook: told when it is in there, or that its cell is gone.
        self.on_written: Callable[[NotebookText, list[Execution], list[Execution]], None] = _nobody
        self._places: dict[int, CellPlace] = {}  # of what is not written, by execution number
        self._anchors: dict[str, str] = {}  # new cells -> what they come after
        self._new: list[Execution] = []
        self._being_written: list[Execution] = []
        self._changed: dict[int, Execution] = {}
        self._live: dict[int, Execution] = {}  # what waits or goes on, and has something new to show
        self._over: dict[int, Execution] = {}  # what was not run after all
        self._ended: dict[int, str] = {}  # what the cells of what has ended were left with, by number
        self._left: NotebookText | None = None  # the notebook after our last write
        self._more = asyncio.Event()  # something has ended
        self._journal = journal
        self._began = self._took = 0.0
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def path(self, generation: int) -> Path:
        return self.notebook.path

    def expect(self, execution: Execution, place: CellPlace) -> None:
        """The execution, which has not begun, is of this cell."""
        self._places[execution.number] = place
        self.last_touched = place.id
        if place.after is not None:
            self._anchors[place.id] = place.after

    # --- as notebooks.Notebooks ------------------------------------------------------------

    def begin(self, generation: int, metadata: Mapping[str, Any]) -> None:
        """A new kernel: the notebook stays."""

    def restore(self, ledgers: Mapping[int, Ledger]) -> None:
        """What earlier hubs have written is in the file, or was changed by the person."""

    def add(self, execution: Execution) -> None:
        """What the execution shows is to be written into its cell, if it has one."""
        if execution.kind is not Kind.CODE or execution.cell is None:
            return
        if execution.number not in self._places:  # an earlier hub ran it
            self.expect(execution, CellPlace(execution.cell, execution.after))
        self._live.pop(execution.number, None)
        self._new.append(execution)
        self._more.set()
        self._write_soon()

    def change(self, execution: Execution) -> None:
        """The execution has other outputs than its cell.

        Raises:
            StorageFailed: a hub that comes after this one will not know it.
        """
        if execution.cell is None or execution in self._new or execution.number in self._changed:
            return
        self._changed[execution.number] = execution
        self._more.set()
        self._write_soon()
        self._journal.keep("outdated", n=execution.number)

    def queue(self, execution: Execution) -> None:
        """It waits for its turn: a page says so."""
        if execution.cell is not None and self.notebook.is_in_page:
            self._live[execution.number] = execution
            self._write_soon()

    def show(self, execution: Execution) -> None:
        """It runs: its cell shows what there is of it."""
        if execution.cell is None or execution.state is not State.RUNNING:
            return
        if execution.number not in self._places:  # an earlier hub began it
            self.expect(execution, CellPlace(execution.cell, execution.after))
        self._live[execution.number] = execution
        if self._is_due:
            self._write_soon()

    def leave_out(self, execution: Execution) -> None:
        """It was not run after all: its cell stays what it is; a new one is not made, or goes again."""
        self._places.pop(execution.number, None)
        self._live.pop(execution.number, None)
        if execution.cell is not None:
            self._over[execution.number] = execution
            self._write_soon()

    def show_widgets(self, generation: int, widgets: WidgetStates) -> None:
        """Their state is metadata of the whole notebook, which is the person's."""

    def widgets_changed(self, generation: int) -> None:
        """See show_widgets."""

    def touch(self) -> None:
        """It waits for no pause: a cell of the person's is written when it has ended."""

    def is_written(self, execution: Execution) -> bool:
        """Whether all of a finished execution is on disk, so that memory need not hold it."""
        waiting = execution in (*self._new, *self._being_written) or execution.number in self._changed
        return not waiting

    def take_set_aside(self) -> list[str]:
        return []

    async def flush(self) -> None:
        """Write now; what cannot be written now is tried again later."""
        self._hurry.set()
        if self._is_due:
            self._write_soon()
        if self._writer is not None:
            await self._writer
        self._hurry.clear()
        if self._is_due:
            self._write_soon()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.cancel()

    # --- when --------------------------------------------------------------------------------

    @property
    def _is_due(self) -> bool:
        return bool(self._new or self._changed or self._over or self._to_be_shown)

    @property
    def _to_be_shown(self) -> list[Execution]:
        """What goes on: in a page from its begin, in a file once there is something to see."""
        in_page = self.notebook.is_in_page
        return [each for each in self._live.values() if in_page or each.outputs.size]

    def _write_soon(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._work())

    async def _work(self) -> None:
        pause = _GATHER_SECONDS
        while self._is_due:
            await self._pause(max(pause, self._began + self._took * _WRITING_SHARE - time.monotonic()))
            self._began = time.monotonic()
            self._more.clear()
            try:
                await self._write()
            except (BadRequest, StorageFailed, OSError) as error:
                if self.problem is None:
                    _log.warning("%s cannot be written: %s", self.notebook.path, error)
                self.problem = error.what if isinstance(error, BadRequest) else str(error)
                if self._hurry.is_set():
                    return  # the journal has it; the next hub writes it
                pause = _RETRY_SECONDS
            else:
                self.problem, pause = self.notebook.trouble, _GATHER_SECONDS
                if self._hurry.is_set() and not (self._new or self._changed or self._over):
                    return  # what goes on is never all there
            self._took = time.monotonic() - self._began

    async def _pause(self, seconds: float) -> None:
        if not (self._new or self._changed or self._over or self.notebook.is_in_page):
            await _first_of(_FILE_SECONDS, self._hurry, self._more)
        await _first_of(seconds, self._hurry)

    # --- one write ---------------------------------------------------------------------------

    async def _write(self) -> None:
        new, changed, over, live = self._new, self._changed, self._over, self._to_be_shown
        self._new, self._changed, self._over = [], {}, {}
        for each in live:
            del self._live[each.number]
        self._being_written = [*new, *changed.values()]
        ready = [self._ready(each, is_first=True) for each in new]
        ready += [self._ready(each, is_first=False) for each in changed.values() if each not in new]
        ready += [self._ready(each, is_first=True) for each in live]
        done = _Done()
        marks = Marks(
            running={each.place.id for each in ready if each.is_live and not each.is_waiting},
            waiting={each.place.id for each in ready if each.is_waiting},
            over={str(each.cell) for each in over.values()},
        )

        def update(found: NotebookText) -> NotebookText:
            done.forget()
            return self._changes(_without_new(found, over.values()), ready, done)

        try:
            now = await self.notebook.change(update, marks)
        except BaseException as error:  # cancelled, too: it may or may not be written
            self._new, self._changed = [*new, *self._new], {**changed, **self._changed}
            if not isinstance(error, NotFound):  # then there is nothing to be tidied up
                self._over = {**over, **self._over}
            self._live = {each.number: each for each in live if not each.is_final} | self._live
            raise
        finally:
            self._being_written = []
        self._enter(new, changed)
        self._remember(now, done.shown)
        told = [each.execution for each in ready if not each.is_waiting or each in done.shown]
        self.on_written(now, [*over.values(), *told], done.gone)

    def _ready(self, execution: Execution, *, is_first: bool) -> _Ready:
        assert execution.cell is not None
        known = self._places.get(execution.number)
        return _Ready(
            execution,
            known or CellPlace(execution.cell),
            list(shown_outputs(execution)),
            is_first,
            is_live=not execution.is_final,
            is_waiting=execution.state in (State.QUEUED, State.SENT),
            page=self.notebook.page,
        )

    def _remember(self, now: NotebookText, shown: Iterable[_Ready]) -> None:
        """What was run has shown this: who has something else there later has run or cleared the cell."""
        self._left = now
        for each in shown:
            cell, number = now.cell(each.place.id), each.execution.number
            if not each.is_live and cell is not None:
                self._ended[number] = cell.shown
                if len(self._ended) > _REMEMBERED:
                    del self._ended[next(iter(self._ended))]
            if each.is_live and cell is not None and number in self._places:
                self._places[number] = each.place.showing(cell, each.page)

    def _changes(self, found: NotebookText, ready: Iterable[_Ready], done: _Done) -> NotebookText:
        """The notebook with what was run; called in a thread, and again where somebody was faster."""
        for each in ready:
            cell = found.cell(each.place.id)
            if cell is None and each.is_first and self._was_never_there(each):
                found = self._with_new(found, each)
                done.shown.append(each)
            elif cell is None or cell.kind != "code":
                if not each.is_live:  # it is told once
                    done.gone.append(each.execution)
            elif each.is_waiting:
                continue  # what it shows from before stays until it begins
            elif self._is_for(each, cell, found):
                found = found.with_cell(cell.with_outputs(each.outputs, each.count, found.layout))
                done.shown.append(each)
        return found

    def _was_never_there(self, ready: _Ready) -> bool:
        """Whether its new cell is to be made; else somebody has deleted it."""
        saved = self.notebook.was_saved_after(ready.place.paged)
        return ready.place.was_never_in(ready.page, was_saved=saved)

    def _is_for(self, ready: _Ready, cell: TextCell, found: NotebookText) -> bool:
        """Whether the cell is to show this run: not where the person ran or cleared it after that."""
        ours = ready.execution.execution_count
        if not ready.is_first:
            was_left = self._ended.get(ready.execution.number, cell.shown) == cell.shown
            return cell.execution_count == ours and was_left
        if not ready.place.has_other(cell):
            return ready.place.may_begin(cell, ours)
        if cell.execution_count is None:
            # Cleared, or to be run by the person: a page goes on from there by itself.
            stays = ready.is_live or ready.page is not None or ready.place.is_cleared(cell, found, self._left)
            return not stays
        return ready.place.is_newer(cell, ours)

    def _with_new(self, found: NotebookText, ready: _Ready) -> NotebookText:
        execution, layout = ready.execution, found.layout
        after = ready.place.after
        while after and after in self._anchors and after not in found.places:
            after = self._anchors[after]  # that one was never run, or is gone
        if execution.note and not execution.code.strip() and not ready.outputs:  # the note is all there is
            return found.with_new(after, new_cell("markdown", execution.note, ready.place.id, layout))
        code = new_cell("code", execution.code, ready.place.id, layout)
        code = code.with_outputs(ready.outputs, ready.count, layout)
        note = [new_cell("markdown", execution.note, new_id(), layout)] if execution.note else []
        return found.with_new(after, *note, code)

    def _enter(self, new: Iterable[Execution], changed: Mapping[int, Execution]) -> None:
        numbers = [each.number for each in new]
        by_generation: dict[int, list[int]] = {}
        for each in (*new, *changed.values()):
            by_generation.setdefault(each.generation, []).append(each.number)
            self._places.pop(each.number, None)
        for generation, written in by_generation.items():
            self._journal.keep(
                "written",
                generation=generation,
                revision=0,
                numbers=[number for number in written if number in numbers],
                changed=[number for number in written if number in changed],
            )
        for number in self._changed:  # changed again meanwhile: what was just said is not true of it
            self._journal.keep("outdated", n=number)


def _without_new(found: NotebookText, executions: Iterable[Execution]) -> NotebookText:
    """Without the new cells of these, which were not run, where nobody has done anything with them."""
    for execution in executions:
        cell = found.cell(execution.cell or "")
        if cell is None or execution.after is None or cell.outputs or cell.execution_count is not None:
            continue
        if cell.source == execution.code:
            place = found.places[cell.id]
            note = found.cells[place - 1] if place and execution.note else None
            is_note = note is not None and note.kind == "markdown" and note.source == execution.note
            gone = (cell, note) if is_note else (cell,)
            found = found.with_cells(each for each in found.cells if each not in gone)
    return found


async def _first_of(seconds: float, *events: asyncio.Event) -> None:
    """Wait for one of these, for so long at most."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()


def _nobody(now: NotebookText, written: list[Execution], gone: list[Execution]) -> None:
    """Nobody wants to know it."""
