"""What other clients run on a session's kernel: the person's own cells in JupyterLab, for example.

They are no executions of ours: no file, no cell in our notebook (whoever ran them keeps them). They are
kept in the journal and told to the assistant, for they may have changed its variables.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.kernels.wire import Message
from kernelexec.model.outputs import CellOutputs, size_of
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import ForeignRun
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings
from kernelexec.session.notices import foreign_cell
from kernelexec.session.troubles import Troubles

_log = logging.getLogger(__name__)

_RUNNING_AT_MOST = 100  # a client that leaves before its cell's end must not fill the memory


@dataclass
class _Cell:
    """One run of another client, from its first message to its idle."""

    count: int | None
    outputs: CellOutputs = field(default_factory=CellOutputs)
    left_out: int = 0  # characters of output beyond what a cell may hold


class ForeignRuns:
    """Takes the messages of a session's kernels that belong to no execution of ours."""

    def __init__(
        self, executions: Executions, recorder: Recorder, troubles: Troubles, happenings: Happenings
    ) -> None:
        self._executions = executions
        self._recorder = recorder
        self._troubles = troubles
        self._happenings = happenings
        self._running: dict[str, _Cell] = {}  # by the msg_id of its request

    @property
    def running(self) -> str | None:
        """The request of the cell that the kernel runs for another client."""
        return next(reversed(self._running), None)

    def kernel_ended(self) -> None:
        """Nothing runs any more."""
        self._running.clear()

    def take(self, message: Message) -> None:
        """One message. Only what has published its input is a cell: a silent request is none."""
        parent = message.parent_id or ""
        if message.type == "execute_input":
            self._begin(parent, message)
        elif message.type == "update_display_data":
            self._update_ours(message)
        elif parent in self._running:
            if message.type == "status" and message.content.get("execution_state") == "idle":
                self._end(parent)
            elif message.type != "status":
                self._keep(self._running[parent], message)

    def _begin(self, parent: str, message: Message) -> None:
        code, count = message.content.get("code"), message.content.get("execution_count")
        if not parent or not isinstance(code, str):
            return
        while len(self._running) >= _RUNNING_AT_MOST:
            self._running.pop(next(iter(self._running)))
        cell = self._running[parent] = _Cell(count if isinstance(count, int) else None)
        self._happenings.happened(ForeignRun(foreign_cell(cell.count, code)))
        self._executions.touch()
        self._note("other", msg_id=parent, client=message.parent_session, count=cell.count, code=code)

    def _keep(self, cell: _Cell, message: Message) -> None:
        size = size_of(message.content)
        if cell.outputs.size + size > self._recorder.limits.cell:
            cell.left_out += size
        else:
            cell.outputs.add(message.type, message.content)

    def _update_ours(self, message: Message) -> None:
        """A display handle that a run of ours has made, updated from elsewhere."""
        try:
            self._recorder.update_displays(message.content)
        except StorageFailed as error:
            self._troubles.add(f"An update of a display could not be written to disk: {error.what}")

    def _end(self, parent: str) -> None:
        cell = self._running.pop(parent)
        self._executions.touch()
        self._note("other_ended", msg_id=parent, outputs=cell.outputs.to_notebook(), left_out=cell.left_out)

    def _note(self, event: str, **fields: Any) -> None:
        try:
            self._recorder.journal.keep(event, **fields)
        except StorageFailed:
            _log.exception(
                "session %s: what another client ran is not in the journal", self._recorder.session
            )
