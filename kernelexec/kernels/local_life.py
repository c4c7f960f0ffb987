"""The life of a kernel on this machine: two processes and a directory.

The keeper (kernelspecs/launcher/launcher.py) forks the kernel, waits for it, and writes how it ended. Both
outlive the hub.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kernelexec.kernels.here import Machine
from kernelexec.kernels.kernel import Death, Where
from kernelexec.kernels.printed import Printed, read_printed
from kernelexec.kernels.process import Process
from kernelexec.plain_file import open_plain, read_plain

PROCESS_FILE, EXIT_FILE, STDERR_FILE = "process.json", "exit.json", "stderr.log"
_BEGUN_FILE = "begun"  # kept by the kernel (kernelspecs/kernel/recollection.py)
_PRINTED_FILE = "printed"  # and this (kernelspecs/kernel/last_prints.py)
_KEEPER_SECONDS = 2.0  # to write the exit file and end what the kernel left behind
_ASKED_SECONDS = 5.0  # for a keeper that is asked to end its kernel, which it gives 3 s
_STDERR_TAIL = 12_000  # bytes: a crash in a deep recursion names a hundred frames


def stderr_file(runtime_dir: Path, kernel_id: str) -> Path:
    """What a kernel's process itself writes: warnings of libraries, crashes."""
    return kernel_directory(runtime_dir, kernel_id) / STDERR_FILE


def kernel_directory(runtime_dir: Path, kernel_id: str) -> Path:
    return runtime_dir / "k" / kernel_id


@dataclass(frozen=True)
class LocalPlace:
    """Where a kernel on this machine is; an identity is process.identity's."""

    directory: str  # connection file, sockets, exit file
    boot: str
    keeper_pid: int
    keeper_identity: str
    kernel_pid: int | None
    kernel_identity: str | None
    host: str = ""  # with `boot`: which machine and container (here.Machine); "" is an earlier version's
    pid_namespace: str = ""
    connection: Mapping[str, Any] | None = None  # what the connection file says, which may be deleted
    leave_seconds: float = 0.0  # as in host.Launch
    far_host: str = ""  # where the code of a kernel reads and writes for which a process here only stands
    far_directory: str = ""

    @property
    def stands_for_another(self) -> bool:
        """Whether the process is not the kernel itself, which may outlive it."""
        return self.leave_seconds > 0

    @property
    def machine(self) -> Machine:
        return Machine(self.boot, self.host, self.pid_namespace)


class LocalLife:
    """Keeper and kernel, watched by their process descriptors (see life.Life)."""

    is_joined = False
    spools = True

    def __init__(
        self,
        place: LocalPlace,
        keeper: Process | None,
        process: Process | None,
        popen: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._place = place
        self._directory = Path(place.directory)
        self._keeper = keeper  # None: somebody killed it, and its kernel lives on
        self._process = process  # None: not known yet
        self._popen = popen  # the keeper's, where it is our child
        self._process_known: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def spool(self) -> Path | None:
        return self._directory

    @property
    def kernel_id(self) -> str:
        return self._directory.name

    async def ended(self) -> Death:
        if self._process is None:
            either = {self._either.ended, self._process_known}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        # The keeper may be killed and the kernel live on; the kernel's own end is what counts.
        self.answers()
        await self._either.wait()
        if self._keeper is not None:
            await self._keeper.wait(_KEEPER_SECONDS)
            self._keeper.signal(signal.SIGKILL)
        if self._popen is not None:
            self._popen.wait()
        return read_death(self._directory)

    def explained(self, death: Death) -> Death:
        return death

    def answers(self) -> None:
        """Learn the kernel's pid from its keeper, which wrote it before the kernel could answer."""
        if self._process is None:
            with contextlib.suppress(OSError, ValueError, KeyError, ProcessLookupError):
                told = json.loads(read_plain(self._directory / PROCESS_FILE))
                self._process = Process(told["kernel"])
                if not self._process_known.done():
                    self._process_known.set_result(None)

    async def interrupt(self) -> bool:
        """SIGINT for a foreign kernel and its subprocesses, as Jupyter sends it; its keeper ignores it."""
        try:
            if self._keeper is not None and self._keeper.is_running:
                os.killpg(self._keeper.pid, signal.SIGINT)
            else:
                self._either.signal(signal.SIGINT)
        except ProcessLookupError:  # it has just ended
            return False
        return True

    async def dismiss(self) -> bool:
        return False  # a keeper only waits for it

    async def kill(self) -> None:
        self.answers()  # to kill its keeper alone would leave it running
        if self._process is None:  # which nobody has told, or its file was deleted
            self._either.signal(signal.SIGTERM)
            await asyncio.wait({self._either.ended}, timeout=_ASKED_SECONDS)
        if self._place.leave_seconds and self._process is not None:
            self._process.signal(signal.SIGTERM)
            await asyncio.wait({self._process.ended}, timeout=self._place.leave_seconds)
        self._either.signal(signal.SIGKILL)

    @property
    def is_stopped(self) -> bool:
        return self._process is not None and self._process.is_stopped

    @property
    def where(self) -> Where | None:
        return None  # on this machine

    def memory(self) -> int | None:
        return self._process.memory() if self._process else None

    def cpu_seconds(self) -> float | None:
        return self._process.cpu_seconds() if self._process else None

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        return self._process.family_cpu_seconds() if self._process else None

    def environ(self) -> Mapping[str, str]:
        return self._process.environ() if self._process else {}

    def place(self) -> Mapping[str, Any]:
        process = self._process
        if process is None:
            return asdict(self._place)
        return asdict(replace(self._place, kernel_pid=process.pid, kernel_identity=process.identity))

    def detach(self) -> None:
        for process in (self._keeper, self._process):
            if process is not None:
                process.close()

    def clear_up(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def __str__(self) -> str:
        place = self.place()
        return f"{self.kernel_id}, pid {place['kernel_pid']}, its keeper {place['keeper_pid']}"

    @property
    def _either(self) -> Process:
        """The kernel's process, or the keeper's while the kernel's is not known."""
        process = self._process or self._keeper
        assert process is not None
        return process


def read_death(directory: Path) -> Death:
    """How the kernel of this directory ended, from what its keeper and it left."""
    files = {"exit": EXIT_FILE, "begun": _BEGUN_FILE, "printed": _PRINTED_FILE}
    left = {"stderr": stderr_tail(directory).encode()}
    for name, file in files.items():
        with contextlib.suppress(OSError, ValueError):
            left[name] = read_plain(directory / file)
    return death_told_by(left)


def death_told_by(files: Mapping[str, bytes]) -> Death:
    """How a kernel ended: "exit" is its keeper's word, the end of "stderr", "begun" and "printed" its own, as
    far as they are there."""
    begun, printed = files.get("begun"), files.get("printed")
    left = Death(
        stderr=files.get("stderr", b"").decode("utf-8", "replace").strip(),
        begun=None if begun is None else begun.rstrip(b"\0").decode("utf-8", "replace"),
        printed={} if printed is None else _printed(printed),
    )
    try:
        fields = json.loads(files["exit"])
        how = {name: fields[name] for name in ("exit_code", "signal", "oom_kills")}
    except (ValueError, KeyError, TypeError):
        return left
    return replace(left, **how)


def stderr_tail(directory: Path) -> str:
    """The end of what keeper and kernel wrote there themselves."""
    try:
        with open(open_plain(directory / STDERR_FILE, os.O_RDONLY), "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _STDERR_TAIL))
            return file.read(_STDERR_TAIL).decode("utf-8", "replace").strip()
    except OSError:
        return ""


def _printed(data: bytes) -> Mapping[str, Printed]:
    try:
        return read_printed(data)
    except ValueError:
        return {}
