"""From a client's choice to an environment that can be started, whatever its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kernelexec.config import EnvironmentChoice
from kernelexec.environments import conda_places, kernelspec
from kernelexec.environments.conda import Conda
from kernelexec.environments.default import Default
from kernelexec.environments.existing import ExistingKernel, existing_kernel
from kernelexec.environments.far import FarEnvironment
from kernelexec.environments.foreign import ForeignKernel
from kernelexec.environments.gateway import GatewayKernel
from kernelexec.environments.jupyter_paths import find_kernelspec
from kernelexec.environments.source import Places, Progress, Source
from kernelexec.environments.uv_venv import UvVenv
from kernelexec.environments.venv import Venv
from kernelexec.model.environment import Environment
from kernelexec.model.server_address import server_and_kernelspec


def source_of(choice: EnvironmentChoice, environ: Mapping[str, str]) -> Source:
    """Where a choice leads.

    Raises:
        EnvironmentUnusable: it names what does not exist; what does, under near names, is told.
    """
    if choice.via:
        return FarEnvironment(choice.via, choice.kind, choice.value)
    return _here(choice.kind, choice.value, environ)


def _here(kind: str, value: str, environ: Mapping[str, str]) -> Source:
    match kind:
        case "conda":
            return Conda(conda_places.find_prefix(value, environ))
        case "venv" | "venv-uv":
            return _venvs[kind](Path(value))
        case "kernelspec":
            return _of_kernelspec(value, environ)
        case "existing":
            return existing_kernel(value, environ)
        case "gateway":
            return GatewayKernel(*server_and_kernelspec(value))
        case _:
            return Default(Places(environ).data_dir / "environments" / "default")


def source_at(environment: Environment) -> Source:
    """Where an environment that was found before is looked for again."""
    if environment.running is not None:
        return ExistingKernel(environment.running.joins)
    if environment.is_far:
        return FarEnvironment(environment.host, environment.kind, _far_value(environment))
    return _found_here(environment)


def _found_here(environment: Environment) -> Source:
    prefix = environment.prefix
    match environment.kind:
        case "conda":
            return Conda(prefix)
        case "venv" | "venv-uv":
            return _venvs[environment.kind](prefix)
        case "kernelspec":
            return ForeignKernel(environment.kernelspec, prefix)
        case "gateway":
            return GatewayKernel(environment.host, environment.kernelspec)
        case _:
            return Default(prefix)


def _far_value(environment: Environment) -> str:
    return "" if environment.kind == "default" else str(environment.prefix)


def leads_to(source: Source, environment: Environment) -> bool:
    """Whether this is where an environment was found before."""
    if isinstance(source, FarEnvironment):
        return source.leads_to(environment)
    return environment.prefix == source.prefix and not environment.is_far


_venvs: Mapping[str, Callable[[Path], Source]] = {"venv": Venv, "venv-uv": UvVenv}


def _of_kernelspec(name: str, environ: Mapping[str, str]) -> Source:
    folder = find_kernelspec(name, environ)
    ours = kernelspec.environment_in(folder)
    return source_at(ours) if ours is not None else ForeignKernel(folder.name, folder)


async def prepare(source: Source, environ: Mapping[str, str], progress: Progress) -> Environment:
    """The environment, with its kernelspec written and an ipykernel to run.

    Raises:
        EnvironmentUnusable: with the command that mends it.
    """
    return await source.prepare(Places(environ), progress)
