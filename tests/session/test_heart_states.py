"""Every event in every order: the heart stays with its rules whatever happens."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kernelexec.model.execution import Kind, State
from kernelexec.model.variable_names import VariableNames
from kernelexec.session import events as e
from kernelexec.session.heart import NEXT, Heart, IllegalEvent
from tests.session.playbook import ANN, ANN_AGAIN, BEN, SESSION

CALLERS = st.sampled_from([None, ANN, BEN, ANN_AGAIN])
NUMBERS = st.integers(1, 12)
ENDS = st.sampled_from([State.OK, State.ERROR, State.INTERRUPTED, State.UNKNOWN])
KINDS = st.sampled_from([Kind.CODE, Kind.CODE, Kind.CODE, Kind.REPLAY, Kind.INSTALL])


class Hearts(RuleBasedStateMachine):
    """A heart that is told anything, also what cannot be, beside a record of what it said."""

    @initialize()
    def begin(self) -> None:
        self.heart = Heart(SESSION)
        self.submitted: dict[int, Kind] = {}
        self.callers: dict[int, str | None] = {}
        self.ends: dict[int, State] = {}
        self.states: dict[int, State] = {}
        self.sent: dict[int, int] = {}  # how often the kernel was sent each, without being given it back
        self.begun: list[int] = []  # whose turn came
        self.parts: set[int] = set()  # what a replay runs again
        self.generation = 0
        self.knew: dict[str, int] = {}  # by caller: the last generation that it had a run or a reply of
        self.told_of: dict[str, int] = {}  # by caller: the last generation whose end it was told of
        self.lost: list[int] = []  # generations that ended with something in them
        self.has_run = False

    def tell(self, event: e.Event) -> list[e.Instruction]:
        before = self.picture()
        try:
            followed = self.heart.handle(event)
        except IllegalEvent:
            assert self.picture() == before, "what is refused changes nothing"
            return []
        for instruction in followed:
            self.see(instruction)
        return followed

    def picture(self) -> object:
        heart = self.heart
        states = {number: heart.state_of(number) for number in range(1, 40)}
        return states, heart.turn, heart.queued, heart.generation, heart.has_kernel

    def see(self, instruction: e.Instruction) -> None:
        if isinstance(instruction, e.Finish):
            assert instruction.number in self.submitted
            assert instruction.number not in self.ends, "each has one end"
            assert instruction.state in NEXT[self.states[instruction.number]]
            self.ends[instruction.number] = instruction.state
        elif isinstance(instruction, e.Become):
            assert instruction.number not in self.ends, "nothing leaves its end"
            assert instruction.state in NEXT[self.states[instruction.number]]
            self.states[instruction.number] = instruction.state
        elif isinstance(instruction, e.Begin):
            assert instruction.number not in self.ends
            assert instruction.number not in self.begun, "each has one turn"
            self.begun.append(instruction.number)
            turns = [n for n in self.begun if n not in self.ends and n not in self.parts]
            assert len(turns) <= 1, "one has its turn at a time"
        elif isinstance(instruction, e.Rejoin):
            assert self.states[instruction.number] in (State.SENT, State.RUNNING)

    @rule(caller=CALLERS, kind=KINDS)
    def submit(self, caller: e.CallerId | None, kind: Kind) -> None:
        number = len(self.submitted) + 1
        within = self.heart.turn if kind is Kind.CODE and self.is_replaying() else None
        if within is not None:
            self.parts.add(number)
        if caller is not None:
            self.tell(e.Met(caller))
        self.submitted[number], self.states[number] = kind, State.QUEUED
        self.callers[number] = caller.id if caller else None
        self.tell(e.Submitted(number, kind, self.callers[number], within, f"code {number}"))
        if kind is Kind.CODE and within is None:
            refused = self.ends.get(number) is State.NOT_RUN
            assert refused == self.is_ignorant(caller), (
                "who does not know of a loss gets it back, and no other"
            )
            if refused:
                self.told_of[caller.id] = self.generation

    def is_replaying(self) -> bool:
        turn = self.heart.turn
        return turn is not None and self.submitted[turn] is Kind.REPLAY and self.states[turn] is State.RUNNING

    def is_ignorant(self, caller: e.CallerId | None) -> bool:
        if caller is None or caller.id not in self.knew:
            return False
        knew = self.knew[caller.id]
        return knew in self.lost and self.told_of.get(caller.id, 0) < knew

    @rule(number=NUMBERS)
    def send(self, number: int) -> None:
        if self.heart.has_kernel or self.submitted.get(number) is not Kind.CODE:
            followed = self.tell(e.Sent(number, f"m{number}"))
            if followed and self.submitted[number] is Kind.CODE:
                assert number in self.begun, "it had its turn"
                self.sent[number] = self.sent.get(number, 0) + 1
                assert self.sent[number] == 1, "what was sent, and not given back, is not sent again"
                self.has_run = True
                caller = self.callers[number]
                if caller is not None:
                    self.knew[caller] = self.generation

    @rule(number=NUMBERS)
    def begins(self, number: int) -> None:
        self.tell(e.Began(number))

    @rule(number=NUMBERS)
    def aborted(self, number: int) -> None:
        if self.submitted.get(number) is Kind.CODE and self.tell(e.Aborted(number)):
            self.sent[number] = 0

    @rule(number=NUMBERS, state=ENDS)
    def end(self, number: int, state: State) -> None:
        self.tell(e.Ended(number, state))

    @rule(number=NUMBERS)
    def take_back(self, number: int) -> None:
        if number in self.submitted:
            self.tell(e.TakenBack(number, "Cancelled."))

    @rule(number=NUMBERS)
    def fail(self, number: int) -> None:
        self.tell(e.Failed(number, "A fault."))

    @rule()
    def no_kernel(self) -> None:
        if not self.heart.has_kernel:
            self.tell(e.NoKernel("It does not start."))

    @rule()
    def start(self) -> None:
        if not self.heart.has_kernel and not self.heart.in_flight:
            self.generation += 1
            self.has_run = False
            self.tell(e.Started(self.generation))

    @rule(by=CALLERS, begun=st.sampled_from([None, "", "m1", "m2", "m3", "m4"]))
    def die(self, by: e.CallerId | None, begun: str | None) -> None:
        if not self.heart.has_kernel:
            return
        if by is not None:
            self.tell(e.Met(by))
        knew_all = by is not None and not self.is_ignorant(by)
        in_flight = self.heart.in_flight
        lost = VariableNames(("x",), 1)
        self.tell(e.Died(e.Loss(self.generation, "it died", lost, by.id if by else None, begun)))
        if self.has_run:
            self.lost.append(self.generation)
            if by is not None and knew_all:
                self.told_of[by.id] = self.generation
        assert self.heart.queued == 0, "what waited is not run"
        for number in in_flight:
            self.tell(e.NoReply(number))
            assert self.ends[number] in (State.DIED, State.NOT_RUN)

    @rule(caller=CALLERS.filter(lambda caller: caller is not None))
    def reply(self, caller: e.CallerId) -> None:
        [tell] = [each for each in self.tell(e.Replying(caller)) if isinstance(each, e.Tell)]
        assert bool(tell.losses) == self.is_ignorant(caller)
        if self.heart.has_kernel:
            self.knew[caller.id] = self.generation
        self.told_of[caller.id] = max([self.told_of.get(caller.id, 0), *self.lost])
        [again] = [each for each in self.tell(e.Replying(caller)) if isinstance(each, e.Tell)]
        assert again == e.Tell(), "each thing is told once"

    @rule(caller=CALLERS.filter(lambda caller: caller is not None), reply=st.integers(1, 100))
    def reply_in_vain(self, caller: e.CallerId, reply: int) -> None:
        ignorant = self.is_ignorant(caller)
        self.tell(e.Met(caller))
        [tell] = [each for each in self.tell(e.Replying(caller, reply=reply)) if isinstance(each, e.Tell)]
        assert bool(tell.losses) == ignorant
        self.tell(e.NotDelivered(caller.id, reply))
        assert self.is_ignorant(caller) == ignorant

    @rule(number=NUMBERS, caller=CALLERS.filter(lambda caller: caller is not None))
    def lose_reply(self, number: int, caller: e.CallerId) -> None:
        if number in self.submitted:
            self.tell(e.ReplyLost(caller.id, number, "cancelled"))

    @rule()
    def person_runs(self) -> None:
        if self.heart.has_kernel:
            self.has_run = True
            self.tell(e.ForeignRun("In [1]: x = 1"))

    @rule(found=st.booleans())
    def replace_hub(self, found: bool) -> None:
        left = self.heart.has_kernel
        self.tell(e.HubReplaced(kernel_left=left))
        self.begun = [
            number for number in self.begun if number in self.ends or number in self.heart.in_flight
        ]
        if left and found:
            self.tell(e.Adopted(self.generation))
        elif left:
            self.tell(e.Died(e.Loss(self.generation, "it is gone")))
            if self.has_run:
                self.lost.append(self.generation)
        assert not self.heart.queued

    @invariant()
    def one_is_in_flight_and_what_has_no_end_is_known(self) -> None:
        assert len(self.heart.in_flight) <= 1
        for number in self.submitted:
            if number not in self.ends:
                assert self.heart.state_of(number) is self.states[number]

    @invariant()
    def what_is_in_flight_has_its_turn(self) -> None:
        heart = self.heart
        if heart.has_kernel and heart.in_flight:
            assert heart.turn is not None


TestHearts = Hearts.TestCase
TestHearts.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("state", list(State))
def test_an_unknown_execution_is_refused_in_words(state: State) -> None:
    with pytest.raises(IllegalEvent, match="7 has ended or was never submitted"):
        Heart(SESSION).handle(e.Ended(7, state))
