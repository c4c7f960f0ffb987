"""Kernels that nobody uses are stopped: what was left behind does not hold memory for ever."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

_log = logging.getLogger(__name__)

# The clock of the loop and of time.monotonic stands while the machine sleeps, and nobody can set it: only
# time in which the kernel could have been used counts, and a night with the lid closed ends nothing.


class Usage(Protocol):
    """How a session's kernel is used."""

    @property
    def used_at(self) -> float:
        """When it was used last, by time.monotonic."""

    @property
    def is_used(self) -> bool:
        """Whether it is used now."""

    async def stop_idle(self, seconds: float) -> None:
        """Stop it, because it was not used for so long."""


class Idleness:
    """Looks after one session's kernel from its start to its end."""

    def __init__(self, usage: Usage) -> None:
        self.limit = 0.0  # seconds; 0: never
        self._usage = usage
        self._handle: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None

    def watch(self) -> None:
        """There is a kernel, or another limit."""
        self.end()
        if self.limit > 0:
            left = self._usage.used_at + self.limit - time.monotonic()
            self._handle = asyncio.get_running_loop().call_later(max(left, 0.0), self._look)

    def end(self) -> None:
        """Look no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        idle = time.monotonic() - self._usage.used_at
        if self._usage.is_used:
            # It is used when it ends, and then has all of its time again.
            self._handle = asyncio.get_running_loop().call_later(self.limit, self._look)
        elif idle < self.limit:
            self.watch()
        else:
            self._stopping = asyncio.create_task(self._usage.stop_idle(idle))
