"""Whether a session may take one more submission, where its client or its environment has limits."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

from kernelexec.errors import BadRequest
from kernelexec.model.limits import Allowance
from kernelexec.model.quantities import readable_size
from kernelexec.recording.room import taken_by
from kernelexec.session.session import Session

_MEASURED_SECONDS = 10.0  # a folder of 20,000 scripts takes 0.1 s to be looked through


class Admission:
    """Looks at what sessions have already, before anything is written or run."""

    def __init__(self) -> None:
        self._taken: WeakKeyDictionary[Session, tuple[float, int]] = WeakKeyDictionary()

    async def look(self, session: Session, client: Allowance, environment: Allowance) -> None:
        """Neither limit undoes the other.

        Raises:
            BadRequest: there is no room for one more.
        """
        for allowance in (client, environment):
            await self._look_at_disk(session, allowance)
        # Last, and without a wait: whoever else asks meanwhile is counted.
        for allowance in (client, environment):
            _look_at_queue(session, allowance)

    async def _look_at_disk(self, session: Session, allowance: Allowance) -> None:
        if allowance.disk is None:
            return
        taken = await self._measured(session)
        if taken >= allowance.disk:
            raise BadRequest(
                f"The records of {session.id} have {readable_size(taken)}, and "
                f"{allowance.said('session_mb')} allows no more: this was not kept.",
                "The user can raise that; a session of another name (session=...) has room of its own.",
            )

    async def _measured(self, session: Session) -> int:
        when, taken = self._taken.get(session, (0.0, 0))
        if not when or time.monotonic() - when > _MEASURED_SECONDS:
            taken = await asyncio.to_thread(taken_by, session.recorder.storage_dir, session.id)
            self._taken[session] = time.monotonic(), taken
        return taken


def _look_at_queue(session: Session, allowance: Allowance) -> None:
    if allowance.queued is None or session.queued < allowance.queued:
        return
    runs = session.current
    wait = f'; wait_for_execution(execution_id="{runs.id}") waits for the one that runs' if runs else ""
    raise BadRequest(
        f"{session.queued} already wait in {session.id}, and {allowance.said('queued')} allows no more: "
        "this one was not kept.",
        f"Submit it again when some have ended{wait}.",
    )
