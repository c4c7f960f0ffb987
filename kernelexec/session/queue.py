"""The queue's worker: begins what has its turn, and sees that it comes to an end.

Whose turn it is the heart says; here are the tasks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from kernelexec.session.events import Failed
from kernelexec.session.happenings import Happenings

_log = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]


class Queue:
    """What is to be done about the executions of a session, until it is done."""

    def __init__(self, session: str, happenings: Happenings) -> None:
        self._session = session
        self._happenings = happenings
        self._work: dict[int, Work] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def add(self, number: int, work: Work) -> None:
        """This is to be done in the turn of the execution with this number."""
        self._work[number] = work

    def begin(self, number: int) -> None:
        """Its turn has come."""
        self._tasks[number] = asyncio.create_task(self._do(number, self._work.pop(number)))

    def forget(self, number: int) -> None:
        """It has come to its end. What is being done about it finds that out."""
        self._work.pop(number, None)

    def stop(self) -> None:
        """Begin nothing more, and wait for nothing."""
        self._work.clear()
        for task in self._tasks.values():
            task.cancel()

    async def _do(self, number: int, work: Work) -> None:
        """Whatever goes wrong, the execution gets an end and the next one its turn."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave callers waiting
            _log.exception("%s/%d could not be run", self._session, number)
            problem = f"A fault in kernelexec: {error!r}. Its log has more (kernelexec ps names it)."
            self._happenings.happened(Failed(number, problem))
        finally:
            self._tasks.pop(number, None)
