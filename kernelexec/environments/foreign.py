"""Kernels that somebody else's kernelspec describes, Python's or not: `ENV_TYPE=kernelspec`.

A Python kernelspec that starts ipykernel in the usual way runs as it says, with its interpreter,
its variables and its arguments, but through our launcher, which loses no output and interrupts only
the run that is meant. Every other kernel is started as it is, under our keeper; one that a kernel provisioner
starts, by that provisioner, in a process of its own.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kernelexec.environments import kernelspec
from kernelexec.environments.asking import ask
from kernelexec.environments.languages import script_extension
from kernelexec.environments.probe import bare, probe, works_with_launcher
from kernelexec.environments.provisioners import LOCAL, interpreter_with
from kernelexec.environments.source import Places, Progress
from kernelexec.errors import EnvironmentUnusable
from kernelexec.model.environment import Environment, Interpreter
from kernelexec.model.naming import clean_name
from kernelexec.plain_file import read_plain

_IPYKERNEL = ("ipykernel_launcher", "ipykernel")
_PYTHON = re.compile(r"python[0-9.]*t?")
# Built on one of these, a kernel's sockets are ipykernel's, which may be ipc.
_KNOW_IPC = (b"ipykernel", b"metakernel")
_MOST_READ = 200  # files of one package
_SECONDS = 20.0  # a cold network file system; usually 0.05
# Where `-m NAME` leads, without importing it. Not -I: a kernelspec may set PYTHONPATH.
_WHERE = """
import importlib.util, sys
spec = importlib.util.find_spec(sys.argv[1])
print(spec.origin or list(spec.submodule_search_locations)[0])
"""
_PROVISIONED = (
    "provisioned/provisioned.py"  # of our programs: what stands for a kernel that a provisioner starts
)
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_]+)\}")  # as jupyter_client knows them


@dataclass(frozen=True)
class Spec:
    """A kernel.json."""

    argv: tuple[str, ...]
    display_name: str
    language: str
    variables: tuple[tuple[str, str], ...]
    interrupt_mode: str
    provisioner: str = LOCAL  # what starts and reaches its kernels


class ForeignKernel:
    """The kernelspec in a given folder."""

    kind = "kernelspec"

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.prefix = folder

    async def prepare(self, places: Places, progress: Progress) -> Environment:
        spec = read_spec(self.prefix)
        if spec.provisioner != LOCAL:
            return await self._provisioned(spec, places)
        environ = kernelspec.with_variables(bare(places.environ), spec.variables)
        argv = _resolved(spec.argv, self.prefix, environ)
        interpreter = await _interpreter(spec, argv, environ)
        if interpreter is not None:  # no shim, which might start another elsewhere
            argv = (str(interpreter.executable), *argv[1:])
        interrupts = spec.interrupt_mode
        module = _ipykernel_at(argv)
        if interpreter is not None and module and works_with_launcher(interpreter.ipykernel):
            launcher = kernelspec.install_launcher(places.data_dir)
            argv = (*argv[: module - 1], str(launcher), *argv[module + 1 :])
            interrupts = "named"
        return Environment(
            kind=self.kind,
            label=clean_name(self.name) or "kernel",
            prefix=self.prefix,
            interpreter=interpreter,
            kernelspec=self.name,
            display_name=spec.display_name,
            argv=argv,
            variables=spec.variables,
            borrowed_ipykernel=None,
            language=spec.language,
            extension=script_extension(spec.language),
            interrupts=interrupts,
            transport="ipc" if interrupts == "named" else await _transport(argv, environ),
        )

    async def _provisioned(self, spec: Spec, places: Places) -> Environment:
        """One whose kernels a provisioner starts, wherever: of that place nothing is known before."""
        python = await interpreter_with(spec.provisioner, self.prefix, bare(places.environ))
        programs = kernelspec.install_launcher(places.data_dir).parent.parent
        return Environment(
            kind=self.kind,
            label=clean_name(self.name) or "kernel",
            prefix=self.prefix,
            interpreter=None,
            kernelspec=self.name,
            display_name=spec.display_name,
            argv=(str(python), str(programs / _PROVISIONED), str(self.prefix), "{connection_file}"),
            variables=spec.variables,
            borrowed_ipykernel=None,
            language=spec.language,
            extension=script_extension(spec.language),
            interrupts="message",
            transport="ipc",
            provisioner=spec.provisioner,
        )


def read_spec(folder: Path) -> Spec:
    """The kernelspec in a folder.

    Raises:
        EnvironmentUnusable: it is missing, or Jupyter could not start it either.
    """
    # Here: see jupyter_paths.manager.
    from jupyter_client.kernelspec import KernelSpec
    from traitlets import TraitError

    file = folder / "kernel.json"
    try:
        said = KernelSpec.from_resource_dir(str(folder))
        spec = Spec(
            argv=tuple(map(str, said.argv)),
            display_name=said.display_name or folder.name,
            language=said.language,
            variables=tuple((str(name), str(value)) for name, value in said.env.items()),
            interrupt_mode=said.interrupt_mode,
            provisioner=_provisioner(said.metadata),
        )
    except FileNotFoundError:
        raise EnvironmentUnusable(
            f"The kernelspec {file} is gone.", "Install the kernel again, or choose another environment."
        ) from None
    except (OSError, ValueError, TypeError, TraitError) as error:
        raise EnvironmentUnusable(
            f"The kernelspec {file} cannot be read: {error}.", "Mend it, or install the kernel again."
        ) from error
    if spec.provisioner == LOCAL and not any("{connection_file}" in word for word in spec.argv[1:]):
        raise EnvironmentUnusable(
            f"The kernelspec {file} has no {{connection_file}} in its argv: nobody could reach its kernel.",
            "Install the kernel again.",
        )
    return spec


def _provisioner(metadata: Mapping[str, Any]) -> str:
    """The name of the kernel provisioner that a kernelspec asks for, as jupyter_client reads it."""
    asked = metadata.get("kernel_provisioner") or {}
    return str(asked.get("provisioner_name") or LOCAL) if isinstance(asked, Mapping) else str(asked)


def _resolved(argv: Sequence[str], folder: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """The command line with its program's path and all placeholders but the connection file's."""
    prefix = folder.parents[3] if folder.parts[-4:-1] == ("share", "jupyter", "kernels") else None
    values = {"resource_dir": str(folder), "prefix": str(prefix or "/usr")}
    words = [_PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), word) for word in argv]
    program = words[0]
    if "/" not in program:
        # A bare `python` means the one that the kernelspec was installed with: Jupyter takes its own.
        beside = prefix is not None and _PYTHON.fullmatch(program) and prefix / "bin" / program
        if beside and beside.exists():
            program = str(beside)
        else:
            program = shutil.which(program, path=environ.get("PATH", os.defpath)) or program
    if "/" not in program or not os.path.exists(program):
        raise EnvironmentUnusable(
            f"The kernelspec {folder.name} starts {words[0]!r}, which is not there ({folder}/kernel.json).",
            "Install the kernel again, or correct the path in its kernel.json.",
        )
    return (program, *words[1:])


def _ipykernel_at(argv: Sequence[str]) -> int:
    """Where in the command line `-m ipykernel_launcher` names its module; 0 where it does not."""
    if "-m" not in argv[1:-1]:
        return 0
    module = argv.index("-m") + 1
    # Only the interpreter's own one-word options may stand before: -X and -W take another word.
    plain = all(word.startswith("-") and word not in ("-X", "-W", "-c") for word in argv[1 : module - 1])
    return module if plain and argv[module] in _IPYKERNEL else 0


async def _transport(argv: Sequence[str], environ: Mapping[str, str]) -> str:
    """ipc, which nobody else can read from, where the kernel surely can: Jupyter itself uses TCP.

    Not every kernel in Python does: xeus-python's library takes 31 characters of a socket's path, and
    who makes its sockets itself often knows TCP only, and would wait in vain.
    """
    if not _PYTHON.fullmatch(Path(argv[0]).name):
        return "tcp"
    script = await _script(argv, environ)
    if script is None:
        return "tcp"
    try:
        beside = sorted(script.parent.glob("*.py")) if script.name in ("__init__.py", "__main__.py") else []
        found = any(
            word in read_plain(file, follow=True)
            for file in (script, *beside[:_MOST_READ])
            for word in _KNOW_IPC
        )
    except OSError:
        return "tcp"
    return "ipc" if found else "tcp"


async def _script(argv: Sequence[str], environ: Mapping[str, str]) -> Path | None:
    """The file that a Python kernel's command line runs; None where that cannot be told."""
    if argv[1].endswith(".py"):
        return Path(argv[1])
    if "-m" not in argv[1:-1]:
        return None
    package = argv[argv.index("-m") + 1].partition(".")[0]
    try:
        said = await ask((argv[0], "-c", _WHERE, package), environ, _SECONDS)
        return Path(os.fsdecode(said.out.splitlines()[-1]))
    except (OSError, TimeoutError, IndexError):
        return None


async def _interpreter(spec: Spec, argv: Sequence[str], environ: Mapping[str, str]) -> Interpreter | None:
    """The Python that the kernel runs in, if it is Python's own kernel."""
    if spec.language.lower() != "python" or not _PYTHON.fullmatch(Path(argv[0]).name):
        return None
    return await probe(Path(argv[0]), environ)
