"""Virtual environments: `ENV_TYPE=venv`, and the default environment, which is one of ours."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kernelexec.environments.probe import probe
from kernelexec.environments.source import Found, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.naming import environment_label

_MADE = "kernelexec.json"  # written last, so its absence tells a half-made environment


class Venv:
    """The virtual environment in a given folder."""

    kind = "venv"

    def __init__(self, path: Path) -> None:
        self.prefix = path

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        folder = self.prefix
        if not folder.exists():
            raise EnvironmentUnusable(
                f"VENV_PATH names {folder}, which does not exist.",
                f"Make it with: python3 -m venv {folder}    or correct VENV_PATH.",
            )
        if folder.is_file():
            raise EnvironmentUnusable(
                f"VENV_PATH names {folder}, which is a file.",
                "VENV_PATH is the virtual environment's folder (the one that holds pyvenv.cfg).",
            )
        if not (folder / "pyvenv.cfg").exists():
            raise EnvironmentUnusable(
                f"{folder} is not a virtual environment: it has no pyvenv.cfg.",
                _nearby(folder) or f"Make one with: python3 -m venv {folder}",
            )
        executable = folder / "bin" / "python"
        try:
            interpreter = await probe(executable, _bare(environ))
        except EnvironmentUnusable as error:
            if error.next_step:
                raise
            raise EnvironmentUnusable(
                error.what, f"Mend it with: python3 -m venv --upgrade {folder}"
            ) from error
        return Found(
            kind=self.kind,
            prefix=folder,
            interpreter=interpreter,
            label=environment_label(folder),
            variables=_activation(folder),
        )


class Default:
    """A virtual environment of kernelexec's own, made on first use."""

    kind = "default"

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        if not (self.prefix / _MADE).exists():
            progress(f"Making the default environment in {self.prefix} (first use only, about 5 s).")
            await self._make(environ)
        found = await Venv(self.prefix).find(environ, progress)
        return Found(self.kind, self.prefix, found.interpreter, "default", found.variables)

    async def _make(self, environ: Mapping[str, str]) -> None:
        # The interpreter behind our own environment: that of `uvx kernelexec` may vanish.
        python = getattr(sys, "_base_executable", None) or sys.executable
        shutil.rmtree(self.prefix, ignore_errors=True)  # half made by a hub that was killed
        try:
            self.prefix.parent.mkdir(parents=True, exist_ok=True)
            output, made = await _run((python, "-m", "venv", str(self.prefix)), environ)
            if made:
                (self.prefix / _MADE).write_text(json.dumps({"format": 1, "python": python}))
        except OSError as error:
            output, made = str(error), False
        if not made:
            shutil.rmtree(self.prefix, ignore_errors=True)
            raise EnvironmentUnusable(
                f"The default environment could not be made with {python} -m venv {self.prefix}:\n{output}",
                "Set ENV_TYPE=venv and VENV_PATH to a virtual environment of yours instead.",
            )


async def _run(command: Sequence[str], environ: Mapping[str, str]) -> tuple[str, bool]:
    """A command's output and whether it succeeded."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=_bare(environ),
        cwd="/",
    )
    output, _ = await process.communicate()
    return output.decode("utf-8", "replace").strip()[-2000:], process.returncode == 0


def _activation(prefix: Path) -> tuple[tuple[str, str], ...]:
    """What bin/activate sets, so that `!pip` and subprocesses find the environment."""
    escaped = str(prefix).replace("$", "$$")  # Jupyter fills in ${NAME}, and so do we
    return (("PATH", f"{escaped}/bin:${{PATH}}"), ("VIRTUAL_ENV", escaped))


def _bare(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would make another Python start as if it were the client's."""
    unwanted = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "__PYVENV_LAUNCHER__", "VIRTUAL_ENV")
    return {name: value for name, value in environ.items() if name not in unwanted}


def _nearby(folder: Path) -> str:
    """A hint where VENV_PATH names the folder around or inside the environment."""
    for candidate in (folder / ".venv", folder / "venv", folder / "env", folder.parent, folder.parent.parent):
        if (candidate / "pyvenv.cfg").exists():
            return f"Did you mean VENV_PATH={candidate}?"
    return ""
