"""A replay: what had succeeded in one kernel is run again in the next, as submissions of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Protocol

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.recording.history import Success
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Began, Ended, Sent
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings


class Replaying(Happenings, Protocol):
    """What a replay needs of its session."""

    async def run_within(self, replay: Execution, one: Success) -> Execution:
        """Submit something again as a part of the replay; returns when that has ended.

        Raises:
            StorageFailed: it could not be kept, and was not run.
        """


def listing(session: str, earlier: Sequence[Success]) -> str:
    """The replay's own code: what it runs again, as comments."""
    lines = [f"#   {session}/{one.number}: {one.first_line}" for one in earlier]
    return "\n".join(["# restart_kernel(replay=True): run again in this kernel:", *lines])


class Replay:
    """Runs submissions again in order, up to the first that does not succeed."""

    def __init__(
        self,
        execution: Execution,
        earlier: Sequence[Success],
        session: Replaying,
        recorder: Recorder,
        executions: Executions,
    ) -> None:
        self._execution = execution
        self._earlier = earlier
        self._session = session
        self._recorder = recorder
        self._executions = executions

    async def work(self) -> None:
        """From its turn to its end."""
        number = self._execution.number
        try:
            self._recorder.journal.write("begun", n=number)
        except StorageFailed as error:
            self._session.happened(Ended(number, State.NOT_RUN, str(error)))
            return
        self._session.happened(Sent(number))
        self._session.happened(Began(number))
        state, problem = await self._outcome()
        self._session.happened(Ended(number, state, problem))

    async def _outcome(self) -> tuple[State, str]:
        earlier, execution = self._earlier, self._execution
        for done, one in enumerate(earlier):
            if execution.interrupt:
                return State.INTERRUPTED, _stopped(execution.interrupt, done, earlier)
            try:
                child = await self._session.run_within(execution, one)
            except StorageFailed as error:
                return State.ERROR, _stopped(str(error), done, earlier)
            line = f"{child.id} (again {one.number}): {child.state.value}  {one.first_line}\n"
            _report(execution, line, self._recorder)
            self._executions.heard(execution)
            if child.state is not State.OK:
                state = State.INTERRUPTED if child.state is State.INTERRUPTED else State.ERROR
                return state, _stopped(_why(child, one), done, earlier)
        all_of_them = f"All {len(earlier)} submissions" if len(earlier) > 1 else "The one submission"
        return State.OK, f"{all_of_them} ran again and succeeded."


def _report(execution: Execution, line: str, recorder: Recorder) -> None:
    execution.last_text = line
    with contextlib.suppress(StorageFailed):  # the next submission meets it, too, and says so
        recorder.output(execution, "stream", {"name": "stdout", "text": line})


def _why(child: Execution, one: Success) -> str:
    what = f"{child.id}, which is {one.number} again, ended with: {child.state.value}."
    return f"{what} {child.problem}" if child.problem else what


def _stopped(why: str, done: int, earlier: Sequence[Success]) -> str:
    left = [str(one.number) for one in earlier[done + 1 :]]
    rest = f" Not run again: {', '.join(left)}." if left else ""
    return f"{done} of {len(earlier)} submissions ran again and succeeded. {why}{rest}"
