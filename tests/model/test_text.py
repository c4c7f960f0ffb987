"""Text of outputs as it goes into a reply."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.text import plain


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx", "x"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;aGk=\x1b\\after", "after"),  # writes the clipboard
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\after", "after"),
        ("\x1b(Bx\x1bcy", "x\ny"),
        ("a\tb\nc", "a\tb\nc"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("100%\r", "100%"),
        ("downloading\rdone", "doneloading"),  # as in a terminal
        ("downloading\rdone       ", "done"),
        ("1/3\b\b\b2/3\b\b\b3/3", "3/3"),
        ("\b\bx\b", "x"),
        ("N\bNA\bA", "NA"),  # bold in a manual
        ("page\x0cnext\x0bline", "page\n    next\n        line"),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("a\x00b\x07", "a\\u0000b\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202edetrevni", "\\u202edetrevni"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
        ("hi\U000e0069\U000e0067", "hi\\ue0069\\ue0067"),  # tag characters: unseen by people, read by models
        ("ä 📈 データ", "ä 📈 データ"),
        ("\x1bä", "\\u001bä"),
        ("the rest of a code is to come\x1b[3", "the rest of a code is to come"),
        ("\x1b[", ""),
        ("", ""),
    ],
)
def test_plain_text_is_what_a_terminal_shows_and_nothing_that_misleads(raw: str, shown: str) -> None:
    assert plain(raw) == shown


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\x1b[]\\0;m\r\n\x07P"))))
def test_plain_text_has_no_control_but_tab_and_newline_and_can_be_encoded(text: str) -> None:
    shown = plain(text)
    shown.encode()
    assert not [c for c in shown if (ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) <= 0x9F]


def test_an_escape_code_that_never_ends_does_not_hide_the_lines_after_it() -> None:
    assert "Traceback" in plain("\x1b]0;oops\nTraceback (most recent call last)\n")


def test_cleaning_a_long_hostile_text_takes_linear_time() -> None:
    assert plain("\x1b]" * 100_000) == ""
    assert plain("\x1b[" + "0" * 1_000_000) == "0" * 1_000_000
