"""Whether a run that shows nothing works or waits: told by what its kernel uses of the processors.

Only what is known is said. A sleep, a download and a deadlock look alike from outside; where the code is
tells the assistant which it is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from kernelexec.kernels.kernel import Findings, Kernel
from kernelexec.model.execution import Execution
from kernelexec.model.quantities import readable_seconds

LEAST_SECONDS = 10.0  # in which nothing happens: less says little
_LOOK_SECONDS = 2.5  # before the end of the wait: to count processes and to ask the kernel, which may hang
# Of one processor: a kernel that waits takes less for its own threads; one that computes has a whole one, or
# a tenth of it where many others compute.
NO_LOAD = 0.03


async def look(kernel: Kernel, execution: Execution, msg_id: str, seconds: float) -> str | None:
    """What is to be said at the end of a wait of so many seconds for a run that is still and uses no
    processor; None: it is not, or nobody knows. To be cancelled when the wait ends before."""
    if seconds < LEAST_SECONDS:
        return None
    began, shown = time.monotonic(), execution.outputs.size
    before = await asyncio.to_thread(kernel.family_cpu_seconds)
    await asyncio.sleep(began + seconds - _LOOK_SECONDS - time.monotonic())
    after = await asyncio.to_thread(kernel.family_cpu_seconds)
    passed = time.monotonic() - began
    shows_something = execution.question is not None or execution.outputs.size != shown
    if shows_something or not _rested(before, after, passed):
        return None
    return describe(await kernel.look(msg_id), msg_id, passed)


def _rested(before: Mapping[int, float] | None, after: Mapping[int, float] | None, seconds: float) -> bool:
    """What a process used that has come or gone meanwhile is not known."""
    if before is None or after is None or before.keys() != after.keys():
        return False
    return sum(after.values()) - sum(before.values()) < NO_LOAD * seconds


def describe(found: Findings, msg_id: str, seconds: float) -> str | None:
    said = f"For {readable_seconds(seconds)} its kernel and what it has started used no processor"
    if found.stopped or (found.tells and found.running != msg_id):
        return None  # the one is told anyhow; the other has just ended
    if not found.answered:
        return (
            f"{said}, and the kernel does not answer beside it: native code waits for something (a lock, a "
            "device, the network) and holds Python's lock meanwhile. It may hang for ever."
        )
    where = f" It is at {found.line}." if found.line else ""
    return f"{said}: it waits for something.{where}"
