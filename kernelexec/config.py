"""What a client's environment variables and working directory mean. The one reader of both."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kernelexec import paths
from kernelexec.errors import ConfigError
from kernelexec.model.limits import Limits

DEFAULT_WAIT_SECONDS = 45.0  # below the limit of every client seen (60 s and more)
LONGEST_WAIT_SECONDS = 50.0
_ENVIRONMENT_TYPES = ("venv", "default")
_OTHER_KINDS = (
    "Set ENV_TYPE=venv with VENV_PATH=/path/to/venv, or leave both out for the default environment."
)


@dataclass(frozen=True)
class EnvironmentChoice:
    """Which environment a client asked for: `path` is the virtual environment's, for kind `venv`."""

    kind: str
    path: Path | None = None


@dataclass(frozen=True)
class Config:
    """A client's configuration, checked as far as it can be without touching the environment."""

    storage_dir: Path
    storage_identity: str  # its real path: two spellings of one directory share their sessions
    environment: EnvironmentChoice
    session: str | None  # KERNELEXEC_SESSION
    client_dir: Path
    kernel_dir: Path  # the kernels' working directory
    wait_seconds: float
    longest_wait_seconds: float
    limits: Limits


def read_config(environ: Mapping[str, str], cwd: str) -> Config:
    """The configuration that a client's environment variables give.

    Raises:
        ConfigError: a variable's value cannot be used; the message says how to mend it.
    """
    client_dir = Path(cwd)
    storage_dir = _path(environ, "CODE_STORAGE_DIR", client_dir) or Path(paths.home(environ), "kernelexec")
    longest = _seconds(environ, "KERNELEXEC_MAX_WAIT_SECONDS", LONGEST_WAIT_SECONDS)
    return Config(
        storage_dir=storage_dir,
        storage_identity=os.path.realpath(storage_dir),
        environment=_environment(environ, client_dir),
        session=environ.get("KERNELEXEC_SESSION") or None,
        client_dir=client_dir,
        kernel_dir=_path(environ, "KERNELEXEC_CWD", client_dir) or storage_dir,
        wait_seconds=_seconds(environ, "KERNELEXEC_WAIT_SECONDS", min(DEFAULT_WAIT_SECONDS, longest)),
        longest_wait_seconds=longest,
        limits=Limits(
            cell=_megabytes(environ, "KERNELEXEC_CELL_MB", Limits.cell),
            run=_megabytes(environ, "KERNELEXEC_RUN_MB", Limits.run),
        ),
    )


def _environment(environ: Mapping[str, str], client_dir: Path) -> EnvironmentChoice:
    kind = environ.get("ENV_TYPE", "").strip().lower()
    venv = _path(environ, "VENV_PATH", client_dir)
    if not kind:
        return EnvironmentChoice("venv", venv) if venv else EnvironmentChoice("default")
    if kind not in _ENVIRONMENT_TYPES:
        raise ConfigError(
            f"ENV_TYPE={environ['ENV_TYPE']!r} is not one of {', '.join(_ENVIRONMENT_TYPES)}.", _OTHER_KINDS
        )
    if kind == "venv" and venv is None:
        raise ConfigError("ENV_TYPE=venv needs VENV_PATH, which is not set.", _OTHER_KINDS)
    return EnvironmentChoice(kind, venv if kind == "venv" else None)


def _path(environ: Mapping[str, str], variable: str, relative_to: Path) -> Path | None:
    value = environ.get(variable, "").strip()
    if not value:
        return None
    if "\0" in value:
        raise ConfigError(f"{variable} contains a NUL character.", "Give a plain path.")
    if value == "~" or value.startswith("~/"):
        value = paths.home(environ) + value[1:]
    elif value.startswith("~"):
        value = os.path.expanduser(value)
    # normpath, not resolve: the person's own spelling is what replies show.
    return Path(os.path.normpath(relative_to / value))


def _seconds(environ: Mapping[str, str], variable: str, default: float) -> float:
    value = environ.get(variable, "").strip()
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86_400:  # also false for NaN
        raise ConfigError(
            f"{variable}={value!r} is not a number of seconds from 0 to 86400.",
            f"Leave it out for {default:g}.",
        )
    return seconds


def _megabytes(environ: Mapping[str, str], variable: str, default: int) -> int:
    """In bytes."""
    value = environ.get(variable, "").strip()
    if not value:
        return default
    try:
        size = float(value)
    except ValueError:
        size = -1.0
    if not 0.01 <= size <= 1_000_000:  # also false for NaN
        raise ConfigError(
            f"{variable}={value!r} is not a number of megabytes from 0.01 to 1000000.",
            f"Leave it out for {default / 1e6:g}.",
        )
    return int(size * 1e6)
