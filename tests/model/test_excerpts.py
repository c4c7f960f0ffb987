"""Head and tail of a long text, and where in the raw text the rest begins."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from kernelexec.model.excerpts import clip, excerpt, plain_from
from kernelexec.model.text import plain

BARS = "".join(f"\rtrain {n:4d}/2000\n\rtest  {n:4d}/2000\x1b[A" for n in range(2_001))


def test_bars_that_redraw_are_two_lines_of_an_excerpt_however_long_it_took() -> None:
    assert excerpt(f"begin\n{BARS}\n\nend", 500, lambda _: "there").split("\n") == [
        "begin",
        "train 2000/2000",
        "test  2000/2000",
        "end",
    ]


def test_a_long_text_with_bars_in_it_is_cut_where_nothing_later_changes_what_came_before() -> None:
    lines = "".join(f"line {n}\n" for n in range(3_000))
    raw = f"{BARS}\n\n{lines}"
    shown = excerpt(raw, 1_000, lambda position: f"from {position}")
    position = int(shown.partition("from ")[2].split()[0])
    head, tail = shown.partition("\n[...")[0], shown.rpartition("...]\n")[2]
    assert head.startswith("train 2000/2000\ntest  2000/2000\nline 0\n")
    assert raw[:position].endswith(head.rpartition("\n")[2] + "\n")
    assert raw.endswith(f"\n{tail}\n")
    assert len(shown) <= 1_000


def test_what_is_new_of_a_line_is_its_rest_unless_it_was_overwritten() -> None:
    assert plain_from("epoch 1 loss 0.5\n", 8) == "loss 0.5\n"
    assert plain_from("10%\r20%\n", 3) == "20%\n"
    assert excerpt("10%\r20%\rab\b", 100, lambda _: "there", 3) == "ab%"
    assert excerpt(f"a\nb\n\x1b[2Ac{''}", 100, lambda _: "there", 4) == "c"


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
