"""Turns: executions run one at a time, first come first served."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kernelexec.model.execution import Execution, State
from kernelexec.session.executions import Executions

_log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Turn:
    """An execution that waits, and what brings it to its end."""

    execution: Execution
    work: Work


class Queue:
    """The queue of a session and the task that works it off."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self._queue: deque[Turn] = deque()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_working(self) -> bool:
        """Whether something runs or is about to."""
        return self._worker is not None

    def add(self, execution: Execution, work: Work) -> None:
        self._queue.append(Turn(execution, work))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())

    def refuse_all(self, why: str) -> None:
        """What waits is not run."""
        for turn in self._queue:
            if turn.execution.state is State.QUEUED:
                self._executions.finish(turn.execution, State.NOT_RUN, why)

    def stop(self) -> None:
        """Begin nothing more, and wait for nothing."""
        if self._worker is not None:
            self._worker.cancel()

    async def _work(self) -> None:
        try:
            while self._queue:
                turn = self._queue.popleft()
                if not turn.execution.is_final:  # else it was taken back
                    await self._take(turn)
        finally:
            self._worker = None

    async def _take(self, turn: Turn) -> None:
        """Whatever goes wrong, the execution gets an end and the next one its turn."""
        execution = turn.execution
        try:
            await turn.work()
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave callers waiting
            _log.exception("%s could not be run", execution.id)
            problem = f"A fault in kernelexec: {error!r}. Its log has more (kernelexec ps names it)."
            if not execution.is_final:
                begun = execution.state is not State.QUEUED
                self._executions.finish(execution, State.UNKNOWN if begun else State.NOT_RUN, problem)
