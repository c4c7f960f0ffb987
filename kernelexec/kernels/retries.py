"""When a link that is down is tried again, beside all others that lead to the same server.

Each waits longer from time to time, and not as long as the others: all at once would be a storm when the
server is back. The more there are, the longer each waits, so that together they try no more often; the first
that comes through calls the others.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable

FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 10.0
_MOST_TRIES = 10.0  # a second, of all together
_SPREAD_SECONDS = 0.002  # between two that were called


class Retries:
    """Those of one server's links that are down now."""

    def __init__(self) -> None:
        self._down = 0
        self._called = asyncio.Event()

    async def pause(self, seconds: float, changed: Awaitable[None]) -> float:
        """Wait about so long, or until another link has come through or `changed` comes.

        Returns how long to wait next, in seconds.
        """
        self._down += 1
        called = self._called
        waiting = {asyncio.ensure_future(called.wait()), asyncio.ensure_future(changed)}
        try:
            spread = random.uniform(0.5, 1.0)
            await asyncio.wait(waiting, timeout=seconds * spread, return_when=asyncio.FIRST_COMPLETED)
            if called.is_set():
                await asyncio.sleep(random.uniform(0.0, self._down * _SPREAD_SECONDS))
            longest = max(_LONGEST_PAUSE_SECONDS, self._down / _MOST_TRIES)
        finally:
            self._down -= 1
            for each in waiting:
                each.cancel()
        return min(2 * seconds, longest)

    def came_through(self) -> None:
        """A link is up: whoever waits need not."""
        called, self._called = self._called, asyncio.Event()
        called.set()
