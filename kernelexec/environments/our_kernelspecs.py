"""The kernelspecs that kernelexec has written: which there are, which lead nowhere, taking them away."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kernelexec.environments.foreign import read_spec
from kernelexec.environments.jupyter_paths import manager
from kernelexec.environments.kernelspec import environment_in
from kernelexec.errors import BadRequest, EnvironmentUnusable
from kernelexec.model.environment import Environment


@dataclass(frozen=True)
class OurKernelspec:
    """One of them, as JupyterLab lists it."""

    folder: Path
    environment: Environment | None  # None: it cannot be read

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def problem(self) -> str | None:
        """Why no kernel could start from it; None where nothing of it is gone."""
        environment = self.environment
        if environment is None:
            return "its kernel.json cannot be read"
        needed = [environment.prefix, environment.program, *map(Path, environment.argv[1:2])]
        needed += [environment.borrowed_ipykernel] if environment.borrowed_ipykernel else []
        gone = [path for path in needed if path.is_absolute() and not path.exists()]
        return f"{gone[0]} is gone" if gone else None

    @property
    def is_stale(self) -> bool:
        """Whether its environment is gone; anything else is mended when it is used next."""
        environment = self.environment
        return environment is None or not (environment.prefix.exists() and environment.program.exists())


def our_kernelspecs(kernels_dir: Path) -> list[OurKernelspec]:
    """All of them in a Jupyter data directory's `kernels`, by name."""
    return [
        OurKernelspec(Path(folder), _environment_in(Path(folder)))
        for name, folder in sorted(manager([kernels_dir]).find_kernel_specs().items())
        if name.startswith("kernelexec-")
    ]


def remove(name: str, kernels_dir: Path) -> None:
    """Take one away; it is written anew when its environment is used next.

    Raises:
        BadRequest: there is none with this name, or it is not kernelexec's.
        EnvironmentUnusable: it cannot be removed.
    """
    known = {spec.name: spec for spec in our_kernelspecs(kernels_dir)}
    if name not in known:
        raise BadRequest(
            f"{name!r} is no kernelspec of kernelexec in {kernels_dir}.",
            f"There are: {', '.join(known) or 'none'}. Others: jupyter kernelspec remove NAME",
        )
    try:
        manager([kernels_dir]).remove_kernel_spec(name)
    except OSError as error:
        raise EnvironmentUnusable(f"{known[name].folder} cannot be removed: {error.strerror}.") from error


def _environment_in(folder: Path) -> Environment | None:
    """What stands in our metadata counts only where Jupyter can read the rest."""
    try:
        read_spec(folder)
    except EnvironmentUnusable:
        return None
    return environment_in(folder)
