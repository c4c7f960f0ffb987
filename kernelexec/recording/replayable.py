"""What a replay can run again: which submissions ran well in which kernel, from the journal.

`choose` is the rule which kernels a replay is of. Everything else that was run in them is left out, and
named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kernelexec.model.execution import LOST_WITH_KERNEL, Kind, State
from kernelexec.model.first_line import first_line
from kernelexec.model.shown_errors import is_error
from kernelexec.model.variable_names import NO_NAMES, VariableNames
from kernelexec.recording.journal import Journal

_OF_THE_USER = "of-the-user"  # what the script is called
_WHY_NOT = {
    State.ERROR: "failed",
    State.INTERRUPTED: "interrupted",
    State.DIED: "died",
    State.UNKNOWN: "its end was not seen",
    State.NOT_RUN: "not run",
}


@dataclass(frozen=True)
class Success:
    """A submission that ran well."""

    number: int  # 0: another client of the kernel ran it
    code: str
    label: str | None
    note: str | None
    source: str | None = None  # the code file that it was
    count: int | None = None  # the kernel's, of another client's

    @property
    def name(self) -> str:
        """As a replay calls it."""
        return str(self.number) if self.number else f"the user's In [{self.count or ' '}]"

    @property
    def first_line(self) -> str:
        return first_line(self.code)


@dataclass(eq=False)
class Runs:
    """What was run in one kernel."""

    generation: int
    successes: list[Success] = field(default_factory=list)
    left_out: dict[str, list[int]] = field(default_factory=dict)  # why -> numbers
    foreign: int = 0  # cells of other clients, such as JupyterLab, that did not succeed
    names: VariableNames = NO_NAMES  # of the variables that were lost with it
    was_wished: bool = False  # its end
    has_replay: bool = False  # something of an earlier one was run again in it
    has_whole_replay: bool = False  # all of it, and well


@dataclass(frozen=True)
class Choice:
    """What a replay runs again, and what it does not."""

    generations: tuple[int, ...]
    successes: tuple[Success, ...]
    left_out: Mapping[str, tuple[int, ...]]
    foreign: int
    names: VariableNames  # of the variables that were lost with those kernels
    other: Runs | None  # the kernel before these, where something had succeeded in it that is not taken


def choose(journal: Journal, last: int, wanted: int | None = None) -> Choice | None:
    """What is to be run again; None if there was no such kernel. `last`: the kernel that is here or was last.

    Where nobody has named one it is the last, with those before it that died: from the first in which
    no less had succeeded than in all that came after it. So a kernel that died with an hour's work is taken
    although a line or two was run since; one that was rebuilt by hand since is not, be it with more runs or
    with the same code.
    """
    found = read_runs(journal)
    if wanted is not None and wanted not in found:
        return None
    taken = [wanted] if wanted is not None else _chain(found, last)
    runs = [found[each] for each in taken if each in found]
    left_out: dict[str, tuple[int, ...]] = {}
    for one in runs:
        for why, numbers in one.left_out.items():
            left_out[why] = (*left_out.get(why, ()), *numbers)
    before = found.get(taken[0] - 1)
    is_missed = before is not None and before.successes and not any(one.has_whole_replay for one in runs)
    return Choice(
        generations=tuple(taken),
        successes=tuple(success for one in runs for success in one.successes),
        left_out=left_out,
        foreign=sum(one.foreign for one in runs),
        names=VariableNames.of_all(one.names for one in runs),
        other=before if is_missed and wanted is None else None,
    )


def _chain(found: Mapping[int, Runs], last: int) -> list[int]:
    first = generation = last
    later: list[str] = []  # the code of what came after
    while generation in found:
        runs = found[generation]
        codes = [success.code for success in runs.successes]
        if generation != last and len(codes) >= len(later) and not set(codes) <= set(later):
            first = generation
        later += codes
        before = found.get(generation - 1)
        if before is None or (later and (runs.has_replay or before.was_wished)):
            break
        generation -= 1
    return list(range(first, last + 1))


def read_runs(journal: Journal) -> dict[int, Runs]:
    """What was run in each kernel, by its generation."""
    found: dict[int, Runs] = {}
    submitted: dict[int, tuple[Runs, Success | None]] = {}
    others: dict[str, tuple[Runs, Success]] = {}  # what other clients run, by msg_id
    present = 0
    for record in journal.records():
        match record["event"]:
            case "kernel":
                present = record["generation"]
                found.setdefault(present, Runs(present))
            case "submitted":
                generation = record["generation"]
                runs = found.setdefault(generation, Runs(generation))
                _submitted(record, runs, submitted)
            case "finished" if record["n"] in submitted:
                _finished(record, *submitted.pop(record["n"]))
            case "other" if present in found:
                _other(record, found[present], others)
            case "other_ended" if record.get("msg_id") in others:
                _other_ended(record, *others.pop(record["msg_id"]))
            case "died" if record.get("generation", present) in found:
                runs = found[record.get("generation", present)]
                runs.names = VariableNames.told_by(record) or NO_NAMES
                runs.was_wished = bool(record.get("wished", "on request" in record["cause"]))
            case _:
                pass
    return found


def _submitted(
    record: Mapping[str, Any], runs: Runs, submitted: dict[int, tuple[Runs, Success | None]]
) -> None:
    kind = record.get("kind", Kind.CODE)
    if kind == Kind.REPLAY:
        runs.has_replay = True
        submitted[record["n"]] = runs, None
    elif kind == Kind.CODE:
        success = Success(record["n"], record["code"], record["label"], record["note"], record.get("source"))
        submitted[record["n"]] = runs, success


def _other(record: Mapping[str, Any], runs: Runs, others: dict[str, tuple[Runs, Success]]) -> None:
    runs.foreign += 1  # until it has succeeded
    code, count = record.get("code"), record.get("count")
    if isinstance(code, str) and "msg_id" in record:
        others[record["msg_id"]] = runs, Success(0, code, _OF_THE_USER, None, count=count)


def _other_ended(record: Mapping[str, Any], runs: Runs, success: Success) -> None:
    if not any(map(is_error, record.get("outputs", ()))):
        runs.foreign -= 1
        runs.successes.append(success)


def _finished(record: Mapping[str, Any], runs: Runs, success: Success | None) -> None:
    state = State.read(record["state"])
    if success is None:  # a replay
        runs.has_whole_replay = runs.has_whole_replay or state is State.OK
        return
    if state is State.OK and record.get("lost") != LOST_WITH_KERNEL:
        runs.successes.append(success)
        return
    why = "it ended its kernel" if state is State.OK else _WHY_NOT[state]
    if state is State.ERROR and record.get("error"):
        why = str(record["error"])
    runs.left_out.setdefault(why, []).append(success.number)


def in_words(left_out: Mapping[str, Iterable[int]]) -> str:
    """For example `3, 7 (ValueError), 9 (interrupted)`."""
    return ", ".join(f"{_ranges(sorted(numbers))} ({why})" for why, numbers in left_out.items())


def _ranges(numbers: list[int]) -> str:
    """For example `3, 7-12`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 2 else ", ".join(map(str, p)) for p in parts)
