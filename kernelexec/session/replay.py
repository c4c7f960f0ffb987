"""A replay: what had succeeded in one kernel is run again in the next, as submissions of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence

from kernelexec.errors import StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.recording.history import Success
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.executions import Executions


def listing(session: str, earlier: Sequence[Success]) -> str:
    """The replay's own code: what it runs again, as comments."""
    lines = [f"#   {session}/{one.number}: {one.first_line}" for one in earlier]
    return "\n".join(["# restart_kernel(replay=True): run again in this kernel:", *lines])


async def replay(
    execution: Execution,
    earlier: Sequence[Success],
    again: Callable[[Success], Awaitable[Execution]],
    executions: Executions,
    recorder: Recorder,
) -> None:
    """Run them in order, up to the first that does not succeed; `again` runs one to its end."""
    execution.advance(State.SENT)
    execution.advance(State.RUNNING)
    execution.started = now()
    for done, one in enumerate(earlier):
        if execution.interrupt:
            executions.finish(execution, State.INTERRUPTED, _stopped(execution.interrupt, done, earlier))
            return
        try:
            child = await again(one)
        except StorageFailed as error:
            executions.finish(execution, State.ERROR, _stopped(str(error), done, earlier))
            return
        _report(
            execution, f"{child.id} (again {one.number}): {child.state.value}  {one.first_line}\n", recorder
        )
        executions.heard(execution)
        if child.state is not State.OK:
            state = State.INTERRUPTED if child.state is State.INTERRUPTED else State.ERROR
            executions.finish(execution, state, _stopped(_why(child, one), done, earlier))
            return
    all_of_them = f"All {len(earlier)} submissions" if len(earlier) > 1 else "The one submission"
    executions.finish(execution, State.OK, f"{all_of_them} ran again and succeeded.")


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
