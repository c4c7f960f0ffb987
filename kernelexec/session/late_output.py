"""What came into earlier cells when their runs had ended: of a thread, a task, a stream that was kept.

It stands in those cells, where nobody looks who reads replies: so each caller is told it once, with a later
reply. Of each cell the last part is kept here; what a hub had not told yet when it ended is in the cell only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kernelexec.model.execution import Execution

_KEPT = 4_000  # characters of each cell's
_CELLS = 20  # the last ones that something came into
_CALLERS = 100
_REPLIES = 16  # the last ones of each caller, that may turn out not to have been delivered
_SHORT = 500  # characters of what a display says of itself

_Told = dict[int, int]  # by execution: characters


@dataclass(frozen=True)
class Meanwhile:
    """What came into an earlier cell since a caller was told of it."""

    number: int  # of its execution
    text: str  # as it came; what is new begins at `since`
    since: int
    left_out: int  # new characters that are not in the text


@dataclass
class _Cell:
    whose: str | None
    total: int = 0
    tail: str = ""


class LateOutput:
    """Of one session."""

    def __init__(self) -> None:
        self._cells: dict[int, _Cell] = {}  # by execution; where something came last comes last
        self._told: dict[str, _Told] = {}  # by caller
        self._before: dict[tuple[str, int], _Told] = {}  # by caller and reply: what had been told before it

    def take(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        text = _said(message_type, content)
        if not text:
            return
        cell = self._cells.pop(execution.number, None) or _Cell(execution.caller)
        self._cells[execution.number] = cell
        cell.total += len(text)
        cell.tail = (cell.tail + text)[-_KEPT:]
        while len(self._cells) > _CELLS:
            del self._cells[next(iter(self._cells))]

    def tell(
        self, caller: str, about: int, reply: int | None, is_its: Callable[[str | None], bool]
    ) -> list[Meanwhile]:
        """What a reply about an execution has to tell; it counts as told, and so does what came into that.

        `is_its`: whether a caller, or who it was before, has this id. Who is new is told of its own only.
        """
        before = self._told.pop(caller, None)
        if before is None:
            before = {n: cell.total for n, cell in self._cells.items() if not is_its(cell.whose)}
        self._told[caller] = {number: cell.total for number, cell in self._cells.items()}
        if len(self._told) > _CALLERS:
            del self._told[next(iter(self._told))]
        if reply is not None:
            self._before[caller, reply] = before
            self._forget_replies(caller)
        found = (_new(number, cell, before.get(number, 0)) for number, cell in self._cells.items())
        return [each for each in found if each is not None and each.number != about]

    def not_delivered(self, caller: str, reply: int) -> None:
        """What this reply told is to be told again."""
        before = self._before.pop((caller, reply), None)
        if before is not None and caller in self._told:
            told = self._told[caller]
            self._told[caller] = {number: min(total, before.get(number, 0)) for number, total in told.items()}

    def _forget_replies(self, caller: str) -> None:
        replies = [key for key in self._before if key[0] == caller]
        for key in replies[:-_REPLIES]:
            del self._before[key]
        while len(self._before) > _CALLERS * _REPLIES:
            del self._before[next(iter(self._before))]


def _new(number: int, cell: _Cell, told: int) -> Meanwhile | None:
    new = cell.total - told
    if new <= 0:
        return None
    return Meanwhile(number, cell.tail, max(0, len(cell.tail) - new), max(0, new - len(cell.tail)))


def _said(message_type: str, content: Mapping[str, Any]) -> str:
    if message_type == "stream":
        return str(content.get("text", ""))
    if message_type == "error":
        return f"{content.get('ename', '')}: {content.get('evalue', '')}\n"
    data = content.get("data")
    if message_type not in ("display_data", "execute_result") or not isinstance(data, Mapping):
        return ""
    words = data.get("text/plain")
    return f"{words[:_SHORT] if isinstance(words, str) else '[a display]'}\n"
