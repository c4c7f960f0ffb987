"""What comes once wakes who waits for it."""

from __future__ import annotations

import asyncio
from math import inf

from kernelexec.session.change import Change
from tests.fakes import run


def test_all_who_wait_are_woken_and_later_ones_do_not_wait() -> None:
    async def test() -> None:
        change = Change()
        waiting = [asyncio.create_task(change.within(seconds)) for seconds in (inf, 60)]
        await asyncio.sleep(0)
        assert not any(each.done() for each in waiting)
        change.set()
        assert await asyncio.gather(*waiting) == [True, True]
        assert await change.within(0)

    run(test())


def test_what_does_not_come_in_time_is_told_as_that_and_may_come_later() -> None:
    async def test() -> None:
        change = Change()
        assert not await change.within(0.001)
        assert not await change.within(0)
        assert not await change.within(-1)
        change.set()
        assert await change.within(-1)

    run(test())


def test_who_is_cancelled_while_it_waits_keeps_nobody_else_from_it() -> None:
    async def test() -> None:
        change = Change()
        one, other = (asyncio.create_task(change.within(60)) for _ in range(2))
        await asyncio.sleep(0)
        one.cancel()
        await asyncio.sleep(0)
        change.set()
        assert await other
        assert one.cancelled()

    run(test())
