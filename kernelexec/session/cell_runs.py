"""Cells of a person's notebook run one after the other: one execution, with one for each cell within it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import LOST_WITH_KERNEL, Execution, Kind, State
from kernelexec.model.first_line import first_line
from kernelexec.model.outputs import size_of
from kernelexec.model.shown_errors import is_error
from kernelexec.recording.cell_place import CellPlace
from kernelexec.recording.notebook_text import TextCell
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Ended
from kernelexec.session.executions import Executions
from kernelexec.session.submission import Submission
from kernelexec.session.wholes import Parts

_TOLD_OF_EACH = 20_000  # characters of outputs, which stand in the journal twice then
_TOLD = 500_000  # of all of them
_PICTURE = 400_000  # characters of a picture's base64


@dataclass(frozen=True)
class CellRun:
    """A cell that is to be run, as it was when that was asked for."""

    id: str
    source: str
    shown: str

    @classmethod
    def of(cls, cell: TextCell) -> CellRun:
        return cls(cell.id, cell.source, cell.shown)

    def within(self, asked: Submission, notebook: Path) -> Submission:
        """What runs it, for who has asked for it."""
        place = CellPlace(self.id, shown=self.shown)
        return replace(asked, code=self.source, label=notebook.stem, kind=Kind.CODE, place=place)


def listing(notebook: Path, cells: Sequence[CellRun]) -> str:
    """The whole's own code: what it runs, as comments."""
    lines = [f"#   {cell.id}: {first_line(cell.source)}" for cell in cells]
    return "\n".join([f"# {len(lines)} cells of {notebook.name}:", *lines])


class CellRuns:
    """Runs the cells in order, up to the first that does not succeed if that is wished."""

    def __init__(
        self, cells: Sequence[CellRun], asked: Submission, notebook: Path, *, stop_on_error: bool
    ) -> None:
        self._cells = cells
        self._asked = asked
        self._notebook = notebook
        self._stop_on_error = stop_on_error
        self._told = 0

    async def work(
        self, execution: Execution, parts: Parts, recorder: Recorder, executions: Executions
    ) -> Ended:
        """Run them; returns the end of the whole."""
        failed: list[str] = []
        for done, cell in enumerate(self._cells):
            rest = self._cells[done:]
            if execution.interrupt:
                return self._stopped(execution, State.INTERRUPTED, done, execution.interrupt, rest)
            part = replace(self._part(cell), within=execution.number)
            try:
                child = await parts.run_within(execution, part)
            except StorageFailed as error:
                return self._stopped(execution, State.ERROR, done, str(error), rest)
            self._report(execution, child, recorder)
            executions.heard(execution)
            if child.state is State.OK and child.lost != LOST_WITH_KERNEL:
                continue
            if child.state is State.ERROR and not self._stop_on_error:
                failed.append(cell.id)
                continue
            return self._failed(execution, child, done)
        return self._done(execution, failed)

    def _part(self, cell: CellRun) -> Submission:
        return cell.within(self._asked, self._notebook)

    def _done(self, execution: Execution, failed: Sequence[str]) -> Ended:
        count = len(self._cells)
        if not failed:
            return Ended(execution.number, State.OK)
        said = f"{count - len(failed)} of {count} cells succeeded; failed: {', '.join(failed)}."
        return Ended(execution.number, State.ERROR, said)

    def _failed(self, execution: Execution, child: Execution, done: int) -> Ended:
        """The end with a cell that did not succeed."""
        state = State.INTERRUPTED if child.state is State.INTERRUPTED else State.ERROR
        took_kernel = child.state is State.DIED or child.lost == LOST_WITH_KERNEL
        execution.error = child.error
        why = f"{child.cell} ({child.id}) {_what_became_of(child)}."
        end = self._stopped(execution, state, done, why, self._cells[done + 1 :])
        return replace(end, with_kernel=took_kernel)

    def _stopped(
        self, execution: Execution, state: State, done: int, why: str, rest: Sequence[CellRun]
    ) -> Ended:
        left = ", ".join(cell.id for cell in rest)
        said = [
            f"{done} of {len(self._cells)} cells succeeded.",
            why,
            *([f"Not run: {left}."] if left else []),
        ]
        return Ended(execution.number, state, " ".join(said))

    def _report(self, execution: Execution, child: Execution, recorder: Recorder) -> None:
        """What it has shown, as the whole's own output: all of it is the child's."""
        line = f"{child.cell} = {child.id}: {child.state.value}  {first_line(child.code)}\n"
        execution.last_text = line
        with contextlib.suppress(StorageFailed):  # the next cell meets it, too, and says so
            recorder.output(execution, "stream", {"name": "stdout", "text": line})
            for output in child.outputs.to_notebook():
                self._repeat(execution, child, output, recorder)

    def _repeat(
        self, execution: Execution, child: Execution, output: Mapping[str, Any], recorder: Recorder
    ) -> None:
        content = {key: value for key, value in output.items() if key != "output_type"}
        kind = "display_data" if output["output_type"] == "execute_result" else output["output_type"]
        size, data = size_of(content), content.get("data", {})
        has_picture = any(mime.startswith("image/") for mime in data)
        at_most = _PICTURE if has_picture else _TOLD_OF_EACH
        if kind == "error" and not is_error(output):
            return
        if size > at_most or self._told + size > _TOLD:
            text = f'[{size:,} characters: read_output(execution_id="{child.id}")]\n'
            kind, content = "stream", {"name": "stdout", "text": text}
        self._told += min(size, at_most)
        content.pop("execution_count", None)
        recorder.output(execution, kind, content)


def _what_became_of(child: Execution) -> str:
    match child.state:
        case State.ERROR:
            return f"failed with {child.error or 'an error'}"
        case State.DIED:
            return "ended its kernel"
        case State.OK:
            return "succeeded and ended its kernel"
        case _:
            why = f": {child.problem}" if child.problem else ""
            return f"ended with: {child.state.value.replace('_', ' ')}{why}".rstrip(".")


def left_behind(whole: Execution, begun: Mapping[str, Any], parts: Mapping[int, State]) -> Ended:
    """The end of a whole whose hub ended: which cells it had run by then.

    `begun`: what it recorded when it began; `parts`: its executions, as the journal has them.
    """
    wanted: Sequence[str] = begun.get("again", ())
    done = sum(state is State.OK for state in parts.values())
    if wanted and done == len(wanted):
        return Ended(whole.number, State.OK)
    said = ["The hub ended while it ran.", f"{done} of {len(wanted)} cells succeeded."]
    for (number, state), cell in zip(parts.items(), wanted, strict=False):
        part = f"{whole.session}/{number}"
        if state in (State.SENT, State.RUNNING):
            said.append(f'{cell} was with the kernel: wait_for_execution(execution_id="{part}").')
        elif state is not State.OK:
            said.append(f"{cell} ({part}) ended with: {state.value.replace('_', ' ')}.")
    left = ", ".join(wanted[len(parts) :])
    said += [f"Not run: {left}."] if left else []
    return Ended(whole.number, State.INTERRUPTED, " ".join(said))
