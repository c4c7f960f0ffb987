"""The programs that install into an environment: conda and its kin, uv, pip."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kernelexec import paths
from kernelexec.environments.conda_places import find_tool
from kernelexec.environments.probe import OF_ANOTHER_PYTHON
from kernelexec.environments.requirements import Requirement
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment, Interpreter

# Would make an installer ask, wait, colour, or install elsewhere than it is told to.
_SETTINGS = {
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_PROGRESS_BAR": "off",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_USER": "0",  # where the environment cannot be written, pip would install for the user instead
    "PYTHONUNBUFFERED": "1",
    "UV_NO_PROGRESS": "1",
    "NO_COLOR": "1",
    "CONDA_REPORT_ERRORS": "false",
}
_UNSET = frozenset(
    (
        *(
            "PIP_TARGET",
            "PIP_PREFIX",
            "PIP_ROOT",
            "PIP_REQUIREMENT",
            "PIP_EDITABLE",
            "PIP_DRY_RUN",
            "PIP_PYTHON",
        ),
        *("UV_TARGET", "UV_PREFIX", "UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_DRY_RUN", "VIRTUAL_ENV"),
        *("CONDA_PREFIX", "CONDA_DEFAULT_ENV", "CONDA_SHLVL", "CONDA_DRY_RUN", "CONDA_DOWNLOAD_ONLY"),
        *(*OF_ANOTHER_PYTHON, "PYTHONPATH"),
    )
)
_SYSTEM_CERTIFICATES = (
    *("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"),
    *("/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"),
)
# How conda (PackagesNotFoundError) and mamba, micromamba (libmamba) name what their channels do not have.
_CONDA_MISSING = re.compile(r"^  - ([\w.-]+)", re.MULTILINE)
_MAMBA_MISSING = re.compile(r"[├└]─ ([\w.-]+)[^\n]*does not exist", re.MULTILINE)


@dataclass(frozen=True)
class Installer:
    """One program, and how it is called for an environment."""

    name: str  # "conda", "mamba", "micromamba", "uv pip" or "pip"
    command: tuple[str, ...]  # what stands before the packages

    @property
    def is_conda(self) -> bool:
        return self.name in ("conda", "mamba", "micromamba")

    def takes(self, requirement: Requirement) -> bool:
        return not self.is_conda or requirement.for_conda() is not None

    def command_for(self, requirements: Sequence[Requirement]) -> list[str]:
        """The command line; after `--` nothing is an option."""
        named = [(r.for_conda() or str(r)) if self.is_conda else str(r) for r in requirements]
        return [*self.command, "--", *named]

    def not_found(self, output: str, requirements: Sequence[Requirement]) -> list[Requirement]:
        """Those that failed because conda's channels do not have them, as its output says."""
        if not self.is_conda:
            return []
        names = set(_MAMBA_MISSING.findall(output))
        if "PackagesNotFoundError" in output:
            names.update(_CONDA_MISSING.findall(output.partition("PackagesNotFoundError")[2]))
        return [requirement for requirement in requirements if requirement.name.lower() in names]


def installer_of(environment: Environment, has_pip: bool, environ: Mapping[str, str]) -> Installer:
    """The environment's own installer.

    Raises:
        EnvironmentUnusable: there is none, with the command that mends it.
    """
    interpreter = environment.interpreter
    assert interpreter is not None  # packages of other languages were refused before
    if environment.kind == "conda":
        tool = find_tool(environment.prefix, environ)
        if tool is None:
            raise EnvironmentUnusable(
                f"Neither conda nor mamba nor micromamba was found to install into {environment.prefix}.",
                "Set CONDA_EXE to its path in the MCP configuration.",
            )
        return Installer(tool.name, (str(tool), "install", "--yes", "--prefix", str(environment.prefix)))
    return python_installer(interpreter, has_pip, environ, prefers_uv=environment.kind == "venv-uv")


def python_installer(
    interpreter: Interpreter, has_pip: bool, environ: Mapping[str, str], *, prefers_uv: bool = False
) -> Installer:
    """pip or uv, for packages from PyPI.

    Raises:
        EnvironmentUnusable: the environment has no pip, and there is no uv.
    """
    executable = str(interpreter.executable)
    uv = find_uv(environ) if prefers_uv or not has_pip else None
    if uv is not None:
        return Installer("uv pip", (uv, "pip", "install", "--python", executable))
    if has_pip:
        return Installer("pip", (executable, "-m", "pip", "install"))
    raise EnvironmentUnusable(
        f"{interpreter.prefix} has no pip, and uv was not found.",
        f"Run: {shlex.quote(executable)} -m ensurepip    or install uv (https://docs.astral.sh/uv/).",
    )


def installer_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The client's variables (proxies, indexes, certificates), so that no installer asks or goes astray."""
    kept = {name: value for name, value in environ.items() if name not in _UNSET}
    if any(Path(place).exists() for place in _SYSTEM_CERTIFICATES):
        # uv brings its own, which do not know a company's proxy; the variables that would say so rarely
        # reach a server that a client starts.
        kept.setdefault("UV_SYSTEM_CERTS", "1")
    return {name: value for name, value in kept.items() if not name.startswith("KERNELEXEC_")} | _SETTINGS


def find_uv(environ: Mapping[str, str]) -> str | None:
    """uv where its installers put it, also for a client whose PATH is bare, or the one beside kernelexec."""
    home = paths.home(environ)
    folders = [environ.get("PATH", ""), f"{home}/.local/bin", f"{home}/.cargo/bin", "/usr/local/bin"]
    folders += ["/opt/homebrew/bin", str(Path(sys.executable).parent)]
    return shutil.which("uv", path=os.pathsep.join(folder for folder in folders if folder))
