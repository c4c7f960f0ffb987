"""conda environments, whichever tool made them: `ENV_TYPE=conda`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.environments import conda_activation, conda_places, python
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.remedies import free, is_empty
from kernelexec.environments.source import Found, Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment
from kernelexec.model.naming import clean_name


class Conda:
    """The conda environment at a given prefix."""

    kind = "conda"

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        return await python.prepare(self, places, progress)

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        prefix, quoted = self.prefix, shlex.quote(str(self.prefix))
        if not prefix.is_dir():
            raise EnvironmentUnusable(
                f"There is no conda environment at {prefix}: no such folder.",
                f"Make it with: conda create -p {quoted} python    or correct CONDA_ENV_NAME.",
            )
        if not conda_places.is_prefix(prefix):
            raise EnvironmentUnusable(
                f"{prefix} is not a conda environment: it has no conda-meta/history.",
                _hint(prefix) or _elsewhere(prefix, environ),
            )
        executable = prefix / "bin" / "python"
        if not executable.exists() and not executable.is_symlink():
            raise EnvironmentUnusable(
                f"The conda environment {prefix} has no Python.",
                f"Install it with: conda install -p {quoted} python",
            )
        name = conda_places.name_of(prefix, environ)
        variables = await conda_activation.activation(prefix, name, environ)
        activated = dict(variables)
        activated["PATH"] = activated["PATH"].replace("${PATH}", environ.get("PATH", ""))
        try:
            interpreter = await probe(executable, bare(environ) | activated)
        except EnvironmentUnusable as error:
            if error.next_step:
                raise
            mend = f"conda install -p {quoted} --force-reinstall python"
            raise EnvironmentUnusable(error.what, f"Mend it with: {mend}") from error
        return Found(
            kind=self.kind,
            prefix=prefix,
            interpreter=interpreter,
            label=clean_name(name) or "env",
            variables=variables,
            watched=tuple(conda_activation.files_of(prefix)),
        )


def _elsewhere(prefix: Path, environ: Mapping[str, str]) -> str:
    """conda would take over a folder that holds other things."""
    if is_empty(prefix):
        return f"Make one with: conda create -p {shlex.quote(str(prefix))} python"
    place = free(Path(paths.home(environ), ".conda", "envs", prefix.name or "python"))
    return (
        f"Make one with: conda create -p {shlex.quote(str(place))} python    and set CONDA_ENV_NAME={place}"
    )


def _hint(prefix: Path) -> str:
    if (prefix / "pyvenv.cfg").exists():
        return f"It is a virtual environment: ENV_TYPE=venv, VENV_PATH={prefix}"
    if (prefix / "envs").is_dir():
        return "It holds environments: name one of them, or give its path."
    return ""
