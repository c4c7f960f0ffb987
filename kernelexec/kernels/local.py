"""Kernels on this machine, each in a process and a directory of its own that outlive the hub."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

from kernelexec import paths
from kernelexec.errors import KernelFailed
from kernelexec.kernels import strays
from kernelexec.kernels.here import Machine
from kernelexec.kernels.host import OPTIONS, KernelElsewhere, KernelGone, KernelUnreachable, Launch
from kernelexec.kernels.kernel import Death, OnMessage
from kernelexec.kernels.linked_kernel import LinkedKernel
from kernelexec.kernels.local_life import (
    EXIT_FILE,
    PROCESS_FILE,
    STDERR_FILE,
    LocalLife,
    LocalPlace,
    kernel_directory,
    read_death,
    stderr_tail,
)
from kernelexec.kernels.process import Process
from kernelexec.kernels.provisioned_life import ProvisionedLife
from kernelexec.kernels.returning_link import ReturningLink
from kernelexec.kernels.strays import Stray
from kernelexec.kernels.wire import Message
from kernelexec.kernels.zmq_link import ZmqLink
from kernelexec.plain_file import read_plain
from kernelexec.system_errors import in_words

_CONNECTION_FILE = "connection.json"
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_RESTARTED = "the system was restarted"


class LocalKernels:
    """Starts kernels and finds them again (see host.KernelHost)."""

    def __init__(self, runtime_dir: Path) -> None:
        self._runtime_dir = runtime_dir

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        pass

    async def start(self, launch: Launch, on_message: OnMessage) -> LinkedKernel:
        directory = _make_directory(self._runtime_dir, launch.transport)
        try:
            here, connection = Machine.this(), _connection(directory)
            popen = _spawn(directory, launch)
        except OSError as error:
            raise _not_started(directory, f"The kernel could not be started: {in_words(error)}") from error
        try:
            return _watched(popen, directory, here, connection, launch, on_message)
        except ProcessLookupError as error:
            code = popen.wait()
            raise _not_started(directory, f"The kernel ended at once, with exit code {code}.") from error
        except OSError as error:  # it lives, and nobody would know of it
            popen.terminate()  # its keeper, which ends it
            await asyncio.to_thread(popen.wait)
            raise _not_started(directory, f"The kernel could not be watched: {in_words(error)}") from error

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> LinkedKernel:
        known = _read(place)
        where = known.machine.seen_from(Machine.this())
        if where is not None:
            raise KernelElsewhere(where) if where else KernelGone(_RESTARTED)
        with ExitStack() as held:  # until a kernel holds them
            process = None
            if known.kernel_pid is not None and known.kernel_identity is not None:
                process = _running(known.kernel_pid, known.kernel_identity, held)
                if process is None:
                    raise KernelGone(f"process {known.kernel_pid} has ended")
            keeper = _running(known.keeper_pid, known.keeper_identity, held)
            if keeper is None and process is None:
                process = self._without_keeper(known, held)
            if keeper is None and process is None:
                raise KernelGone(f"its keeper, process {known.keeper_pid}, has ended")
            connection = _connection_of(known)
            held.pop_all()
        return _linked(connection, known, (keeper, process, None), on_message, interrupts, is_new=False)

    def _without_keeper(self, known: LocalPlace, held: ExitStack) -> Process | None:
        """A kernel that had not answered when its hub ended, and whose keeper was killed since."""
        stray = self.strays().get(Path(known.directory).name)
        for pid, identity in stray.processes if stray is not None else ():
            process = _running(pid, identity, held)
            if process is not None:
                return process
        return None

    def strays(self) -> Mapping[str, Stray]:
        return strays.living(self._runtime_dir)

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        return _read(place).machine.seen_from(Machine.this()) or None

    def keep(self, place: Mapping[str, Any]) -> bool:
        """Its directory, where its end will be told. Sockets that were deleted only the kernel can make."""
        known = _read(place)
        directory = Path(known.directory)
        try:
            # A kernel that finds no file as it starts makes one of its own, with another key.
            is_intact = known.connection is None or _connection(directory)["key"] == known.connection["key"]
        except (OSError, ValueError, KeyError):
            is_intact = False
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if known.connection is not None:
            with suppress(FileExistsError):
                _write_connection(directory, known.connection)
        return is_intact

    def death(self, place: Mapping[str, Any]) -> Death:
        known = _read(place)
        # What a directory holds that has outlived its system need not be all that was written to it.
        where = known.machine.seen_from(Machine.this())
        return read_death(Path(known.directory)) if where is None else Death(asked=_RESTARTED)

    def clear_up(self, place: Mapping[str, Any]) -> None:
        if self.elsewhere(place) is None:
            shutil.rmtree(_read(place).directory, ignore_errors=True)


def _watched(
    popen: subprocess.Popen[bytes],
    directory: Path,
    here: Machine,
    connection: Mapping[str, Any],
    launch: Launch,
    on_message: OnMessage,
) -> LinkedKernel:
    """A kernel whose keeper was just started.

    Raises:
        ProcessLookupError: it has ended.
        OSError: there are no descriptors for it, say.
    """
    keeper = Process(popen.pid)
    try:
        place = LocalPlace(
            directory=str(directory),
            boot=here.boot,
            keeper_pid=keeper.pid,
            keeper_identity=keeper.identity,
            kernel_pid=None,
            kernel_identity=None,
            host=here.host,
            pid_namespace=here.pid_namespace,
            connection=connection,
            leave_seconds=launch.leave_seconds,
        )
        processes = (keeper, None, popen)
        return _linked(connection, place, processes, on_message, launch.interrupts, is_new=True)
    except BaseException:
        keeper.close()
        raise


def _linked(
    connection: Mapping[str, Any],
    place: LocalPlace,
    processes: tuple[Process | None, Process | None, subprocess.Popen[bytes] | None],
    on_message: OnMessage,
    interrupts: str,
    *,
    is_new: bool,
) -> LinkedKernel:
    """`processes`: as LocalLife takes them."""
    is_ours = interrupts == "named"
    if not place.stands_for_another:
        life = LocalLife(place, *processes)
        link = partial(ZmqLink, connection, is_ours=is_ours, spool=life.spool)
        return LinkedKernel(link, life, on_message, interrupts)
    provisioned = ProvisionedLife(place, *processes)
    return LinkedKernel(
        partial(_returning_link, connection, provisioned),
        provisioned,
        on_message,
        interrupts,
        provisioned,
        is_settled=not is_new,
    )


def _returning_link(connection: Mapping[str, Any], life: ProvisionedLife, take: OnMessage) -> ReturningLink:
    def hear(message: Message) -> None:
        life.hear(message)
        take(message)

    return ReturningLink(connection, hear, spool=life.spool)


def _not_started(directory: Path, why: str) -> KernelFailed:
    tail = stderr_tail(directory)
    shutil.rmtree(directory, ignore_errors=True)
    return KernelFailed(f"{why}\n{tail}".strip())


_KNOWN = {field.name for field in fields(LocalPlace)}  # what else there is a later version has written


def _read(place: Mapping[str, Any]) -> LocalPlace:
    try:
        return LocalPlace(**{name: value for name, value in place.items() if name in _KNOWN})
    except TypeError as error:
        raise ValueError(f"not the place of a kernel on this machine: {error}") from error


def _running(pid: int, identity: str, held: ExitStack) -> Process | None:
    try:
        process = Process(pid, identity)
    except ProcessLookupError:
        return None
    held.callback(process.close)
    return process


def _connection(directory: Path) -> Mapping[str, Any]:
    connection: Mapping[str, Any] = json.loads(read_plain(directory / _CONNECTION_FILE))
    return connection


def _connection_of(known: LocalPlace) -> Mapping[str, Any]:
    """How a kernel that lives is spoken to.

    Raises:
        KernelUnreachable: what that needs was deleted.
    """
    file = Path(known.directory, _CONNECTION_FILE)
    try:
        connection = _connection(file.parent)
    except (OSError, ValueError) as error:
        if known.connection is None:
            raise KernelUnreachable(f"{file} cannot be read ({in_words(error)})") from error
        connection = known.connection
        with suppress(OSError):  # JupyterLab reads it, too
            _write_connection(file.parent, connection)
    if connection.get("transport") == "ipc" and known.kernel_pid is not None:  # else it still starts
        for name in _CHANNELS[:4]:
            path = f"{connection['ip']}-{connection[f'{name}_port']}"
            if not os.path.exists(path):
                raise KernelUnreachable(f"its socket {path} was deleted")
    return connection


def _write_connection(directory: Path, connection: Mapping[str, Any]) -> None:
    descriptor = os.open(directory / _CONNECTION_FILE, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "w") as file:
        json.dump(connection, file)


def _make_directory(runtime_dir: Path, transport: str) -> Path:
    paths.make_private_dir(str(runtime_dir))
    directory = kernel_directory(runtime_dir, secrets.token_hex(4))
    directory.mkdir(mode=0o700, parents=True)
    # ipc wherever the kernel can: any local user can read a tcp kernel's output without knowing its key.
    ports = range(1, 6) if transport == "ipc" else _free_ports(5)
    connection = {
        "transport": transport,
        "ip": str(directory / "s") if transport == "ipc" else "127.0.0.1",
        **{f"{name}_port": port for name, port in zip(_CHANNELS, ports, strict=True)},
        "key": secrets.token_hex(16),
        "signature_scheme": "hmac-sha256",
    }
    _write_connection(directory, connection)
    return directory


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; as in Jupyter, somebody may be faster than the kernel."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _spawn(directory: Path, launch: Launch) -> subprocess.Popen[bytes]:
    connection_file = str(directory / _CONNECTION_FILE)
    options = ["--process-file", str(directory / PROCESS_FILE), "--exit-file", str(directory / EXIT_FILE)]
    at = launch.argv.index(OPTIONS)
    rest = (part.replace("{connection_file}", connection_file) for part in launch.argv[at + 1 :])
    argv = [*launch.argv[:at], *options, *rest]  # an interpreter's own path may hold anything
    environ = dict(launch.environ)
    if launch.ends_with_us:
        environ["JPY_PARENT_PID"] = str(os.getpid())
    with open(directory / STDERR_FILE, "ab") as stderr:
        return subprocess.Popen(
            argv,
            cwd=launch.cwd,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )
