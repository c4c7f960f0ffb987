"""The executions of a session: the recent ones in memory, all of them in its journal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from math import inf
from typing import Any

from kernelexec.errors import BadRequest, NotFound, StorageFailed
from kernelexec.model.execution import Execution, Question, State
from kernelexec.recording.history import load_execution
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.cell_files import CellFiles
from kernelexec.session.change import Change
from kernelexec.session.sent_requests import SentRequests
from kernelexec.session.steps import reached
from kernelexec.session.troubles import Troubles

_log = logging.getLogger(__name__)

_RECENT = 8  # executions that stay in memory
_LAST_TEXT = 400  # characters
_LOOKED_AT = 16  # at each end of one; many more may not be in their notebook yet


class Executions:
    """Finds executions by number and by the kernel's messages, ends them and waits for their end."""

    def __init__(self, session: str, recorder: Recorder, troubles: Troubles) -> None:
        self.last_number = 0
        self.last_used = now()  # when one was submitted or ended
        self.used_at = time.monotonic()  # the same, by a clock that nobody can set
        self._session = session
        self._recorder = recorder
        self._troubles = troubles
        self._in_memory: dict[int, Execution] = {}
        self._changes: dict[int, Change] = {}  # set when one ends or asks something
        self._listeners: dict[int, set[asyncio.Event]] = {}  # set at each output
        self._files = CellFiles()  # of the present kernel
        self._generation = 0  # whose they are
        self._sent = SentRequests()
        recorder.recall = self.recall

    def add(self, execution: Execution) -> None:
        self.last_number = max(self.last_number, execution.number)
        self.touch()
        self._in_memory[execution.number] = execution
        self._changes[execution.number] = Change()

    @property
    def open(self) -> list[Execution]:
        """Those that have not ended."""
        return [each for each in self._in_memory.values() if not each.is_final]

    def get(self, number: int) -> Execution:
        """One of this session's executions, also of its past.

        Raises:
            NotFound: there was none with this number.
        """
        found = self._in_memory.get(number) or load_execution(
            self._recorder.journal, self._session, self._recorder.storage_dir, number
        )
        if found is None:
            raise NotFound(
                f"There is no execution {self._session}/{number}; "
                f"the last one is {self._session}/{self.last_number}."
            )
        return found

    async def wait(self, execution: Execution, seconds: float) -> bool:
        """Whether the execution has ended, or waits for an answer, within this time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not (execution.is_final or execution.question):
            change = self._changes.get(execution.number)
            if change is None:
                break
            if not await change.within(deadline - loop.time()):
                break
        return execution.is_final or execution.question is not None

    async def wait_for_end(self, execution: Execution, seconds: float | None) -> bool:
        """Whether the execution has ended within this time; None: however long it takes."""
        end = asyncio.ensure_future(self._end(execution))
        try:
            await asyncio.wait({end}, timeout=seconds)
        finally:
            end.cancel()
        return execution.is_final

    async def see_through(self, part: Execution, whole: Execution) -> None:
        """Returns when a part of a replay has ended; what it asks meanwhile, the replay asks."""
        while not await self.wait_for_end(part, 0):
            if await self.wait(part, inf) and part.question is not None:
                self.asks(whole, part.question)
                await self.wait_for_answer(part, inf)
                self.asks(whole, None)

    async def wait_for_answer(self, execution: Execution, seconds: float) -> bool:
        """Whether the execution no longer waits with the question it has now, within this time."""
        question, loop = execution.question, asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while question is not None and execution.question is question:
            if not await self._changes[execution.number].within(deadline - loop.time()):
                return False
        return True

    async def _end(self, execution: Execution) -> None:
        while not execution.is_final:
            await self._changes[execution.number].within(inf)

    def asks(self, execution: Execution, question: Question | None) -> None:
        """The execution waits for an answer, or does so no longer."""
        execution.question = question
        self._changed(execution)

    @contextlib.contextmanager
    def listening(self, execution: Execution) -> Iterator[asyncio.Event]:
        """An event that is set at each output of the execution."""
        heard = asyncio.Event()
        listeners = self._listeners.setdefault(execution.number, set())
        listeners.add(heard)
        try:
            yield heard
        finally:
            listeners.discard(heard)
            if not listeners:
                self._listeners.pop(execution.number, None)

    def heard(self, execution: Execution) -> None:
        """There is output of it."""
        for event in self._listeners.get(execution.number, ()):
            event.set()

    def show(
        self,
        execution: Execution,
        message_type: str,
        content: Mapping[str, Any],
        serial: int | None = None,
    ) -> None:
        """There is output of it, which is to be kept. `serial`: see Recorder.output."""
        if message_type == "stream":
            execution.receives(str(content.get("name")), str(content.get("text")))
            execution.last_text = (execution.last_text + str(content.get("text")))[-_LAST_TEXT:]
        self.heard(execution)
        try:
            self._recorder.output(execution, message_type, content, serial)
        except StorageFailed as error:
            self._troubles.add(f"Output of {execution.id} could not be written to disk: {error.what}")

    def tell_left_out(self, execution: Execution) -> None:
        """Its cell says what of its widgets was not kept."""
        notice = self._recorder.widgets.notice(execution)
        if notice is not None:
            self.show(execution, "stream", {"name": "stderr", "text": notice})

    def _changed(self, execution: Execution) -> None:
        """Wake who waits for it."""
        self._changes[execution.number].set()
        if not execution.is_final:
            self._changes[execution.number] = Change()

    def become(self, execution: Execution, state: State) -> None:
        """Bring an execution to a state that is not its last."""
        execution.state = state
        if state is State.QUEUED:  # it never ran: it is as if it had not been sent
            execution.started = None
            execution.timing.clear()
        elif state is State.RUNNING:
            execution.started = now()

    def asked_to_stop(self, execution: Execution, why: str) -> None:
        """Somebody wants it to end, which a later hub has to know: its end is told by it."""
        execution.interrupt = why
        try:
            self._recorder.journal.keep("interrupt_asked", n=execution.number, why=why)
        except StorageFailed:
            _log.exception("%s: that an interrupt was asked for is not in the journal", execution.id)

    def finish(
        self, execution: Execution, state: State, problem: str | None = None, lost: str | None = None
    ) -> None:
        """Bring an execution to a final state, on disk too, and wake who waits for it."""
        self.tell_left_out(execution)
        execution.state = state
        self.touch()
        execution.finished = self.last_used
        execution.problem, execution.lost = problem, lost
        execution.question = None
        try:
            self._recorder.finished(execution)
        except StorageFailed as error:
            self._troubles.add(f"The end of {execution.id} could not be written to disk: {error.what}")
        reached(execution, "finished")
        self._name_file(execution)
        self._changed(execution)
        self._forget_old()

    def files(self, execution: Execution) -> Mapping[int, str]:
        """The names of the files that tracebacks of this execution may mean, by execution count."""
        if execution.generation != self._generation:
            return _own_file(execution)
        count = execution.execution_count  # None: its kernel died before it had said it
        if count is None or count in self._files:
            return self._files
        return {**self._files, **_own_file(execution)}

    def _name_file(self, execution: Execution) -> None:
        if execution.generation != self._generation:
            self._generation = execution.generation
            self._files.clear()
        for count, name in _own_file(execution).items():
            self._files.add(count, execution.number, name)

    def _forget_old(self) -> None:
        """Keep little in memory: of what is more than that, the oldest are looked at, a few each time."""
        spare = min(len(self._in_memory) - _RECENT, _LOOKED_AT)
        for old in list(islice(self._in_memory.values(), max(spare, 0))):
            if old.is_final and self._recorder.is_written(old):
                del self._in_memory[old.number]
                self._changes.pop(old.number, None)

    def touch(self) -> None:
        """The session was used, if not by a submission."""
        self.last_used = now()
        self.used_at = time.monotonic()

    def remember(self, sent: Mapping[str, int]) -> None:
        """What an earlier hub has sent to the present kernel: execution numbers by msg_id."""
        self._sent.update(sent)

    def sent(self, execution: Execution, msg_id: str) -> None:
        self._sent.add(msg_id, execution.number)

    def of_message(self, parent_id: str | None) -> Execution | None:
        """The execution that a message of the present kernel belongs to; None if it is not ours."""
        number = self._sent.number(parent_id or "")
        if number is None:
            return None
        return self.recall(number)  # it may have ended long ago, and a thread of it still prints

    def recall(self, number: int) -> Execution | None:
        """An execution that something is still to be done with, so that it is held in memory."""
        if number not in self._in_memory:
            self._recorder.write_updates()
        with contextlib.suppress(BadRequest):
            found = self._in_memory[number] = self.get(number)
            return found
        return None

    def msg_id(self, execution: Execution) -> str | None:
        """Of the last request that the present kernel was sent for it."""
        return self._sent.msg_id(execution.number)

    def begin_kernel(self) -> None:
        """A new kernel, which was sent nothing yet."""
        self._sent.clear()


def _own_file(execution: Execution) -> dict[int, str]:
    if execution.script is None or execution.execution_count is None:
        return {}
    return {execution.execution_count: execution.source or execution.script.name}
