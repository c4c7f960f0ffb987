"""Something that comes once, and wakes who waits for it."""

from __future__ import annotations

import asyncio


class Change:
    """As an asyncio.Event. To wait for one only so long takes a task and three turns of the loop before
    Python 3.12, which each call would pay."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[asyncio.Future[bool]] = set()

    def set(self) -> None:
        self._is_set = True
        for waiting in self._waiting:
            _wake(waiting, True)

    async def within(self, seconds: float) -> bool:
        """Whether it has come by then."""
        if self._is_set or seconds <= 0:
            return self._is_set
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiting, False)
        self._waiting.add(waiting)
        try:
            return await waiting
        finally:
            timer.cancel()
            self._waiting.discard(waiting)


def _wake(waiting: asyncio.Future[bool], has_come: bool) -> None:
    if not waiting.done():
        waiting.set_result(has_come)
