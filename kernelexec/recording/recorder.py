"""The recorder of one session: what was submitted and what came of it, on disk.

The only writer of CODE_STORAGE_DIR. Journal and script come before the next step of a submission;
the notebook follows behind, off the path of the reply.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, Kind, Overflow, State
from kernelexec.model.limits import Limits
from kernelexec.model.outputs import display_id, late_label, size_of
from kernelexec.model.widgets import WidgetStates
from kernelexec.recording import execution_lines
from kernelexec.recording.history import History, load_execution
from kernelexec.recording.journal import Journal, now, storage_failed
from kernelexec.recording.last_updates import LastUpdates
from kernelexec.recording.notebooks import Notebooks
from kernelexec.recording.opened_writer import OpenedWriter
from kernelexec.recording.output_folder import OutputFolder
from kernelexec.recording.pages import Pages
from kernelexec.recording.records import Records
from kernelexec.recording.script import SpareFile, script_name, write_script
from kernelexec.recording.sittings import Sittings
from kernelexec.recording.spill import Spill
from kernelexec.recording.spooled import discard
from kernelexec.recording.widget_messages import Taken, WidgetMessages

_log = logging.getLogger(__name__)

_EXTENSION = re.compile(r"\.[A-Za-z0-9]{1,10}")
_ALL_OF_IT = frozenset({"data"})  # of a display is what an update sets
_SYNC_SECONDS = 1.0  # what a power cut may take
_RETRY_SECONDS = 5.0  # where a disk is full
# What adds to a cell, and is told to be late when it comes after the end.
_ADDITIONS = frozenset({"stream", "display_data", "execute_result", "error"})


class Recorder:
    """Writes one session's journal, scripts, notebooks and large outputs."""

    def __init__(self, storage_dir: Path, session: str, journal: Journal, pages: Pages | None = None) -> None:
        self.storage_dir = storage_dir
        self.session = session
        self._pages = pages
        self._serial: int | None = None  # of the message that is being kept
        self.journal = journal
        self.limits = Limits()  # the last caller's
        self.extension = ".py"  # of scripts
        self.spool: Path | None = None  # where the kernel puts what is too large for a message
        # An execution of the past by its number: a display that it has made may be updated later.
        self.recall: Callable[[int], Execution | None] = self._load
        self.sittings = Sittings()
        self.notebooks: Notebooks | OpenedWriter = Notebooks(
            session, storage_dir, journal, self.sittings, pages
        )
        self._spills: dict[int, Spill] = {}  # of the executions that have no end yet
        self._late: dict[int, int] = {}  # by execution: characters that it got after its end
        self._displays: dict[str, set[int]] = {}  # display id -> which executions show it
        self._updates = LastUpdates(journal)
        self.widgets = WidgetMessages(journal, self._updates)
        self._generation = 0
        self._folders: dict[int, Path] = {}  # by number
        self._spare = SpareFile()  # the next script
        self._sync_handle: asyncio.TimerHandle | None = None

    @property
    def opened(self) -> OpenedWriter | None:
        """The notebook of the person's that the session works in, if it does."""
        return self.notebooks if isinstance(self.notebooks, OpenedWriter) else None

    def open_notebook(self, path: Path, by: str | None = None) -> OpenedWriter:
        """From now on what is run belongs to this notebook. What was to be written to the one before is
        flushed before. `by`: the caller who wants it so; None: an earlier hub's.

        Raises:
            StorageFailed: the next hub would not know it; nothing changed.
        """
        if by is not None:
            self.journal.write("notebook", path=str(path), by=by)
        self.notebooks.close()
        opened = self.notebooks = OpenedWriter(self.journal, path, self._pages)
        return opened

    @property
    def notebook_problem(self) -> str | None:
        """Why the notebook is not current."""
        return self.notebooks.problem

    def notebook_path(self, generation: int) -> Path:
        return self.notebooks.path(generation)

    def goes_on_below_a_heading(self, generation: int) -> bool:
        """Whether the cells of this generation are in the notebook of an earlier kernel."""
        return self.opened is None and self.sittings.number(generation) != generation

    def folder(self, generation: int) -> Path:
        number = self.sittings.number(generation)
        folder = self._folders.get(number)
        if folder is None:
            folder = self._folders[number] = Records(self.storage_dir, self.session, number).folder
        return folder

    def begin_generation(self, generation: int, metadata: Mapping[str, Any]) -> None:
        """The cells of this generation go to the notebook of its sitting; a new one gets this metadata."""
        self.write_updates()
        self.sittings.number(generation, now())
        extension = metadata.get("language_info", {}).get("file_extension", "")
        if isinstance(extension, str) and _EXTENSION.fullmatch(extension):
            self.extension = extension  # as the kernel itself says
        self._displays.clear()
        widgets = self.widgets.begin(generation)
        self.notebooks.begin(generation, metadata)
        self.notebooks.show_widgets(generation, widgets)
        self._generation = generation

    def restore(self, history: History) -> None:
        """Go on from what earlier hubs have recorded."""
        if history.opened is not None:
            self.open_notebook(Path(history.opened)).last_touched = history.last_cell
        for generation, metadata in history.notebooks.items():
            self.sittings.begin(generation, history.numbers.get(generation, generation))
            self.begin_generation(generation, metadata)
        if history.last_used is not None:
            self.sittings.use(history.last_used, *history.ledgers, *history.kept)
        self.limits = history.limits
        self.notebooks.restore(history.ledgers)
        self.notebooks.set_aside += history.set_aside
        for generation, widgets in history.widgets.items():
            self.notebooks.show_widgets(generation, widgets)
        self.widgets.restore(history.widgets, self._generation)
        self._displays = {identity: set(numbers) for identity, numbers in history.displays.items()}
        for execution in history.unwritten:
            self.notebooks.add(execution)
        for number in history.outdated:
            outdated = self.recall(number)
            if outdated is not None and outdated.is_final:  # else its end brings it
                self.notebooks.change(outdated)

    def accept(self, execution: Execution, within: int | None = None, request: str = "") -> None:
        """The submission and its script are on disk when this returns.

        `within`: the replay that it is a part of; `request`: the id of its caller's request, as JSON.

        Raises:
            StorageFailed: they are not, and the code must not be run.
        """
        if not self.journal.is_in_place:
            raise StorageFailed(
                f"The session's journal {self.journal.path} was deleted or moved away.",
                f"Put it back, or end the session with: kernelexec stop {self.session}",
            )
        self.sittings.number(execution.generation, now())
        self.sittings.use(now())
        if execution.kind is Kind.CODE:
            self._write_script(execution)
        try:
            fields = execution_lines.submitted(execution, self.storage_dir, self.limits, within, request)
            self.journal.write("submitted", **fields)
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
            execution.script = write_script(folder, name, execution.code, self._spare)
        except OSError as error:
            raise storage_failed(folder, error) from error

    def queued(self, execution: Execution) -> None:
        """It was accepted and waits for its turn."""
        if execution.kind is Kind.CODE:
            self.notebooks.queue(execution)

    def sent(self, execution: Execution, msg_id: str) -> None:
        self.notebooks.touch()
        self.journal.write("sent", n=execution.number, msg_id=msg_id)
        self.notebooks.show(execution)
        # Once it has been sent, which comes in this turn of the loop.
        asyncio.get_running_loop().call_soon(self._spare.make, self.folder(execution.generation))

    def began(self, execution: Execution) -> None:
        """The kernel runs it now."""
        self.notebooks.show(execution)

    def output(
        self,
        execution: Execution,
        message_type: str,
        content: Mapping[str, Any],
        serial: int | None = None,
    ) -> None:
        """Keep one output message of an execution, also one that comes after its end.

        `serial`, the message's number among the kernel's, lets a later hub tell what it has not heard.

        Raises:
            StorageFailed: it is kept in memory only.
        """
        self._serial = serial
        self._sync_soon()
        self.notebooks.touch()
        if message_type not in ("stream", "error", "clear_output"):
            self._update_elsewhere(execution, message_type, content)
        try:
            if execution.is_final and message_type in _ADDITIONS and not execution.outputs.is_late:
                self._keep(execution, "display_data", late_label(now().strftime("%Y-%m-%d %H:%M:%S UTC")))
            self._divide(execution, message_type, content)
        finally:
            discard(content, self.spool)
            if execution.is_final:
                self.notebooks.change(execution)
            elif execution.kind is Kind.CODE:
                self.notebooks.show(execution)

    def widget(
        self,
        message_type: str,
        content: Mapping[str, Any],
        buffers: Sequence[bytes],
        parent: str | None,
        serial: int | None = None,
    ) -> Taken:
        """Keep what a message says of a widget.

        Raises:
            StorageFailed: it is kept in memory only.
        """
        self.widgets.limits = self.limits
        taken = self.widgets.take(message_type, content, buffers, parent, serial)
        if taken is not Taken.NOT_A_WIDGETS:
            discard(content, self.spool)
        if taken is Taken.KEPT:
            self._sync_soon()
            self.notebooks.touch()
            self.notebooks.widgets_changed(self._generation)
        return taken

    def widgets_of(self, execution: Execution) -> WidgetStates:
        """The widgets of the execution's kernel."""
        return self.widgets.of(execution)

    def update_displays(self, content: Mapping[str, Any], but: Execution | None = None) -> None:
        """Bring an update of a display to all executions that show it.

        Raises:
            StorageFailed: it is kept in memory only.
        """
        for number in sorted(self._displays.get(display_id(content) or "", ())):
            if but is not None and number == but.number:
                continue
            execution = self.recall(number)
            if execution is not None:
                self._divide(execution, "update_display_data", content)
                if execution.is_final:
                    self.notebooks.change(execution)

    def _update_elsewhere(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        identity = display_id(content)
        if identity is None:
            return
        self.update_displays(content, but=execution)
        if message_type != "update_display_data":
            self._displays.setdefault(identity, set()).add(execution.number)

    def _divide(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        """What fits a cell to the cell, the rest to files."""
        spill = self._spill(execution)
        overflowed, before = spill.overflows, execution.overflow
        try:
            for kept_type, kept in spill.fit(message_type, content):
                self._keep(execution, kept_type, kept)
        finally:
            if execution.is_final:
                execution.overflow = spill.close() or execution.overflow
                self._late[execution.number] = spill.kept
        if execution.is_final:
            if execution.overflow != before:
                self._note_overflow(execution)
        elif spill.overflows and not overflowed:  # so that a hub that does not see the end finds the file
            self.journal.keep("overflow", n=execution.number, overflow=spill.so_far().to_json())

    def _note_overflow(self, execution: Execution) -> None:
        if execution.overflow is not None:
            self.journal.keep("overflow", n=execution.number, overflow=execution.overflow.to_json())

    def _keep(self, execution: Execution, message_type: str, content: Mapping[str, Any]) -> None:
        if execution.outputs.add(message_type, content) or message_type == "clear_output":
            fields = {"n": execution.number, "type": message_type, "content": content}
            if self._serial is not None:
                fields["s"] = self._serial
            identity = (execution.number, display_id(content))
            if message_type == "update_display_data":
                self._updates.keep(identity, "output", fields, size_of(content), _ALL_OF_IT)
            else:
                self._updates.write(identity)
                self.journal.keep("output", **fields)

    def _spill(self, execution: Execution) -> Spill:
        spill = self._spills.get(execution.number)
        if spill is None:
            path = self.folder(execution.generation) / "outputs"
            outputs = OutputFolder(path, self.storage_dir, lambda: self.journal.is_in_place)
            spill = Spill(execution, outputs, self.limits, self._late.get(execution.number, 0), self.spool)
            if not execution.is_final:
                self._spills[execution.number] = spill
        return spill

    def finished(self, execution: Execution) -> None:
        """The execution is in a final state; its cell follows."""
        spill = self._spills.pop(execution.number, None)
        if spill is not None:
            execution.overflow = spill.close() or execution.overflow
        self.write_updates()
        try:
            self.journal.keep("finished", **execution_lines.finished(execution))
        finally:
            self._sync_soon()
            self.notebooks.touch()
            if execution.state is not State.NOT_RUN:
                self.sittings.use(now(), execution.generation)
                self.notebooks.add(execution)
            else:
                self.notebooks.leave_out(execution)

    def is_written(self, execution: Execution) -> bool:
        """Whether all of a finished execution is on disk, so that memory need not hold it."""
        return self.notebooks.is_written(execution)

    async def flush(self) -> None:
        """Bring journal and notebook to the disk now."""
        self.write_updates()
        await self.notebooks.flush()
        await asyncio.to_thread(_quietly, self.journal.sync)

    def close(self) -> None:
        if self._sync_handle is not None:
            self._sync_handle.cancel()
        self.write_updates()
        self.notebooks.close()
        for spill in self._spills.values():
            spill.close()
        self._spare.close()
        self.journal.close()

    def overflow_of(self, execution: Execution) -> Overflow | None:
        """What of an execution's output went to a text file so far; None if nothing did."""
        spill = self._spills.get(execution.number)
        return spill.so_far() if spill is not None and spill.overflows else execution.overflow

    def _load(self, number: int) -> Execution | None:
        self.write_updates()
        return load_execution(self.journal, self.session, self.storage_dir, number)

    def write_updates(self) -> None:
        """What the journal is to have before any of it is read (see LastUpdates)."""
        self._updates.write_all()

    def _sync_soon(self) -> None:
        if self._sync_handle is None:
            self._sync_handle = asyncio.get_running_loop().call_later(_SYNC_SECONDS, self._sync)

    def _sync(self) -> None:
        self._sync_handle = None
        self.write_updates()
        self.journal.catch_up()
        if self.journal.is_behind:
            self._sync_handle = asyncio.get_running_loop().call_later(_RETRY_SECONDS, self._sync)
            return
        asyncio.get_running_loop().run_in_executor(None, _quietly, self.journal.sync)


def _quietly(action: Callable[[], None]) -> None:
    try:
        action()
    except OSError:
        _log.exception("a journal could not be synced to disk")
