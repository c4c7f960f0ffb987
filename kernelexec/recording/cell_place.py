"""Which cell of a person's notebook a run is of, and whether that still is to show it.

The person runs and clears cells, too, and another program may save the notebook as it was before the run.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from kernelexec.recording.notebook_text import NotebookText, TextCell
from kernelexec.recording.pages import Page


@dataclass(frozen=True)
class CellPlace:
    """The cell of an execution."""

    id: str
    after: str | None = None  # it is a new one, behind this one, "" at the top; None: it is there
    shown: str = ""  # what it showed before, see notebook_text.TextCell
    is_ours: bool = False  # that is what the execution itself has shown so far
    before: str = ""  # then: what it showed before that
    # The page that has got it, and when, in the seconds of time.time(): a file that was not written after
    # that never had it.
    page: Page | None = None
    paged: float = 0.0

    def showing(self, cell: TextCell, page: Page | None) -> CellPlace:
        """After the execution has shown this there, in a page or in the file."""
        before = self.before if self.is_ours else self.shown
        place = replace(self, shown=cell.shown, is_ours=True, before=before)
        is_first = page is not None and self.page is None
        return replace(place, page=page, paged=time.time()) if is_first else place

    def was_never_in(self, page: Page | None, *, was_saved: bool) -> bool:
        """Where it is not there: whether it is a new one that is to be made; else somebody has deleted it.

        `was_saved`: whether the file was written since a page has got it.
        """
        if self.page is not None and page is not self.page:  # which may have ended before it was saved
            return self.after is not None and not was_saved
        return self.after is not None and not self.is_ours

    def has_other(self, cell: TextCell) -> bool:
        """Whether it shows something else than the execution has shown so far."""
        return self.is_ours and cell.shown != self.shown

    def may_begin(self, cell: TextCell, count: int | None) -> bool:
        """Whether it is as it was when it was to be run, or what it shows is older than the run."""
        theirs = cell.execution_count
        return self.shown in ("", cell.shown) or theirs is None or count is None or theirs <= count

    def is_newer(self, cell: TextCell, count: int | None) -> bool:
        """Whether the run is newer than that of which the cell has its count."""
        is_as_before = cell.shown == self.before
        theirs = cell.execution_count
        return is_as_before or (count is not None and theirs is not None and theirs <= count)

    def is_cleared(self, cell: TextCell, found: NotebookText, left: NotebookText | None) -> bool:
        """Whether somebody has cleared it, rather than saved the notebook as it was before the run.

        `found`: the notebook that it is in; `left`: as it was after our last write.
        """
        if cell.outputs:
            return False
        return cell.shown != self.before or (left is not None and _texts(found) == _texts(left))


def _texts(notebook: NotebookText) -> list[tuple[str, str, str]]:
    return [(cell.id, cell.kind, cell.source) for cell in notebook.cells]
