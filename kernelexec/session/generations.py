"""The kernels of a session, one after the other: each is a generation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kernelexec.errors import KernelexecError, StorageFailed
from kernelexec.kernels.kernel import Death, Kernel, KernelDied, Where
from kernelexec.model.environment import Environment
from kernelexec.model.variable_names import NO_NAMES
from kernelexec.recording.journal import now
from kernelexec.recording.recorder import Recorder
from kernelexec.session.events import Died, Loss, Started
from kernelexec.session.executions import Executions
from kernelexec.session.happenings import Happenings
from kernelexec.session.surroundings import Surroundings


@dataclass(frozen=True)
class NewKernel:
    """A kernel that answers, and what there is to say of it."""

    kernel: Kernel
    kernel_info: Mapping[str, Any]
    environment: Environment
    kernel_id: str | None = None  # in the registry
    where: Where | None = None  # its code reads and writes, if not on this machine
    surroundings: Surroundings | None = None  # in which it was started, if not in those that were asked for


class KernelSource(Protocol):
    """Where the next kernel comes from."""

    async def new_kernel(self, surroundings: Surroundings) -> NewKernel:
        """A kernel that is ready, started in these surroundings.

        Raises:
            KernelexecError, OSError: there is none, and why.
        """


class Generations:
    """Starts kernels, sees them die, and says what was lost. One is there at a time."""

    def __init__(
        self,
        recorder: Recorder,
        executions: Executions,
        source: KernelSource,
        happenings: Happenings,
    ) -> None:
        self.kernel: Kernel | None = None
        self.starting: Kernel | None = None  # on its way to be the kernel
        self.started: datetime | None = None
        self.generation = 0  # of the kernel that is here or was here last
        self.kernel_id: str | None = None  # its id in the registry, as far as the journal has it
        self.names = NO_NAMES  # the user's variables in it
        self.last_end: str | None = None  # why the kernel before the present one ended
        self.end_was_asked = False  # whether it was ended by somebody's wish
        self.left_a_kernel = False  # an earlier hub's, not known to have ended
        self._recorder = recorder
        self._executions = executions
        self._source = source
        self._happenings = happenings
        self.surroundings = Surroundings({}, recorder.storage_dir)  # of the last kernel
        self._adopted = False  # and not yet heard from
        self._meeting: asyncio.Task[None] | None = None  # with the adopted one
        self._ended_by: str | None = None  # the caller who ends the kernel
        self._ending: Kernel | None = None  # which that is
        self._wished = False  # and that somebody wants it ended
        self._lock = asyncio.Lock()

    @property
    def is_starting(self) -> bool:
        """Whether a kernel is being started."""
        return self._lock.locked()

    @property
    def next_generation(self) -> int:
        """Of the kernel that is here, else of the one that will be."""
        return self.generation if self.kernel is not None else self.generation + 1

    async def ready_kernel(self, surroundings: Surroundings | None = None) -> Kernel:
        """The kernel, started if need be: in these surroundings, else in those of the last.

        Raises:
            KernelexecError, OSError: there is none.
        """
        async with self._lock:
            if self.kernel is None:
                return await self._new_kernel(surroundings or self.surroundings)
            kernel = self.kernel
            await self._hear_from(kernel)
            return kernel

    async def hear_from(self, kernel: Kernel) -> None:
        """Returns once this kernel answers. Where it has ended, no other is started in its place.

        Raises:
            KernelDied: it has ended.
            KernelexecError, OSError: it does not answer.
        """
        async with self._lock:
            if self.kernel is not kernel:
                raise KernelDied
            await self._hear_from(kernel)

    async def end_kernel(self, why: str, *, by: str | None, wished: bool = True) -> bool:
        """End the kernel, if there is one.

        `by`: the caller who wishes it, who need not be told; `wished`: whether somebody does.
        """
        kernel = self.kernel or self.starting
        if kernel is None:
            return False
        if kernel is not self._ending:  # else somebody did so before, who is told of nobody else
            self._ending, self._ended_by, self._wished = kernel, by, wished
        await kernel.stop(why)
        await self.end_of(kernel)
        return True

    async def end_of(self, kernel: Kernel) -> None:
        """Returns when the session has taken note of the kernel's end, which is near."""
        await asyncio.wait({kernel.died})  # to await it would hand on a cancel to all who wait for it
        await asyncio.sleep(0)  # lets _on_death run, which waits on the same future

    def adopt(self, kernel: Kernel, started: datetime, surroundings: Surroundings) -> None:
        """Take over the kernel that an earlier hub started in these surroundings."""
        self.left_a_kernel = False
        self.surroundings = surroundings
        self._adopted = True
        self._use(kernel, started)
        self._meeting = asyncio.create_task(self._meet())

    async def _meet(self) -> None:
        """What is in the adopted kernel, before anybody uses it: it may end before, and take it along."""
        with contextlib.suppress(KernelDied, KernelexecError, OSError):  # told to who uses it
            async with self._lock:
                if self.kernel is not None:
                    await self._hear_from(self.kernel)

    async def _hear_from(self, kernel: Kernel) -> None:
        if self._adopted:
            await kernel.ready()  # its first output would be lost before our subscription is in place
            self._adopted = False
            found = (await kernel.look("")).names
            self.names = found if found.number else self.names

    def let_go(self) -> None:
        """The kernel runs on without us."""
        if self._meeting is not None:
            self._meeting.cancel()
        if self.kernel is not None:
            self.kernel.detach()

    def report_lost_kernel(self, cause: str, begun: str | None) -> None:
        """The last kernel ended while no hub watched. `begun`: msg_id of the last run in it, if known."""
        self.left_a_kernel = False
        self._is_gone(Loss(self.generation, cause, begun=begun))

    async def _new_kernel(self, surroundings: Surroundings) -> Kernel:
        new = await self._source.new_kernel(surroundings)
        self.surroundings = surroundings = (new.surroundings or surroundings).at(new.where)
        before, ended = self.generation, self.last_end
        self.generation += 1
        self.names, self._ended_by, self._ending, self._wished = NO_NAMES, None, None, False
        self._executions.begin_kernel()
        metadata = self._notebook_metadata(new)
        number = self._recorder.sittings.number(self.generation, now())
        if before:
            metadata["kernelexec"] |= self._link_to(before, number) | {"previous_ended": ended}
        self._recorder.begin_generation(self.generation, metadata)
        try:
            self._recorder.journal.write(
                "kernel",
                generation=self.generation,
                interpreter=str(new.environment.program),
                directory=str(surroundings.directory),
                **({"host": surroundings.host} if surroundings.host else {}),
                kernel_id=new.kernel_id,
                notebook_metadata=metadata,
                **({} if number == self.generation else {"notebook": number}),
            )
        except StorageFailed:
            await new.kernel.stop("its start could not be written to the journal")
            raise
        self.kernel_id = new.kernel_id
        self._happenings.happened(Started(self.generation))
        self._use(new.kernel, now())
        return new.kernel

    def _link_to(self, before: int, number: int) -> dict[str, str]:
        """Where the cells of the kernel before are, if they are in another notebook."""
        path = self._recorder.notebook_path(before)
        return {"previous": path.name} if number == self.generation and path.exists() else {}

    def _use(self, kernel: Kernel, started: datetime) -> None:
        self.kernel = kernel
        self.started = started
        self._recorder.spool = kernel.spool
        kernel.died.add_done_callback(self._on_death)

    def _notebook_metadata(self, new: NewKernel) -> dict[str, Any]:
        return {
            "kernelspec": {
                "display_name": new.environment.display_name,
                "language": new.kernel_info["language_info"]["name"],
                "name": new.environment.kernelspec,
            },
            "language_info": dict(new.kernel_info["language_info"]),
            "kernelexec": {
                "format": 1,
                "session": self._recorder.session,
                "generation": self.generation,
                "directory": str(self.surroundings.directory),
                **({"host": self.surroundings.host} if self.surroundings.host else {}),
            },
        }

    def _on_death(self, died: asyncio.Future[Death]) -> None:
        if died.cancelled():
            return
        death = died.result()
        self.end_was_asked = death.asked is not None
        self._is_gone(
            Loss(
                self.generation,
                death.cause,
                self.names,
                self._ended_by,
                death.begun,
                death.stderr,
                wished=self._wished,
                joined=self.kernel is not None and self.kernel.is_joined,
            )
        )

    def _is_gone(self, loss: Loss) -> None:
        self.kernel, self._adopted = None, False
        self.last_end = loss.cause
        self._happenings.happened(Died(loss))
