"""What commands show at a terminal: colours and code by rich. Plain text where there is no terminal."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {
    "OK": "green",
    "ERROR": "red",
    "DIED": "red",
    "UNKNOWN": "red",
    "INTERRUPTED": "yellow",
    "NOT RUN": "yellow",
    "RUNNING": "cyan",
    "QUEUED": "cyan",
    "WAITING FOR INPUT": "magenta",
}
_HEADINGS = ("[stdout]", "[stderr]", "[result]", "[display]", "[error]", "[widget]")


class Screen:
    """Standard output. What is given to it has no escape codes of others: see model/text."""

    def __init__(self) -> None:
        self._console: Console | None = None
        self._heading = ""  # of the output that was shown last
        if sys.stdout.isatty():
            from rich.console import Console  # here: a tenth of a second, for a person who looks

            self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        return self._console is not None

    def say(self, text: str, style: str | None = None) -> None:
        if self._console is None:
            print(text, flush=True)
        else:
            self._console.print(text, style=style)

    def verdict(self, head: str) -> None:
        """A reply's first lines, in the colour of what happened."""
        first, newline, rest = head.partition("\n")
        state = first.partition(":")[0]
        self.say(first, f"bold {_COLOURS.get(state, '')}".rstrip())
        if newline:
            self.say(rest, "dim")

    def outputs(self, body: str) -> None:
        """A reply's outputs: their headings stand back."""
        if self._console is None:
            if body:
                print(body, flush=True)
            return
        for line in body.splitlines():
            is_heading = line in _HEADINGS
            if not (is_heading and line == self._heading):  # which goes on
                self.say(line, "dim" if is_heading else None)
            self._heading = line if is_heading else self._heading

    def code(self, code: str) -> None:
        if self._console is None:
            print(code, flush=True)
            return
        from rich.syntax import Syntax

        self._console.print(Syntax(code, "python", theme="ansi_dark", background_color="default"))

    def status(self, text: str) -> None:
        """A line that the next one replaces; nothing where there is no terminal."""
        if self._console is not None:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:width]}", end="", file=sys.stderr, flush=True)

    def end_status(self) -> None:
        if self._console is not None:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)
