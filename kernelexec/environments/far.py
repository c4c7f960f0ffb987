"""An environment at the end of a command: `KERNELEXEC_VIA`, with VENV_PATH or CONDA_ENV_NAME.

Nothing of it is on this machine. What it is, its own interpreter says (kernelspecs/far); for a moment that is
remembered, because whoever starts a kernel has asked just before.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kernelexec.bridge.far_link import command_words
from kernelexec.environments.source import Places, Progress
from kernelexec.errors import EnvironmentUnusable, HubUnavailable
from kernelexec.kernels.far_command import VARIABLE, FarCommand, FarPython, FarTrouble
from kernelexec.kernels.slurm import is_slurm
from kernelexec.model.environment import Environment
from kernelexec.model.naming import clean_name

_REMEMBERED_SECONDS = 60.0

_looks: dict[tuple[str, str, str], tuple[float, Mapping[str, Any]]] = {}  # when, and what was said


class FarEnvironment:
    """One interpreter there."""

    def __init__(self, command: str, kind: str, value: str) -> None:
        self.command = command
        self.value = value
        self.of = kind
        self.kind = f"{kind} via {command}"  # by which it is told from one here
        self.prefix = Path(value)

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        said = await self._look(places.environ, progress)
        version = ".".join(map(str, said["version"]))
        prefix, lent = Path(said["prefix"]), said["lent"]
        host = "slurm" if is_slurm(self.command) else clean_name(str(said["host"]).partition(".")[0])
        name = "python" if self.of == "default" else clean_name(Path(self.value).name)
        return Environment(
            kind=self.of,
            label=clean_name(f"{name}-{host}") or "far",
            prefix=prefix,
            interpreter=None,
            kernelspec="python3",
            display_name=f"{name} on {host} (Python {version})",
            argv=(str(said["executable"]),),
            variables=(),
            borrowed_ipykernel=Path(lent) if lent else None,
            transport="command",
            host=self.command,
            version=version,
        )

    def leads_to(self, environment: Environment) -> bool:
        """Whether this is the way to an environment that was found before, as can be told from here."""
        if (environment.host, environment.kind) != (self.command, self.of):
            return False
        wanted = self.value.removeprefix("~").strip("/")
        return f"{environment.prefix}/".endswith(f"/{wanted}/") or not wanted

    async def _look(self, environ: Mapping[str, str], progress: Progress) -> Mapping[str, Any]:
        key = (self.command, self.of, self.value)
        when, said = _looks.get(key, (0.0, {}))
        if said and time.monotonic() - when < _REMEMBERED_SECONDS:
            return said
        progress(f"{shlex.quote(self.command)} is asked for its Python.")
        try:
            command_words(self.command, VARIABLE)  # also Slurm's options are words
            # A login node has the same files as the nodes of its cluster.
            command = FarCommand(self.command, ["env"] if is_slurm(self.command) else None)
            said = await command.ask(
                FarPython(_kind(self.of), self.value), {"want": "look"}, environ, progress
            )
        except (FarTrouble, HubUnavailable) as error:
            raise EnvironmentUnusable(error.what, error.next_step) from error
        for value in (self.value, str(said["prefix"])):
            _looks[self.command, self.of, value] = time.monotonic(), said
        return said


def _kind(kind: str) -> str:
    """As the shell there is told (see kernels/far_command.py)."""
    return "venv" if kind == "venv-uv" else kind
