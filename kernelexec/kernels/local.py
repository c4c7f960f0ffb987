"""A kernel on this machine, in a process of its own that outlives the hub.

The hub starts the keeper (kernelspecs/launcher/launcher.py), which forks the kernel, waits for it, and
writes how it ended. A later hub finds both again through the registry.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kernelexec.errors import KernelFailed
from kernelexec.kernels.client import KernelClient
from kernelexec.kernels.findings import read_findings
from kernelexec.kernels.inspection import Inspection, Variables
from kernelexec.kernels.kernel import SHUTDOWN_SECONDS, Death, Findings, KernelDied, OnMessage, Reply
from kernelexec.kernels.process import Process
from kernelexec.kernels.wire import Message

_log = logging.getLogger(__name__)

OPTIONS = "{launcher_options}"  # where in a command line the launcher's own options go
START_SECONDS = 120.0  # a cold network file system; a kernel that ended is told at once
_KEEPER_SECONDS = 2.0  # to write the exit file and end what the kernel left behind
_INTERRUPT_REPLY_SECONDS = 2.0
_IMPORTS_SECONDS = 3.0  # a kernel in native code that holds the GIL answers when that returns
_LOOK_SECONDS = 2.0  # in which a kernel answers that is not in native code
_LATE_REPLY_SECONDS = 1.0  # after the kernel has answered what was sent later
_SILENCE_SECONDS = 2.0  # what a kernel has sent is read in far less
_STDERR_TAIL = 4_000  # bytes
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_CONNECTION, _PROCESS, _EXIT, _STDERR = "connection.json", "process.json", "exit.json", "stderr.log"
_BEGUN = "begun"  # kept by the kernel (kernelspecs/kernel/recollection.py)


@dataclass(frozen=True)
class Launch:
    """How to start a kernel."""

    argv: Sequence[str]  # with OPTIONS after the launcher, and what holds "{connection_file}"
    cwd: Path
    environ: Mapping[str, str]
    interrupts: str = "named"  # how the kernel is interrupted, see model.environment.Environment
    transport: str = "ipc"


class LocalKernel:
    """One kernel process and our connection to it (see kernel.Kernel)."""

    def __init__(
        self,
        directory: Path,
        keeper: Process | None,
        process: Process | None,
        on_message: OnMessage,
        interrupts: str = "named",
    ) -> None:
        self.directory = directory
        self.keeper = keeper  # None: somebody killed it, and its kernel lives on
        self.process = process  # None: not known yet
        self.died: asyncio.Future[Death] = asyncio.get_running_loop().create_future()
        self._interrupts = interrupts
        self._popen: subprocess.Popen[bytes] | None = None
        self._on_message = on_message
        self._client = KernelClient(json.loads((directory / _CONNECTION).read_text()), self._take)
        self._inspection = Inspection(self._client)
        self._idle: dict[str, asyncio.Event] = {}
        self._asked: str | None = None  # why it is to end
        self._process_known = asyncio.Event()
        self._watcher = asyncio.create_task(self._watch())

    @classmethod
    async def start(cls, runtime_dir: Path, launch: Launch, on_message: OnMessage) -> LocalKernel:
        """Start keeper and kernel; does not wait until the kernel answers.

        Raises:
            KernelFailed: the interpreter cannot be started at all.
        """
        directory = _make_directory(runtime_dir, launch.transport)
        try:
            popen = _spawn(directory, launch)
            keeper = Process(popen.pid)
        except OSError as error:  # also ProcessLookupError: it has ended already
            tail = _stderr_tail(directory)
            shutil.rmtree(directory, ignore_errors=True)
            raise KernelFailed(f"The kernel could not be started: {error}.\n{tail}".strip()) from error
        kernel = cls(directory, keeper, None, on_message, launch.interrupts)
        kernel._popen = popen
        return kernel

    @classmethod
    def adopt(
        cls,
        directory: Path,
        keeper: tuple[int, str],
        kernel: tuple[int, str] | None,
        on_message: OnMessage,
        interrupts: str = "named",
    ) -> LocalKernel:
        """Take over a kernel that another hub started; pairs of pid and identity.

        Raises:
            ProcessLookupError: it has ended.
            OSError, ValueError: its directory is not whole.
        """
        process = Process(*kernel) if kernel else None
        try:
            return cls(directory, Process(*keeper), process, on_message, interrupts)
        except ProcessLookupError:
            if process is None:
                raise
            return cls(directory, None, process, on_message, interrupts)

    @property
    def pids(self) -> tuple[int | None, int | None]:
        """Of keeper and kernel."""
        return self.keeper.pid if self.keeper else None, self.process.pid if self.process else None

    async def ready(self) -> Mapping[str, Any]:
        answered = asyncio.ensure_future(self._client.ready(ask_shell=self._interrupts != "named"))
        try:
            await _first_of(answered, self.died, seconds=START_SECONDS)
            if self.died.done():
                death = self.died.result()
                raise KernelFailed(f"The kernel did not start: {death.cause}.\n{death.stderr}".strip())
            if not answered.done():
                raise KernelFailed(f"The kernel did not answer within {START_SECONDS:.0f} s.")
            self._hold_process()
            return answered.result()
        finally:
            answered.cancel()

    def pack(self, code: str) -> tuple[str, list[bytes]]:
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": True,  # who asked is told of a question, and answers it or has it answered
            # Only one request of ours is in flight: there is nothing that an error should abort.
            "stop_on_error": False,
        }
        return self._client.pack("execute_request", content)

    async def execute(self, msg_id: str, frames: list[bytes]) -> Reply:
        if self.died.done():
            raise KernelDied
        self._client.loss.begin(msg_id)
        reply = await self._until_end(msg_id, lambda: self._client.send("shell", msg_id, frames))
        assert reply is not None  # only death ends the waiting otherwise
        return reply if self._interrupts == "named" else replace(reply, lost=self._client.loss.count())

    async def rejoin(self, msg_id: str) -> Reply | None:
        if self.died.done():
            raise KernelDied
        # The shell serves one request after the other: once this one is answered, the run has ended.
        later = asyncio.ensure_future(self._later_request())
        try:
            return await self._until_end(msg_id, lambda: self._client.expect(msg_id), later)
        finally:
            later.cancel()

    async def _later_request(self) -> None:
        await self._client.request("shell", "kernel_info_request", {})
        await asyncio.sleep(_LATE_REPLY_SECONDS)

    async def _until_end(
        self,
        msg_id: str,
        ask: Callable[[], asyncio.Future[Message]],
        instead: asyncio.Future[None] | None = None,
    ) -> Reply | None:
        """The reply, once idle has come too; None if `instead` comes before."""
        idle = self._idle[msg_id] = asyncio.Event()
        finished = asyncio.ensure_future(self._finished(ask, idle))
        try:
            await _first_of(finished, self.died, *([instead] if instead else []))
            if finished.done() and not finished.cancelled():
                message = finished.result()
                return Reply(message.content["status"], message.content, message.date, message.metadata)
            if self.died.done() or instead is None:
                raise KernelDied
            return None
        finally:
            finished.cancel()
            self._idle.pop(msg_id, None)

    async def interrupt(self, msg_id: str) -> bool:
        if self.died.done():
            return False
        if self._interrupts == "signal":
            return self._signal_group()
        content = {"kernelexec": {"msg_id": msg_id}} if self._interrupts == "named" else {}
        reply = self._client.request("control", "interrupt_request", content)
        await _first_of(reply, self.died, seconds=_INTERRUPT_REPLY_SECONDS)
        if not reply.done() or reply.cancelled():
            reply.cancel()
            return False
        message = reply.result()
        return bool(message.content.get("kernelexec", {}).get("interrupted", True))

    def _signal_group(self) -> bool:
        """SIGINT for a foreign kernel and its subprocesses, as Jupyter sends it; its keeper ignores it."""
        if self.keeper is not None and self.keeper.is_running:
            os.killpg(self.keeper.pid, signal.SIGINT)
        else:
            self._either.signal(signal.SIGINT)
        return True

    async def look(self, msg_id: str, *, messages: bool = False) -> Findings:
        if self.died.done() or self.is_stopped:
            return Findings(answered=False, stopped=not self.died.done())
        about = {"about": msg_id, "messages": messages}
        answered, content = await self._ask_beside("kernelexec_request", about, _LOOK_SECONDS)
        return Findings(answered) if content is None else read_findings(msg_id, content)

    def answer(self, text: str) -> None:
        if not self.died.done():
            self._client.say("stdin", "input_reply", {"status": "ok", "value": text})

    @property
    def is_stopped(self) -> bool:
        return self.process is not None and self.process.is_stopped

    async def stop(self, why: str, grace: float = SHUTDOWN_SECONDS) -> Death:
        self._asked = why
        self._hold_process()  # to kill its keeper alone would leave it running
        if grace and not self.died.done():
            self._client.request("control", "shutdown_request", {"restart": False})
            await asyncio.wait({self.died}, timeout=grace)
        if not self.died.done():
            self._either.signal(signal.SIGKILL)
        return await self.died

    def detach(self) -> None:
        self._watcher.cancel()
        self._client.close()
        for process in (self.keeper, self.process):
            if process is not None:
                process.close()

    async def refresh_imports(self, modules: Sequence[str]) -> Mapping[str, str | None] | None:
        if self.died.done():
            return None
        about = {"modules": list(modules)}
        _, content = await self._ask_beside("imports_request", about, _IMPORTS_SECONDS)
        return None if content is None else content.get("modules")

    async def _ask_beside(
        self, message_type: str, content: Mapping[str, Any], seconds: float
    ) -> tuple[bool, Mapping[str, Any] | None]:
        """Whether the kernel answers on control, and what it says to a question that only ours knows."""
        asked = None
        if self._interrupts == "named":
            asked = self._client.request("control", message_type, content)
        # In this order: a kernel that leaves the first unanswered does not know it.
        info = self._client.request("control", "kernel_info_request", {})
        await _first_of(info, self.died, seconds=seconds)
        answered = info.done() and not info.cancelled()
        said = asked.result().content if asked and asked.done() and not asked.cancelled() else None
        for question in filter(None, (asked, info)):
            question.cancel()
        return answered, said

    async def variables(self, pattern: str, limit: int, *, busy: bool) -> Variables | None:
        if self.died.done() or self.is_stopped:
            return None
        return await self._inspection.variables(pattern, limit, ours=self._interrupts == "named", busy=busy)

    def environ(self) -> dict[str, str]:
        """The environment variables that it was started with."""
        return self.process.environ() if self.process else {}

    def memory(self) -> int | None:
        return self.process.memory() if self.process else None

    def cpu_seconds(self) -> float | None:
        return self.process.cpu_seconds() if self.process else None

    @property
    def _either(self) -> Process:
        """The kernel's process, or the keeper's while the kernel's is not known."""
        process = self.process or self.keeper
        assert process is not None
        return process

    async def _finished(self, ask: Callable[[], asyncio.Future[Message]], idle: asyncio.Event) -> Message:
        reply = await ask()
        if self._interrupts == "named":
            await idle.wait()
        else:
            await self._idle_or_silence(idle)
        return reply

    async def _idle_or_silence(self, idle: asyncio.Event) -> None:
        """A foreign kernel may drop even the status that ends a run: silence after the reply ends it, too."""
        heard = -1
        while not idle.is_set() and heard != self._client.taken:
            heard = self._client.taken
            with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                await asyncio.wait_for(idle.wait(), _SILENCE_SECONDS)

    def _take(self, message: Message) -> None:
        self._on_message(message)
        if message.type == "status" and message.content.get("execution_state") == "idle":
            idle = self._idle.get(message.parent_id or "")
            if idle is not None:
                idle.set()

    def _hold_process(self) -> None:
        """Learn the kernel's pid from its keeper, which wrote it before the kernel could answer."""
        if self.process is None:
            with contextlib.suppress(OSError, ValueError, KeyError, ProcessLookupError):
                self.process = Process(json.loads((self.directory / _PROCESS).read_text())["kernel"])
                self._process_known.set()

    async def _watch(self) -> None:
        """Tell the kernel's death, then let its keeper finish and clean up after both."""
        known = asyncio.create_task(self._process_known.wait())
        try:
            if self.process is None:
                await _first_of(self._either.ended, known)
            # The keeper may be killed and the kernel live on; the kernel's own end is what counts.
            await self._either.ended
            if self.keeper is not None:
                await self.keeper.wait(_KEEPER_SECONDS)
                self.keeper.signal(signal.SIGKILL)
            await self._client.take_last_words()
            if self._popen is not None:
                self._popen.wait()
            self.died.set_result(read_death(self.directory, asked=self._asked))
            await asyncio.sleep(0)  # who waits for it writes it down before the directory goes
        finally:
            known.cancel()
        self._client.close()
        shutil.rmtree(self.directory, ignore_errors=True)


async def _first_of(*futures: asyncio.Future[Any], seconds: float | None = None) -> None:
    await asyncio.wait(futures, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)


def read_death(directory: Path, *, asked: str | None = None) -> Death:
    """How the kernel of this directory ended, from what its keeper and it left."""
    stderr, begun = _stderr_tail(directory), _last_begun(directory)
    try:
        fields = json.loads((directory / _EXIT).read_text())
        return Death(fields["exit_code"], fields["signal"], fields["oom_kills"], stderr, asked, begun)
    except (OSError, ValueError, KeyError, TypeError):
        return Death(stderr=stderr, asked=asked, begun=begun)


def _last_begun(directory: Path) -> str | None:
    try:
        return (directory / _BEGUN).read_bytes().rstrip(b"\0").decode()
    except (OSError, ValueError):
        return None


def _make_directory(runtime_dir: Path, transport: str) -> Path:
    directory = runtime_dir / "k" / secrets.token_hex(4)
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
    descriptor = os.open(directory / _CONNECTION, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with open(descriptor, "w") as file:
        json.dump(connection, file)
    return directory


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now; as in Jupyter, somebody may be faster than the kernel."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _spawn(directory: Path, launch: Launch) -> subprocess.Popen[bytes]:
    connection_file = str(directory / _CONNECTION)
    options = ["--process-file", str(directory / _PROCESS), "--exit-file", str(directory / _EXIT)]
    at = launch.argv.index(OPTIONS)
    rest = (part.replace("{connection_file}", connection_file) for part in launch.argv[at + 1 :])
    argv = [*launch.argv[:at], *options, *rest]  # an interpreter's own path may hold anything
    with open(directory / _STDERR, "ab") as stderr:
        return subprocess.Popen(
            argv,
            cwd=launch.cwd,
            env=dict(launch.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            start_new_session=True,
        )


def _stderr_tail(directory: Path) -> str:
    try:
        with open(directory / _STDERR, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _STDERR_TAIL))
            return file.read().decode("utf-8", "replace").strip()
    except OSError:
        return ""
