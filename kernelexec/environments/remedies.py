"""The commands that messages recommend where an environment is not as its setting says.

Each works in the state in which it is recommended (tests/environments/test_remedies.py runs them), and none
makes an environment over a folder that holds something: `python3 -m venv /usr` would break that Python.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

from kernelexec import paths
from kernelexec.environments.installers import find_uv
from kernelexec.model.environment import Interpreter

_NAMES = (".venv", "venv", "env")
# What a virtual environment consists of; whatever else is in its folder is the person's.
_PARTS = frozenset(
    ("bin", "include", "lib", "lib64", "share", "etc", "pyvenv.cfg", ".gitignore", ".lock", "CACHEDIR.TAG")
)


def quoted(path: Path | str) -> str:
    return shlex.quote(str(path))


def instead_of(folder: Path, setting: str, make: str, environ: Mapping[str, str]) -> str:
    """The next step where a folder that is there is no virtual environment."""
    meant = _meant(folder)
    if meant is not None:
        return f"Did you mean {setting}={meant}?"
    if (folder / "conda-meta" / "history").exists():
        return f"It is a conda environment: ENV_TYPE=conda, CONDA_ENV_NAME={folder}"
    if folder.is_file():
        return f"{setting} is the virtual environment's folder (the one that holds pyvenv.cfg)."
    if is_empty(folder):
        return f"Make one with: {make} {quoted(folder)}"
    python = _python_in(folder)
    if python is not None:  # an installation of Python, such as /usr
        place = free(Path(paths.home(environ), ".venvs", folder.name or "python"))
        option = f" --python {quoted(python)}" if make.startswith("uv") else ""
        make = make if option else f"{quoted(python)} -m venv"
        return f"Make one of its Python with: {make}{option} {quoted(place)}    and set {setting}={place}"
    place = free(folder / ".venv")
    return f"Make one in it with: {make} {quoted(place)}    and set {setting}={place}"


def anew(folder: Path, setting: str, make: str, keeps_packages: str) -> str:
    """The next step where a virtual environment has lost its Python. `keeps_packages`: a command that may."""
    others = {name for name in os.listdir(folder) if name not in _PARTS} if folder.is_dir() else set()
    if others:  # it was made in a folder that is more than an environment
        place = free(folder / ".venv")
        return f"Make another with: {make} {quoted(place)}    and set {setting}={place}"
    if keeps_packages:
        return f"Make it anew with: {keeps_packages} {quoted(folder)}"
    aside = free(folder.with_name(f"{folder.name}-broken"))
    return (
        f"Make it anew with: mv {quoted(folder)} {quoted(aside)} && {make} {quoted(folder)}    "
        "(its packages have to be installed again)"
    )


def without_link(link: Path, make: str) -> str:
    """The next step where a link leads nowhere."""
    return f"Remove the link with: rm {quoted(link)}    or make what it leads to with: {make} " + quoted(
        os.path.join(link.parent, os.readlink(link))
    )


def install_command(
    interpreter: Interpreter, packages: Sequence[str], environ: Mapping[str, str], again: bool = False
) -> str:
    """What a person types to install packages for an interpreter."""
    executable, wanted = quoted(interpreter.executable), " ".join(map(quoted, packages))
    if not _has_pip(interpreter):
        uv = find_uv(environ)
        if uv is not None:
            reinstall = "--reinstall " if again else ""
            return f"{quoted(uv)} pip install --python {executable} {reinstall}{wanted}"
        return f"{executable} -m ensurepip && {executable} -m pip install {wanted}"
    return f"{executable} -m pip install {'--force-reinstall ' if again else ''}{wanted}"


def is_empty(folder: Path) -> bool:
    """Whether it is a folder in which nothing is."""
    try:
        return not os.listdir(folder)
    except OSError:
        return False


def _meant(folder: Path) -> Path | None:
    """The environment that a setting means which names the folder around or inside it, or its Python."""
    inside = (folder / name for name in _NAMES)
    for candidate in (*inside, folder.parent, folder.parent.parent):
        if (candidate / "pyvenv.cfg").exists():
            return candidate
    return None


def _python_in(folder: Path) -> Path | None:
    return next((p for p in (folder / "bin" / "python3", folder / "bin" / "python") if p.exists()), None)


def free(place: Path) -> Path:
    """This place, or one like it where nothing is yet."""
    numbered = (place.with_name(f"{place.name}-{number}") for number in count(2))
    return place if not os.path.lexists(place) else next(p for p in numbered if not os.path.lexists(p))


def _has_pip(interpreter: Interpreter) -> bool:
    library = f"lib/python{'.'.join(map(str, interpreter.version[:2]))}"
    found = (interpreter.prefix / library / place / "pip" for place in ("site-packages", "dist-packages"))
    return any(folder.is_dir() for folder in found)
