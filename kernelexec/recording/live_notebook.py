"""A notebook while it is open in a page: cells appear as they are submitted, and outputs as they come.

What the journal has to know (which cells, which final outputs) is a write like one to the file, which the
page acknowledges. Output in between is not: whoever takes over, the page again or the file, gets all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kernelexec.model.execution import Execution
from kernelexec.model.output_changes import ShownOutputs, as_shown
from kernelexec.model.outputs import JSON, Piece, Stream
from kernelexec.recording.book import Update
from kernelexec.recording.notebook_format import Cell, Change, NewOutputs
from kernelexec.recording.pages import Page, PageGone

# Seconds between two writes: gathers what comes, and is no delay that a person sees.
_PAUSE_SECONDS = 0.03
# A page draws all of a text anew when it grows: so much longer the pauses are, up to this.
_SECONDS_PER_CHARACTER = 5e-7
_LONGEST_PAUSE_SECONDS = 2.0
_REMEMBERED = 8  # ended executions whose threads may still print


@dataclass
class _Showing:
    """An execution whose outputs the page is to show."""

    execution: Execution
    is_known: bool = False  # what it shows of them; not of a cell that an earlier hub has begun
    outputs: ShownOutputs = field(default_factory=ShownOutputs)
    notice: Stream | None = None

    def anew(self) -> list[JSON]:
        """All that is to be shown; then it is known."""
        self.outputs, self.is_known = ShownOutputs(), True
        return [step[2] for step in self.changes()]

    def changes(self) -> list[list[JSON]]:
        return self.outputs.changes(self._pieces())

    def _pieces(self) -> Sequence[Piece]:
        overflow = self.execution.overflow
        if overflow is None:
            return self.execution.outputs.pieces
        text = overflow.notice()
        if self.notice is None or self.notice.chunks != [text]:
            self.notice = Stream("stderr", [text], len(text))
        return [*self.execution.outputs.pieces, self.notice]


class LiveNotebook:
    """Brings what happens to one page. `write_due` writes what is due of the notebook, through `write`."""

    def __init__(self, page: Page, write_due: Callable[[], Awaitable[None]]) -> None:
        self.page = page
        self._write_due = write_due
        self._wanted = asyncio.Event()
        self._showing: dict[int, _Showing] = {}  # by number
        self._taken: set[str] = set()  # ids of cells that the person has cleared or run meanwhile
        self._work = asyncio.create_task(self._follow())

    def show(self, execution: Execution) -> None:
        """Its outputs are others than before, or it has ended."""
        if execution.number not in self._showing and not execution.is_final:
            self._showing[execution.number] = _Showing(execution)
            self._forget_old()
        self.want()

    def want(self) -> None:
        """Something is to be written."""
        self._wanted.set()

    def close(self) -> None:
        self._work.cancel()

    async def flush(self) -> None:
        """Write now."""
        await self._write_due()

    async def _follow(self) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._write_due()
                await self._stream()
            except PageGone:
                return
            size = max((s.execution.outputs.size for s in self._running()), default=0)
            await asyncio.sleep(min(_PAUSE_SECONDS + size * _SECONDS_PER_CHARACTER, _LONGEST_PAUSE_SECONDS))

    def _running(self) -> list[_Showing]:
        return [showing for showing in self._showing.values() if not showing.execution.is_final]

    async def _stream(self) -> None:
        """The outputs that running cells have got."""
        changes: dict[str, JSON] = {}
        for showing in self._running():
            change = self._outputs_of(showing)
            if change and showing.execution.cell_id not in self._taken:
                changes[showing.execution.cell_id] = {**change, "execution_count": None}
        if changes:
            self._taken |= await self.page.write({"changes": changes})

    def _outputs_of(self, showing: _Showing) -> dict[str, JSON]:
        if not showing.is_known:
            return {"outputs": showing.anew()}
        expected = len(showing.outputs)
        steps = showing.changes()
        return {"expected": expected, "steps": steps} if steps else {}

    async def write(self, update: Update) -> None:
        """One write that the journal is to know of.

        Raises:
            PageGone: it may or may not be done.
        """
        change = await asyncio.to_thread(update, self.page.take_found())  # it may read the journal
        if not change.is_empty:
            self._taken.difference_update(str(cell["id"]) for cell in change.cells)
            self._taken |= await self.page.write(self._message(change))

    def _message(self, change: Change) -> dict[str, JSON]:
        by_cell = {showing.execution.cell_id: showing for showing in self._showing.values()}
        cells = [self._cell(cell, by_cell.get(str(cell["id"]))) for cell in change.cells]
        changes: dict[str, JSON] = {}
        for cell_id, new in change.outputs.items():
            if cell_id not in self._taken:
                changes[cell_id] = self._change(new, by_cell.get(cell_id))
        metadata = {
            key: value for key, value in change.metadata.items() if change.only_metadata or key != "widgets"
        }
        return {
            "cells": cells,
            "changes": changes,
            "metadata": metadata,
            "withdrawn": dict(change.withdrawn),
        }

    def _cell(self, cell: Cell, showing: _Showing | None) -> Cell:
        """A new cell. What it shows is what later changes of its outputs start from."""
        if cell["cell_type"] != "code":
            return cell
        if showing is not None:
            return {**cell, "outputs": showing.anew()}
        outputs: Any = cell["outputs"]
        return {**cell, "outputs": list(map(as_shown, outputs))}

    def _change(self, new: NewOutputs, showing: _Showing | None) -> Mapping[str, JSON]:
        end: dict[str, JSON] = {"execution_count": new.execution_count, "metadata": dict(new.metadata)}
        if showing is None:
            return {**end, "outputs": list(map(as_shown, new.outputs))}
        return {**end, **self._outputs_of(showing)}

    def _forget_old(self) -> None:
        ended = [number for number, showing in self._showing.items() if showing.execution.is_final]
        for number in ended[:-_REMEMBERED]:
            del self._showing[number]
