"""What a journal says of a session's past: enough to go on where an earlier hub stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kernelexec.model.clock import Times
from kernelexec.model.execution import Execution, Kind, Overflow, State
from kernelexec.model.limits import Limits
from kernelexec.model.outputs import display_id
from kernelexec.model.widgets import WidgetStates, notebook_metadata
from kernelexec.recording.journal import ClosedJournal, Journal
from kernelexec.recording.journal_lines import LATER, read
from kernelexec.recording.ledger import Ledger

# What an execution is after such a line.
_STATES = {"sent": State.SENT, "aborted": State.QUEUED, "begun": State.SENT}


@dataclass
class History:
    """A session's past, without the outputs of what is long written."""

    last_number: int = 0
    generation: int = 0
    kernel_id: str | None = None  # of the last kernel, in the registry
    directory: str | None = None  # where it worked; None: an earlier version's, which did not say
    kernel_ended: bool = True  # false: the last kernel that was started is not known to have ended
    last_end: str | None = None  # why the last kernel that ended did so
    notebooks: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # metadata by generation
    numbers: dict[int, int] = field(default_factory=dict)  # of the notebook that a generation's cells are in
    kept: set[int] = field(default_factory=set)  # generations with something that was run
    last_used: datetime | None = None  # when something was last submitted, or ended
    unfinished: list[Execution] = field(default_factory=list)
    unwritten: list[Execution] = field(default_factory=list)  # not in its notebook yet
    begun: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # what unfinished jobs recorded
    outdated: set[int] = field(default_factory=set)  # whose cells do not show the latest outputs
    ledgers: dict[int, Ledger] = field(default_factory=dict)  # what is in the notebooks, by number
    displays: dict[str, set[int]] = field(default_factory=dict)  # display id -> executions of the last kernel
    widgets: dict[int, WidgetStates] = field(default_factory=dict)  # by generation
    heard: dict[int, int] = field(default_factory=dict)  # serial of the last message of an unfinished one
    sent: dict[str, int] = field(default_factory=dict)  # all that the last kernel was sent: msg_id, number
    # The last for each caller and each id of a request of its; both are None in journals of earlier versions.
    requests: dict[tuple[str | None, str | None], int] = field(default_factory=dict)
    opened: str | None = None  # the path of the person's notebook that it works in
    opened_by: dict[str, str] = field(default_factory=dict)  # when each caller has opened it
    last_cell: str | None = None  # of that notebook, which something was run of
    set_aside: list[str] = field(default_factory=list)  # unreadable notebooks that nobody was told of
    limits: Limits = field(default_factory=Limits)  # of the caller who submitted last
    parts: dict[int, dict[int, State]] = field(default_factory=dict)  # of replays that have no end yet
    later: int = 0  # lines of a format that only a later version knows


def read_history(
    journal: Journal,
    session: str,
    storage_dir: Path,
    also: Callable[[Mapping[str, Any]], None] = lambda record: None,
) -> History:
    """The history in a journal; empty for a new one. `also` gets each event but for outputs, in order."""
    history = History()
    executions: dict[int, Execution] = {}
    for record in journal.records(with_displays=True):
        _take(history, executions, record, session, storage_dir)
        if record["event"] != "output":
            also(record)
    history.unfinished = [execution for execution in executions.values() if not execution.is_final]
    wanted = frozenset(executions)
    if wanted:
        for record in journal.records_of(wanted):
            if record["event"] == "output":
                executions[record["n"]].outputs.add(record["type"], record["content"])
                _hear(history, record["n"], record)
    history.unwritten = [
        execution
        for execution in executions.values()
        if execution.is_final and execution.state is not State.NOT_RUN
    ]
    return history


def load_execution(
    journal: Journal | ClosedJournal, session: str, storage_dir: Path, number: int
) -> Execution | None:
    """One execution with its outputs, from the journal; None if there was none with this number."""
    return load_executions(journal, session, storage_dir, [number]).get(number)


def load_executions(
    journal: Journal | ClosedJournal, session: str, storage_dir: Path, numbers: Iterable[int]
) -> dict[int, Execution]:
    """Executions with their outputs, from the journal, by number; those that are not there are missing."""
    wanted = frozenset(numbers)
    history = History()
    executions: dict[int, Execution] = {}
    for record in journal.records_of(wanted):
        number = record["n"]
        if record["event"] == "output" and number in executions:
            executions[number].outputs.add(record["type"], record["content"])
        else:
            _take(history, executions, record, session, storage_dir)
    return executions


@dataclass(frozen=True)
class PastNotebook:
    """A notebook of a session and the kernels whose cells are in it, as its journal has it."""

    metadata: Mapping[str, Any]  # the notebook's
    later: Mapping[int, Mapping[str, Any]]  # by generation: the same of kernels that came later
    executions: Sequence[Execution]  # all that were submitted to these kernels, with their outputs
    written: frozenset[int]  # numbers of those whose cells are known to be in the notebook
    revision: int  # of the notebook
    widgets: Mapping[str, Any]

    @property
    def marks(self) -> Mapping[str, Any]:
        """What the notebook's metadata says beside `metadata`."""
        last = list(self.later.values())[-1:] or [self.metadata]
        directory = last[0].get("kernelexec", {}).get("directory")
        where = {} if directory is None else {"directory": directory}
        marks: dict[str, Any] = {"kernelexec": {"revision": self.revision, **where}}
        return {**marks, "widgets": self.widgets} if self.widgets else marks


def load_notebook(path: Path, session: str, storage_dir: Path, number: int) -> PastNotebook | None:
    """What belongs to a notebook, from the journal at `path`, which a hub may be writing; None if it has none
    with this number.

    Raises:
        OSError: the journal cannot be read.
    """
    history = History()
    executions: dict[int, Execution] = {}
    ledger = Ledger()
    kernels = kernels_of_notebook(path, number)
    for record in read(path, outputs_of=None):
        if record["event"] == "written":
            if record.get("generation", number) in kernels:
                ledger.read(record)
        elif record["event"] == "submitted" and record["generation"] not in kernels:
            continue
        elif record["event"] == "output":
            if record.get("n") in executions:
                executions[record["n"]].outputs.add(record["type"], record["content"])
        else:
            _take(history, executions, record, session, storage_dir)
    if not executions and number not in history.notebooks:
        return None
    return PastNotebook(
        metadata=history.notebooks.get(number, {}),
        later={g: said for g, said in history.notebooks.items() if g in kernels and g != number},
        executions=list(executions.values()),
        written=ledger.numbers,
        revision=ledger.revision,
        widgets=notebook_metadata(history.widgets[g] for g in sorted(kernels) if g in history.widgets),
    )


def kernels_of_notebook(path: Path, number: int) -> frozenset[int]:
    """The generations whose cells are in a notebook.

    Raises:
        OSError: the journal cannot be read.
    """
    kernels = (record for record in read(path) if record["event"] == "kernel")
    return frozenset({number, *(each["generation"] for each in kernels if each.get("notebook") == number)})


def notebook_number(path: Path, generation: int) -> int:
    """Of the notebook that a generation's cells are in.

    Raises:
        OSError: the journal cannot be read.
    """
    kernels = (record for record in read(path) if record["event"] == "kernel")
    found = [each["notebook"] for each in kernels if each["generation"] == generation and "notebook" in each]
    return next((number for number in found if isinstance(number, int)), generation)


@dataclass
class Submitted:
    """What the journal says of a script, but for what it came to print."""

    note: str | None
    state: State


def read_submissions(path: Path, folder: str) -> dict[str, Submitted]:
    """The submissions whose scripts are in a folder of the storage directory, by the script's name.

    Raises:
        OSError: the journal cannot be read.
    """
    found: dict[str, Submitted] = {}
    names: dict[int, str] = {}
    for record in read(path):
        if record["event"] == "submitted" and str(record["script"]).rpartition("/")[0] == folder:
            name = names[record["n"]] = record["script"].rpartition("/")[2]
            found[name] = Submitted(record["note"], State.QUEUED)
        elif record["event"] == "finished" and record["n"] in names:
            found[names[record["n"]]].state = State.read(record["state"])
    return found


def read_directory(path: Path, generation: int) -> str | None:
    """Where the kernel of a generation worked; None if the journal does not say.

    Raises:
        OSError: the journal cannot be read.
    """
    for record in read(path):
        if record["event"] == "kernel" and record["generation"] == generation:
            directory = record.get("directory")
            return directory if isinstance(directory, str) else None
    return None


def unwritten_numbers(path: Path, number: int) -> set[int]:
    """The executions that have ended and are not known to be in the notebook that they belong to.

    Raises:
        OSError: the journal cannot be read.
    """
    ours: set[int] = set()
    ended: set[int] = set()
    kernels = kernels_of_notebook(path, number)
    for record in read(path):
        if record["event"] == "submitted" and record["generation"] in kernels:
            ours.add(record["n"])
        elif record["event"] == "finished" and record["state"] != State.NOT_RUN.value:
            ended.add(record["n"])
        elif record["event"] == "written":
            ended.difference_update(record["numbers"], record.get("changed", ()))
    return ours & ended


def _take(
    history: History,
    executions: dict[int, Execution],
    record: Mapping[str, Any],
    session: str,
    storage_dir: Path,
) -> None:
    """One event; `executions` holds those that are not yet known to be in the notebook."""
    event = record["event"]
    if event == "kernel":
        history.generation = record["generation"]
        history.kernel_id = record.get("kernel_id")
        history.directory = record.get("directory")
        history.kernel_ended, history.sent, history.displays = False, {}, {}
        history.notebooks[history.generation] = record["notebook_metadata"]
        history.numbers[history.generation] = record.get("notebook", history.generation)
    elif event == "died":
        history.kernel_ended, history.last_end = True, record["cause"]
    elif event == LATER:
        history.later += 1
        history.generation = max(history.generation, record.get("generation", 0))
        history.last_number = max(history.last_number, record.get("n", 0))
    elif event in ("notebook", "set_aside", "told_set_aside"):
        _take_notebook(history, record)
    elif "n" in record:
        _take_execution(history, executions, record, session, storage_dir)
    elif event in ("comm", "captured"):
        _take_widget(history.widgets.setdefault(history.generation, WidgetStates()), record)
        _hear(history, history.sent.get(record.get("parent") or ""), record)
    elif event == "written":
        _forget(executions, (*record["numbers"], *record.get("changed", ())))
        history.outdated.difference_update(record["numbers"], record.get("changed", ()))
        if "generation" in record:
            number = history.numbers.get(record["generation"], record["generation"])
            history.ledgers.setdefault(number, Ledger()).read(record)


def _take_notebook(history: History, record: Mapping[str, Any]) -> None:
    if record["event"] == "set_aside":
        history.set_aside.append(record["file"])
    elif record["event"] == "told_set_aside":
        history.set_aside.clear()
    else:
        if history.opened != record["path"]:
            history.opened_by.clear()
        history.opened = record["path"]
        history.opened_by[record["by"]] = record.get("time", "")


def _hear(history: History, number: int | None, record: Mapping[str, Any]) -> None:
    if number is not None:
        history.heard[number] = max(record.get("s", 0), history.heard.get(number, 0))


def _take_widget(widgets: WidgetStates, record: Mapping[str, Any]) -> None:
    if record.get("closed"):
        widgets.close(record["content"])
    elif record["event"] == "comm":
        widgets.take(record["content"], record["buffers"])
    else:
        widgets.capture(record["comm"], record["type"], record["content"], record.get("parent"))


def _take_execution(
    history: History,
    executions: dict[int, Execution],
    record: Mapping[str, Any],
    session: str,
    storage_dir: Path,
) -> None:
    event, number = record["event"], record["n"]
    history.last_number = max(
        history.last_number, number
    )  # of any line: its submission may not be understood
    if event == "submitted":
        history.requests[record.get("caller"), record.get("request")] = number
        history.last_used = _moment(record["time"])
        history.last_cell = record.get("cell") or history.last_cell
        history.limits = Limits.read(record.get("limits", {}))
        executions[number] = _submitted(record, session, storage_dir)
        if record.get("within") is not None:
            history.parts.setdefault(record["within"], {})[number] = State.QUEUED
    elif event == "output":
        identity = display_id(record["content"])
        if identity is not None and record["type"] != "update_display_data":
            history.displays.setdefault(identity, set()).add(number)
    elif event == "outdated":
        history.outdated.add(number)
    elif number in executions:
        _take_step(history, executions[number], record)
        for parts in history.parts.values():
            if number in parts:
                parts[number] = executions[number].state
    if event == "sent":
        history.sent[record["msg_id"]] = number


def _take_step(history: History, execution: Execution, record: Mapping[str, Any]) -> None:
    """What became of an execution."""
    event = record["event"]
    execution.state = _STATES.get(event, execution.state)
    if event in ("sent", "begun"):
        execution.sent = _moment(record.get("time"))
    if event == "begun":
        history.begun[execution.number] = record
    elif event == "interrupt_asked":
        execution.interrupt = record["why"]
    elif event == "overflow":
        execution.overflow = Overflow.from_json(record["overflow"])
    elif event == "finished":
        _finish(execution, record)
        history.last_used = _moment(record.get("time")) or history.last_used
        if execution.state is not State.NOT_RUN:
            history.kept.add(execution.generation)
        history.begun.pop(execution.number, None)
        history.parts.pop(execution.number, None)


def _submitted(record: Mapping[str, Any], session: str, storage_dir: Path) -> Execution:
    return Execution(
        session=session,
        number=record["n"],
        generation=record["generation"],
        code=record["code"],
        submitted=datetime.fromisoformat(record["time"]),
        kind=Kind.read(record.get("kind", "")),
        label=record["label"],
        source=record.get("source"),
        note=record["note"],
        max_seconds=record.get("max_seconds"),
        caller=record.get("caller"),
        script=storage_dir / record["script"] if record["script"] else None,
        cell=record.get("cell"),
        after=record.get("after"),
    )


def _finish(execution: Execution, record: Mapping[str, Any]) -> None:
    execution.state = State.read(record["state"])
    execution.problem = record["problem"]
    execution.error = record.get("error")
    execution.lost = record.get("lost")
    execution.execution_count = record["execution_count"]
    execution.started = _moment(record["started"])
    execution.finished = _moment(record["finished"])
    execution.timing = Times(record["timing"])
    execution.overflow = Overflow.from_json(record["overflow"]) if record["overflow"] else None


def _forget(executions: dict[int, Execution], numbers: Iterable[int]) -> None:
    for number in numbers:
        if number in executions and executions[number].is_final:
            del executions[number]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
