"""What a session needs of a kernel, whichever way it runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kernelexec.kernels.inspection import Variables
from kernelexec.kernels.link import Lost
from kernelexec.kernels.printed import Printed
from kernelexec.kernels.wire import Message
from kernelexec.model.execution import Question
from kernelexec.model.limits import Limits
from kernelexec.model.variable_names import NO_NAMES, VariableNames

SHUTDOWN_SECONDS = 3.0  # a kernel with an unreaped child takes 29 s to shut down by itself

OnMessage = Callable[[Message], None]


@dataclass(frozen=True)
class Death:
    """How a kernel ended, as far as anybody saw it."""

    exit_code: int | None = None
    signal: int | None = None
    oom_kills: int | None = None  # processes that the system's OOM killer ended meanwhile
    stderr: str = ""  # the end of what the process itself wrote there
    asked: str | None = (
        None  # by whose wish it ended and why, e.g. "it was stopped on request (kernelexec stop)"
    )
    begun: str | None = None  # msg_id of the last run that began; "" if none did, None if nobody knows
    printed: Mapping[str, Printed] = field(default_factory=dict)  # by that run, by stream

    @property
    def cause(self) -> str:
        """For example "it was killed by signal 9 (SIGKILL) and the system's OOM killer ran"."""
        if self.asked:
            return self.asked
        if self.signal is not None:
            text = f"it was killed by signal {self.signal} ({_signal_name(self.signal)})"
            if self.signal == signal.SIGKILL and self.oom_kills:
                text += " and the system's OOM killer ran: it probably used too much memory"
            return text
        if self.exit_code is not None:
            return f"it exited with code {self.exit_code}"
        return "it is gone, and nobody saw how it ended"


@dataclass(frozen=True)
class Reply:
    """The kernel's answer to an execute request, after all its output has arrived."""

    status: str  # "ok", "error" or "aborted"
    content: Mapping[str, Any]
    date: str
    metadata: Mapping[str, Any]
    lost: int = 0  # messages of it that never came; a foreign kernel may drop some
    heard: float | None = None  # when it came, by time.monotonic; the last output may come after it


@dataclass(frozen=True)
class Imports:
    """What a kernel knows of modules that were installed."""

    versions: Mapping[str, str | None] = field(default_factory=dict)  # of those imported, as they say it
    # For each that was looked for in vain the modules that did, which may go on without it; true: while
    # they were themselves being imported.
    missed: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What a kernel's process uses of its machine."""

    memory: int  # bytes, resident
    cpu: float  # seconds of processor since it began


@dataclass(frozen=True)
class Findings:
    """What a kernel says of a run when it is asked beside that run, on the control channel.

    `tells` is false for kernels without our launcher, of which only `answered` and `stopped` are known.
    """

    answered: bool  # false: busy in native code that holds Python's lock, or stopped
    stopped: bool = False  # by SIGSTOP or a debugger
    tells: bool = False
    running: str | None = None  # msg_id of what its main thread runs
    begun: bool = False  # whether the run ever began
    line: str | None = None  # where the main thread is
    ending: bool = False  # an exception has ended the code, its traceback is being made
    reply: Reply | None = None  # the run's, where it has ended and the kernel remembers
    question: Question | None = None
    messages: tuple[Message, ...] = ()  # what the run published
    complete: bool = False  # whether that is all of it
    names: VariableNames = NO_NAMES  # the user's
    usage: Usage | None = None  # of a kernel that we cannot look at otherwise


@dataclass(frozen=True)
class Where:
    """Where a kernel's code reads and writes, if that is not this machine."""

    host: str  # as it calls itself
    directory: str
    server: str  # what leads there: a URL, or a command


class KernelDied(Exception):
    """The kernel ended before it answered."""


class ReplyLost(Exception):
    """A run's reply was lost with the link, and the kernel remembers none."""


class NotSent(Exception):
    """What was to be sent cannot be, and the kernel knows nothing of it; the text says why and what to do."""


class Kernel(Protocol):
    """One running kernel."""

    died: asyncio.Future[Death]

    @property
    def is_joined(self) -> bool:
        """Whether somebody else has started it, who alone ends it: `stop` only lets go of it."""

    @property
    def interrupts_by_name(self) -> bool:
        """Whether an interrupt reaches the request that it names, or nobody."""

    async def ready(self) -> Mapping[str, Any]:
        """The kernel_info of a kernel that answers and whose output reaches us.

        Raises:
            KernelFailed: it ended, or did not answer in time.
        """

    def pack(
        self,
        code: str,
        file: str | None = None,
        saved: str | None = None,
        limits: Limits | None = None,
    ) -> tuple[str, list[bytes]]:
        """An execute request: its msg_id and its frames.

        `file`: the path of the code file that it is, `saved`: that of the file where it is kept. `limits`: a
        value that is too large for a cell may come as a file in `spool`.

        Raises:
            NotSent: it is too long.
        """

    async def execute(self, msg_id: str, frames: list[bytes]) -> Reply:
        """Send a packed request and wait for reply and idle, which are independent facts.

        Raises:
            KernelDied: no reply will come.
            ReplyLost: none will come, and the kernel lives.
        """

    async def interrupt(self, msg_id: str) -> bool:
        """Interrupt this request, and no other. False: the kernel was not running it, or did not answer."""

    async def look(self, msg_id: str, *, messages: bool = False) -> Findings:
        """Ask about a run, beside whatever runs; with what it published if `messages`."""

    async def rejoin(self, msg_id: str) -> Reply | None:
        """Wait for reply and idle of a request that an earlier hub sent. None: no reply will come,
        because the kernel has done everything that was sent to it before this call.

        Raises:
            KernelDied: the kernel ended.
        """

    @property
    def spool(self) -> Path | None:
        """The directory in which it puts values that are too large for a message; None: it does not."""

    def answer(self, text: str) -> None:
        """Answer the question that the running code asks."""

    async def stop(self, why: str, grace: float = SHUTDOWN_SECONDS) -> Death:
        """End it: asked to, and killed if it lives after this time. `why` becomes the death's cause."""

    def detach(self) -> None:
        """Let go of it. It runs on."""

    async def refresh_imports(self, modules: Sequence[str]) -> Imports | None:
        """Have imports look at the disk anew, after an installation; also while the kernel is busy.

        Returns what it knows of these top-level modules; None: it cannot tell, and may not find them.
        """

    async def variables(self, pattern: str, limit: int, *, busy: bool) -> Variables | None:
        """Its variables whose names have this pattern ("" for all), or the last known ones.

        None: it does not answer now, and never has. `busy`: it runs code.
        """

    def memory(self) -> int | None:
        """Resident memory in bytes."""

    def cpu_seconds(self) -> float | None:
        """What its process has used of the processors."""

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        """The same of its process and all that it has started, by pid; takes some milliseconds."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped its process: then it answers nothing."""

    @property
    def lost(self) -> Lost | None:
        """Whether the link to it is down: then it is not known what it does."""

    @property
    def where(self) -> Where | None:
        """Where its code reads and writes, once that is known; None: on this machine."""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
