"""Carriage returns and backspaces, as JupyterLab folds them, however the text is cut into messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.overwritten_text import OverwrittenText, overwritten


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\nlines\n", "plain\nlines\n"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("long line\rshort\n", "shortline\n"),
        ("windows\r\nlines\r\n", "windows\nlines\n"),
        ("typo\b\bpe", "type"),
        ("\b\b", ""),
        ("a\n\bb", "a\nb"),
        ("ä\rö", "ö"),
        ("one\ud800", "one\\ud800"),
    ],
)
def test_what_is_overwritten_is_gone(text: str, shown: str) -> None:
    assert overwritten(text) == shown


@given(st.lists(st.text("aä€😀\r\b\n", max_size=6), max_size=8))
def test_each_addition_says_how_much_stays_and_what_follows_it(parts: list[str]) -> None:
    text, shown = OverwrittenText(), b""
    for part in parts:
        kept, follows = text.add(part)
        assert kept <= len(shown)
        shown = shown[:kept] + follows.encode()
    assert shown.decode() == overwritten("".join(parts))


def test_a_long_text_that_grows_line_by_line_is_not_looked_at_again() -> None:
    text = OverwrittenText()
    for number in range(1000):
        kept, follows = text.add(f"line {number}\n")
        assert follows == f"line {number}\n"
    assert kept == sum(len(f"line {number}\n") for number in range(999))
