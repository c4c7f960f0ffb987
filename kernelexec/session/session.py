"""A session: a queue of submissions, one kernel at a time, one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from kernelexec.errors import BadRequest, KernelexecError
from kernelexec.kernels.kernel import Kernel, OnMessage
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.recording.history import History, Success, successes
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.executions import Executions
from kernelexec.session.generations import Generations, Started
from kernelexec.session.idleness import Idleness, duration
from kernelexec.session.installation import Outlived
from kernelexec.session.interrupts import Interrupts
from kernelexec.session.jobs import Job, Jobs
from kernelexec.session.listener import Listener
from kernelexec.session.notices import Notices
from kernelexec.session.queue import Queue
from kernelexec.session.rejoin import Rejoin
from kernelexec.session.replay import listing, replay
from kernelexec.session.runs import Runs

Progress = Callable[[str], None]
_UNSEEN = "The hub ended while it ran; what came after that was not seen."


@dataclass(frozen=True)
class Submission:
    """What a caller wants to be run."""

    code: str
    label: str | None = None
    source: str | None = None  # the code file that it is, relative to the storage directory
    note: str | None = None
    max_seconds: float | None = None
    environ: Mapping[str, str] | None = None  # the caller's, for a kernel that has to be started
    kind: Kind = Kind.CODE


class KernelStarter(Protocol):
    """How a session gets its kernel; the hub's, or a fake's."""

    async def __call__(
        self, session: Session, environ: Mapping[str, str], on_message: OnMessage, progress: Progress
    ) -> Started:
        """A new kernel that is ready.

        Raises:
            KernelexecError: there is none, and why.
        """


BUSY_ELSEWHERE = "busy by another client"  # the state of a session whose kernel runs a cell of the person's


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
        self.listeners: set[Progress] = set()
        self.status = ""  # what takes time before the first run, for progress
        self._start_kernel = start_kernel
        self._notices = Notices()
        self.executions = Executions(self.id, recorder, self._notices)
        self._queue = Queue(self.executions)
        self._replaying: Execution | None = None
        self._jobs = Jobs(self.executions, recorder)
        self.generations = Generations(
            self.id, recorder, self.executions, self._notices, self._started_for, self._on_kernel_end
        )
        self._runs = Runs(self.executions, recorder, self.generations)
        self._interrupts = Interrupts(self.executions, lambda: self.generations.kernel)
        self._listener = Listener(self.executions, recorder, self._notices, self._interrupts.on_begin)
        self.foreign_runs = self._listener.foreign_runs
        self.on_message: OnMessage = self._listener.take
        self._rejoin = Rejoin(self.executions, self.generations, self._runs, self._listener)
        self._idleness = Idleness(lambda: self.executions.used_at, self._is_used, self._stop_idle)
        self._unseen: list[Execution] = []  # were sent by an earlier hub, which saw no end of them
        self._heard: Mapping[int, int] = {}  # the serials of their last messages it heard

    @property
    def id(self) -> str:
        return f"{self.name}@{self.environment.label}"

    @property
    def kernel(self) -> Kernel | None:
        return self.generations.kernel

    @property
    def generation(self) -> int:
        """Of the kernel that runs or ran last."""
        return self.generations.generation

    @property
    def kernel_started(self) -> datetime | None:
        return self.generations.started

    @property
    def last_end(self) -> str | None:
        """Why the kernel before the present one ended."""
        return self.generations.last_end

    @property
    def current(self) -> Execution | None:
        """What the kernel was sent and has not answered yet."""
        return self._runs.current

    @property
    def state(self) -> str:
        if self.kernel is not None and self.kernel.is_stopped:
            return "stopped by a signal"
        ours = self.current
        if self.foreign_runs.running is not None and (ours is None or ours.state is State.SENT):
            return BUSY_ELSEWHERE
        if ours is not None:
            return "busy"
        if self.kernel is None:
            return "starting" if self._queue.is_working or self.generations.is_being_taken else "no kernel"
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
        return len(self._jobs) > 0

    @property
    def queued(self) -> int:
        return len(self._queue)

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
        execution = self.accept(submission)
        if self._notices.death is not None:
            self.generations.note("told", generation=self.generation)
            self.executions.finish(execution, State.NOT_RUN, self._notices.take_death())
            return execution
        self._queue.add(execution, lambda: self._run(execution, submission.environ))
        return execution

    def accept(self, submission: Submission) -> Execution:
        """Keep a submission on disk, which is run by whoever accepts it.

        Raises:
            StorageFailed: it could not be kept.
        """
        execution = Execution(
            session=self.id,
            number=self.executions.last_number + 1,
            generation=self._next_generation,
            code=submission.code,
            submitted=now(),
            kind=submission.kind,
            label=submission.label,
            source=submission.source,
            note=submission.note,
            max_seconds=submission.max_seconds,
        )
        self.recorder.accept(execution)
        self.executions.add(execution)
        return execution

    def perform(self, job: Job) -> Execution:
        """Begin what is no request to the kernel; it waits for no run in the kernel.

        Raises:
            StorageFailed: it could not be recorded, and was not begun.
        """
        execution = self.accept(Submission(job.what, kind=job.kind))
        self._jobs.begin(execution, job)
        return execution

    async def cancel(self, execution: Execution, why: str) -> None:
        """Interrupt a run; take a queued submission back; end an installation."""
        if await self._jobs.cancel(execution, why):
            return
        if execution is self._replaying:
            execution.interrupt = why
            if self.current is None:
                return
            execution = self.current
        await self._interrupts.cancel(execution, why)

    async def stop_work(self, why: str) -> None:
        """End what is done beside the kernel."""
        await self._jobs.stop(why)

    async def interrupt(self, why: str) -> Execution | None:
        """Interrupt what runs, and look what came of it; None if nothing does."""
        if self._replaying is not None:
            self._replaying.interrupt = why
        execution = self.current
        if execution is not None:
            await self._interrupts.interrupt(execution, why)
        return execution

    def answer(self, execution: Execution, text: str) -> None:
        """Answer the question that a run waits with.

        Raises:
            BadRequest: it does not ask anything.
        """
        if execution.question is None or self.kernel is None:
            raise BadRequest(
                f"{execution.id} does not wait for input, it is {execution.state.value}.", "Nothing was sent."
            )
        self.kernel.answer(text)
        self.executions.asks(execution, None)

    def stop_when_idle_for(self, seconds: float) -> None:
        """How long an unused kernel lives; 0: for ever. Who used the session last decides."""
        if seconds != self._idleness.limit:
            self._idleness.limit = seconds
            if self.kernel is not None:
                self._idleness.watch()

    def take_news(self, told: str | None = None) -> list[str]:
        """What happened since anybody was last told, but for what `told` says already; told once."""
        if self._notices.death is not None:
            self.generations.note("told", generation=self.generation)
        return self._notices.take(told)

    async def stop_kernel(
        self, why: str = "it was stopped on request (kernelexec stop)", *, told: bool = False
    ) -> bool:
        """End the kernel, if there is one. Whoever asks next is told, unless who ends it is `told`."""
        return await self.generations.end_kernel(why, told=told)

    async def restart_kernel(
        self, why: str, environ: Mapping[str, str] | None = None, *, told: bool = False
    ) -> None:
        """End the kernel, and start the next generation; returns when that is ready.

        Raises:
            KernelexecError, OSError: there is no new kernel, and why.
        """
        await self.stop_kernel(why, told=told)
        await self.generations.ready_kernel(environ)

    async def replay(self, why: str, environ: Mapping[str, str]) -> Execution | None:
        """End the kernel, and run again in the next what had succeeded in it: an execution of its own.

        None if nothing had, and then the kernel is not touched.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        earlier = await asyncio.to_thread(successes, self.recorder.journal, self.generation)
        if not earlier:
            return None
        await self.stop_kernel(why, told=True)
        self.take_news()
        code = listing(self.id, earlier)
        execution = self.accept(Submission(code, label="replay", kind=Kind.REPLAY, environ=environ))

        async def again(one: Success) -> Execution:
            child = self.accept(Submission(one.code, label=one.label, note=one.note, environ=environ))
            await self._run(child, environ)
            return child

        async def work() -> None:
            self._replaying = execution
            try:
                await replay(execution, earlier, again, self.executions, self.recorder)
            finally:
                self._replaying = None

        self._queue.add(execution, work)
        return execution

    # --- what the hub does -----------------------------------------------------

    def restore(self, history: History) -> None:
        """Go on from the journal of an earlier hub, whose kernel was not (yet) found alive."""
        self.executions.last_number = history.last_number
        self.generations.left_a_kernel = not history.kernel_ended
        self.generations.generation = history.generation
        self.generations.kernel_id = history.kernel_id
        self.generations.ran = history.ran
        self.executions.remember(history.sent)
        if history.untold_death is not None:
            self._notices.death = self.generations.death_text(history.untold_death)
        self.recorder.restore(history)
        for execution in history.unfinished:
            self.executions.add(execution)
            if execution.state is State.QUEUED:
                self.executions.finish(execution, State.NOT_RUN, "The hub ended before it could be run.")
            elif execution.number in history.begun:
                begun = history.begun[execution.number]
                self._jobs.look_after(execution, Outlived(self.environment, execution.code, begun))
            elif execution.kind is Kind.CODE and self.generations.left_a_kernel:
                self._unseen.append(execution)
                self._heard = history.heard
            else:
                self.executions.finish(execution, State.UNKNOWN, _UNSEEN)

    @property
    def left_a_kernel(self) -> bool:
        """Whether an earlier hub's kernel is not known to have ended."""
        return self.generations.left_a_kernel

    def adopt(self, kernel: Kernel, started: datetime, environ: Mapping[str, str] | None = None) -> None:
        """Take over the kernel that an earlier hub started for this session, and what it may be running."""
        for execution in self._unseen:
            self._listener.hold(execution)
            heard = self._heard.get(execution.number) or None
            self._queue.add(execution, partial(self._rejoin.go_on, execution, kernel, heard))
        self._unseen.clear()
        self.generations.adopt(kernel, started, environ or {})

    def report_lost_kernel(self, cause: str, begun: str | None = None) -> None:
        """The last kernel ended while no hub watched. `begun`: msg_id of the last run in it, if known."""
        self.generations.report_lost_kernel(cause)
        for execution in self._unseen:
            if begun is None:
                self.executions.finish(execution, State.UNKNOWN, _UNSEEN)
            else:
                was_begun = begun == self.executions.msg_id(execution)
                state = State.DIED if was_begun else State.NOT_RUN
                self.executions.finish(execution, state, self.generations.death_text(cause))
        self._unseen.clear()

    async def close(self) -> None:
        """Let go of kernel and files; the kernel runs on."""
        self._idleness.end()
        self._queue.stop()
        self._jobs.let_go()
        if self.kernel is not None:
            self.kernel.detach()
        await self.recorder.flush()
        self.recorder.close()

    # --- one run ---------------------------------------------------------------

    async def _run(self, execution: Execution, environ: Mapping[str, str] | None) -> None:
        try:
            kernel = await self.generations.ready_kernel(environ)
        except (KernelexecError, OSError) as error:
            if execution.state is State.QUEUED:
                self.executions.finish(execution, State.NOT_RUN, str(error))
            self._queue.refuse_all(str(error))  # they would meet the same, each after another start
            return
        if execution.state is State.QUEUED:  # else it was taken back while the kernel started
            await self._runs.run(execution, kernel)

    def _on_kernel_end(self, text: str) -> None:
        self._queue.refuse_all(text)
        self.foreign_runs.kernel_ended()

    async def _started_for(self, environ: Mapping[str, str]) -> Started:
        self._tell_progress("the kernel is starting")
        started = await self._start_kernel(self, environ, self.on_message, self._tell_progress)
        self.environment = started.environment
        self._idleness.watch()
        return started

    def _is_used(self) -> bool:
        return self._queue.is_working or self.is_working or self.foreign_runs.running is not None

    async def _stop_idle(self, seconds: float) -> None:
        await self.stop_kernel(f"it was stopped because it had been idle for {duration(seconds)}")

    def _tell_progress(self, text: str) -> None:
        self.status = text
        for listener in list(self.listeners):
            listener(text)
