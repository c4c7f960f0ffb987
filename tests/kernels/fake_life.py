"""A life without a process, which ends when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.kernels.kernel import Death, Where


class FakeLife:
    """See life.Life."""

    def __init__(self) -> None:
        self.kernel_id = "1a2b3c4d"
        self.spool: Path | None = None
        self.spools = True
        self.is_stopped = False
        self.is_joined = False
        self.where: Where | None = None
        self.done: list[str] = []  # what was asked of it, in order
        self._death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()

    def end(self, death: Death) -> None:
        if not self._death.done():
            self._death.set_result(death)

    async def ended(self) -> Death:
        await asyncio.wait({self._death})
        return self._death.result()

    def explained(self, death: Death) -> Death:
        return death

    def answers(self) -> None:
        self.done.append("answers")

    async def interrupt(self) -> bool:
        self.done.append("interrupt")
        return True

    async def dismiss(self) -> bool:
        return False

    async def kill(self) -> None:
        self.done.append("kill")
        self.end(Death(signal=9))

    def memory(self) -> int | None:
        return 50_000_000

    def cpu_seconds(self) -> float | None:
        return 1.5

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        return {1: 1.5}

    def environ(self) -> Mapping[str, str]:
        return {"HOME": "/home/ann"}

    def place(self) -> Mapping[str, Any]:
        return {"memory": True}

    def detach(self) -> None:
        self.done.append("detach")

    def clear_up(self) -> None:
        self.done.append("clear_up")
