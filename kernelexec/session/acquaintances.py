"""Who is told what: for each caller of a session, what it knows of it. A part of the heart; pure.

A caller knows the last kernel that a reply told it of, or that ran something of its. When that kernel has
ended, the caller is told before anything of its is run, whoever was told before; one that knew no kernel has
lost nothing. What others ran is told to each caller once, and so is a run of its own whose reply it did not
get: also to the next connection of the same client in the same directory, where its own has ended.

What a reply tells counts as told at once, so that the next one does not say it, too; if it turns out not to
have reached its caller, that is undone, in whatever order replies get lost. What was asked before a loss was
told is refused, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from kernelexec.session import events as e

_RUNS_KEPT = 50  # that some caller was not told of yet; of older ones only the number is told
_LOSSES_KEPT = 1000
_CALLERS_KEPT = 500  # who has not been heard of for longer is a stranger again
_TELLINGS_KEPT = 32  # replies whose end is awaited, or that may still be cancelled
_CONNECTION_ENDED = ("disconnected", "hub")  # why a reply was lost, where the next connection is told of it


@dataclass(frozen=True)
class _Knowledge:
    """What a caller was told."""

    told: int = 0  # the last generation that a reply told of
    introduced: int = 0  # the last generation that a reply introduced
    told_end: int = 0  # the last generation whose end it was told of
    heard: int = 0  # how many of all runs it was told of
    own: int = 0  # how many of those were its own
    has_reply: bool = False  # about this session

    def is_no_more_than(self, other: _Knowledge) -> bool:
        """Whether who knows the other knows all of this, the ends of kernels aside."""
        return self.heard <= other.heard and self.told <= other.told and self.introduced <= other.introduced


@dataclass(frozen=True)
class _LostReply:
    why: e.LostBecause
    after: int  # how many callers had been met by then
    was_going_on: bool = False  # when its caller was told of it: its end is still to be told


_Taken: TypeAlias = dict[tuple[str, int], _LostReply]  # by whose it was, and the execution


@dataclass(frozen=True)
class _Telling:
    """One reply: what its caller knew before, and what it told."""

    before: _Knowledge
    lost_replies: _Taken
    tells_end: int  # the last generation whose end it told; 0: of none


@dataclass
class _Acquaintance:
    who: e.CallerId
    met: int  # which one of all
    knowledge: _Knowledge
    left: int | None = None  # how many had been met when it closed its input
    used: int = 0  # the last generation that ran something of its
    own: int = 0  # runs of its, ever
    own_before: int = 0  # of those, in earlier kernels
    lost_replies: dict[int, _LostReply] = field(default_factory=dict)  # by execution
    tellings: dict[int, _Telling] = field(default_factory=dict)  # by reply
    losses: tuple[e.TellLoss, ...] = ()  # told last, to what was asked before
    losses_at: int | None = None  # when that was delivered; None: not yet
    end_before: int = 0  # `told_end` before that
    refused: set[int] = field(default_factory=set)  # executions, for these losses

    @property
    def knows(self) -> int:
        """The last generation that it may rely on; 0: none."""
        return max(self.knowledge.told, self.used)


@dataclass(frozen=True)
class _Run:
    at: int  # how many there were with it
    words: str
    by: str | None


class Acquaintances:
    """The callers of one session."""

    def __init__(self) -> None:
        self._known: dict[str, _Acquaintance] = {}  # by id; who was heard of last comes last
        self._met = 0
        self._with_lost_replies: set[str] = set()
        self._losses: deque[e.Loss] = deque(maxlen=_LOSSES_KEPT)
        self._runs: deque[_Run] = deque(maxlen=_RUNS_KEPT)  # in the present kernel
        self._ran = 0  # ever
        self._ran_before = 0  # in earlier kernels

    # --- who there is, and what happens ----------------------------------------------------------

    def knows(self, caller: str) -> bool:
        return caller in self._known

    def place_of(self, caller: str) -> tuple[str, str] | None:
        """Client and directory of a caller; None for a stranger."""
        known = self._known.get(caller)
        return known.who.place if known is not None else None

    def meet(self, who: e.CallerId) -> bool:
        """Whether this caller was unknown."""
        known = self._known.get(who.id)
        if known is not None:
            known.who = who
            return False
        self._met += 1
        # Nobody need be told again what the person ran while no client was there.
        heard = max((each.knowledge.heard for each in self._known.values()), default=0)
        self._known[who.id] = _Acquaintance(who, self._met, _Knowledge(heard=heard))
        while len(self._known) > _CALLERS_KEPT:
            stranger = next(iter(self._known))
            del self._known[stranger]
            self._with_lost_replies.discard(stranger)
        return True

    def leave(self, caller: str) -> None:
        """This caller asks nothing more; who is met from now on may be the same client, come again."""
        known = self._known.get(caller)
        if known is not None and known.left is None:
            known.left = self._met

    def begin_generation(self) -> None:
        """A new kernel, in which nobody has run anything."""
        self._runs.clear()
        self._ran_before = self._ran
        for known in self._known.values():
            known.own_before = known.own

    def ran(self, words: str, by: str | None) -> None:
        """Something was run in the kernel, by a caller or by another client of the kernel."""
        self._ran += 1
        self._runs.append(_Run(self._ran, words, by))
        if by in self._known:
            self._known[by].own += 1

    def uses(self, caller: str | None, generation: int) -> None:
        """Something of the caller's runs in the kernel of this generation."""
        known = self._known.get(caller or "")
        if known is not None:
            known.used = max(known.used, generation)

    def lost(self, loss: e.Loss) -> None:
        """A kernel has ended. Who had it ended knows, unless there is an earlier end to be told of."""
        known = self._known.get(loss.by or "")
        if known is not None and not self._new_losses(known):
            known.knowledge = replace(known.knowledge, told_end=loss.generation)
        self._losses.append(loss)

    def ended_by(self, loss: e.Loss, told: str | None) -> str | None:
        """The name of the caller who had the kernel ended, for another caller; None: nobody else did."""
        return None if loss.by is None or loss.by == told else self._name(loss.by)

    # --- losses ------------------------------------------------------------------------------------

    def refuse(self, caller: str | None, number: int, asked: int | None) -> tuple[e.TellLoss, ...]:
        """The ends of kernels for which a submission is not run, because its caller did not know of them."""
        known = self._known.get(caller or "")
        if known is None:
            return ()
        if not self._tell_losses(known):
            if asked is None or (known.losses_at is not None and known.losses_at < asked):
                known.losses = ()  # who asked this had been told
            if not known.losses:
                return ()
        known.refused.add(number)
        return known.losses

    def _tell_losses(self, known: _Acquaintance) -> bool:
        """Whether there are ends that it was not told of; they are its `losses` now."""
        new = self._new_losses(known)
        if self._losses and known.knowledge.told_end < known.knows <= self._losses[-1].generation:
            if new:
                known.losses, known.losses_at = new, None
                known.end_before = known.knowledge.told_end
                known.refused.clear()
            known.knowledge = replace(known.knowledge, told_end=self._losses[-1].generation)
        return bool(new)

    def _new_losses(self, known: _Acquaintance) -> tuple[e.TellLoss, ...]:
        if known.knowledge.told_end >= known.knows:
            return ()
        new = [loss for loss in self._losses if loss.generation >= known.knows]
        if not new or new[0].generation != known.knows:  # nothing was run in the one that it knew
            return ()
        shown = new if len(new) == 1 else [new[0], new[-1]]
        others = [loss for loss in shown if loss.by is None or loss.by != known.who.id]
        return tuple(e.TellLoss(loss, self.ended_by(loss, known.who.id)) for loss in others)

    # --- replies -----------------------------------------------------------------------------------

    def tell(self, replying: e.Replying, generation: int | None, going_on: Collection[int]) -> e.Tell:
        """All that a reply has to tell its caller beside its own matter.

        `generation`: of the kernel, if there is one; `going_on`: the executions that have not ended.
        """
        caller = replying.caller.id
        known = self._known[caller] = self._known.pop(caller)
        before = known.knowledge
        is_first = replying.introduces and generation is not None and before.introduced != generation
        losses = known.losses if self._tell_losses(known) else ()
        number_of_new = self._number_of_new_runs(known)
        ran = self._new_runs(known) if number_of_new else ()
        lost, taken = self._take_lost_replies(known, replying.tells, going_on)
        told = e.Tell(
            is_first=is_first,
            losses=losses,
            ran=ran,
            ran_number=number_of_new if before.has_reply or len(ran) == _RUNS_KEPT else len(ran),
            lost_replies=lost,
            knew_another=is_first and _knew_another(before, known.knowledge.told_end, generation or 0),
        )
        known.knowledge = replace(
            known.knowledge,
            heard=self._ran,
            own=known.own,
            has_reply=True,
            told=generation or before.told,
            introduced=(generation or 0) if is_first else before.introduced,
        )
        about = {replying.tells, *(number for whose, number in taken if whose == caller)}
        tells_loss = bool(losses) or not known.refused.isdisjoint(about)
        if replying.reply is None and tells_loss:
            known.losses = ()  # it is as good as delivered
        elif replying.reply is not None:
            known.tellings[replying.reply] = _Telling(
                before, taken, known.knowledge.told_end if tells_loss else 0
            )
            if len(known.tellings) > _TELLINGS_KEPT:
                del known.tellings[next(iter(known.tellings))]
        return told

    def delivered(self, caller: str, reply: int, at: int) -> None:
        """A reply was written."""
        known = self._known.get(caller)
        telling = known.tellings.get(reply) if known is not None else None
        if known is not None and telling is not None and telling.tells_end and known.losses_at is None:
            known.losses_at = at

    def not_delivered(self, caller: str, reply: int) -> list[tuple[str, int, e.LostBecause]]:
        """A reply did not reach its caller: what it told is not known.

        Returns the lost replies that it had told of, which are to be told again: whose, of what, why.
        """
        known = self._known.get(caller)
        telling = known.tellings.get(reply) if known is not None else None
        if known is None or telling is None:
            return []
        replies = list(known.tellings)
        later = replies[replies.index(reply) + 1 :]
        del known.tellings[reply]
        self._forget(known, telling, later)
        return [self._give_back(caller, whose, lost) for whose, lost in telling.lost_replies.items()]

    @staticmethod
    def _forget(known: _Acquaintance, telling: _Telling, later: list[int]) -> None:
        """Undo what a reply told, unless the caller has it from another reply."""
        told_end = known.knowledge.told_end
        others = known.tellings.values()
        if telling.tells_end == told_end > 0 and all(each.tells_end != told_end for each in others):
            told_end, known.losses = known.end_before, ()
        known.knowledge = replace(known.knowledge, told_end=told_end)
        if any(known.tellings[reply].before.is_no_more_than(telling.before) for reply in later):
            return
        known.knowledge = replace(telling.before, told_end=told_end)
        for reply in later:  # what these told rests on it
            known.tellings[reply] = replace(known.tellings[reply], before=telling.before)

    def _give_back(
        self, caller: str, whose: tuple[str, int], lost: _LostReply
    ) -> tuple[str, int, e.LostBecause]:
        """The reply that was told of as lost is to be told of again."""
        owner, number = self._known.get(whose[0]) or self._known[caller], whose[1]
        if number not in owner.lost_replies or owner.lost_replies[number].was_going_on:
            owner.lost_replies[number] = lost
        self._with_lost_replies.add(owner.who.id)
        return owner.who.id, number, lost.why

    def reply_lost(self, caller: str | None, number: int, why: e.LostBecause) -> bool:
        """The reply about an execution did not reach this caller. False: known, or it is a stranger."""
        known = self._known.get(caller or "")
        if known is None or (number in known.lost_replies and known.lost_replies[number].why == why):
            return False
        known.lost_replies[number] = _LostReply(why, self._met if known.left is None else known.left)
        self._with_lost_replies.add(known.who.id)
        return True

    def owes_replies(self, caller: str) -> bool:
        """Whether this caller is to be told of a reply that it did not get."""
        return bool(self._known[caller].lost_replies)

    def _new_runs(self, known: _Acquaintance) -> tuple[e.TellRun, ...]:
        heard, has_reply = known.knowledge.heard, known.knowledge.has_reply
        # Who comes new takes the variables as they are; only what the person ran nobody else was told.
        return tuple(
            e.TellRun(run.words, None if run.by is None else self._name(run.by))
            for run in self._runs
            if run.at > heard and run.by != known.who.id and (has_reply or run.by is None)
        )

    def _number_of_new_runs(self, known: _Acquaintance) -> int:
        """How many others ran that this caller was not told of, also of those that are forgotten."""
        own = known.own - max(known.knowledge.own, known.own_before)
        return self._ran - max(known.knowledge.heard, self._ran_before) - own

    def _take_lost_replies(
        self, known: _Acquaintance, tells: int | None, going_on: Collection[int]
    ) -> tuple[tuple[e.TellLostReply, ...], _Taken]:
        """What is told, and what is taken with it. Of what goes on the end is told later, too."""
        told: list[e.TellLostReply] = []
        taken: _Taken = {}
        for other in [self._known[caller] for caller in sorted(self._with_lost_replies)]:
            for number, lost in list(other.lost_replies.items()):
                if not _concerns(known, other, lost) or (lost.was_going_on and number in going_on):
                    continue
                del other.lost_replies[number]
                taken[other.who.id, number] = lost
                if number in going_on:
                    other.lost_replies[number] = replace(lost, was_going_on=True)
                if number != tells:
                    told.append(e.TellLostReply(number, lost.why, was_yours=other is known))
            if not other.lost_replies:
                self._with_lost_replies.discard(other.who.id)
        return tuple(told), taken

    def _name(self, caller: str) -> str:
        known = self._known.get(caller)
        return known.who.client if known is not None else ""


def _concerns(known: _Acquaintance, other: _Acquaintance, lost: _LostReply) -> bool:
    """Whether a reply that `other` did not get is for `known` to be told of."""
    if other is known:
        return True
    if lost.why not in _CONNECTION_ENDED or known.who.place != other.who.place:
        return False
    # Else it was there before: another window of the same client. The end of a connection is noticed late.
    return known.met > lost.after or not known.knowledge.has_reply


def _knew_another(before: _Knowledge, told_end: int, generation: int) -> bool:
    """Whether who knew this was told of a kernel before the one of this generation, or of its end."""
    return any(0 < each < generation for each in (before.told, before.introduced, told_end))
