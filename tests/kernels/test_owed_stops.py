"""Stops that could not be carried out: kept, tried, told, and given up at last."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from kernelexec.kernels import owed_stops
from kernelexec.kernels.far_command import FarTrouble
from kernelexec.kernels.far_life import FarPlace
from kernelexec.kernels.owed_stops import FOLDER, OwedStops
from tests.fakes import run, settled


def place(kernel: str, command: str = "ssh -T gpu") -> FarPlace:
    return FarPlace(command, "/usr/bin/python3", kernel, "key", "gpu7", "boot", "/home/ann")


class There:
    """Machines at the ends of commands."""

    def __init__(self, *down: str) -> None:
        self.down = set(down)
        self.tried: list[str] = []

    async def end(self, place: FarPlace) -> bool:
        self.tried.append(place.kernel)
        await asyncio.sleep(0)
        if place.command in self.down:
            raise FarTrouble("No route to host.")
        return True


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owed_stops, "_PAUSE_SECONDS", 0.05)


def owed(state_dir: Path) -> list[str]:
    return [each["kernel"] for each in owed_stops.owed_stops(state_dir)]


def test_what_one_hub_owed_the_next_makes_up_for_once_it_is_reached(tmp_path: Path) -> None:
    async def before() -> None:
        OwedStops(tmp_path / FOLDER, There("ssh -T gpu").end).add(place("1a"))

    run(before())
    assert owed(tmp_path) == ["1a"]
    [told] = owed_stops.owed_stops(tmp_path)
    assert (told["host"], told["command"]) == ("gpu7", "ssh -T gpu")

    async def after() -> None:
        there = There("ssh -T gpu")
        OwedStops(tmp_path / FOLDER, there.end).make_up()
        await settled(lambda: len(there.tried) > 1)
        there.down.clear()
        await settled(lambda: not owed(tmp_path))

    run(after())


def test_a_command_that_leads_nowhere_is_tried_for_one_of_its_kernels(tmp_path: Path) -> None:
    async def test() -> None:
        there = There("ssh -T gpu")
        stops = OwedStops(tmp_path / FOLDER, there.end)
        for name in ("1a", "2b", "3c"):
            stops.add(place(name))
        stops.add(place("4d", "podman exec -i box"))
        await settled(lambda: owed(tmp_path) == ["1a", "2b", "3c"])
        assert len({*there.tried[:2]} - {"4d"}) == 1

    run(test())


def test_one_that_is_owed_for_a_month_is_given_up(tmp_path: Path) -> None:
    async def test() -> None:
        there = There("ssh -T gpu")
        stops = OwedStops(tmp_path / FOLDER, there.end)
        stops.add(place("1a"))
        old = time.time() - 31 * 86400
        os.utime(tmp_path / FOLDER / "1a.json", (old, old))
        await settled(lambda: not owed(tmp_path))

    run(test())


def test_what_is_no_place_is_removed(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / FOLDER).mkdir()
        (tmp_path / FOLDER / "x.json").write_text('["no place"]')
        OwedStops(tmp_path / FOLDER, There().end).make_up()
        await settled(lambda: not list((tmp_path / FOLDER).iterdir()))

    run(test())
