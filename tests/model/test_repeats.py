"""Lines that come again and again, told once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.repeats import told_once


def test_a_line_that_comes_again_is_told_once_with_how_often() -> None:
    text = "first\n" + "findfont: not found.\n" * 26 + "last"
    assert told_once(text) == "first\nfindfont: not found.\n[the line above 25 times more]\nlast"


def test_so_are_lines_that_come_again_together() -> None:
    warning = "x.py:3: UserWarning: slow\n  warnings.warn('slow')\n"
    assert told_once(warning * 1_000).startswith(f"{warning}[the 2 lines above 999 times more]")


def test_a_few_are_shown() -> None:
    for text in ("", "a\n" * 4, "a\nb\n" * 3, "\n\n\n"):
        assert told_once(text) == text


@given(st.lists(st.sampled_from("ab"), max_size=40).map("\n".join))
def test_nothing_is_lost(text: str) -> None:
    again: list[str] = []
    for line in told_once(text).split("\n"):
        if line.startswith("["):
            words = line.strip("[]").split()
            number, times = (1, int(words[3])) if words[1] == "line" else (int(words[1]), int(words[4]))
            again += again[-number:] * times
        else:
            again.append(line)
    assert "\n".join(again) == text
