"""A person's notebook that a session works in, for the assistants who do: what each has seen of it.

An assistant is told what others did in the notebook since it looked last, and nothing that it has not seen
is taken away by it (recording/notebook_operations.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from kernelexec.errors import BadRequest
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.recording.cell_place import CellPlace
from kernelexec.recording.looks import Look, Seen
from kernelexec.recording.notebook_operations import Operation, Step, unknown_cell
from kernelexec.recording.notebook_text import NotebookText, TextCell, new_id
from kernelexec.recording.opened_place import NoAnswer
from kernelexec.recording.opened_writer import OpenedWriter
from kernelexec.recording.recorder import Recorder
from kernelexec.session.cell_runs import CellRun, CellRuns, listing
from kernelexec.session.events import Ended
from kernelexec.session.executions import Executions
from kernelexec.session.submission import Submission
from kernelexec.session.wholes import Parts, Wholes

_ABOVE, _BELOW = "above:", "below:"


class Running(Parts, Protocol):
    """What runs cells: their session."""

    recorder: Recorder
    executions: Executions
    wholes: Wholes

    def submit(self, submission: Submission) -> Execution:
        """See session.Session."""


class Opened:
    """One notebook, and each caller's look at it."""

    def __init__(self, writer: OpenedWriter, opened_by: dict[str, str], session: Running) -> None:
        self._session = session
        self.opened_by = opened_by  # when, by caller: whose calls are for its session where they name none
        self._writer = writer
        self._kept = writer.looks
        self._looks = dict(self._kept.load())  # by caller
        self._gone: dict[str, list[str]] = {}  # by caller: executions whose cells are gone
        writer.on_written = self._on_written

    @property
    def path(self) -> Path:
        return self._writer.notebook.path

    @property
    def directory(self) -> Path:
        """Where its code runs, as in Jupyter."""
        return self.path.parent

    def look_of(self, caller: str) -> Look | None:
        """The notebook as a caller has seen it last."""
        return self._looks.get(caller)

    def put_look(self, caller: str, look: Look | None) -> None:
        """What a caller has seen after all, where a reply did not reach it."""
        if look is None:
            self._looks.pop(caller, None)
            self._kept.keep(caller, None)
        else:
            self._looks[caller] = look

    def keep_look(self, caller: str, look: Look | None) -> None:
        """A caller has got the reply with this look: a later hub is to know it."""
        if caller in self._looks and look is not None:
            self._kept.keep(caller, look)

    async def looks_kept(self) -> None:
        """Wait until a hub that comes after this one would know what was to be kept."""
        await self._kept.flush()

    async def read(self) -> NotebookText:
        """As it is now, with all that has been run in it and has ended.

        Raises:
            BadRequest: it is gone, or no notebook, and why.
        """
        await self._writer.flush()
        return await self._writer.notebook.read()

    async def news(self, caller: str) -> list[str]:
        """What others did in it since this caller looked last; it counts as seen.

        Raises:
            BadRequest: it cannot be read.
        """
        known = self._looks.get(caller)
        news: list[str] = []
        if known is not None and (self._writer.notebook.may_have_changed or self._has_news(known)):
            news = self.seen(caller, await self._writer.notebook.read())
        # Not before: who waits no longer for the page is told the next time.
        gone = [f"{name} is not shown: its cell was deleted." for name in self._gone.pop(caller, ())]
        return gone + news

    def _has_news(self, known: Look) -> bool:
        now = self._writer.notebook.last
        return now is not None and bool(known.news(now))

    def seen(self, caller: str, now: NotebookText) -> list[str]:
        """A caller sees the notebook as it is now; returns what is otherwise than it knew."""
        known = self._looks.get(caller)
        self._looks[caller] = Look.at(now)
        if known is None:  # there is nothing older that a later hub could begin with
            self._kept.keep(caller, self._looks[caller])
            return []
        return known.news(now)

    async def edit(self, caller: str, operations: Sequence[Operation]) -> tuple[list[str], list[str]]:
        """Carry out the operations, all or none; returns what was done, and the news from before.

        Raises:
            BadRequest: none of them was, and why.
        """
        await self._writer.flush()
        look = self._looks.get(caller) or Look()
        steps: list[Step] = []
        before: list[NotebookText] = []

        def update(found: NotebookText) -> NotebookText:
            steps[:], before[:] = [Step(found, look)], [found]
            return steps[0].apply(operations)

        try:
            after = await self._writer.notebook.change(update)
        except BadRequest:
            if steps and caller in self._looks:
                self._looks[caller] = steps[0].look
            raise
        known = self._looks.get(caller)
        self._looks[caller] = Look.at(after)
        self._writer.last_touched = steps[0].last_touched or self._writer.last_touched
        return steps[0].done, [] if known is None else known.news(before[0])

    async def place_of_new(self, after: str | None) -> CellPlace:
        """Where the cell of a submission goes: after this one, else after the last one that was touched.

        Raises:
            BadRequest: there is no such cell.
        """
        try:
            now = await self.read()
        except NoAnswer:
            known = self._writer.notebook.last
            if known is None:
                raise
            now = known  # the cell comes to its place when the page answers again, or is gone
        if after and after not in now.places:
            raise unknown_cell(now, after, "Nothing was run: ")
        if after is None:
            touched = self._writer.last_touched
            after = touched if touched is not None else now.cells[-1].id if now.cells else ""
        return CellPlace(new_id(), after)

    async def chosen(self, wanted: Sequence[str]) -> list[TextCell]:
        """The cells of these ids, each once, in the order of the notebook where a word names several.

        Raises:
            BadRequest: there is no such cell.
        """
        now = await self.read()
        found: dict[str, TextCell] = {}
        for name in wanted:
            found |= {cell.id: cell for cell in _cells_of(now, name)}
        return list(found.values())

    def run(self, cells: Sequence[CellRun], asked: Submission, *, stop_on_error: bool = True) -> Execution:
        """Run cells in order: an execution, or one with one for each of several within it.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        session = self._session
        if len(cells) == 1:
            return session.submit(cells[0].within(asked, self.path))
        runs = CellRuns(cells, asked, self.path, stop_on_error=stop_on_error)

        async def end_of(whole: Execution) -> Ended:
            return await runs.work(whole, session, session.recorder, session.executions)

        whole = replace(asked, code=listing(self.path, cells), label=self.path.stem, kind=Kind.CELLS)
        return session.wholes.accept(whole, [cell.id for cell in cells], end_of)

    # --- what the writer tells -------------------------------------------------------------

    def _on_written(self, now: NotebookText, written: list[Execution], gone: list[Execution]) -> None:
        """Who ran it knows its cell; the others are told."""
        for execution in written:
            look, cell = self._looks.get(execution.caller or ""), now.cell(execution.cell or "")
            if look is None or execution.caller is None:
                continue
            if execution.state is State.NOT_RUN:
                if cell is None:  # it was shown while it waited
                    self._looks[execution.caller] = look.without(execution.cell or "")
            elif execution in gone:
                self._gone.setdefault(execution.caller, []).append(execution.id)
            elif cell is not None:
                self._looks[execution.caller] = _with_cell(look, now, cell, execution)
                kept = self._kept.of(execution.caller)
                if kept is not None:
                    self._kept.keep(execution.caller, _with_cell(kept, now, cell, execution))


def _with_cell(look: Look, now: NotebookText, cell: TextCell, execution: Execution) -> Look:
    """The look with what was run in a cell; what became of its text is still to be told."""
    seen = look.cells.get(cell.id)
    if seen is not None:
        return replace(look, cells={**look.cells, cell.id: replace(seen, shown=cell.shown)})
    new = {cell.id: replace(Seen.of(cell), source=execution.code)}
    place = now.places[cell.id]
    if execution.note and place and now.cells[place - 1].source == execution.note:
        note = now.cells[place - 1]
        new = {note.id: Seen.of(note), **new}
    known = {**look.cells, **new}
    order = [each.id for each in now.cells if each.id in known]
    return Look({**{name: known[name] for name in order}, **known})


def _cells_of(now: NotebookText, name: str) -> Sequence[TextCell]:
    if name == "all":
        return now.cells
    for prefix, before in ((_ABOVE, True), (_BELOW, False)):
        if name.startswith(prefix):
            wanted = name.removeprefix(prefix).strip()
            place = now.places.get(wanted)
            if place is None:
                raise unknown_cell(now, wanted, "Nothing was run: ")
            return now.cells[:place] if before else now.cells[place:]
    cell = now.cell(name)
    if cell is None:
        raise unknown_cell(now, name, "Nothing was run: ")
    return [cell]
