"""Conversations with a session's heart: `>>` is what happens, `<<` what follows.

    Playbook() >> submit(1) << begin(1) >> sent(1) << becomes(1, "sent") >> died("SIGKILL", "x") ...

Each instruction that follows must be named, in order, before the next thing happens; journal lines may be
left out, and `says` stands for a part of an end's words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from kernelexec.model.execution import Kind, State
from kernelexec.model.variable_names import VariableNames
from kernelexec.session import events as e
from kernelexec.session.heart import Heart, IllegalEvent
from kernelexec.session.notices import notices

SESSION = "sales@analysis"
ANN = e.CallerId("ann", "claude-code", "/home/ann/sales")
BEN = e.CallerId("ben", "codex", "/home/ann/sales")
ANN_AGAIN = e.CallerId("ann-2", "claude-code", "/home/ann/sales")  # after a restart of her client


@dataclass(frozen=True)
class Ends:
    """An execution comes to this end, `says` is a part of why, and `never` none."""

    number: int
    state: State
    says: str = ""
    never: str = "\0"


@dataclass(frozen=True)
class Tells:
    """A reply tells its caller these things; a part of each, in order."""

    parts: tuple[str, ...]


class Impossible:
    """The event before cannot happen now."""


Expected = e.Instruction | Ends | Tells | Impossible


class Playbook:
    """One conversation; what is not as it says raises an AssertionError at once."""

    def __init__(self, heart: Heart | None = None) -> None:
        self.heart = heart or Heart(SESSION)
        self._pending: list[e.Instruction] = []
        self._refused: IllegalEvent | None = None

    def __rshift__(self, event: e.Event | tuple[e.Event, ...]) -> Playbook:
        for each in event if isinstance(event, tuple) else (event,):
            self.ends()
            try:
                self._pending = self.heart.handle(each)
            except IllegalEvent as error:
                self._refused = error
        return self

    def __lshift__(self, expected: Expected) -> Playbook:
        if isinstance(expected, Impossible):
            assert self._refused is not None, "it was possible"
            self._refused = None
            return self
        while self._pending:
            found = self._pending.pop(0)
            if isinstance(found, e.Note) and not isinstance(expected, e.Note):
                continue
            _compare(found, expected)
            return self
        raise AssertionError(f"nothing followed, and {expected} was expected; {self._refused}")

    def heard(self) -> list[e.Instruction]:
        """What followed and has not been named yet, but for journal lines."""
        left = [each for each in self._pending if not isinstance(each, e.Note)]
        self._pending = []
        return left

    def ends(self) -> None:
        """Nothing else followed."""
        left = [each for each in self._pending if not isinstance(each, e.Note) and each != e.Tell()]
        assert not left, f"this followed, too: {left}"
        assert self._refused is None, self._refused


def _compare(found: e.Instruction, expected: Expected) -> None:
    if isinstance(expected, Ends):
        assert isinstance(found, e.Finish), f"{found} followed, not {expected}"
        assert (found.number, found.state) == (expected.number, expected.state)
        assert expected.says in (found.problem or ""), found.problem
        assert expected.never not in (found.problem or ""), found.problem
    elif isinstance(expected, Tells):
        assert isinstance(found, e.Tell), f"{found} followed, not {expected}"
        words = notices(found, SESSION, {})
        assert len(words) == len(expected.parts), words
        for text, part in zip(words, expected.parts, strict=True):
            assert part in text, text
    else:
        if isinstance(found, e.Tell):
            found = replace(found, now=None, replayed=False)
        assert found == expected


# --- what happens ---------------------------------------------------------------------------------


def submit(
    number: int, by: e.CallerId | None = ANN, within: int | None = None, asked: int | None = None
) -> tuple[e.Event, ...]:
    met = (e.Met(by),) if by is not None else ()
    who = by.id if by is not None else None
    return (*met, e.Submitted(number, Kind.CODE, who, within, f"code {number}", asked))


def submit_replay(number: int, by: e.CallerId = ANN) -> tuple[e.Event, ...]:
    return e.Met(by), e.Submitted(number, Kind.REPLAY, by.id)


def submit_job(number: int, by: e.CallerId = ANN) -> tuple[e.Event, ...]:
    return e.Met(by), e.Submitted(number, Kind.INSTALL, by.id)


def kernel(generation: int = 1) -> e.Event:
    return e.Started(generation)


def sent(number: int) -> e.Event:
    return e.Sent(number, f"m{number}")


def died(
    cause: str, *names: str, by: e.CallerId | None = None, begun: str | None = None, generation: int = 1
) -> e.Event:
    lost = VariableNames(names, len(names))
    return e.Died(e.Loss(generation, cause, lost, by.id if by else None, begun))


def reply(to: e.CallerId = ANN, about: int | None = None, as_reply: int | None = None) -> e.Event:
    return e.Replying(to, about, reply=as_reply)


def ended(number: int, state: State = State.OK) -> e.Event:
    return e.Ended(number, state)


# --- what follows ---------------------------------------------------------------------------------


def begin(number: int) -> e.Instruction:
    return e.Begin(number)


def becomes(number: int, state: State) -> e.Instruction:
    return e.Become(number, state)


def ends(number: int, state: State = State.OK, says: str = "", never: str = "\0") -> Ends:
    return Ends(number, state, says, never)


def not_run(number: int, says: str = "", never: str = "\0") -> Ends:
    return Ends(number, State.NOT_RUN, says, never)


def tells(*parts: str) -> Tells:
    return Tells(parts)


def ran(book: Playbook, number: int, by: e.CallerId = ANN) -> Playbook:
    """A whole run and its reply."""
    book = book >> submit(number, by) << begin(number) >> sent(number) << becomes(number, State.SENT)
    book = book >> ended(number) << ends(number)
    book >> reply(by, number)
    book._pending.clear()
    return book
