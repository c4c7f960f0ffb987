"""Whose turn it is to try a command that leads to several kernels, and when.

A command is a process, a connection and a login: where the way is down, all kernels behind it together try as
often as one would, and where it is open again, a few at once, because an sshd refuses more (MaxStartups).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from kernelexec.kernels.far_command import FarTrouble

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.2, 5.0
_AT_ONCE = 4  # while the way is open
_SLOW_SECONDS = 15.0  # after which one that has neither come through nor failed keeps no other waiting


class Turns:
    """Of all links through one command."""

    def __init__(self) -> None:
        self.trouble: FarTrouble | None = None  # why the way is down, if it is
        self._pause = 0.0
        self._failed_at = self._next_at = 0.0  # on the monotonic clock
        self._trying: list[float] = []  # since when
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for it; what is done within it either comes through or raises FarTrouble."""
        await self._comes()
        began = time.monotonic()
        self._trying.append(began)
        try:
            yield
        except FarTrouble as trouble:
            if trouble.was_reached:
                self._has_come_through()
            else:
                self._has_failed(trouble, began)
            raise
        else:
            self._has_come_through()
        finally:
            self._trying.remove(began)
            self._tell()

    async def _comes(self) -> None:
        while (seconds := self._seconds_until()) > 0:
            with suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)

    def _seconds_until(self) -> float:
        """How long to wait, if nothing changes."""
        now = time.monotonic()
        waited_for = sorted(began + _SLOW_SECONDS for began in self._trying if now < began + _SLOW_SECONDS)
        room = 1 if self.trouble is not None else _AT_ONCE
        free_at = waited_for[len(waited_for) - room] if len(waited_for) >= room else 0.0
        return max(free_at, self._next_at) - now

    def _has_come_through(self) -> None:
        self.trouble, self._pause, self._next_at = None, 0.0, 0.0

    def _has_failed(self, trouble: FarTrouble, began: float) -> None:
        self.trouble, now = trouble, time.monotonic()
        if began >= self._failed_at:  # else it was on its way when another one failed
            self._pause = min(max(2 * self._pause, _FIRST_PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)
            self._failed_at, self._next_at = now, now + self._pause * random.uniform(0.75, 1.0)

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
