"""Which kernels of an earlier hub come first, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from kernelexec.hub.adoption import Adoption, Key
from kernelexec.kernels.registry import KernelEntry

NOTEBOOK = "/home/ann/sales/report.ipynb"


def entry(session: str, notebook: str | None = None) -> KernelEntry:
    return KernelEntry(session, {}, "", 1, session, "/s", "/k", None, {}, notebook)


class Reading:
    """An adoption whose journals are read when the test says so."""

    def __init__(self, *sessions: str, notebook: str | None = None) -> None:
        self.begun: list[str] = []
        self.done: list[str] = []
        self.begins = {name: asyncio.Event() for name in sessions}
        self.may_end = {name: asyncio.Event() for name in sessions}
        self.adoption = Adoption(self._adopt)
        self.adoption.begin(
            (("/s", name), entry(name, NOTEBOOK if name == notebook else None)) for name in sessions
        )

    async def _adopt(self, key: Key, entry: KernelEntry) -> None:
        self.begun.append(key[1])
        self.begins[key[1]].set()
        await self.may_end[key[1]].wait()
        self.done.append(key[1])

    async def until_begun(self, name: str) -> None:
        await self.begins[name].wait()


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


def test_who_asks_for_a_session_waits_for_that_one_alone() -> None:
    async def test() -> None:
        reading = Reading("a", "b", "c")
        await reading.until_begun("a")
        asked = asyncio.ensure_future(reading.adoption.of(("/s", "c")))
        await reading.until_begun("c")
        assert reading.begun == ["a", "c"], "it comes before those that nobody asks for"
        reading.may_end["c"].set()
        await asked
        assert reading.done == ["c"]
        await reading.adoption.of(("/s", "c"))
        await reading.adoption.of(("/elsewhere", "a"))
        assert not reading.adoption.is_over
        everything = asyncio.ensure_future(reading.adoption.of_all())
        for event in reading.may_end.values():
            event.set()
        await everything
        assert reading.done == ["c", "a", "b"]
        assert reading.adoption.is_over

    run(test())


def test_who_gives_up_waiting_ends_no_adoption() -> None:
    async def test() -> None:
        reading = Reading("a", "b")
        asked = [asyncio.ensure_future(reading.adoption.of(("/s", "b"))) for _ in range(2)]
        await reading.until_begun("b")
        asked[0].cancel()
        await asyncio.sleep(0)
        reading.may_end["b"].set()
        await asked[1]
        assert reading.done == ["b"]
        assert reading.begun.count("b") == 1
        await reading.adoption.stop()

    run(test())


def test_who_names_no_session_waits_for_those_with_a_notebook() -> None:
    async def test() -> None:
        reading = Reading("a", "b", "c", notebook="b")
        asked = asyncio.ensure_future(reading.adoption.of_notebooks("/s"))
        await reading.until_begun("b")
        await reading.adoption.of_notebooks("/elsewhere")
        reading.may_end["b"].set()
        await asked
        assert reading.done == ["b"]
        await reading.adoption.stop()

    run(test())


def test_what_is_left_when_the_hub_ends_is_the_next_ones() -> None:
    async def test() -> None:
        reading = Reading("a", "b")
        await reading.until_begun("a")
        waiting = asyncio.ensure_future(reading.adoption.of_all())
        await asyncio.sleep(0)
        await reading.adoption.stop()
        assert reading.done == []
        waiting.cancel()

    run(test())
