"""The heart of a session: what happens goes in, what follows from it comes out. Pure: no I/O, no clock.

It alone holds the three rules that the rest of the session relies on:

- What has begun is never run again. `NEXT` says which state may follow which, and nothing leaves a final one.
- One in flight: of what is to run in the kernel one execution has its turn, the others wait, first come
  first served. A replay holds its turn for the submissions that it runs again.
- Who is told what (acquaintances.py). A caller that does not know that its kernel has ended gets its next
  submission back: it may rely on what is gone.

`Heart.handle` is the one way in; `_ON`, at the end, names what answers each event. An event that cannot
happen in the present state raises IllegalEvent and changes nothing. The same events in the same order give
the same states: a journal is a log of them (journal_events.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from kernelexec.model.execution import ALL_LOST, LOST_WITH_KERNEL, Kind, State
from kernelexec.session import events as e
from kernelexec.session.acquaintances import Acquaintances
from kernelexec.session.notices import loss_text

_ENDS_KEPT = 50
_UNSEEN = "The hub ended while it ran; what came after that was not seen."
_ENDED_BEFORE = "The hub ended before it could be run."

_ENDS = (State.OK, State.ERROR, State.INTERRUPTED, State.DIED, State.UNKNOWN)

# What may follow what. Back to `queued`: the kernel was busy with it only to answer "aborted", which means
# that no code ran, and it is sent again. `sent` may end like `running`: a fast reply overtakes the news that
# the kernel is busy; and `not_run` follows `sent` where the kernel is known never to have begun it.
NEXT: dict[State, tuple[State, ...]] = {
    State.QUEUED: (State.SENT, State.NOT_RUN),
    State.SENT: (State.RUNNING, State.QUEUED, State.NOT_RUN, *_ENDS),
    State.RUNNING: (State.QUEUED, *_ENDS),
}

_IN_KERNEL = (Kind.CODE, Kind.CELLS, Kind.REPLAY)  # takes turns; the other kinds are jobs beside the kernel

Instructions: TypeAlias = list[e.Instruction]


class IllegalEvent(Exception):
    """A bug, or a journal that contradicts itself: this cannot happen now."""


@dataclass
class _Run:
    """An execution that has not ended."""

    kind: Kind
    caller: str | None
    within: int | None
    first_line: str
    state: State = State.QUEUED
    msg_id: str | None = None


class Heart:
    """The states of one session's executions, the turn, the kernel and the callers."""

    def __init__(self, session: str) -> None:
        self.generation = 0  # of the kernel that runs or ran last
        self.has_kernel = False
        self.turn: int | None = None  # the execution that has it
        self.callers = Acquaintances()
        self._session = session
        self._runs: dict[int, _Run] = {}
        self._waiting: deque[int] = deque()
        self._ends: dict[int, State] = {}  # the last ones: what is said twice is no contradiction
        self._loss: e.Loss | None = None  # the last
        self._replayed = 0  # the last generation in which something was run again
        self._has_run = False  # whether anything was run in this generation
        self._has_success = False  # whether something was run in it that a replay can run again

    def handle(self, event: e.Event) -> Instructions:
        """What follows from an event, in the order in which it is to be carried out.

        Raises:
            IllegalEvent: it cannot happen now; nothing has changed.
        """
        return list(_ON[type(event)](self, event))

    def state_of(self, number: int) -> State | None:
        """Of an execution that has not ended, or has ended a short while ago; else None."""
        run = self._runs.get(number)
        return run.state if run is not None else self._ends.get(number)

    @property
    def has_past(self) -> bool:
        """Whether anything has happened yet."""
        return self.generation > 0 or bool(self._runs or self._ends)

    @property
    def queued(self) -> int:
        """How many executions wait for their turn."""
        return len(self._waiting)

    @property
    def is_turn_taken(self) -> bool:
        """Whether an execution has its turn, and with it the kernel, which may have to be started."""
        return self.turn is not None

    @property
    def in_flight(self) -> list[int]:
        """The requests that the kernel was sent and has not answered: never more than one."""
        return [
            number
            for number, run in self._runs.items()
            if run.kind is Kind.CODE and run.state in (State.SENT, State.RUNNING)
        ]

    # --- submissions ------------------------------------------------------------------------------

    def _submitted(self, event: e.Submitted) -> Iterator[e.Instruction]:
        if self.state_of(event.number) is not None:
            raise IllegalEvent(f"{event.number} was submitted before")
        if event.within is not None and event.within != self.turn:
            raise IllegalEvent(f"{event.within} has not its turn, so {event.number} cannot be a part of it")
        run = _Run(event.kind, event.caller, event.within, event.first_line)
        self._runs[event.number] = run
        if event.kind is Kind.REPLAY:
            self._replayed = self.generation + (0 if self.has_kernel else 1)
        is_asked_for = event.kind in (Kind.CODE, Kind.CELLS) and event.within is None
        losses = self.callers.refuse(event.caller, event.number, event.asked) if is_asked_for else ()
        if losses:
            texts = [self._loss_text(each.loss, each.by) for each in losses]
            yield from self._finish(event.number, State.NOT_RUN, "\n".join(texts), ALL_LOST)
        elif event.within is not None:
            yield e.Begin(event.number)
        elif event.kind in _IN_KERNEL:
            self._waiting.append(event.number)
            yield from self._next_turn()

    def _taken_back(self, event: e.TakenBack) -> Iterator[e.Instruction]:
        run = self._runs.get(event.number)
        if run is not None and run.state is State.QUEUED:
            yield from self._finish(event.number, State.NOT_RUN, event.why)

    def _sent(self, event: e.Sent) -> Iterator[e.Instruction]:
        run = self._open(event.number)
        if run.kind in _IN_KERNEL and not self._has_turn(event.number):
            raise IllegalEvent(f"it is not the turn of {event.number}")
        if run.kind is Kind.CODE and self.in_flight:
            raise IllegalEvent(f"{event.number} was sent while {self.in_flight} are in flight")
        self._advance(event.number, run, State.SENT)
        if run.kind is Kind.CODE:
            self.has_kernel = True
            if run.msg_id is None:  # else it was sent before, and given back
                self._has_run = True
                self.callers.ran(f"{self._session}/{event.number}: {run.first_line}", run.caller)
            self.callers.uses(run.caller, self.generation)
        run.msg_id = event.msg_id
        yield e.Become(event.number, State.SENT)

    def _began(self, event: e.Began) -> Iterator[e.Instruction]:
        run = self._runs.get(event.number)
        if run is not None and run.state is State.SENT:  # a later sign of the same is no news
            self._advance(event.number, run, State.RUNNING)
            yield e.Become(event.number, State.RUNNING)

    def _aborted(self, event: e.Aborted) -> Iterator[e.Instruction]:
        self._advance(event.number, self._open(event.number), State.QUEUED)
        yield e.Note("aborted", {"n": event.number})
        yield e.Become(event.number, State.QUEUED)

    def _ended(self, event: e.Ended) -> Iterator[e.Instruction]:
        if self._ends.get(event.number) is event.state:
            return  # it followed from something else already
        problem, lost, run = event.problem, event.lost, self._open(event.number)
        self._check(event.number, run, event.state)
        if event.with_kernel and self._loss is not None and not self.has_kernel:
            problem = "\n".join(filter(None, [problem, self._lost_with(self._loss, run.caller)]))
            lost = LOST_WITH_KERNEL
        yield from self._finish(event.number, event.state, problem, lost)

    def _no_reply(self, event: e.NoReply) -> Iterator[e.Instruction]:
        run = self._runs.get(event.number)
        if run is None:
            return
        loss = self._loss
        assert loss is not None  # its kernel has died
        problem = self._lost_with(loss, run.caller)
        if loss.stderr:
            problem += f"\nThe end of its stderr:\n{loss.stderr}"
        never_begun = loss.begun is not None and loss.begun != run.msg_id
        not_run = run.state is State.QUEUED or (run.state is State.SENT and never_begun)
        yield from self._finish(event.number, State.NOT_RUN if not_run else State.DIED, problem, ALL_LOST)

    def _failed(self, event: e.Failed) -> Iterator[e.Instruction]:
        run = self._runs.get(event.number)
        if run is not None:
            state = State.NOT_RUN if run.state is State.QUEUED else State.UNKNOWN
            yield from self._finish(event.number, state, event.problem)

    # --- the kernel -------------------------------------------------------------------------------

    def _no_kernel(self, event: e.NoKernel) -> Iterator[e.Instruction]:
        # What waits would meet the same, each after another start.
        yield from self._refuse_waiting(lambda caller: event.why, None)

    def _started(self, event: e.Started) -> Iterator[e.Instruction]:
        if event.generation <= self.generation:
            raise IllegalEvent(f"generation {event.generation} after {self.generation}")
        self.generation, self.has_kernel = event.generation, True
        self._has_run = self._has_success = False
        self.callers.begin_generation()
        yield from ()

    def _adopted(self, event: e.Adopted) -> Iterator[e.Instruction]:
        self.generation, self.has_kernel = event.generation, True
        yield e.Note("adopted", {"generation": event.generation})
        for number in self.in_flight:
            self.turn = number
            yield e.Rejoin(number)
        yield from self._next_turn()

    def _died(self, event: e.Died) -> Iterator[e.Instruction]:
        loss = replace(event.loss, had_success=self._has_success)
        self.has_kernel = False
        self._loss = loss
        if self._has_run:  # else there was nothing in it that can be missed
            self.callers.lost(loss)
        yield e.Note("died", {**loss.to_json(), "untold": self._has_run})
        yield from self._refuse_waiting(lambda caller: self._lost_with(loss, caller), ALL_LOST)
        for number in self.in_flight:
            if not self._has_turn(number):  # an earlier hub's
                known = loss.begun is not None
                end: e.Event = e.NoReply(number) if known else e.Ended(number, State.UNKNOWN, _UNSEEN)
                yield from self.handle(end)

    def _refuse_waiting(self, why: Callable[[str | None], str], lost: str | None) -> Iterator[e.Instruction]:
        """What waits is not run. `why`: in words for the caller whose it is."""
        for number, run in list(self._runs.items()):
            if run.state is State.QUEUED and run.kind in _IN_KERNEL and number != self.turn:
                yield from self._finish(number, State.NOT_RUN, why(run.caller), lost)
        if self.turn is not None and self._runs[self.turn].state is State.QUEUED:
            yield from self._finish(self.turn, State.NOT_RUN, why(self._runs[self.turn].caller), lost)

    def _lost_with(self, loss: e.Loss, caller: str | None) -> str:
        """How a kernel ended, for a caller whose run it took along."""
        return loss_text(self._session, loss, self.callers.ended_by(loss, caller))

    def _hub_replaced(self, event: e.HubReplaced) -> Iterator[e.Instruction]:
        self.turn = None
        self.has_kernel = False  # until it is found
        for number, run in list(self._runs.items()):
            if run.within is None:  # whether its reply came nobody knows
                self.callers.reply_lost(run.caller, number, "hub")
            if run.state is State.QUEUED:
                yield from self._finish(number, State.NOT_RUN, _ENDED_BEFORE)
            elif run.kind is not Kind.CODE:
                yield e.LookAfter(number)
            elif not event.kernel_left:
                yield from self._finish(number, State.UNKNOWN, _UNSEEN)

    def _journal_read(self, event: e.JournalRead) -> Iterator[e.Instruction]:
        told, self._runs = self._runs, {}
        self._waiting.clear()
        for number, (kind, state) in event.unfinished.items():
            run = self._runs[number] = told.get(number) or _Run(kind, None, None, "")
            run.state = state
            self._ends.pop(number, None)
        yield from ()

    # --- callers ----------------------------------------------------------------------------------

    def _met(self, event: e.Met) -> Iterator[e.Instruction]:
        if self.callers.meet(event.caller):
            who = event.caller
            yield e.Note("caller", {"caller": who.id, "client": who.client, "directory": who.directory})

    def _foreign_run(self, event: e.ForeignRun) -> Iterator[e.Instruction]:
        self._has_run = True
        self.callers.ran(event.words, None)
        yield from ()

    def _reply_lost(self, event: e.ReplyLost) -> Iterator[e.Instruction]:
        if self.callers.reply_lost(event.caller, event.number, event.why):
            yield e.Note("reply_lost", {"caller": event.caller, "n": event.number, "why": event.why})

    def _replying(self, event: e.Replying) -> Iterator[e.Instruction]:
        yield from self._met(e.Met(event.caller))
        owed = self.callers.owes_replies(event.caller.id)
        tell = self.callers.tell(event, self._live_generation, self._runs.keys())
        if owed or tell != e.Tell():
            about = {"introduced": True} if tell.is_first else {}
            yield e.Note("told", {"caller": event.caller.id, "generation": self.generation, **about})
        if tell != e.Tell():
            tell = replace(tell, now=self._live_generation, replayed=self._was_replayed)
        yield tell

    def _delivered(self, event: e.Delivered) -> Iterator[e.Instruction]:
        self.callers.delivered(event.caller, event.reply, event.at)
        yield from ()

    def _not_delivered(self, event: e.NotDelivered) -> Iterator[e.Instruction]:
        for caller, number, why in self.callers.not_delivered(event.caller, event.reply):
            yield e.Note("reply_lost", {"caller": caller, "n": number, "why": why})

    def _left(self, event: e.Left) -> Iterator[e.Instruction]:
        self.callers.leave(event.caller)
        yield from ()

    def _was_told(self, event: e.WasTold) -> Iterator[e.Instruction]:
        if self.callers.knows(event.caller):
            replying = e.Replying(e.CallerId(event.caller), introduces=event.introduced)
            self.callers.tell(replying, self._live_generation, self._runs.keys())
        yield from ()

    def _loss_text(self, loss: e.Loss, by: str | None) -> str:
        return loss_text(self._session, loss, by, self._live_generation, replayed=self._was_replayed)

    @property
    def _was_replayed(self) -> bool:
        """Whether something was run again in the kernel that runs."""
        return self.has_kernel and self._replayed == self.generation

    @property
    def _live_generation(self) -> int | None:
        return self.generation if self.has_kernel else None

    # --- what all of them are made of -------------------------------------------------------------

    def _open(self, number: int) -> _Run:
        run = self._runs.get(number)
        if run is None:
            raise IllegalEvent(f"{number} has ended or was never submitted")
        return run

    def _has_turn(self, number: int) -> bool:
        """Itself, or as a part of what has it."""
        return self.turn is not None and self.turn in (number, self._runs[number].within)

    @staticmethod
    def _check(number: int, run: _Run, state: State) -> None:
        if state not in NEXT[run.state]:
            raise IllegalEvent(f"{number}: {run.state.value} → {state.value}")

    def _advance(self, number: int, run: _Run, state: State) -> None:
        self._check(number, run, state)
        run.state = state

    def _finish(
        self, number: int, state: State, problem: str | None, lost: str | None = None
    ) -> Iterator[e.Instruction]:
        run = self._runs[number]
        self._check(number, run, state)
        if run.kind is Kind.CODE and state is State.OK and lost != LOST_WITH_KERNEL:
            self._has_success = True
        del self._runs[number]
        self._ends[number] = state
        while len(self._ends) > _ENDS_KEPT:
            del self._ends[next(iter(self._ends))]
        if number in self._waiting:
            self._waiting.remove(number)
        yield e.Finish(number, state, problem, lost)
        if self.turn == number:
            self.turn = None
            yield from self._next_turn()

    def _next_turn(self) -> Iterator[e.Instruction]:
        if self.turn is None and self._waiting:
            self.turn = self._waiting.popleft()
            yield e.Begin(self.turn)


_ON: dict[type, Callable[[Heart, Any], Iterator[e.Instruction]]] = {
    e.Met: Heart._met,
    e.Left: Heart._left,
    e.Submitted: Heart._submitted,
    e.TakenBack: Heart._taken_back,
    e.Sent: Heart._sent,
    e.Began: Heart._began,
    e.Aborted: Heart._aborted,
    e.Ended: Heart._ended,
    e.NoReply: Heart._no_reply,
    e.Failed: Heart._failed,
    e.NoKernel: Heart._no_kernel,
    e.Started: Heart._started,
    e.Adopted: Heart._adopted,
    e.Died: Heart._died,
    e.JournalRead: Heart._journal_read,
    e.HubReplaced: Heart._hub_replaced,
    e.ForeignRun: Heart._foreign_run,
    e.ReplyLost: Heart._reply_lost,
    e.Replying: Heart._replying,
    e.Delivered: Heart._delivered,
    e.NotDelivered: Heart._not_delivered,
    e.WasTold: Heart._was_told,
}
