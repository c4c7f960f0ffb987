"""When one submission reached what, where its caller's settings want that to be logged (KERNELEXEC_TRACE).

By one clock, which nobody can set: of what happens in the kernel these are the moments at which the hub heard
of it. The kernel's own times are in the notebook's cell.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from kernelexec.model.execution import Execution

CAME = "came"


def begin(came: float | None) -> dict[str, float] | None:
    """The steps of a submission whose call came at this moment; None: they are not wanted."""
    return None if came is None else {CAME: came}


def reached(execution: Execution, step: str, at: float | None = None) -> None:
    """It has got so far, for the first time; `at` this moment, if that is not now."""
    if execution.steps is not None:
        execution.steps.setdefault(step, time.monotonic() if at is None else at)


def in_words(steps: Mapping[str, float]) -> str:
    """Each step with the milliseconds since the call came, and since the step before."""
    came = before = min(steps.values())
    said = []
    for step, moment in sorted(steps.items(), key=lambda each: each[1]):
        said.append(f"{step} {(moment - came) * 1e3:.1f} (+{(moment - before) * 1e3:.1f})")
        before = moment
    return f"{', '.join(said)} ms"
