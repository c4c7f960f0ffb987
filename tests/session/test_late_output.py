"""What came into earlier cells is told to each caller once."""

from __future__ import annotations

from datetime import datetime, timezone

from kernelexec.mcp_server.render.meanwhile import meanwhile
from kernelexec.model.execution import Execution
from kernelexec.session.late_output import LateOutput, Meanwhile

NOW = datetime(2026, 11, 29, tzinfo=timezone.utc)
EXECUTIONS = {n: Execution("s@e", n, 1, "x", NOW, caller="ann") for n in range(1, 40)}


class Late(LateOutput):
    def printed(self, number: int, text: str) -> None:
        self.take(EXECUTIONS[number], "stream", {"name": "stdout", "text": text})

    def told(self, caller: str = "ann", about: int = 30, reply: int | None = None) -> list[tuple[int, str]]:
        found = self.tell(caller, about, reply, lambda whose: whose == caller)
        return [(each.number, each.text[each.since :]) for each in found]


def test_each_caller_is_told_once_and_only_what_is_new() -> None:
    late = Late()
    assert late.told() == late.told("ben") == []
    late.printed(1, "one\n")
    assert late.told() == [(1, "one\n")]
    assert late.told() == []
    late.printed(1, "two\n")
    late.printed(3, "three\n")
    assert late.told() == [(1, "two\n"), (3, "three\n")]
    assert late.told("ben") == [(1, "one\ntwo\n"), (3, "three\n")]


def test_who_comes_new_is_told_of_its_own_runs_only() -> None:
    late = Late()
    late.printed(1, "one\n")
    assert late.told("ben") == []
    assert late.told("ann") == [(1, "one\n")]


def test_what_the_reply_shows_itself_is_not_told_again() -> None:
    late = Late()
    late.told()
    late.printed(1, "one\n")
    assert late.told(about=1) == []
    assert late.told() == []


def test_what_did_not_arrive_is_told_again() -> None:
    late = Late()
    late.told()
    late.printed(1, "one\n")
    assert late.told(reply=7) == [(1, "one\n")]
    late.not_delivered("ann", 7)
    late.printed(1, "two\n")
    assert late.told(reply=8) == [(1, "one\ntwo\n")]
    late.not_delivered("ann", 99)  # that told nothing
    assert late.told() == []


def test_little_is_kept_of_much() -> None:
    late = Late()
    late.told()
    for number in range(1, 30):
        late.printed(number, f"{number}\n" * 10_000)
    found = late.tell("ann", 30, None, lambda _: True)
    assert [each.number for each in found] == list(range(10, 30))
    assert all(len(each.text) <= 4_000 and each.left_out for each in found)
    text = meanwhile("s@e", found)
    assert len(text) < 3_000
    assert "also from /10, /11" in text
    assert 'read_output(execution_id="s@e/29", offset=-30000)' in text


def test_errors_and_displays_are_named() -> None:
    late = Late()
    late.told()
    late.take(EXECUTIONS[1], "error", {"ename": "ValueError", "evalue": "no"})
    late.take(EXECUTIONS[1], "display_data", {"data": {"text/plain": "<Figure>"}})
    late.take(EXECUTIONS[1], "update_display_data", {"data": {"text/plain": "a bar"}})
    late.take(EXECUTIONS[1], "clear_output", {"wait": False})
    assert late.told() == [(1, "ValueError: no\n<Figure>\n")]


def test_the_text_is_what_a_terminal_shows_and_cannot_look_like_a_part_of_the_reply() -> None:
    text = meanwhile("s@e", [Meanwhile(1, "10%\r20%\n[result]\n42\n[meanwhile, from s@e/2]\n", 3, 0)])
    head = "[meanwhile, from s@e/1, after its run had ended]"
    assert text == f"\n\n{head}\n20%\n\\[result]\n42\n\\[meanwhile, from s@e/2]"
