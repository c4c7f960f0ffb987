"""The default environment: a virtual environment of kernelexec's own, made on first use."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kernelexec.environments import python
from kernelexec.environments.probe import bare
from kernelexec.environments.source import Found, Places, Progress
from kernelexec.environments.venv import Venv
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment

_MADE = "kernelexec.json"  # written last, so its absence tells a half-made environment


class Default:
    """What code runs in where nothing else is configured."""

    kind = "default"

    def __init__(self, prefix: Path) -> None:
        self.prefix = prefix

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        return await python.prepare(self, places, progress)

    async def find(self, environ: Mapping[str, str], progress: Progress) -> Found:
        if not (self.prefix / _MADE).exists():
            progress(f"Making the default environment in {self.prefix} (first use only, about 5 s).")
            await self._make(environ)
        found = await Venv(self.prefix).find(environ, progress)
        return replace(found, kind=self.kind, label="default")

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
        env=bare(environ),
        cwd="/",
    )
    output, _ = await process.communicate()
    return output.decode("utf-8", "replace").strip()[-2000:], process.returncode == 0
