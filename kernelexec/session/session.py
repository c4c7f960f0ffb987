"""A session, as the hub and its callers use it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from kernelexec.environments.source import Progress
from kernelexec.errors import BadRequest
from kernelexec.kernels.kernel import Kernel, OnMessage
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.quantities import spelled_age
from kernelexec.model.variable_names import VariableNames
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session import events as e
from kernelexec.session import stillness
from kernelexec.session.engine import Engine
from kernelexec.session.generations import NewKernel
from kernelexec.session.idleness import Idleness
from kernelexec.session.jobs import Job
from kernelexec.session.journal_events import Past
from kernelexec.session.late_output import Meanwhile
from kernelexec.session.opened import Opened
from kernelexec.session.replay import Replay, chosen, listing
from kernelexec.session.submission import NO_REQUEST, Asked, Submission
from kernelexec.session.surroundings import Surroundings
from kernelexec.session.telling import Telling
from kernelexec.session.wholes import Wholes


class KernelStarter(Protocol):
    """How a session gets its kernel; the hub's, or a fake's."""

    async def __call__(
        self, session: Session, surroundings: Surroundings, on_message: OnMessage, progress: Progress
    ) -> NewKernel:
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
        recorder: Recorder,
        start_kernel: KernelStarter,
    ) -> None:
        self.name = name
        self.environment = environment
        self.project = project
        self.recorder = recorder
        self.listeners: set[Progress] = set()
        self.asked_for = time.monotonic()  # when somebody had it in hand last
        self.status = ""  # what takes time before the first run, for progress
        self._start_kernel = start_kernel
        self._engine = Engine(self.id, recorder, self)
        self.executions = self._engine.executions
        self.generations = self._engine.generations
        self.foreign_runs = self._engine.foreign_runs
        self.on_message: OnMessage = self._engine.on_message
        self.happened = self._engine.happened
        self._idleness = Idleness(self)
        self.wholes = Wholes(self._engine, recorder)
        self.opened: Opened | None = None  # the notebook of the person's that it works in

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
    def directory(self) -> Path:
        """Where the kernel works that runs or ran last; not where its code may have gone since."""
        return self.generations.surroundings.directory

    @property
    def host(self) -> str:
        """The machine that this directory is on, if it is not this one."""
        return self.generations.surroundings.host

    @property
    def place(self) -> str:
        """Both in words, where they are not on this machine: "in DIRECTORY on HOST"."""
        return self.generations.surroundings.place

    @property
    def last_end(self) -> str | None:
        """Why the kernel before the present one ended."""
        return self.generations.last_end

    @property
    def current(self) -> Execution | None:
        """What the kernel was sent and has not answered yet."""
        return self._engine.runs.current

    @property
    def asking(self) -> list[Execution]:
        """What waits for an answer: the run that asks, and the replay that it is a part of."""
        return [each for each in (self.current, self.wholes.present) if each is not None and each.question]

    @property
    def state(self) -> str:
        """In a word or a few, as replies and `kernelexec ps` have it."""
        if self.kernel is not None and self.kernel.is_stopped:
            return "stopped by a signal"
        ours = self.current
        if self.foreign_runs.running is not None and (ours is None or ours.state is State.SENT):
            return BUSY_ELSEWHERE
        if ours is not None:
            return "busy" if ours.question is None else "waits for input"
        if self.kernel is None:
            is_coming = self._engine.heart.is_turn_taken or self.generations.is_starting
            return "starting" if is_coming else "no kernel"
        return "idle"

    @property
    def notebook(self) -> Path | None:
        """The present generation's, which is there once a cell has been run."""
        return self.recorder.notebook_path(self.generation) if self.generation else None

    @property
    def is_abandoned(self) -> bool:
        """Whether it has no kernel and its records were deleted: who asks for it gets a new one."""
        if self.kernel is not None:
            return False  # asked for each call: no need to look at the kernel's process for that
        is_idle = self.state == "no kernel" and not self.has_jobs
        return is_idle and not self.recorder.journal.is_in_place

    def is_unused_for(self, seconds: float) -> bool:
        """Whether it has no kernel, does nothing, and nobody has asked for it for so long."""
        does = self.kernel is not None or self.state != "no kernel" or self.has_jobs or self.queued
        is_quiet = max(self.used_at, self.asked_for) <= time.monotonic() - seconds
        return is_quiet and not does and not self.left_a_kernel

    @property
    def has_jobs(self) -> bool:
        """Whether it does something beside its kernel, such as an installation."""
        return len(self._engine.jobs) > 0

    @property
    def queued(self) -> int:
        return self._engine.heart.queued

    @property
    def last_used(self) -> datetime:
        return self.executions.last_used

    # --- what callers do -------------------------------------------------------

    def submit(self, submission: Submission) -> Execution:
        """Accept a submission: when this returns its code is on disk and it will be run in turn.

        What an earlier hub has accepted for the same request is returned as it is, and not run again.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        return self._engine.begun_before(submission) or self._engine.accept(
            submission, partial(self._engine.runs.run, surroundings=submission.surroundings)
        )

    def perform(self, job: Job, caller: e.CallerId | None = None, asked: Asked = NO_REQUEST) -> Execution:
        """Begin what is no request to the kernel; it waits for no run in the kernel. As `submit` otherwise.

        Raises:
            StorageFailed: it could not be recorded, and was not begun.
        """
        submission = Submission(job.what, kind=job.kind, caller=caller, asked=asked)
        begun = self._engine.begun_before(submission)
        if begun is not None:
            return begun
        execution = self._engine.accept(submission)
        self._engine.jobs.begin(execution, job)
        return execution

    async def cancel(self, execution: Execution, why: str) -> None:
        """Interrupt a run; take a queued submission back; end an installation."""
        if await self._engine.jobs.cancel(execution, why):
            return
        if execution is self.wholes.present:
            execution.interrupt = why
            if self.current is None:
                return
            execution = self.current
        await self._engine.interrupts.cancel(execution, why)

    async def stop_jobs(self, why: str) -> None:
        """End what is done beside the kernel."""
        await self._engine.jobs.stop(why)

    async def stillness(self, execution: Execution, seconds: float) -> str | None:
        """What is to be said of a run that does nothing for so many seconds (see session.stillness.look)."""
        kernel, msg_id = self.kernel, self.executions.msg_id(execution)
        if kernel is None or msg_id is None or execution.is_final or execution is not self.current:
            return None
        return await stillness.look(kernel, execution, msg_id, seconds)

    async def interrupt(self, why: str) -> Execution | None:
        """Interrupt what runs, and look what came of it; None if nothing does."""
        if self.wholes.present is not None:
            self.wholes.present.interrupt = why
        execution = self.current
        if execution is not None:
            await self._engine.interrupts.interrupt(execution, why)
        return execution

    def answer(
        self, execution: Execution, text: str, *, to: str | None = None, privately: bool = False
    ) -> None:
        """Answer the question that a run waits with.

        `to`: the name of the question that the answer is for; None: whichever is open. `privately`: past
        the assistant, so the cell hides it.

        Raises:
            BadRequest: it does not ask anything, or something else.
        """
        asking = [execution]
        if execution is self.wholes.present and self.current is not None:  # and asks for it
            asking.append(self.current)
        self._engine.answers.give(self.kernel, asking, text, to=to, privately=privately)

    def stop_when_idle_for(self, seconds: float) -> None:
        """How long an unused kernel lives; 0: for ever. Who used the session last decides."""
        if seconds != self._idleness.limit:
            self._idleness.limit = seconds
            if self.kernel is not None:
                self._idleness.watch()

    def telling(
        self,
        caller: e.CallerId,
        about: Execution | None = None,
        *,
        introduces: bool = True,
        reply: int | None = None,
    ) -> Telling:
        """What a reply to this caller says beside its own matter; it counts as told.

        `about`: the execution that it tells of, so that this is not said again; `introduces`: it can say
        which kernel this is; `reply`: what `delivered` calls it.
        """
        number, said = (about.number, about.problem) if about is not None else (None, None)
        tell = self._engine.tell(e.Replying(caller, number, introduces, reply))
        found = {lost.number: self.executions.recall(lost.number) for lost in tell.lost_replies}
        return Telling.of(tell, self.id, said, found, self._engine.news())

    def meanwhile(self, caller: e.CallerId, about: Execution, reply: int | None = None) -> list[Meanwhile]:
        """What came into earlier cells, for a reply to this caller about an execution; it counts as told."""
        return self._engine.tell_late_output(caller, about.number, reply)

    def is_of(self, execution: Execution, caller: e.CallerId) -> bool:
        """Whether an execution is a caller's own, or of another connection of its client in its directory."""
        return self._engine.is_same(execution.caller, caller)

    def delivered(self, caller: e.CallerId, reply: int, at: int) -> None:
        """A reply that told a caller was written, at this place of what its connection heard and said."""
        self.happened(e.Delivered(caller.id, reply, at))

    def not_delivered(self, caller: e.CallerId, reply: int) -> None:
        """A reply that told a caller did not reach it: what it told is told again."""
        self.happened(e.NotDelivered(caller.id, reply))
        self._engine.late_output.not_delivered(caller.id, reply)

    def reply_lost(self, execution: Execution, caller: e.CallerId, why: e.LostBecause) -> None:
        """The reply about an execution did not reach its caller, who is told with the next one."""
        self.happened(e.Met(caller))
        self.happened(e.ReplyLost(caller.id, execution.number, why))

    def left(self, caller: e.CallerId) -> None:
        """A caller's client has closed its input."""
        self.happened(e.Left(caller.id))

    @property
    def is_joined(self) -> bool:
        """Whether its kernel is somebody else's."""
        return self.kernel is not None and self.kernel.is_joined

    def refuse_to_end(self) -> None:
        """
        Raises:
            BadRequest: its kernel is somebody else's.
        """
        if self.is_joined:
            raise BadRequest(
                f"The kernel of {self.id} is the user's own: it was joined, not started, by kernelexec, so "
                "it was left as it is and runs on, with all its variables.",
                "Who started it, the user in Jupyter, can shut it down or restart it; you are told then.",
            )

    async def have_kernel(self, surroundings: Surroundings) -> None:
        """Have the kernel ahead of what will be run in it: started, or joined where it is somebody else's.

        Raises:
            KernelexecError, OSError: there is none.
        """
        await self.generations.ready_kernel(surroundings)

    async def stop_kernel(
        self, why: str = "it was stopped on request (kernelexec stop)", *, by: e.CallerId | None = None
    ) -> bool:
        """End the kernel, if there is one. Who knew it is told, unless it is who ends it.

        Raises:
            BadRequest: it is somebody else's.
        """
        self.refuse_to_end()
        if by is not None:
            self.happened(e.Met(by))
        return await self.generations.end_kernel(why, by=by.id if by else None)

    async def restart_kernel(
        self, why: str, surroundings: Surroundings | None = None, *, by: e.CallerId | None = None
    ) -> None:
        """End the kernel, and start the next generation; returns when that is ready.

        Raises:
            BadRequest: its kernel is somebody else's.
            KernelexecError, OSError: there is no new kernel, and why.
        """
        await self.stop_kernel(why, by=by)
        await self.generations.ready_kernel(surroundings)

    async def replay(
        self,
        why: str,
        environ: Mapping[str, str],
        by: e.CallerId | None = None,
        generation: int | None = None,
    ) -> Execution | None:
        """End the kernel, and run again in the next what had succeeded in it: an execution of its own.

        The next works where the last did: paths in the code may be relative. `generation`: of that one.
        A kernel that is somebody else's is not ended: what had succeeded in those before it is run in it.
        None if nothing had, and then the kernel is not touched.

        Raises:
            BadRequest: there was no such generation, or it is that of a kernel that is somebody else's.
            StorageFailed: it could not be kept, and will not be run.
        """
        if generation == self.generation:
            self.refuse_to_end()
        choice = await chosen(self.id, self.recorder.journal, self.generations, generation)
        if not choice.successes:
            return None
        surroundings = Surroundings(environ, self.directory)
        if not self.is_joined:
            await self.stop_kernel(why, by=by)
        code = listing(self.id, choice)
        submission = Submission(code, "replay", kind=Kind.REPLAY, surroundings=surroundings, caller=by)

        async def end_of(replay: Execution) -> e.Ended:
            return await Replay(replay, choice, submission, self, self.recorder, self.executions).work()

        return self.wholes.accept(submission, [one.number or one.name for one in choice.successes], end_of)

    async def open_notebook(self, path: Path, by: e.CallerId) -> Opened:
        """Work in this notebook of the person's from now on.

        Raises:
            StorageFailed: the next hub would not know it; nothing changed.
        """
        if self.opened is None or self.opened.path != path:
            await self.recorder.flush()
            self.opened = Opened(self.recorder.open_notebook(path, by.id), {}, self)
        else:
            self.recorder.journal.write("notebook", path=str(path), by=by.id)
        self.opened.opened_by[by.id] = now().isoformat()
        return self.opened

    async def run_within(self, whole: Execution, submission: Submission) -> Execution:
        """See wholes.Parts."""
        return await self.wholes.see_through(self.submit(submission), whole)

    @property
    def names(self) -> VariableNames:
        """See replay.Replaying."""
        return self.generations.names

    # --- what the hub does -----------------------------------------------------

    def restore(self, past: Past) -> None:
        """Go on from what an earlier hub has left, whose kernel was not (yet) found alive."""
        self._engine.restore(past)
        if self.recorder.opened is not None:
            self.opened = Opened(self.recorder.opened, past.history.opened_by, self)

    @property
    def left_a_kernel(self) -> bool:
        """Whether an earlier hub's kernel is not known to have ended."""
        return self.generations.left_a_kernel

    def adopt(self, kernel: Kernel, started: datetime, surroundings: Surroundings | None = None) -> None:
        """Take over the kernel that an earlier hub started for this session, and what it may be running."""
        self._engine.adopt(kernel, started, surroundings or self.generations.surroundings)

    def report_lost_kernel(self, cause: str, begun: str | None = None) -> None:
        """The last kernel ended while no hub watched. `begun`: msg_id of the last run in it, if known."""
        self.generations.report_lost_kernel(cause, begun)

    async def close(self) -> None:
        """Let go of kernel and files; the kernel runs on."""
        self._idleness.end()
        self._engine.let_go()
        await self.recorder.flush()
        if self.opened is not None:
            await self.opened.looks_kept()
        self.recorder.close()

    # --- what its parts ask for ------------------------------------------------------

    async def new_kernel(self, surroundings: Surroundings) -> NewKernel:
        """See generations.KernelSource."""
        self._tell_progress("the kernel is starting")
        try:
            started = await self._start_kernel(self, surroundings, self.on_message, self._tell_progress)
        finally:
            self.status = ""  # what waits for this kernel later does not wait for its start
        self.environment = started.environment
        self._idleness.watch()
        return started

    @property
    def used_at(self) -> float:
        """See idleness.Usage."""
        return self.executions.used_at

    @property
    def is_used(self) -> bool:
        """See idleness.Usage."""
        return self._engine.heart.is_turn_taken or self.has_jobs or self.foreign_runs.running is not None

    async def stop_idle(self, seconds: float) -> None:
        """See idleness.Usage."""
        if self.is_joined:
            return
        why = f"it was stopped because it had been idle for {spelled_age(seconds)}"
        await self.generations.end_kernel(why, by=None, wished=False)

    def _tell_progress(self, text: str) -> None:
        self.status = text
        for listener in list(self.listeners):
            listener(text)
