"""Where a crash in native code was, as Python's faulthandler writes it, for an assistant to read. Pure.

It names IPython's files for cells, and ends with IPython's own frames and a list of extension modules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_BEGIN = re.compile(r"^(?:Stack|Current thread 0x\S+.*|Thread 0x\S+.*) \(most recent call first\):$")
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$')
_CELL = re.compile(r"/ipykernel_\d+/\d+\.py$|^<ipython-input-")
_LISTED = re.compile(r"^Extension modules: ")
_EACH_END = 6  # frames of many that are shown


def crash_in_words(text: str, code: str, execution: str) -> str:
    """The text with the frames of faulthandler's report told by the cells that they are in.

    `code`: the cell that ran.
    """
    told: list[str] = []
    lines = text.split("\n")
    while lines:
        line = lines.pop(0)
        if not _BEGIN.match(line):
            told.append(line)
            continue
        frames = []
        while lines and (_FRAME.match(lines[0]) or lines[0] == "  ..."):
            frames.append(lines.pop(0))
        told += [line, *_told(frames, code, execution)]
        while lines and (not lines[0] or _LISTED.match(lines[0])):
            lines.pop(0)
    return "\n".join(told)


def _told(frames: Sequence[str], code: str, execution: str) -> list[str]:
    """The frames from the innermost to the cell that was run; what is below that is IPython's."""
    found = [_FRAME.match(frame) for frame in frames]
    cells = [place for place, each in enumerate(found) if each and _CELL.search(each["file"])]
    if not cells:
        return _few(list(frames))
    outermost = found[cells[-1]]
    assert outermost is not None
    own = outermost["file"] if outermost["function"] == "<module>" else None
    another = "an earlier cell" if own else "a cell"
    shown = []
    for frame, each in zip(frames[: cells[-1] + 1], found, strict=False):
        if each is None or not _CELL.search(each["file"]):
            shown.append(frame)
        elif each["file"] == own:
            shown.append(
                f"  {execution}, line {each['line']} in {each['function']}{_line(code, int(each['line']))}"
            )
        else:
            shown.append(f"  {another}, line {each['line']} in {each['function']}")
    return _few(shown)


def _line(code: str, number: int) -> str:
    lines = code.splitlines()
    return f": {lines[number - 1].strip()}" if 0 < number <= len(lines) else ""


def _few(frames: list[str]) -> list[str]:
    left_out = len(frames) - 2 * _EACH_END
    if left_out <= 0:
        return frames
    return [*frames[:_EACH_END], f"  [... {left_out} more ...]", *frames[-_EACH_END:]]
