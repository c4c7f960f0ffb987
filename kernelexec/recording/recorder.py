"""The recorder of one session: what was submitted and what came of it, on disk.

The only writer of CODE_STORAGE_DIR. Journal and script come before the next step of a submission;
the notebook follows behind, off the path of the reply.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, Kind, Overflow, State
from kernelexec.model.limits import Limits
from kernelexec.recording.cells import cells_of, shown_outputs
from kernelexec.recording.journal import Journal, storage_failed
from kernelexec.recording.notebook import Notebook, NotebookBusy, Written
from kernelexec.recording.overflow import OverflowFile
from kernelexec.recording.script import script_name, write_script

_log = logging.getLogger(__name__)

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}")
_SYNC_SECONDS = 1.0  # what a power cut may take
_FIRST_WRITE_SECONDS = 0.1  # gathers the cells of a burst
_LATEST_WRITE_SECONDS = 2.0  # how far the notebook may be behind an idle session
_WRITING_SHARE = 20  # writing the notebook takes at most a twentieth of the time
_RETRY_SECONDS = 5.0  # after a full disk


class Recorder:
    """Writes one session's journal, scripts, notebooks and large outputs."""

    def __init__(self, storage_dir: Path, session: str, journal: Journal) -> None:
        self.storage_dir = storage_dir
        self.session = session
        self.journal = journal
        self.limits = Limits()  # the last caller's
        self.extension = ".py"  # of scripts
        self.notebook_problem: str | None = None
        self._notebooks: dict[int, Notebook] = {}  # by generation
        self._overflows: dict[int, OverflowFile] = {}
        self._new_cells: list[Execution] = []
        self._early_cells: list[
            Execution
        ] = []  # of work done before their kernel, and so their notebook, began
        self._changed_cells: dict[int, Execution] = {}
        self._doubtful: set[int] = set()  # numbers of cells that may be in the notebook already
        self._hurry = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._sync_handle: asyncio.TimerHandle | None = None

    def notebook_path(self, generation: int) -> Path:
        return self.storage_dir / f"{self.session}-{generation}.ipynb"

    def folder(self, generation: int) -> Path:
        return self.storage_dir / f"{self.session}-{generation}"

    def begin_generation(self, generation: int, metadata: Mapping[str, Any]) -> None:
        """The cells of this generation go to a notebook of its own, which gets this metadata."""
        extension = metadata.get("language_info", {}).get("file_extension", "")
        if isinstance(extension, str) and _EXTENSION.fullmatch(extension):
            self.extension = extension  # as the kernel itself says
        self._notebooks[generation] = Notebook(self.notebook_path(generation), dict(metadata))
        early = [execution for execution in self._early_cells if execution.generation == generation]
        self._early_cells = [execution for execution in self._early_cells if execution not in early]
        if early:
            self._new_cells += early
            self._write_soon()

    def _notebook_of(self, generation: int) -> Notebook:
        if generation not in self._notebooks:  # its metadata was lost with a part of the journal
            self.begin_generation(generation, {})
        return self._notebooks[generation]

    def accept(self, execution: Execution) -> None:
        """The submission and its script are on disk when this returns.

        Raises:
            StorageFailed: they are not, and the code must not be run.
        """
        if not self.journal.is_in_place:
            raise StorageFailed(
                f"The session's journal {self.journal.path} was deleted or moved away.",
                f"Put it back, or end the session with: kernelexec stop {self.session}",
            )
        if execution.kind is Kind.CODE:
            self._write_script(execution)
        try:
            self.journal.write(
                "submitted",
                n=execution.number,
                generation=execution.generation,
                kind=execution.kind.value,
                script=str(execution.script.relative_to(self.storage_dir)) if execution.script else None,
                label=execution.label,
                note=execution.note,
                code=execution.code,
            )
        except StorageFailed:
            if execution.script is not None:
                execution.script.unlink(missing_ok=True)
                execution.script = None
            raise
        self._sync_soon()

    def _write_script(self, execution: Execution) -> None:
        folder = self.folder(execution.generation)
        try:
            name = script_name(execution.number, execution.label, self.extension)
            execution.script = write_script(folder, name, execution.code)
        except OSError as error:
            raise storage_failed(folder, error) from error

    def sent(self, execution: Execution, msg_id: str) -> None:
        self.journal.write("sent", n=execution.number, msg_id=msg_id)

    def output(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        """Keep one output message of an execution, also one that comes after its end.

        Raises:
            StorageFailed: it is kept in memory only.
        """
        if execution.is_final:
            self._changed_cells[execution.number] = execution
            self._write_soon()
        self._sync_soon()
        text = content.get("text") if message_type == "stream" else None
        if not isinstance(text, str):
            self._keep(execution, message_type, content)
            return
        overflow = self._overflow_of(execution)
        shown, rest = overflow.split(text, execution.outputs.text_size)
        if shown:
            self._keep(execution, message_type, {**content, "text": shown})
        if rest:
            self._overflow(execution, overflow, rest)

    def _keep(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        if execution.outputs.add(message_type, content) or message_type == "clear_output":
            kept = {key: value for key, value in content.items() if key != "buffers"}
            self.journal.write("output", n=execution.number, type=message_type, content=kept)

    def finished(self, execution: Execution) -> None:
        """The execution is in a final state; its cell follows."""
        self._close_overflow(execution)
        try:
            self.journal.write(
                "finished",
                n=execution.number,
                state=execution.state.value,
                problem=execution.problem,
                execution_count=execution.execution_count,
                started=_iso(execution.started),
                finished=_iso(execution.finished),
                timing=execution.timing,
                overflow=execution.overflow.to_json() if execution.overflow else None,
            )
        finally:
            self._sync_soon()
            if execution.state is not State.NOT_RUN:
                self._add_cell(execution)

    def _add_cell(self, execution: Execution) -> None:
        if execution.kind is not Kind.CODE and execution.generation not in self._notebooks:
            self._early_cells.append(execution)
        else:
            self._new_cells.append(execution)
            self._write_soon()

    def write_again(self, execution: Execution) -> None:
        """Add the cell of an execution that an earlier hub did not come to write, as far as is known."""
        self.doubt(execution)
        self._add_cell(execution)

    def doubt(self, execution: Execution) -> None:
        """The execution's cell may be in the notebook already: look before it is added."""
        self._doubtful.add(execution.number)

    def is_written(self, execution: Execution) -> bool:
        """Whether all of a finished execution is on disk, so that memory need not hold it."""
        waiting = (*self._new_cells, *self._early_cells)
        return execution not in waiting and execution.number not in self._changed_cells

    async def flush(self) -> None:
        """Bring journal and notebook to the disk now."""
        self._hurry.set()
        if self._writer is not None:
            await self._writer
        self._hurry.clear()
        await asyncio.to_thread(self.journal.sync)

    def close(self) -> None:
        if self._sync_handle is not None:
            self._sync_handle.cancel()
        if self._writer is not None:
            self._writer.cancel()
        for overflow in self._overflows.values():
            overflow.close()
        self.journal.close()

    def overflow_of(self, execution: Execution) -> Overflow | None:
        """What of an execution's output went to a file so far; None if nothing did."""
        open_file = self._overflows.get(execution.number)
        if open_file is None or open_file.is_empty:
            return execution.overflow
        return open_file.so_far()

    def _overflow_of(self, execution: Execution) -> OverflowFile:
        overflow = self._overflows.get(execution.number)
        if overflow is None:
            path = self.folder(execution.generation) / "outputs" / f"{execution.number:04d}.txt"
            overflow = OverflowFile(path, self.storage_dir, execution.overflow)
            if not execution.is_final:
                self._overflows[execution.number] = overflow
        return overflow

    def _overflow(self, execution: Execution, overflow: OverflowFile, text: str) -> None:
        begins = overflow.is_empty and not execution.is_final
        try:
            overflow.write(execution.outputs, text)
        except OSError as error:
            raise storage_failed(overflow.path, error) from error
        finally:
            if execution.is_final:
                execution.overflow = overflow.close() or execution.overflow
        if begins:  # so that a hub that does not see the end still finds the file
            self.journal.write("overflow", n=execution.number, overflow=overflow.so_far().to_json())
        if execution.is_final and execution.overflow is not None:
            self.journal.write("overflow", n=execution.number, overflow=execution.overflow.to_json())

    def _close_overflow(self, execution: Execution) -> None:
        overflow = self._overflows.pop(execution.number, None)
        if overflow is not None:
            execution.overflow = overflow.close()

    def _sync_soon(self) -> None:
        if self._sync_handle is None:
            self._sync_handle = asyncio.get_running_loop().call_later(_SYNC_SECONDS, self._sync)

    def _sync(self) -> None:
        self._sync_handle = None
        asyncio.get_running_loop().run_in_executor(None, _quietly, self.journal.sync)

    def _write_soon(self) -> None:
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_notebook())

    async def _write_notebook(self) -> None:
        pause = _FIRST_WRITE_SECONDS
        while self._new_cells or self._changed_cells:
            await self._wait(pause)
            began = time.monotonic()
            try:
                await self._write_batch()
                pause = min(_LATEST_WRITE_SECONDS, (time.monotonic() - began) * _WRITING_SHARE)
                pause = max(pause, _FIRST_WRITE_SECONDS)
                self.notebook_problem = None
            except NotebookBusy as busy:
                pause = busy.retry_after
            except (OSError, StorageFailed) as error:
                if self.notebook_problem is None:
                    _log.exception("the notebook of %s cannot be written", self.session)
                self.notebook_problem = str(error)
                if self._hurry.is_set():
                    return  # the journal has it; the next hub writes it
                pause = _RETRY_SECONDS

    async def _wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), seconds)
        except (asyncio.TimeoutError, TimeoutError):
            return
        # Hurrying, but JupyterLab may be saving: its own short pause is kept.
        await asyncio.sleep(min(seconds, _FIRST_WRITE_SECONDS))

    async def _write_batch(self) -> None:
        for generation in sorted({execution.generation for execution in self._new_cells}):
            new = [execution for execution in self._new_cells if execution.generation == generation]
            await self._append(self._notebook_of(generation), new)
        while self._changed_cells:
            # Taken out before the write: what changes during it is a new change.
            number, execution = self._changed_cells.popitem()
            notebook = self._notebook_of(execution.generation)
            outputs = shown_outputs(execution)
            try:
                await asyncio.to_thread(notebook.replace_cell_outputs, execution.cell_id, outputs)
            except (NotebookBusy, OSError):
                self._changed_cells.setdefault(number, execution)
                raise

    async def _append(self, notebook: Notebook, new: list[Execution]) -> None:
        written = await asyncio.to_thread(self._append_missing, notebook, new)
        if written.set_aside is not None:
            _log.warning("a notebook that cannot be read was set aside: %s", written.set_aside)
            self.journal.write("set_aside", file=written.set_aside.name)
        self._doubtful.difference_update(execution.number for execution in new)
        self._new_cells = [execution for execution in self._new_cells if execution not in new]
        self.journal.write("written", numbers=[execution.number for execution in new])

    def _append_missing(self, notebook: Notebook, new: list[Execution]) -> Written:
        missing = [e for e in new if e.number not in self._doubtful or not notebook.has_cell(e.cell_id)]
        return notebook.append([cell for e in missing for cell in cells_of(e, self.storage_dir)])


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError:
        _log.exception("a journal could not be synced to disk")
