"""A short question to a program of the person's, such as an interpreter: it, or what it starts, may hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What a program printed, and how it ended."""

    out: bytes
    err: bytes
    exit_code: int  # negative: the signal


async def ask(
    command: Sequence[str | os.PathLike[str]],
    environ: Mapping[str, str],
    seconds: float,
    question: bytes = b"",
    cwd: str = "/",
) -> Answer:
    """Run a program, with the question on its stdin, to its end.

    Raises:
        OSError: it cannot be started.
        TimeoutError: it took longer than that; it was ended, with all that it had started.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(environ),
        cwd=cwd,
        start_new_session=True,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(question), seconds)
    except asyncio.TimeoutError:
        # A script in its place may have ended, while what it started holds the pipes.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        # Else the pipes stay open here for as long as a child that got away has them.
        process._transport.close()  # type: ignore[attr-defined]
        raise TimeoutError from None  # in Python 3.10 asyncio's is another
    assert process.returncode is not None
    return Answer(out, err, process.returncode)
