"""Virtual environments: `ENV_TYPE=venv`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from kernelexec.environments import python
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.source import Found, Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment
from kernelexec.model.naming import environment_label


class Venv:
    """The virtual environment in a given folder."""

    kind = "venv"
    setting = "VENV_PATH"
    make = "python3 -m venv"
    mend = "python3 -m venv --clear {}    (its packages have to be installed again)"

    def __init__(self, path: Path) -> None:
        self.prefix = path

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        return await python.prepare(self, places, progress)

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        folder = self.prefix
        self._check(folder)
        try:
            interpreter = await probe(folder / "bin" / "python", bare(environ))
        except EnvironmentUnusable as error:
            if error.next_step:
                raise
            raise EnvironmentUnusable(
                error.what, f"Make it anew with: {self.mend.format(shlex.quote(str(folder)))}"
            ) from error
        return Found(
            kind=self.kind,
            prefix=folder,
            interpreter=interpreter,
            label=environment_label(folder),
            variables=activation(folder),
            watched=(folder / "pyvenv.cfg",),
        )

    def _check(self, folder: Path) -> None:
        make = f"{self.make} {shlex.quote(str(folder))}"
        if not folder.exists():
            raise EnvironmentUnusable(
                f"There is no virtual environment at {folder}: the folder does not exist.",
                f"Make it with: {make}    or correct {self.setting}.",
            )
        if folder.is_file():
            raise EnvironmentUnusable(
                f"There is no virtual environment at {folder}, which is a file.",
                f"{self.setting} is the virtual environment's folder (the one that holds pyvenv.cfg).",
            )
        if not (folder / "pyvenv.cfg").exists():
            raise EnvironmentUnusable(
                f"{folder} is not a virtual environment: it has no pyvenv.cfg.",
                self._nearby(folder) or f"Make one with: {make}",
            )

    def _nearby(self, folder: Path) -> str:
        """A hint where the setting names the folder around or inside the environment."""
        inside = (folder / ".venv", folder / "venv", folder / "env")
        for candidate in (*inside, folder.parent, folder.parent.parent):
            if (candidate / "pyvenv.cfg").exists():
                return f"Did you mean {self.setting}={candidate}?"
        return ""


def activation(prefix: Path) -> tuple[tuple[str, str], ...]:
    """What bin/activate sets, so that `!pip` and subprocesses find the environment."""
    escaped = str(prefix).replace("$", "$$")  # Jupyter fills in ${NAME}, and so do we
    return (("PATH", f"{escaped}/bin:${{PATH}}"), ("VIRTUAL_ENV", escaped))
