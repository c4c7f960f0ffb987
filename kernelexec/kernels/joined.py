"""Kernels that somebody else has started, the person's Jupyter above all: joined, and never ended from here.

Who started one ends it and starts it again, on the same sockets; all that is ours is the connection. Its
process is watched, so that its end is known at once, however it comes; what Jupyter says on the way tells
who wanted it.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from kernelexec.errors import KernelFailed
from kernelexec.kernels.here import Machine
from kernelexec.kernels.host import JOINED, KernelElsewhere, KernelGone, Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.large_messages import spool_in
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.process import Process
from kernelexec.kernels.strays import Stray
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import CHANNELS, ZmqLink
from kernelexec.plain_file import read_plain
from kernelexec.system_errors import in_words

_SCHEME = "hmac-sha256"
_HERE = {"0.0.0.0": "127.0.0.1", "*": "127.0.0.1", "": "127.0.0.1"}  # where it listens: how it is reached
_RESTARTED = "the system was restarted"


@dataclass(frozen=True)
class JoinedPlace:
    """Where such a kernel is; see local_life.LocalPlace."""

    id: str  # an entry of the registry has the names of both, and `kernel_id` is its own
    connection: Mapping[str, Any]  # what its connection file said
    connection_file: str
    pid: int
    identity: str
    boot: str
    host: str
    pid_namespace: str
    kind: str = JOINED

    @property
    def machine(self) -> Machine:
        return Machine(self.boot, self.host, self.pid_namespace)


class JoinedLife:
    """The process of a kernel that is somebody else's (see life.Life)."""

    is_joined = True
    spools = False

    def __init__(self, place: JoinedPlace, process: Process, spool: Path | None) -> None:
        self.spool = spool  # ours: the kernel's own files are its starter's
        self._place = place
        self._process = process
        self._told: str | None = None  # by whose wish it ends, as the kernel says

    @property
    def kernel_id(self) -> str:
        return self._place.id

    def hear(self, message: Message) -> None:
        """What the kernel says: before it ends on request, it says so to everybody."""
        if message.type == "shutdown_reply" and message.channel == "iopub":
            did = "restarted" if message.content.get("restart") else "shut down"
            self._told = f"it was {did} by who started it (the user, in Jupyter)"

    async def ended(self) -> Death:
        await self._process.wait()
        return Death()

    def explained(self, death: Death) -> Death:
        return Death(asked=self._told) if self._told else death

    def answers(self) -> None:
        """All is known already."""

    async def interrupt(self) -> bool:
        """As Jupyter does it: SIGINT, and for what it has started too, where it leads a group."""
        if not self._process.is_running:
            return False
        with suppress(ProcessLookupError, PermissionError):
            if os.getpgid(self._process.pid) == self._process.pid:
                os.killpg(self._process.pid, signal.SIGINT)
            else:
                self._process.signal(signal.SIGINT)
            return True
        return False

    async def dismiss(self) -> bool:
        """Never: see LinkedKernel.stop."""
        return True

    async def kill(self) -> None:
        """Never: see LinkedKernel.stop."""

    @property
    def is_stopped(self) -> bool:
        return self._process.is_stopped

    @property
    def where(self) -> None:
        """On this machine."""

    def memory(self) -> int | None:
        return self._process.memory()

    def cpu_seconds(self) -> float | None:
        return self._process.cpu_seconds()

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        return self._process.family_cpu_seconds()

    def environ(self) -> Mapping[str, str]:
        return self._process.environ()

    def place(self) -> Mapping[str, Any]:
        return asdict(self._place)

    def detach(self) -> None:
        self._process.close()
        self.clear_up()

    def clear_up(self) -> None:
        """All that is ours."""
        if self.spool is not None:
            shutil.rmtree(self.spool, ignore_errors=True)

    def __str__(self) -> str:
        return f"{self.kernel_id}, pid {self._place.pid}, joined by {self._place.connection_file}"


class JoinedKernels:
    """Joins kernels that run, and finds them again (see host.KernelHost)."""

    def __init__(self, runtime_dir: Path) -> None:
        self._spools = runtime_dir / "joined"

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        """Who has a kernel's connection file needs nothing else."""

    async def start(self, launch: Launch, on_message: OnMessage) -> LinkedKernel:
        running = launch.running
        assert running is not None  # see host.Launch
        connection = _connection(running.connection_file)
        try:
            process = Process(running.pid)
        except ProcessLookupError as error:
            raise KernelFailed(f"The kernel, process {running.pid}, has just ended.") from error
        if not _is_of(running.connection_file, running.pid):
            process.close()
            raise KernelFailed(f"The kernel of {running.connection_file} has just ended.")
        here = Machine.this()
        place = JoinedPlace(
            id=secrets.token_hex(4),
            connection=connection,
            connection_file=running.connection_file,
            pid=process.pid,
            identity=process.identity,
            boot=here.boot,
            host=here.host,
            pid_namespace=here.pid_namespace,
        )
        return self._linked(place, process, on_message, launch.interrupts)

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> LinkedKernel:
        known = _read(place)
        where = known.machine.seen_from(Machine.this())
        if where is not None:
            raise KernelElsewhere(where) if where else KernelGone(_RESTARTED)
        try:
            process = Process(known.pid, known.identity)
        except ProcessLookupError as error:
            raise KernelGone(f"process {known.pid} has ended") from error
        return self._linked(known, process, on_message, interrupts)

    def strays(self) -> Mapping[str, Stray]:
        return {}  # whoever started them has them

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        return _read(place).machine.seen_from(Machine.this()) or None

    def keep(self, place: Mapping[str, Any]) -> bool:
        """Nothing of it is ours."""
        return True

    def death(self, place: Mapping[str, Any]) -> Death:
        where = _read(place).machine.seen_from(Machine.this())
        return Death() if where is None else Death(asked=_RESTARTED)

    def clear_up(self, place: Mapping[str, Any]) -> None:
        """Nothing of it is ours."""

    def _linked(
        self, place: JoinedPlace, process: Process, on_message: OnMessage, interrupts: str
    ) -> LinkedKernel:
        life = JoinedLife(place, process, spool_in(self._spools, place.id))

        def hear(message: Message) -> None:
            life.hear(message)
            on_message(message)

        # Several sessions may join one kernel, whose sockets must not take one for the other.
        link = partial(
            ZmqLink,
            place.connection,
            is_ours=interrupts == "named",
            identity=place.id,
            spool=life.spool,
        )
        return LinkedKernel(link, life, hear, interrupts)


def _connection(file: str) -> Mapping[str, Any]:
    """How a kernel is spoken to.

    Raises:
        KernelFailed: that is not told, or not in a way that we know.
    """
    try:
        said: dict[str, Any] = json.loads(read_plain(Path(file)))
        scheme = said.get("signature_scheme", _SCHEME)
        said = {"transport": "tcp", **said, "ip": _HERE.get(said["ip"], said["ip"])}
        named = [said[name] for name in ("key", *(f"{channel}_port" for channel in CHANNELS))]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise KernelFailed(f"The connection file {file} cannot be read: {in_words(error)}") from error
    if scheme != _SCHEME or "curve_publickey" in said or None in named:
        raise KernelFailed(
            f"The kernel of {file} speaks in a way that kernelexec does not: {scheme}, or encrypted."
        )
    return said


def _is_of(connection_file: str, pid: int) -> bool:
    """Whether this process is (still) the kernel of this connection file, which its command line names."""
    try:
        words = psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
    return any(word.endswith(os.path.basename(connection_file)) for word in words)


_KNOWN = {field.name for field in fields(JoinedPlace)}  # what else there is a later version has written


def _read(place: Mapping[str, Any]) -> JoinedPlace:
    try:
        return JoinedPlace(**{name: value for name, value in place.items() if name in _KNOWN})
    except TypeError as error:
        raise ValueError(f"not the place of a joined kernel: {error}") from error
