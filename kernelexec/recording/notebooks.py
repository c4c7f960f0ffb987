"""The notebooks of a session: written behind what happens, off the path of the replies."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, Kind
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording.book import Book, Changes, Update
from kernelexec.recording.cells import heading_of
from kernelexec.recording.history import load_executions
from kernelexec.recording.journal import Journal
from kernelexec.recording.ledger import Ledger
from kernelexec.recording.live_notebook import LiveNotebook
from kernelexec.recording.notebook import Notebook, Written
from kernelexec.recording.pages import PageGone, Pages
from kernelexec.recording.records import Records
from kernelexec.recording.shared_file import NotebookBusy
from kernelexec.recording.sittings import Sittings

_log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.1  # gathers the cells of a burst
_IDLE_SECONDS = 1.5  # without an event, after which nobody is disturbed; cells are then at most 2 s behind
_APART_SECONDS = 0.5  # between two writes while the session is busy: each copies and syncs the whole file
_WRITING_SHARE = 20  # while the session is busy, writing takes at most a twentieth of the time
_RETRY_SECONDS = 5.0  # after a full disk
_FLUSH_SECONDS = 5.0  # for a page that does not answer
_TOLD_SECONDS = 15.0  # after which it is told: no save takes as long
# How soon a person's save is noticed. A look is one lstat; what would tell (inotify, kqueue) is in no
# standard library and on no network file system.
_LOOK_SECONDS = 2.0


class Notebooks:
    """Writes the notebooks of one session. To be used on the event loop; files are written in threads."""

    def __init__(
        self,
        session: str,
        storage_dir: Path,
        journal: Journal,
        sittings: Sittings,
        pages: Pages | None = None,
    ) -> None:
        self.problem: str | None = None  # why the notebook is not current
        self.set_aside: list[str] = []  # names of unreadable notebooks that nobody was told of
        self._session = session
        self._storage_dir = storage_dir
        self._journal = journal
        self._sittings = sittings
        self._books: dict[int, Book] = {}  # by number
        self._begun: set[int] = set()  # generations
        self._early: list[Execution] = []  # of generations that have not begun
        self._pages = pages or Pages()
        self._live: dict[int, LiveNotebook] = {}  # by number: those that are open in a page
        self._open: dict[int, Execution] = {}  # what waits or runs, by number: a page shows it
        self._stop_watching = self._pages.watch(self._page_changed)
        self._touched = self._wanted = 0.0  # when something happened last; what is due since when
        self._pause_until = self._written = self._took = 0.0
        self._hurry = asyncio.Event()
        self._busy_since: float | None = None  # that somebody else writes the notebook
        self._writer: asyncio.Task[None] | None = None
        self._look_handle: asyncio.TimerHandle | None = None

    def path(self, generation: int) -> Path:
        return Records(self._storage_dir, self._session, self._sittings.number(generation)).notebook

    # --- what is to be written -------------------------------------------------

    def begin(self, generation: int, metadata: Mapping[str, Any]) -> None:
        """The cells of this generation go to a notebook of its own, which gets this metadata, or go on in
        that of its sitting."""
        if self._sittings.number(generation) == generation:
            self._books[generation] = Book(generation, Notebook(self.path(generation), dict(metadata)))
            self._join_page(self._books[generation])
        else:
            self._book(generation).headings[generation] = heading_of(generation, metadata)
        self._book(generation).directory = metadata.get("kernelexec", {}).get("directory")
        self._begun.add(generation)
        early, self._early = self._early, []
        for execution in early:
            self.add(execution)

    def restore(self, ledgers: Mapping[int, Ledger]) -> None:
        """What earlier hubs have written. Notebooks that were changed since are looked at: whoever saved
        them may not have seen all of it."""
        for number, ledger in ledgers.items():
            book = self._book(number)
            book.ledger = ledger
            book.trust.good = ledger.trusted
            if ledger.trusted is not None:
                book.trust.sign_soon()  # the hub that wrote it may have ended before
            book.look = book.notebook.was_changed_after(ledger.written)
        if self._due():
            self._write_soon()
        elif ledgers:
            self._look_later()

    def add(self, execution: Execution) -> None:
        """The execution's cell is to be written, if it is not there already."""
        if execution.kind is not Kind.CODE and execution.generation not in self._begun:
            self._early.append(execution)
            return
        book = self._book(execution.generation)
        self._open.pop(execution.number, None)
        if execution.number in book.ledger or execution in book.being_written:
            self.change(execution)  # it was shown as it began
        elif execution not in book.new:
            book.new.append(execution)
        self._write_soon(book)

    def queue(self, execution: Execution) -> None:
        """It waits for its turn. What waits for a kernel that has not begun is shown when that has."""
        if execution.generation in self._begun:
            self.show(execution)

    def show(self, execution: Execution) -> None:
        """The execution waits or runs, with perhaps new outputs: where its notebook is open, its cell shows
        that."""
        self._open[execution.number] = execution
        live = self._live.get(self._sittings.number(execution.generation))
        if live is None:
            return
        book = self._book(execution.generation)
        is_there = execution.number in book.ledger or execution in (*book.new, *book.being_written)
        if not is_there:
            book.new.append(execution)
        live.show(execution)

    def leave_out(self, execution: Execution) -> None:
        """It was not run after all."""
        self._open.pop(execution.number, None)
        book = self._books.get(self._sittings.number(execution.generation))
        if book is None:
            return
        book.new = [each for each in book.new if each is not execution]
        if execution.number in book.ledger or execution in book.being_written:
            self.change(execution)  # its cell is there, and goes

    def change(self, execution: Execution) -> None:
        """The execution has other outputs than its cell.

        Raises:
            StorageFailed: a hub that comes after this one will not know it.
        """
        book = self._book(execution.generation)
        if execution in book.new or execution.number in book.changed:
            return
        book.changed[execution.number] = execution
        self._write_soon(book)
        self._journal.keep("outdated", n=execution.number)

    def show_widgets(self, generation: int, widgets: WidgetStates) -> None:
        """The notebook's metadata has the state of these."""
        self._book(generation).widgets[generation] = widgets

    def widgets_changed(self, generation: int) -> None:
        """Their state is to be written, with a cell of that notebook at the earliest."""
        book = self._book(generation)
        book.widgets_changed = True
        if book.is_due:
            self._write_soon(book)

    def touch(self) -> None:
        """The session is not idle."""
        self._touched = time.monotonic()

    def is_written(self, execution: Execution) -> bool:
        """Whether all of a finished execution is on disk, so that memory need not hold it."""
        book = self._books.get(self._sittings.number(execution.generation))
        if book is None:
            return execution not in self._early
        waiting = execution in (*book.new, *book.being_written) or execution.number in book.changed
        return not waiting

    async def flush(self) -> None:
        """Write now; what cannot be written now is tried again later."""
        self._hurry.set()
        for live in list(self._live.values()):
            with suppress(PageGone, asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(live.flush(), _FLUSH_SECONDS)
        if self._due():
            self._write_soon()
        if self._writer is not None:
            await self._writer
        self._hurry.clear()
        if self._due():
            self._write_soon()

    def close(self) -> None:
        self._stop_watching()
        for live in self._live.values():
            live.close()
        for book in self._books.values():
            book.trust.close()
        if self._look_handle is not None:
            self._look_handle.cancel()
        if self._writer is not None:
            self._writer.cancel()

    def _book(self, generation: int) -> Book:
        number = self._sittings.number(generation)
        if number not in self._books:  # its metadata was lost with a part of the journal
            self._books[number] = Book(number, Notebook(self.path(number), {}))
            self._join_page(self._books[number])
        return self._books[number]

    def _due(self) -> list[Book]:
        """What is to be written to files."""
        closed = (number for number in sorted(self._books) if number not in self._live)
        return [self._books[number] for number in closed if self._books[number].is_due]

    # --- open in a page ------------------------------------------------------------

    def _page_changed(self, path: str) -> None:
        for book in self._books.values():
            if os.path.realpath(book.notebook.path) == path:
                self._leave_page(book)
                self._join_page(book)

    def _join_page(self, book: Book) -> None:
        page = self._pages.of(book.notebook.path)
        if page is None:
            return
        live = LiveNotebook(page, partial(self._write_live, book))
        self._live[book.number] = live
        book.look = bool(book.ledger)  # it may have been loaded before our last write
        for execution in list(self._open.values()):
            if self._sittings.number(execution.generation) == book.number:
                self.show(execution)
        live.want()

    def _leave_page(self, book: Book) -> None:
        live = self._live.pop(book.number, None)
        if live is None:
            return
        live.close()
        # What the page has not saved is not in the file; what has not ended is no matter for the file.
        book.look = bool(book.ledger)
        book.notebook.look_again()
        book.new = [execution for execution in book.new if execution.is_final]
        self._write_soon(book)

    async def _write_live(self, book: Book) -> None:
        """Raises PageGone: the file gets it."""
        if not book.is_due:
            return
        try:
            await self._write(book)
            self.problem = None
        except PageGone:
            raise
        except Exception as error:  # noqa: BLE001 - as in _work
            self._has_failed(error)
            live = self._live.get(book.number)
            if live is not None:
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, live.want)

    # --- when --------------------------------------------------------------------

    def _write_soon(self, book: Book | None = None) -> None:
        if book is not None and book.number in self._live:
            self._live[book.number].want()
            return
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
                self.problem, self._busy_since = None, None
                self._pause_until = 0.0
            except NotebookBusy as busy:
                if self._is_busy_for_long(busy):
                    return  # as below
                self._pause_until = time.monotonic() + busy.retry_after
            except Exception as error:  # noqa: BLE001 - without the writer no cell would ever follow
                self._has_failed(error)
                if self._hurry.is_set():
                    return  # the journal has it; the next hub writes it
                self._pause_until = time.monotonic() + _RETRY_SECONDS
            self._written = self._wanted = time.monotonic()
            self._took = self._written - began
        self._look_later()

    def _is_busy_for_long(self, busy: NotebookBusy) -> bool:
        """Whether who hurries waits no longer: a suspended JupyterLab holds its notebooks for ever."""
        if self._busy_since is None:
            self._busy_since = time.monotonic()
        seconds = time.monotonic() - self._busy_since
        if seconds > _TOLD_SECONDS:
            self.problem = str(busy)
        return self._hurry.is_set() and seconds > busy.over_within

    def _has_failed(self, error: Exception) -> None:
        if self.problem is None:
            # What storage refuses its error says; the way to anything else is worth knowing.
            unforeseen = None if isinstance(error, StorageFailed) else error
            _log.error("the notebook of %s cannot be written: %s", self._session, error, exc_info=unforeseen)
        self.problem = str(error) or repr(error)

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
        share = self._written + max(self._took * _WRITING_SHARE, _APART_SECONDS)
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
            live = self._live.get(book.number)
            if book.ledger and not (live.page if live else book.notebook).is_as_left:
                book.look = True
                if live:
                    live.want()
        if self._due():
            self._write_soon()
        else:
            self._look_later()

    # --- one write -----------------------------------------------------------------

    async def _write(self, book: Book) -> None:
        async with book.lock:
            await self._write_alone(book)

    async def _write_alone(self, book: Book) -> None:
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
            written = await self._put(book, update, bool(new))
        except BaseException:  # cancelled, too: it may or may not be written
            book.new, book.changed = [*new, *book.new], {**changed, **book.changed}
            book.widgets_changed |= widgets_changed
            raise
        finally:
            book.being_written = []
        book.look = False
        if written.set_aside is not None:
            _log.warning("a notebook that cannot be read was set aside: %s", written.set_aside)
            self._journal.keep("set_aside", file=written.set_aside.name)
            self.set_aside.append(written.set_aside.name)
        self._enter(book, update)

    async def _put(self, book: Book, update: Update, may_begin_anew: bool) -> Written:
        """Into the page that has the notebook open, or else into the file."""
        live = self._live.get(book.number)
        if live is not None:
            await live.write(update)
            return Written(book.notebook.path)
        if self._pages.is_held(book.notebook.path):
            # By a page whose connection is lost, for a moment or for good.
            raise NotebookBusy(
                book.notebook.path,
                by="is open in a JupyterLab that does not answer",
                over_within=_FLUSH_SECONDS,
            )
        await book.trust.look()
        written = await asyncio.to_thread(book.notebook.write, update, may_begin_anew)
        book.trust.wrote(written.replaced, written.version, shows=update.shows)
        return written

    def _enter(self, book: Book, update: Update) -> None:
        if not (update.added or update.changed):
            return
        self._journal.keep("written", **book.enter(update))
        going_on = [number for number in update.added if number in self._open]
        # What has changed again meanwhile, too: what was just said is not true of it.
        for number in (*going_on, *book.changed):
            self._journal.keep("outdated", n=number)

    def take_set_aside(self) -> list[str]:
        """What unreadable notebooks are called now; told once."""
        names, self.set_aside = self.set_aside, []
        if names:
            with suppress(StorageFailed):  # then the next hub tells it once more
                self._journal.keep("told_set_aside")
        return names

    def load(self, numbers: Iterable[int]) -> dict[int, Execution]:
        """Executions of the past, with their outputs."""
        return load_executions(self._journal, self._session, self._storage_dir, numbers)
