"""A kernel that already runs, started by the person's Jupyter: `configure_environment(type="existing")`.

It is called by the notebook that it is of, by its id or by its connection file. Of a notebook it is whichever
kernel the person's Jupyter runs for that when one is needed: none is ever started here.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from kernelexec.environments.foreign import read_spec
from kernelexec.environments.jupyter_paths import find_kernelspec
from kernelexec.environments.languages import script_extension
from kernelexec.environments.probe import bare, probe
from kernelexec.environments.running_kernels import Running, kernel_at, running_kernels
from kernelexec.environments.source import Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment, Interpreter, RunningKernel

_LABEL = "existing"
_PYTHON = re.compile(r"python[0-9.]*t?")
_ANY = "python3"  # the kernelspec's name where no server tells it
_NAMED = 10  # kernels in an error
_HOW = "list_environments shows those that run; the user starts one by opening the notebook in Jupyter."


class ExistingKernel:
    """The kernel that somebody else runs for a notebook, or with a connection file."""

    kind = "existing"

    def __init__(self, joins: str) -> None:
        self.prefix = Path(joins)

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        running = await asyncio.to_thread(_find, self.prefix, places.environ)
        language, interrupts = await asyncio.to_thread(_declared, running, places.environ)
        interpreter = await _interpreter(running, language, places.environ)
        program = interpreter.executable if interpreter is not None else Path(running.command[0])
        return Environment(
            kind=self.kind,
            label=_LABEL,
            prefix=interpreter.prefix if interpreter is not None else program.parent,
            interpreter=interpreter,
            kernelspec=running.served.kernelspec if running.served is not None else _ANY,
            display_name=f"{language} ({running.name[:8]})",
            argv=running.command,
            variables=(),
            borrowed_ipykernel=None,
            language=language,
            extension=script_extension(language),
            interrupts="named" if running.has_launcher else interrupts,
            transport="tcp",  # as Jupyter's are, and nobody can be surer of it than the person
            running=RunningKernel(
                joins=str(self.prefix),
                connection_file=str(running.connection_file),
                pid=running.pid,
                directory=running.directory,
                server=running.served.server if running.served is not None else "",
            ),
        )


def existing_kernel(value: str, environ: Mapping[str, str]) -> ExistingKernel:
    """The one that is called so: the path of a notebook or of a connection file, an id or how it begins.

    Raises:
        EnvironmentUnusable: none or several are; says which there are.
    """
    if value.endswith(".ipynb") or os.path.isabs(value):
        return ExistingKernel(os.path.realpath(value))
    found = running_kernels(environ)
    wanted = value.removeprefix("kernel-").removesuffix(".json")
    meant = [kernel for kernel in found if kernel.name.startswith(wanted)]
    if len(meant) != 1:
        called = f" that is called {value!r}" if value else ""
        what = (
            f"More than one kernel{called} runs" if meant else f"No kernel{called} runs that could be joined"
        )
        raise EnvironmentUnusable(f"{what}.", _which(meant or found))
    return ExistingKernel(str(meant[0].connection_file))


def has_running_kernel(notebook: Path, environ: Mapping[str, str]) -> bool:
    """Whether a Jupyter server of this user runs a kernel for a notebook."""
    return any(_is_of(kernel, notebook) for kernel in running_kernels(environ))


def _find(joins: Path, environ: Mapping[str, str]) -> Running:
    """
    Raises:
        EnvironmentUnusable: there is none.
    """
    if joins.suffix != ".ipynb":
        known = next((each for each in running_kernels(environ) if each.connection_file == joins), None)
        found = known or kernel_at(joins)
        if found is None:
            raise EnvironmentUnusable(f"The kernel of {joins} does not run any more.", _HOW)
        return found
    found = next((each for each in running_kernels(environ) if _is_of(each, joins)), None)
    if found is None:
        raise EnvironmentUnusable(
            f"No Jupyter server of the user's runs a kernel for {joins} now, and kernelexec starts none "
            "in its place.",
            "The user opens the notebook in Jupyter; or open_notebook opens it on a kernel of kernelexec's.",
        )
    return found


def _is_of(kernel: Running, notebook: Path) -> bool:
    return kernel.served is not None and kernel.served.notebook == str(notebook)


def _which(found: Iterable[Running]) -> str:
    named = [f"{each.name} ({described(each)})" for each in found][:_NAMED]
    return f"There are: {', '.join(named)}." if named else _HOW


def described(kernel: Running) -> str:
    """What a kernel is of, in a few words."""
    served = kernel.served
    if served is None:
        return f"process {kernel.pid} in {kernel.directory}"
    return f"{served.notebook or served.kernelspec} at {served.server}"


def _declared(running: Running, environ: Mapping[str, str]) -> tuple[str, str]:
    """A kernel's language and how it is interrupted, as its kernelspec says, or its command line."""
    if running.served is not None:
        try:
            spec = read_spec(find_kernelspec(running.served.kernelspec, environ))
        except EnvironmentUnusable:
            pass  # it is in an environment that the server knows and we do not
        else:
            return spec.language.lower(), spec.interrupt_mode
    return ("python" if _is_python(running) else "unknown"), "signal"


def _is_python(running: Running) -> bool:
    return _PYTHON.fullmatch(Path(running.command[0]).name) is not None


async def _interpreter(running: Running, language: str, environ: Mapping[str, str]) -> Interpreter | None:
    program = Path(running.command[0])
    if language != "python" or not _is_python(running) or not program.is_absolute():
        return None
    return await probe(program, bare(environ))
