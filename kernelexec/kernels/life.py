"""How one kernel lives, wherever its process is: one half of a kernel, the other is its link."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from kernelexec.kernels.kernel import Death, Where


class Life(Protocol):
    """The process of a kernel that was started: how it is watched, ends, and is ended."""

    @property
    def kernel_id(self) -> str:
        """Its name among all kernels of this user, as long as any hub knows it."""

    async def ended(self) -> Death:
        """Wait until it has ended, and tell how, as far as that can be known.

        Cancelling this stops the waiting, nothing else.
        """

    @property
    def spool(self) -> Path | None:
        """The folder of values too large for messages, which goes when it ends; None: there is none."""

    @property
    def spools(self) -> bool:
        """Whether it can put files there itself."""

    def answers(self) -> None:
        """It has answered: what can be known of it only from then on (its pid, say) is looked up."""

    async def interrupt(self) -> bool:
        """Interrupt whatever it runs, where requests cannot. False: it could not be reached."""

    async def dismiss(self) -> bool:
        """Have whoever started it end it, in his own way. False: it is asked itself."""

    async def kill(self) -> None:
        """End it at once, whatever it does; nothing happens if it has ended. `ended` tells when it has."""

    @property
    def is_joined(self) -> bool:
        """Whether somebody else has started it, who alone ends it."""

    def explained(self, death: Death) -> Death:
        """The death with what the kernel's last words tell of it, once these were taken."""

    @property
    def is_stopped(self) -> bool:
        """Whether a signal or a debugger has stopped it: then it answers nothing."""

    @property
    def where(self) -> Where | None:
        """Where its code reads and writes, if that is not this machine and is known."""

    def memory(self) -> int | None:
        """Resident memory in bytes."""

    def cpu_seconds(self) -> float | None:
        """What it has used of the processors."""

    def family_cpu_seconds(self) -> Mapping[int, float] | None:
        """The same of it and all that it has started, by pid; may be called in another thread."""

    def environ(self) -> Mapping[str, str]:
        """The environment variables that it was started with; empty where they cannot be told."""

    def place(self) -> Mapping[str, Any]:
        """Where it is, in JSON: by which its host finds it again (see host.KernelHost.adopt)."""

    def detach(self) -> None:
        """Stop watching. It lives on."""

    def clear_up(self) -> None:
        """It has ended and all is told: remove what it left."""
