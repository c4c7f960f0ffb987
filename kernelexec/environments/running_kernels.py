"""The kernels that Jupyter, an editor or a person has started on this machine, and the processes they are.

Each has a connection file in Jupyter's runtime directory, which may outlive it, and is named after nothing
that a process shows: but the kernel's command line names the file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from kernelexec.environments.jupyter_servers import ServedKernel, runtime_dirs, served_kernels

_LAUNCHER = "launcher.py"
_FILES = "kernel-*.json"


@dataclass(frozen=True)
class Running:
    """A kernel that lives, by its process."""

    connection_file: Path
    pid: int
    command: tuple[str, ...]
    directory: str  # in which it works now
    served: ServedKernel | None = None  # by a Jupyter server, which says more of it

    @property
    def name(self) -> str:
        """What it is called in lists and arguments."""
        return self.connection_file.stem.removeprefix("kernel-")

    @property
    def has_launcher(self) -> bool:
        """Whether kernelexec's own launcher started it, for Jupyter."""
        return any(Path(word).name == _LAUNCHER for word in self.command)


def running_kernels(environ: Mapping[str, str]) -> list[Running]:
    """All of this user's; none of kernelexec's sessions', nor what only leads to one of these."""
    served = {str(kernel.connection_file): kernel for kernel in served_kernels(environ)}
    files = [file for folder in runtime_dirs(environ) for file in sorted(folder.glob(_FILES))]
    return _living(files, served)


def kernel_at(connection_file: Path) -> Running | None:
    """The kernel with this connection file, wherever that is; None if it does not live."""
    return next(iter(_living([connection_file], {})), None)


def _living(files: Iterable[Path], served: Mapping[str, ServedKernel]) -> list[Running]:
    processes = _processes([str(file) for file in files])
    found = []
    for file, candidates in processes.items():
        kernel = _kernel_among(Path(file), candidates, served.get(file))
        if kernel is not None:
            found.append(kernel)
    return found


def _processes(files: list[str]) -> dict[str, list[psutil.Process]]:
    """This user's processes whose command line names one of these files."""
    wanted = {os.path.realpath(file): file for file in files}
    found: dict[str, list[psutil.Process]] = {file: [] for file in files}
    user = os.getuid()
    for process in psutil.process_iter(["cmdline", "uids", "ppid", "create_time"]):
        command, uids = process.info["cmdline"], process.info["uids"]
        if not command or uids is None or uids.real != user:
            continue
        for word in command:
            path = word.partition("=")[2] if word.startswith("-") else word
            file = wanted.get(os.path.realpath(path)) if path.endswith(".json") else None
            if file is not None:
                found[file].append(process)
    return {file: processes for file, processes in found.items() if processes}


def _kernel_among(
    file: Path, candidates: list[psutil.Process], served: ServedKernel | None
) -> Running | None:
    """The one that the others come from: what a kernel forks has its command line. Of several, left over
    from before a restart, the last."""
    pids = {process.pid for process in candidates}
    first = [process for process in candidates if process.info["ppid"] not in pids]
    process = max(first, key=lambda each: float(each.info["create_time"]))
    children = [each for each in candidates if each.info["ppid"] == process.pid]
    try:
        kernel = Running(file, process.pid, tuple(process.cmdline()), process.cwd(), served)
    except psutil.Error:
        return None
    if not kernel.has_launcher:
        return kernel
    # Alone, our launcher is not a kernel's keeper: it leads to the kernel of a session.
    return next((_kept(kernel, child) for child in children), None)


def _kept(kernel: Running, child: psutil.Process) -> Running:
    return Running(kernel.connection_file, child.pid, kernel.command, kernel.directory, kernel.served)
