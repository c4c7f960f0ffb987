"""The reply of list_kernels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from kernelexec.config import Config
from kernelexec.hub.lost_kernels import LostKernel, named
from kernelexec.model.execution import Execution
from kernelexec.model.quantities import local_time, readable_age, readable_size
from kernelexec.model.text import clip_line
from kernelexec.recording.journal import now
from kernelexec.session.session import BUSY_ELSEWHERE, Session

_LONGEST_PROMPT = 100  # characters of what running code asks


def describe_kernels(
    load: Mapping[Session, float | None], config: Config, lost: Sequence[LostKernel] = ()
) -> str:
    """The open sessions of a storage directory; `load`: of each, the processors its kernel uses."""
    here = [s for s in load if str(s.recorder.storage_dir.resolve()) == config.storage_identity]
    running = [session for session in here if session.kernel is not None]
    others = [session for session in load if session not in here and session.kernel is not None]
    lines = [
        f"KERNELS: {len(running)} running in {config.storage_dir}, {len(here)} open "
        f"session{'' if len(here) == 1 else 's'}."
    ]
    for session in sorted(here, key=lambda each: each.id):
        lines += ["", *_about(session, load[session])]
    if others:
        lines += [
            "",
            f"{len(others)} more in other storage directories; the user sees all with: kernelexec ps",
        ]
    lines += [f"Lives, and serves no session: kernel {named(each)}." for each in lost]
    if not here:
        lines.append("execute_code opens a session and starts its kernel.")
    return "\n".join(lines)


def _about(session: Session, load: float | None) -> Iterator[str]:
    yield f"{session.id}: {_state(session)}"
    environment = session.environment
    kind = f"{environment.kind}, {environment.runs}"
    yield f"  environment: {environment.label} ({kind}) in {environment.location}"
    if session.kernel is not None and session.kernel_started is not None:
        memory = session.kernel.memory()
        used = "memory unknown" if memory is None else f"memory {readable_size(memory)}"
        if load is not None:
            used += f", processor {load:.0%}"
        started = local_time(session.kernel_started)
        since = f"joined {started}, the user's own" if session.kernel.is_joined else f"started {started}"
        yield f"  kernel: generation {session.generation}, {since}, {used}"
        if session.host:
            yield f"  code reads and writes {session.place}"
    elif session.last_end:
        yield f"  the last kernel (generation {session.generation}) ended: {session.last_end}"
    if session.queued:
        yield f"  waiting to be run: {session.queued}"
    if session.notebook is not None:
        yield f"  notebook: {session.notebook}"


def _state(session: Session) -> str:
    lost = session.kernel.lost if session.kernel is not None else None
    if lost is None:
        return _known_state(session)
    return (
        f"the link to it has been down since {local_time(lost.since)}; what it does is not known. {lost.why}"
    )


def _known_state(session: Session) -> str:
    if session.kernel is not None and session.kernel.is_stopped:
        return "stopped (its process was stopped by a signal or a debugger; it goes on with SIGCONT)"
    current = session.current
    if session.state == BUSY_ELSEWHERE:
        waiting = f"; {current.id} waits for that" if current is not None else ""
        return f"{BUSY_ELSEWHERE} (the user in JupyterLab, for example){waiting}"
    if current is not None:
        return _at_work(current)
    if session.kernel is None and session.state == "no kernel":
        return "no kernel; the next execute_code starts one"
    if session.state == "idle":
        return f"idle for {_ago(session.last_used)}"
    return session.state


def _at_work(execution: Execution) -> str:
    if execution.question is None:
        return f"busy with {execution.id} for {_ago(execution.started or execution.submitted)}"
    prompt = clip_line(execution.question.prompt, _LONGEST_PROMPT)
    how = "the user types the password" if execution.question.password else "send_input answers"
    return f"waits for input: {execution.id} asks {prompt!r}; {how}"


def _ago(moment: datetime) -> str:
    return readable_age((now() - moment).total_seconds())
