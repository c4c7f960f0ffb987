"""How much output is kept, and where. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """In characters of what a notebook would hold, which are bytes for most output."""

    cell: int = 5_000_000  # more in one cell makes JupyterLab slow; it goes to a file beside the notebook
    run: int = 1_000_000_000  # what an endless loop may take of the disk; more is counted, not kept
