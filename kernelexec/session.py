"""A session: a queue of submissions, one kernel at a time, one journal."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from kernelexec.errors import KernelexecError, StorageFailed
from kernelexec.executions import Executions
from kernelexec.installation import aftermath
from kernelexec.interrupts import Interrupts
from kernelexec.kernels.kernel import Death, Kernel, KernelDied, OnMessage, Reply
from kernelexec.listener import Listener
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution, State
from kernelexec.news import News
from kernelexec.recording.history import History
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.turns import Turns
from kernelexec.work import Job, Work

_log = logging.getLogger(__name__)

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Submission:
    """What a caller wants to be run."""

    code: str
    label: str | None = None
    source: str | None = None  # the code file that it is, relative to the storage directory
    note: str | None = None
    max_seconds: float | None = None
    environ: Mapping[str, str] | None = None  # the caller's, for a kernel that has to be started


@dataclass(frozen=True)
class Started:
    """A kernel that answers."""

    kernel: Kernel
    kernel_info: Mapping[str, Any]
    environment: Environment


class KernelStarter(Protocol):
    """How a session gets its kernel; the hub's, or a fake's."""

    async def __call__(
        self, session: Session, environ: Mapping[str, str], on_message: OnMessage, progress: Progress
    ) -> Started:
        """A new kernel that is ready.

        Raises:
            KernelexecError: there is none, and why.
        """


class Session:
    """One session, e.g. `sales@analysis` in one storage directory."""

    def __init__(
        self,
        name: str,
        environment: Environment,
        project: str | None,
        kernel_dir: Path,
        recorder: Recorder,
        start_kernel: KernelStarter,
    ) -> None:
        self.name = name
        self.environment = environment
        self.project = project
        self.kernel_dir = kernel_dir
        self.recorder = recorder
        self._news = News()
        self.executions = Executions(self.id, recorder, self._news)
        self.generation = 0  # of the kernel that runs or ran last
        self.kernel: Kernel | None = None
        self.starting: Kernel | None = None  # on its way to be the kernel
        self.kernel_started: datetime | None = None
        self.current: Execution | None = None
        self.last_end: str | None = None  # why the kernel before the present one ended
        self.left_a_kernel = False  # an earlier hub's, not known to have ended
        self.listeners: set[Progress] = set()
        self.status = ""  # what takes time before the first run, for progress
        self._start_kernel = start_kernel
        self._ran = 0  # submissions sent to the present kernel
        self._adopted = False  # and not yet heard from
        self._turns = Turns(self.executions)
        self._work = Work(self.executions, recorder)
        self._interrupts = Interrupts(self.executions, lambda: self.kernel)
        self.on_message: OnMessage = Listener(
            self.executions, recorder, self._news, self._interrupts.on_begin
        ).take

    @property
    def id(self) -> str:
        return f"{self.name}@{self.environment.label}"

    @property
    def state(self) -> str:
        if self.current is not None:
            return "busy"
        if self.kernel is None:
            return "starting" if self._turns.are_taken else "no kernel"
        return "idle"

    @property
    def notebook(self) -> Path | None:
        """The present generation's, which is there once a cell has been run."""
        return self.recorder.notebook_path(self.generation) if self.generation else None

    @property
    def is_abandoned(self) -> bool:
        """Whether it has no kernel and its records were deleted: who asks for it gets a new one."""
        is_idle = self.state == "no kernel" and not self.is_working
        return is_idle and not self.recorder.journal.is_in_place

    @property
    def is_working(self) -> bool:
        """Whether it does something beside its kernel, such as an installation."""
        return len(self._work) > 0

    @property
    def queued(self) -> int:
        return len(self._turns)

    @property
    def last_used(self) -> datetime:
        return self.executions.last_used

    @property
    def _next_generation(self) -> int:
        """Of the kernel that runs, else of the one that will."""
        return self.generation if self.kernel is not None else self.generation + 1

    # --- what callers do -------------------------------------------------------

    def submit(self, submission: Submission) -> Execution:
        """Accept a submission: when this returns its code is on disk and it will be run in turn.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        execution = Execution(
            session=self.id,
            number=self.executions.last_number + 1,
            generation=self._next_generation,
            code=submission.code,
            submitted=now(),
            label=submission.label,
            source=submission.source,
            note=submission.note,
            max_seconds=submission.max_seconds,
        )
        self.recorder.accept(execution)
        self.executions.add(execution)
        if self._news.death is not None:
            self._note("told", generation=self.generation)
            self.executions.finish(execution, State.NOT_RUN, self._news.take_death())
            return execution
        self._turns.add(execution, lambda: self._run(execution, submission.environ or {}))
        return execution

    def perform(self, job: Job) -> Execution:
        """Begin what is no request to the kernel; it waits for no run in the kernel.

        Raises:
            StorageFailed: it could not be recorded, and was not begun.
        """
        execution = Execution(
            session=self.id,
            number=self.executions.last_number + 1,
            generation=self._next_generation,
            code=job.what,
            submitted=now(),
            kind=job.kind,
        )
        self.recorder.accept(execution)
        self.executions.add(execution)
        self._work.begin(execution, job)
        return execution

    async def cancel(self, execution: Execution, why: str) -> None:
        """Interrupt a run; take a queued submission back; end an installation."""
        if not await self._work.cancel(execution, why):
            await self._interrupts.cancel(execution, why)

    async def stop_work(self, why: str) -> None:
        """End what is done beside the kernel."""
        await self._work.stop(why)

    def take_news(self, told: str | None = None) -> list[str]:
        """What happened since anybody was last told, but for what `told` says already; told once."""
        if self._news.death is not None:
            self._note("told", generation=self.generation)
        return self._news.take(told)

    async def stop_kernel(self) -> bool:
        """End the kernel, if there is one; whoever asks next is told."""
        kernel = self.kernel or self.starting
        if kernel is None:
            return False
        await kernel.stop()
        await asyncio.sleep(0)  # lets _on_death run, which waits on the same future
        return True

    # --- what the hub does -----------------------------------------------------

    def restore(self, history: History) -> None:
        """Go on from the journal of an earlier hub, whose kernel was not (yet) found alive."""
        self.executions.last_number = history.last_number
        self.left_a_kernel = not history.kernel_ended
        self.generation = history.generation
        self._ran = history.ran
        self.executions.remember(history.sent)
        if history.untold_death is not None:
            self._news.death = self._death_text(history.untold_death)
        self.recorder.restore(history)
        for execution in history.unfinished:
            self.executions.add(execution)
            if execution.state is State.QUEUED:
                self.executions.finish(execution, State.NOT_RUN, "The hub ended before it could be run.")
            elif execution.number in history.begun:
                end = aftermath(self.environment, execution.code, history.begun[execution.number])
                self._work.look_after(execution, end)
            else:
                self.executions.finish(
                    execution, State.UNKNOWN, "The hub ended while it ran; what came after that was not seen."
                )

    def adopt(self, kernel: Kernel, started: datetime) -> None:
        """Take over the kernel that an earlier hub started for this session."""
        self.left_a_kernel = False
        self._adopted = True
        self._use(kernel, started)

    def report_lost_kernel(self, cause: str) -> None:
        """The last kernel ended while no hub watched."""
        self.left_a_kernel = False
        self._kernel_is_gone(cause, self._ran > 0)

    async def close(self) -> None:
        """Let go of kernel and files; the kernel runs on."""
        self._turns.stop()
        self._work.let_go()
        if self.kernel is not None:
            self.kernel.detach()
        await self.recorder.flush()
        self.recorder.close()

    # --- one run ---------------------------------------------------------------

    async def _run(self, execution: Execution, environ: Mapping[str, str]) -> None:
        try:
            kernel = await self._ready_kernel(environ)
        except (KernelexecError, OSError) as error:
            if execution.state is State.QUEUED:
                self.executions.finish(execution, State.NOT_RUN, str(error))
            self._turns.refuse_all(str(error))  # they would meet the same, each after another start
            return
        if execution.state is not State.QUEUED:  # taken back while the kernel started
            return
        self.current = execution
        try:
            reply = await self._send(execution, kernel)
        except KernelDied:
            death = await kernel.died
            problem = self._death_text(death.cause)
            if death.stderr:
                problem += f"\nThe end of its stderr:\n{death.stderr}"
            self.executions.finish(execution, State.DIED, problem)
        except StorageFailed as error:
            self.executions.finish(execution, State.NOT_RUN, str(error))
        else:
            self._finish_with(execution, reply)
        finally:
            self.current = None

    async def _send(self, execution: Execution, kernel: Kernel) -> Reply:
        while True:
            msg_id, frames = kernel.pack(execution.code)
            self.recorder.sent(execution, msg_id)
            self.executions.sent(execution, msg_id)
            execution.advance(State.SENT)
            self._ran += 1
            reply = await kernel.execute(msg_id, frames)
            if reply.status != "aborted":
                return reply
            # Another client's error emptied the kernel's queue; it never ran.
            execution.advance(State.QUEUED)
            execution.started = None
            execution.timing.clear()

    async def _ready_kernel(self, environ: Mapping[str, str]) -> Kernel:
        if self.kernel is None:
            return await self._new_kernel(environ)
        if self._adopted:  # its first output would be lost before our subscription is in place
            await self.kernel.ready()
            self._adopted = False
        return self.kernel

    async def _new_kernel(self, environ: Mapping[str, str]) -> Kernel:
        self._tell_progress("Starting the kernel.")
        started = await self._start_kernel(self, environ, self.on_message, self._tell_progress)
        self.environment = started.environment
        self.generation += 1
        self._ran = 0
        self.executions.begin_kernel()
        metadata = self._notebook_metadata(started)
        self.recorder.begin_generation(self.generation, metadata)
        try:
            self.recorder.journal.write(
                "kernel",
                generation=self.generation,
                interpreter=str(started.environment.program),
                notebook_metadata=metadata,
            )
        except StorageFailed:
            await started.kernel.stop()
            raise
        self._use(started.kernel, now())
        return started.kernel

    def _use(self, kernel: Kernel, started: datetime) -> None:
        self.kernel = kernel
        self.kernel_started = started
        kernel.died.add_done_callback(self._on_death)

    def _notebook_metadata(self, started: Started) -> dict[str, Any]:
        return {
            "kernelspec": {
                "display_name": started.environment.display_name,
                "language": started.kernel_info["language_info"]["name"],
                "name": started.environment.kernelspec,
            },
            "language_info": dict(started.kernel_info["language_info"]),
            "kernelexec": {"format": 1, "session": self.id, "generation": self.generation},
        }

    def _finish_with(self, execution: Execution, reply: Reply) -> None:
        execution.timing["shell.execute_reply"] = reply.date
        if "started" in reply.metadata:
            execution.timing["shell.execute_reply.started"] = reply.metadata["started"]
        if reply.content.get("execution_count") is not None:
            execution.execution_count = reply.content["execution_count"]
        asked = execution.interrupt
        name = reply.content.get("ename")
        if reply.status == "ok":
            problem = f"It finished although an interrupt was asked for: {asked}" if asked else None
            self.executions.finish(execution, State.OK, problem)
        # A coroutine that waits is interrupted by its cancellation.
        elif name == "KeyboardInterrupt" or (asked and name == "CancelledError"):
            problem = f"{asked or 'Interrupted, not by this client.'} Variables are kept."
            self.executions.finish(execution, State.INTERRUPTED, problem)
        else:
            self.executions.finish(execution, State.ERROR)

    def _on_death(self, died: asyncio.Future[Death]) -> None:
        if died.cancelled():
            return
        death = died.result()
        self._kernel_is_gone(death.cause, untold=self._ran > 0)
        self._turns.refuse_all(self._death_text(death.cause))

    def _kernel_is_gone(self, cause: str, untold: bool) -> None:
        self.kernel = None
        self.last_end = cause
        if untold:
            self._news.death = self._death_text(cause)
        self._note("died", generation=self.generation, cause=cause, untold=untold)

    def _death_text(self, cause: str) -> str:
        return (
            f"The kernel of {self.id} (generation {self.generation}) ended: {cause}. All its variables are "
            "lost; nothing was run again. The next submission starts a new kernel."
        )

    def _note(self, event: str, **fields: Any) -> None:
        """A journal line that nothing waits for."""
        try:
            self.recorder.journal.write(event, **fields)
        except StorageFailed:
            _log.exception("session %s: %s is not in the journal", self.id, event)

    def _tell_progress(self, text: str) -> None:
        self.status = text
        for listener in list(self.listeners):
            listener(text)
