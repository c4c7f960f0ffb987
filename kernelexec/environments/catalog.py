"""From a client's choice to an environment that can be started, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kernelexec import paths
from kernelexec.config import EnvironmentChoice
from kernelexec.environments import kernelspec
from kernelexec.environments.borrowed import borrow_ipykernel
from kernelexec.environments.probe import works_with_launcher
from kernelexec.environments.source import Progress, Source
from kernelexec.environments.venv import Default, Venv
from kernelexec.model.environment import Environment


def source_of(choice: EnvironmentChoice, environ: Mapping[str, str]) -> Source:
    """Where a choice leads; looks at nothing yet."""
    if choice.kind == "venv" and choice.path is not None:
        return Venv(choice.path)
    return Default(Path(paths.data_dir(environ), "environments", "default"))


def source_at(environment: Environment) -> Source:
    """Where an environment that was found before is looked for again."""
    if environment.kind == "venv":
        return Venv(environment.prefix)
    return Default(environment.prefix)


async def prepare(source: Source, environ: Mapping[str, str], progress: Progress) -> Environment:
    """The environment, with its kernelspec written and an ipykernel to run.

    Raises:
        EnvironmentUnusable: with the command that mends it.
    """
    data_dir = Path(paths.data_dir(environ))
    kernels_dir = Path(paths.jupyter_data_dir(environ), "kernels")
    launcher = kernelspec.install_launcher(data_dir)
    known = kernelspec.find(source.prefix, kernels_dir, launcher)
    if known is not None:
        return known
    found = await source.find(environ, progress)
    borrowed = None
    if not works_with_launcher(found.interpreter.ipykernel):
        borrowed = await borrow_ipykernel(data_dir, found.interpreter, progress)
    return kernelspec.install(found, kernels_dir, launcher, borrowed)
