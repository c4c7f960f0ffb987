"""What a kernel says, brought to the executions that it belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from kernelexec.errors import StorageFailed
from kernelexec.kernels.wire import Message
from kernelexec.model.clock import BUSY, INPUT
from kernelexec.model.execution import Execution, Question
from kernelexec.model.outputs import size_of
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.recording.widget_messages import Taken
from kernelexec.session.events import Began
from kernelexec.session.executions import Executions
from kernelexec.session.foreign_runs import ForeignRuns
from kernelexec.session.happenings import Happenings
from kernelexec.session.late_output import LateOutput
from kernelexec.session.steps import reached
from kernelexec.session.troubles import Troubles

_OUTPUT_TYPES = frozenset(
    {"stream", "display_data", "execute_result", "error", "clear_output", "update_display_data"}
)


class Listener:
    """Takes every message of a session's kernels."""

    def __init__(
        self,
        executions: Executions,
        recorder: Recorder,
        troubles: Troubles,
        foreign_runs: ForeignRuns,
        happenings: Happenings,
    ) -> None:
        self._executions = executions
        self._recorder = recorder
        self._troubles = troubles
        self._foreign_runs = foreign_runs
        self._happenings = happenings
        self.late_output = LateOutput()
        self._held: dict[int, list[Message]] = {}  # by execution number

    def take(self, message: Message) -> None:
        held = self._held and self._executions.of_message(message.parent_id)
        if held and held.number in self._held:
            self._held[held.number].append(message)
            return
        if self._is_for_a_widget(message):
            return
        execution = self._executions.of_message(message.parent_id)
        if execution is None:
            self._foreign_runs.take(message)  # another client's, or an answer to a question of the hub
        else:
            self._take(execution, message)

    def hold(self, execution: Execution) -> None:
        """Keep its messages until what came before them is known."""
        self._held.setdefault(execution.number, [])

    def release(self, execution: Execution, before: Iterable[Message]) -> None:
        """Take these messages of an execution, then those that were held but for the same ones."""
        held = self._held.pop(execution.number, [])
        before = list(before)
        seen = {message.msg_id for message in before}
        for message in [*before, *(message for message in held if message.msg_id not in seen)]:
            if not self._is_for_a_widget(message):
                self._take(execution, message)

    def _take(self, execution: Execution, message: Message) -> None:
        if message.type == "status":
            self._on_status(execution, message)
        elif message.type == "execute_input":
            execution.execution_count = message.content.get("execution_count")
            execution.timing.began(INPUT, message.date, execution.submitted, now())
        elif message.type == "input_request":
            self._on_question(execution, message)
        elif message.type == "input_withdrawn":  # our kernel's, of a program that went on without an answer
            self._executions.asks(execution, None)
        elif message.type in _OUTPUT_TYPES:
            if execution.is_final:
                self.late_output.take(execution, message.type, message.content)
            reached(execution, "first output")
            self._executions.show(execution, message.type, message.content, message.serial)

    def _is_for_a_widget(self, message: Message) -> bool:
        try:
            taken = self._recorder.widget(
                message.type, message.content, message.buffers, message.parent_id, message.serial
            )
        except StorageFailed as error:
            self._troubles.add(f"The state of a widget could not be written to disk: {error.what}")
            return True
        if taken is Taken.LEFT_OUT:
            self._count(message)
        return taken is not Taken.NOT_A_WIDGETS

    def _count(self, message: Message) -> None:
        """A widget's message that there is no room for: its run says so at its end."""
        execution = self._executions.of_message(message.parent_id)
        if execution is not None:
            size = size_of(message.content) + sum(map(len, message.buffers))
            self._recorder.widgets.leave_out(execution, size)
            if execution.is_final:
                self._executions.tell_left_out(execution)

    def _on_question(self, execution: Execution, message: Message) -> None:
        if not execution.is_final:
            # On another channel than the news that the kernel is busy with it.
            self._happenings.happened(Began(execution.number))
            prompt, password = message.content.get("prompt", ""), message.content.get("password", False)
            self._executions.asks(execution, Question(str(prompt), bool(password)))

    def _on_status(self, execution: Execution, message: Message) -> None:
        state = message.content.get("execution_state")
        if execution.is_final or state not in ("busy", "idle"):
            return
        reached(execution, "began" if state == "busy" else "idle")
        if state == "idle":
            execution.timing.idle(message.date, now())
        else:
            execution.timing.began(BUSY, message.date, execution.submitted, now())
            self._happenings.happened(Began(execution.number))
