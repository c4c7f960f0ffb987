"""Links through one command: how often they try it together, and how soon all are back."""

from __future__ import annotations

import asyncio
import time

import pytest

from kernelexec.kernels import turns
from kernelexec.kernels.far_command import FarTrouble
from kernelexec.kernels.turns import Turns
from tests.fakes import run, settled


class Network:
    """A command that many try."""

    def __init__(self) -> None:
        self.is_down = True
        self.tried = self.at_once = self.most_at_once = 0

    async def reach(self) -> None:
        self.tried += 1
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.is_down:
            raise FarTrouble("No route to host.")


async def linked(theirs: Turns, network: Network) -> None:
    """What a link does until it is up."""
    while True:
        try:
            async with theirs.turn():
                return await network.reach()
        except FarTrouble:
            continue


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(turns, "_LONGEST_PAUSE_SECONDS", 0.4)


def test_twenty_try_as_often_as_one_and_all_are_back_soon() -> None:
    async def test() -> None:
        theirs, network = Turns(), Network()
        links = [asyncio.create_task(linked(theirs, network)) for _ in range(20)]
        await asyncio.sleep(1.5)  # pauses of 0.05, 0.1, 0.2, 0.4 and 0.4 s, shortened by a quarter at most
        assert network.tried <= 4 + 8, "four that were on their way when the first failed"
        network.is_down = False
        back, tried = time.monotonic(), network.tried
        await asyncio.gather(*links)
        assert time.monotonic() - back < 5.0
        assert network.tried - tried <= 20 + 1
        assert network.most_at_once <= 4

    run(test())


def test_the_words_of_who_tried_are_known_to_all_until_one_comes_through() -> None:
    async def test() -> None:
        theirs, network = Turns(), Network()
        link = asyncio.create_task(linked(theirs, network))
        await settled(lambda: theirs.trouble is not None)
        assert theirs.trouble is not None
        assert theirs.trouble.what == "No route to host."
        network.is_down = False
        await link
        assert theirs.trouble is None

    run(test())


def test_a_kernel_that_is_not_there_does_not_mean_that_the_way_is_down() -> None:
    async def test() -> None:
        theirs = Turns()
        with pytest.raises(FarTrouble):
            async with theirs.turn():
                raise FarTrouble("There is nothing of it any more.", was_reached=True)
        assert theirs.trouble is None

    run(test())


def test_one_that_hangs_does_not_keep_the_others_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "_SLOW_SECONDS", 0.1)

    async def hang(theirs: Turns) -> None:
        async with theirs.turn():
            await asyncio.Event().wait()

    async def test() -> None:
        theirs, network = Turns(), Network()
        network.is_down = False
        hanging = [asyncio.create_task(hang(theirs)) for _ in range(4)]
        await asyncio.wait_for(linked(theirs, network), 5.0)
        for each in hanging:
            each.cancel()

    run(test())
