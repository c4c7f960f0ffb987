"""The seam between the kinds of environment and what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kernelexec import paths
from kernelexec.model.environment import Environment, Interpreter

Progress = Callable[[str], None]


class Places:
    """Where the client that asks has things: its variables, our data, its Jupyter's kernelspecs."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.data_dir = Path(paths.data_dir(environ))
        self.kernels_dir = Path(paths.jupyter_data_dir(environ), "kernels")


@dataclass(frozen=True)
class Found:
    """An interpreter that runs, and how its environment is activated."""

    kind: str
    prefix: Path
    interpreter: Interpreter
    label: str
    variables: tuple[tuple[str, str], ...]
    watched: tuple[Path, ...] = ()  # what else, when it changes, means that it must be looked at anew


class Source(Protocol):
    """One kind of environment, at one place."""

    kind: str
    prefix: Path

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        """The environment, with a kernelspec, and an ipykernel where it needs one.

        Raises:
            EnvironmentUnusable: with the command that mends it.
        """


class PythonSource(Protocol):
    """A kind of environment that is an interpreter."""

    kind: str
    prefix: Path

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        """The environment's interpreter.

        Raises:
            EnvironmentUnusable: with the command that mends it.
        """
