"""The life of a kernel at the end of a command: what the relay beside it tells."""

from __future__ import annotations

import asyncio
import base64
import logging
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kernelexec.kernels.kernel import Death, Where
from kernelexec.kernels.link import Link
from kernelexec.kernels.local_life import death_told_by
from kernelexec.kernels.stdio_link import StdioLink

_log = logging.getLogger(__name__)

_KILL_SECONDS = 10.0  # until its end is told
_FILES = ("exit", "stderr", "begun", "printed")


@dataclass(frozen=True)
class FarPlace:
    """Where a kernel at the end of a command is."""

    command: str  # KERNELEXEC_VIA
    python: str  # the interpreter there
    kernel: str  # its id
    key: str  # with which messages are signed
    host: str  # what the machine calls itself
    boot: str
    working_directory: str
    lent: str = ""  # the folder there from which its ipykernel comes; "" is its own
    job: str = ""  # the number of the Slurm job that it is


def read_place(place: Mapping[str, Any]) -> FarPlace:
    """
    Raises:
        ValueError: it was written by a later version, or is damaged.
    """
    try:
        return FarPlace(**{name: value for name, value in place.items() if name != "kind"})
    except TypeError as error:
        raise ValueError(f"not the place of a kernel at the end of a command: {error}") from error


class FarLife:
    """One kernel there (see life.Life)."""

    is_joined = False
    spools = False  # its files are not here

    def __init__(
        self,
        place: FarPlace,
        end_later: Callable[[FarPlace], None],
        explain: Callable[[FarPlace, Death], Awaitable[Death]],
        spool: Path | None,
        *,
        is_kept: bool,
    ) -> None:
        """`end_later`: have it ended as soon as it can be reached. `explain`: a death with what else is known
        of it where it ran. `spool`: a folder of ours for it. `is_kept`: it is to outlive us."""
        self.spool = spool
        self._place = place
        self._end_later = end_later
        self._explain = explain
        self._explaining: asyncio.Task[None] | None = None
        self._is_kept = is_kept
        self._death: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self._about: Mapping[str, Any] = {}  # what its system told of it last
        self.link: StdioLink | None = None
        self.has_answered = False

    def hear(self, link: StdioLink) -> None:
        """Its link tells what happens to it."""
        self.link = link
        link.on_gone = self._is_gone
        link.on_beat = self._learn

    @property
    def kernel_id(self) -> str:
        return self._place.kernel

    async def ended(self) -> Death:
        await asyncio.wait({self._death})
        return self._death.result()

    def explained(self, death: Death) -> Death:
        return death

    def answers(self) -> None:
        self.has_answered = True
        if self._is_kept and self.link is not None:
            self.link.keep()

    async def settle(self, link: Link, info: Mapping[str, Any]) -> str:
        """See linked_kernel.Beyond: our launcher runs it."""
        return "named"

    async def interrupt(self) -> bool:
        return False  # it is asked to

    async def dismiss(self) -> bool:
        """Where it cannot be reached now."""
        if self.link is None or self.link.lost is None:
            return False
        self._end_once_it_can_be()
        return True

    async def kill(self) -> None:
        if self._death.done():
            return
        if self.link is not None and self.link.kill():
            await asyncio.wait({self._death}, timeout=_KILL_SECONDS)
        if not self._death.done():
            self._end_once_it_can_be()

    def is_missing(self, why: str) -> None:
        """There is nothing of it where it was. Once its end has been told, that is no news."""
        if self._explaining is None:
            self._end(Death(asked=why))

    @property
    def is_stopped(self) -> bool:
        return bool(self._about.get("stopped"))

    @property
    def where(self) -> Where:
        return Where(self._place.host, self._place.working_directory, self._place.command)

    def memory(self) -> int | None:
        return self._about.get("memory")

    def cpu_seconds(self) -> float | None:
        return self._about.get("cpu")

    def family_cpu_seconds(self) -> None:
        """Not told."""

    def environ(self) -> Mapping[str, str]:
        return {}

    def place(self) -> Mapping[str, Any]:
        return {"kind": "far", **asdict(self._place)}

    def detach(self) -> None:
        self.clear_up()

    def clear_up(self) -> None:
        """What is here: the relay there removes what is left there, once we have it."""
        if self.spool is not None:
            shutil.rmtree(self.spool, ignore_errors=True)

    def __str__(self) -> str:
        return f"{self._place.kernel} on {self._place.host} ({self._place.command})"

    def _learn(self, said: Mapping[str, Any]) -> None:
        self._about = said

    def _is_gone(self, said: Mapping[str, Any]) -> None:
        files = {name: said.get(name) for name in _FILES}
        death = death_told_by({name: base64.b64decode(data) for name, data in files.items() if data})
        self._explaining = asyncio.create_task(self._end_as_explained(death))

    async def _end_as_explained(self, death: Death) -> None:
        self._end(await self._explain(self._place, death))

    def _end_once_it_can_be(self) -> None:
        self._end_later(self._place)
        if self._place.job:
            return self._end(Death(asked=f"its Slurm job {self._place.job} was cancelled"))
        since = self.link.lost if self.link is not None else None
        down = f", which has been down since {since.since.astimezone():%H:%M:%S}" if since is not None else ""
        self._end(
            Death(
                asked=f"its link could not carry that{down}: it may run on at {self._place.host}, and is "
                "ended as soon as the link is back"
            )
        )

    def _end(self, death: Death) -> None:
        if not self._death.done():
            self._death.set_result(death)
