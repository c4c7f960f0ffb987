"""The seat of a session's kernels: one sits there at a time, and each is a generation."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kernelexec.errors import StorageFailed
from kernelexec.kernels.kernel import Death, Kernel
from kernelexec.model.environment import Environment
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.executions import Executions
from kernelexec.session.notices import Notices

_log = logging.getLogger(__name__)

_NAMES_TOLD = 20  # of what was lost


@dataclass(frozen=True)
class Started:
    """A kernel that answers."""

    kernel: Kernel
    kernel_info: Mapping[str, Any]
    environment: Environment
    kernel_id: str | None = None  # in the registry


class Generations:
    """Starts kernels, sees them die, and says what was lost.

    `start` starts a kernel for a caller's environment variables; `on_end` gets the words for what waits.
    """

    def __init__(
        self,
        session: str,
        recorder: Recorder,
        executions: Executions,
        notices: Notices,
        start: Callable[[Mapping[str, str]], Awaitable[Started]],
        on_end: Callable[[str], None],
    ) -> None:
        self.kernel: Kernel | None = None
        self.starting: Kernel | None = None  # on its way to be the kernel
        self.started: datetime | None = None
        self.generation = 0  # of the kernel that sits here or sat here last
        self.kernel_id: str | None = None  # its id in the registry, as far as the journal has it
        self.ran = 0  # submissions sent to it
        self.names: tuple[str, ...] = ()  # the user's variables in it, the newest first
        self.last_end: str | None = None  # why the kernel before the present one ended
        self.end_was_asked = False  # whether it was ended by somebody's wish
        self.left_a_kernel = False  # an earlier hub's, not known to have ended
        self._session = session
        self._recorder = recorder
        self._executions = executions
        self._notices = notices
        self._start = start
        self._on_end = on_end
        self._environ: Mapping[str, str] = {}  # of the caller that had the last kernel started
        self._adopted = False  # and not yet heard from
        self._end_is_told = False  # the caller who ends the kernel knows
        self._lock = asyncio.Lock()

    @property
    def is_being_taken(self) -> bool:
        """Whether a kernel is being started."""
        return self._lock.locked()

    async def ready_kernel(self, environ: Mapping[str, str] | None = None) -> Kernel:
        """The kernel, started if need be: with these environment variables, else with those of the last.

        Raises:
            KernelexecError, OSError: there is none.
        """
        async with self._lock:
            if self.kernel is None:
                return await self._new_kernel(environ)
            if self._adopted:  # its first output would be lost before our subscription is in place
                await self.kernel.ready()
                self._adopted = False
            return self.kernel

    async def end_kernel(self, why: str, *, told: bool) -> bool:
        """End the kernel, if there is one. `told`: who asks for it is the one to know, and does."""
        kernel = self.kernel or self.starting
        if kernel is None:
            return False
        self._end_is_told = told
        await kernel.stop(why)
        await asyncio.sleep(0)  # lets _on_death run, which waits on the same future
        return True

    def adopt(self, kernel: Kernel, started: datetime, environ: Mapping[str, str]) -> None:
        """Take over the kernel that an earlier hub started, with these environment variables."""
        self.left_a_kernel = False
        self._environ = environ
        self._adopted = True
        self._use(kernel, started)

    def report_lost_kernel(self, cause: str) -> None:
        """The last kernel ended while no hub watched."""
        self.left_a_kernel = False
        self._is_gone(cause, untold=self.ran > 0)

    def death_text(self, cause: str) -> str:
        return (
            f"The kernel of {self._session} (generation {self.generation}) ended: {cause}. All its variables "
            f"are lost{self.lost}; nothing was run again. What is submitted next runs in a new kernel."
        )

    async def _new_kernel(self, environ: Mapping[str, str] | None) -> Kernel:
        self._environ = self._environ if environ is None else environ
        started = await self._start(self._environ)
        before, ended = self.generation, self.last_end
        self.generation += 1
        self.ran, self.names, self._end_is_told = 0, (), False
        self._executions.begin_kernel()
        metadata = self._notebook_metadata(started)
        if before:
            metadata["kernelexec"] |= {
                "previous": self._recorder.notebook_path(before).name,
                "previous_ended": ended,
            }
        self._recorder.begin_generation(self.generation, metadata)
        try:
            self._recorder.journal.write(
                "kernel",
                generation=self.generation,
                interpreter=str(started.environment.program),
                kernel_id=started.kernel_id,
                notebook_metadata=metadata,
            )
        except StorageFailed:
            await started.kernel.stop("its start could not be written to the journal")
            raise
        self._use(started.kernel, now())
        return started.kernel

    def _use(self, kernel: Kernel, started: datetime) -> None:
        self.kernel = kernel
        self.started = started
        kernel.died.add_done_callback(self._on_death)

    def _notebook_metadata(self, started: Started) -> dict[str, Any]:
        return {
            "kernelspec": {
                "display_name": started.environment.display_name,
                "language": started.kernel_info["language_info"]["name"],
                "name": started.environment.kernelspec,
            },
            "language_info": dict(started.kernel_info["language_info"]),
            "kernelexec": {"format": 1, "session": self._session, "generation": self.generation},
        }

    def _on_death(self, died: asyncio.Future[Death]) -> None:
        if died.cancelled():
            return
        cause = died.result().cause
        self.end_was_asked = died.result().asked is not None
        text = self.death_text(cause)
        self._is_gone(cause, untold=self.ran > 0 and not self._end_is_told)
        self._on_end(text)

    def _is_gone(self, cause: str, untold: bool) -> None:
        self.kernel = None
        self.last_end = cause
        if untold:
            self._notices.death = self.death_text(cause)
        self.note("died", generation=self.generation, cause=cause, untold=untold)

    @property
    def lost(self) -> str:
        """The names that are lost with the kernel, for a sentence; empty if none are known."""
        if not self.names:
            return ""
        shown = ", ".join(self.names[:_NAMES_TOLD])
        more = len(self.names) - _NAMES_TOLD
        return f" ({shown} and {more} more)" if more > 0 else f" ({shown})"

    def note(self, event: str, **fields: Any) -> None:
        """A journal line that nothing waits for."""
        try:
            self._recorder.journal.write(event, **fields)
        except StorageFailed:
            _log.exception("session %s: %s is not in the journal", self._session, event)
