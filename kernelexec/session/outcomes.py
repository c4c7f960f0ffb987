"""How a run has ended by its kernel's reply, and what is to be said of it. Pure.

An interrupt becomes what the code makes of it: nothing at all, an error of the code's own, an exit. Whether
one reached the run, and whether the error comes of it, our kernels say
(kernelspecs/kernel/after_interrupts.py); of others it is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kernelexec.kernels.kernel import Reply
from kernelexec.model.crash import crash_in_words
from kernelexec.model.execution import Execution, State
from kernelexec.model.shown_errors import is_clean_exit

_LONGEST_SAID = 300  # characters of an exception
_EXITED = "The code ended itself by sys.exit(0), which is no error; what stands after that did not run."
_BY_OTHERS = "Interrupted, not by this client."
_INTERRUPTS = (
    "KeyboardInterrupt",
    "CancelledError",
)  # a coroutine that waits is interrupted by its cancellation
_KEPT = "Variables are kept."


@dataclass(frozen=True)
class Outcome:
    """How a run has ended."""

    state: State
    problem: str | None  # what is to be said of it
    was_interrupted: bool = False  # an interrupt is known to have reached it, whatever came of that


@dataclass(frozen=True)
class _Interrupts:
    """What a reply says of interrupts, together with what was asked for."""

    asked: str | None  # why an interrupt was asked for
    reached: int | None  # how many have reached the run; None: the kernel does not tell
    became: bool  # it is known that the error comes of one

    @classmethod
    def of(cls, execution: Execution, reply: Reply) -> _Interrupts:
        said = reply.metadata.get("kernelexec")
        said = said if isinstance(said, Mapping) else {}
        reached = said.get("interrupts")
        return cls(
            execution.interrupt, reached if isinstance(reached, int) else None, said.get("became") is True
        )

    @property
    def may_have_reached(self) -> bool:
        return bool(self.asked) if self.reached is None else self.reached > 0

    @property
    def why(self) -> str:
        return self.asked or _BY_OTHERS


def told_by(
    execution: Execution, reply: Reply, remark: str | None, *, kernel_is_there: bool = True
) -> Outcome:
    """The end that a reply tells. `kernel_is_there`: the kernel has not ended with the run."""
    interrupts = _Interrupts.of(execution, reply)
    state, problem = _end(interrupts, execution, reply, remark)
    if problem and not kernel_is_there:
        problem = problem.removesuffix(_KEPT).rstrip()
    return Outcome(state, problem, bool(interrupts.reached))


def _end(
    interrupts: _Interrupts, execution: Execution, reply: Reply, remark: str | None
) -> tuple[State, str | None]:
    if reply.status == "ok":
        return State.OK, both(_went_on(interrupts), remark)
    name = str(reply.content.get("ename") or "an error")
    if name == "KeyboardInterrupt" and interrupts.reached != 0:
        return State.INTERRUPTED, f"{interrupts.why} {_KEPT}"
    if name in _INTERRUPTS and interrupts.may_have_reached:
        return State.INTERRUPTED, f"{interrupts.why} {_KEPT}"
    if interrupts.became:
        return State.INTERRUPTED, f"{interrupts.why} The code made {name} of the interrupt. {_KEPT}"
    if is_clean_exit(name, reply.content.get("evalue")) and not interrupts.may_have_reached:
        return State.OK, both(_EXITED, remark)
    said = both(_before_the_error(interrupts, name), remark)
    return State.ERROR, both(said, _told_elsewhere(execution, reply))


def told_of_death(execution: Execution, problem: str | None) -> str | None:
    """What is to be said of a run whose kernel ended."""
    told = crash_in_words(problem, execution.code, execution.id) if problem else problem
    return both(f"Before that: {execution.interrupt}", told) if execution.interrupt else told


def both(first: str | None, second: str | None) -> str | None:
    """Two remarks, of which there may be fewer, as one."""
    return " ".join(filter(None, (first, second))) or None


def _went_on(interrupts: _Interrupts) -> str | None:
    if interrupts.reached:
        return (
            f"{interrupts.why} That did not end it: the code caught the interrupt, or only what it waited "
            "for was ended, and it went on to its own end. What it was to do may be incomplete."
        )
    if not interrupts.asked:
        return None
    came = "came too late" if interrupts.reached == 0 else "came too late, or the code caught it"
    return f"{interrupts.asked} It ended by itself: the interrupt {came}."


def _before_the_error(interrupts: _Interrupts, name: str) -> str | None:
    """What an error has to do with interrupts."""
    if interrupts.may_have_reached:
        return f"{interrupts.why} {name} was raised after the interrupt, and may be what came of it."
    if interrupts.asked:
        return f"{interrupts.asked} The interrupt came too late: it had failed by itself."
    if name == "KeyboardInterrupt":
        return "No interrupt was asked for: the code raised this itself, or a program sent the kernel SIGINT."
    return None


def _told_elsewhere(execution: Execution, reply: Reply) -> str | None:
    """What failed, where no output says so: IPython prints an ExceptionGroup or a UsageError on stderr."""
    outputs = execution.outputs.to_notebook()
    if any(output["output_type"] == "error" for output in outputs):
        return None
    name, value = reply.content.get("ename"), reply.content.get("evalue")
    first_line = f"{name}: {value}".partition("\n")[0]
    if any(first_line in str(output.get("text", "")) for output in outputs):
        return None
    said = ": ".join(str(part)[:_LONGEST_SAID] for part in (name, value) if part)
    return f"It raised {said}" if said else None
