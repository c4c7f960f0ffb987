"""Where kernels run: how they are started there, and found again by the next hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from kernelexec.kernels.kernel import Death, Kernel, OnMessage
from kernelexec.kernels.strays import Stray
from kernelexec.model.environment import RunningKernel

OPTIONS = "{launcher_options}"  # where in a command line the launcher's own options go
FAR = "far"  # the kind of kernels at the end of a command
JOINED = "joined"  # the kind of kernels that somebody else has started


@dataclass(frozen=True)
class Launch:
    """How to start a kernel."""

    argv: Sequence[str]  # with OPTIONS after the launcher, and what holds "{connection_file}"
    cwd: Path
    environ: Mapping[str, str]  # the kernel's; of a server's kernel, which gets none, the client's
    interrupts: str = "named"  # how the kernel is interrupted, see model.environment.Environment
    transport: str = "ipc"
    ends_with_us: bool = False  # else it outlives who starts it
    leave_seconds: float = (
        0.0  # after SIGTERM, for a process that stands for a kernel elsewhere and has to end that
    )
    kind: str = ""  # which host's it is (hosts.py); "" is this machine
    host: str = ""  # where that is, in the words of an environment's host (model.environment.Environment)
    kernelspec: str = ""  # of a server's kernel: its name there
    progress: Callable[[str], None] = lambda text: None  # told while it waits to be started
    lent: str = ""  # of a kernel at a command's end: the folder there from which its ipykernel comes
    running: RunningKernel | None = None  # of the kind JOINED: the one that is joined instead of started


class KernelGone(Exception):
    """The kernel that was looked for has ended; the text says how that is known."""


class KernelUnreachable(Exception):
    """The kernel that was looked for lives, and nobody can speak to it any more; the text says why."""


class KernelElsewhere(Exception):
    """It is on another machine or in another container, and cannot be seen; the text says where."""


class HostedKernel(Kernel, Protocol):
    """A kernel as its host gives it out: one that can be found again."""

    @property
    def kernel_id(self) -> str:
        """Its name among all kernels of this user."""

    @property
    def interrupted_by(self) -> str:
        """How it is interrupted, as it turned out once it was ready (see model.environment.Environment)."""

    def place(self) -> Mapping[str, Any]:
        """Where it is, in JSON, as far as that is known now: more once it is ready."""

    def environ(self) -> Mapping[str, str]:
        """The environment variables that it was started with; empty where they cannot be told."""


class KernelHost(Protocol):
    """One way in which kernels run. A `place` is what a kernel of this host has said of itself."""

    def meet(self, environ: Mapping[str, str], cwd: str) -> None:
        """A client has come, with these variables and in this directory: what its kernels are reached by is
        known from now on."""

    async def start(self, launch: Launch, on_message: OnMessage) -> HostedKernel:
        """Start a kernel; does not wait until it answers.

        Raises:
            KernelexecError, OSError: it cannot be started at all; nothing is left of it.
        """

    def adopt(self, place: Mapping[str, Any], on_message: OnMessage, interrupts: str) -> HostedKernel:
        """Take over a kernel that was started by another hub, also by one of an earlier version.

        Raises:
            KernelGone: it has ended.
            KernelElsewhere: it is not known whether it has, and never will be here.
            KernelUnreachable: it lives, and cannot be spoken to.
            OSError, ValueError: whether it lives cannot be told, or it cannot be reached.
        """

    def strays(self) -> Mapping[str, Stray]:
        """All kernels of this host that live, by their ids, whoever has them."""

    def elsewhere(self, place: Mapping[str, Any]) -> str | None:
        """Where this kernel is, if that is not here."""

    def keep(self, place: Mapping[str, Any]) -> bool:
        """Make anew what was deleted of a kernel that lives, as far as that can be. Whether nothing was.

        Raises:
            OSError: it cannot be.
        """

    def death(self, place: Mapping[str, Any]) -> Death:
        """How a kernel ended that is gone, as far as it or its surroundings left word."""

    def clear_up(self, place: Mapping[str, Any]) -> None:
        """Remove what a kernel that is gone has left."""
