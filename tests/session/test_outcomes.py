"""What a run's end is called, and what is said of an interrupt that came to it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from kernelexec.kernels.kernel import Reply
from kernelexec.model.execution import Execution, State
from kernelexec.session.outcomes import Outcome, told_by, told_of_death
from tests.fakes import DATE

ASKED = "Interrupted after max_seconds=1."


def outcome(ename: str | None, asked: str | None = None, **said: Any) -> Outcome:
    """Of a run that ended with this error, or well; `said`: what our kernel says of interrupts."""
    moment = datetime(2026, 11, 23, tzinfo=timezone.utc)
    execution = Execution("s@e", 1, 1, "code", moment, interrupt=asked)
    if ename is not None:
        execution.outputs.add("error", {"ename": ename, "evalue": "", "traceback": []})
    content = {"status": "ok"} if ename is None else {"status": "error", "ename": ename, "evalue": ""}
    reply = Reply(content["status"], content, DATE, {"kernelexec": said} if said else {})
    return told_by(execution, reply, None)


@pytest.mark.parametrize(
    ("ename", "asked", "said", "state", "words"),
    [
        ("KeyboardInterrupt", ASKED, {"interrupts": 1}, State.INTERRUPTED, [ASKED, "Variables are kept"]),
        ("CancelledError", ASKED, {"interrupts": 1}, State.INTERRUPTED, [ASKED]),
        ("KeyboardInterrupt", None, {"interrupts": 1}, State.INTERRUPTED, ["not by this client"]),
        (
            "RuntimeError",
            ASKED,
            {"interrupts": 1, "became": True},
            State.INTERRUPTED,
            [ASKED, "RuntimeError"],
        ),
        (
            "SystemExit",
            None,
            {"interrupts": 1, "became": True},
            State.INTERRUPTED,
            ["not by this", "SystemExit"],
        ),
        (
            "ValueError",
            ASKED,
            {"interrupts": 2, "became": False},
            State.ERROR,
            [ASKED, "after the interrupt"],
        ),
        ("ValueError", ASKED, {"interrupts": 0}, State.ERROR, [ASKED, "too late"]),
        ("KeyboardInterrupt", None, {"interrupts": 0}, State.ERROR, ["the code raised this itself"]),
        ("KeyboardInterrupt", ASKED, {"interrupts": 0}, State.ERROR, [ASKED, "too late"]),
        ("CancelledError", None, {"interrupts": 0}, State.ERROR, []),
        ("SystemExit", None, {"interrupts": 0}, State.OK, ["sys.exit(0), which is no error"]),
        ("SystemExit", ASKED, {"interrupts": 1}, State.ERROR, [ASKED, "after the interrupt"]),
        (None, ASKED, {"interrupts": 1}, State.OK, [ASKED, "did not end it", "may be incomplete"]),
        (None, None, {"interrupts": 1}, State.OK, ["not by this client", "did not end it"]),
        (None, ASKED, {"interrupts": 0}, State.OK, [ASKED, "came too late."]),
        (None, None, {"interrupts": 0}, State.OK, []),
    ],
)
def test_of_an_interrupt_it_is_told_who_asked_for_it_and_what_it_became(
    ename: str | None, asked: str | None, said: dict[str, Any], state: State, words: list[str]
) -> None:
    ended = outcome(ename, asked, **said)
    assert ended.state is state
    assert all(word in (ended.problem or "") for word in words), ended.problem
    assert bool(ended.problem) is bool(words)
    assert ended.was_interrupted is (said["interrupts"] > 0)


@pytest.mark.parametrize(
    ("ename", "asked", "state", "words"),
    [
        ("KeyboardInterrupt", None, State.INTERRUPTED, "not by this client"),
        ("CancelledError", ASKED, State.INTERRUPTED, "Variables are kept"),
        ("CancelledError", None, State.ERROR, ""),
        ("RuntimeError", ASKED, State.ERROR, "after the interrupt"),
        (None, ASKED, State.OK, "too late, or the code caught it"),
    ],
)
def test_of_a_kernel_that_does_not_tell_only_what_is_known_is_said(
    ename: str | None, asked: str | None, state: State, words: str
) -> None:
    ended = outcome(ename, asked)
    assert (ended.state, ended.was_interrupted) == (state, False)
    assert words in (ended.problem or "")


def test_of_a_kernel_that_ends_after_an_interrupt_both_are_told() -> None:
    execution = Execution("s@e", 1, 1, "code", datetime(2026, 11, 23, tzinfo=timezone.utc))
    assert told_of_death(execution, "It ended.") == "It ended."
    execution.interrupt = ASKED
    assert told_of_death(execution, "It ended.") == f"Before that: {ASKED} It ended."
