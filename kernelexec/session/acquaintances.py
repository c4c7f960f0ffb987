"""Who is told what: for each caller of a session, what it knows of it. A part of the heart; pure.

A caller knows the last kernel that a reply introduced to it, or that ran something of its. When that kernel
has ended, the caller is told before anything of its is run, whoever was told before; one that knew no
kernel has lost nothing. What others ran is told to each caller once, and so is a run of its own whose reply
it did not get: also to the connection that takes the place of one that has ended, as it is the same client
in the same directory.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from kernelexec.session import events as e

_RUNS_KEPT = 50  # that some caller was not told of yet; of older ones only the number is told
_LOSSES_KEPT = 1000
_CALLERS_KEPT = 500  # who has not been heard of for longer is a stranger again
_CONNECTION_ENDED = ("disconnected", "hub")  # why a reply was lost, where the next connection is told of it


@dataclass
class _Acquaintance:
    who: e.CallerId
    knows: int = 0  # the last generation that it was told of, or that ran something of its; 0: none
    introduced: int = 0  # the last generation that a reply introduced to it
    told_end: int = 0  # the last generation whose end it was told of
    heard: int = 0  # how many of all runs it was told of
    own: int = 0  # how many of the runs since then were its own
    has_reply: bool = False  # about this session
    lost_replies: dict[int, e.LostBecause] = field(default_factory=dict)  # by execution


@dataclass(frozen=True)
class _Run:
    at: int  # how many there were with it
    words: str
    by: str | None


class Acquaintances:
    """The callers of one session."""

    def __init__(self) -> None:
        self._known: dict[str, _Acquaintance] = {}  # by id; who was heard of last comes last
        self._with_lost_replies: set[str] = set()
        self._losses: deque[e.Loss] = deque(maxlen=_LOSSES_KEPT)
        self._runs: deque[_Run] = deque(maxlen=_RUNS_KEPT)  # in the present kernel
        self._ran = 0  # ever
        self._ran_before = 0  # in earlier kernels
        self._foreign = 0  # of other clients of the present one

    def knows(self, caller: str) -> bool:
        return caller in self._known

    def meet(self, who: e.CallerId) -> bool:
        """Whether this caller was unknown."""
        known = self._known.get(who.id)
        if known is not None:
            known.who = who
            return False
        # Nobody need be told again what the person ran while no client was there.
        heard = max((each.heard for each in self._known.values()), default=0)
        self._known[who.id] = _Acquaintance(who, heard=heard)
        while len(self._known) > _CALLERS_KEPT:
            stranger = next(iter(self._known))
            del self._known[stranger]
            self._with_lost_replies.discard(stranger)
        return True

    def begin_generation(self) -> None:
        """A new kernel, in which nobody has run anything."""
        self._runs.clear()
        self._ran_before, self._foreign = self._ran, 0
        for known in self._known.values():
            known.own = 0

    def ran(self, words: str, by: str | None) -> None:
        """Something was run in the kernel, by a caller or by another client of the kernel."""
        self._ran += 1
        self._runs.append(_Run(self._ran, words, by))
        if by is None:
            self._foreign += 1
        elif by in self._known:
            self._known[by].own += 1

    def uses(self, caller: str | None, generation: int) -> None:
        """Something of the caller's runs in the kernel of this generation."""
        known = self._known.get(caller or "")
        if known is not None:
            known.knows = max(known.knows, generation)

    def lost(self, loss: e.Loss) -> None:
        """A kernel has ended. Who had it ended knows."""
        self._losses.append(loss)
        if loss.by in self._known:
            self._known[loss.by].told_end = loss.generation

    def take_losses(self, caller: str | None) -> list[e.TellLoss]:
        """The ends of kernels that this caller is to be told of; it counts as told."""
        known = self._known.get(caller or "")
        if known is None or known.told_end >= known.knows:
            return []
        new = [loss for loss in self._losses if loss.generation >= known.knows]
        if not new:
            return []
        known.told_end = new[-1].generation
        if new[0].generation != known.knows:  # nothing was run in the one that it knew
            return []
        shown = new if len(new) == 1 else [new[0], new[-1]]
        return [e.TellLoss(loss, self.ended_by(loss, caller)) for loss in shown]

    def ended_by(self, loss: e.Loss, told: str | None) -> str | None:
        """The name of the caller who had the kernel ended, for another caller; None: nobody else did."""
        return None if loss.by is None or loss.by == told else self._name(loss.by)

    def reply_lost(self, caller: str | None, number: int, why: e.LostBecause) -> bool:
        """A reply did not reach this caller. False: that was known, or it is a stranger."""
        known = self._known.get(caller or "")
        if known is None or known.lost_replies.get(number) == why:
            return False
        known.lost_replies[number] = why
        self._with_lost_replies.add(known.who.id)
        return True

    def owes_replies(self, caller: str) -> bool:
        """Whether this caller is to be told of a reply that it did not get."""
        return bool(self._known[caller].lost_replies)

    def tell(self, caller: str, generation: int | None, tells: int | None, *, introduces: bool) -> e.Tell:
        """All that a reply has to tell a caller beside its own matter, the execution `tells`.

        `generation`: of the kernel, if there is one; `introduces`: the reply can say which one it is.
        """
        known = self._known[caller] = self._known.pop(caller)
        ran = self._new_runs(known)
        all_of_them = self._ran - max(known.heard, self._ran_before) - known.own
        told = e.Tell(
            is_first=introduces and generation is not None and known.introduced != generation,
            losses=tuple(self.take_losses(caller)),
            ran=ran,
            ran_number=all_of_them if known.has_reply else min(all_of_them, self._foreign),
            lost_replies=tuple(self._take_lost_replies(known, tells)),
        )
        known.heard, known.own, known.has_reply = self._ran, 0, True
        if generation is not None:
            known.knows = generation
            known.introduced = generation if introduces else known.introduced
        return told

    def _new_runs(self, known: _Acquaintance) -> tuple[e.TellRun, ...]:
        if known.heard == self._ran:
            return ()
        # Who comes new takes the variables as they are; only what the person ran nobody else was told.
        return tuple(
            e.TellRun(run.words, None if run.by is None else self._name(run.by))
            for run in self._runs
            if run.at > known.heard and run.by != known.who.id and (known.has_reply or run.by is None)
        )

    def _take_lost_replies(self, known: _Acquaintance, tells: int | None) -> list[e.TellLostReply]:
        found: list[e.TellLostReply] = []
        for other in [self._known[caller] for caller in sorted(self._with_lost_replies)]:
            mine = other is known
            for number, why in list(other.lost_replies.items()):
                if mine or (why in _CONNECTION_ENDED and other.who.place == known.who.place):
                    del other.lost_replies[number]
                    if number != tells:
                        found.append(e.TellLostReply(number, why, was_yours=mine))
            if not other.lost_replies:
                self._with_lost_replies.discard(other.who.id)
        return found

    def _name(self, caller: str) -> str:
        known = self._known.get(caller)
        return known.who.client if known is not None else ""
