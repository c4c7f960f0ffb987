"""Lines that come again and again, told once: a warning of a loop, for example. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_LONGEST = 4  # lines that come again together: a warning has two
_LEAST = 4  # lines that have to be saved, else they are shown


def told_once(text: str) -> str:
    """The text with how often lines come again directly, in the place of what they say again."""
    lines = text.split("\n")
    told: list[str] = []
    at = 0
    while at < len(lines):
        length, times = _repeated(lines, at)
        told += lines[at : at + length]
        if times:
            which = "the line above" if length == 1 else f"the {length} lines above"
            told.append(f"[{which} {times:,} times more]")
        at += length * (times + 1)
    return "\n".join(told)


def _repeated(lines: Sequence[str], at: int) -> tuple[int, int]:
    """How many lines from there on come again together, and how often; none: one line, no times."""
    for length in range(1, _LONGEST + 1):
        block = lines[at : at + length]
        times = 0
        while lines[at + length * (times + 1) : at + length * (times + 2)] == block:
            times += 1
        if length * times > _LEAST:
            return length, times
    return 1, 0
