"""One submission's run: sent to the kernel, and brought to the end that the kernel tells."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kernelexec.errors import StorageFailed
from kernelexec.kernels.kernel import Kernel, KernelDied, Reply
from kernelexec.model.execution import Execution, State
from kernelexec.recording.recorder import Recorder
from kernelexec.session.executions import Executions
from kernelexec.session.generations import Generations

_LONGEST_SAID = 300  # characters of an exception
_LEAVING_SECONDS = 5.0  # a kernel that was asked to exit does so 0.1 s after its reply


class Runs:
    """Runs the submissions of a session in the kernel that sits there."""

    def __init__(self, executions: Executions, recorder: Recorder, generations: Generations) -> None:
        self.current: Execution | None = None
        self._executions = executions
        self._recorder = recorder
        self._generations = generations

    async def run(self, execution: Execution, kernel: Kernel) -> None:
        """Send it, and see it through."""
        self.current = execution
        try:
            await self._see_through(execution, kernel)
        finally:
            self.current = None

    async def _see_through(self, execution: Execution, kernel: Kernel) -> None:
        try:
            reply = await self._send(execution, kernel)
            self._learn_names(reply.metadata)
            if _is_leaving(reply):  # what waits must not be sent to it
                await asyncio.wait({kernel.died}, timeout=_LEAVING_SECONDS)
        except KernelDied:
            await self.finish_dead(execution, kernel)
        except StorageFailed as error:
            self._executions.finish(execution, State.NOT_RUN, str(error))
        else:
            self.finish_with(execution, reply, kernel)

    async def _send(self, execution: Execution, kernel: Kernel) -> Reply:
        while True:
            msg_id, frames = kernel.pack(execution.code)
            self._recorder.sent(execution, msg_id)
            self._executions.sent(execution, msg_id)
            execution.advance(State.SENT)
            self._generations.ran += 1
            reply = await kernel.execute(msg_id, frames)
            if reply.status != "aborted":
                return reply
            # Another client's error emptied the kernel's queue; it never ran.
            execution.advance(State.QUEUED)
            execution.started = None
            execution.timing.clear()

    async def finish_dead(self, execution: Execution, kernel: Kernel) -> None:
        """The kernel ended before it answered: was it running this?"""
        death = await kernel.died
        problem = self._generations.death_text(death.cause)
        if death.stderr:
            problem += f"\nThe end of its stderr:\n{death.stderr}"
        msg_id = self._executions.msg_id(execution)
        never_begun = death.begun is not None and death.begun != msg_id
        if execution.state is State.SENT and never_begun:
            self._executions.finish(execution, State.NOT_RUN, problem)
        else:
            self._executions.finish(execution, State.DIED, problem)

    def finish_with(
        self, execution: Execution, reply: Reply, kernel: Kernel, remark: str | None = None
    ) -> None:
        """The end that a reply tells. `remark`: what else is to be said of it."""
        execution.timing["shell.execute_reply"] = reply.date
        if "started" in reply.metadata:
            execution.timing["shell.execute_reply.started"] = reply.metadata["started"]
        if reply.content.get("execution_count") is not None:
            execution.execution_count = reply.content["execution_count"]
        missing = _missing(reply)
        asked = execution.interrupt
        name = reply.content.get("ename")
        if reply.status == "ok":
            end = _both(self._remark(execution, kernel) or remark, missing)
            self._executions.finish(execution, State.OK, end)
        # A coroutine that waits is interrupted by its cancellation.
        elif name == "KeyboardInterrupt" or (asked and name == "CancelledError"):
            problem = f"{asked or 'Interrupted, not by this client.'} Variables are kept."
            self._executions.finish(execution, State.INTERRUPTED, _both(problem, missing))
        else:
            told = _both(remark, _told_elsewhere(execution, reply))
            self._executions.finish(execution, State.ERROR, _both(told, missing))

    def _remark(self, execution: Execution, kernel: Kernel) -> str | None:
        """What is to be said of a run that ended well."""
        if kernel.died.done() and not kernel.died.cancelled():
            return self._generations.death_text(kernel.died.result().cause)
        if execution.interrupt:
            why = "the interrupt came too late, or the code caught it"
            return f"{execution.interrupt} It ended by itself: {why}."
        return None

    def _learn_names(self, metadata: Mapping[str, object]) -> None:
        said = metadata.get("kernelexec")
        names = said.get("names") if isinstance(said, Mapping) else None
        if isinstance(names, list):
            self._generations.names = tuple(map(str, names))


def _missing(reply: Reply) -> str | None:
    """What is to be said of output that a kernel has thrown away."""
    if not reply.lost:
        return None
    return (
        f"Output is missing, here and in the notebook: the kernel dropped up to {reply.lost:,} messages, "
        "because it printed faster than they could be fetched. A kernel that is not kernelexec's own does "
        "that; print less at once, or write to a file."
    )


def _both(first: str | None, second: str | None) -> str | None:
    return " ".join(filter(None, (first, second))) or None


def _is_leaving(reply: Reply) -> bool:
    """Whether the code called exit() or quit()."""
    payloads = reply.content.get("payload") or ()
    return any(p.get("source") == "ask_exit" and not p.get("keepkernel") for p in payloads)


def _told_elsewhere(execution: Execution, reply: Reply) -> str | None:
    """What failed, where no error message says so: IPython prints an ExceptionGroup's traceback on stderr."""
    if any(output["output_type"] == "error" for output in execution.outputs.to_notebook()):
        return None
    name, value = reply.content.get("ename"), reply.content.get("evalue")
    said = ": ".join(str(part)[:_LONGEST_SAID] for part in (name, value) if part)
    return f"It raised {said}" if said else None
