"""Kernels that an earlier hub has left, given to their sessions one after the other.

Each session's journal is read for it, which takes as long as there is to read. So the hub's door is open
meanwhile: who asks for one of these sessions waits for that one, which comes first then; who asks what there
is waits for all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from kernelexec.kernels.registry import KernelEntry

Key = tuple[str, str]  # real path of a storage directory, id of a session


class Adoption:
    """What is still to be adopted."""

    def __init__(self, adopt: Callable[[Key, KernelEntry], Coroutine[Any, Any, None]]) -> None:
        self._adopt = adopt  # never raises: what goes wrong with one is not the others'
        self._left: dict[Key, list[KernelEntry]] = {}
        self._tasks: dict[Key, asyncio.Task[None]] = {}
        self._all: asyncio.Task[None] | None = None

    def begin(self, entries: Iterable[tuple[Key, KernelEntry]]) -> None:
        for key, entry in entries:
            self._left.setdefault(key, []).append(entry)
        self._all = asyncio.create_task(self._go_through())

    @property
    def is_over(self) -> bool:
        return not self._left

    async def of(self, key: Key) -> None:
        """Returns when nothing is left of this session's."""
        if key in self._left:
            # Not awaited: who is cancelled while awaiting a task cancels it.
            await asyncio.wait({self._begun(key)})

    async def of_notebooks(self, storage_identity: str) -> None:
        """Of the sessions of a storage directory that work in a notebook of the person's."""
        for key, entries in list(self._left.items()):
            if key[0] == storage_identity and any(entry.notebook is not None for entry in entries):
                await self.of(key)

    async def of_all(self) -> None:
        while self._left:
            await self.of(next(iter(self._left)))

    async def stop(self) -> None:
        """What is left is left to the next hub."""
        tasks = [*self._tasks.values(), *([] if self._all is None else [self._all])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _go_through(self) -> None:
        for key in list(self._left):  # the others have come first meanwhile
            await self.of(key)

    def _begun(self, key: Key) -> asyncio.Task[None]:
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._adopt_of(key))
        return self._tasks[key]

    async def _adopt_of(self, key: Key) -> None:
        try:
            for entry in self._left[key]:
                await self._adopt(key, entry)
        finally:
            del self._left[key], self._tasks[key]
