"""Executions that are made of others, which are submitted within them: a replay, the cells of a notebook."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Began, Ended, Sent
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings
from kernelexec.session.submission import Submission


class Accepting(Happenings, Protocol):
    """What wholes need of the engine."""

    executions: Executions

    def begun_before(self, submission: Submission) -> Execution | None:
        """See engine.Engine."""

    def accept(
        self, submission: Submission, work: Callable[[Execution], Awaitable[None]] | None = None
    ) -> Execution:
        """See engine.Engine."""


class Parts(Protocol):
    """What a whole needs of its session."""

    async def run_within(self, whole: Execution, submission: Submission) -> Execution:
        """Submit something as a part of it; returns when that has ended.

        Raises:
            StorageFailed: it could not be kept, and was not run.
        """


class Wholes:
    """Those of one session; one of them at most has its turn."""

    def __init__(self, engine: Accepting, recorder: Recorder) -> None:
        self.present: Execution | None = None  # which has its turn
        self._engine = engine
        self._recorder = recorder

    def accept(
        self,
        submission: Submission,
        wanted: object,
        end_of: Callable[[Execution], Awaitable[Ended]],
    ) -> Execution:
        """Keep it on disk, and run its parts in its turn; what an earlier hub has accepted for the same
        request is returned as it is. `wanted`: for the journal, what is to be run.

        Raises:
            StorageFailed: it could not be kept, and will not be run.
        """
        begun = self._engine.begun_before(submission)
        return begun or self._engine.accept(submission, partial(self._work, wanted=wanted, end_of=end_of))

    async def _work(
        self, execution: Execution, wanted: object, end_of: Callable[[Execution], Awaitable[Ended]]
    ) -> None:
        """From its turn to its end."""
        number = execution.number
        try:
            self._recorder.journal.write("begun", n=number, again=wanted)
        except StorageFailed as error:
            self._engine.happened(Ended(number, State.NOT_RUN, str(error)))
            return
        self._engine.happened(Sent(number))
        self._engine.happened(Began(number))
        self.present = execution
        try:
            self._engine.happened(await end_of(execution))
        finally:
            self.present = None

    async def see_through(self, part: Execution, whole: Execution) -> Execution:
        """The part, once it has ended; what it asks meanwhile, the whole asks."""
        await self._engine.executions.see_through(part, whole)
        return part
