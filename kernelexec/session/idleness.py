"""Kernels that nobody uses are stopped: what was left behind does not hold memory for ever."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)

# The clock of the loop and of time.monotonic stands while the machine sleeps, and nobody can set it: only
# time in which the kernel could have been used counts, and a night with the lid closed ends nothing.


class Idleness:
    """Looks after one session's kernel from its start to its end."""

    def __init__(
        self,
        used_at: Callable[[], float],
        is_busy: Callable[[], bool],
        stop: Callable[[float], Coroutine[Any, Any, None]],
    ) -> None:
        self.limit = 0.0  # seconds; 0: never
        self._used_at = used_at  # when it was used last, by time.monotonic
        self._is_busy = is_busy
        self._stop = stop
        self._handle: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """There is a kernel, or another limit."""
        self.end()
        if self.limit > 0:
            left = self._used_at() + self.limit - time.monotonic()
            self._handle = asyncio.get_running_loop().call_later(max(left, 0.0), self._look)

    def end(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        idle = time.monotonic() - self._used_at()
        if self._is_busy():
            # It is used when it ends, and then has all of its time again.
            self._handle = asyncio.get_running_loop().call_later(self.limit, self._look)
        elif idle < self.limit:
            self.watch()
        else:
            self._stopping = asyncio.create_task(self._stop(idle))


def duration(seconds: float) -> str:
    """In words, for example `24 hours`."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}s"
    return f"{seconds:.0f} seconds"
