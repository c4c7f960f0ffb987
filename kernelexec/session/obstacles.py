"""Why a run does not end although it was interrupted, in words. Pure."""

from __future__ import annotations

from kernelexec.kernels.kernel import Findings
from kernelexec.session.stillness import NO_LOAD


def describe(found: Findings, msg_id: str, session: str, load: float | None = None) -> str:
    """What was found when a run went on after an interrupt, and what can be done.

    `load`: the processors that the kernel's process has used meanwhile; None if that is not known.
    """
    is_waiting = load is not None and load < NO_LOAD
    restart = f'restart_kernel(session="{session}") ends it at the cost of all variables.'
    if found.stopped:
        return f"The kernel's process is stopped (SIGSTOP), not dead. {restart}"
    if not found.answered and is_waiting:
        return (
            "It hangs: the kernel does not answer beside it and uses no processor, so native code waits for "
            "something (a lock, a device, the network) and holds Python's lock meanwhile. That may last for "
            f"ever; the interrupt takes effect when it ends. {restart}"
        )
    if not found.answered:
        return (
            "It goes on: the kernel does not answer beside it, so it is busy in native code that holds "
            "Python's lock (a C loop, say). The interrupt takes effect when that code returns; variables "
            f"are kept then. If it must not go on, {restart}"
        )
    where = f" It is at {found.line}." if found.line else ""
    if found.tells and found.running != msg_id:
        return (
            "The kernel says that it no longer runs this, but no reply came; what it did is not known. "
            f"If no reply comes, {restart}"
        )
    if found.ending:
        return (
            "It is ending: an exception, most likely the interrupt's, has stopped the code, and its "
            "traceback is being made. wait_for_execution tells the end."
        )
    if is_waiting:
        where += " It uses no processor: it waits for something."
    return (
        f"It goes on: the interrupt was caught by the code (except KeyboardInterrupt, say), or it is in a "
        f"native call that does not look for interrupts.{where} Call interrupt_kernel again, or {restart}"
    )
