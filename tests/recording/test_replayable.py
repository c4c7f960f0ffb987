"""Which submissions a replay runs again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from kernelexec.model.execution import LOST_WITH_KERNEL
from kernelexec.recording.journal import Journal
from kernelexec.recording.replayable import Choice, choose, in_words


class Told:
    """A journal with what happened, in order."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.number = self.generation = 0

    def records(self) -> Iterator[dict[str, Any]]:
        return iter(self.lines)

    def kernel(self) -> Told:
        self.generation += 1
        self.lines.append({"event": "kernel", "generation": self.generation})
        return self

    def ran(
        self, count: int = 1, state: str = "ok", kind: str = "code", code: str | None = None, **more: Any
    ) -> Told:
        for _ in range(count):
            self.number += 1
            about = {"n": self.number, "generation": self.generation, "kind": kind}
            what = {"code": code or f"code {self.number}", "label": None, "note": None}
            self.lines.append({"event": "submitted", **about, **what})
            self.lines.append({"event": "finished", "n": self.number, "state": state, **more})
        return self

    def other(self) -> Told:
        self.lines.append({"event": "other", "code": "z = 1"})
        return self

    def died(self, *names: str, wished: bool = False) -> Told:
        about = {"generation": self.generation, "cause": "it ended", "wished": wished}
        self.lines.append({"event": "died", **about, "names": list(names), "number": len(names)})
        return self

    def choose(self, wanted: int | None = None) -> Choice:
        choice = choose(cast(Journal, self), self.generation, wanted)
        assert choice is not None
        return choice


def numbers(choice: Choice) -> list[int]:
    return [success.number for success in choice.successes]


def test_what_succeeded_in_the_last_kernel_is_taken_and_the_rest_is_named() -> None:
    told = Told().kernel().ran().ran(state="error", error="KeyError").ran().ran(state="died").other()
    told.ran(3, state="not_run").ran(lost=LOST_WITH_KERNEL)
    choice = told.choose()
    assert numbers(choice) == [1, 3]
    assert in_words(choice.left_out) == "2 (KeyError), 4 (died), 5-7 (not run), 8 (it ended its kernel)"
    assert (choice.foreign, choice.generations) == (1, (1,))


def test_a_kernel_that_died_is_taken_though_a_line_was_run_since() -> None:
    told = Told().kernel().ran(5).died("df").kernel().ran()
    assert numbers(told.choose()) == [1, 2, 3, 4, 5, 6]
    assert told.choose().names.first == ("df",)
    assert numbers(told.died("x").kernel().ran(state="error").choose()) == [1, 2, 3, 4, 5, 6]


def test_a_kernel_that_was_rebuilt_since_is_not_taken_and_can_be_named() -> None:
    told = Told().kernel().ran(2).died().kernel().ran(3)
    choice = told.choose()
    assert numbers(choice) == [3, 4, 5]
    assert choice.other is not None
    assert (choice.other.generation, len(choice.other.successes)) == (1, 2)
    assert numbers(told.choose(1)) == [1, 2]
    assert choose(cast(Journal, told), 2, 7) is None


def test_a_kernel_whose_code_was_all_run_again_since_is_not_taken() -> None:
    assert numbers(Told().kernel().ran(code="x = 1").died().kernel().ran(code="x = 1").choose()) == [2]
    assert numbers(Told().kernel().ran(code="x = 1").died().kernel().ran(code="y = 1").choose()) == [1, 2]


def test_what_somebody_ended_is_not_taken_unless_nothing_came_after_it() -> None:
    told = Told().kernel().ran(5).died(wished=True).kernel()
    assert numbers(told.choose()) == [1, 2, 3, 4, 5]
    assert numbers(told.ran().choose()) == [6]


def test_what_was_replayed_is_not_taken_from_its_first_kernel_too() -> None:
    told = Told().kernel().ran(3).died().kernel().ran(1, kind="replay").ran(3)
    choice = told.choose()
    assert (numbers(choice), choice.other) == ([5, 6, 7], None)


def test_after_a_replay_that_did_not_come_to_its_end_the_first_kernel_is_offered() -> None:
    told = Told().kernel().ran(9).died(wished=True).kernel().ran(1, "error", "replay").ran(2)
    choice = told.choose()
    assert numbers(choice) == [11, 12]
    assert choice.other is not None
    assert choice.other.generation == 1


def test_after_a_replay_that_failed_at_once_the_first_kernel_is_taken_again() -> None:
    told = Told().kernel().ran(2).died(wished=True).kernel().ran(1, "error", "replay").ran(1, "died").died()
    assert numbers(told.choose()) == [1, 2]


def test_before_anything_was_run_there_is_nothing() -> None:
    assert Told().choose().successes == ()


def test_what_the_user_ran_well_on_the_kernel_is_taken_in_its_place() -> None:
    told = Told().kernel().ran()
    error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
    for name, code, outputs in (("a", "rate = 3", []), ("b", "1/0", [error]), ("c", "never ended", None)):
        told.lines.append({"event": "other", "msg_id": name, "code": code, "count": 7})
        if outputs is not None:
            told.lines.append({"event": "other_ended", "msg_id": name, "outputs": outputs, "left_out": 0})
    choice = told.ran().choose()
    assert [success.name for success in choice.successes] == ["1", "the user's In [7]", "2"]
    assert choice.successes[1].code == "rate = 3"
    assert choice.foreign == 2
