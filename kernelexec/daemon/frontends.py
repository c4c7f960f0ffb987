"""What a Jupyter frontend that is joined to a session's kernel asks of the hub.

The person's buttons in JupyterLab, through the relay (kernelspecs/relay/relay.py): the hub does what they
mean, because only so the assistant hears of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from kernelexec.errors import KernelexecError
from kernelexec.hub.hub import Hub
from kernelexec.session.session import BUSY_ELSEWHERE, Session

COMMANDS = ("attach", "interrupt", "renew", "restart")
_INTERRUPTED = "Interrupted by the person, from Jupyter."
_RESTARTED = "it was restarted by the person, from Jupyter"

_restarts: dict[Session, asyncio.Task[None]] = {}


async def serve_frontend(hub: Hub, command: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one command; `{"error": ...}` where the hub cannot do it."""
    session = find(hub, str(command.get("storage_dir")), str(command.get("session")))
    if session is None:
        return {"error": "no such session"}
    try:
        match command["command"]:
            case "attach":
                return await _attach(session)
            case "interrupt":
                return await _interrupt(session, command.get("msg_id"))
            case "renew":
                return await _renew(session, command.get("generation"))
            case _:
                return await _restart(session)
    except (KernelexecError, OSError) as error:
        return {"error": str(error)}


def find(hub: Hub, storage_dir: str, session_id: str) -> Session | None:
    """The open session of this id in this storage directory."""
    storage = os.path.realpath(storage_dir)
    for session in hub.sessions:
        if session.id == session_id and os.path.realpath(session.recorder.storage_dir) == storage:
            return session
    return None


async def _attach(session: Session) -> dict[str, Any]:
    """Wait while the kernel is being replaced; then what the registry says is true."""
    if session in _restarts:
        await asyncio.wait({_restarts[session]})
    return {"generation": session.generation}


async def _interrupt(session: Session, msg_id: str | None) -> dict[str, Any]:
    """Interrupt the run of this request. A frontend that came later than its run names none."""
    current = session.current
    ours = session.executions.msg_id(current) if current is not None else None
    if current is not None and msg_id in (None, ours) and session.state != BUSY_ELSEWHERE:
        await session.cancel(current, _INTERRUPTED)
        return {"interrupted": current.id}
    msg_id = msg_id or session.foreign_runs.running
    if msg_id is None or session.kernel is None:
        return {"error": "the hub knows of nothing that runs"}
    return {"interrupted": await session.kernel.interrupt(msg_id)}


async def _restart(session: Session) -> dict[str, Any]:
    """Once, however many frontends ask for it; goes on if the one that asked does not wait.

    Without a look whether another kernel starts: Jupyter has interrupted the run before it asks, so what
    waits behind that would begin meanwhile.
    """
    if session not in _restarts:
        _restarts[session] = asyncio.create_task(session.restart_kernel(_RESTARTED))
        _restarts[session].add_done_callback(lambda _: _restarts.pop(session))
    await asyncio.shield(_restarts[session])
    return {"generation": session.generation}


async def _renew(session: Session, generation: int | None) -> dict[str, Any]:
    """Start the next kernel after this generation's died under a frontend.

    The frontend has its kernel started again, as it does with any that died. It and the assistant,
    which is told of the death before anything of its own is run, are to share that kernel.
    """
    kernel = session.kernel
    if kernel is not None and session.generation == generation:
        await kernel.died
        await asyncio.sleep(0)  # lets the session hear of it, which waits for the same
    if session.kernel is None and session.generations.end_was_asked:
        return {"error": "it was stopped on request"}
    await session.generations.ready_kernel()
    return {"generation": session.generation}
