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
    """None: as much as they like."""

    queued: int | None = None  # submissions that wait in one session
    kernels: int | None = None  # of all sessions of the user's, at once
    disk: int | None = None  # bytes of one session's records; a run that has begun is recorded to its end
