"""What a kernel gets of whoever has it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Surroundings:
    """What a kernel gets of whoever has it started, and later clients share."""

    environ: Mapping[str, str]
    directory: Path  # where it works
