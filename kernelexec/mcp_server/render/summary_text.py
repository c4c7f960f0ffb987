"""The reply of list_executions."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kernelexec.model.execution import Execution, Kind, State
from kernelexec.model.text import one_line, plain
from kernelexec.recording.summaries import Summary

_LONGEST = 100  # characters of a line of code
_WIDEST = 24  # characters of an outcome: a longer name is cut
_NAMES = {State.SENT: "running", State.RUNNING: "running", State.NOT_RUN: "not run"}


def describe_summaries(
    session_id: str, summaries: Sequence[Summary], limit: int, current: Execution | None = None
) -> str:
    """The last submissions, the newest last, and what happened between them. `current`: what has its turn."""
    submissions = [summary for summary in summaries if summary.number is not None]
    if not submissions:
        return f"EXECUTIONS: nothing has been run in session {session_id} yet."
    shown = submissions[-limit:]
    first = summaries.index(shown[0])
    count = (
        f"all {len(shown)}"
        if len(shown) == len(submissions)
        else f"the last {len(shown)} of {len(submissions)}"
    )
    lines = [
        f"EXECUTIONS of session {session_id}: {count}, the newest last; times are {_zone(shown[-1].time)}.",
        f'Details: wait_for_execution(execution_id="{session_id}/{shown[-1].number}"), or read_output.',
        "",
    ]
    width = len(str(shown[-1].number))
    asking = current.number if current is not None and current.question is not None else None
    outcomes = [_outcome(summary, asking) for summary in summaries[first:]]
    widths = width, min(_WIDEST, max(map(len, outcomes)))
    lines += [
        _line(summary, outcome, *widths) for summary, outcome in zip(summaries[first:], outcomes, strict=True)
    ]
    return "\n".join(lines)


def _outcome(summary: Summary, asking: int | None) -> str:
    if summary.number is None:
        return ""
    if summary.number == asking:
        return "waits for input"
    if summary.state is State.ERROR and summary.error:
        return one_line(summary.error)[:_WIDEST]
    if summary.state is State.OK and summary.error:  # it ended well, but showed an error
        return f"ok, but {one_line(summary.error)}"[:_WIDEST]
    state = summary.state or State.QUEUED
    return _NAMES.get(state) or state.value


def _line(summary: Summary, outcome: str, width: int, widest: int) -> str:
    when = summary.time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if summary.number is None:
        return f"{'':{width}}  {when}  -- {_cut(summary.text)}"
    seconds = "" if summary.seconds is None else f"{summary.seconds:.1f} s"
    what = "" if summary.kind is Kind.CODE else f"[{summary.kind.value}] "
    label = f"({summary.label}) " if summary.label and summary.label != summary.kind.value else ""
    note = f"  -- note: {_cut(summary.note)}" if summary.note else ""
    said = f"{what}{_cut(label + summary.text)}{note}"
    return f"{summary.number:{width}}  {when}  {outcome:<{widest}} {seconds:>8}  {said}"


def _zone(moment: datetime) -> str:
    zone = moment.astimezone().strftime("%Z")
    return zone if zone == "UTC" else f"this machine's ({zone})"


def _cut(text: str) -> str:
    text = plain(" ".join(text.split()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
