"""What callers are told beside the reply at hand, in words. Pure.

Whom to tell what is the heart's to say (acquaintances.py).
"""

from __future__ import annotations

from collections.abc import Mapping

from kernelexec.model.execution import Execution, State
from kernelexec.model.first_line import first_line
from kernelexec.model.quantities import readable_seconds
from kernelexec.session import events as e

_RUNS_NAMED = 5

_BECAME = {
    State.OK: "ended well{}: its effects stay, do not submit it again.",
    State.ERROR: "failed{}; what it had done by then stays.",
    State.INTERRUPTED: "was interrupted{}; what it had done by then stays.",
    State.DIED: "did not finish: its kernel ended{}.",
    State.UNKNOWN: "has an end that nobody saw; it may have done all of its work or a part.",
    State.QUEUED: "has not begun and still waits: do not submit it again.",
}
_LOST_BECAUSE = {
    "cancelled": "the call was cancelled",
    "timed out": "your client gave up waiting for it",
    "disconnected": "the connection ended",
    "hub": "the hub was replaced",
    "overtaken": "another call of yours came while it was open",
}


def foreign_cell(count: int | None, code: str) -> str:
    """A cell that another client of the kernel ran, as Jupyter counts it."""
    return f"In [{' ' if count is None else count}]: {first_line(code)}"


def loss_text(
    session: str,
    loss: e.Loss,
    by: str | None = None,
    now: int | None = None,
    *,
    replayed: bool = False,
) -> str:
    """How a kernel ended and what is gone.

    `by`: the other client who wanted it so, for who did not; `now`: the generation that runs meanwhile;
    `replayed`: a replay has run something again in that.
    """
    who = "" if by is None else f" by another client{named(by)}"
    gone = f"{_ended(session, loss)}{loss.cause}{who}. All its variables are lost{loss.names.in_brackets()}"
    if now is None:
        next_one = "What is submitted next runs in a new kernel."
        return " ".join([f"{gone}; nothing was run again.", next_one, *_how_to_replay(session, loss, now)])
    runs = f"What is submitted next runs in the one that runs now (generation {now})"
    if replayed:
        return (
            f"{gone}. {runs}, in which a replay ran again what had succeeded: list_executions shows what, "
            "list_variables what is there."
        )
    said = f"{gone}; nothing was run again. {runs}, which has none of them."
    return " ".join([said, *_how_to_replay(session, loss, now)])


def _how_to_replay(session: str, loss: e.Loss, now: int | None) -> list[str]:
    if not loss.had_success:
        return []
    if now is None:
        return [f"To run again what had succeeded in it: {replay_call(session)}."]
    call = replay_call(session, loss.generation)
    where = "in the one that runs now" if loss.joined else "in place of what runs now"
    return [f"To run again what had succeeded in it, {where}: {call}."]


def replay_call(session: str, generation: int | None = None) -> str:
    """The call that replays what had succeeded in a kernel, the last one if none is named."""
    which = "" if generation is None else f", generation={generation}"
    return f'restart_kernel(session="{session}", replay=true{which})'


def _ended(session: str, loss: e.Loss) -> str:
    return f"The kernel of {session} (generation {loss.generation}) ended: "


def named(client: str) -> str:
    """The name of a client behind what it is; empty if it gave none."""
    return f" ({client})" if client else ""


def says_end(session: str, loss: e.Loss, said: str | None) -> bool:
    """Whether what a reply says of itself tells of this kernel's end."""
    return _ended(session, loss) in (said or "")


def notices(tell: e.Tell, session: str, executions: Mapping[int, Execution | None]) -> list[str]:
    """What a reply says beside its own matter, a text each.

    `executions`: those that `tell.lost_replies` is about.
    """
    told = [loss_text(session, each.loss, each.by, tell.now, replayed=tell.replayed) for each in tell.losses]
    told += [_lost_reply(lost, session, executions.get(lost.number)) for lost in tell.lost_replies]
    if tell.ran:
        told.append(_ran(tell.ran, tell.ran_number, ended=tell.now is None))
    return told


def _lost_reply(lost: e.TellLostReply, session: str, execution: Execution | None) -> str:
    whose = "your run" if lost.was_yours else "a run of your client's connection before this one"
    sure = "did not get" if lost.why not in ("hub", "overtaken") else "may not have got"
    what = (
        f"{whose} {session}/{lost.number}, whose reply you {sure} ({_LOST_BECAUSE.get(lost.why, lost.why)}), "
    )
    return what + ("is not on record." if execution is None else _outcome(execution))


def _outcome(execution: Execution) -> str:
    if execution.state is State.NOT_RUN:
        return f"was not run. {execution.problem or ''}".strip()
    became = _BECAME.get(execution.state, "goes on{}: do not submit it again.").format(_after(execution))
    return f'{became} wait_for_execution(execution_id="{execution.id}") has its reply.'


def _after(execution: Execution) -> str:
    if execution.started is None or execution.finished is None:
        return ""
    seconds = (execution.finished - execution.started).total_seconds()
    return f" after {readable_seconds(seconds)}"


def _ran(ran: tuple[e.TellRun, ...], number: int, *, ended: bool) -> str:
    """`ended`: the kernel that all of it was run on has, and no other runs yet."""
    what = "1 cell was" if number == 1 else f"{number} cells were"
    by = {each.by for each in ran}
    shown = "; ".join(each.words + (_whose(each.by) if len(by) > 1 else "") for each in ran[-_RUNS_NAMED:])
    if number > _RUNS_NAMED:
        shown = f"the last ones: {shown}"
    who = _who(by.pop()) if len(by) == 1 else "other clients"
    where = "on it before it ended" if ended else "on this kernel, which may have changed variables"
    return f"{what} run by {who} {where}. {shown}"


def _who(by: str | None) -> str:
    if by is None:
        return "another client (the user in JupyterLab, for example)"
    return f"another client{named(by)}"


def _whose(by: str | None) -> str:
    return f" [{by or 'another client'}]" if by is not None else ""
