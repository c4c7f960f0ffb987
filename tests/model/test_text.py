"""Text of outputs as it goes into a reply."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.text import clip, excerpt, plain


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;2;1;2;3mx", "x"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]52;c;aGk=\x1b\\after", "after"),  # writes the clipboard
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bP1$r0m\x1b\\after", "after"),
        ("\x1b(Bx\x1bcy", "xy"),
        ("a\tb\nc", "a\tb\nc"),
        ("10%\r20%\r100%\n", "100%\n"),
        ("100%\r", "100%"),
        ("downloading\rdone", "doneloading"),  # as in a terminal
        ("downloading\rdone       ", "done"),
        ("1/3\b\b\b2/3\b\b\b3/3", "3/3"),
        ("\b\bx\b", ""),
        ("dos\r\nlines\r\n", "dos\nlines\n"),
        ("a\x00b\x07", "a\\u0000b\\u0007"),
        ("\x9b31m", "\\u009b31m"),
        ("\u202edetrevni", "\\u202edetrevni"),
        ("a\u2066b\u2069", "a\\u2066b\\u2069"),
        ("\ud800", "\\ud800"),
        ("a\u2028b", "a\\u2028b"),
        ("hi\U000e0069\U000e0067", "hi\\ue0069\\ue0067"),  # tag characters: unseen by people, read by models
        ("ä 📈 データ", "ä 📈 データ"),
        ("\x1b", "\\u001b"),
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


def test_a_short_text_is_not_clipped() -> None:
    assert clip("x" * 100, 100, "all of it is in n.ipynb") == "x" * 100


def test_a_clipped_text_has_head_and_tail_and_says_what_is_missing_and_where_it_is() -> None:
    text = "\n".join(f"line {n}" for n in range(1000))
    clipped = clip(text, 300, "all of it is in n.ipynb")
    head, tail = clipped.partition("\n[... ")[0], clipped.rpartition("...]\n")[2]
    assert text.startswith(head + "\n")
    assert text.endswith("\n" + tail)
    left_out = len(text) - len(head) - len(tail) - len("\n")
    assert f"[... {left_out:,} characters left out; all of it is in n.ipynb ...]" in clipped


@given(st.text(min_size=1, max_size=3000), st.integers(3, 2000))
def test_a_clipped_text_keeps_to_its_limit(text: str, limit: int) -> None:
    assert len(clip(text, limit, "there")) <= limit + len("\n[... 1,000 characters left out; there ...]\n")


def test_one_long_line_is_clipped_too() -> None:
    clipped = clip("a" * 1000 + "z" * 1000, 145, "there")
    assert clipped == "a" * 60 + "\n[... 1,910 characters left out; there ...]\n" + "z" * 30


def test_an_excerpt_says_where_in_the_raw_text_the_rest_begins() -> None:
    raw = "".join(f"\x1b[31mline {n}\x1b[0m\n" for n in range(10_000))
    shown = excerpt(raw, 1_000, lambda position: f"from {position}")
    position = int(shown.partition("from ")[2].split()[0])
    head = shown.partition("\n[...")[0]
    assert plain(raw[:position]) == head + "\n"


def test_an_excerpt_of_a_progress_bar_is_what_it_came_to() -> None:
    raw = "".join(f"\r{n:9d}/1000000" for n in range(1_000_001)) + "\ndone\n"
    assert excerpt(raw, 1_000, lambda _: "there") == "  1000000/1000000\ndone\n"


def test_an_excerpt_of_a_hundred_megabytes_looks_only_at_its_ends() -> None:
    text = "0123456789\n" * 10_000_000
    began = time.process_time()
    shown = excerpt(text, 1_000, lambda _: "there")
    assert time.process_time() - began < 0.5
    assert len(shown) <= 1_000
    assert excerpt("x" * 100_000_000, 1_000, lambda _: "there").count("x") > 800
