"""Kernels that live and serve no session: they are seen and can be ended, so that none runs on unseen."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelexec.kernels.host import KernelHost
from kernelexec.kernels.registry import KernelEntry, Registry
from kernelexec.kernels.strays import Stray

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LostKernel:
    """One, with what is known of it."""

    kernel_id: str
    why: str  # it serves nobody
    entry: KernelEntry | None  # of the registry
    stray: Stray | None  # None: it is elsewhere, out of sight

    @property
    def session(self) -> str | None:
        """The id of the session that it was started for."""
        if self.entry is None:
            return None
        return f"{self.entry.session_name}@{self.entry.environment.get('label', '?')}"

    def is_of(self, storage_identity: str, session: str) -> bool:
        entry = self.entry
        return (
            entry is not None
            and self.session == session
            and os.path.realpath(entry.storage_dir) == storage_identity
        )

    @property
    def pids(self) -> list[int]:
        return [pid for pid, _ in self.stray.processes] if self.stray is not None else []

    @property
    def cause(self) -> str:
        """Of the loss, as replies have it."""
        if self.stray is None:
            return self.why
        pids = ", ".join(map(str, self.pids))
        return (
            f"it cannot be reached any more: {self.why}. Its process ({pids}) runs on until somebody ends "
            f"it: kernelexec stop {self.kernel_id}"
        )


class LostKernels:
    """Those that an earlier hub left and this one could not take over."""

    def __init__(self, host: KernelHost, registry: Registry) -> None:
        self._host = host
        self._registry = registry
        self._lost: dict[str, LostKernel] = {}

    def add(
        self, kernel_id: str, why: str, entry: KernelEntry | None, *, elsewhere: bool = False
    ) -> LostKernel | None:
        """None: it has ended, and is no longer anybody's."""
        stray = None if elsewhere else self._host.strays().get(kernel_id)
        if stray is None and not elsewhere:
            return None
        lost = self._lost[kernel_id] = LostKernel(kernel_id, why, entry, stray)
        _log.warning("kernel %s of %s: %s", kernel_id, lost.session or "an unknown session", lost.cause)
        return lost

    def of(self, storage_identity: str, session: str, kernel_id: str | None) -> list[LostKernel]:
        """Those of a session, whose journal says that its last kernel is called so."""
        return [
            lost
            for lost in self.all()
            if lost.is_of(storage_identity, session) or lost.kernel_id == kernel_id
        ]

    def discard(self, lost: LostKernel) -> None:
        """It is to be tried once more."""
        self._lost.pop(lost.kernel_id, None)

    def all(self) -> list[LostKernel]:
        """Those that live as far as anybody can see; what has ended since is cleared up."""
        for lost in list(self._lost.values()):
            if lost.stray is not None and not lost.stray.is_alive:
                self._forget(lost)
        return list(self._lost.values())

    async def end(self, lost: LostKernel) -> None:
        if lost.stray is not None:
            await lost.stray.end()
            _log.info("kernel %s was ended on request", lost.kernel_id)
            self._forget(lost)

    def _forget(self, lost: LostKernel) -> None:
        self._lost.pop(lost.kernel_id, None)
        self._registry.remove(lost.kernel_id)
        if lost.entry is not None:
            self._host.clear_up(lost.entry.place)

    def described(self) -> list[Mapping[str, object]]:
        """For programs, as `kernelexec ps --json` has them."""
        return [
            {
                "kernel": lost.kernel_id,
                "session": lost.session,
                "storage_dir": lost.entry.storage_dir if lost.entry is not None else None,
                "pids": lost.pids,
                "memory_mb": round(lost.stray.memory() / 1e6) if lost.stray is not None else None,
                "why": lost.why,
                "is_elsewhere": lost.stray is None,
            }
            for lost in self.all()
        ]


def named(lost: LostKernel) -> str:
    """In a line, for replies."""
    return f"{lost.kernel_id} of {lost.session or 'an unknown session'} ({lost.why})"


def without_session(stray: Stray) -> str:
    """Why a kernel that the registry does not know serves nobody."""
    gone = "" if Path(stray.directory).is_dir() else f", and its directory {stray.directory} was deleted"
    return f"nothing on disk says whose it is (its registry entry is gone{gone})"
