"""Environments that several callers wait for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from kernelexec.environments.source import Progress, Source
from kernelexec.hub.chosen_environments import ChosenEnvironments
from tests.fakes import run


class _Slow:
    """An environment whose preparation goes on when the test says so."""

    kind = "venv"
    prefix = Path("/somewhere")

    def __init__(self) -> None:
        self.prepared = 0
        self.steps: asyncio.Queue[str] = asyncio.Queue()

    async def prepare(self, places: object, progress: Progress) -> Any:
        self.prepared += 1
        while text := await self.steps.get():
            progress(text)
        return "prepared"


def test_all_who_wait_for_an_environment_hear_how_far_it_is_and_it_is_prepared_once(tmp_path: Path) -> None:
    async def whole() -> None:
        slow = _Slow()
        environments = ChosenEnvironments(tmp_path, lambda source: None)
        heard: dict[str, list[str]] = {"first": [], "late": [], "gone": []}

        async def waits(name: str) -> object:
            return await environments.prepare(cast("Source", slow), {}, heard[name].append)

        first, gone = asyncio.create_task(waits("first")), asyncio.create_task(waits("gone"))
        slow.steps.put_nowait("downloading")
        await _until(lambda: heard["gone"])
        gone.cancel()
        late = asyncio.create_task(waits("late"))
        await _until(lambda: heard["late"])
        slow.steps.put_nowait("installing")
        slow.steps.put_nowait("")
        assert await asyncio.gather(first, late) == ["prepared", "prepared"]
        assert slow.prepared == 1
        assert heard == {
            "first": ["downloading", "installing"],
            "late": ["downloading", "installing"],
            "gone": ["downloading"],
        }

    run(whole())


async def _until(condition: Any) -> None:
    while not condition():  # noqa: ASYNC110 - of a list
        await asyncio.sleep(0)
