"""One submission's run: sent to the kernel, and brought to the end that the kernel tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kernelexec.errors import KernelexecError, StorageFailed
from kernelexec.kernels.kernel import Kernel, KernelDied, NotSent, Reply, ReplyLost
from kernelexec.model.execution import Execution, State
from kernelexec.model.payloads import Payloads
from kernelexec.model.variable_names import VariableNames
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Aborted, Ended, NoKernel, NoReply, Sent
from kernelexec.session.executions import Executions
from kernelexec.session.generations import Generations
from kernelexec.session.happenings import Happenings
from kernelexec.session.kernel_remarks import remarks_of_kernel
from kernelexec.session.outcomes import both, told_by
from kernelexec.session.steps import reached
from kernelexec.session.surroundings import Surroundings
from kernelexec.system_errors import in_words

_LONGEST_NAME = 100  # characters of an exception's name
_REPLY_LOST = (
    "The link to its kernel was down while it ran; the kernel lives, and does not remember how it ended. Its "
    "effects stay: look before you run it again."
)
_LEAVING_SECONDS = 5.0  # a kernel that was asked to exit does so 0.1 s after its reply


class Runs:
    """Runs the submissions of a session in its kernel."""

    def __init__(
        self,
        executions: Executions,
        recorder: Recorder,
        generations: Generations,
        happenings: Happenings,
    ) -> None:
        self.current: Execution | None = None  # what the kernel was sent and has not answered
        self._executions = executions
        self._recorder = recorder
        self._generations = generations
        self._happenings = happenings

    async def run(self, execution: Execution, surroundings: Surroundings | None) -> None:
        """Bring it to the kernel, which is started in these surroundings if there is none, and to its end."""
        try:
            kernel = await self._generations.ready_kernel(surroundings)
        except (KernelexecError, OSError) as error:
            if not execution.is_final:
                self._happenings.happened(NoKernel(in_words(error)))
            return
        if execution.state is State.QUEUED:  # else it was taken back while the kernel started
            reached(execution, "kernel ready")
            self.current = execution
            try:
                await self._see_through(execution, kernel)
            finally:
                self.current = None

    async def _see_through(self, execution: Execution, kernel: Kernel) -> None:
        try:
            reply = await self._send(execution, kernel)
            gone = self._learn_names(reply.metadata)
            if Payloads.of(reply.content).is_leaving:  # what waits must not be sent to it
                await asyncio.wait({kernel.died}, timeout=_LEAVING_SECONDS)
            if kernel.died.done():
                await self._generations.end_of(kernel)
        except KernelDied:
            await self.finish_dead(execution, kernel)
        except ReplyLost:
            self._happenings.happened(Ended(execution.number, State.UNKNOWN, _REPLY_LOST))
        except NotSent as error:
            self._happenings.happened(Ended(execution.number, State.NOT_RUN, str(error)))
        except StorageFailed as error:
            self._happenings.happened(Ended(execution.number, State.NOT_RUN, in_words(error)))
        else:
            self.finish_with(execution, reply, kernel, lost=gone)

    async def _send(self, execution: Execution, kernel: Kernel) -> Reply:
        while True:
            source = execution.source
            file = None if source is None else str(self._recorder.storage_dir / source)
            saved = None if execution.script is None else str(execution.script)
            msg_id, frames = kernel.pack(execution.code, file, saved, self._recorder.limits)
            self._recorder.sent(execution, msg_id)
            self._executions.sent(execution, msg_id)
            self._happenings.happened(Sent(execution.number, msg_id))
            reached(execution, "sent")
            reply = await kernel.execute(msg_id, frames)
            reached(execution, "replied", reply.heard)
            if reply.status != "aborted":
                return reply
            self._happenings.happened(Aborted(execution.number))

    async def finish_dead(self, execution: Execution, kernel: Kernel) -> None:
        """The kernel ended before it answered."""
        await self._generations.end_of(kernel)
        self._show_last_prints(execution, kernel)
        self._happenings.happened(NoReply(execution.number))

    def _show_last_prints(self, execution: Execution, kernel: Kernel) -> None:
        """What it printed and the kernel could not send any more."""
        death = kernel.died.result() if kernel.died.done() else None
        received = execution.received
        if death is None or received is None or death.begun != self._executions.msg_id(execution):
            return
        for name, printed in death.printed.items():
            text = printed.after(received.get(name, 0))
            if text:
                self._executions.show(execution, "stream", {"name": name, "text": text})

    def finish_with(
        self,
        execution: Execution,
        reply: Reply,
        kernel: Kernel,
        remark: str | None = None,
        lost: str | None = None,
    ) -> None:
        """The end that a reply tells. `remark`: what else is to be said of it; `lost`: what went with it."""
        started = str(reply.metadata["started"]) if "started" in reply.metadata else None
        execution.timing.ended(reply.date, started, now(), at_once=remark is None)
        if reply.content.get("execution_count") is not None:
            execution.execution_count = reply.content["execution_count"]
        for display in Payloads.of(reply.content).displays(execution.outputs.to_notebook()):
            self._executions.show(execution, "display_data", display)
        has_ended = kernel.died.done()  # it called exit(), or died as soon as it had replied
        outcome = told_by(execution, reply, remark, kernel_is_there=not has_ended)
        execution.was_interrupted = outcome.was_interrupted
        if outcome.state is not State.OK:
            execution.error = _name_of_error(reply)
        problem = both(outcome.problem, _besides(reply))
        self._happenings.happened(
            Ended(execution.number, outcome.state, problem, lost, with_kernel=has_ended)
        )

    def _learn_names(self, metadata: Mapping[str, object]) -> str | None:
        """What variables there are now; what of it the run has taken away (%reset), if that is most."""
        said = metadata.get("kernelexec")
        names = VariableNames.told_by(said) if isinstance(said, Mapping) else None
        if names is None:
            return None
        before, self._generations.names = self._generations.names, names
        return names.taken_since(before)


def _missing(reply: Reply) -> str | None:
    """What is to be said of output that a kernel has thrown away."""
    if not reply.lost:
        return None
    return (
        f"Output is missing, here and in the notebook: the kernel dropped up to {reply.lost:,} messages, "
        "because it printed faster than they could be fetched. A kernel that is not kernelexec's own does "
        "that; print less at once, or write to a file."
    )


def _besides(reply: Reply) -> str | None:
    """What is to be said of a run however it ended."""
    payloads = Payloads.of(reply.content)
    return (
        " ".join(filter(None, (*payloads.remarks(), _missing(reply), *remarks_of_kernel(reply.metadata))))
        or None
    )


def _name_of_error(reply: Reply) -> str | None:
    """None for what IPython says of an error in showing an object: NoneType."""
    name = str(reply.content.get("ename") or "")[:_LONGEST_NAME]
    return None if name in ("", "NoneType") else name
