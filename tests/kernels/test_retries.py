"""Links of one server that are down: how often they try, and who calls whom."""

from __future__ import annotations

import asyncio

import pytest

from kernelexec.kernels.retries import FIRST_PAUSE_SECONDS, Retries
from tests.fakes import run, settled


async def never() -> None:
    await asyncio.Event().wait()


def test_one_waits_longer_from_time_to_time_up_to_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda least, most: 0.0)

    async def test() -> None:
        retries, pauses = Retries(), [FIRST_PAUSE_SECONDS]
        for _ in range(9):
            pauses.append(await retries.pause(pauses[-1], never()))
        assert pauses[:4] == [0.1, 0.2, 0.4, 0.8]
        assert pauses[-1] == 10.0

    run(test())


def test_the_first_that_comes_through_calls_all_others_and_many_wait_longer() -> None:
    async def test() -> None:
        retries = Retries()
        others = [asyncio.create_task(retries.pause(1000.0, never())) for _ in range(300)]
        await settled(lambda: retries._down == 300)
        retries.came_through()
        nexts = await asyncio.gather(*others)
        assert max(nexts) == pytest.approx(30.0, rel=0.1), "300 of them, ten tries a second"
        assert retries._down == 0

    run(test())


def test_what_has_changed_ends_the_pause() -> None:
    async def test() -> None:
        changed = asyncio.Event()

        async def change() -> None:
            await changed.wait()

        waiting = asyncio.create_task(Retries().pause(1000.0, change()))
        await asyncio.sleep(0)
        changed.set()
        await waiting

    run(test())
