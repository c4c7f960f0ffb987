"""The executions of a session: the recent ones in memory, all of them in its journal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from kernelexec.errors import BadRequest, StorageFailed
from kernelexec.model.execution import Execution, State
from kernelexec.news import News
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder

_RECENT = 8  # finished executions that stay in memory


class Executions:
    """Finds executions by number and by the kernel's messages, ends them and waits for their end."""

    def __init__(self, session: str, recorder: Recorder, news: News) -> None:
        self.last_number = 0
        self.last_used = now()  # when one was submitted or ended
        self._session = session
        self._recorder = recorder
        self._news = news
        self._in_memory: dict[int, Execution] = {}
        self._ends: dict[int, asyncio.Event] = {}
        self._files: dict[int, str] = {}  # by execution count: of the present kernel's cells
        self._generation = 0  # whose they are
        self._numbers: dict[str, int] = {}  # by msg_id, of what the present kernel was sent
        recorder.recall = self.recall

    def add(self, execution: Execution) -> None:
        self.last_number = max(self.last_number, execution.number)
        self.last_used = now()
        self._in_memory[execution.number] = execution
        self._ends[execution.number] = asyncio.Event()

    def get(self, number: int) -> Execution:
        """One of this session's executions, also of its past.

        Raises:
            BadRequest: there was none with this number.
        """
        found = self._in_memory.get(number) or load_execution(
            self._recorder.journal, self._session, self._recorder.storage_dir, number
        )
        if found is None:
            raise BadRequest(
                f"There is no execution {self._session}/{number}; "
                f"the last one is {self._session}/{self.last_number}."
            )
        return found

    async def wait(self, execution: Execution, seconds: float) -> bool:
        """Whether the execution is in a final state within this time."""
        end = self._ends.get(execution.number)
        if end is not None and not execution.is_final:
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(end.wait(), seconds)
        return execution.is_final

    def finish(self, execution: Execution, state: State, problem: str | None = None) -> None:
        """Bring an execution to a final state, on disk too, and wake who waits for it."""
        execution.advance(state)
        execution.finished = self.last_used = now()
        execution.problem = problem
        try:
            self._recorder.finished(execution)
        except StorageFailed as error:
            self._news.add(f"The end of {execution.id} could not be written to disk: {error.what}")
        self._name_file(execution)
        self._ended(execution)

    def files(self, execution: Execution) -> Mapping[int, str]:
        """The names of the files that tracebacks of this execution may mean, by execution count."""
        own = _own_file(execution)
        others = self._files if execution.generation == self._generation else {}
        return others if execution.execution_count in others else {**others, **own}

    def _name_file(self, execution: Execution) -> None:
        if execution.generation != self._generation:
            self._generation = execution.generation
            self._files.clear()
        self._files.update(_own_file(execution))

    def _ended(self, execution: Execution) -> None:
        """Wake who waits for it; keep little in memory."""
        self._ends[execution.number].set()
        finished = [e for e in self._in_memory.values() if e.is_final]
        for old in finished[:-_RECENT]:
            if self._recorder.is_written(old):
                del self._in_memory[old.number]
                self._ends.pop(old.number, None)

    def touch(self) -> None:
        """The session was used, if not by a submission."""
        self.last_used = now()

    def remember(self, sent: Mapping[str, int]) -> None:
        """What an earlier hub has sent to the present kernel: execution numbers by msg_id."""
        self._numbers.update(sent)

    def sent(self, execution: Execution, msg_id: str) -> None:
        self._numbers[msg_id] = execution.number

    def of_message(self, parent_id: str | None) -> Execution | None:
        """The execution that a message of the present kernel belongs to; None if it is not ours."""
        number = self._numbers.get(parent_id or "")
        if number is None:
            return None
        return self.recall(number)  # it may have ended long ago, and a thread of it still prints

    def recall(self, number: int) -> Execution | None:
        """An execution that something is still to be done with, so that it is held in memory."""
        with contextlib.suppress(BadRequest):
            found = self._in_memory[number] = self.get(number)
            return found
        return None

    def msg_id(self, execution: Execution) -> str | None:
        """Of the last request that the present kernel was sent for it."""
        sent = [msg_id for msg_id, number in self._numbers.items() if number == execution.number]
        return sent[-1] if sent else None

    def begin_kernel(self) -> None:
        """A new kernel, which was sent nothing yet."""
        self._numbers.clear()


def _own_file(execution: Execution) -> Mapping[int, str]:
    if execution.script is None or execution.execution_count is None:
        return {}
    return {execution.execution_count: execution.source or execution.script.name}
