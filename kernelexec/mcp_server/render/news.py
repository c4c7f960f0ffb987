"""What a reply tells besides its own matter: a loss in its first line, and each news in a line below that."""

from __future__ import annotations

from dataclasses import dataclass

from kernelexec.model.text import plain


@dataclass(frozen=True)
class News:
    """What a caller is to know of a session, as lines; and its name, if all its variables are lost."""

    lines: tuple[str, ...] = ()
    lost: str | None = None

    def told_with(self, text: str) -> str:
        """The text of a reply with these."""
        first, *rest = text.split("\n")
        if self.lost:
            mark = " " if first.endswith(".") else "; "
            first += f"{mark}LOST since your last reply: all variables of {self.lost}."
        return "\n".join([first, *(f"News: {plain(line)}" for line in self.lines), *rest])
