"""How much output is kept, and where; how much a client lets its sessions take at all. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """In characters of what a notebook would hold, which are bytes for most output."""

    cell: int = 5_000_000  # more in one cell makes JupyterLab slow; it goes to a file beside the notebook
    run: int = 1_000_000_000  # what an endless loop may take of the disk; more is counted, not kept

    @classmethod
    def read(cls, said: Mapping[str, Any]) -> Limits:
        """As a journal tells them; what it does not tell is as by default."""
        known = {name: said.get(name) for name in ("cell", "run")}
        return cls(**{name: number for name, number in known.items() if isinstance(number, int)})


@dataclass(frozen=True)
class Allowance:
    """What sessions may take. None: as much as they like."""

    queued: int | None = None  # submissions that wait in one session
    kernels: int | None = None  # at once: of all sessions of the user's, or of those of one environment
    session_mb: int | None = None  # of one session's records; a run that has begun is recorded to its end
    memory_mb: int | None = None  # of a kernel's process, and of each that it starts
    file: str = ""  # which says so for an environment; "" where a client's own variables do

    @classmethod
    def of(cls, said: Mapping[str, int | None], file: str = "") -> Allowance:
        """By the names of these."""
        queued, kernels = said.get("queued"), said.get("kernels")
        return cls(queued, kernels, said.get("session_mb"), said.get("memory_mb"), file)

    @property
    def disk(self) -> int | None:
        """session_mb in bytes."""
        return None if self.session_mb is None else self.session_mb * 1_000_000

    def said(self, name: str) -> str:
        """What sets one of these, as its reader finds it."""
        value = getattr(self, name)
        return f'"{name}": {value} in {self.file}' if self.file else f"KERNELEXEC_{name.upper()}={value}"
