"""What is the same for every environment that is an interpreter: its kernelspec, its ipykernel."""

from __future__ import annotations

from kernelexec.environments import kernelspec
from kernelexec.environments.borrowed import borrow_ipykernel, is_current
from kernelexec.environments.probe import works_with_launcher
from kernelexec.environments.source import Places, Progress, PythonSource
from kernelexec.model.environment import Environment


async def prepare(source: PythonSource, places: Places, progress: Progress) -> Environment:
    """The environment as its kernelspec remembers it, or looked at and written anew.

    Raises:
        EnvironmentUnusable: with the command that mends it.
    """
    launcher = kernelspec.install_launcher(places.data_dir)
    known = kernelspec.find(source.kind, source.prefix, places.kernels_dir, launcher)
    if known is not None and _has_its_ipykernel(known, places):
        return known
    found = await source.find(places.environ, progress)
    borrowed = None
    if not works_with_launcher(found.interpreter.ipykernel):
        borrowed = await borrow_ipykernel(places, found.interpreter, progress)
    return kernelspec.install(found, places.kernels_dir, launcher, borrowed)


def _has_its_ipykernel(environment: Environment, places: Places) -> bool:
    folder, interpreter = environment.borrowed_ipykernel, environment.interpreter
    return folder is None or (interpreter is not None and is_current(folder, places, interpreter))
