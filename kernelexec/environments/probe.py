"""Asking an interpreter what it is, without importing anything into it or writing anything."""

from __future__ import annotations

import errno
import json
import os
import platform
import shlex
from collections.abc import Mapping
from pathlib import Path

from packaging.version import InvalidVersion, Version

from kernelexec.environments.asking import ask
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Interpreter
from kernelexec.plain_file import open_plain

OLDEST_PYTHON = (3, 8)
OLDEST_IPYKERNEL = Version("6.29")
# Variables that tell a Python where it lies. Those of the client's, an AppImage's say, would lead another
# astray, or end it before its first line.
OF_ANOTHER_PYTHON = ("PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONEXECUTABLE", "__PYVENV_LAUNCHER__")
_MANAGERS = ("mise", "rtx", "asdf", "pyenv", "rye")
_MACHINES = {3: "x86", 40: "ARM", 62: "x86-64", 183: "AArch64", 243: "RISC-V", 21: "PowerPC64", 22: "S/390"}
_SECONDS = 20.0  # a cold network file system; usually 0.02

# Runs in any Python. A distribution's version is in the name of its metadata directory:
# importlib.metadata would cost as much as the rest of the start.
_PROGRAM = """
import sys
if sys.version_info < (3, 6):
    sys.stdout.write('{"version": [%d, %d, %d]}' % sys.version_info[:3])
    sys.exit()
import json, os
from importlib.machinery import EXTENSION_SUFFIXES
found = None
for folder in sys.path:
    try:
        names = os.listdir(folder or '.')
    except OSError:
        continue
    if 'ipykernel' in names:
        for name in names:
            if name.startswith('ipykernel-') and name.endswith('.dist-info'):
                found = name[len('ipykernel-'):-len('.dist-info')]
        break
print(json.dumps({'version': list(sys.version_info[:3]), 'prefix': sys.prefix,
                  'executable': sys.executable, 'abi': EXTENSION_SUFFIXES[0], 'ipykernel': found}))
"""


def own_abi() -> str:
    """The `abi` of the interpreter that the hub runs in."""
    from importlib.machinery import EXTENSION_SUFFIXES  # only the hub asks, and only once

    return EXTENSION_SUFFIXES[0]


async def probe(executable: Path, environ: Mapping[str, str]) -> Interpreter:
    """What the interpreter at this path says of itself.

    Raises:
        EnvironmentUnusable: it is missing, does not run, or is too old.
    """
    return await _ask(executable, environ)


def works_with_launcher(ipykernel: str | None) -> bool:
    """Whether an environment's own ipykernel of this version can be used."""
    if ipykernel is None:
        return False
    try:
        return Version(ipykernel) >= OLDEST_IPYKERNEL
    except InvalidVersion:
        return False


def bare(environ: Mapping[str, str]) -> dict[str, str]:
    """Without what would make another Python start as if it were the client's."""
    unwanted = (*OF_ANOTHER_PYTHON, "PYTHONPATH", "PYTHONSTARTUP", "VIRTUAL_ENV")
    return {name: value for name, value in environ.items() if name not in unwanted}


def is_shim(executable: Path) -> bool:
    """Whether it is a version manager's stand-in for a Python that depends on the working directory: a
    script in a folder called `shims` (pyenv, asdf, rye), or a link to the manager itself (mise)."""
    real = Path(os.path.realpath(executable))
    return "shims" in (*executable.parts, *real.parts) or real.name in _MANAGERS


def _place_of_choice(executable: Path, environ: Mapping[str, str]) -> str:
    """Where a shim is asked which Python it stands for: in the client's directory."""
    place = environ.get("PWD", "")
    return place if os.path.isabs(place) and os.path.isdir(place) and is_shim(executable) else "/"


async def _ask(executable: Path, environ: Mapping[str, str]) -> Interpreter:
    if not executable.exists():
        broken = " (a link to a Python that is gone)" if executable.is_symlink() else ""
        raise EnvironmentUnusable(f"There is no Python interpreter at {executable}{broken}.")
    if not os.access(executable, os.X_OK):
        raise EnvironmentUnusable(
            f"{executable} is not executable.", f"chmod +x {shlex.quote(str(executable))}"
        )
    # -I: neither PYTHONPATH nor the user's own packages nor a module in the cwd may answer.
    command = (executable, "-I", "-c", _PROGRAM)
    try:
        said = await ask(command, environ, _SECONDS, cwd=_place_of_choice(executable, environ))
    except TimeoutError:
        raise EnvironmentUnusable(f"{executable} did not answer within {_SECONDS:.0f} s.") from None
    except OSError as error:
        why = _machine(executable) if error.errno == errno.ENOEXEC else ""
        raise EnvironmentUnusable(f"{executable} does not run{why}: {error.strerror or error}.") from error
    try:
        return _understand(executable, said.out)
    except (ValueError, KeyError, TypeError, IndexError):
        tail = said.err.decode("utf-8", "replace").strip()[-2000:]
        raise EnvironmentUnusable(
            f"{executable} does not work as Python (exit code {said.exit_code}).\n{tail}".strip()
        ) from None


def _machine(executable: Path) -> str:
    """In words, what kind of computer an ELF file is for, which this is not."""
    try:
        with open(open_plain(executable, os.O_RDONLY, follow=True), "rb") as file:
            header = file.read(20)
    except OSError:
        return ""
    if header[:4] != b"\x7fELF":
        return ", it is no program of this system"
    number = int.from_bytes(header[18:20], "little" if header[5] == 1 else "big")
    machine = _MACHINES.get(number, f"ELF machine {number}")
    return f", it is for another machine ({machine}; this is {platform.machine()})"


def _understand(executable: Path, out: bytes) -> Interpreter:
    said = json.loads(out.splitlines()[-1])  # a sitecustomize may have printed before
    major, minor, micro = map(int, said["version"])
    if (major, minor) < OLDEST_PYTHON:
        raise EnvironmentUnusable(
            f"{executable} is Python {major}.{minor}.{micro}; kernels need "
            f"{'.'.join(map(str, OLDEST_PYTHON))} or newer.",
            "Make the environment anew with a newer Python.",
        )
    return Interpreter(
        executable=Path(said["executable"]) if is_shim(executable) else executable,
        prefix=Path(said["prefix"]),
        version=(major, minor, micro),
        abi=str(said["abi"]),
        ipykernel=said.get("ipykernel"),
    )
