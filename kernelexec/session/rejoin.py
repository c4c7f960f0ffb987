"""A run that goes on while one hub ends and the next begins: its output and its end are found again.

The kernel remembers the last of both (kernelspecs/kernel/recollection.py). Nothing is ever run a second time.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from kernelexec.errors import KernelexecError
from kernelexec.kernels.kernel import Findings, Kernel, KernelDied, Reply
from kernelexec.kernels.wire import Message
from kernelexec.model.clock import BUSY, read_moment
from kernelexec.model.execution import Execution, State
from kernelexec.session.events import Began, Ended
from kernelexec.session.executions import Executions
from kernelexec.session.generations import Generations
from kernelexec.session.happenings import Happenings
from kernelexec.session.interrupts import Interrupts
from kernelexec.session.listener import Listener
from kernelexec.session.runs import Runs

_STOPPED_SECONDS = 1.0  # between two looks at a kernel that a signal has stopped
_ALL = "The hub was replaced while it ran; its output was recovered."
_GAP = "The hub was replaced while it ran; some output between the two hubs may be missing."


class Rejoin:
    """Goes on with what an earlier hub had sent to the kernel."""

    def __init__(
        self,
        executions: Executions,
        generations: Generations,
        runs: Runs,
        listener: Listener,
        interrupts: Interrupts,
        happenings: Happenings,
    ) -> None:
        self._interrupts = interrupts
        self._happenings = happenings
        self._executions = executions
        self._generations = generations
        self._runs = runs
        self._listener = listener

    async def go_on(self, execution: Execution, kernel: Kernel, last_heard: int | None) -> None:
        """See a run through. `last_heard`: the serial of its last message that is in the journal."""
        msg_id = self._executions.msg_id(execution)
        assert msg_id is not None  # it was sent
        execution.received = None
        self._runs.current = execution
        coming = asyncio.ensure_future(self._reply(kernel, msg_id))
        try:
            found = await self._look(kernel, msg_id)
            remark = self._recover(execution, found, last_heard)
            reply = found.reply
            if reply is None:
                self._is_running(execution, found, msg_id)
            self._count_from_begin(execution)
            if reply is None:
                reply = await coming
            if reply is None:
                found = await kernel.look(msg_id, messages=True)
                reply = found.reply
            if kernel.died.done():
                await self._generations.end_of(kernel)
            self._finish(execution, kernel, found, reply, remark)
        except KernelDied:
            await self._runs.finish_dead(execution, kernel)
        finally:
            coming.cancel()
            self._listener.release(execution, ())
            self._runs.current = None

    async def _reply(self, kernel: Kernel, msg_id: str) -> Reply | None:
        # Only once the subscription is in place will the run's idle reach us.
        while not kernel.died.done():
            # Suppressed: it is in native code for longer than a start may take.
            with contextlib.suppress(KernelexecError, KernelDied):
                await self._generations.hear_from(kernel)
                break
        return await kernel.rejoin(msg_id)

    async def _look(self, kernel: Kernel, msg_id: str) -> Findings:
        """What the kernel knows; asked again until it answers."""
        while True:
            ready = asyncio.ensure_future(self._generations.hear_from(kernel))
            either: set[asyncio.Future[Any]] = {ready, kernel.died}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            ready.add_done_callback(lambda done: done.cancelled() or done.exception())
            if kernel.died.done():
                raise KernelDied
            found = await kernel.look(msg_id, messages=True)
            if found.answered:
                return found
            if found.stopped:
                await asyncio.sleep(_STOPPED_SECONDS)

    def _recover(self, execution: Execution, found: Findings, last_heard: int | None) -> str:
        """Take what was missed; the remark on it for the run's end."""
        if execution.overflow is not None:  # which of it is in the file already cannot be told
            self._listener.release(execution, [m for m in found.messages if m.type != "stream"])
            return _GAP
        # When it began the old hub knew, and did not write down.
        began = [m for m in found.messages if m.type == "execute_input" or _is_busy(m)]
        missed = [*began, *(m for m in _after(found.messages, last_heard) if m not in began)]
        self._listener.release(execution, missed)
        whole = found.complete or (last_heard is not None and len(missed) < len(found.messages))
        return _ALL if whole else _GAP

    def _is_running(self, execution: Execution, found: Findings, msg_id: str) -> None:
        if execution.state is State.SENT and (found.running == msg_id or not found.tells):
            self._happenings.happened(Began(execution.number))
        if found.question is not None and found.running == msg_id:
            self._executions.asks(execution, found.question)

    def _count_from_begin(self, execution: Execution) -> None:
        """It began when its kernel says, else not long after it was sent; not when this hub heard of it."""
        if execution.started is not None:
            said = read_moment(execution.timing.get(BUSY, ""))
            execution.started = said or execution.sent or execution.started
            self._interrupts.measure(execution)

    def _finish(
        self, execution: Execution, kernel: Kernel, found: Findings, reply: Reply | None, remark: str
    ) -> None:
        if reply is not None and reply.status != "aborted":
            self._runs.finish_with(execution, reply, kernel, remark)
            return
        state, problem = State.UNKNOWN, f"The hub ended while it ran; its end was not seen. {remark}"
        if reply is not None or (found.tells and not found.begun):
            state, problem = State.NOT_RUN, "The hub ended before the kernel had begun with it."
        self._happenings.happened(Ended(execution.number, state, problem))


def _is_busy(message: Message) -> bool:
    return message.type == "status" and message.content.get("execution_state") == "busy"


def _after(messages: tuple[Message, ...], last_heard: int | None) -> list[Message]:
    """The messages after the one with this serial: by their order, which is that of sending."""
    if last_heard is None:
        return list(messages)
    places = [place for place, message in enumerate(messages) if message.serial == last_heard]
    if places:
        return list(messages[places[-1] + 1 :])
    return [message for message in messages if (message.serial or 0) > last_heard]
