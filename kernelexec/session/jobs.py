"""Work that a session does beside its kernel, such as installing packages.

It is an execution like any other: with a number, a place in the journal, output, an end that can be
waited for, and a cancel. It waits for no run in the kernel, and needs no kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kernelexec.errors import KernelexecError, StorageFailed
from kernelexec.model.execution import Execution, Kind, State
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Began, Ended, Sent
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings
from kernelexec.system_errors import in_words

_log = logging.getLogger(__name__)

_LAST_TEXT = 1_000  # characters, for progress


@dataclass(frozen=True)
class Outcome:
    """How work ended. The first line of `summary` is for the notebook, all of it for the caller."""

    succeeded: bool
    summary: str


@dataclass(frozen=True)
class Reports:
    """Takes what a job tells while it runs."""

    # With what a later hub needs to know: before it acts, and again when there is more.
    begun: Callable[[Mapping[str, Any]], None]
    output: Callable[[str], None]  # as it comes


class Job(Protocol):
    """What is to be done."""

    @property
    def kind(self) -> Kind: ...

    @property
    def what(self) -> str:
        """What it is about, one item a line; becomes the execution's `code`."""

    async def run(self, reports: Reports) -> Outcome:
        """Do it. Cancelled, it lets go: what it started goes on by itself.

        Raises:
            KernelexecError: it was not begun, and why.
        """

    def stop(self) -> bool:
        """End what was started; `run` returns soon. False: it cannot be ended."""


class Outlived(Protocol):
    """What an earlier hub began, and what went on by itself when that hub ended."""

    async def end(self) -> str:
        """Wait for its end; says what is there then."""

    def stop(self) -> bool:
        """End it; `end` returns soon. False: it cannot be ended."""


class Jobs:
    """The jobs of one session, while they are done."""

    def __init__(self, executions: Executions, recorder: Recorder, happenings: Happenings) -> None:
        self._happenings = happenings
        self._executions = executions
        self._recorder = recorder
        self._jobs: dict[int, Job | Outlived] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    def begin(self, execution: Execution, job: Job) -> None:
        """Start on an execution that was accepted."""
        self._jobs[execution.number] = job
        self._start(execution, self._do(execution, job))

    def look_after(self, execution: Execution, outlived: Outlived) -> None:
        """Wait for the end of what an earlier hub began."""
        self._jobs[execution.number] = outlived
        self._start(execution, self._see_end(execution, outlived))

    async def cancel(self, execution: Execution, why: str) -> bool:
        """End this work. False: there is no such work here, or it cannot be ended."""
        job, task = self._jobs.get(execution.number), self._tasks.get(execution.number)
        if job is None or task is None or not job.stop():
            return False
        self._executions.asked_to_stop(execution, why)
        await asyncio.wait({task})
        return True

    async def stop(self, why: str) -> None:
        """End all of it."""
        for number in list(self._jobs):
            await self.cancel(self._executions.get(number), why)

    def let_go(self) -> None:
        """What was started goes on by itself; a later hub looks after it."""
        for task in self._tasks.values():
            task.cancel()

    def _start(self, execution: Execution, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(doing)
        self._tasks[execution.number] = task
        task.add_done_callback(lambda _: self._forget(execution))

    def _forget(self, execution: Execution) -> None:
        self._tasks.pop(execution.number, None)
        self._jobs.pop(execution.number, None)

    async def _do(self, execution: Execution, job: Job) -> None:
        try:
            outcome = await job.run(self._progress(execution))
        except KernelexecError as error:
            outcome = Outcome(False, in_words(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave callers waiting
            _log.exception("%s failed", execution.id)
            outcome = Outcome(False, f"A fault in kernelexec: {error!r}. Its log has more.")
        asked = execution.interrupt
        summary = f"{asked}\n{outcome.summary}" if asked else outcome.summary
        self._happenings.happened(Ended(execution.number, _state(execution, outcome), summary))

    async def _see_end(self, execution: Execution, outlived: Outlived) -> None:
        try:
            found = await outlived.end()
        except (KernelexecError, OSError) as error:
            found = in_words(error)
        said = execution.interrupt or "The hub ended while it ran, so nobody saw its end."
        state = State.INTERRUPTED if execution.interrupt else State.UNKNOWN
        self._happenings.happened(Ended(execution.number, state, f"{said}\n{found}"))

    def _progress(self, execution: Execution) -> Reports:
        def begun(fields: Mapping[str, Any]) -> None:
            if execution.state is not State.QUEUED:
                with contextlib.suppress(StorageFailed):  # it acts already
                    self._recorder.journal.keep("begun", n=execution.number, **fields)
                return
            self._recorder.journal.write("begun", n=execution.number, **fields)
            self._happenings.happened(Sent(execution.number))
            self._happenings.happened(Began(execution.number))

        def output(text: str) -> None:
            execution.last_text = (execution.last_text + text)[-_LAST_TEXT:]
            self._executions.heard(execution)
            with contextlib.suppress(StorageFailed):  # the reply has it, and the end is told
                self._recorder.output(execution, "stream", {"name": "stdout", "text": text})

        return Reports(begun, output)


def _state(execution: Execution, outcome: Outcome) -> State:
    if execution.state is State.QUEUED:
        return State.NOT_RUN
    if outcome.succeeded:
        return State.OK
    return State.INTERRUPTED if execution.interrupt else State.ERROR
