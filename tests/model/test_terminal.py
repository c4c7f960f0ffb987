"""Text as a small terminal shows it; pyte says what is right."""

from __future__ import annotations

import itertools
import time

import pyte
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kernelexec.model.terminal import Terminal, moves, shown, stretches

patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=300)
UP, ERASE = "\x1b[A", "\x1b[K"


def pytes_rows(text: str) -> list[str]:
    screen = pyte.Screen(500, 500)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))  # as the driver of a terminal does
    rows = [screen.buffer[row] for row in range(max(screen.buffer, default=0) + 1)]
    return ["".join(row[x].data for x in range(max(row, default=-1) + 1)).rstrip() for row in rows]


def without_end(rows: list[str]) -> list[str]:
    rows = [row.rstrip() for row in rows]
    while rows and not rows[-1]:
        rows.pop()
    return rows


WORDS = st.text(alphabet="abcXYZ 0", min_size=1, max_size=9)
COUNTS = st.sampled_from(["", "0", "1", "2", "3", "7", "40"])
WRITTEN = st.one_of(
    WORDS,
    st.sampled_from(
        ["\r", "\n", "\b", "\v", "\f", "\r\n", "\x1b7", "\x1b8", "\x1b[m", "\x1b[1;31m", "\x1bM", "\x1bD"]
    ),
    st.builds("\x1b[{}{}".format, COUNTS, st.sampled_from("ABCDEFG")),
    st.builds("\x1b[{}{}".format, st.sampled_from(["", "0", "1", "2"]), st.sampled_from("KJ")),
    st.builds("\x1b[{}{}".format, st.sampled_from(["", "1", "3"]), st.sampled_from("@PX")),
    st.builds("\x1b[{};{}{}".format, COUNTS, COUNTS, st.sampled_from("Hf")),
    st.builds("\x1b[{}d".format, COUNTS),
)


@patiently
@given(st.lists(WRITTEN, max_size=30))
def test_any_text_is_shown_as_pyte_shows_it(parts: list[str]) -> None:
    text = "\x1b[H" + "".join(parts)
    terminal = Terminal()
    terminal.write(text)
    assert without_end(terminal.rows()) == without_end(pytes_rows(text))


@patiently
@given(st.lists(WRITTEN, max_size=20), st.lists(st.integers(0, 200), max_size=4))
def test_it_makes_no_difference_in_which_pieces_text_is_folded(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    whole = Terminal()
    whole.write(text)
    assert whole.text() == shown(text) or not moves(text)
    for cut in cuts:
        changed = stretches(text, min(cut, len(text)))
        assert all(one.end <= other.start for one, other in itertools.pairwise(changed))
        rows = whole.text().split("\n")
        for stretch in changed:
            first, *others = stretch.text.split("\n")
            assert any(row.endswith(first) for row in rows)
            assert all(any(row.endswith(other) for row in rows) for other in others)
    everything = stretches(text)
    assert "\n".join(one.text for one in everything).rstrip("\n") == _lines_written(whole).rstrip("\n")


def _lines_written(terminal: Terminal) -> str:
    return "\n".join(one.text for one in terminal.changed())


def bars(step: int) -> str:
    """What tqdm writes for three bars with positions."""
    lines = [f"\rworker {n}: {step:3d}%" for n in range(3)]
    return "\n".join(lines) + UP * 2


REDRAWN = {
    "tqdm": ("".join(map(bars, range(101))), "worker 0: 100%|worker 1: 100%|worker 2: 100%"),
    "rich": ("a\nb\n" + f"\r\x1b[2K{UP}\x1b[2K{UP}\x1b[2Kprinted\na\nB\n", "printed|a|B|"),
    "rich, transient": ("a\nb" + f"\r\x1b[2K{UP}\x1b[2Kdone\n", "done|"),
    "docker": ("one: 0%\ntwo: 0%\n\x1b[2A\x1b[2K\rone: 9%\x1b[2B\r", "one: 9%|two: 0%|"),
    "pip": ("   ━━ 1.0/2 MB\r\x1b[2K   ━━ 2.0/2 MB\n", "   ━━ 2.0/2 MB|"),
    "erased to its end": (f"downloading\r{ERASE}done", "done"),
    "clear": ("a: 42\n\x1b[H\x1b[2Jframe 1\n\x1b[H\x1b[2Jframe 2\n", "a: 42|frame 2|"),
    "rows without text": ("\x1b[5;3Hhere", "  here"),
    "a column too far": ("\x1b[999;999Hx", " " * 499 + "x"),
    "apt": ("abc\x1b7\n\x1b[0;23r\x1b8 1\x1b7\x1b[24;0fProgress 5%\x1b8\nnext\n", "abc 1|next|"),
    "a deleted line": ("one\ntwo\nthree\n\x1b[2A\x1b[Mx\n", "one|xhree|"),
    "an inserted line": (f"one\ntwo{UP}\r\x1b[Lnew", "new|one|two"),
    "characters": ("abcdef\x1b[3G\x1b[2P\x1b[2@", "ab  ef"),
}


@pytest.mark.parametrize(("raw", "seen"), REDRAWN.values(), ids=REDRAWN)
def test_what_redraws_is_seen_once(raw: str, seen: str) -> None:
    assert shown(raw).split("\n") == seen.split("|")


def test_what_was_printed_500_lines_ago_is_out_of_the_cursors_reach() -> None:
    lines = "".join(f"{n}\n" for n in range(600))
    assert shown(lines + "\x1b[9999A" + "X").split("\n")[101] == "X01"


def test_of_bars_that_were_seen_those_that_changed_are_new() -> None:
    raw = "start\n" + "".join(map(bars, range(50)))
    assert [one.text for one in stretches(raw + "\nworker 1:  60%\n", len(raw))] == ["worker 1:  60%"]


def test_of_a_line_to_which_was_added_the_rest_is_new() -> None:
    raw = f"a\nb{UP}\n\nloss"
    assert [one.text for one in stretches(raw + ": 0.3\n", len(raw))] == [": 0.3"]
    assert [one.text for one in stretches(raw + "\rgain: 0.3\n", len(raw))] == ["gain: 0.3"]
    assert [one.text for one in stretches(raw + "\rlossless\n", len(raw))] == ["lossless"]


def test_a_code_that_was_cut_where_the_reader_stopped_is_whole_again() -> None:
    raw = "a\nb\x1b[" + "2K\rc"
    assert [one.text for one in stretches(raw, raw.index("2K"))] == ["c"]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("".join(map(bars, range(15_000))), id="bars"),
        pytest.param("x" * 1_000_000 + "\by" * 20_000 + "\r" + "z\x1b[K" * 100, id="edits of a long line"),
        pytest.param("\x1b[99999B\x1b[99999C.\x1b[99999L" * 500, id="jumps"),
        pytest.param("\x1b[99999A\x1b[L\x1b[2J" * 300, id="insertions"),
    ],
)
def test_long_and_hostile_text_is_folded_in_time_and_space(raw: str) -> None:
    began = time.process_time()
    assert len(shown(raw)) <= max(1_000_000, len(raw))
    assert time.process_time() - began < 1.0
