"""Text as a small terminal shows it: what is overwritten, erased and moved over is gone. Pure.

By hand, because it is on the way of each reply: pyte, which knows all codes, makes 1 MB a second, and this 20
and more (of plain text 100), which a cell's megabytes need. A test holds it against pyte. The differences
are meant:

- Lines are as long as they are, since Jupyter's streams do not wrap; each character is one column wide, also
  a tab.
- The screen is the last 500 lines. What was printed before a program first clears it, or first moves to
  a row by its number, has scrolled away and stays: nobody loses a result to a `clear`.
- Colours and the like are dropped, and so is what is written below a scrolling region (apt's progress).

Where a cursor goes up, lines and positions in the raw text are no longer in step: `stretches` says which
lines are from which part of it, and which of them changed since a position.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from kernelexec.model.screen import COLUMNS, Screen, Stretch

# What follows ESC: CSI, OSC (ended by BEL or ST) and the other escape sequences of ECMA-48.
_SEQUENCE = (
    r"(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[PX^_][^\x1b\n]*(?:\x1b\\)?|[ -/]*[0-~])"
)
_ESCAPES = re.compile(rf"\x1b{_SEQUENCE}")
# Each of these begins with a set of characters: the engine looks for that at some 100 MB a second.
_SPECIAL = re.compile(rf"[\b\v\f\r\x1b](?:(?<=\x1b){_SEQUENCE})?")
_MOTION = re.compile(
    r"[\b\v\f\r\x1b](?:(?<=[\b\v\f])|(?<=\r)(?!\n)|(?<=\x1b)(?:[78DEMc]|\[[0-9;]*[A-HJKLMPXdfsu@`]))"
)
_ACROSS_LINES = re.compile(r"[\v\f\x1b](?:(?<=[\v\f])|(?<=\x1b)(?:[78DEMc]|\[[0-9;]*[ABEFHJLMdfsu]))")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*)?\Z")
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")
_LONGEST_ESCAPE = 64  # characters, of those that move something


def moves(text: str) -> bool:
    """Whether it goes back over what it has written."""
    return any(map(text.__contains__, "\r\x1b\b\v\f")) and _MOTION.search(text) is not None


def moves_across_lines(text: str) -> bool:
    return any(map(text.__contains__, "\x1b\v\f")) and _ACROSS_LINES.search(text) is not None


def shown(text: str) -> str:
    """What a terminal shows of this text."""
    if "\x1b" in text[-_LONGEST_ESCAPE:]:
        text = _without_unfinished(text)
    if not moves(text):
        text = text.replace("\r\n", "\n")
        return _ESCAPES.sub("", text) if "\x1b" in text else text
    terminal = Terminal()
    terminal.write(_COLOURS.sub("", text) if "\x1b[" in text else text)
    return terminal.text()


def stretches(raw: str, since: int = 0) -> list[Stretch]:
    """The lines that the text changed from `since` on, all that came before it being on the screen."""
    since = _between_escapes(raw, since)
    terminal = Terminal()
    terminal.write(raw[:since])
    terminal.mark()
    terminal.write(raw[since:])
    return terminal.changed()


def _without_unfinished(text: str) -> str:
    """Without a code at its end of which the rest is to come."""
    begin = text.rfind("\x1b")
    return text[:begin] if _UNFINISHED.match(text, begin) else text


def _between_escapes(raw: str, position: int) -> int:
    """The beginning of the escape code that this position is within, else the position."""
    begin = raw.rfind("\x1b", max(0, position - _LONGEST_ESCAPE), position)
    found = _ESCAPES.match(raw, begin) if begin >= 0 else None
    return begin if found is not None and found.end() > position else position


class Terminal(Screen):
    """A screen to which text with codes is written."""

    def write(self, text: str) -> None:
        begin, done = self.at, 0
        for found in _SPECIAL.finditer(text):
            start, end = found.span()
            if start > done:
                self.print_text(text[done:start])
            done = end
            self.at = begin + end
            code = found[0]
            if code == "\r":
                self.column = 0
            elif code == "\x1b":  # of nothing
                self.at -= 1
                self.put(code)
            elif code[-1] != "m":  # colours are most of them
                self._control(code)
        if done < len(text):
            self.print_text(text[done:])
        self.at = begin + len(text)

    def _control(self, code: str) -> None:
        if self.is_below_region and code[-1] not in "Hfdu8c":
            return
        if code == "\b":
            self.column = max(0, self.column - 1)
        elif code in ("\v", "\f"):
            self.down()
        elif code.startswith("\x1b["):
            act = _CSI.get(code[-1])
            parameters = code[2:-1]
            if act is not None and (not parameters or _NUMBERS.match(parameters)):
                act(self, [_number(number) for number in parameters.split(";")])
        elif (escape := _OTHERS.get(code[1:])) is not None:
            escape(self)


_NUMBERS = re.compile(r"[0-9;]+\Z")


def _number(digits: str) -> int:
    return 0 if not digits else int(digits) if len(digits) < 6 else 99_999


def _scroll_within(terminal: Terminal, numbers: list[int]) -> None:
    terminal.region = numbers[1] if len(numbers) > 1 else 0


def _next_lines(terminal: Terminal, count: int) -> None:
    terminal.to_row(terminal.row + count)
    terminal.column = 0


def _lines_before(terminal: Terminal, count: int) -> None:
    terminal.up(count)
    terminal.column = 0


_CSI: dict[str, Callable[[Terminal, list[int]], None]] = {
    "A": lambda t, n: t.up(n[0] or 1),
    "B": lambda t, n: t.to_row(t.row + (n[0] or 1)),
    "C": lambda t, n: t.to_column(t.column + (n[0] or 1)),
    "D": lambda t, n: t.to_column(t.column - (n[0] or 1)),
    "E": lambda t, n: _next_lines(t, n[0] or 1),
    "F": lambda t, n: _lines_before(t, n[0] or 1),
    "G": lambda t, n: t.to_column((n[0] or 1) - 1),
    "`": lambda t, n: t.to_column((n[0] or 1) - 1),
    "H": lambda t, n: t.position(n[0], n[1] if len(n) > 1 else 1),
    "f": lambda t, n: t.position(n[0], n[1] if len(n) > 1 else 1),
    "d": lambda t, n: t.position(n[0], None),
    "J": lambda t, n: t.erase_display(n[0]),
    "K": lambda t, n: t.erase_line(n[0]),
    "L": lambda t, n: t.insert_rows(t.row, n[0] or 1),
    "M": lambda t, n: t.delete_rows(t.row, n[0] or 1),
    "@": lambda t, n: t.splice(t.column, t.column, " " * min(n[0] or 1, COLUMNS)),
    "P": lambda t, n: t.splice(t.column, t.column + (n[0] or 1), ""),
    "X": lambda t, n: t.blank(n[0] or 1),
    "r": _scroll_within,
    "s": lambda t, n: t.save(),
    "u": lambda t, n: t.restore(),
}
_OTHERS: dict[str, Callable[[Terminal], None]] = {
    "7": Terminal.save,
    "8": Terminal.restore,
    "D": Terminal.down,
    "E": Terminal.new_line,
    "M": Terminal.back_up,
    "c": Terminal.reset,
}
