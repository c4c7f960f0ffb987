"""The notebooks of a session: written behind what happens, off the path of the replies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, Kind
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording.book import Book, Changes, Update
from kernelexec.recording.history import load_executions
from kernelexec.recording.journal import Journal
from kernelexec.recording.ledger import Ledger
from kernelexec.recording.notebook import Notebook
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


class Notebooks:
    """Writes the notebooks of one session. To be used on the event loop; files are written in threads."""

    def __init__(self, session: str, storage_dir: Path, journal: Journal) -> None:
        self.problem: str | None = None  # why the notebook is not current
        self.set_aside: list[str] = []  # names of unreadable notebooks that nobody was told of
        self._session = session
        self._storage_dir = storage_dir
        self._journal = journal
        self._books: dict[int, Book] = {}  # by generation
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
        self._books[generation] = Book(generation, Notebook(self.path(generation), dict(metadata)))
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

    def _book(self, generation: int) -> Book:
        if generation not in self._books:  # its metadata was lost with a part of the journal
            self._books[generation] = Book(generation, Notebook(self.path(generation), {}))
        return self._books[generation]

    def _due(self) -> list[Book]:
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

    async def _write(self, book: Book) -> None:
        if not self._journal.is_in_place:
            raise StorageFailed(f"{self._storage_dir} was moved or replaced; nothing is written there.")
        # Taken out before the write: what changes during it is a new change.
        new, changed = book.new, book.changed
        book.new, book.changed, book.being_written = [], {}, [*new, *changed.values()]
        # One that an earlier hub ran may be there twice, and is newer where it was changed.
        widgets_changed, book.widgets_changed = book.widgets_changed, False
        newest = [changed.get(each.number, each) for each in new]
        update = Update(book, Changes(newest, changed, widgets_changed), self._storage_dir, self.load)
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

    def _enter(self, book: Book, update: Update) -> None:
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
