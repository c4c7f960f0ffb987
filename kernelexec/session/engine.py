"""The engine of a session: its heart and the parts around it, put together.

The parts bring what happens; what follows from it is carried out here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from kernelexec.errors import StorageFailed
from kernelexec.kernels.kernel import Kernel, OnMessage
from kernelexec.model.environment import Environment
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.first_line import first_line
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session import cell_runs, replay, steps
from kernelexec.session import events as e
from kernelexec.session.answers import Answers
from kernelexec.session.executions import Executions
from kernelexec.session.foreign_runs import ForeignRuns
from kernelexec.session.generations import Generations, KernelSource
from kernelexec.session.heart import Heart
from kernelexec.session.installation import OutlivedInstallation
from kernelexec.session.interrupts import Interrupts
from kernelexec.session.jobs import Jobs
from kernelexec.session.journal_events import Past
from kernelexec.session.late_output import Meanwhile
from kernelexec.session.listener import Listener
from kernelexec.session.outcomes import told_of_death
from kernelexec.session.queue import Queue
from kernelexec.session.rejoin import Rejoin
from kernelexec.session.runs import Runs
from kernelexec.session.submission import Submission
from kernelexec.session.surroundings import Surroundings
from kernelexec.session.troubles import Troubles

_log = logging.getLogger(__name__)

_MOST_REQUESTS = 2_000  # that are known again; a client may have a thousand open
# The ends of what is made of parts, and ended with its hub.
_LEFT_BEHIND = {Kind.REPLAY: replay.left_behind, Kind.CELLS: cell_runs.left_behind}


class Around(KernelSource, Protocol):
    """What the engine needs of its session."""

    environment: Environment


class Engine:
    """Takes what happens (see happenings.Happenings), asks the heart, and carries out what follows."""

    def __init__(self, session: str, recorder: Recorder, around: Around) -> None:
        self.heart = Heart(session)
        self.troubles = Troubles()
        self.executions = Executions(session, recorder, self.troubles)
        self.queue = Queue(session, self)
        self.jobs = Jobs(self.executions, recorder, self)
        self.generations = Generations(recorder, self.executions, around, self)
        self.runs = Runs(self.executions, recorder, self.generations, self)
        self.interrupts = Interrupts(self.executions, self.generations, self)
        self.answers = Answers(self.executions, recorder, self.troubles)
        self.foreign_runs = ForeignRuns(self.executions, recorder, self.troubles, self)
        self._listener = Listener(self.executions, recorder, self.troubles, self.foreign_runs, self)
        self.late_output = self._listener.late_output
        self.on_message: OnMessage = self._listener.take
        self._rejoin = Rejoin(
            self.executions, self.generations, self.runs, self._listener, self.interrupts, self
        )
        self._session = session
        self._recorder = recorder
        self._around = around
        self._begun: Mapping[int, Mapping[str, Any]] = {}  # by an earlier hub: what each job recorded
        self._parts: Mapping[int, Mapping[int, State]] = {}  # and of each replay
        self._requests: dict[tuple[str | None, str | None], int] = {}  # see History
        self._never_begun: set[int] = set()  # of these: what still waited, and so can be asked for again
        self._heard: Mapping[int, int] = {}  # the serials of the last messages that it heard, by execution

    def begun_before(self, submission: Submission) -> Execution | None:
        """What has been made of this very request: by an earlier hub, which ended before it could answer, or
        for the earlier connection of a client whose link dropped."""
        if submission.caller is None or not submission.asked.was_begun:
            return None
        number = self._requests.get((submission.caller.id, submission.asked.request))
        if number is None or number in self._never_begun:
            return None
        found = self.executions.get(number)
        return found if found.kind is submission.kind else None

    def accept(
        self, submission: Submission, work: Callable[[Execution], Awaitable[None]] | None = None
    ) -> Execution:
        """Keep a submission on disk, and let the heart decide. `work`: what is to be done in its turn.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        execution = Execution(
            session=self._session,
            number=self.executions.last_number + 1,
            generation=self.generations.next_generation,
            code=submission.code,
            submitted=now(),
            kind=submission.kind,
            label=submission.label,
            source=submission.source,
            note=submission.note,
            max_seconds=submission.max_seconds,
            caller=submission.caller.id if submission.caller else None,
            cell=submission.place.id if submission.place else None,
            after=submission.place.after if submission.place else None,
            steps=steps.begin(submission.came),
        )
        if submission.caller is not None:
            self.happened(e.Met(submission.caller))
            self._requests[submission.caller.id, submission.asked.request] = execution.number
            if len(self._requests) > _MOST_REQUESTS:
                del self._requests[next(iter(self._requests))]
        self._recorder.accept(execution, submission.within, submission.asked.request)
        steps.reached(execution, "accepted")
        if submission.place is not None and self._recorder.opened is not None:
            self._recorder.opened.expect(execution, submission.place)
        self.executions.add(execution)
        if work is not None:
            self.queue.add(execution.number, partial(work, execution))
        words = first_line(execution.code)
        self.happened(
            e.Submitted(
                execution.number,
                execution.kind,
                execution.caller,
                submission.within,
                words,
                submission.asked.place,
            )
        )
        if execution.state is State.QUEUED:
            self._recorder.queued(execution)
        return execution

    def restore(self, past: Past) -> None:
        """Go on from what an earlier hub has left, whose kernel was not (yet) found alive."""
        history = past.history
        self.executions.last_number = history.last_number
        self.generations.left_a_kernel = not history.kernel_ended
        self.generations.generation = history.generation
        if history.directory is not None:
            self.generations.surroundings = Surroundings({}, Path(history.directory))
        self.generations.kernel_id = history.kernel_id
        self.generations.last_end = history.last_end
        self.executions.remember(history.sent)
        self._recorder.restore(history)
        self._parts = history.parts
        self._begun, self._heard = history.begun, history.heard
        self._requests = dict(history.requests)
        self.heart = past.heart
        for execution in history.unfinished:
            self.executions.add(execution)
        self.happened(e.HubReplaced(self.generations.left_a_kernel))
        self._never_begun = {each.number for each in history.unfinished if each.state is State.NOT_RUN}
        if history.later:
            self.troubles.add(
                f"{history.later:,} lines of this session's journal were written by a later version of "
                "kernelexec and are not understood by this one. They stay as they are; what they tell is "
                "missing in what is said and listed here. A hub of that version shows all."
            )

    def adopt(self, kernel: Kernel, started: datetime, surroundings: Surroundings) -> None:
        """Take over the kernel that an earlier hub started, and what it may be running."""
        self.generations.adopt(kernel, started, surroundings)
        self.happened(e.Adopted(self.generations.generation))

    def let_go(self) -> None:
        """Begin nothing more; kernel and installers run on."""
        self.queue.stop()
        self.jobs.let_go()
        self.generations.let_go()

    def happened(self, event: e.Event) -> None:
        """See happenings.Happenings."""
        if isinstance(event, e.Died):
            self.foreign_runs.kernel_ended()
        for instruction in self.heart.handle(event):
            self._carry_out(instruction)

    def tell(self, replying: e.Replying) -> e.Tell:
        """What a reply has to tell; it counts as told."""
        tell = e.Tell()
        for instruction in self.heart.handle(replying):
            if isinstance(instruction, e.Tell):
                tell = instruction
            else:
                self._carry_out(instruction)
        return tell

    def tell_late_output(self, caller: e.CallerId, about: int, reply: int | None) -> list[Meanwhile]:
        """What a reply about an execution has to tell of others that had ended; it counts as told."""
        return self.late_output.tell(caller.id, about, reply, lambda whose: self.is_same(whose, caller))

    def is_same(self, whose: str | None, caller: e.CallerId) -> bool:
        """Whether this is the caller's own id, or one of another connection of its client there."""
        return whose in (None, caller.id) or self.heart.callers.place_of(whose or "") == caller.place

    def news(self) -> list[str]:
        """What went wrong with the records, told once; and that they are behind, as long as they are."""
        behind = self._recorder.journal.problem
        return [*self.troubles.take(), *([] if behind is None else [behind])]

    def _carry_out(self, instruction: e.Instruction) -> None:
        match instruction:
            case e.Note(event, fields):
                self._note(event, fields)
            case e.Become(number, state):
                execution = self.executions.get(number)
                self.executions.become(execution, state)
                if state is State.RUNNING and execution.kind is Kind.CODE:
                    self.interrupts.on_begin(execution)
                    self._recorder.began(execution)
            case e.Finish(number, state, problem, lost):
                self.queue.forget(number)
                self.interrupts.on_end(number)
                execution = self.executions.get(number)
                if state is State.DIED:
                    problem = told_of_death(execution, problem)
                self.executions.finish(execution, state, problem, lost)
            case e.Begin(number):
                self.queue.begin(number)
            case e.Rejoin(number):
                self._go_on_with(self.executions.get(number))
            case e.LookAfter(number):
                self._look_after(self.executions.get(number))
            case e.Tell():
                pass  # see tell

    def _go_on_with(self, execution: Execution) -> None:
        """What an earlier hub had sent to the kernel that was adopted."""
        kernel = self.generations.kernel
        assert kernel is not None
        self._listener.hold(execution)
        heard = self._heard.get(execution.number) or None
        self.queue.add(execution.number, partial(self._rejoin.go_on, execution, kernel, heard))
        self.queue.begin(execution.number)

    def _look_after(self, execution: Execution) -> None:
        """An installation that an earlier hub had begun, which goes on, or a replay, which ended with it."""
        left_behind = _LEFT_BEHIND.get(execution.kind)
        if left_behind is not None:
            execution.started, number = execution.sent, execution.number
            self.happened(left_behind(execution, self._begun[number], self._parts.get(number, {})))
            return
        self.executions.become(execution, State.RUNNING)
        begun = self._begun[execution.number]
        self.jobs.look_after(execution, OutlivedInstallation(self._around.environment, execution.code, begun))

    def _note(self, event: str, fields: Mapping[str, Any]) -> None:
        """A journal line that nothing waits for."""
        try:
            self._recorder.journal.keep(event, **fields)
        except StorageFailed:
            _log.exception("session %s: %s is not in the journal", self._session, event)
