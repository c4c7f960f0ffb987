"""Whether a session may take one more submission, where its client has set limits."""

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

    async def look(self, session: Session, allowance: Allowance) -> None:
        """
        Raises:
            BadRequest: there is no room for one more.
        """
        if allowance.queued is not None and session.queued >= allowance.queued:
            runs = session.current
            wait = (
                f'; wait_for_execution(execution_id="{runs.id}") waits for the one that runs' if runs else ""
            )
            raise BadRequest(
                f"{session.queued} already wait in {session.id}, and KERNELEXEC_QUEUED="
                f"{allowance.queued} allows no more: this one was not kept.",
                f"Submit it again when some have ended{wait}.",
            )
        if allowance.disk is None:
            return
        taken = await self._measured(session)
        if taken >= allowance.disk:
            raise BadRequest(
                f"The records of {session.id} have {readable_size(taken)}, and KERNELEXEC_SESSION_MB allows "
                f"no more than {readable_size(allowance.disk)}: this was not kept.",
                "The user can raise that; a session of another name (session=...) has room of its own.",
            )

    async def _measured(self, session: Session) -> int:
        when, taken = self._taken.get(session, (0.0, 0))
        if not when or time.monotonic() - when > _MEASURED_SECONDS:
            taken = await asyncio.to_thread(taken_by, session.recorder.storage_dir, session.id)
            self._taken[session] = time.monotonic(), taken
        return taken
