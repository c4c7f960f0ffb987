"""What can happen in a session, and what may follow from it. Pure.

The heart takes an event and returns instructions (heart.py says which follow from which); the rest of the
session turns what it sees into events and carries the instructions out. Executions are named by their
number, callers by their id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from kernelexec.model.execution import Kind, State
from kernelexec.model.variable_names import NO_NAMES, VariableNames


@dataclass(frozen=True)
class CallerId:
    """Who asks: one connected client, as the journal remembers it."""

    id: str  # of its bridge, which stays while hubs come and go
    client: str = ""  # the name that the client gives itself
    directory: str = ""  # the one it works in

    @property
    def place(self) -> tuple[str, str]:
        """What a client has in common with the one that takes its place after a restart."""
        return self.client, self.directory


@dataclass(frozen=True)
class Loss:
    """The end of a kernel, as those are told who knew it."""

    generation: int
    cause: str
    names: VariableNames = NO_NAMES  # of what is gone with it
    by: str | None = None  # the caller who had it ended
    begun: str | None = None  # msg_id of the last run that began; "" if none did, None if nobody knows
    stderr: str = ""  # the end of what the process itself wrote there
    wished: bool = False  # somebody had it ended: a crash or too long an idleness is none
    had_success: bool = False  # whether something had been run in it that a replay can run again
    joined: bool = False  # it was somebody else's, as the next one is, which no replay ends

    def to_json(self) -> dict[str, Any]:
        """For the journal; stderr is in what it took along."""
        return {
            "generation": self.generation,
            "cause": self.cause,
            "names": list(self.names.first),
            "number": self.names.number,
            "by": self.by,
            "wished": self.wished,
            "begun": self.begun,
            **({"joined": True} if self.joined else {}),
        }


# --- events -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Met:
    """A caller uses this session for the first time."""

    caller: CallerId


@dataclass(frozen=True)
class Left:
    """A caller has closed its input: it asks nothing more, and replies may still reach it for a moment."""

    caller: str


@dataclass(frozen=True)
class Submitted:
    """A submission is on disk.

    `within`: the replay that it is a part of; `asked`: the place of its call among all that the caller's
    connection has heard and said, None where that is not known.
    """

    number: int
    kind: Kind = Kind.CODE
    caller: str | None = None
    within: int | None = None
    first_line: str = ""
    asked: int | None = None


@dataclass(frozen=True)
class TakenBack:
    """Somebody no longer wants it; what runs is not ended by this."""

    number: int
    why: str


@dataclass(frozen=True)
class Sent:
    """Its request goes to the kernel, or its installer is about to act: from now on it may have begun."""

    number: int
    msg_id: str | None = None


@dataclass(frozen=True)
class Began:
    """The kernel says that it is busy with it."""

    number: int


@dataclass(frozen=True)
class Aborted:
    """The kernel gave it back without having run anything: another client's error emptied its queue."""

    number: int


@dataclass(frozen=True)
class Ended:
    """Its end was seen, or is known not to be seen by anybody (State.UNKNOWN).

    `lost`: what went with it, as Execution has it; `with_kernel`: its kernel ended, too.
    """

    number: int
    state: State
    problem: str | None = None
    lost: str | None = None
    with_kernel: bool = False


@dataclass(frozen=True)
class NoReply:
    """Its kernel has died, and no reply to it will come."""

    number: int


@dataclass(frozen=True)
class Failed:
    """A fault of ours ended what was done about it."""

    number: int
    problem: str


@dataclass(frozen=True)
class NoKernel:
    """No kernel could be started."""

    why: str


@dataclass(frozen=True)
class Started:
    """A new kernel answers."""

    generation: int


@dataclass(frozen=True)
class Adopted:
    """The kernel that an earlier hub had started was found alive."""

    generation: int


@dataclass(frozen=True)
class Died:
    """The session's kernel ended."""

    loss: Loss


@dataclass(frozen=True)
class JournalRead:
    """All of a journal was told. These executions and no others have not ended, whatever it told before."""

    unfinished: Mapping[int, tuple[Kind, State]]


@dataclass(frozen=True)
class HubReplaced:
    """The hub that did all this until now is gone, and another has read its journal."""

    kernel_left: bool  # whether its kernel is not known to have ended


@dataclass(frozen=True)
class ForeignRun:
    """Another client of the kernel, such as the person in JupyterLab, ran a cell."""

    words: str


@dataclass(frozen=True)
class ReplyLost:
    """The reply about an execution did not reach its caller, or perhaps did not."""

    caller: str
    number: int
    why: LostBecause


@dataclass(frozen=True)
class Replying:
    """A reply about this session goes to a caller.

    `tells`: the execution that it is about; `introduces`: whether it says which kernel this is.
    """

    caller: CallerId
    tells: int | None = None
    introduces: bool = True
    reply: int | None = None  # what Delivered and NotDelivered call it; None: it is as good as delivered


@dataclass(frozen=True)
class Delivered:
    """A reply was written to its caller's connection, at this place."""

    caller: str
    reply: int
    at: int


@dataclass(frozen=True)
class NotDelivered:
    """A reply did not reach its caller: it knows nothing of what that told."""

    caller: str
    reply: int


@dataclass(frozen=True)
class WasTold:
    """An earlier hub has told a caller all that there was to tell by then."""

    caller: str
    introduced: bool = False


LostBecause: TypeAlias = str  # "cancelled", "timed out", "disconnected", "hub", "overtaken"

Event: TypeAlias = (
    Met
    | Left
    | Submitted
    | TakenBack
    | Sent
    | Began
    | Aborted
    | Ended
    | NoReply
    | Failed
    | NoKernel
    | Started
    | Adopted
    | Died
    | JournalRead
    | HubReplaced
    | ForeignRun
    | ReplyLost
    | Replying
    | Delivered
    | NotDelivered
    | WasTold
)


# --- instructions -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Begin:
    """Its turn has come: bring it to the kernel, which is started if there is none."""

    number: int


@dataclass(frozen=True)
class Rejoin:
    """It was sent by an earlier hub: find its output and its end again. It is not sent again."""

    number: int


@dataclass(frozen=True)
class LookAfter:
    """An earlier hub had begun it: an installer, whose end is waited for, or a replay, which ended there."""

    number: int


@dataclass(frozen=True)
class Become:
    """It is in this state now, which is not its last."""

    number: int
    state: State


@dataclass(frozen=True)
class Finish:
    """It has come to its end: write it down and wake who waits."""

    number: int
    state: State
    problem: str | None = None
    lost: str | None = None


@dataclass(frozen=True)
class Note:
    """A line for the journal, by which the next hub knows what this one did."""

    event: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class TellLoss:
    """The end of a kernel that the caller knew."""

    loss: Loss
    by: str | None  # the name of the other client who had it ended; None: nobody else did


@dataclass(frozen=True)
class TellRun:
    """What somebody else ran on the kernel."""

    words: str
    by: str | None  # the name of a client; None: another client of the kernel, not through us


@dataclass(frozen=True)
class TellLostReply:
    """A run whose reply did not reach the caller who is told now."""

    number: int
    why: LostBecause
    was_yours: bool = True  # false: it was another connection of the same client


@dataclass(frozen=True)
class Tell:
    """What the reply at hand has to tell its caller; it counts as told."""

    is_first: bool = False  # it is the first one about this kernel
    losses: tuple[TellLoss, ...] = ()
    ran: tuple[TellRun, ...] = ()
    ran_number: int = 0  # how many there were, of which `ran` has the last ones
    knew_another: bool = False  # it was told of an earlier kernel, if this is the first reply about this one
    now: int | None = None  # the generation that runs
    replayed: bool = False  # and in it something was run again
    lost_replies: tuple[TellLostReply, ...] = ()


Instruction: TypeAlias = Begin | Rejoin | LookAfter | Become | Finish | Note | Tell
