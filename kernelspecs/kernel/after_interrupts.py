"""What code has made of an interrupt: whether the exception that ended it comes of one."""

from __future__ import annotations

import asyncio
import signal
import subprocess

MOST_LOOKED_AT = 100  # exceptions: a chain may be a circle, and a group has as many as it likes
# Within this time after an interrupt an error comes of it: command lines (click) exit after the except clause.
PROMPT_SECONDS = 1.0
# How a command ends that was interrupted, as its parent and as a shell have it.
INTERRUPTED_STATUS = -signal.SIGINT, 128 + signal.SIGINT


def comes_of_interrupt(error, cancelled: bool, seconds: float) -> bool:
    """Whether an exception was raised because of an interrupt, which reached the run this long ago.

    `cancelled`: it has cancelled what the cell awaited.
    """
    if seconds < PROMPT_SECONDS or (isinstance(error, SystemExit) and error.code):
        return True
    return has_interrupt(error, cancelled)


def has_interrupt(error, cancelled: bool) -> bool:
    """Whether there is an interrupt in an exception's history, also before `from None`, or in a group."""
    kinds = (KeyboardInterrupt, asyncio.CancelledError) if cancelled else KeyboardInterrupt
    looked_at, ahead = [], [error]
    while ahead and len(looked_at) < MOST_LOOKED_AT:
        each = ahead.pop()
        if not isinstance(each, BaseException) or any(each is known for known in looked_at):
            continue
        looked_at.append(each)
        if isinstance(each, kinds) or status_of(each) in INTERRUPTED_STATUS:
            return True
        parts = getattr(each, "exceptions", ())  # of an ExceptionGroup, which Python has had since 3.11
        ahead += [each.__cause__, each.__context__, *(parts if isinstance(parts, tuple) else ())]
    return False


def status_of(error):
    """The exit status that an exception tells of; None if it tells of none."""
    if isinstance(error, subprocess.CalledProcessError):
        return error.returncode
    status = error.code if isinstance(error, SystemExit) else None
    return status if isinstance(status, int) else None
