"""Stream text as JupyterLab keeps it: carriage returns and backspaces have done their work. Pure.

A progress bar of 10,000 steps is one line then, which a page can show as it changes. Files keep the text as
it came.
"""

from __future__ import annotations

import re

_SURROGATE = re.compile("[\ud800-\udfff]")
_MOVES = re.compile("([\r\b])")


class OverwrittenText:
    """Text that grows, and may go back within its last line."""

    def __init__(self) -> None:
        self._before = 0  # bytes of UTF-8 before the last line
        self._line = ""
        self._column = 0  # characters

    def add(self, text: str) -> tuple[int, str]:
        """How many bytes (UTF-8) of what it was are still so, and what follows them now."""
        text = _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        if self._column == len(self._line) and "\r" not in text and "\b" not in text:
            kept = self._before + _bytes(self._line)
            self._extend(text)
            return kept, text
        kept, lines = self._before, []
        for number, part in enumerate(text.split("\n")):
            if number:
                lines.append(self._line + "\n")
                self._line, self._column = "", 0
            self._overwrite(part)
        self._before += sum(map(_bytes, lines))
        return kept, "".join(lines) + self._line

    def _extend(self, text: str) -> None:
        head, line_end, last = text.rpartition("\n")
        if line_end:
            self._before += _bytes(self._line) + _bytes(head) + 1
            self._line = last
        else:
            self._line += last
        self._column = len(self._line)

    def _overwrite(self, part: str) -> None:
        for piece in _MOVES.split(part):
            if piece == "\r":
                self._column = 0
            elif piece == "\b":
                if self._column:
                    self._line = self._line[: self._column - 1] + self._line[self._column :]
                    self._column -= 1
            else:
                end = self._column + len(piece)
                self._line = self._line[: self._column] + piece + self._line[end:]
                self._column = end


def overwritten(text: str) -> str:
    """What it comes to."""
    return OverwrittenText().add(text)[1]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())
