"""Interrupts: a run is asked to stop, and no other; then it is looked at what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Protocol, TypeVar

from kernelexec.kernels.kernel import Kernel
from kernelexec.model.execution import Execution, State
from kernelexec.recording.journal import now
from kernelexec.session.events import TakenBack
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings
from kernelexec.session.obstacles import describe

T = TypeVar("T")
_GRACE_SECONDS = 1.5  # most runs end within 0.1 s of an interrupt; cleaning up may take longer
_TRACEBACK_SECONDS = 5.0  # on a busy machine; a kernel's first also imports what it needs


class HasKernel(Protocol):
    """Who knows the present kernel."""

    @property
    def kernel(self) -> Kernel | None: ...


class Interrupts:
    """Interrupts the runs of one session."""

    def __init__(self, executions: Executions, of: HasKernel, happenings: Happenings) -> None:
        self._executions = executions
        self._of = of
        self._happenings = happenings
        # Asked to stop before they had begun, and whether that reached them all the same.
        self._early: dict[int, asyncio.Task[bool]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}  # of what may run for so long only
        self._background: set[asyncio.Task[Any]] = set()

    async def cancel(self, execution: Execution, why: str) -> None:
        """Interrupt a run; take a queued submission back."""
        if await self._ask(execution, why):
            self._in_background(self._look(execution))

    async def interrupt(self, execution: Execution, why: str) -> None:
        """The same; returns when it has ended, or when it is known what keeps it (`obstacle`)."""
        if await self._ask(execution, why):
            await self._look(execution)

    async def _ask(self, execution: Execution, why: str) -> bool:
        """Whether there is a run that was asked to stop."""
        if execution.is_final:
            return False
        if execution.state is State.QUEUED:
            self._happenings.happened(TakenBack(execution.number, why))
            return False
        self._executions.asked_to_stop(execution, why)
        interrupting = self._in_background(self._interrupt(execution))
        if execution.state is State.SENT:
            self._early.setdefault(execution.number, interrupting)
        await asyncio.shield(interrupting)
        return True

    async def _look(self, execution: Execution) -> None:
        used, since = self._cpu_seconds(), time.monotonic()
        if await self._executions.wait_for_end(execution, _GRACE_SECONDS):
            return
        kernel, msg_id = self._of.kernel, self._executions.msg_id(execution)
        if kernel is None or msg_id is None:
            return
        found = await kernel.look(msg_id)
        if found.ending and await self._executions.wait_for_end(execution, _TRACEBACK_SECONDS):
            return
        if not execution.is_final:
            after = self._cpu_seconds()
            load = None if used is None or after is None else (after - used) / (time.monotonic() - since)
            execution.obstacle = describe(found, msg_id, execution.session, load)

    def _cpu_seconds(self) -> float | None:
        """What its kernel has used of all processors."""
        return self._of.kernel.cpu_seconds() if self._of.kernel is not None else None

    def on_begin(self, execution: Execution) -> None:
        """A run begins: its time is measured, and an interrupt asked for before reaches it now."""
        self.measure(execution)
        early = self._early.pop(execution.number, None)
        if early is not None:
            self._in_background(self._unless_reached(early, execution))

    async def _unless_reached(self, early: asyncio.Task[bool], execution: Execution) -> None:
        """Once: a second interrupt would end what the code does about the first."""
        if not await asyncio.shield(early):
            await self._interrupt(execution)

    def measure(self, execution: Execution) -> None:
        """Have it interrupted when its time is up, counted from its begin as it is known now."""
        if execution.max_seconds is None or execution.started is None:
            return
        has_run = max((now() - execution.started).total_seconds(), 0.0)
        left = max(execution.max_seconds - has_run, 0.0)
        self._let_run(execution.number)
        self._timers[execution.number] = asyncio.get_running_loop().call_later(
            left, self._too_long, execution, execution.max_seconds
        )

    def _let_run(self, number: int) -> None:
        timer = self._timers.pop(number, None)
        if timer is not None:
            timer.cancel()

    async def _interrupt(self, execution: Execution) -> bool:
        """Whether it is known to have reached the run."""
        kernel, msg_id = self._of.kernel, self._executions.msg_id(execution)
        if kernel is None or msg_id is None or execution.is_final:
            return False
        if execution.state is State.SENT and not kernel.interrupts_by_name:
            return False  # it would reach whatever this kernel does before
        return await kernel.interrupt(msg_id)

    def _too_long(self, execution: Execution, seconds: float) -> None:
        self._let_run(execution.number)
        if not execution.is_final:
            self._in_background(self.cancel(execution, f"Interrupted after max_seconds={seconds:g}."))

    def on_end(self, number: int) -> None:
        """A run has ended."""
        self._let_run(number)
        self._early.pop(number, None)

    def _in_background(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._background.add(task)  # the loop itself holds tasks only weakly
        task.add_done_callback(self._background.discard)
        return task
