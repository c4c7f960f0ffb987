"""The seam between the kinds of environment and what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kernelexec.model.environment import Interpreter

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """An interpreter that runs, and how its environment is activated."""

    kind: str
    prefix: Path
    interpreter: Interpreter
    label: str
    variables: tuple[tuple[str, str], ...]


class Source(Protocol):
    """One kind of environment."""

    kind: str
    prefix: Path

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        """The environment's interpreter.

        Raises:
            EnvironmentUnusable: with the command that mends it.
        """
