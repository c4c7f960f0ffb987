"""What the person's commands ask of the hub, through the same socket: one JSON line each way."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kernelexec import __version__, paths
from kernelexec.daemon import frontends
from kernelexec.errors import BadRequest, KernelexecError
from kernelexec.hub.hub import Hub
from kernelexec.hub.lost_kernels import LostKernel
from kernelexec.kernels.owed_stops import owed_stops
from kernelexec.model.execution import Execution
from kernelexec.recording.journal import now
from kernelexec.session.session import Session

_UNUSED_SECONDS = 60.0  # after which nobody is about to use a session that he has just looked at
_MOST_VARIABLES = 1_000  # in an answer


async def serve_admin(
    hub: Hub, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
) -> None:
    """Answer commands until the connection closes."""
    while line := await reader.readline():
        command = json.loads(line)
        try:
            answer = await _serve(hub, command, ending)
        except KernelexecError as error:
            answer = {"error": str(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        await writer.drain()


async def _serve(hub: Hub, command: Mapping[str, Any], ending: asyncio.Event) -> Mapping[str, Any]:
    await hub.adoption.of_all()
    answer: Mapping[str, Any]
    match command.get("command"):
        case "ps":
            answer = _status(hub)
        case "stop":
            answer = await _stop(hub, command["session"])
        case "stop-all":
            answer = await _stop_all(hub)
            ending.set()
        case "opened":
            answer = _opened(hub, command["caller"], command["storage_dir"])
        case "release":
            answer = {"released": await hub.release(command.get("idle_seconds", _UNUSED_SECONDS))}
        case "variables" | "question" | "answer":
            answer = await _about_a_run(hub, command)
        case name if name in frontends.COMMANDS:
            answer = await frontends.serve_frontend(hub, command)
        case unknown:
            answer = {"error": f"unknown command {unknown!r}"}
    return answer


def _waiting(hub: Hub, wanted: str) -> tuple[Session, Execution]:
    """The execution with this id that waits for input, and its session.

    Raises:
        BadRequest: there is none.
    """
    waiting = [(session, execution) for session in hub.sessions for execution in session.asking]
    found = [(session, execution) for session, execution in waiting if execution.id == wanted]
    if len(found) != 1:
        ids = ", ".join(execution.id for _, execution in waiting) or "none"
        raise BadRequest(f"{wanted} does not wait for input.", f"Runs that do: {ids}.")
    return found[0]


def _input(hub: Hub, wanted: str, text: str | None, to: str | None = None) -> dict[str, Any]:
    """What a run asks; with a text, that is the answer, to the question of this name."""
    session, execution = _waiting(hub, wanted)
    question = execution.question
    assert question is not None
    if text is not None:
        session.answer(execution, text, to=to, privately=True)
    return {"prompt": question.prompt, "password": question.password, "name": question.name}


async def _about_a_run(hub: Hub, command: Mapping[str, Any]) -> Mapping[str, Any]:
    if command["command"] == "variables":
        return await _variables(hub, command)
    return _input(hub, command["execution"], command.get("text"), command.get("question"))


async def _variables(hub: Hub, command: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a session's kernel, for programs."""
    session = frontends.find(hub, str(command.get("storage_dir")), str(command.get("session")))
    kernel = session.kernel if session is not None else None
    if session is None or kernel is None:
        return {"error": f"{command.get('session')} has no kernel"}
    busy = session.current is not None
    found = await kernel.variables(str(command.get("pattern") or ""), _MOST_VARIABLES, busy=busy)
    if found is None:
        return {"error": f"the kernel of {session.id} does not answer now"}
    return {
        "session": session.id,
        "generation": session.generation,
        "seen": found.seen.isoformat(),
        "total": found.total,
        "variables": list(found.variables),
        "modules": dict(found.modules),
        "callables": list(found.callables),
    }


def _opened(hub: Hub, caller: str, storage_dir: str) -> dict[str, Any]:
    """The session of the notebook that this caller has opened last, which its calls are for."""
    last = hub.openers.session_of(caller, storage_dir)
    if last is not None:
        return {"session": last}
    opened = [
        (session.opened.opened_by[caller], session.id)
        for session in hub.sessions
        if session.opened is not None
        and caller in session.opened.opened_by
        and os.path.realpath(session.recorder.storage_dir) == storage_dir
    ]
    return {"session": max(opened)[1] if opened else None}


def _status(hub: Hub) -> dict[str, Any]:
    return {
        "hub": {"version": __version__, "pid": os.getpid(), "log": paths.log_file(os.environ)},
        "sessions": [_described(session) for session in hub.sessions],
        "lost": hub.lost_kernels.described(),
        "owed": owed_stops(Path(paths.state_dir(os.environ))),
    }


def _described(session: Session) -> Mapping[str, Any]:
    memory = session.kernel.memory() if session.kernel else None
    return {
        "session": session.id,
        "state": session.state,
        "is_reached": session.kernel is None or session.kernel.lost is None,
        "running": session.current.id if session.current else None,
        "queued": session.queued,
        "generation": session.generation,
        "kernel": session.generations.kernel_id if session.kernel else None,
        "memory_mb": round(memory / 1e6) if memory else None,
        "idle_seconds": round((now() - session.last_used).total_seconds()),
        "directory": str(session.directory),
        "interpreter": str(session.environment.program),
        "server": session.environment.host or None,
        "storage_dir": str(session.recorder.storage_dir),
        "notebook": str(session.notebook) if session.notebook else None,
    }


async def _stop(hub: Hub, wanted: str) -> dict[str, Any]:
    """Stop the kernel and the installations of one session, named in full or by an unambiguous part."""
    live = _live(hub)
    lost = next((each for each in hub.lost_kernels.all() if each.kernel_id == wanted), None)
    if lost is not None:
        return await _stop_lost(hub, lost)
    found = [s for s in live if wanted in (s.id, f"{s.recorder.storage_dir}:{s.id}")]
    found = found or [s for s in live if s.name == wanted]
    if len(found) != 1:
        names = [f"{s.recorder.storage_dir}:{s.id}" for s in (found or live)]
        what = "is ambiguous" if found else "has no running kernel"
        return {"error": f"{wanted} {what}", "sessions": names}
    try:
        found[0].refuse_to_end()
    except BadRequest as error:
        return {"error": str(error), "sessions": []}
    await found[0].stop_jobs("Stopped with: kernelexec stop.")
    away = _away(found)
    await found[0].stop_kernel()
    return {"stopped": [] if away else [found[0].id], **_not_reached(away)}


async def _stop_lost(hub: Hub, lost: LostKernel) -> dict[str, Any]:
    if lost.stray is None:
        return {"error": f"{lost.kernel_id}: {lost.why}; it can be stopped there only", "sessions": []}
    await hub.lost_kernels.end(lost)
    return {"stopped": [lost.kernel_id]}


def _not_reached(sessions: Sequence[Session]) -> dict[str, list[str]]:
    """Of these the kernels at the end of a command are ended once they can be reached; a server's are not."""
    at_servers = [each for each in sessions if each.environment.kind == "gateway"]
    return {
        "away": [each.id for each in sessions if each not in at_servers],
        "untold": [each.id for each in at_servers],
    }


def _away(sessions: Sequence[Session]) -> list[Session]:
    """Those whose kernels cannot be reached now."""
    return [each for each in sessions if each.kernel is not None and each.kernel.lost is not None]


def _live(hub: Hub) -> list[Session]:
    """The sessions with something to stop."""
    return [s for s in hub.sessions if s.kernel or s.generations.starting or s.has_jobs]


async def _stop_all(hub: Hub) -> dict[str, Any]:
    live = _live(hub)
    await asyncio.gather(*(session.stop_jobs("Stopped with: kernelexec stop --all.") for session in live))
    joined = [session for session in live if session.kernel is not None and session.kernel.is_joined]
    away = _away(live)
    await asyncio.gather(*(session.stop_kernel() for session in live if session not in joined))
    lost = [each for each in hub.lost_kernels.all() if each.stray is not None]
    await asyncio.gather(*(hub.lost_kernels.end(each) for each in lost))
    return {
        "stopped": [each.id for each in live if each not in joined + away]
        + [each.kernel_id for each in lost],
        "left": [session.id for session in joined],
        **_not_reached(away),
    }
