"""What a reply says before the output: what happened, whether the code ran, what to do next."""

from __future__ import annotations

import os
from collections.abc import Sequence

from kernelexec.hub.caller import Caller
from kernelexec.hub.kernels import why_not_in
from kernelexec.mcp_server.render.hints import error_of
from kernelexec.model.excerpts import clip
from kernelexec.model.execution import ALL_LOST, Execution, Kind, Question, State, seconds_of
from kernelexec.model.quantities import local_time, readable_seconds
from kernelexec.model.shown_errors import error_names
from kernelexec.model.text import not_a_heading, one_line, plain
from kernelexec.recording.journal import now
from kernelexec.session.session import Session

_PROBLEM_LIMIT = 3_000  # characters of why a run did not end well, with a dead kernel's stderr
_DID = {
    Kind.CODE: "ran",
    Kind.INSTALL: "finished",
    Kind.REPLAY: "(a replay) finished",
    Kind.CELLS: "(all cells) ran",
}
_FAILED = {Kind.REPLAY: "(a replay) stopped", Kind.CELLS: "(cells) failed"}
_WHOLES = (Kind.REPLAY, Kind.CELLS)
_LONGEST_PROMPT = 500  # characters of what running code asks
_LONGEST_NAME = 100  # characters of an exception's name
OF_THE_USERS = (
    "the user's own, with all its variables: you are joined to it, and only the user ends or restarts it. An "
    "interrupt is best effort: one that comes late may hit the user's cell"
)
_NAMED = 3  # exceptions that the verdict names


def opening(
    execution: Execution,
    session: Session,
    caller: Caller,
    hints: Sequence[str] = (),
    reply: int | None = None,
) -> list[str]:
    """The lines before the output. What the caller is told here once is not told again."""
    lines = [*_explanation(execution, session), *hints]
    kernel: list[str] = []
    lost_since: Sequence[int] = ()
    if not caller.gone:  # else nobody would hear it
        telling = session.telling(caller.identity, execution, reply=reply)
        lost_since = telling.lost_generations
        if telling.is_first:
            kernel = _kernel_lines(execution, session, caller, telling.knew_another)
        lines += [f"News: {news}" for news in telling.notices]
        lines += [
            f"News: the notebook could not be read (changed by hand?) and is now called {name}; "
            "a new one was begun."
            for name in session.recorder.notebooks.take_set_aside()
        ]
        lines += caller.take_notices()
    lines += kernel or _elsewhere(session)
    if session.recorder.notebook_problem:
        lines.append(
            f"News: the notebook cannot be written ({session.recorder.notebook_problem}); "
            "the journal has everything, and the notebook follows when it can."
        )
    return [_verdict(execution, session, lost_since), *lines]


def _verdict(execution: Execution, session: Session, lost_since: Sequence[int]) -> str:
    """What happened, what is lost, and where the code is. `lost_since`: kernels whose end is news, too."""
    said = _what_happened(execution, session)
    if execution.lost and execution.state not in (State.DIED, State.NOT_RUN):
        said += f", {'but' if execution.state is State.OK else 'and'} {execution.lost}"
    elif execution.generation in lost_since:
        said += "; its kernel has ended since, and all variables are lost"
    elif lost_since:
        said += f"; the kernel of generation {lost_since[-1]} has ended, and its variables are lost"
    if execution.script is not None:
        cell = f"; cell {execution.cell}" if execution.cell else ""
        return f"{said}; saved as {execution.script}{cell}"
    return f"{said}; not saved" if execution.kind is Kind.CODE else said


def _what_happened(execution: Execution, session: Session) -> str:
    seconds = _seconds(execution)
    match execution.state:
        case State.OK:
            did = _DID[execution.kind]
            notes = f"{_in_spite_of(execution)}{_but_an_error(execution, session)}"
            said = f"OK: {execution.id} {did} in {seconds}{notes}"
        case State.ERROR:
            has_name = execution.kind is Kind.CODE or execution.error
            error = f" with {_error_name(execution)}" if has_name else ""
            failed = _FAILED.get(execution.kind, "failed")
            said = f"ERROR: {execution.id} {failed} after {seconds}{error}"
        case State.INTERRUPTED:
            said = f"INTERRUPTED: {execution.id} was stopped after {seconds}{_made_of_it(execution)}"
        case State.DIED:
            said = f"DIED: {execution.id} {_how_far(execution)}, and {execution.lost or ALL_LOST}"
        case State.UNKNOWN:
            said = f"UNKNOWN: nobody saw how {execution.id} ended"
        case State.NOT_RUN:
            why = f", because its kernel had ended: {execution.lost}" if execution.lost else ""
            said = f"NOT RUN: {execution.id}{why}"
        case State.QUEUED:
            said = f"QUEUED: {execution.id} has not begun; {_what_comes_first(execution, session)}"
        case State.SENT:
            is_lost = session.kernel is not None and session.kernel.lost is not None
            with_it = "is with the kernel, which has not said yet that it has begun"
            down = "is for a kernel whose link is down; whether it has begun is not known"
            said = f"QUEUED: {execution.id} {down if is_lost else with_it}"
        case _:
            said = _going_on(execution, seconds)
    return said


def _how_far(execution: Execution) -> str:
    """How far a run came whose kernel ended. Without a sign of its begin nobody knows how long it ran."""
    after = f" after {_seconds(execution)}" if execution.started is not None else ""
    if any(output["output_type"] == "execute_result" for output in execution.outputs.to_notebook()):
        return f"had come to its result when its kernel ended{after}"
    return f"did not finish: its kernel ended{after}"


def _in_spite_of(execution: Execution) -> str:
    """That an interrupt has come to a run that went on to its end: it may have left out what it was to do."""
    return ", although it was interrupted" if execution.was_interrupted else ""


def _made_of_it(execution: Execution) -> str:
    """What the code made of the interrupt that ended it."""
    name = _error_name(execution)
    return "" if name in ("KeyboardInterrupt", "CancelledError", "an error") else f" and ended with {name}"


def _but_an_error(execution: Execution, session: Session) -> str:
    """An error that is shown below although the run ended well, as of a script in %run."""
    captured = session.recorder.widgets_of(execution).errors(session.executions.msg_id(execution))
    names = [*error_names(execution.outputs.to_notebook()), *captured]
    if not names:
        return ""
    listed = ", ".join(
        one_line(name)[:_LONGEST_NAME] or "an error" for name in list(dict.fromkeys(names))[:_NAMED]
    )
    return f", but showed {'an error' if len(names) == 1 else f'{len(names):,} errors'}: {listed}"


def _going_on(execution: Execution, seconds: str) -> str:
    if execution.question is None:
        return f"RUNNING: {execution.id} has been running for {seconds} and goes on"
    prompt = plain(execution.question.prompt).strip()[:_LONGEST_PROMPT]
    return f"WAITING FOR INPUT: {execution.id} has been running for {seconds} and asks {prompt!r}"


def _explanation(execution: Execution, session: Session) -> list[str]:
    if execution.is_final:
        return (
            [clip(not_a_heading(plain(execution.problem)), _PROBLEM_LIMIT, "the log has more")]
            if execution.problem
            else []
        )
    if execution.question is not None:
        return [*_hindrances(execution, session), _how_to_answer(execution, execution.question)]
    return [
        *_hindrances(execution, session),
        f'Get the rest with wait_for_execution(execution_id="{execution.id}"). Do not submit it again: '
        "it would run twice.",
    ]


def _how_to_answer(execution: Execution, question: Question) -> str:
    in_terminal = f"kernelexec input {execution.id}"
    if question.password:
        return (
            "It asks for a password, which must not pass through you. Ask the user to type it in a terminal: "
            f'{in_terminal}. Then call wait_for_execution(execution_id="{execution.id}").'
        )
    answer = f'Answer with send_input(execution_id="{execution.id}", text=...)'
    if question.is_secret:
        return f"If that is a secret, ask the user to type it in a terminal: {in_terminal}. Else: {answer}."
    end = f'interrupt_kernel(session="{execution.session}")'
    return f"{answer}, or end the run: {end}. The user can answer too: {in_terminal}"


def _hindrances(execution: Execution, session: Session) -> list[str]:
    """What keeps a run from going on, or from ending."""
    kernel = session.kernel
    lost = kernel.lost if kernel is not None else None
    if lost is not None:
        since = f"The link to its kernel has been down since {local_time(lost.since)}: {lost.why}"
        goes_on = execution.state not in (State.QUEUED, State.SENT)
        unknown = f"It is not known {'whether the run goes on' if goes_on else 'what its kernel does'}; "
        unknown += "what it prints is told once the link is up again."
        interrupt = (
            "The interrupt may not have reached it: ask for it again then." if execution.interrupt else ""
        )
        return [" ".join(filter(None, (since, unknown, interrupt, lost.next_step)))]
    if kernel is not None and kernel.is_stopped:
        return [
            "The kernel's process is stopped (signal SIGSTOP, or a debugger), not dead; nothing happens in "
            "it until the user continues it (kill -CONT), or restart_kernel ends it."
        ]
    if not execution.interrupt or execution.state is State.QUEUED:
        return []
    if execution.kind is Kind.INSTALL:
        return [f"{execution.interrupt} It is being stopped, which may take some seconds."]
    return [f"{execution.interrupt} {execution.obstacle or 'It has not stopped yet.'}"]


def _what_comes_first(execution: Execution, session: Session) -> str:
    if execution.kind is Kind.INSTALL:
        return "another installation is running in this environment"
    if session.current is not None:
        does = "waits for input" if session.current.question else "is running"
        return (
            f'{session.current.id} {does} (if that must not go on: interrupt_kernel(session="{session.id}"))'
        )
    return session.status or ("the kernel is starting" if session.kernel is None else "it is next")


def _seconds(execution: Execution) -> str:
    ended = execution.finished or now()
    return readable_seconds(seconds_of(execution.timing, execution.submitted, execution.started, ended))


def _error_name(execution: Execution) -> str:
    return one_line(error_of(execution)[0])[:_LONGEST_NAME] or "an error"


def _kernel_lines(execution: Execution, session: Session, caller: Caller, knew_another: bool) -> list[str]:
    """Which kernel this is, when it is not the one the caller last spoke to."""
    assert session.kernel_started is not None  # a kernel is introduced once it is there
    environment, kernel = session.environment, f"generation {session.generation} of {session.id}"
    facts = f"{environment.runs} {environment.location}", _working_directory(session, caller)
    is_repeated = knew_another and caller.introduced.get(session.id) == facts
    caller.introduced[session.id] = facts
    if not is_repeated:
        kernel = f"{kernel}, {environment.runs}"
    if environment.running is not None:
        which = f"Kernel: {kernel}, {OF_THE_USERS}."
    elif _is_the_first_in_it(execution, session):
        where = "" if is_repeated else f" in {environment.location}"
        which = f"Kernel: new, {kernel}{where}. {_why_new(session, execution)}"
    else:
        since = local_time(session.kernel_started)
        there = _what_is_there(execution, session, knew_another)
        which = f"Kernel: {kernel}, running since {since}. {there}"
    if session.host:
        what = "Its script, the notebook with every call and the journal are on this machine"
        return [which, f"Code reads and writes {session.place}. {what}: {session.notebook}"]
    if is_repeated:
        return [which, f"Notebook: {session.notebook}"]
    where = f"Working directory: {facts[1]}. Notebook with every call: {session.notebook}"
    return [which, *_host_lines(caller), where]


def _host_lines(caller: Caller) -> list[str]:
    """Where all of that is, for a client that is elsewhere."""
    if caller.near is None:
        return []
    host = one_line(caller.near.host)
    return [f"Host: code runs{caller.on_host} ({host}), and all paths are there, not where your client is."]


def _elsewhere(session: Session) -> list[str]:
    """In each reply about a kernel that is not on this machine: a path in code means another file there."""
    if not session.host or session.kernel is None:
        return []
    return [f"Code reads and writes {session.place}; scripts and notebook are here."]


def _working_directory(session: Session, caller: Caller) -> str:
    """The kernel's, and what this caller would not expect of it."""
    theirs, own = session.directory, caller.surroundings(session).directory
    if session.host:
        return session.place
    if os.path.realpath(theirs) != os.path.realpath(own):
        problem = why_not_in(own)
        but = f", which {problem}" if problem else ""
        return f"{theirs} (the kernel was started there; yours, after restart_kernel, would be {own}{but})"
    return str(theirs) if os.access(theirs, os.W_OK) else f"{theirs} (you cannot write there)"


def _is_the_first_in_it(execution: Execution, session: Session) -> bool:
    """Whether the kernel was started for this execution, or ahead of it, and has run no other."""
    is_its_own = execution.generation == session.generation
    was_there = session.kernel_started is None or (
        session.kernel_started < execution.submitted and execution.execution_count != 1
    )
    is_last = execution.number == session.executions.last_number or execution.kind in _WHOLES
    return is_its_own and not was_there and is_last


def _what_is_there(execution: Execution, session: Session, knew_another: bool) -> str:
    if execution.generation != session.generation:
        return f"It is not the kernel of {execution.id}, and has no variables of that."
    if knew_another:
        return "It has the variables of what was run in it since then, and none of the kernel before."
    if session.generation == 1:
        return "Variables of earlier calls are still there."
    ended = f" (it ended: {session.last_end})" if session.last_end else ""
    return f"It has the variables of what was run in it since then, and none of the kernel before{ended}."


def _why_new(session: Session, execution: Execution) -> str:
    if session.generation == 1:
        return "It had no variables before this."
    ended = f"The one before ended: {session.last_end}. " if session.last_end else ""
    if execution.kind is Kind.REPLAY:
        return f"{ended}It has only the variables of what was run again."
    return f"{ended}No variables of earlier kernels are left."
