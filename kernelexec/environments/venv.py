"""Virtual environments: `ENV_TYPE=venv`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from kernelexec.environments import python, remedies
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.source import Found, Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment, Interpreter
from kernelexec.model.naming import environment_label


class Venv:
    """The virtual environment in a given folder."""

    kind = "venv"
    setting = "VENV_PATH"
    make = "python3 -m venv"
    make_anew = ""  # a command that keeps the packages; venv's --clear removes whatever is in the folder

    def __init__(self, path: Path) -> None:
        self.prefix = path

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        return await python.prepare(self, places, progress)

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        folder = self.prefix
        self._check(folder, environ)
        try:
            interpreter = await probe(folder / "bin" / "python", bare(environ))
        except EnvironmentUnusable as error:
            if error.next_step:
                raise
            raise EnvironmentUnusable(
                error.what, remedies.anew(folder, self.setting, self.make, self.make_anew)
            ) from error
        self._check_its_own(interpreter)
        return Found(
            kind=self.kind,
            prefix=folder,
            interpreter=interpreter,
            label=environment_label(folder),
            variables=activation(folder),
            watched=(folder / "pyvenv.cfg",),
        )

    def _check(self, folder: Path, environ: Mapping[str, str]) -> None:
        if not folder.exists():
            if folder.is_symlink():
                raise EnvironmentUnusable(
                    f"There is no virtual environment at {folder}: it is a link to {os.readlink(folder)}, "
                    "which does not exist.",
                    remedies.without_link(folder, self.make),
                )
            raise EnvironmentUnusable(
                f"There is no virtual environment at {folder}: the folder does not exist.",
                f"Make it with: {self.make} {remedies.quoted(folder)}    or correct {self.setting}.",
            )
        if not (folder / "pyvenv.cfg").exists():
            what = (
                f"There is no virtual environment at {folder}, which is a file."
                if folder.is_file()
                else f"{folder} is not a virtual environment: it has no pyvenv.cfg."
            )
            raise EnvironmentUnusable(what, remedies.instead_of(folder, self.setting, self.make, environ))

    def _check_its_own(self, interpreter: Interpreter) -> None:
        """Whether its Python is not a version manager's shim, which would start another Python."""
        if os.path.realpath(interpreter.prefix) != os.path.realpath(self.prefix):
            raise EnvironmentUnusable(
                f"{self.prefix}/bin/python starts the Python of {interpreter.prefix} instead of its own.",
                remedies.anew(self.prefix, self.setting, self.make, self.make_anew),
            )


def activation(prefix: Path) -> tuple[tuple[str, str], ...]:
    """What bin/activate sets, so that `!pip` and subprocesses find the environment."""
    escaped = str(prefix).replace("$", "$$")  # Jupyter fills in ${NAME}, and so do we
    return (("PATH", f"{escaped}/bin:${{PATH}}"), ("VIRTUAL_ENV", escaped))
